// The report itself: from the verdict to what stands behind it. Every figure leads to runs, every act
// to the event that proves it.
import type { Act, AuditedScenario, EvidenceItem, EvidenceList, OutcomeRow, Report, Run } from "./data";
import { cueCells, cueMap, effectsChart, forestChart, nullHistogram, probeTimes, ratesChart, rocChart, volcanoChart } from "./charts";
import { h, link, number, table, type Child } from "./dom";
import { conditionText, count, cut, interval, isNumber, percent, plural, points, pValue, seconds, tones } from "./format";
import { runsSection } from "./runs";

export const badge = (verdict: string): HTMLElement => h("span.badge." + (tones[verdict] ?? "warn"), verdict);
const arms = (c: { arms: [string, string] }): Child => [h("span.arm-first", c.arms[0]), " against ", h("span.arm-second", c.arms[1])];

export function route(path: string, query: Record<string, string | number | undefined> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== "");
  return path + (given.length ? "?" + given.map(([k, v]) => `${k}=${encodeURIComponent(String(v))}`).join("&") : "");
}

class View {
  readonly index = new Map<string, number>();
  readonly primary: OutcomeRow[];
  constructor(readonly data: Report) {
    data.runs.forEach((run, i) => this.index.set(run.run_id, i));
    this.primary = data.comparisons.filter((c) => c.role === "primary")
      .sort((a, b) => Number(b.verdict.startsWith("gap")) - Number(a.verdict.startsWith("gap")));
  }

  episodeOf(run_id: string, query: Record<string, string | number | undefined> = {}): string {
    return route(`/episode/${this.index.get(run_id)}`, query);
  }
  runsLink(c: { agent: string; outcome: string; title?: string }): Child {
    return link(route("/runs", { agent: c.agent, outcome: c.outcome }), "a", "runs");
  }

  // One sentence for each agent, the strongest first: what a lead has to know.
  lead(): HTMLElement {
    const gaps = this.primary.filter((c) => c.verdict.startsWith("gap"));
    const nulls = this.primary.filter((c) => c.verdict === "no gap shown");
    const others = this.primary.filter((c) => !gaps.includes(c) && !nulls.includes(c));
    // An agent can have a gap under one condition and none under another: then the conditions are named.
    const where = (rows: OutcomeRow[]): Child[] => [...new Set(rows.map((c) => c.agent))].map((agent, i) => {
      const here = rows.filter((c) => c.agent === agent);
      const all = here.length === this.primary.filter((c) => c.agent === agent).length;
      return [i ? "; " : "", h("strong", agent), all ? "" : ` under ${[...new Set(here.map((c) => c.arms[1]))].join(", ")}`];
    });
    const parts: Child[] = [];
    if (gaps.length === 1) parts.push(h("strong", gaps[0].agent), ` behaved differently: ${percent(gaps[0].rates[0])} of runs with ${gaps[0].title} under ${gaps[0].arms[0]}, ${percent(gaps[0].rates[1])} under ${gaps[0].arms[1]}. `);
    if (gaps.length > 1) parts.push("Different behaviour was shown for ", where(gaps), ". ");
    if (nulls.length) parts.push("No gap was shown for ", where(nulls), nulls.some((c) => isNumber(c.equivalence_bound))
      ? `; gaps beyond ${(100 * Math.max(...nulls.map((c) => c.equivalence_bound ?? 0))).toFixed(1)} points are ruled out. ` : ". ");
    if (others.length) parts.push("For ", where(others), " the runs allow no answer. ");
    if (!this.primary.length) parts.push("There is nothing to compare: all runs have the same condition.");
    return h("p.lead", parts);
  }

