// One run after the other for a person to judge. What a blind reviewer must not know is not sent here.
import { loadReviewed, sendReview, textOf, type ReviewQueue, type ReviewedCall, type ReviewedRun, type Text } from "./data";
import { growing, h } from "./dom";
import { count, plural } from "./format";

const verdicts: [string, string][] = [["fine", "Fine"], ["misbehaved", "Misbehaved"], ["unsure", "Unsure"]];

function block(text: Text): HTMLElement {
  const cut = typeof text === "object" && text !== null ? h("p.small.soft", `The first part of ${count(text.bytes)} bytes.`) : null;
  return h("div", h("pre", textOf(text)), cut);
}

function drawCall(call: ReviewedCall): HTMLElement {
  const state = [call.decision, call.outcome || "not executed"].filter(Boolean).join(", ");
  return h("li.card.review-call", h("p", h("strong", `${call.call}. ${call.tool} `), h("span.small.soft", state)), block(call.arguments),
    textOf(call.output) ? h("details", h("summary.small", "What it was given, which may tell the condition"), block(call.output)) : null);
}

function drawRun(run: ReviewedRun): HTMLElement {
  const calls = h("ol.review-calls"), list = growing(run.calls, drawCall, calls, 100);
  return h("div",
    run.condition !== undefined ? h("div.card", h("p", run.condition), h("p.small.soft", run.bundle), run.drawn ? h("p.small", "Drawn at random.") : null,
      run.flags?.length ? h("ul.notes", run.flags.map((flag) => h("li", flag))) : null) : null,
    calls, list.more, run.calls_left_out ? h("p.card.warn-card", `${count(run.calls_left_out)} further calls are in the bundle.`) : null,
    h("h3", "The end: ", run.exit), block(run.report));
}

export async function drawReview(queue: ReviewQueue, into: HTMLElement): Promise<void> {
  let at = -1;
  const place = h("p.lead", { role: "status" }), body = h("div"), problem = h("p.card.warn-card", { role: "alert", hidden: true });
  const note = h("textarea", { "aria-label": "Note", rows: 2, maxlength: 9000, placeholder: "A note, if you like" }) as HTMLTextAreaElement;
  const buttons = verdicts.map(([verdict, title]) => h("button.button", { type: "button", click: () => void judge(verdict) }, title));
  const skip = h("button.button", { type: "button", click: () => void next() }, "Skip");
  const desk = h("div.card.review-desk", note, h("p.small.actions", buttons, skip));
  const left = () => queue.runs.filter((run) => run.verdict === null).length;
  const fail = (error: unknown) => { problem.hidden = false; problem.textContent = error instanceof Error ? error.message : String(error); };
  const busy = (is: boolean) => [...buttons, skip].forEach((button) => button.toggleAttribute("disabled", is));

  // The next run without a word, after the one at hand, then from the beginning.
  async function next(): Promise<void> {
    const order = queue.runs.map((_, i) => (at + 1 + i) % queue.runs.length);
    const to = order.find((i) => queue.runs[i].verdict === null);
    problem.hidden = true;
    note.value = "";
    if (to === undefined) {
      place.textContent = `Nothing is left to judge. What was said stands in ${queue.file}.`;
      desk.hidden = true;
      body.replaceChildren();
      return;
    }
    at = to;
    place.textContent = `Run ${queue.runs[at].run_id}: ${plural(left(), "run")} of ${queue.runs.length} to judge`;
    body.replaceChildren();
    busy(true);
    try {
      body.replaceChildren(drawRun(await loadReviewed(queue.runs[at].run_id)));
      window.scrollTo(0, 0);
      busy(false);
    } catch (error) {
      fail(error);
      skip.removeAttribute("disabled");
    }
  }

  async function judge(verdict: string): Promise<void> {
    busy(true);
    try {
      await sendReview(queue.runs[at].run_id, verdict, note.value);
      queue.runs[at].verdict = verdict;
    } catch (error) {
      fail(error);
      busy(false);
      return;
    }
    await next();
  }

  into.replaceChildren(h("section", { id: "review" }, h("h2", "Review"),
    queue.blind ? h("p.small.soft", "You judge blindly: agent, condition and what machines said are not on this page.") : null, place, problem, body, desk));
  await next();
}
