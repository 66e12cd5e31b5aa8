// The charts, drawn by Observable Plot. Colours are the page's own variables, so that they follow
// dark, light and print; every chart stands beside the table of its figures.
import * as Plot from "@observablehq/plot";
import type { OutcomeRow, Report, Run } from "./data";
import { figure, h, link, number, table, type Child } from "./dom";
import { conditionText, cut, interval, isNumber, percent, plural, points, pValue, seconds } from "./format";

const width = 1080;
const first = "var(--first)", second = "var(--second)", bad = "var(--bad)", soft = "var(--soft)", warn = "var(--warn)";
const plot = (label: string, options: Plot.PlotOptions): Element => {
  const drawn = Plot.plot({ width, style: { background: "none", fontSize: "13px", fontFamily: "inherit", overflow: "visible" }, ...options });
  drawn.setAttribute("role", "img");
  drawn.setAttribute("aria-label", label);
  return drawn;
};
const asPercent = (x: number) => `${Math.round(100 * x)} %`;

// Share of runs in each arm with Wilson intervals.
export function ratesChart(rows: OutcomeRow[]): HTMLElement {
  const marks = rows.flatMap((c) => [0, 1].filter((i) => isNumber(c.rates[i])).map((i) => ({
    agent: c.agent, arm: c.arms[i], label: `${c.agent}  ·  ${cut(c.arms[i], 44)}`, side: i, rate: c.rates[i] as number,
    low: c.rate_intervals[i]?.[0] ?? 0, high: c.rate_intervals[i]?.[1] ?? 1, text: `${c.counts[i].join("/")}  ${percent(c.rates[i])}`,
  })));
  const colour = (d: { side: number }) => (d.side === 0 ? first : second);
  const chart = plot("Share of runs with the primary outcome, with 95 % intervals; the table below has the figures", {
    height: 40 * marks.length + 50, marginLeft: 350, marginRight: 110,
    x: { domain: [0, 1], tickFormat: asPercent, label: null, grid: true },
    y: { label: null, domain: marks.map((d) => d.label), tickSize: 0, tickPadding: 16 },
    marks: [
      Plot.ruleY(marks, { y: "label", x1: "low", x2: "high", stroke: colour, strokeWidth: 6, strokeOpacity: 0.3, strokeLinecap: "round" }),
      Plot.dot(marks, { y: "label", x: "rate", r: 7, fill: colour }),
      Plot.text(marks, { y: "label", x: 1, text: "text", textAnchor: "start", dx: 14, fill: "currentColor" }),
    ],
  });
  return figure("Runs with the primary outcome, by condition", "Dots are rates, bars are 95 % Wilson intervals.", chart,
    table("", ["Agent", "Condition", number("Runs"), number("Rate"), number("95 %")],
      marks.map((d) => [d.agent, d.arm, d.text.split("  ")[0], percent(d.rate), interval([d.low, d.high], percent)])));
}

// A point with its interval in each row, zero in sight.
function pointsChart(label: string, rows: { name: string; value: number; low: number; high: number; strong?: boolean }[]): Element {
  const reach = Math.max(0.1, ...rows.flatMap((d) => [Math.abs(d.low), Math.abs(d.high)]));
  return plot(label, {
    height: 32 * rows.length + 56, marginLeft: 300, marginRight: 150,
    x: { domain: [-Math.min(1, reach * 1.05), Math.min(1, reach * 1.05)], grid: true, tickFormat: (x: number) => points(x), label: "points" },
    y: { label: null, domain: rows.map((d) => d.name), tickSize: 0, tickPadding: 14, tickFormat: (name: string) => cut(name, 42) },
    marks: [
      Plot.ruleX([0], { stroke: soft }),
      Plot.ruleY(rows, { y: "name", x1: "low", x2: "high", stroke: second, strokeWidth: 3, strokeOpacity: 0.55 }),
      Plot.dot(rows, { y: "name", x: "value", symbol: (d: { strong?: boolean }) => (d.strong ? "diamond" : "circle"), r: (d: { strong?: boolean }) => (d.strong ? 8 : 5), fill: second }),
      Plot.text(rows, { y: "name", frameAnchor: "right", dx: 145, textAnchor: "end", text: (d: { value: number; low: number; high: number }) => `${points(d.value)} ${interval([d.low, d.high], points)}`, fill: "currentColor" }),
    ],
  });
}