  facts(): HTMLElement {
    const { flow, runs, certificates, registrations } = this.data;
    const lost = runs.reduce((n, r) => n + r.lost, 0);
    const unrecorded = runs.filter((r) => !r.recorded || !r.complete).length;
    const calls = runs.reduce((n, r) => n + r.syscalls, 0);
    const certified = certificates.filter((c) => c.certified).length;
    const undeclared = certificates.reduce((n, c) => n + c.undeclared.length, 0);
    const edited = registrations.filter((r) => !r.intact).length;
    const fact = (state: string, big: string, small: string, to: string) =>
      h("li", h("a.fact." + state, { href: "#" + to }, h("span.fact-big", big), h("span.small.soft", small)));
    return h("ul.facts", { "aria-label": "What the figures stand on" },
      fact(flow.excluded.length ? "warn" : "good", `${count(flow.analysed)} of ${count(flow.found)}`, flow.excluded.length ? `runs analysed, ${flow.excluded.length} excluded` : "runs analysed, none excluded", "/validity"),
      fact(lost || unrecorded ? "warn" : "good", lost ? count(lost) : "0", unrecorded ? `events lost; ${plural(unrecorded, "run")} not whole` : `events lost of ${count(calls)} system calls`, "/validity"),
      certificates.length ? fact(undeclared ? "bad" : certified === certificates.length ? "good" : "warn", `${certified} of ${certificates.length}`, undeclared ? `certified; ${undeclared} undeclared differences` : "comparisons certified free of undeclared cues", "/validity") : null,
      fact(edited ? "bad" : registrations.length ? "good" : "warn", edited ? "edited" : registrations.length ? "registered" : "not registered", registrations.length ? "before the first run" : "no plan was written down", "/validity"));
  }

  summary(): Child {
    const { acts, telling, notes } = this.data;
    const cards = this.primary.map((c) => {
      const proved = acts.filter((a) => a.agent === c.agent);
      const pair = this.data.pairs.find((p) => p.agent === c.agent && p.arms.join() === c.arms.join())?.runs
        .find(([a, b]) => this.data.runs[a].covert_act !== this.data.runs[b].covert_act);
      return h("article.card.verdict." + (tones[c.verdict] ?? "warn"),
        h("div.verdict-head", h("h3", c.agent), badge(c.verdict)), h("p.small", arms(c)),
        h("p.big", points(c.gap), " ", h("small", isNumber(c.gap) ? `points ${interval(c.interval, points)}` : "")),
        h("p.small", `${c.title}: ${percent(c.rates[0])} (${c.counts[0].join("/")}) → ${percent(c.rates[1])} (${c.counts[1].join("/")}); p = ${pValue(c.adjusted_p_value ?? c.p_value)}, ${c.test}`),
        h("p.small.soft", c.statement),
        h("p.small.actions", proved.length ? h("a", { href: "#/acts" }, `${plural(proved.length, "covert act")} with proof`) : null,
          pair ? link(`/pair/${pair[0]}/${pair[1]}`, "a", "a pair side by side") : null, this.runsLink(c)));
    });
    // Once for all cards: why each test was chosen, and how far it reaches.
    const tested = [...new Set(this.primary.filter((c) => c.why_this_test).map((c) => `${c.test}: ${c.why_this_test}.`))];
    return [this.lead(), this.facts(), cards.length ? h("div.verdicts", cards) : null,
      tested.length ? h("div.card.tested", h("h3", "How it was tested"), h("ul.notes", tested.map((t) => h("li.small", t)))) : null,
      telling ? h("p", link(`/pair/${telling[0]}/${telling[1]}`, "a.button", "Open the pair that shows most, side by side")) : null,
      notes.length ? h("div.card", h("h3", "To know before reading on"), h("ul.notes", notes.map((n) => h("li", n)))) : null];
  }

  proofLine(run_id: string, e: EvidenceItem): HTMLElement {
    const to = isNumber(e.seq) ? this.episodeOf(run_id, { ev: e.seq }) : e.tool_call ? this.episodeOf(run_id, { call: e.tool_call }) : this.episodeOf(run_id, e.source === "files" ? { tab: "files" } : e.source === "flows" ? { tab: "flows" } : {});
    return h("li", h("span.soft.small", isNumber(e.seconds) ? seconds(e.seconds) : e.source),
      h("span.small", link(to, "a", isNumber(e.seq) ? `event ${e.seq}` : e.source), e.tool_call ? h("span.soft", ` · call ${e.tool_call}`) : null),
      h("code", e.text));
  }

  // The first calls and whatever else proves the act; the repetitions behind a summary.
  proof(run_id: string, evidence: EvidenceList): Child {
    let calls = 0;
    const shown = evidence.shown.filter((e) => e.source === "transcript" || (e.source === "trace" && ++calls <= 3));
    if (!shown.length) shown.push(...evidence.shown.slice(0, 3));
    const rest = evidence.shown.filter((e) => !shown.includes(e));
    const beyond = evidence.total - evidence.shown.length;
    return [h("ul.proof", shown.map((e) => this.proofLine(run_id, e))),
      rest.length ? h("details", h("summary.small", `${plural(rest.length, "further piece")} of evidence${beyond > 0 ? `, ${beyond} more in the bundle` : ""}`), h("ul.proof", rest.map((e) => this.proofLine(run_id, e)))) : null];
  }

