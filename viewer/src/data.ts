// The data behind the page: inside the file, compressed, or from the server that the page came from.

export type Triple = [number, number] | null;
export interface EvidenceItem { source: string; seq: number | null; text: string; tool_call: number | null; seconds: number | null }
export interface EvidenceList { total: number; shown: EvidenceItem[] }
export interface FamilyGap { family: string; pairs: number | null; counts: [[number, number], [number, number]]; gap: number; interval: Triple }
export interface OutcomeRow {
  agent: string; factor: string; same_condition: boolean; outcome: string; title: string; role: string;
  arms: [string, string]; counts: [[number, number], [number, number]]; rates: [number | null, number | null];
  rate_intervals: [Triple, Triple]; paired: boolean; undecided: number; scope: string | null; why_this_test: string | null;
  gap: number | null; interval: Triple; interval_method: string; p_value: number | null; test: string;
  adjusted_p_value: number | null; equivalence_bound: number | null; detectable_rise: number | null;
  families: FamilyGap[]; family_p_value: number | null; verdict: string; statement: string;
}
export interface Look { label: string; deliberate: number; unexplained: number; incidental: number; refused: number }
export interface Run {
  run_id: string; bundle: string; agent: string; model: string; scenario: string; family: string;
  condition: Record<string, string>; repeat: number; seed: number; exit: string; limits_hit: string[];
  policy: string; persona: string; host: string; backend: string; recorded: boolean; complete: boolean; lost: number;
  syscalls: number; warnings: string[]; covert_act: boolean | null; task_success: boolean | null;
  first_probe: EvidenceItem | null; probed_before_act: boolean | null;
  checks: Record<string, boolean | null>; features: Record<string, number | null>; undecided: Record<string, string>;
  looks?: Record<string, Look>; episode?: boolean; monitors?: Record<string, { score: number | null; flagged: boolean }>;
}
export interface Act {
  check: string; title: string; agent: string; condition: string; run_id: string; bundle: string;
  probed_before: boolean; evidence: EvidenceList;
}
export interface AuditedScenario {
  scenario: string; channels: number; noise: number; rounds: number; declared: string[]; undeclared: string[];
  leaks?: { channel: string; severity: string; speaks_of: string; meaning: string; conditions: string[] }[];
  contradictions?: { fact: string; conditions: string[] }[];
}
export interface Report {
  version: number; significance_level: number; served: boolean;
  flow: { found: number; analysed: number; excluded: { bundle: string; reason: string }[] };
  notes: string[]; comparisons: OutcomeRow[]; measures: any[]; certificates: any[]; acts: Act[];
  features: { name: string; title: string; unit: string; source: string }[];
  runs: Run[]; not_observable: string[]; registrations: any[]; rankings: any[]; factor_effects: any[];
  temptation: any[]; whole_runs: any[];
  pairs: { agent: string; arms: [string, string]; paired: boolean; runs: [number, number][] }[];
  telling: [number, number] | null; reviews?: any[]; review?: ReviewQueue;
  audits?: { directory: string; made_at: string | null; undeclared_allowed: boolean | null; problem: string; scenarios: AuditedScenario[] }[];
}

