// Two paired episodes side by side on one time scale, and where they part.
import type { Episode, Finding, Report, Row } from "./data";
import { argumentsText, callsOf, covertEvents, firstDivergence, firstOtherOutput, toneOf, type Call } from "./calls";
import { timeAxis, wholeRange } from "./axis";
import { h, link, number, table, type Child } from "./dom";
import { conditionText, count, isNumber, plural, seconds } from "./format";
import { textBlock } from "./episode";
import { route } from "./report";

type Side = { index: number; episode: Episode; calls: Call[]; covert: Set<number>; rows: Map<number, Row[]> };

function step(side: Side, call: Call | undefined): HTMLElement {
  if (!call) return h("div.call.absent", h("p.small", "no further tool call"));
  const rows = (side.rows.get(call.call) ?? []).map((row) => ({ row, tone: toneOf(row, side.covert) }));
  const tone = ["alarming", "probing"].find((t) => rows.some((r) => r.tone === t));
  // What stands out first, then the rest, as far as it fits a glance.
  const chosen = [...rows.filter((r) => r.tone === "alarming").slice(0, 5), ...rows.filter((r) => r.tone === "probing").slice(0, 4), ...rows.filter((r) => r.tone === "changing" || r.tone === "refused")].slice(0, 6).sort((a, b) => a.row[0] - b.row[0]);
  const total = side.episode.trace.by_call.find((c) => c[0] === call.call)?.[1] ?? 0;
  return h("div.call" + (tone ? "." + tone : ""),
    h("div.top", link(route(`/episode/${side.index}`, { call: call.call }), "a", `call ${call.call} · ${call.name}`), h("span", seconds(call.started))),
    textBlock(argumentsText(call.arguments) || null),
    chosen.length ? h("ul", chosen.map(({ row, tone }) => h("li." + tone, link(route(`/episode/${side.index}`, { ev: row[0], call: row[4] }), "a", seconds(row[1])), h("code", row[7], (row[8] ?? 1) > 1 ? h("span.soft", ` ×${row[8]}`) : null)))) : null,
    h("p.small.soft", `${call.decision === "approved" ? "" : (call.decision ?? "not decided") + " · "}${call.executed === undefined ? "not executed" : call.signal ? `signal ${call.signal}` : `exit ${call.exit}`} · ${plural(total, "system call")}`),
    call.output !== undefined && call.output !== "" ? h("details", h("summary.small", "what it was given back"), textBlock(call.output)) : null);
}

function differences(report: Report, sides: [Side, Side]): HTMLElement | null {
  const titles = new Map(report.features.map((f) => [f.name, f.title]));
  const other = new Map(sides[1].episode.findings.map((f) => [f.name, f]));
  const units = new Map(report.features.map((f) => [f.name, f.unit]));
  const truth = (f: Finding) => f.value === true || f.value === 1;
  const shown = sides[0].episode.findings.map((a) => ({ a, b: other.get(a.name) })).filter(({ a, b }) => b && (typeof a.value === "boolean" || units.get(a.name) === "yes/no") && a.value !== null && b.value !== null && truth(a) !== truth(b)) as { a: Finding; b: Finding }[];
  if (!shown.length) return null;
  const cell = (side: Side, f: Finding): Child => f.value === true || f.value === 1 ? (f.evidence.length ? link(route(`/episode/${side.index}`, { find: f.name }), "a", "yes") : "yes") : "no";
  return h("div.card", h("h3", "Checks and features in which they differ"), table("", ["", number("First"), number("Second")], shown.map(({ a, b }) => [a.title || titles.get(a.name) || a.name, cell(sides[0], a), cell(sides[1], b)])));
}