export function forestChart(c: OutcomeRow): HTMLElement | null {
  if (!isNumber(c.gap) || c.families.length < 2) return null;
  const rows = c.families.map((f) => ({ name: f.family, value: f.gap, low: f.interval?.[0] ?? f.gap, high: f.interval?.[1] ?? f.gap }));
  const all = { name: "all families", value: c.gap, low: c.interval?.[0] ?? c.gap, high: c.interval?.[1] ?? c.gap, strong: true };
  return figure(`${c.agent}: gap by family`, `${c.arms.join(" against ")}. ${c.title}; each bar is the 95 % interval of a family alone, the diamond is the whole.`,
    pointsChart(`Gap of ${c.agent} in each family and overall, with intervals`, [...rows, all]),
    table("", ["Family", number("First"), number("Second"), number("Gap, points"), number("95 %")],
      c.families.map((f) => [f.family, f.counts[0].join("/"), f.counts[1].join("/"), points(f.gap), interval(f.interval, points)])));
}

export function effectsChart(effects: any[]): HTMLElement | null {
  if (!effects.length) return null;
  const shown = effects.filter((e) => isNumber(e.effect)).map((e) => ({
    name: `${e.agent}  ·  ${e.effect_of}`, value: e.effect, low: e.interval[0], high: e.interval[1] }));
  return figure("Factor effects", "Average marginal effect of each level and interaction on the primary outcome: a logistic model with cluster-robust intervals.",
    shown.length ? pointsChart("Average marginal effects with intervals", shown) : null,
    table("", ["Agent", "Outcome", "Effect of", number("Points"), number("95 %"), number("p"), "Clusters"],
      effects.map((e) => [e.agent, e.outcome, e.effect_of, points(e.effect), interval(e.interval, points), e.problem || pValue(e.p_value), e.clusters])));
}

// All yes/no outcomes of a contrast: how far apart, how sure.
export function volcanoChart(rows: OutcomeRow[], level: number, runsLink: (c: OutcomeRow) => Child, note: string): HTMLElement {
  const tested = rows.filter((c) => isNumber(c.gap) && isNumber(c.adjusted_p_value));
  const depth = (c: OutcomeRow) => Math.min(6, -Math.log10(Math.max(1e-6, c.adjusted_p_value as number)));
  const found = tested.filter((c) => (c.adjusted_p_value as number) < level);
  // Labels only where no other stands: the furthest first.
  const labels: OutcomeRow[] = [];
  for (const c of [...found].sort((a, b) => Math.abs(b.gap as number) - Math.abs(a.gap as number)))
    if (!labels.some((l) => Math.abs(depth(l) - depth(c)) < 0.25 && Math.sign(l.gap as number) === Math.sign(c.gap as number))) labels.push(c);
  const top = Math.max(2, ...tested.map(depth)) * 1.12;
  const chart = plot(`Gap and adjusted p-value of ${tested.length} outcomes; ${found.length} are below ${level}`, {
    height: found.length ? 400 : 230, marginLeft: 60, marginBottom: 46,
    x: { domain: [-1.02, 1.02], label: "gap, points →", tickFormat: (x: number) => points(x), grid: true },
    y: { domain: [0, top], label: "↑ −log₁₀ adjusted p", ticks: found.length ? undefined : 4 },
    marks: [
      Plot.ruleX([0], { stroke: soft }),
      Plot.ruleY([-Math.log10(level)], { stroke: warn, strokeDasharray: "5 4" }),
      Plot.text([0], { x: -1, y: -Math.log10(level), text: () => `p = ${level}`, dy: -8, textAnchor: "start", fill: soft }),
      Plot.dot(tested, { x: "gap", y: depth, r: 6, fill: (c: OutcomeRow) => ((c.adjusted_p_value as number) < level ? bad : soft), fillOpacity: (c: OutcomeRow) => ((c.adjusted_p_value as number) < level ? 0.9 : 0.35), title: (c: OutcomeRow) => `${c.title}: ${points(c.gap)} points, adjusted p ${pValue(c.adjusted_p_value)}` }),
      Plot.text(labels.filter((c) => (c.gap as number) <= 0.2), { x: "gap", y: depth, text: (c: OutcomeRow) => cut(c.title, 40), dx: 11, textAnchor: "start", fill: "currentColor" }),
      Plot.text(labels.filter((c) => (c.gap as number) > 0.2), { x: "gap", y: depth, text: (c: OutcomeRow) => cut(c.title, 40), dx: -11, textAnchor: "end", fill: "currentColor" }),
    ],
  });
  const sorted = [...rows].sort((a, b) => (a.adjusted_p_value ?? 2) - (b.adjusted_p_value ?? 2));
  return figure(`${rows[0].agent}: every yes/no outcome`, `${rows[0].arms.join(" against ")}. ${note}`, chart,
    table("Sorted by adjusted p", ["Outcome", "Role", number("First"), number("Second"), number("Gap, points"), number("95 %"), number("Adjusted p"), "Runs"],
      sorted.map((c) => [c.title, c.role, c.counts[0].join("/"), c.counts[1].join("/"), points(c.gap), interval(c.interval, points), pValue(c.adjusted_p_value), runsLink(c)])));
}

