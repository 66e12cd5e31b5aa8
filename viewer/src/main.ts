// Where one is on the page stands in the address behind "#": /SECTION, /episode/N?ev=..., /pair/N/M,
// /runs?agent=...
import "./report.css";
import { forget, isServed, loadEpisode, loadReport, refreshReport, type Report } from "./data";
import { h } from "./dom";
import { EpisodeView, episodeTitle } from "./episode";
import { drawPair } from "./pair";
import { drawReport, sections, subtitle } from "./report";
import { drawReview } from "./review";
import { filterRuns } from "./runs";

const main = document.getElementById("main")!;
const overview = h("div", { id: "overview" });
const detail = h("div", { id: "detail", hidden: true, "aria-live": "polite" });
let report: Report;
let drawn: ReturnType<typeof drawReport>;
let place = 0;  // the newest address; an older one that is still loading is dropped
let scrolled = 0;

function say(text: string, alarming = false): HTMLElement {
  return h("p.card" + (alarming ? ".warn-card" : ""), { role: alarming ? "alert" : "status" }, text);
}

function showOverview(section: string): void {
  const back = overview.hidden;
  detail.hidden = true;
  overview.hidden = false;
  detail.replaceChildren();
  document.title = "Gyges: watched and unwatched";
  if (back && !section) window.scrollTo(0, scrolled);
  if (!section) return;
  if (section === sections[0][0]) { window.scrollTo(0, 0); return; }
  // What stands above has to have its height before one can go there.
  for (const [name] of sections) { drawn.draw(name); if (name === section) break; }
  const to = document.getElementById(section);
  to?.scrollIntoView();
  to?.focus({ preventScroll: true });
}

async function showDetail(make: () => Promise<[string, HTMLElement]>): Promise<void> {
  const mine = ++place;
  if (!overview.hidden) scrolled = window.scrollY;
  const slow = setTimeout(() => { if (mine === place) { overview.hidden = true; detail.hidden = false; detail.replaceChildren(say("Opening …")); } }, 250);
  try {
    const [title, node] = await make();
    if (mine !== place) return;
    overview.hidden = true;
    detail.hidden = false;
    detail.replaceChildren(node);
    document.title = title + " · Gyges";
    window.scrollTo(0, 0);
    document.getElementById("page-title")?.focus({ preventScroll: true });
  } catch (error) {
    if (mine !== place) return;
    overview.hidden = true;
    detail.hidden = false;
    detail.replaceChildren(h("p", h("a", { href: "#/runs" }, "Back to the runs")), say(`This could not be opened. ${error instanceof Error ? error.message : error}`, true));
  } finally {
    clearTimeout(slow);
  }
}

function numberOf(text: string | null): number | undefined {
  return text !== null && /^\d+$/.test(text) ? Number(text) : undefined;
}

function go(): void {
  const [path, query = ""] = location.hash.slice(1).split("?");
  const parts = path.split("/").filter(Boolean), given = new URLSearchParams(query);
  const index = numberOf(parts[1] ?? null), partner = numberOf(parts[2] ?? null);
  if (parts[0] === "episode" && index !== undefined && report.runs[index]) {
    void showDetail(async () => [episodeTitle(report.runs[index]), new EpisodeView(report, index, await loadEpisode(index, report.runs[index])).draw({
      ev: numberOf(given.get("ev")), call: numberOf(given.get("call")), find: given.get("find") ?? undefined, tab: given.get("tab") ?? undefined })]);
  } else if (parts[0] === "pair" && index !== undefined && partner !== undefined && report.runs[index] && report.runs[partner]) {
    void showDetail(async () => ["A pair of " + report.runs[index].agent, drawPair(report, [index, partner],
      await Promise.all([loadEpisode(index, report.runs[index]), loadEpisode(partner, report.runs[partner])]))]);
  } else {
    ++place;
    const section = sections.some(([name]) => name === parts[0]) ? parts[0] : "";
    if (section === "runs" && query) { drawn.draw("runs"); filterRuns(Object.fromEntries(given)); }
    showOverview(section);
  }
  document.querySelectorAll("#sections a").forEach((a) => a.toggleAttribute("aria-current", !detail.hidden ? false : a.getAttribute("href") === "#/" + (parts[0] ?? "summary")));
}

function start(): void {
  document.getElementById("subtitle")!.textContent = subtitle(report);
  overview.replaceChildren();
  drawn = drawReport(report, overview);
  go();
  performance.mark("summary-drawn");
}

async function begin(): Promise<void> {
  const nav = document.getElementById("sections")!;
  nav.replaceChildren(...sections.map(([name, short]) => h("li", h("a", { href: "#/" + name }, short))));
  main.append(overview, detail);
  const waiting = say("Reading the runs …");
  const slow = setTimeout(() => main.prepend(waiting), 200);
  try {
    report = await loadReport();
  } catch (error) {
    main.replaceChildren(say(`The report could not be read. ${error instanceof Error ? error.message : error}`, true));
    return;
  } finally {
    clearTimeout(slow);
    waiting.remove();
  }
  if (report.review) {
    nav.replaceChildren();
    document.title = "Gyges: review";
    document.getElementById("subtitle")!.textContent = `Review by ${report.review.reviewer}`;
    await drawReview(report.review, overview);
    document.documentElement.dataset.ready = "1";
    return;
  }
  if (isServed()) {
    const again = h("button.button", { type: "button", click: async () => {
      again.setAttribute("disabled", "");
      try { report = await refreshReport(); forget(); start(); } catch (error) { main.prepend(say(`The runs could not be read again. ${error instanceof Error ? error.message : error}`, true)); }
      again.removeAttribute("disabled");
    } }, "Read again");
    document.getElementById("tools")!.append(again);
  }
  start();
  window.addEventListener("hashchange", go);
  window.addEventListener("beforeprint", () => { if (!overview.hidden) drawn.drawAll(); });
  document.documentElement.dataset.ready = "1";
}

void begin();
