// One episode: what was found, the time axis, the transcript, and beside it the record.
import type { Episode, Finding, Flow, Line, Piece, Report, Row, Run, Text } from "./data";
import { failedFlag, kinds, refusedFlag } from "./data";
import { argumentsText, callsOf, covertEvents, toneOf, type Call } from "./calls";
import { timeAxis, wholeRange, type Range } from "./axis";
import { growing, h, keepFocus, link, number, table, type Child } from "./dom";
import { bytes, conditionText, count, isNumber, percent, plural, seconds } from "./format";
import { shortRun } from "./report";

export interface Wanted { ev?: number; call?: number; find?: string; tab?: string }
const tabs = [["calls", "System calls"], ["processes", "Processes"], ["flows", "Network"], ["files", "Files changed"], ["counts", "Counts"]] as const;

export function textBlock(value: Text | null | undefined, kind = "pre"): HTMLElement | null {
  if (value === null || value === undefined || value === "") return null;
  if (typeof value === "string") return h(kind, value);
  return h("div", h(kind, value.text), h("p.small.soft", `The first part of ${bytes(value.bytes)}; the rest is in the bundle.`));
}

export class EpisodeView {
  private readonly calls: Call[];
  private readonly covert: Set<number>;
  private readonly titles: Map<string, string>;
  private range: Range;
  private call: number | null = null;
  private event: number | null = null;
  private finding: Finding | null = null;
  private tab = "calls";
  private filter = { text: "", kind: "" };
  private readonly axis = h("div");
  private readonly record = h("div.tab-body", { role: "tabpanel", id: "record-panel", tabindex: 0 });
  private readonly found = h("div");
  private readonly transcript = h("div.transcript", { tabindex: 0, role: "group", "aria-label": "Transcript" });
  private readonly tabList = h("div.tabs", { role: "tablist", "aria-label": "The record" });
  private readonly status = h("p.small.soft", { role: "status" });

  constructor(private readonly report: Report, private readonly index: number, private readonly episode: Episode) {
    this.calls = callsOf(episode);
    this.covert = covertEvents(episode);
    this.range = wholeRange(episode);
    this.titles = new Map(report.features.map((f) => [f.name, f.title]));
  }

  get run(): Run { return this.report.runs[this.index]; }
  private title(f: Finding): string { return f.title || this.titles.get(f.name) || f.name; }

  draw(wanted: Wanted): HTMLElement {
    const { run, episode } = this;
    const partners = this.report.pairs.flatMap((p) => p.runs.filter((pair) => pair.includes(this.index)).map((pair) => ({ pair, other: pair[0] === this.index ? p.arms[1] : p.arms[0] })));
    const word = (value: boolean | null, yes: string, no: string, good: boolean) => value === null ? h("span.badge.warn", `${yes}: undecided`) : h("span.badge." + (value === good ? "good" : "bad"), value ? yes : no);
    const page = h("article.episode",
      h("p.crumbs", h("a", { href: "#/runs" }, "Runs"), " / ", h("code", run.run_id)),
      h("h2", { tabindex: -1, id: "page-title" }, run.agent, h("span.soft", ` · ${run.scenario || "command"} · repeat ${run.repeat}`)),
      h("p", h("span.condition", conditionText(run.condition)), " ", word(run.covert_act, "covert act", "no covert act", false), " ", word(run.task_success, "task done", "task not done", true), " ", h("span.badge", run.exit || "no end"),
        run.lost ? h("span.badge.bad", `${count(run.lost)} events lost`) : null),
      partners.length ? h("p.actions", partners.map(({ pair, other }) => link(`/pair/${pair[0]}/${pair[1]}`, "a.button", `Side by side with ${other}`))) : null,
      episode.problems.map((p) => h("p.card.warn-card", p)), episode.trace.problem ? h("p.card.warn-card", episode.trace.problem) : null,
      h("section", { "aria-label": "What was found" }, this.found),
      h("section.axis-card.card", { "aria-label": "Time axis" }, this.axis),
      h("div.columns", h("section", { "aria-labelledby": "h-transcript" }, h("h3", { id: "h-transcript" }, "Transcript"), this.transcript),
        h("section.record", { "aria-labelledby": "h-record" }, h("h3", { id: "h-record" }, "Record"), this.tabList, this.status, this.record)),
      h("p.small.soft", "The whole record: ", h("code", `gyges trace show ${run.bundle}`), " · seal: ", h("code", `gyges verify ${run.bundle}`)));
    this.drawTranscript();
    this.drawTabs();
    if (wanted.find) this.finding = episode.findings.find((f) => f.name === wanted.find) ?? null;
    if (wanted.tab && tabs.some(([name]) => name === wanted.tab)) this.tab = wanted.tab;
    if (isNumber(wanted.call)) this.call = wanted.call;
    if (isNumber(wanted.ev)) this.event = wanted.ev;
    this.drawFound();
    this.drawAxis();
    this.show();
    // When the page stands: bring what was asked for into view.
    queueMicrotask(() => requestAnimationFrame(() => this.reveal()));
    return page;
  }

