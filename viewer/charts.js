"use strict";
// Charts of the report beyond rates: gaps by family, all outcomes at a glance, features by
// condition, p-values of A/A comparisons. SVG from the data in the page, text as text nodes.
// Every chart has its figures in a table beside it or in the JSON.
function gygesCharts(kit) {
  const { data, el, svg, add, table, number, percent, points, pValue, interval, isNumber, body } = kit;
  const cut = (text, most) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
  const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

  function frame(width, height, label) {
    return svg("svg", { viewBox: "0 0 " + width + " " + height, role: "img", "aria-label": label });
  }

  // Gap of every family with its interval, and the whole below.
  function forest(c) {
    const rows = c.families.map((f) => ({ name: f.family, gap: f.gap, range: f.interval, counts: f.counts }));
    const row = 26, left = 250, right = 190, width = 1100, height = (rows.length + 1) * row + 54;
    const x = (gap) => left + ((clamp(gap, -1, 1) + 1) / 2) * (width - left - right);
    const chart = frame(width, height, "Gap of each family with its 95 % interval; the table below has the figures");
    for (const tick of [-1, -0.5, 0, 0.5, 1]) {
      chart.append(svg("line", { x1: x(tick), x2: x(tick), y1: 4, y2: height - 30, class: tick === 0 ? "axis" : "grid" }));
      chart.append(svg("text", { x: x(tick), y: height - 10, "text-anchor": "middle", class: "soft-text" }, points(tick)));
    }
    const draw = (name, gap, range, note, y, strong) => {
      chart.append(svg("text", { x: 0, y: y + 5, "font-weight": strong ? 600 : 400 }, cut(name, 34)));
      if (range) chart.append(svg("line", { x1: x(range[0]), x2: x(range[1]), y1: y, y2: y, "stroke-width": strong ? 5 : 3, class: "stroke-second", opacity: 0.5 }));
      if (strong) chart.append(svg("path", { d: "M" + (x(gap) - 8) + " " + y + "l8 -7l8 7l-8 7z", class: "fill-second" }));
      else chart.append(svg("rect", { x: x(gap) - 4, y: y - 4, width: 8, height: 8, class: "fill-second" }));
      chart.append(svg("text", { x: width - right + 14, y: y + 5, class: strong ? "" : "soft-text" }, note));
    };
    rows.forEach((r, i) => draw(r.name, r.gap, r.range, r.counts[0].join("/") + " → " + r.counts[1].join("/"), 18 + i * row, false));
    draw("all, " + c.scope, c.gap, c.interval, points(c.gap) + " " + interval(c.interval, points), 18 + rows.length * row + 8, true);
    return chart;
  }

  // Each outcome by its gap and its adjusted p-value; above the line is below 0.05.
  function volcano(rows) {
    const width = 1100, height = 330, left = 60, right = 30, bottom = 44;
    const known = rows.filter((c) => isNumber(c.gap) && isNumber(c.adjusted_p_value));
    const depth = (c) => -Math.log10(Math.max(c.adjusted_p_value, 1e-12));
    const most = Math.max(2, ...known.map(depth)) * 1.08;
    const x = (gap) => left + ((clamp(gap, -1, 1) + 1) / 2) * (width - left - right);
    const y = (d) => height - bottom - (d / most) * (height - bottom - 16);
    const chart = frame(width, height, "Outcomes by gap and adjusted p-value; the table under Outcomes has the figures");
    for (const tick of [-1, -0.5, 0, 0.5, 1]) {
      chart.append(svg("line", { x1: x(tick), x2: x(tick), y1: 10, y2: height - bottom, class: "grid" }));
      chart.append(svg("text", { x: x(tick), y: height - 22, "text-anchor": "middle", class: "soft-text" }, points(tick)));
    }
    chart.append(svg("text", { x: x(0), y: height - 4, "text-anchor": "middle", class: "soft-text" }, "gap, points"));
    const line = y(-Math.log10(data.significance_level));
    chart.append(svg("line", { x1: left, x2: width - right, y1: line, y2: line, class: "axis", "stroke-dasharray": "5 4" }));
    chart.append(svg("text", { x: left, y: line - 5, class: "soft-text" }, "adjusted p = " + data.significance_level));
    const taken = [];  // boxes of labels: one that would be written over another is left to the tooltip
    known.slice().sort((a, b) => depth(b) - depth(a)).forEach((c) => {
      const beyond = c.adjusted_p_value < data.significance_level;
      const dot = svg("circle", { cx: x(c.gap), cy: y(depth(c)), r: c.role === "primary" ? 8 : 5, opacity: 0.8, style: "fill: var(--" + (beyond ? "bad" : "soft") + ")" });
      dot.append(svg("title", {}, c.title + ": " + points(c.gap) + ", adjusted p " + pValue(c.adjusted_p_value)));
      chart.append(dot);
      if (!beyond) return;
      const text = cut(c.title, 46), rightward = c.gap < 0.35, long = text.length * 7.2, at = y(depth(c));
      const from = rightward ? x(c.gap) + 11 : x(c.gap) - 11 - long;
      if (taken.some((box) => from < box.to && box.from < from + long && Math.abs(box.y - at) < 15)) return;
      taken.push({ from, to: from + long, y: at });
      chart.append(svg("text", { x: rightward ? from : x(c.gap) - 11, y: at + 4, "text-anchor": rightward ? "start" : "end" }, text));
    });
    return chart;
  }

  // Share of runs with each yes/no feature, by condition.
  function heatMap(agent) {
    const runs = data.runs.filter((r) => r.agent === agent);
    const label = (r) => Object.entries(r.condition).map(([k, v]) => k + "=" + v).join(", ");
    const conditions = Array.from(new Set(runs.map(label))).sort();
    const features = data.features.filter((f) => f.unit === "yes/no");
    const share = (feature, condition) => {
      const values = runs.filter((r) => label(r) === condition).map((r) => r.features[feature.name]).filter(isNumber);
      return values.length ? { share: values.reduce((a, b) => a + b, 0) / values.length, n: values.length } : null;
    };
    const head = el("tr", el("th", "Feature"), conditions.map((c) => { const h = el("th.number", cut(c, 40)); h.scope = "col"; return h; }));
    const lines = features.map((f) => {
      const name = el("th", f.title);
      name.scope = "row";
      return el("tr", name, conditions.map((c) => {
        const value = share(f, c);
        const cell = el("td.number.heat", value ? percent(value.share) : "–");
        if (value) cell.style.setProperty("--share", value.share.toFixed(3));
        return cell;
      }));
    });
    return el("div.scroll", el("table", el("caption", agent + ": share of runs with each feature, by condition"), el("thead", head), el("tbody", lines)));
  }

  // p-values of comparisons of a condition with itself: flat when nothing is wrong.
  function histogram(rows) {
    const values = rows.map((c) => c.p_value).filter(isNumber);
    const bins = new Array(10).fill(0);
    values.forEach((p) => ++bins[Math.min(9, Math.floor(p * 10))]);
    const width = 1100, height = 220, left = 40, bottom = 40;
    const most = Math.max(1, ...bins), step = (width - left - 20) / 10;
    const chart = frame(width, height, "Histogram of the p-values of A/A comparisons: " + bins.map((n, i) => i / 10 + " to " + (i + 1) / 10 + ": " + n).join(", "));
    bins.forEach((n, i) => {
      const tall = (n / most) * (height - bottom - 24);
      chart.append(svg("rect", { x: left + i * step + 2, y: height - bottom - tall, width: step - 4, height: tall, class: "fill-first", opacity: 0.7 }));
      chart.append(svg("text", { x: left + (i + 0.5) * step, y: height - bottom - tall - 5, "text-anchor": "middle" }, n));
      chart.append(svg("text", { x: left + i * step, y: height - 18, "text-anchor": "middle", class: "soft-text" }, (i / 10).toFixed(1)));
    });
    const low = values.filter((p) => p < data.significance_level).length;
    return el("div.card.chart", el("h3", "A/A: a condition against itself"),
      el("p.small.soft", low + " of " + values.length + " p-values are below " + data.significance_level + ", where " + percent(data.significance_level) + " or fewer are expected. Exact tests of rare outcomes pile up at 1."), chart);
  }

  function drawDesign() {
    const target = body("design");
    if (data.registrations.length)
      add(target, el("div.card", el("h3", "Registered before the first run"),
        table("", ["Experiment", "Registered", number("Runs planned"), "SHA-256", "Analysis"], data.registrations.map((r) => [r.name, r.registered_at, r.planned,
          r.intact ? el("code.wrap", r.sha256) : el("span.badge.bad", "edited since"),
          r.analysis ? [r.analysis.hypothesis || "", " primary: " + r.analysis.primary.join(", "), isNumber(r.analysis.margin) ? "; margin " + percent(r.analysis.margin) : "", "; stopping: " + r.analysis.stopping, r.analysis.exclusions.length ? "; excludes: " + r.analysis.exclusions.join(", ") : ""] : "none"]))));
    else
      add(target, el("p.card", "Nothing was registered: these runs belong to no experiment directory."));
    data.rankings.forEach((r) => add(target, el("div.card", table("Agents by gap in " + r.outcome + ": " + r.arms.join(" against ") + ". Overlapping intervals are not told apart.",
      ["Agent", number("Gap, points"), number("95 % interval"), "Verdict"], r.agents.map((a) => [a.agent, points(a.gap), interval(a.interval, points), kit.badge(a.verdict)])))));
    const effect = (e) => [points(e.effect), interval(e.interval, points), pValue(e.p_value)];
    if (data.factor_effects.length)
      add(target, el("div.card", table("Factor effects: average marginal effects of a logistic model with cluster-robust intervals",
        ["Agent", "Outcome", "Effect of", number("Points"), number("95 % interval"), number("p")],
        data.factor_effects.map((e) => [e.agent, e.outcome, e.effect_of].concat(e.problem ? ["–", "", e.problem] : effect(e))))));
    if (data.temptation.length)
      add(target, el("div.card", table("Gap with the temptation minus gap in the control arm",
        ["Agent", "Outcome", "Arms", number("Points"), number("95 % interval"), number("p")],
        data.temptation.map((t) => [t.agent, t.outcome, t.tempted.join(" against "), points(t.difference), interval(t.interval, points), pValue(t.p_value)]))));
    data.comparisons.filter((c) => c.role === "primary" && c.families.length > 1 && isNumber(c.gap)).forEach((c) =>
      add(target, el("div.card.chart", el("h3", c.agent + ": gap by family"), el("p.small.soft", c.arms.join(" against ") + ". " + c.title + "; bars are 95 % intervals of a family alone."), forest(c))));
  }

  function drawFeatures() {
    const target = body("features");
    const aa = data.comparisons.filter((c) => !c.factor);
    if (aa.length) add(target, histogram(aa));
    const contrasts = new Map();
    data.comparisons.forEach((c) => {
      const key = JSON.stringify([c.agent, c.arms]);
      if (!contrasts.has(key)) contrasts.set(key, []);
      contrasts.get(key).push(c);
    });
    for (const rows of contrasts.values()) {
      if (!rows.some((c) => isNumber(c.adjusted_p_value))) continue;
      const whole = data.whole_runs.find((w) => w.agent === rows[0].agent && w.arms[0] === rows[0].arms[0] && w.arms[1] === rows[0].arms[1]);
      const omnibus = whole && whole.energy ? "Whole runs, labels permuted within " + whole.blocks + ": energy distance p = " + pValue(whole.energy.p_value) + ", kernel p = " + pValue(whole.mmd && whole.mmd.p_value) + ", classifier p = " + pValue(whole.classifier.p_value) + " (area under the curve " + whole.classifier.statistic.toFixed(2) + ")." : "";
      add(target, el("div.card.chart", el("h3", rows[0].agent + ": all yes/no outcomes"), el("p.small.soft", rows[0].arms.join(" against ") + ". " + omnibus), volcano(rows)));
    }
    Array.from(new Set(data.runs.map((r) => r.agent))).sort().forEach((agent) => add(target, el("details.card", el("summary", "Features by condition: " + agent), heatMap(agent))));
  }

  return [drawDesign, drawFeatures];
}
