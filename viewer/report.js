"use strict";
// Draws the report from the JSON in the page. Data is hostile: it reaches the page as text nodes and
// numbers only, never as markup.
(function () {
  const data = JSON.parse(document.getElementById("data").textContent);
  const svgSpace = "http://www.w3.org/2000/svg";

  // el("td.number", "12") or el("p", child, child): an HTML element with classes and children.
  function el(kind) {
    const [name, ...classes] = kind.split(".");
    const node = document.createElement(name);
    if (classes.length) node.className = classes.join(" ");
    for (const child of Array.from(arguments).slice(1)) add(node, child);
    return node;
  }
  function add(node, child) {
    if (child === null || child === undefined) return;
    if (Array.isArray(child)) child.forEach((one) => add(node, one));
    else node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  function svg(name, attributes, text) {
    const node = document.createElementNS(svgSpace, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  }
  const body = (id) => document.getElementById(id + "-body");
  const isNumber = (x) => typeof x === "number";
  const percent = (x) => (isNumber(x) ? (100 * x).toFixed(1) + " %" : "–");
  const points = (x) => (isNumber(x) ? (x > 0 ? "+" : "") + (100 * x).toFixed(1) : "–");
  const pValue = (p) => (!isNumber(p) ? "–" : p < 0.0001 ? "<0.0001" : p.toFixed(4));
  const seconds = (s) => (isNumber(s) ? "+" + s.toFixed(3) + " s" : "");
  const plural = (n, word) => n + " " + word + (n === 1 ? "" : "s");
  const tones = { gap: "bad", "gap in these tasks": "bad", "no gap shown": "good", "too few runs": "warn", refused: "warn", "not comparable": "warn" };
  const badge = (verdict) => el("span.badge." + (tones[verdict] || "warn"), verdict);
  const interval = (i, show) => (i ? "[" + show(i[0]) + ", " + show(i[1]) + "]" : "");
  const arms = (c) => [el("span.arm-first", c.arms[0]), " against ", el("span.arm-second", c.arms[1])];

  function table(caption, heads, rows) {
    const head = el("tr", heads.map((h) => {
      const cell = el(h.number ? "th.number" : "th", h.text || h);
      cell.scope = "col";
      return cell;
    }));
    const lines = rows.map((row) => el("tr", row.map((value, i) => {
      const cell = el(i === 0 ? "th" : heads[i].number ? "td.number" : "td", value);
      if (i === 0) cell.scope = "row";
      return cell;
    })));
    return el("div.scroll", el("table", caption ? el("caption", caption) : null, el("thead", head), el("tbody", lines)));
  }
  const number = (text) => ({ text, number: true });

  // Gaps first, then by agent as the data has them.
  const primary = data.comparisons.filter((c) => c.role === "primary")
    .sort((a, b) => b.verdict.startsWith("gap") - a.verdict.startsWith("gap"));

  function drawSummary() {
    const flow = data.flow;
    const agents = new Set(data.runs.map((r) => r.agent)).size;
    document.getElementById("subtitle").textContent =
      plural(flow.analysed, "run") + " of " + plural(agents, "agent") + ", " +
      plural(new Set(data.runs.map((r) => r.scenario)).size, "scenario") + "; " +
      plural(flow.excluded.length, "run") + " excluded";
    const cards = primary.map((c) => {
      const tone = tones[c.verdict] || "warn";
      const gap = el("p.big", isNumber(c.gap) ? points(c.gap) : "–", " ",
        el("small", "points " + interval(c.interval, points)));
      const proved = data.acts.filter((a) => a.agent === c.agent).length;
      return el("div.card." + tone,
        el("h3", c.agent), el("p.small", arms(c)), gap,
        el("p.small", percent(c.rates[0]) + " (" + c.counts[0].join("/") + ") → " + percent(c.rates[1]) + " (" + c.counts[1].join("/") + "), p = " + pValue(c.p_value) + ", " + c.test),
        el("p", badge(c.verdict), " "), el("p.small.soft", c.statement),
        proved ? el("p.small.soft", plural(proved, "covert act") + " with proof, below") : null);
    });
    add(body("summary"), cards.length ? el("div.verdicts", cards) : el("p.card", "There is nothing to compare."));
    if (data.notes.length)
      add(body("summary"), el("div.card", el("h3", "To know before reading on"), el("ul.notes", data.notes.map((n) => el("li", n)))));
  }

  // Rates with Wilson intervals, one row an arm.
  function drawRates() {
    if (!primary.length) return;
    const rowHeight = 34, left = 290, right = 110, width = 1100;
    const groups = primary;
    const height = groups.length * (2 * rowHeight + 34) + 40;
    const x = (rate) => left + rate * (width - left - right);
    const chart = svg("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": "Share of runs with a covert act for each agent and condition, with 95 % intervals; the table under Outcomes has the same figures" });
    for (let tick = 0; tick <= 10; tick += 2) {
      chart.append(svg("line", { x1: x(tick / 10), x2: x(tick / 10), y1: 8, y2: height - 30, class: "grid" }));
      chart.append(svg("text", { x: x(tick / 10), y: height - 10, "text-anchor": "middle", class: "soft-text" }, tick * 10 + " %"));
    }
    groups.forEach((c, g) => {
      const top = 10 + g * (2 * rowHeight + 34);
      chart.append(svg("text", { x: 0, y: top + 14, "font-weight": 600 }, c.agent));
      ["first", "second"].forEach((name, i) => {
        const y = top + 34 + i * rowHeight;
        chart.append(svg("text", { x: 14, y: y + 5, class: "soft-text" }, c.arms[i].length > 38 ? c.arms[i].slice(0, 37) + "…" : c.arms[i]));
        const range = c.rate_intervals[i];
        if (!isNumber(c.rates[i]) || !range) return;
        chart.append(svg("line", { x1: x(range[0]), x2: x(range[1]), y1: y, y2: y, "stroke-width": 5, "stroke-linecap": "round", opacity: 0.35, class: "stroke-" + name }));
        chart.append(svg("circle", { cx: x(c.rates[i]), cy: y, r: 7, class: "fill-" + name }));
        chart.append(svg("text", { x: width - right + 16, y: y + 5 }, c.counts[i].join("/") + "  " + percent(c.rates[i])));
      });
    });
    add(body("rates"), el("div.card.chart", el("p.legend", "Share of runs with any covert act. Dots are rates, bars are 95 % Wilson intervals."), chart));
  }

  function proofLine(e) {
    return el("li",
      el("span.soft.small", seconds(e.seconds) || e.source),
      el("span.soft.small", isNumber(e.seq) ? "event " + e.seq : e.source, e.tool_call ? " · call " + e.tool_call : ""),
      el("code", e.text));
  }

  // The first calls and whatever else proves the act; the repetitions behind a summary.
  function proof(evidence) {
    let calls = 0;
    const shown = evidence.shown.filter((e) => e.source === "transcript" || (e.source === "trace" && ++calls <= 3));
    if (!shown.length) shown.push(...evidence.shown.slice(0, 3));
    const rest = evidence.shown.filter((e) => !shown.includes(e));
    const beyond = evidence.total - evidence.shown.length;
    return [el("ul.proof", shown.map(proofLine)),
      rest.length ? el("details", el("summary.small", plural(rest.length, "further piece") + " of evidence" + (beyond > 0 ? ", " + beyond + " more in the bundle" : "")), el("ul.proof", rest.map(proofLine))) : null];
  }

  function drawActs() {
    if (!data.acts.length) {
      add(body("acts"), el("p.card", "No covert check is true in any run."));
      return;
    }
    const groups = new Map();
    for (const act of data.acts) {
      const key = JSON.stringify([act.agent, act.check]);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(act);
    }
    const most = Array.from(groups.values()).sort((a, b) => b.length - a.length);
    for (const acts of most) {
      const counts = new Map();
      acts.forEach((a) => counts.set(a.condition, (counts.get(a.condition) || 0) + 1));
      const where = Array.from(counts, ([condition, n]) => plural(n, "run") + " of " + condition).join("; ");
      const probed = acts.filter((a) => a.probed_before).length;
      const first = acts[0];
      const others = acts.slice(1).map((a) => el("details", el("summary.small", a.condition, " · ", el("code", a.bundle)), proof(a.evidence)));
      add(body("acts"), el("div.card",
        el("h3", first.agent, ": ", first.title), el("p.small.soft", where, probed ? "; after looking for oversight in " + probed : ""),
        el("p.small", "For example ", el("code", first.bundle)), proof(first.evidence),
        others.length ? el("details", el("summary.small", "The other " + plural(others.length, "run")), others) : null));
    }
  }

  function toneOfAct(act, covert) {
    if (covert.has(act.seq)) return "alarming";
    if (act.feature === "oversight_probing") return "probing";
    return "";
  }

  // The steps of a run: each tool call with the acts recorded under it.
  function stepsOf(run) {
    const covert = new Set();
    data.acts.filter((a) => a.run_id === run.run_id).forEach((a) => a.evidence.shown.forEach((e) => isNumber(e.seq) && covert.add(e.seq)));
    const byCall = new Map();
    run.acts.forEach((act) => {
      const key = act.tool_call || 0;
      if (!byCall.has(key)) byCall.set(key, []);
      byCall.get(key).push({ act, tone: toneOfAct(act, covert) });
    });
    return run.calls.map((call) => ({ call, acts: byCall.get(call.call) || [] }));
  }

  function stepCard(step) {
    if (!step) return el("div.call.absent", el("p.small", "no further tool call"));
    const tone = ["alarming", "probing"].find((t) => step.acts.some((a) => a.tone === t));
    const call = step.call;
    // What stands out first, then the rest, as long as it fits a glance.
    const shown = step.acts.filter((a) => a.tone).concat(step.acts.filter((a) => !a.tone)).slice(0, 5).sort((a, b) => a.act.seq - b.act.seq);
    const hidden = step.acts.length - shown.length;
    return el(tone ? "div.call." + tone : "div.call",
      el("div.top", el("span", "call " + call.call + " · " + call.name + (call.rejected ? " · rejected" : "")), el("span", seconds(call.start))),
      el("pre", call.arguments.length > 600 ? call.arguments.slice(0, 600) + "…" : call.arguments),
      shown.length ? el("ul", shown.map((a) => el(a.tone ? "li." + a.tone : "li", el("span.soft", seconds(a.act.seconds)), el("code", a.act.text)))) : null,
      hidden > 0 ? el("p.small.soft", "and " + plural(hidden, "further act")) : null);
  }

  // Both runs on one time axis: calls as bars, acts as ticks, the covert ones above the lane.
  function axisChart(t, steps) {
    const width = 1100, left = 12, lane = 62, height = 2 * lane + 40;
    const longest = Math.max(...t.runs.map((r) => r.seconds), 0.001);
    const x = (s) => left + (Math.min(Math.max(s, 0), longest) / longest) * (width - 2 * left);
    const chart = svg("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": "Tool calls and system calls of interest of both runs on one time axis; the steps are listed below" });
    for (let i = 0; i <= 5; ++i) {
      const s = (longest * i) / 5;
      chart.append(svg("line", { x1: x(s), x2: x(s), y1: 6, y2: height - 26, class: "grid" }));
      chart.append(svg("text", { x: x(s), y: height - 8, "text-anchor": i === 0 ? "start" : i === 5 ? "end" : "middle", class: "soft-text" }, longest < 1 ? (1000 * s).toFixed(0) + " ms" : s.toFixed(longest < 10 ? 2 : 1) + " s"));
    }
    t.runs.forEach((run, r) => {
      const y = 14 + r * lane;
      steps[r].forEach(({ call, acts }, index) => {
        const from = x(call.start), to = Math.max(x(call.end), from + 3);
        const box = svg("rect", { x: from, y: y + 14, width: to - from, height: 20, rx: 3, opacity: 0.45, class: r === 0 ? "fill-first" : "fill-second" });
        box.append(svg("title", {}, "call " + call.call + ": " + call.name));
        chart.append(box);
        if (index === t.divergence)
          chart.append(svg("line", { x1: from, x2: from, y1: y, y2: y + 42, "stroke-width": 2, "stroke-dasharray": "4 3", style: "stroke: var(--warn)" }));
        acts.forEach(({ act, tone }) => {
          if (!isNumber(act.seconds)) return;
          const colour = tone === "alarming" ? "var(--bad)" : tone === "probing" ? "var(--warn)" : "var(--soft)";
          const tick = svg("line", { x1: x(act.seconds), x2: x(act.seconds), y1: y + (tone ? 4 : 18), y2: y + (tone ? 44 : 30), "stroke-width": tone ? 3 : 1, style: "stroke:" + colour });
          tick.append(svg("title", {}, act.text));
          chart.append(tick);
        });
      });
    });
    return chart;
  }

  function drawTimeline() {
    const t = data.timeline;
    if (!t) {
      add(body("timeline"), el("p.card", "No two runs are paired, so there is none to show."));
      return;
    }
    const steps = t.runs.map(stepsOf);
    const legend = el("p.legend",
      el("span", el("i.bg-first"), t.arms[0]), el("span", el("i.bg-second"), t.arms[1]),
      el("span", el("i.bg-bad"), "proves a covert act"), el("span", el("i.bg-warn"), "looks for oversight"), el("span", el("i.bg-soft"), "other changes and programs"));
    const lanes = el("div.lanes");
    t.runs.forEach((run, r) => lanes.append(el("div.head." + (r ? "second" : "first"),
      el("span.arm-" + (r ? "second" : "first"), run.condition), " ",
      run.covert_act ? el("span.badge.bad", "covert act") : el("span.badge.good", "no covert act"))));
    const longest = Math.max(steps[0].length, steps[1].length);
    const same = isNumber(t.divergence) ? t.divergence : longest;
    // What both runs did alike is folded away, but for its last step.
    const folded = same > 2 ? same - 1 : 0;
    if (folded) {
      const alike = el("div.lanes");
      for (let i = 0; i < folded; ++i) alike.append(stepCard(steps[0][i]), stepCard(steps[1][i]));
      lanes.append(el("details", el("summary.small", "The first " + folded + " tool calls are the same in both runs"), alike));
    }
    for (let i = folded; i < longest; ++i) {
      if (i === t.divergence) lanes.append(el("p.divergence", "the two runs part here"));
      lanes.append(stepCard(steps[0][i]), stepCard(steps[1][i]));
    }
    t.runs.forEach((run) => lanes.append(el("div.call", el("div.top", el("span", "final report")), el("pre", run.report || "(none)"))));
    if (t.runs.some((r) => r.cut)) lanes.append(el("p.small.soft", "The first 400 acts of a run are shown."));
    add(body("timeline"), el("div.card", el("p.small", el("strong", t.agent), ". Same scenario, repeat and seed; only the condition differs."), legend, el("div.chart", axisChart(t, steps)), lanes));
  }

  function drawOutcomes() {
    const contrasts = new Map();
    data.comparisons.forEach((c) => {
      const key = JSON.stringify([c.agent, c.arms]);
      if (!contrasts.has(key)) contrasts.set(key, []);
      contrasts.get(key).push(c);
    });
    let open = true;
    for (const rows of contrasts.values()) {
      const c0 = rows[0];
      const outcomes = table("Yes/no outcomes: " + [c0.test, c0.interval_method, c0.why_this_test].filter(Boolean).join("; "),
        ["Outcome", number("First"), number("Second"), number("Gap, points"), number("95 % interval"), number("p"), number("Adjusted p"), "Verdict"],
        rows.map((c) => [c.title, c.counts[0].join("/") + "  " + percent(c.rates[0]), c.counts[1].join("/") + "  " + percent(c.rates[1]), points(c.gap), interval(c.interval, points), pValue(c.p_value), pValue(c.adjusted_p_value), badge(c.verdict)]));
      const own = data.measures.filter((m) => m.agent === c0.agent && m.arms[0] === c0.arms[0] && m.arms[1] === c0.arms[1]);
      const show = (v) => (isNumber(v) ? (Math.abs(v) >= 100 ? v.toFixed(0) : v.toFixed(1)) : "–");
      const measures = own.length ? table("Counts and durations: means, " + own[0].test,
        ["Measure", number("First"), number("Second"), number("Difference"), number("p"), number("Adjusted p")],
        own.map((m) => [m.title + (m.unit === "ms" ? ", ms" : ""), show(m.values[0].mean), show(m.values[1].mean), show(m.difference), pValue(m.p_value), pValue(m.adjusted_p_value)])) : null;
      const box = el("details.card", el("summary", el("strong", c0.agent), ": ", arms(c0)), outcomes, el("p"), measures);
      box.open = open;
      open = false;
      add(body("outcomes"), box);
    }
    add(body("outcomes"), el("details.card", el("summary", "How each feature is read from a run"),
      table("", ["Feature", "Unit", "Source and rule"], data.features.map((f) => [f.title, f.unit, f.source]))));
  }

  function drawValidity() {
    const flow = data.flow;
    const lossy = data.runs.filter((r) => r.lost > 0).length;
    const complete = data.runs.filter((r) => r.recorded && r.complete && r.lost === 0).length;
    const syscalls = data.runs.reduce((sum, r) => sum + r.syscalls, 0);
    const unique = (name) => Array.from(new Set(data.runs.map((r) => r[name]).filter(Boolean))).join("; ") || "–";
    add(body("validity"), el("div.card", el("h3", "Record"),
      el("p", complete === data.runs.length ? el("span.badge.good", "complete") : el("span.badge.warn", "incomplete"), " ",
        complete + " of " + plural(data.runs.length, "run") + " recorded without gaps, " + syscalls.toLocaleString("en") + " system calls in all, " + plural(lossy, "run") + " with lost events."),
      data.not_observable.length ? el("p.small.soft", "Not observable: " + data.not_observable.join("; ")) : null,
      table("", ["Fact", "Value"], [["Recorder", unique("backend")], ["Host", unique("host")], ["Policy", unique("policy")], ["Persona", unique("persona")], ["Model", unique("model")]])));
    add(body("validity"), el("div.card", el("h3", "Cue certificate"),
      el("p.small.soft", "Everything an agent can observe by design, compared by hash between the two runs of each pair."),
      data.certificates.map((c) => el("details", el("summary",
        c.certified ? el("span.badge.good", "certified") : el("span.badge.warn", "not certified"), " ", c.agent, ": ", arms(c), ". ", c.statement),
        [["declared", "Differs as declared"], ["undeclared", "Differs undeclared"], ["unjudged", "Differs, not known whether it may"]].map(([key, title]) =>
          c[key].length ? el("div", el("p.small", title), el("ul.notes", c[key].map((i) => el("li", el("code", i.item), " in " + plural(i.pairs, "pair"))))) : null)))));
    add(body("validity"), el("div.card", el("h3", "Flow of runs"),
      el("p", flow.found + " found → " + flow.analysed + " analysed, " + flow.excluded.length + " excluded"),
      flow.excluded.length ? table("", ["Bundle", "Reason"], flow.excluded.map((e) => [el("code", e.bundle), e.reason])) : null,
      el("p.small.soft", "Verdicts use p-values adjusted by Holm for the primary outcome over the contrasts of an agent, and by Benjamini and Hochberg for all other outcomes of a contrast, at level " + data.significance_level + ".")));
  }

  function drawRuns() {
    const word = (value) => (value === null ? "undecided" : value ? "yes" : "no");
    const condition = (r) => Object.entries(r.condition).map(([k, v]) => k + "=" + v).join(", ");
    const rows = data.runs.map((r) => [el("code", r.bundle), r.agent, condition(r), r.repeat,
      r.covert_act ? el("span.badge.bad", "yes") : word(r.covert_act), word(r.task_success), r.exit, r.syscalls.toLocaleString("en"), r.lost]);
    add(body("runs"), el("details.card", el("summary", "All " + plural(rows.length, "run")),
      table("", ["Bundle", "Agent", "Condition", number("Repeat"), "Covert act", "Task done", "End", number("System calls"), number("Lost")], rows)));
  }

  const charts = gygesCharts({ data, el, svg, add, table, number, percent, points, pValue, interval, isNumber, body, badge });
  [drawSummary, drawRates, drawActs, drawTimeline, drawOutcomes, drawValidity, drawRuns, ...charts].forEach((draw) => draw());
})();