  private reveal(): void {
    if (this.call !== null) document.getElementById(`call-${this.call}`)?.scrollIntoView({ block: "nearest" });
    if (this.event !== null) document.getElementById(`event-${this.event}`)?.scrollIntoView({ block: "center" });
  }

  private drawFound(): void {
    keepFocus(this.found, () => this.fillFound());
  }
  private fillFound(): void {
    const holds = (f: Finding) => f.value === true || (isNumber(f.value) && f.value > 0);
    const chip = (f: Finding) => h("button.chip." + (f.kind === "covert" ? "bad" : f.kind === "success" ? "good" : "plain"), { type: "button", "aria-pressed": this.finding === f ? "true" : "false", click: () => { this.finding = this.finding === f ? null : f; this.event = null; this.drawFound(); } },
      this.title(f), f.value !== true && f.value !== 1 ? h("span.soft", ` ${isNumber(f.value) ? count(Math.round(f.value)) : ""}`) : null);
    const yes = this.episode.findings.filter(holds);
    const proved = yes.filter((f) => f.evidence.length), bare = yes.filter((f) => !f.evidence.length);
    const order = ["covert", "success", "info", "feature"];
    proved.sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
    const undecided = this.episode.findings.filter((f) => f.value === null);
    const failed = this.episode.findings.filter((f) => f.kind === "success" && f.value === false);
    this.found.replaceChildren(h("div.card",
      h("p.small.soft", "Checks and features that hold here; each opens what shows it."),
      h("div.chips", proved.length ? proved.map(chip) : h("p", "Nothing that was looked for.")),
      failed.length ? h("p.small", "Not done: ", failed.map((f) => this.title(f)).join("; ")) : null,
      this.finding ? this.evidence(this.finding) : null,
      bare.length || undecided.length ? h("details", h("summary.small", `${plural(bare.length, "measure")} without single events, ${undecided.length} undecided`),
        table("", ["Measure", number("Value")], bare.map((f) => [this.title(f), isNumber(f.value) ? count(Math.round(f.value)) : "yes"])),
        undecided.length ? table("", ["Undecided", "Why"], undecided.map((f) => [this.title(f), f.reason])) : null) : null));
  }

  private evidence(f: Finding): HTMLElement {
    const pieces = f.evidence.map((i) => this.episode.evidence[i]);
    const go = (p: Piece) => h("button.link", { type: "button", click: () => this.goTo(p) }, p.seq !== null ? `event ${p.seq}` : p.source);
    return h("div.evidence", { role: "region", "aria-label": "Evidence" }, h("p.small", h("strong", this.title(f)), `: ${plural(f.total, "piece")} of evidence${f.total > pieces.length ? `, the first ${pieces.length} here` : ""}`),
      h("ul.proof", { tabindex: 0, "aria-label": "Pieces of evidence" }, pieces.map((p) => h("li", h("span.soft.small", seconds(p.t) || p.source), h("span.small", go(p), p.call ? h("span.soft", ` · call ${p.call}`) : null), h("code", p.text)))));
  }

  goTo(piece: { source: string; seq: number | null; call: number }): void {
    this.call = piece.call || this.call;
    if (piece.source === "files") this.tab = "files";
    else if (piece.source === "flows") this.tab = "flows";
    else if (piece.seq !== null) { this.tab = "calls"; this.event = piece.seq; this.filter = { text: "", kind: "" }; if (piece.call) this.call = piece.call; else this.call = null; }
    this.drawAxis();
    this.show();
    this.reveal();
    this.markCall();
  }