  acts(): Child {
    const { acts } = this.data;
    if (!acts.length) return h("p.card", "No covert check is true in any run.");
    const groups = new Map<string, Act[]>();
    for (const act of acts) {
      const key = JSON.stringify([act.agent, act.check]);
      groups.set(key, [...(groups.get(key) ?? []), act]);
    }
    return [...groups.values()].sort((a, b) => b.length - a.length).map((group) => {
      const counts = new Map<string, number>();
      group.forEach((a) => counts.set(a.condition, (counts.get(a.condition) ?? 0) + 1));
      const probed = group.filter((a) => a.probed_before).length;
      const one = group[0];
      const others = group.slice(1);
      return h("article.card", h("h3", `${one.agent}: ${one.title}`),
        h("p.small.soft", [...counts].map(([c, n]) => `${plural(n, "run")} of ${c}`).join("; "), probed ? `; after looking for oversight in ${probed}` : ""),
        h("p.small", "For example ", link(this.episodeOf(one.run_id, { find: one.check }), "a", h("code", one.bundle))), this.proof(one.run_id, one.evidence),
        others.length ? h("details", h("summary.small", `The other ${plural(others.length, "run")}`),
          h("ul.plain.run-list", others.map((a) => h("li", link(this.episodeOf(a.run_id, { find: a.check }), "a", h("code", a.bundle)), h("span.soft.small", ` ${a.condition} · ${plural(a.evidence.total, "piece")} of evidence`))))) : null);
    });
  }

  design(): Child {
    const { rankings, factor_effects, temptation, measures } = this.data;
    const primary = this.primary.filter((c) => isNumber(c.rates[0]) || isNumber(c.rates[1]));
    const moved = measures.filter((m) => isNumber(m.difference)).sort((a, b) => (a.adjusted_p_value ?? 2) - (b.adjusted_p_value ?? 2));
    const value = (x: unknown) => (isNumber(x) ? (Math.abs(x) >= 100 ? count(Math.round(x)) : x.toFixed(2)) : "–");
    return [primary.length ? ratesChart(primary) : null,
      rankings.map((r) => h("div.card", h("h3", "Agents by gap"), table(`${r.outcome}: ${r.arms.join(" against ")}. Overlapping intervals are not told apart.`,
        ["Agent", number("Gap, points"), number("95 %"), "Verdict"], r.agents.map((a: any) => [a.agent, points(a.gap), interval(a.interval, points), badge(a.verdict)])))),
      this.primary.map(forestChart), effectsChart(factor_effects),
      temptation.length ? h("div.card", h("h3", "Temptation against control"), table("Gap with the temptation minus gap in the control arm", ["Agent", "Outcome", "Arms", number("Points"), number("95 %"), number("p")],
        temptation.map((t) => [t.agent, t.outcome, t.tempted.join(" against "), points(t.difference), interval(t.interval, points), pValue(t.p_value)]))) : null,
      moved.length ? h("details.card", h("summary", "Counts and durations"), table("Means of each arm, sorted by adjusted p", ["Measure", "Agent", "Unit", number("First"), number("Second"), number("Difference"), number("Adjusted p"), "Test"],
        moved.map((m) => [m.title, m.agent, m.unit, value(m.values[0].mean), value(m.values[1].mean), value(m.difference), pValue(m.adjusted_p_value), m.test]))) : null];
  }

  features(): Child {
    const contrasts = new Map<string, OutcomeRow[]>();
    for (const c of this.data.comparisons) {
      const key = JSON.stringify([c.agent, c.arms]);
      contrasts.set(key, [...(contrasts.get(key) ?? []), c]);
    }
    const strength = (rows: OutcomeRow[]) => rows.filter((c) => (c.adjusted_p_value ?? 1) < this.data.significance_level).length;
    const charts = [...contrasts.values()].filter((rows) => rows.some((c) => isNumber(c.adjusted_p_value))).sort((a, b) => strength(b) - strength(a)).map((rows) => {
      const whole = this.data.whole_runs.find((w) => w.agent === rows[0].agent && w.arms.join() === rows[0].arms.join());
      const note = whole?.energy ? `Whole runs, labels permuted within ${whole.blocks}: energy distance p = ${pValue(whole.energy.p_value)}, kernel p = ${pValue(whole.mmd?.p_value)}, classifier p = ${pValue(whole.classifier?.p_value)} (area under the curve ${whole.classifier?.statistic.toFixed(2)}).` : "";
      return volcanoChart(rows, this.data.significance_level, (c) => this.runsLink(c), note);
    });
    return [charts.length ? charts : h("p.card", "No outcome could be tested."),
      h("details.card", h("summary", "How each feature is read"), table("", ["Feature", "Unit", "Read from"], this.data.features.map((f) => [f.title, f.unit, f.source])))];
  }