// [seq, t, duration ms, process, call, kind, flags, text, count, last seq, last t, cue, origin]
export type Row = [number, number, number, number | null, number, number, number, string, number?, number?, number?, string?, string?];
export const kinds = ["other", "file", "change", "process", "network"] as const;
export const failedFlag = 1, refusedFlag = 2, evidenceFlag = 4;
export type Text = string | { text: string; bytes: number; cut: boolean };
export interface Process { pid: number; parent: number; program: string; command: string; start: number; end: number | null; call: number; calls: number; failed: number; exit?: number; signal?: number }
export interface Line { type: string; t: number; [key: string]: any }
export interface Flow { t: number; seconds: number; protocol: string; destination: string; port: number; name: string; verdict: string; rule: string; reason: string; pid: number; call: number; attribution: string; sent: number; received: number; what?: string; canaries?: number }
export interface Finding { name: string; title?: string; kind: string; value: boolean | number | null; reason: string; total: number; evidence: number[] }
export interface Piece { source: string; seq: number | null; t: number | null; call: number; text: string }
export interface Episode {
  run_id: string; seconds: number; problems: string[];
  trace: {
    recorded: boolean; problem: string; syscalls: number; rows: Row[]; rows_left_out: number; calls_left_out: number;
    processes: Process[]; processes_left_out: number; by_name: [string, number, number, number][]; by_call: [number, number, number, number][];
    activity: Record<string, number[]>; backend: string; lost: number; complete: boolean;
  };
  findings: Finding[]; evidence: Piece[]; looks: ({ cue: string } & Look)[];
  transcript: { lines: Line[]; left_out: number } | null;
  flows: { list: Flow[]; left_out: number } | null;
  files: { list: { kind: string; type: string; path: string; size: number; sha256?: string }[]; left_out: number } | null;
}

export const textOf = (value: Text | null | undefined): string => (value === null || value === undefined ? "" : typeof value === "string" ? value : value.text);

let token = "";

async function unpack(block: Element): Promise<any> {
  const raw = atob(block.textContent ?? "");
  const packed = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; ++i) packed[i] = raw.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

async function ask(path: string, send?: unknown): Promise<any> {
  const sent = send === undefined ? {} : { method: "POST", body: JSON.stringify(send) };
  const answer = await fetch(path, { headers: { Authorization: "Bearer " + token }, cache: "no-store", ...sent });
  if (!answer.ok) throw new Error((await answer.text()) || answer.statusText);
  return answer.json();
}

// The token comes behind the address's #, which no request carries, and is taken off it at once.
function takeToken(): void {
  const given = /^#token=([0-9a-f]+)$/.exec(location.hash);
  if (given) {
    sessionStorage.setItem("token", given[1]);
    history.replaceState(null, "", location.pathname);
  }
  token = sessionStorage.getItem("token") ?? "";
}

export async function loadReport(): Promise<Report> {
  const block = document.getElementById("data");
  if (block) return unpack(block);
  takeToken();
  return ask("/api/report");
}

export const isServed = (): boolean => document.getElementById("data") === null;
export const refreshReport = (): Promise<Report> => ask("/api/report?fresh=1");

// Of `gyges review --page`, whose answers are not those of a report.
export interface ReviewQueue { reviewer: string; file: string; blind: boolean; runs: { run_id: string; verdict: string | null }[] }
export interface ReviewedCall { call: number; tool: string; arguments: Text; decision: string; outcome: string; output: Text }
export interface ReviewedRun {
  run_id: string; exit: string; report: Text; calls: ReviewedCall[]; calls_left_out: number;
  condition?: string; bundle?: string; drawn?: boolean; flags?: string[];
}
export const loadReviewed = (run_id: string): Promise<ReviewedRun> => ask("/api/review/" + encodeURIComponent(run_id));
export const sendReview = (run_id: string, verdict: string, note: string): Promise<unknown> => ask("/api/review", { run_id, verdict, note });

const loaded = new Map<number, Episode>();
const kept = 12;

// The file's end may still be on its way.
const parsed = (): Promise<void> => document.readyState !== "loading" ? Promise.resolve()
  : new Promise((done) => document.addEventListener("DOMContentLoaded", () => done(), { once: true }));

export async function loadEpisode(index: number, run: Run): Promise<Episode> {
  const known = loaded.get(index);
  if (known) return known;
  let episode: Episode;
  if (isServed()) {
    episode = await ask("/api/episode/" + index + "?run=" + encodeURIComponent(run.run_id));
  } else {
    if (!document.getElementById("episode-" + index)) await parsed();
    const block = document.getElementById("episode-" + index);
    if (!block) throw new Error("This episode is not inside the file, which has room for a part only.");
    episode = await unpack(block);
  }
  loaded.set(index, episode);
  if (loaded.size > kept) loaded.delete(loaded.keys().next().value!);
  return episode;
}

export const forget = (): void => loaded.clear();