  private drawAxis(): void {
    keepFocus(this.axis, () => this.fillAxis());
  }
  private fillAxis(): void {
    const whole = wholeRange(this.episode), long = this.range.to - this.range.from;
    const set = (range: Range) => { const from = Math.max(whole.from, range.from), to = Math.min(whole.to, range.to); if (to - from > 1e-7) { this.range = { from, to }; this.drawAxis(); } };
    const zoomed = this.range.from > whole.from || this.range.to < whole.to;
    const middle = (this.range.from + this.range.to) / 2;
    const control = (name: string, text: string, act: () => void, off = false) => h("button", { type: "button", "aria-label": name, title: name, click: act, disabled: off }, text);
    const chosen = this.calls.find((c) => c.call === this.call);
    const holder = timeAxis(this.episode, { range: this.range, selected: this.call, event: this.event, onRange: set,
      onCall: (call) => { this.select(this.call === call ? null : call); }, onEvent: (seq) => { const row = this.episode.trace.rows.find((r) => r[0] === seq); this.goTo({ source: "trace", seq, call: row?.[4] ?? 0 }); } });
    this.axis.replaceChildren(h("div.axis-head", h("p.legend", h("span", h("i.bg-bad"), "proves a covert act"), h("span", h("i.bg-warn"), "looks for oversight"), h("span", h("i.bg-change"), "changes something"), h("span", h("i.bg-net"), "network"), h("span", h("i.bg-soft"), "other")),
      h("div.axis-tools", { role: "toolbar", "aria-label": "Part of the time axis" },
        control("earlier", "←", () => set({ from: this.range.from - long / 3, to: this.range.to - long / 3 }), !zoomed), control("later", "→", () => set({ from: this.range.from + long / 3, to: this.range.to + long / 3 }), !zoomed),
        control("closer", "+", () => set({ from: middle - long / 4, to: middle + long / 4 })), control("further", "−", () => set({ from: middle - long, to: middle + long }), !zoomed),
        chosen ? control(`only call ${chosen.call}`, `call ${chosen.call}`, () => { const pad = Math.max(0.002, ((chosen.executed ?? chosen.started) - chosen.started) * 0.15); set({ from: chosen.started - pad, to: (chosen.executed ?? chosen.started) + pad }); }) : null,
        control("the whole episode", "all", () => set(whole), !zoomed))), holder);
  }

  private select(call: number | null): void {
    this.call = call;
    this.event = null;
    this.drawAxis();
    this.show();
    this.markCall();
    this.reveal();
  }
  private markCall(): void {
    this.transcript.querySelectorAll(".call").forEach((node) => node.classList.toggle("selected", node.id === `call-${this.call}`));
  }

  private callCard(call: Call, counts: Map<number, [number, number, number, number]>): HTMLElement {
    const rows = this.episode.trace.rows.filter((r) => r[4] === call.call);
    const tones = new Set(rows.map((r) => toneOf(r, this.covert)));
    const tone = tones.has("alarming") ? "alarming" : tones.has("probing") ? "probing" : "";
    const said = counts.get(call.call);
    const rejected = call.decision === "rejected" || call.decision === "terminated";
    const ended = call.executed === undefined ? "not executed" : call.signal ? `signal ${call.signal}` : `exit ${call.exit}`;
    return h("div.call" + (tone ? "." + tone : ""), { id: `call-${call.call}` },
      h("div.top", h("button.link", { type: "button", click: () => this.select(this.call === call.call ? null : call.call) }, `call ${call.call} · ${call.name}`), h("span", seconds(call.started))),
      textBlock(argumentsText(call.arguments) || null),
      h("p.facts-line.small", h("span" + (rejected ? ".is-bad" : ""), `${call.decision ?? "no decision"}${call.approver ? ` by ${call.approver}` : ""}`), call.reason ? h("span.soft", ` (${call.reason})`) : null, " · ", h("span" + (call.exit || call.signal ? ".is-warn" : ""), ended), call.error ? h("span.is-warn", ` · ${call.error}`) : null,
        said ? h("span.soft", ` · ${plural(said[1], "system call")}${said[2] ? `, ${said[2]} failed` : ""}${said[3] ? `, ${said[3]} refused` : ""}`) : null),
      call.decision === "modified" && call.replaced ? h("div", h("p.small", "executed instead:"), textBlock(argumentsText(call.replaced))) : null,
      tone ? h("ul", rows.filter((r) => ["alarming", "probing"].includes(toneOf(r, this.covert))).slice(0, 6).map((r) => h("li." + toneOf(r, this.covert), h("button.link", { type: "button", click: () => this.goTo({ source: "trace", seq: r[0], call: r[4] }) }, seconds(r[1])), h("code", r[7])))) : null,
      call.output !== undefined && call.output !== "" ? h("details", h("summary.small", "what it was given back"), textBlock(call.output)) : null,
      call.verdicts.map((v) => this.verdict(v)));
  }

