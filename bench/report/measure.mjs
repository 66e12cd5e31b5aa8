// node measure.mjs REPORT.html CHROMIUM PLAYWRIGHT: how long a reader waits. Prints one JSON object:
// size of the file, first paint, until the summary stands, opening of 40 episodes and 10 pairs (from
// the click to the drawn page), drawing of all sections.
import { statSync } from "node:fs";

const [file, chromium, playwright] = process.argv.slice(2);
const { chromium: browserType } = await import(playwright);
const browser = await browserType.launch({ executablePath: chromium, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const faults = [];
page.on("pageerror", (error) => faults.push(error.message));
await page.goto("file://" + file);
await page.waitForSelector("html[data-ready]");
const loaded = await page.evaluate(() => ({
  first_paint_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
  summary_ms: window.performance.getEntriesByName("summary-drawn")[0]?.startTime,
  whole_file_ms: performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart,
}));

async function opened(route, selector) {
  return page.evaluate(([to, wanted]) => new Promise((done) => {
    document.querySelector(wanted)?.remove();
    const start = performance.now();
    const look = () => (document.querySelector(wanted) ? requestAnimationFrame(() => done(performance.now() - start)) : requestAnimationFrame(look));
    location.hash = to;
    look();
  }), ["#" + route, selector]);
}
const spread = (times) => { const sorted = [...times].sort((a, b) => a - b); const at = (share) => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]); return { median_ms: at(0.5), p95_ms: at(0.95), worst_ms: at(1) }; };

const ids = await page.evaluate(() => [...document.querySelectorAll("script[id^=episode-]")].map((node) => Number(node.id.slice(8))));
const episodes = [], pairs = [];
for (let i = 0; i < Math.min(40, ids.length); ++i) episodes.push(await opened(`/episode/${ids[Math.floor((i * ids.length) / Math.min(40, ids.length))]}`, "article.episode"));
for (let i = 0; i + 1 < Math.min(20, ids.length); i += 2) pairs.push(await opened(`/pair/${ids[i]}/${ids[i + 1]}`, "article.pair"));
await opened("/summary", "#never, #overview:not([hidden])");
const start = Date.now();
for (const name of ["acts", "design", "features", "probing", "validity", "runs"]) await page.evaluate((to) => { location.hash = to; }, "#/" + name);
await page.waitForFunction(() => document.querySelectorAll(".waiting").length === 0);
console.log(JSON.stringify({ bytes: statSync(file).size, episodes_inside: ids.length, ...loaded, episode: spread(episodes), pair: spread(pairs), all_sections_ms: Date.now() - start, faults }, null, 2));
await browser.close();