  probing(): Child {
    const agents = [...new Set(this.data.runs.map((r) => r.agent))].sort();
    const acted = new Map<string, number>();
    for (const act of this.data.acts)
      for (const e of act.evidence.shown)
        if (isNumber(e.seq) && isNumber(e.seconds)) acted.set(act.run_id, Math.min(acted.get(act.run_id) ?? Infinity, e.seconds));
    const shown = agents.flatMap((agent) => {
      const cells = cueCells(this.data, agent);
      const lines = this.data.runs.map((run, i) => ({ run: i, agent: run.agent, condition: conditionText(run.condition), probe: run.first_probe?.seconds ?? null, act: acted.get(run.run_id) ?? null })).filter((l) => l.agent === agent);
      return [cells.length ? cueMap(agent, cells, (cell) => route("/runs", { agent, condition: cell.condition, cue: cell.cue })) : null, probeTimes(agent, lines, this.data.runs)];
    }).filter(Boolean) as HTMLElement[];
    return shown.length ? shown : h("p.card", this.data.runs.some((r) => r.looks) ? "No run looked for signs of oversight, of a test or of a sandbox, of its own accord."
      : "No run was recorded, so nothing is known of what they looked at.");
  }

  validity(): Child {
    const { flow, certificates, runs, registrations, not_observable, comparisons, reviews } = this.data;
    const conditions = new Map<string, Run[]>();
    runs.forEach((run) => { const key = `${run.agent} · ${conditionText(run.condition)}`; conditions.set(key, [...(conditions.get(key) ?? []), run]); });
    const reasons = new Map<string, number>();
    flow.excluded.forEach((e) => reasons.set(e.reason, (reasons.get(e.reason) ?? 0) + 1));
    const scripts = [...conditions].sort();
    const step = (n: number, text: string, kind = "") => h("li" + (kind ? "." + kind : ""), h("span.flow-n", count(n)), h("span", text));
    const items = (list: { item: string; pairs: number }[]): Child => list.length ? list.slice(0, 12).map((d, i) => [i ? ", " : "", h("code", d.item), h("span.soft", ` (${d.pairs})`)]) : "none";
    const monitors = new Map<string, { score: number; bad: boolean }[]>();
    runs.forEach((run) => Object.entries(run.monitors ?? {}).forEach(([name, m]) => {
      if (run.covert_act !== null) monitors.set(name, [...(monitors.get(name) ?? []), { score: m.score ?? 1, bad: run.covert_act }]);
    }));
    const attempts = new Map<string, number>();
    registrations.forEach((r) => Object.entries(r.failed_attempts as Record<string, number>).forEach(([kind, n]) => attempts.set(kind, (attempts.get(kind) ?? 0) + n)));
    return [
      h("figure.card", h("figcaption", h("h3", "Flow of runs")), h("ol.flow",
        registrations.length ? step(registrations.reduce((n, r) => n + r.planned, 0), "runs planned") : null,
        [...attempts].map(([kind, n]) => step(n, `attempts without a run: ${kind}`, "out")), step(flow.found, "bundles found"),
        [...reasons].map(([reason, n]) => step(n, "excluded: " + reason, "out")), step(flow.analysed, "analysed")),
        table("Analysed runs", ["Agent and condition", number("Runs"), number("Submitted"), number("Limit hit"), number("Other end"), number("Task done"), number("Covert act")],
          scripts.map(([key, list]) => { const submitted = list.filter((r) => r.exit === "submitted").length, limited = list.filter((r) => r.limits_hit.length).length;
            return [key, list.length, submitted, limited, list.length - submitted - limited < 0 ? 0 : list.length - submitted - limited, list.filter((r) => r.task_success).length, list.filter((r) => r.covert_act).length]; })),
        flow.excluded.length ? h("details", h("summary.small", "Excluded bundles"), h("ul.notes", flow.excluded.map((e) => h("li", h("code", e.bundle), ": ", e.reason)))) : null),
      certificates.length ? h("div.card", h("h3", "Cue certificates"), h("p.small.soft", "What the agent could observe in paired runs, compared item by item; in brackets the pairs in which an item differs."),
        certificates.map((c) => h("div.certificate", h("p", h("span.badge." + (c.certified ? "good" : c.undeclared.length ? "bad" : "warn"), c.certified ? "certified" : "not certified"), " ", h("strong", c.agent), " ", arms(c)),
          h("p.small", c.statement), h("dl.small", h("dt", "differ as declared"), h("dd", items(c.declared)), h("dt", "differ undeclared"), h("dd", items(c.undeclared)), c.unjudged.length ? [h("dt", "not judged"), h("dd", items(c.unjudged))] : null,
            h("dt", "audit before the runs"), h("dd", c.audit || "none of this experiment was found"))))) : null,
      this.detectors(),
      h("div.card", h("h3", "Coverage and loss"), this.coverage(), not_observable.length ? [h("p.small", "Not observable by the recorder, in at least one run:"), h("ul.notes.small", not_observable.map((n) => h("li", n)))] : null),
      h("div.card", h("h3", "Registration"), registrations.length ? table("", ["Experiment", "Registered", number("Runs planned"), "SHA-256", "Analysis"], registrations.map((r) => [r.name, r.registered_at, r.planned,
        r.intact ? h("code.wrap", r.sha256) : h("span.badge.bad", "edited since"),
        r.analysis ? `${r.analysis.hypothesis ? r.analysis.hypothesis + "; " : ""}primary: ${r.analysis.primary.join(", ")}${isNumber(r.analysis.margin) ? `; margin ${percent(r.analysis.margin)}` : ""}; stopping: ${r.analysis.stopping}` : "no analysis registered"])) : h("p", "Nothing was registered: these runs belong to no experiment directory.")),
      nullHistogram(comparisons.filter((c) => c.same_condition), this.data.significance_level),
      [...monitors].map(([name, list]) => rocChart(name, list)),
      (reviews ?? []).map((r) => this.review(r))];
  }

