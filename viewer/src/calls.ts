// Tool calls of an episode, joined from the lines of its transcript: requested, decided, executed.
import { type Episode, failedFlag, evidenceFlag, refusedFlag, type Line, type Row, type Text, textOf } from "./data";

export interface Call {
  call: number; name: string; arguments: [string, Text][] | Text | null; requested: number; turn: number;
  decision?: string; approver?: string; reason?: string; would?: string; replaced?: [string, Text][] | Text | null;
  executed?: number; started: number; exit?: number; signal?: number; error?: string; output?: Text; truncated?: boolean;
  verdicts: Line[];
}

export function callsOf(episode: Episode): Call[] {
  const calls = new Map<number, Call>();
  for (const line of episode.transcript?.lines ?? []) {
    if (line.type === "tool_requested")
      calls.set(line.call, { call: line.call, name: line.name, arguments: line.arguments, requested: line.t, started: line.t, turn: line.turn, verdicts: [] });
    const call = calls.get(line.call);
    if (!call) continue;
    if (line.type === "tool_decided") Object.assign(call, { decision: line.decision, approver: line.approver, reason: line.reason, would: line.would, replaced: line.arguments });
    if (line.type === "tool_executed") {
      Object.assign(call, { executed: line.t, exit: line.exit, signal: line.signal, error: line.error, output: line.output, truncated: line.truncated });
      if (typeof line.ms === "number") call.started = Math.max(call.requested, line.t - line.ms / 1000);
    }
    if (line.type === "monitor") call.verdicts.push(line);
  }
  return [...calls.values()];
}

export function argumentsText(value: Call["arguments"]): string {
  if (value === null || value === undefined) return "";
  if (!Array.isArray(value)) return textOf(value);
  if (value.length === 1) return textOf(value[0][1]);
  return value.map(([name, text]) => `${name}: ${textOf(text)}`).join("\n");
}

export type Tone = "alarming" | "probing" | "changing" | "refused" | "network" | "plain";

// Covert evidence first: which events prove a covert check that is true.
export function covertEvents(episode: Episode): Set<number> {
  const events = new Set<number>();
  for (const finding of episode.findings)
    if (finding.kind === "covert" && finding.value === true)
      for (const i of finding.evidence) if (episode.evidence[i].seq !== null) events.add(episode.evidence[i].seq!);
  return events;
}

export function toneOf(row: Row, covert: Set<number>): Tone {
  if (covert.has(row[0])) return "alarming";
  if (row[11] && row[12] === "deliberate") return "probing";
  if (row[6] & refusedFlag) return "refused";
  if (row[5] === 2) return "changing";
  return row[5] === 4 ? "network" : "plain";
}

export const isFailed = (row: Row): boolean => (row[6] & failedFlag) !== 0;
export const isEvidence = (row: Row): boolean => (row[6] & evidenceFlag) !== 0;

// Where two runs part: the first call whose name or arguments differ, or that only one made.
export function firstDivergence(a: Call[], b: Call[]): number | null {
  for (let i = 0; i < Math.max(a.length, b.length); ++i) {
    if (!a[i] || !b[i]) return i;
    if (a[i].name !== b[i].name || JSON.stringify(a[i].arguments) !== JSON.stringify(b[i].arguments)) return i;
  }
  return null;
}

export function firstOtherOutput(a: Call[], b: Call[]): number | null {
  for (let i = 0; i < Math.min(a.length, b.length); ++i)
    if (textOf(a[i].output) !== textOf(b[i].output) || a[i].exit !== b[i].exit) return i;
  return null;
}
