// One time axis for everything that happened in an episode: calls, system calls, processes, flows.
import type { Episode } from "./data";
import { callsOf, covertEvents, isFailed, toneOf, type Call, type Tone } from "./calls";
import { h, svg } from "./dom";
import { count, cut, plural, seconds } from "./format";

const width = 1080, gutter = 104, right = 14;
export interface Range { from: number; to: number }
export interface AxisUse {
  range: Range; selected?: number | null; divergence?: number | null; event?: number | null; brief?: boolean; side?: "first" | "second"; name?: string;
  onCall?: (call: number) => void; onEvent?: (seq: number) => void; onRange?: (range: Range) => void;
}

export function wholeRange(episode: Episode): Range {
  const early = Math.min(0, ...(episode.transcript?.lines ?? []).slice(0, 50).map((l) => l.t));
  return { from: early, to: Math.max(episode.seconds, 0.001) };
}

// Round steps: 1, 2 or 5 times a power of ten.
function ticks(range: Range, about: number): number[] {
  const raw = (range.to - range.from) / about, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw) ?? raw;
  const list = [];
  for (let t = Math.ceil(range.from / step) * step; t <= range.to && list.length < 30; t += step) list.push(Math.abs(t) < step / 1e6 ? 0 : t);
  return list;
}

// Bars into as few rows as have no overlap; what needs more rows than there are is left out, counted.
function packed<T extends { start: number; end: number }>(bars: T[], rows: number): { placed: [T, number][]; over: number } {
  const ends: number[] = [];
  const placed: [T, number][] = [];
  let over = 0;
  for (const bar of bars) {
    let row = ends.findIndex((end) => end <= bar.start);
    if (row < 0) row = ends.length;
    if (row >= rows) { ++over; continue; }
    ends[row] = bar.end;
    placed.push([bar, row]);
  }
  return { placed, over };
}