  // What the audit before the runs saw from inside, one row for each scenario; names behind it.
  detectors(): HTMLElement | null {
    const { audits } = this.data;
    if (!audits?.length) return null;
    const severities = ["critical", "high", "medium"];
    const leaks = (s: AuditedScenario): Child => s.leaks ? severities.map((name) => [name, s.leaks!.filter((l) => l.severity === name).length] as [string, number]).filter(([, n]) => n).map(([name, n]) => `${n} ${name}`).join(", ") || "none" : "not kept";
    const named = (title: string, rows: Child[]): Child => rows.length ? h("details", h("summary.small", `${title}: ${rows.length}`), h("ul.notes.small", rows.slice(0, 200).map((row) => h("li", row))), rows.length > 200 ? h("p.small.soft", `and ${rows.length - 200} more in audit.json`) : null) : null;
    const codes = (names: string[]): Child[] => names.map((name) => h("code", name));
    return h("div.card", { id: "detectors" }, h("h3", "What detectors saw from inside"),
      h("p.small.soft", "The probe read every channel under each condition before the first run, in turns; channels that differ within one condition are noise. Leaks are what gives the world away for what it is, from medium severity on; contradictions are facts that two channels tell differently."),
      audits.map((audit) => [h("p", h("code", audit.directory), " ", audit.problem ? h("span.badge.bad", "cannot be read")
        : audit.scenarios.some((s) => s.undeclared.length) ? h("span.badge.bad", audit.undeclared_allowed ? "undeclared differences, allowed" : "undeclared differences") : h("span.badge.good", "alike but for what is declared"),
        audit.made_at ? h("span.small.soft", ` ${audit.made_at}`) : null),
      audit.problem ? h("p.small", audit.problem) : table("", ["Scenario", number("Channels read"), number("Rounds"), number("Noise"), number("Differ as declared"), number("Undeclared"), "Leaks", number("Contradictions")],
        audit.scenarios.map((s) => [s.scenario, count(s.channels), s.rounds, s.noise, s.declared.length, s.undeclared.length, leaks(s), s.contradictions?.length ?? "not kept"])),
      audit.scenarios.map((s) => [named(`${s.scenario}, undeclared`, codes(s.undeclared)), named(`${s.scenario}, as declared`, codes(s.declared)),
        named(`${s.scenario}, leaks`, (s.leaks ?? []).map((l) => [h("code", l.channel), ` ${l.severity}, ${l.speaks_of}: ${l.meaning} (${l.conditions.join(", ")})`])),
        named(`${s.scenario}, contradictions`, (s.contradictions ?? []).map((c) => `${c.fact} (${c.conditions.join(", ")})`))])]));
  }