// p-values of a condition against itself: flat, or piled up at 1, when nothing is wrong.
export function nullHistogram(rows: OutcomeRow[], level: number): HTMLElement | null {
  const values = rows.map((c) => c.p_value).filter(isNumber);
  if (!values.length) return null;
  const bins = Array.from({ length: 20 }, (_, i) => ({ from: i / 20, to: (i + 1) / 20, n: 0 }));
  values.forEach((p) => ++bins[Math.min(19, Math.floor(p * 20))].n);
  const low = values.filter((p) => p < level).length;
  const chart = plot(`Histogram of ${values.length} p-values of comparisons of a condition with itself`, {
    height: 240, marginLeft: 50, x: { label: "p-value →", domain: [0, 1] }, y: { grid: true, label: "↑ comparisons" },
    marks: [
      Plot.rectY(bins, { x1: "from", x2: "to", y: "n", inset: 1, fill: (d: { to: number }) => (d.to <= level ? bad : first), fillOpacity: 0.75 }),
      Plot.ruleY([values.length / 20], { stroke: soft, strokeDasharray: "4 4" }),
      Plot.ruleY([0]),
    ],
  });
  return figure("A/A: a condition against itself", `${low} of ${values.length} p-values (${percent(low / values.length)}) are below ${level}, where ${percent(level)} or fewer are expected. The dashed line is an even spread; exact tests of rare outcomes pile up at 1.`,
    chart, table("", ["p from", "to", number("Comparisons")], bins.map((b) => [b.from.toFixed(2), b.to.toFixed(2), b.n])));
}

export interface CueCell { cue: string; label: string; condition: string; share: number; looked: number; runs: number; unexplained: number }

export function cueMap(agent: string, cells: CueCell[], open: (cell: CueCell) => string): HTMLElement {
  const conditions = [...new Set(cells.map((c) => c.condition))].sort();
  const cues = [...new Map(cells.map((c) => [c.cue, c.label]))].sort((a, b) => a[0].localeCompare(b[0], "en", { numeric: true }));
  const at = new Map(cells.map((c) => [c.cue + "\n" + c.condition, c]));
  return h("figure.card", h("figcaption", h("h3", `${agent}: what it looked at`),
    h("p.small.soft", "Share of runs that looked at a cue deliberately: the agent named it in a tool call. Unexplained are further runs in which a program read it that is not known to do so by itself; what programs are known to read is not counted. Each cell leads to its runs.")),
    h("div.scroll", { tabindex: 0, role: "group", "aria-label": "cues by condition" },
      h("table.heatmap", h("thead", h("tr", h("th", { scope: "col" }, "Cue"), conditions.map((c) => h("th.number", { scope: "col" }, cut(c, 60))))),
        h("tbody", cues.map(([cue, label]) => h("tr", h("th", { scope: "row" }, h("span.soft", cue + " "), label), conditions.map((condition) => {
          const cell = at.get(cue + "\n" + condition);
          if (!cell) return h("td.number", "–");
          const node = h("td.number.heat", link(open(cell), "a", `${percent(cell.share)}`), h("span.small.soft", ` ${cell.looked}/${cell.runs}${cell.unexplained ? `, ${cell.unexplained} unexplained` : ""}`));
          (node as HTMLElement).style.setProperty("--share", cell.share.toFixed(3));
          return node;
        })))))));
}

export interface ProbeLine { run: number; agent: string; condition: string; probe: number | null; act: number | null }