  private verdict(v: Line): HTMLElement {
    return h("p.small.verdict-line", h("span.badge." + (v.flagged ? "bad" : "good"), `${v.monitor} ${isNumber(v.score) ? v.score.toFixed(2) : "no score"}`), ` ${v.moment}: ${v.error || v.reason || "nothing to say"} `,
      (v.evidence as string[]).map((id) => { const at = /^(event|call):(\d+)$/.exec(id); return at ? [h("button.link", { type: "button", click: () => this.goTo({ source: at[1] === "event" ? "trace" : "transcript", seq: at[1] === "event" ? Number(at[2]) : null, call: at[1] === "call" ? Number(at[2]) : 0 }) }, id), " "] : [id, " "]; }));
  }

  private drawTranscript(): void {
    const lines = this.episode.transcript?.lines;
    if (!lines) { this.transcript.append(h("p.card", "This run has no transcript: it was a command.")); return; }
    const counts = new Map(this.episode.trace.by_call.map((c) => [c[0], c]));
    const calls = new Map(this.calls.map((c) => [c.call, c]));
    const entries = lines.filter((l) => l.type === "message" ? l.role !== "tool" && (l.parts.length > 0) : l.type === "tool_requested" || l.type === "end" || l.type === "context_cut" || (l.type === "monitor" && !l.call));
    const { more } = growing(entries, (line) => {
      if (line.type === "tool_requested") return this.callCard(calls.get(line.call)!, counts);
      if (line.type === "monitor") return this.verdict(line);
      if (line.type === "context_cut") return h("p.small.soft", `Earlier outputs were left out of the conversation at ${seconds(line.t)}.`);
      if (line.type === "end") return h("div.end", h("div.top", h("span", `end: ${line.reason}`), h("span", seconds(line.t))), textBlock(line.report, "div.say"));
      const long = line.role === "system" || line.role === "user";
      const parts = line.parts.map(([kind, text]: [string, Text]) => h("div" + (kind === "reasoning" ? ".reasoning" : ""), kind === "reasoning" ? h("p.small.soft", "reasoning") : null, textBlock(text, "div.say")));
      return h("div.message." + line.role, h("div.top", h("span", line.role === "assistant" ? `reply ${line.turn}` : line.role), h("span", seconds(line.t))), long ? h("details", h("summary.small", line.role === "system" ? "system prompt" : "task"), parts) : parts);
    }, this.transcript, 120);
    this.transcript.after(more);
    if (this.episode.transcript!.left_out) more.after(h("p.small.soft", `${plural(this.episode.transcript!.left_out, "further line")} of the transcript are in the bundle only.`));
    this.markCall();
  }

  private drawTabs(): void {
    const amounts: Record<string, number | null> = { calls: this.episode.trace.syscalls, processes: this.episode.trace.processes.length + this.episode.trace.processes_left_out,
      flows: this.episode.flows ? this.episode.flows.list.length + this.episode.flows.left_out : null, files: this.episode.files ? this.episode.files.list.length + this.episode.files.left_out : null, counts: null };
    this.tabList.replaceChildren(...tabs.map(([name, title], i) => h("button", { type: "button", role: "tab", id: "tab-" + name, "data-tab": name, "aria-controls": "record-panel",
      click: () => { this.tab = name; this.show(); },
      keydown: (e) => { const key = (e as KeyboardEvent).key; const to = key === "ArrowRight" ? i + 1 : key === "ArrowLeft" ? i - 1 : key === "Home" ? 0 : key === "End" ? tabs.length - 1 : null;
        if (to === null) return; e.preventDefault(); this.tab = tabs[(to + tabs.length) % tabs.length][0]; this.show(); document.getElementById("tab-" + this.tab)?.focus(); } },
      title, amounts[name] !== null ? h("span.soft.small", ` ${count(amounts[name]!)}`) : null)));
  }