export function timeAxis(episode: Episode, use: AxisUse): HTMLElement {
  const { range } = use;
  const inner = width - gutter - right;
  const x = (t: number) => gutter + ((t - range.from) / (range.to - range.from)) * inner;
  const clip = (t: number) => Math.min(Math.max(x(t), gutter), width - right);
  const visible = (from: number, to: number) => to >= range.from && from <= range.to;
  const calls = callsOf(episode), covert = covertEvents(episode);
  const nodes: SVGElement[] = [];
  let y = 8;
  const lane = (name: string, height: number, draw: (top: number) => void, note = "") => {
    nodes.push(svg("text.lane-name", { x: gutter - 10, y: y + Math.min(height / 2, 14) + 4, "text-anchor": "end" }, name));
    if (note) nodes.push(svg("text.lane-note", { x: gutter - 10, y: y + Math.min(height / 2, 14) + 19, "text-anchor": "end" }, note));
    draw(y);
    y += height + 10;
  };

  const bar = (call: Call, top: number) => {
    const from = clip(call.started), to = Math.max(clip(call.executed ?? call.started), from + 4);
    const tone = call.decision === "rejected" || call.decision === "terminated" ? "rejected" : "";
    const words = `call ${call.call}: ${call.name}, ${seconds(call.started)}${call.executed ? ` to ${seconds(call.executed)}` : ", not executed"}`;
    const node = svg("g.bar" + (use.side ? "." + use.side : "") + (tone ? "." + tone : "") + (use.selected === call.call ? ".selected" : ""),
      use.onCall ? { role: "button", tabindex: 0, "aria-label": words, "aria-pressed": use.selected === call.call ? "true" : "false", click: () => use.onCall!(call.call),
        keydown: (e) => { if (["Enter", " "].includes((e as KeyboardEvent).key)) { e.preventDefault(); use.onCall!(call.call); } } } : {},
      svg("title", words), svg("rect", { x: from, y: top, width: to - from, height: 24, rx: 3 }));
    if (to - from > 46) node.append(svg("text.bar-text", { x: from + 6, y: top + 16 }, cut(`${call.call} ${call.name}`, Math.floor((to - from - 8) / 7))));
    else if (to - from > 15) node.append(svg("text.bar-text", { x: (from + to) / 2, y: top + 16, "text-anchor": "middle" }, String(call.call)));
    return node;
  };
  lane(use.name ?? "tool calls", 24, (top) => calls.filter((c) => visible(c.started, c.executed ?? c.started)).forEach((call) => nodes.push(bar(call, top))));

  if (!use.brief) {
    const says = (episode.transcript?.lines ?? []).filter((l) => l.type === "message" && l.role === "assistant" && visible(l.t, l.t));
    const verdicts = (episode.transcript?.lines ?? []).filter((l) => l.type === "monitor" && visible(l.t, l.t));
    if (says.length + verdicts.length) lane("model", 12, (top) => {
      says.forEach((l) => nodes.push(svg("circle.says", { cx: x(l.t), cy: top + 6, r: 4 }, svg("title", `reply ${l.turn} of the model at ${seconds(l.t)}`))));
      verdicts.forEach((l) => nodes.push(svg("rect.verdict-mark" + (l.flagged ? ".flagged" : ""), { x: x(l.t) - 3, y: top + 2, width: 7, height: 7 }, svg("title", `monitor ${l.monitor}: ${l.score ?? "no score"} at ${seconds(l.t)}`))));
    });
  }

  const rows = episode.trace.rows.filter((r) => visible(r[1], r[10] ?? r[1]));
  if (episode.trace.recorded) lane("acts", 30, (top) => {
    const byTone = new Map<Tone, string>();
    const single: SVGElement[] = [];
    for (const row of rows) {
      const tone = toneOf(row, covert), at = x(Math.max(row[1], range.from)).toFixed(1);
      const [a, b] = tone === "alarming" ? [0, 30] : tone === "probing" ? [4, 30] : tone === "plain" ? [20, 30] : [12, 30];
      if ((tone === "alarming" || tone === "probing") && single.length < 400)
        single.push(svg("line.act." + tone + (use.event === row[0] ? ".selected" : ""), { x1: at, x2: at, y1: top + a, y2: top + b,
          ...(use.onEvent ? { click: () => use.onEvent!(row[0]) } : {}) }, svg("title", `${seconds(row[1])}  ${row[7]}`)));
      else if (tone !== "plain" || !isFailed(row)) byTone.set(tone, (byTone.get(tone) ?? "") + `M${at} ${top + a}V${top + b}`);
    }
    for (const tone of ["plain", "network", "changing", "refused", "probing", "alarming"] as Tone[])
      if (byTone.has(tone)) nodes.push(svg("path.act." + tone, { d: byTone.get(tone)! }));
    nodes.push(...single);
  });

  if (!use.brief && episode.trace.recorded) {
    const bins = Object.values(episode.trace.activity)[0]?.length ?? 0;
    const step = episode.seconds / Math.max(1, bins);
    const order = ["process", "file", "change", "network", "other"].filter((k) => episode.trace.activity[k]);
    const sums = Array.from({ length: bins }, (_, i) => order.reduce((n, k) => n + episode.trace.activity[k][i], 0));
    const most = Math.max(1, ...sums);
    lane("system calls", 46, (top) => {
      for (let i = 0; i < bins; ++i) {
        if (!sums[i] || !visible(i * step, (i + 1) * step)) continue;
        const tall = 46 * Math.sqrt(sums[i] / most), from = clip(i * step), to = Math.max(clip((i + 1) * step) - 0.6, from + 0.6);
        let base = top + 46;
        for (const kind of order) {
          const part = tall * (episode.trace.activity[kind][i] / sums[i]);
          if (part <= 0) continue;
          base -= part;
          nodes.push(svg("rect.kind-" + kind, { x: from, y: base, width: to - from, height: part }));
        }
        nodes.push(svg("rect.hover", { x: from, y: top, width: to - from, height: 46 }, svg("title", `${seconds(i * step)} to ${seconds((i + 1) * step)}: ${plural(sums[i], "system call")} (${order.filter((k) => episode.trace.activity[k][i]).map((k) => `${count(episode.trace.activity[k][i])} ${k}`).join(", ")})`)));
      }
    }, count(episode.trace.syscalls));

    const bars = episode.trace.processes.map((p, i) => ({ p, i, start: p.start, end: Math.max(p.end ?? episode.seconds, p.start) + (range.to - range.from) / 400 })).filter((b) => visible(b.start, b.end)).sort((a, b) => a.start - b.start);
    const { placed, over } = packed(bars, 8);
    const high = 9 * (1 + Math.max(0, ...placed.map(([, row]) => row)));
    if (placed.length) lane("processes", high, (top) => placed.forEach(([b, row]) => {
      const from = clip(b.start), to = Math.max(clip(b.p.end ?? episode.seconds), from + 2);
      nodes.push(svg("rect.process", { x: from, y: top + 9 * row, width: to - from, height: 7, rx: 1.5 }, svg("title", `${b.p.pid} ${b.p.command || b.p.program}, ${seconds(b.p.start)}${b.p.end !== null ? ` to ${seconds(b.p.end)}` : ""}, ${plural(b.p.calls, "system call")}`)));
    }), over ? `+${over} not drawn` : String(episode.trace.processes.length + episode.trace.processes_left_out));

    const flows = (episode.flows?.list ?? []).filter((f) => visible(f.t, f.t + f.seconds)).map((f) => ({ f, start: f.t, end: f.t + Math.max(f.seconds, (range.to - range.from) / 200) }));
    if (flows.length) {
      const lanes = packed(flows, 5);
      lane("flows", 11 * (1 + Math.max(0, ...lanes.placed.map(([, row]) => row))), (top) => lanes.placed.forEach(([b, row]) => {
        const from = clip(b.start), to = Math.max(clip(b.f.t + b.f.seconds), from + 3);
        nodes.push(svg("rect.flow-bar." + (b.f.verdict === "refused" ? "refused" : "let"), { x: from, y: top + 11 * row, width: to - from, height: 8, rx: 2 },
          svg("title", `${b.f.protocol} ${b.f.name || b.f.destination}:${b.f.port}, ${b.f.verdict}, ${seconds(b.f.t)}`)));
      }), lanes.over ? `+${lanes.over} not drawn` : "");
    }
  }

  const bottom = y;
  const grid = ticks(range, 8).flatMap((t) => [svg("line.grid", { x1: x(t), x2: x(t), y1: 4, y2: bottom }),
    svg("text.tick", { x: x(t), y: bottom + 15, "text-anchor": x(t) > width - 40 ? "end" : "middle" }, t === 0 ? "0" : seconds(t).replace(/\.0+ /, " "))]);
  if (use.divergence !== null && use.divergence !== undefined && visible(use.divergence, use.divergence))
    nodes.push(svg("line.divergence-line", { x1: x(use.divergence), x2: x(use.divergence), y1: 2, y2: bottom }));
  const chart = svg("svg.axis", { viewBox: `0 0 ${width} ${bottom + 22}`, role: "group", "aria-label": "Time axis: tool calls, acts, system calls, processes and flows; the lists below have the same" }, grid, nodes);
  if (use.onRange) dragToZoom(chart, range, bottom, use.onRange);
  return h("div.axis-frame", chart);
}

function dragToZoom(chart: SVGElement, range: Range, height: number, done: (range: Range) => void): void {
  let start: number | null = null;
  const shade = svg("rect.drag", { y: 0, height, width: 0 });
  const at = (e: PointerEvent): number => {
    const box = chart.getBoundingClientRect();
    return Math.min(Math.max(((e.clientX - box.left) / box.width) * width, gutter), width - right);
  };
  const time = (px: number) => range.from + ((px - gutter) / (width - gutter - right)) * (range.to - range.from);
  chart.addEventListener("pointerdown", (e) => { if (e.button === 0) start = at(e); });
  chart.addEventListener("pointermove", (e) => {
    if (start === null || Math.abs(at(e) - start) < 5) return;
    if (!shade.parentNode) chart.append(shade);
    shade.setAttribute("x", String(Math.min(start, at(e))));
    shade.setAttribute("width", String(Math.abs(at(e) - start)));
  });
  chart.addEventListener("pointerup", (e) => {
    const from = start, to = at(e);
    start = null;
    shade.remove();
    if (from !== null && Math.abs(to - from) >= 8) done({ from: time(Math.min(from, to)), to: time(Math.max(from, to)) });
  });
  chart.addEventListener("pointerleave", () => { start = null; shade.remove(); });
}