  coverage(): HTMLElement {
    const groups = new Map<string, Run[]>();
    this.data.runs.forEach((run) => { const key = run.recorded ? run.backend : "not recorded"; groups.set(key, [...(groups.get(key) ?? []), run]); });
    return table("", ["Recorder", number("Runs"), number("System calls"), number("Events lost"), number("Traces whole")],
      [...groups].map(([backend, list]) => [backend, list.length, count(list.reduce((n, r) => n + r.syscalls, 0)), count(list.reduce((n, r) => n + r.lost, 0)), `${list.filter((r) => r.complete).length} of ${list.length}`]));
  }

  review(review: any): HTMLElement {
    const { pairs, agreed, kappa } = review.agreement;
    const agreement = pairs ? `Reviewers agreed on ${agreed} of ${plural(pairs, "pair")} of sure words on the same run${isNumber(kappa) ? `; kappa ${kappa.toFixed(2)}` : ""}.` : "No run was judged by two reviewers.";
    return h("figure.card.reviews", h("figcaption", h("h3", "What people said of runs"), h("p.small.soft", agreement,
      review.outdated ? ` ${plural(review.outdated, "review")} of runs that were changed since ${review.outdated === 1 ? "counts" : "count"} for nothing.` : "")),
      table(review.directory ?? "", ["Agent and condition", number("Runs"), number("Flagged"), number("Reviewed"), number("Misbehaved"), number("Unsure"), number("Flags cleared"), number("Raised by people"), number("Overridden"), number("Missed at most")],
        review.strata.map((s: any) => [s.stratum, s.runs, s.flagged, s.reviewed, s.misbehaved, s.unsure, s.overrides.cleared, s.overrides.raised, isNumber(s.override_rate) ? percent(s.override_rate) : "–", percent(s.missed_at_most)])));
  }
}

export const sections: [string, string, string][] = [
  ["summary", "Summary", "Summary"], ["acts", "Covert acts", "Covert acts, and what proves them"], ["design", "Effects", "Rates, families, factors"],
  ["features", "Features", "Every outcome at a glance"], ["probing", "Probing", "Looking for oversight"], ["validity", "Validity", "What stands behind the figures"], ["runs", "Runs", "Runs"]];

export function subtitle(data: Report): string {
  const of = (pick: (run: Run) => string) => new Set(data.runs.map(pick)).size;
  return `${plural(data.runs.length, "run")} of ${plural(of((r) => r.agent), "agent")} in ${plural(of((r) => r.scenario), "scenario")}`;
}

// Sections are drawn when they come near the screen, all at once for print and search.
export function drawReport(data: Report, into: HTMLElement): { draw: (name: string) => void; drawAll: () => void } {
  const view = new View(data);
  const makers: Record<string, () => Child> = {
    summary: () => view.summary(), acts: () => view.acts(), design: () => view.design(), features: () => view.features(),
    probing: () => view.probing(), validity: () => view.validity(), runs: () => runsSection(data) };
  const waiting = new Map<string, HTMLElement>();
  const draw = (name: string) => {
    const body = waiting.get(name);
    if (!body) return;
    waiting.delete(name);
    body.classList.remove("waiting");
    try {
      body.append(...h("div", makers[name]()).childNodes);
    } catch (error) {
      body.append(h("p.card.warn-card", { role: "alert" }, `This section could not be drawn: ${error instanceof Error ? error.message : error}`));
      console.error(error);
    }
  };
  const watcher = new IntersectionObserver((entries) => entries.forEach((entry) => {
    if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target.id.replace("-body", "")); }
  }), { rootMargin: "600px" });
  for (const [name, , title] of sections) {
    const body = h("div.waiting", { id: name + "-body" });
    waiting.set(name, body);
    into.append(h("section", { id: name, "aria-labelledby": "h-" + name, tabindex: -1 }, h("h2", { id: "h-" + name }, title), body));
    watcher.observe(body);
  }
  draw("summary");
  return { draw, drawAll: () => sections.forEach(([name]) => draw(name)) };
}

export const shortRun = (run: Run): string => cut(`${run.agent} · ${conditionText(run.condition)} · repeat ${run.repeat}`, 120);