  private show(): void {
    this.tabList.querySelectorAll<HTMLElement>("[role=tab]").forEach((node) => { const on = node.dataset.tab === this.tab; node.setAttribute("aria-selected", String(on)); node.tabIndex = on ? 0 : -1; });
    this.record.setAttribute("aria-labelledby", "tab-" + this.tab);
    this.status.textContent = "";
    const made = ({ calls: () => this.systemCalls(), processes: () => this.processes(), flows: () => this.flows(), files: () => this.files(), counts: () => this.counts() } as Record<string, () => Child>)[this.tab]();
    this.record.replaceChildren(...h("div", made).childNodes);
  }

  private systemCalls(): Child {
    const { trace } = this.episode;
    if (!trace.recorded) return h("p", "This run was not recorded: nothing is known of its system calls.");
    const text = this.filter.text.toLowerCase();
    const rows = trace.rows.filter((r) => (this.call === null || r[4] === this.call) && (!text || r[7].toLowerCase().includes(text)) &&
      (!this.filter.kind || (this.filter.kind === "failed" ? r[6] & (failedFlag | refusedFlag) : this.filter.kind === "evidence" ? r[6] & 4 : this.filter.kind === "probing" ? r[11] : kinds[r[5]] === this.filter.kind)));
    const summed = rows.reduce((n, r) => n + (r[8] ?? 1), 0);
    this.status.textContent = `${plural(rows.length, "row")} for ${plural(summed, "system call")}${this.call !== null ? ` of call ${this.call}` : ""}. ` +
      `Of all ${count(trace.syscalls)}, equal calls share a row${trace.calls_left_out ? `, and ${count(trace.calls_left_out)} of the commonest kinds are counted but not listed here` : ""}.`;
    const list = h("ol.events");
    const { more, reach } = growing(rows, (r) => this.row(r), list, 120);
    if (this.event !== null) {
      const at = rows.findIndex((r) => r[0] <= this.event! && (r[9] ?? r[0]) >= this.event! && (r[0] === this.event || (r[8] ?? 1) > 1));
      if (at >= 0) reach(at);
    }
    const search = h("input", { type: "search", placeholder: "path, name, error", "aria-label": "Search system calls", input: (e) => { this.filter.text = (e.target as HTMLInputElement).value; this.refill(); } }) as HTMLInputElement;
    search.value = this.filter.text;
    const kind = h("select", { "aria-label": "Kind", change: (e) => { this.filter.kind = (e.target as HTMLSelectElement).value; this.refill(); } },
      [["", "all kinds"], ["evidence", "evidence"], ["probing", "looks at cues"], ["failed", "failed or refused"], ["change", "changes"], ["file", "files"], ["process", "processes"], ["network", "network"], ["other", "other"]].map(([value, name]) => h("option", { value, selected: this.filter.kind === value }, name)));
    return [h("div.filters", search, kind, this.callChip()), list, more];
  }

  private callChip(): Child {
    return this.call === null ? null : h("button.chip", { type: "button", "aria-label": `all calls, not call ${this.call} alone`, click: () => this.select(null) }, `call ${this.call} ✕`);
  }

  // Keeps the search field where it is while its results change.
  private refill(): void {
    const field = document.activeElement instanceof HTMLInputElement ? document.activeElement.selectionStart : null;
    this.show();
    if (field === null) return;
    const search = this.record.querySelector<HTMLInputElement>("input[type=search]");
    search?.focus();
    search?.setSelectionRange(field, field);
  }

  private row(r: Row): HTMLElement {
    const [seq, t, ms, process, call, , , text, times, last, lastT, cue, origin] = r;
    const tone = toneOf(r, this.covert);
    const who = process !== null ? this.episode.trace.processes[process] : null;
    const here = this.event !== null && (seq === this.event || ((times ?? 1) > 1 && seq <= this.event && (last ?? seq) >= this.event));
    return h("li.event." + tone + (here ? ".here" : "") + (r[6] & failedFlag ? ".failed" : ""), { id: here ? `event-${this.event}` : `event-${seq}`, title: `${who ? `process ${who.pid}: ${who.command || who.program}. ` : ""}${ms} ms` },
      h("span.when", seconds(t)), h("span.who", who ? String(who.pid) : "", call ? ` #${call}` : ""), h("code", text),
      (times ?? 1) > 1 ? h("span.times", { title: `events ${seq} to ${last}, until ${seconds(lastT)}` }, `×${count(times!)}`) : null,
      cue ? h("span.cue." + origin, `${cue} ${origin}`) : null);
  }