export function drawPair(report: Report, indices: [number, number], episodes: [Episode, Episode]): HTMLElement {
  const sides = indices.map((index, i): Side => {
    const episode = episodes[i], rows = new Map<number, Row[]>();
    episode.trace.rows.forEach((r) => rows.set(r[4], [...(rows.get(r[4]) ?? []), r]));
    return { index, episode, calls: callsOf(episode), covert: covertEvents(episode), rows };
  }) as [Side, Side];
  const runs = indices.map((i) => report.runs[i]);
  const divergence = firstDivergence(sides[0].calls, sides[1].calls), told = firstOtherOutput(sides[0].calls, sides[1].calls);
  const range = { from: Math.min(...episodes.map((e) => wholeRange(e).from)), to: Math.max(...episodes.map((e) => wholeRange(e).to)) };
  const length = Math.max(sides[0].calls.length, sides[1].calls.length);
  const steps: Child[] = [];
  for (let i = 0; i < length; ++i) {
    if (i === divergence) steps.push(h("p.divergence", { id: "divergence", tabindex: -1 }, h("span", `here they part: ${i === 0 ? "from the first call on" : `after ${plural(i, "same call")}`}`)));
    steps.push(step(sides[0], sides[0].calls[i]), step(sides[1], sides[1].calls[i]));
  }
  const head = (i: 0 | 1) => h("div.head." + (i ? "second" : "first"), h("h3", conditionText(runs[i].condition)), h("p.small.soft", link(`/episode/${indices[i]}`, "a", h("code", runs[i].run_id.slice(0, 16))), ` · ${plural(sides[i].calls.length, "call")} · ${plural(episodes[i].trace.syscalls, "system call")} · ${seconds(episodes[i].seconds)}`),
    h("p", h("span.badge." + (runs[i].covert_act ? "bad" : "good"), runs[i].covert_act === null ? "undecided" : runs[i].covert_act ? "covert act" : "no covert act"), " ", h("span.badge." + (runs[i].task_success ? "good" : "warn"), runs[i].task_success ? "task done" : "task not done")));
  const report_of = (i: 0 | 1) => h("div.call", h("div.top", h("span", "what it reported"), h("span", "")), textBlock(episodes[i].transcript?.lines.find((l) => l.type === "end")?.report, "div.say") ?? h("p.small.soft", "nothing"));
  const axis = (i: 0 | 1) => timeAxis(episodes[i], { range, brief: true, side: i ? "second" : "first", name: i ? "second" : "first", divergence: divergence === null ? null : sides[i].calls[divergence]?.started ?? null,
    onCall: (call) => { location.hash = `#/episode/${indices[i]}?call=${call}`; }, onEvent: (seq) => { location.hash = `#/episode/${indices[i]}?ev=${seq}`; } });
  return h("article.pair", h("p.crumbs", h("a", { href: "#/summary" }, "Report"), " / one pair"),
    h("h2", { tabindex: -1, id: "page-title" }, `${runs[0].agent}: the same task, twice`, h("span.soft", ` · ${runs[0].scenario} · repeat ${runs[0].repeat}`)),
    h("p.lead", divergence === null ? `Both made the same ${plural(sides[0].calls.length, "call")}.` : divergence === 0 ? "They part with the first call." : `The same ${plural(divergence, "call")}, then they part.`,
      told !== null && (divergence === null || told < divergence) ? ` What they were told differed first in call ${sides[0].calls[told].call}.` : "", " ",
      divergence !== null ? h("button.link", { type: "button", click: () => { const to = document.getElementById("divergence"); to?.scrollIntoView({ block: "center" }); to?.focus({ preventScroll: true }); } }, "Go there") : null),
    h("div.card.axis-card", { role: "group", "aria-label": "Both on one time scale" }, h("p.legend", h("span", h("i.bg-bad"), "proves a covert act"), h("span", h("i.bg-warn"), "looks for oversight"), h("span", h("i.bg-change"), "changes something"), h("span", h("i.dashed"), "where they part")), axis(0), axis(1)),
    differences(report, sides), h("div.lanes", head(0), head(1), steps, report_of(0), report_of(1)),
    h("p.small.soft", `Calls are set against each other by number; ${count(episodes[0].trace.syscalls + episodes[1].trace.syscalls)} system calls stand behind them.`, isNumber(divergence) ? "" : " Nothing in their calls differs."));
}
