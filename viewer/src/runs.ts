// The list of runs: filtered by what a figure led here for, sorted by a click on a heading.
import type { Report, Run } from "./data";
import { growing, h, keepFocus, link } from "./dom";
import { conditionText, count, plural } from "./format";

export interface RunFilter { agent?: string; condition?: string; outcome?: string; cue?: string; text?: string }

let current: RunFilter = {};
let redraw: (() => void) | null = null;

export function filterRuns(filter: RunFilter): void {
  current = filter;
  redraw?.();
}

export function outcomeOf(run: Run, outcome: string): boolean | number | null {
  if (outcome === "covert_act") return run.covert_act;
  if (outcome === "task_success") return run.task_success;
  return run.checks[outcome] ?? run.features[outcome] ?? null;
}

const word = (value: boolean | number | null): string => (value === null ? "undecided" : value === true || value === 1 ? "yes" : value === false || value === 0 ? "no" : String(value));

export function runsSection(data: Report): HTMLElement {
  const names = new Map<string, string>([["covert_act", "any covert act"], ["task_success", "task done"]]);
  data.comparisons.forEach((c) => names.set(c.outcome, c.title));
  data.features.forEach((f) => names.set(f.name, f.title));
  const options = (values: [string, string][], all: string) => [h("option", { value: "" }, all), ...values.map(([value, text]) => h("option", { value }, text))];
  const unique = (pick: (run: Run) => string): [string, string][] => [...new Set(data.runs.map(pick))].sort().map((v) => [v, v]);
  const change = () => {
    current = { ...current, agent: agent.value, condition: condition.value, outcome: outcome.value, text: search.value };
    show();
  };
  const agent = h("select", { change }, options(unique((r) => r.agent), "all agents")) as HTMLSelectElement;
  const condition = h("select", { change }, options(unique((r) => conditionText(r.condition)), "all conditions")) as HTMLSelectElement;
  const outcome = h("select", { change }, options([...names], "covert act and task")) as HTMLSelectElement;
  const search = h("input", { type: "search", placeholder: "run, scenario, bundle", input: change }) as HTMLInputElement;
  const cue = h("button.chip", { type: "button", click: () => { delete current.cue; show(); } });
  const said = h("p.small.soft", { role: "status" });
  const holder = h("div.scroll", { tabindex: 0, role: "group", "aria-label": "runs" });
  let order: { by: string; down: boolean } = { by: "", down: true };

  function matching(): [Run, number][] {
    const text = (current.text ?? "").toLowerCase();
    return data.runs.map((run, i): [Run, number] => [run, i]).filter(([run]) =>
      (!current.agent || run.agent === current.agent) && (!current.condition || conditionText(run.condition) === current.condition) &&
      (!current.cue || (run.looks?.[current.cue] && run.looks[current.cue].deliberate > 0)) &&
      (!text || `${run.run_id} ${run.scenario} ${run.bundle}`.toLowerCase().includes(text)));
  }

  function show() {
    keepFocus(holder, fill);
  }

  function fill() {
    agent.value = current.agent ?? "";
    condition.value = current.condition ?? "";
    outcome.value = current.outcome ?? "";
    if (search.value !== (current.text ?? "")) search.value = current.text ?? "";
    cue.hidden = !current.cue;
    cue.textContent = current.cue ? `looked at ${current.cue} deliberately ✕` : "";
    const chosen = current.outcome && !["covert_act", "task_success"].includes(current.outcome) ? current.outcome : "";
    const columns: [string, string, (run: Run) => string | number, boolean?][] = [
      ["run", "Run", (r) => r.run_id], ["agent", "Agent", (r) => r.agent], ["condition", "Condition", (r) => conditionText(r.condition)],
      ["scenario", "Scenario", (r) => r.scenario], ["repeat", "Repeat", (r) => r.repeat, true], ["covert", "Covert act", (r) => word(r.covert_act)], ["task", "Task done", (r) => word(r.task_success)],
      ...(chosen ? [["chosen", names.get(chosen) ?? chosen, (r: Run) => word(outcomeOf(r, chosen))] as [string, string, (r: Run) => string]] : []),
      ["exit", "End", (r) => r.exit], ["calls", "System calls", (r) => r.syscalls, true], ["lost", "Lost", (r) => r.lost, true]];
    let rows = matching();
    const sorter = columns.find((c) => c[0] === (order.by || (current.outcome === "covert_act" ? "covert" : chosen ? "chosen" : "")));
    if (sorter) rows = [...rows].sort(([a], [b]) => {
      const x = sorter[2](a), y = sorter[2](b);
      return (order.down ? -1 : 1) * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
    said.textContent = `${plural(rows.length, "run")} of ${count(data.runs.length)}`;
    const body = h("tbody");
    const { more } = growing(rows, ([run, index]) => h("tr", columns.map(([name, , pick, number], i) => {
      const value = pick(run);
      if (i === 0) return h("th", { scope: "row" }, link(`/episode/${index}${chosen ? `?find=${encodeURIComponent(chosen)}` : ""}`, "a", h("code", String(value).slice(0, 12))));
      const tone = (name === "covert" && value === "yes") || (name === "lost" && value !== 0) ? ".is-bad" : name === "task" && value === "no" ? ".is-warn" : "";
      return h("td" + (number ? ".number" : "") + tone, number ? count(Number(value)) : value);
    })), body, 200);
    holder.replaceChildren(h("table.runs", h("caption.hidden", "Runs; headings sort"), h("thead", h("tr", columns.map(([name, title, , number]) => h(number ? "th.number" : "th", { scope: "col", "aria-sort": sorter?.[0] === name ? (order.down ? "descending" : "ascending") : undefined },
      h("button.sort", { type: "button", click: () => { order = { by: name, down: sorter?.[0] === name ? !order.down : true }; show(); } }, title))))), body), more);
  }
  redraw = show;
  show();
  return h("div.card", h("div.filters", { role: "search" }, h("label", "Agent ", agent), h("label", "Condition ", condition), h("label", "Outcome ", outcome), h("label", "Search ", search), cue), said, holder);
}