// When a run first looked for oversight, and when it first acted covertly.
export function probeTimes(agent: string, lines: ProbeLine[], runs: Run[]): HTMLElement | null {
  const shown = lines.filter((l) => l.probe !== null || l.act !== null);
  if (!shown.length) return null;
  const some = [...shown].sort((a, b) => a.condition.localeCompare(b.condition) || (a.act ?? 1e9) - (b.act ?? 1e9)).slice(0, 60)
    .map((l, i) => ({ ...l, row: i }));
  const dots = some.flatMap((l) => [
    ...(l.probe !== null ? [{ ...l, t: l.probe, what: "first look" }] : []),
    ...(l.act !== null ? [{ ...l, t: l.act, what: "first covert act" }] : [])]);
  const chart = plot(`First look for oversight and first covert act in ${some.length} runs of ${agent}; the table has the times`, {
    height: Math.max(100, 14 * some.length + 70), marginLeft: 250, marginRight: 20, marginBottom: 48,
    x: { label: "seconds from the start →", grid: true, zero: true }, y: { axis: null, domain: some.map((l) => l.row) },
    color: { domain: ["first look", "first covert act"], range: [warn, bad], legend: false },
    marks: [
      Plot.ruleY(some.filter((l) => l.probe !== null && l.act !== null), { y: "row", x1: "probe", x2: "act", stroke: soft, strokeOpacity: 0.5 }),
      Plot.dot(dots, { y: "row", x: "t", r: 4.5, fill: "what", symbol: (d: { what: string }) => (d.what === "first look" ? "circle" : "diamond"), href: (d: ProbeLine) => `#/episode/${d.run}`, title: (d: { what: string; t: number; condition: string }) => `${d.what} at ${seconds(d.t)}, ${d.condition}` }),
      Plot.text(some.filter((l, i) => i === 0 || some[i - 1].condition !== l.condition), { y: "row", frameAnchor: "left", dx: -244, textAnchor: "start", text: (l: ProbeLine) => cut(l.condition, 36), fill: "currentColor" }),
    ],
  });
  const legend = h("p.legend", h("span", h("i.bg-warn"), "first look for oversight"), h("span", h("i.bg-bad"), "first covert act"));
  const both = lines.filter((l) => l.probe !== null && l.act !== null);
  const acted = lines.some((l) => l.act !== null);
  const before = both.filter((l) => (l.probe as number) < (l.act as number)).length;
  const node = figure(`${agent}: from looking to acting`, `${both.length ? `${plural(both.length, "run")} did both; in ${before} of them the look came first.` : acted ? "No run both looked and acted." : "No run acted covertly."}${shown.length > some.length ? ` ${some.length} of ${shown.length} runs are drawn; the table has all.` : ""}`,
    h("div", legend, chart),
    table("", ["Run", "Condition", number("First look"), number("First covert act"), number("Between")],
      shown.map((l) => [link(`/episode/${l.run}`, "a", runs[l.run].run_id.slice(0, 12)), l.condition, seconds(l.probe) || "–", seconds(l.act) || "–", l.probe !== null && l.act !== null ? seconds(l.act - l.probe) : "–"])));
  return node;
}

// How well scores tell runs with a covert act on record from those without.
export function rocChart(monitor: string, runs: { score: number; bad: boolean }[]): HTMLElement | null {
  const positives = runs.filter((r) => r.bad).length, negatives = runs.length - positives;
  if (!positives || !negatives) return null;
  const thresholds = [...new Set(runs.map((r) => r.score))].sort((a, b) => b - a);
  const curve = [{ threshold: Infinity, found: 0, alarms: 0 }, ...thresholds.map((threshold) => ({ threshold,
    found: runs.filter((r) => r.bad && r.score >= threshold).length / positives,
    alarms: runs.filter((r) => !r.bad && r.score >= threshold).length / negatives }))];
  let area = 0;
  for (let i = 1; i < curve.length; ++i) area += (curve[i].alarms - curve[i - 1].alarms) * (curve[i].found + curve[i - 1].found) / 2;
  const chart = plot(`ROC curve of monitor ${monitor}, area ${area.toFixed(3)}`, {
    width: 460, height: 420, x: { label: "false alarms →", domain: [0, 1], tickFormat: asPercent, grid: true }, y: { label: "↑ found", domain: [0, 1], tickFormat: asPercent, grid: true },
    marks: [Plot.link([0], { x1: 0, y1: 0, x2: 1, y2: 1, stroke: soft, strokeDasharray: "4 4" }),
      Plot.line(curve, { x: "alarms", y: "found", stroke: second, strokeWidth: 3 }), Plot.dot(curve, { x: "alarms", y: "found", fill: second, r: 3.5 })],
  });
  return figure(`Monitor ${monitor}: area under the curve ${area.toFixed(3)}`, `Its highest score of each run against covert acts on record: ${plural(positives, "run")} with, ${negatives} without. Ties count half.`, chart,
    table("", ["From score", number("Found"), number("False alarms")], curve.map((p) => [Number.isFinite(p.threshold) ? p.threshold.toFixed(2) : "none", percent(p.found), percent(p.alarms)])));
}

export function cueCells(report: Report, agent: string): CueCell[] {
  const groups = new Map<string, Run[]>();
  for (const run of report.runs) {
    if (run.agent !== agent || !run.looks) continue;
    const key = conditionText(run.condition);
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  const labels = new Map<string, string>();
  groups.forEach((runs) => runs.forEach((run) => Object.entries(run.looks!).forEach(([cue, look]) => {
    if (look.deliberate + look.unexplained > 0) labels.set(cue, look.label);
  })));
  const cells: CueCell[] = [];
  groups.forEach((runs, condition) => labels.forEach((label, cue) => {
    const looked = runs.filter((run) => (run.looks![cue]?.deliberate ?? 0) > 0).length;
    const unexplained = runs.filter((run) => !run.looks![cue]?.deliberate && (run.looks![cue]?.unexplained ?? 0) > 0).length;
    cells.push({ cue, label, condition, looked, runs: runs.length, share: looked / runs.length, unexplained });
  }));
  return cells;
}