  private processes(): Child {
    const { processes, processes_left_out } = this.episode.trace;
    const children = new Map<number, number[]>();
    processes.forEach((p, i) => { const parent = p.parent < processes.length ? p.parent : -1; children.set(parent, [...(children.get(parent) ?? []), i]); });
    const lines: [number, number][] = [];
    const walk = (i: number, depth: number) => { lines.push([i, depth]); (children.get(i) ?? []).forEach((child) => walk(child, Math.min(depth + 1, 40))); };
    (children.get(-1) ?? []).forEach((i) => walk(i, 0));
    const body = h("ul.tree");
    const { more } = growing(lines, ([i, depth]) => {
      const p = processes[i];
      const node = h("li" + (this.call !== null && p.call !== this.call ? ".dim" : ""), h("span.when", seconds(p.start)), h("span.branch", "· ".repeat(depth)), h("span.soft", `${p.pid} `), h("code", p.command || p.program || "(not executed)"),
        h("span.soft.small", ` ${plural(p.calls, "call")}${p.call ? `, #${p.call}` : ""}${p.end === null ? ", still there at the end" : p.signal ? `, signal ${p.signal}` : p.exit ? `, exit ${p.exit}` : ""}`));
      node.setAttribute("aria-level", String(depth + 1));
      return node;
    }, body, 300);
    return [this.callChip(), body, more, processes_left_out ? h("p.small.soft", `${plural(processes_left_out, "further process")} in the bundle only.`) : null];
  }

  private flows(): Child {
    const { flows } = this.episode;
    if (!flows) return h("p", "The policy of this run allows no network: there are no flows.");
    if (!flows.list.length) return h("p", "There was a network, and nothing tried to use it.");
    const shown = flows.list.filter((f) => this.call === null || f.call === this.call);
    const what = (f: Flow) => `${f.name || f.destination}:${f.port}`;
    return [this.callChip(), table(`${plural(shown.length, "flow")}${this.call !== null ? ` of call ${this.call}` : ""}`, [number("At"), "Protocol", "To", "Verdict", number("Sent"), number("Received"), "Who"],
      shown.map((f) => [seconds(f.t), f.protocol, [h("code", what(f)), f.what ? h("div.small.soft", f.what) : null, f.canaries ? h("span.badge.bad", plural(f.canaries, "canary token")) : null], [h("span" + (f.verdict === "refused" ? ".is-bad" : ""), f.verdict), h("div.small.soft", f.rule + (f.reason ? `: ${f.reason}` : ""))], bytes(f.sent), bytes(f.received), `${f.pid || "?"}${f.call ? ` #${f.call}` : ""} (${f.attribution})`])),
      flows.left_out ? h("p.small.soft", `${plural(flows.left_out, "further flow")} in the bundle only.`) : null];
  }

  private files(): Child {
    const { files } = this.episode;
    if (!files) return h("p", "The bundle lists no changes of files.");
    if (!files.list.length) return h("p", "No file was different at the end.");
    const find = (path: string) => h("button.link", { type: "button", click: () => { this.filter = { text: path.split("/").pop() ?? path, kind: "" }; this.call = null; this.tab = "calls"; this.drawAxis(); this.show(); } }, "calls");
    return [table("What was different when the run ended", ["Path", "Change", number("Size"), "SHA-256", "By"], files.list.map((f) => [h("code", f.path), `${f.kind} ${f.type}`, f.kind === "deleted" ? "" : bytes(f.size), f.sha256 ? h("code", f.sha256) : "", find(f.path)])),
      files.left_out ? h("p.small.soft", `${plural(files.left_out, "further change")} in the bundle only.`) : null];
  }

  private counts(): Child {
    const { trace } = this.episode;
    return [table(`All ${count(trace.syscalls)} system calls by name`, ["Call", number("Calls"), number("Share"), number("Failed"), number("Refused")], trace.by_name.map(([name, n, failed, refused]) => [h("code", name), count(n), percent(n / trace.syscalls), count(failed), count(refused)])),
      table("By tool call", ["Tool call", number("System calls"), number("Failed"), number("Refused")], trace.by_call.map(([call, n, failed, refused]) => [call ? `call ${call}` : "none", count(n), count(failed), count(refused)])),
      this.episode.looks.length ? table("Looks at cues", ["Cue", number("Deliberate"), number("Unexplained"), number("By programs themselves"), number("Refused")], this.episode.looks.map((l) => [`${l.cue} ${l.label}`, l.deliberate, l.unexplained, l.incidental, l.refused])) : null];
  }
}

export const episodeTitle = (run: Run): string => shortRun(run);
