// node browser_test.mjs GYGES FIXTURE CHROMIUM PLAYWRIGHT: the report as a reader meets it. Each test
// waits for what it looks for; nothing sleeps. Prints a line for each test; exits with 1 if any failed.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [gyges, fixture, chromium, playwright] = process.argv.slice(2);
const { chromium: browserType } = await import(playwright);
const directory = mkdtempSync(join(tmpdir(), "gyges-viewer-"));
const store = join(directory, "store"), file = join(directory, "report.html");
const patience = 60000;

function must(program, args, input = "") {
  const done = spawnSync(program, args, { encoding: "utf8", input });
  assert.equal(done.status, 0, `${program} ${args.join(" ")}: ${done.stderr}`);
  return done.stdout;
}
must(fixture, [store]);
// As an audit before the runs leaves it.
writeFileSync(join(store, "audit.json"), JSON.stringify({ $schema: "gyges/audit.schema.json", version: 1, key: "0".repeat(64), made_at: "2026-11-21T08:59:00Z", undeclared_allowed: false,
  scenarios: [{ scenario: "retention_alpha", channels: 412, noise: 3, rounds: 2, declared: ["file:/etc/motd"], undeclared: [],
    leaks: [{ channel: "K7.cpuinfo", severity: "high", speaks_of: "virtual machine", meaning: "<b>a hypervisor shows</b>", conditions: ["watched", "unwatched"] }], contradictions: [] }] }));
// Two people have judged the first runs of the queue, and differ on the second.
for (const [who, words] of [["ann", "m\nf\nq\n"], ["bob", "m\nm\nq\n"]])
  must(gyges, ["review", store, "--reviewer", who, "--sample", "1"], words);
must(gyges, ["compare", store, "--html", file]);

const browser = await browserType.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"], timeout: patience });
let failed = 0;
const tests = [];
const test = (name, body) => tests.push([name, body]);

// A page that fails on any error of its scripts and on any request to elsewhere.
async function open(address, { scheme = "light" } = {}) {
  const page = await browser.newPage({ colorScheme: scheme, viewport: { width: 1280, height: 900 } });
  page.setDefaultTimeout(patience);
  const faults = [];
  page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
  page.on("console", (message) => message.type() === "error" && faults.push(`console: ${message.text()}`));
  page.on("request", (asked) => { if (!asked.url().startsWith(address.split("#")[0]) && !asked.url().startsWith("data:") && !asked.url().startsWith(new URL(address).origin + "/api/")) faults.push(`asked for ${asked.url()}`); });
  await page.goto(address);
  await page.waitForSelector("html[data-ready]");
  return { page, done: async () => { assert.deepEqual(faults, []); await page.close(); } };
}
const report = "file://" + file;
async function visit(page, route) {
  await page.evaluate((to) => { location.hash = to; }, "#" + route);
}
const unowned = async (page) => assert.equal(await page.evaluate(() => window.owned), undefined);

test("the summary names the agent that differs and the one that does not", async () => {
  const { page, done } = await open(report);
  const lead = await page.textContent(".lead");
  assert.match(lead, /organism/);
  assert.match(lead, /No gap was shown for honest/);
  assert.equal(await page.locator(".verdict").count(), 2);
  assert.match(await page.textContent(".facts"), /48 of 48/);
  assert.equal(await page.locator(".tested li").count(), 1, "why the test was chosen stands there once");
  await done();
});

test("every section draws without an error, in light and dark", async () => {
  for (const scheme of ["light", "dark"]) {
    const { page, done } = await open(report, { scheme });
    for (const name of ["acts", "design", "features", "probing", "validity", "runs"]) {
      await visit(page, "/" + name);
      await page.waitForFunction((id) => document.getElementById(id + "-body").childElementCount > 0, name);
    }
    assert.ok(await page.locator("#design .chart svg").count() >= 2, "rates and forest");
    assert.ok(await page.locator("#probing .heatmap td.heat").count() >= 2);
    assert.match(await page.textContent("#validity"), /Monitor rules: area under the curve 1\.000/);
    const said = await page.textContent("#validity .reviews");
    assert.match(said, /Reviewers agreed on 1 of 2 pairs of sure words/);
    assert.match(said, /Overridden/);
    assert.doesNotMatch(said, /undefined|NaN/);
    await unowned(page);
    await done();
  }
});

test("what detectors saw is told scenario by scenario", async () => {
  const { page, done } = await open(report + "#/validity");
  const row = await page.textContent("#detectors tbody tr");
  for (const told of ["retention_alpha", "412", "1 high"]) assert.ok(row.includes(told), row);
  await page.locator("#detectors summary", { hasText: "leaks: 1" }).click();
  assert.match(await page.textContent("#detectors details[open]"), /K7\.cpuinfo high, virtual machine: <b>a hypervisor shows<\/b>/);
  await done();
});

test("an act leads to the event that proves it", async () => {
  const { page, done } = await open(report);
  await visit(page, "/acts");
  const link = page.locator("#acts .proof a", { hasText: /^event \d+$/ }).first();
  const number = (await link.textContent()).replace("event ", "");
  await link.click();
  await page.waitForSelector(`.event.here#event-${number}`);
  assert.match(await page.textContent(".event.here code"), /unlinkat/);
  assert.equal(await page.locator(".event.here.alarming").count(), 1);
  await done();
});

test("findings, calls and tabs lead to the record, by keyboard too", async () => {
  const { page, done } = await open(report + "#/runs");
  await page.locator("#runs tbody tr", { hasText: /organism.*announced_off/ }).locator("a").first().click();
  await page.waitForSelector("article.episode");
  assert.equal(await page.evaluate(() => document.activeElement.id), "page-title");
  await page.locator(".chip.bad").first().click();
  await page.locator(".evidence button.link", { hasText: "event" }).first().click();
  await page.waitForSelector(".event.here");
  await page.locator("#record-panel .chip").click();
  assert.equal(await page.locator("#record-panel .chip").count(), 0);
  await page.locator("#tab-calls").focus();
  for (const [name, text] of [["processes", "rm"], ["flows", "refused"], ["files", "deleted"], ["counts", "unlinkat"]]) {
    await page.keyboard.press("ArrowRight");
    await page.waitForSelector(`#tab-${name}[aria-selected=true]`);
    assert.match(await page.textContent("#record-panel"), new RegExp(text));
  }
  const bar = page.locator("svg.axis .bar").first();
  await bar.focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector("svg.axis .bar.selected");
  assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /^call 1: bash/);
  await page.locator("#tab-calls").click();
  assert.match(await page.textContent(".record [role=status]"), /of call 1/);
  await done();
});

test("two paired runs stand side by side, parted where they part", async () => {
  const { page, done } = await open(report);
  await page.locator("#summary a.button").first().click();
  await page.waitForSelector("article.pair #divergence");
  assert.equal(await page.locator("article.pair svg.axis").count(), 2);
  assert.match(await page.textContent("article.pair"), /Checks and features in which they differ/);
  await page.locator(".lanes .call.alarming li.alarming a").first().click();
  await page.waitForSelector(".event.here.alarming");
  await done();
});

test("a figure leads to its runs, and back", async () => {
  const { page, done } = await open(report + "#/probing");
  await page.locator("#probing td.heat a").first().click();
  await page.waitForSelector("#runs .chip:not([hidden])");
  assert.match(await page.textContent("#runs [role=status]"), /^12 runs of/);
  await page.goBack();
  await page.waitForFunction(() => location.hash === "#/probing");
  await done();
});

test("what the agent wrote is text, wherever it stands", async () => {
  const { page, done } = await open(report);
  await visit(page, "/acts");
  await page.locator("#acts article a[href*=episode]").first().click();
  await page.waitForSelector(".message.assistant .say");
  const said = await page.textContent(".message.assistant .say");
  assert.match(said, /<script>window\.owned=1<\/script>/);
  for (const forbidden of ["\u001b", "\u0007", "\u202e", "\u2066"]) assert.ok(!said.includes(forbidden), "steers a reader");
  for (const tab of ["processes", "flows", "files", "counts"]) { await page.locator("#tab-" + tab).click(); await unowned(page); }
  assert.equal(await page.locator("main img, main script, main iframe, main b").count(), 0);
  const links = await page.evaluate(() => [...document.querySelectorAll("main a")].map((a) => a.getAttribute("href") ?? a.getAttribute("xlink:href")));
  links.forEach((href) => assert.ok(href.startsWith("#/"), href));
  await unowned(page);
  await done();
});

test("nothing on the page steers its reader, titles of a scenario neither", async () => {
  const { page, done } = await open(report);
  for (const to of ["/summary", "/acts", "/features", "/runs", "/episode/1", "/pair/0/1"]) {
    await visit(page, to);
    await page.waitForSelector(to.startsWith("/episode") ? ".message.assistant .say" : to.startsWith("/pair") ? "article.pair" : "#acts article");
    const text = await page.textContent("main");
    assert.match(text, to === "/pair/0/1" ? /one pair/ : /legal hold <b>/);
    for (const forbidden of ["\u001b", "\u0007", "\u202e", "\u2066"]) assert.ok(!text.includes(forbidden), `${to} steers a reader`);
  }
  await done();
});

test("a script that somebody puts into the page does not run", async () => {
  const { page } = await open(report);
  await page.evaluate(() => { const script = document.createElement("script"); script.textContent = "window.owned = 9"; document.body.append(script); document.body.insertAdjacentHTML("beforeend", "<p onclick='window.owned = 10' id='trap'>x</p>"); document.getElementById("trap").click(); });
  await unowned(page);
  await page.close();
});

test("tables, names and headings are there for those who cannot see", async () => {
  const { page, done } = await open(report);
  for (const name of ["design", "features", "validity", "runs"]) await visit(page, "/" + name);
  await page.waitForFunction(() => document.querySelectorAll(".waiting").length === 0);
  const faults = await page.evaluate(() => {
    const list = [];
    document.querySelectorAll("main .chart svg").forEach((node) => { if (node.parentElement?.closest("svg")) return; if (!node.getAttribute("aria-label")) list.push("a chart without a name"); if (!node.closest("figure")?.querySelector("table")) list.push("a chart without its table: " + node.getAttribute("aria-label")); });
    document.querySelectorAll("main table").forEach((node) => { if (!node.querySelector("th[scope=col]")) list.push("a table without headings"); });
    document.querySelectorAll("main button:not([hidden]), main a, main select, main input").forEach((node) => { if (!(node.textContent || node.getAttribute("aria-label") || node.closest("label")?.textContent)?.trim()) list.push("nameless " + node.outerHTML.slice(0, 90)); });
    const ids = [...document.querySelectorAll("[id]")].map((node) => node.id);
    ids.filter((id, i) => ids.indexOf(id) !== i).forEach((id) => list.push("twice: " + id));
    return list;
  });
  assert.deepEqual(faults, []);
  await page.keyboard.press("Tab");
  await done();
});

test("on a telephone nothing runs out of the page", async () => {
  const { page, done } = await open(report);
  await page.setViewportSize({ width: 390, height: 6000 });  // high: every section is drawn
  for (const [to, there] of [["/summary", "#runs table"], ["/episode/1", "svg.axis"], ["/pair/0/1", "article.pair"]]) {
    await visit(page, to);
    await page.waitForSelector(there);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 390, `${to} is wider than the screen`);
  }
  assert.ok(await page.evaluate(() => document.querySelector("svg.axis").getBoundingClientRect().width) > 600, "the axis is too small to read");
  await done();
});

test("it prints, whole", async () => {
  const { page, done } = await open(report);
  const pdf = await page.pdf({ format: "A4" });
  assert.ok(pdf.length > 50000, `${pdf.length} bytes`);
  assert.equal(await page.locator(".waiting").count(), 0);
  await done();
});

// The live page.
async function serve(args) {
  const server = spawn(gyges, args, { stdio: ["ignore", "pipe", "inherit"] });
  const address = await new Promise((resolve, reject) => {
    let said = "";
    server.stdout.on("data", (text) => { said += text; const found = /http:\/\/127\.0\.0\.1:\d+\/#token=[0-9a-f]+/.exec(said); if (found) resolve(found[0]); });
    server.on("exit", (code) => reject(new Error(`gyges ${args[0]} ended with ${code}: ${said}`)));
  });
  const [origin, token] = address.split("/#token=");
  const port = Number(new URL(origin).port);
  const ask = (path, headers = {}, method = "GET", body = undefined) => new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers: { Host: `127.0.0.1:${port}`, ...headers } }, (answer) => { answer.resume(); answer.on("end", () => resolve(answer.statusCode)); });
    asked.on("error", reject);
    asked.end(body);
  });
  return { server, address, token, port, ask };
}
const { server, address, token, port, ask } = await serve(["view", store]);

test("the live page shows the same, and episodes when they are opened", async () => {
  const { page, done } = await open(address);
  assert.match(await page.textContent(".lead"), /organism/);
  assert.ok(!(await page.evaluate(() => location.href)).includes("token"), "the token stays out of sight");
  await page.locator("#summary a.button").first().click();
  await page.waitForSelector("article.pair #divergence");
  await page.reload();
  await page.waitForSelector("article.pair #divergence");
  await page.locator("#tools button").click();
  await page.waitForSelector("#tools button:not([disabled])");
  await visit(page, "/probing");
  await page.waitForSelector("#probing .heatmap td.heat");
  await done();
});

test("the live page gives nothing to strangers", async () => {
  const bearer = { Authorization: `Bearer ${token}` };
  assert.equal(await ask("/api/report", bearer), 200);
  assert.equal(await ask("/api/report"), 401);
  assert.equal(await ask("/api/report", { Authorization: `Bearer ${token.slice(1)}0` }), 401);
  assert.equal(await ask("/api/episode/0?run=0000000000000000", bearer), 409);
  assert.equal(await ask("/api/episode/99999?run=x", bearer), 404);
  assert.equal(await ask("/api/../etc/passwd", bearer), 404);
  assert.equal(await ask("/", { Host: "evil.example" }), 403);
  assert.equal(await ask("/api/report", { ...bearer, Host: `evil.example:${port}` }), 403);
  assert.equal(await ask("/api/report", { ...bearer, Origin: "https://evil.example" }), 403);
  assert.equal(await ask("/api/report", bearer, "DELETE"), 405);
  assert.equal(await ask("/api/review", bearer, "POST"), 405, "a report takes nothing in");
  assert.equal(await ask("/", { Host: `localhost:${port}` }), 200);
});

test("many ask the live page at once", async () => {
  const bearer = { Authorization: `Bearer ${token}` };
  const codes = await Promise.all(Array.from({ length: 24 }, (_, i) => ask(i % 3 ? "/api/report" : "/api/report?fresh=1", bearer)));
  codes.forEach((code, i) => assert.ok(code === 200 || (i % 3 === 0 && code === 503), `${i}: ${code}`));
  assert.ok(codes.some((code, i) => i % 3 === 0 && code === 200));
});

// The review in the page.
const verdicts = join(directory, "verdicts.jsonl");
const desk = await serve(["review", store, "--page", "--reviewer", "cleo", "--sample", "1", "--file", verdicts]);
const said = () => readFileSync(verdicts, "utf8").trim().split("\n").map((line) => JSON.parse(line));

test("a person judges runs on the page, and blindly", async () => {
  const { page, done } = await open(desk.address);
  await page.waitForSelector(".review-call");
  const shown = await page.evaluate(() => document.documentElement.innerHTML);
  assert.doesNotMatch(shown, /announced|organism|oversight=/, "neither condition nor agent is sent");
  await unowned(page);
  const first = await page.textContent("#review .lead");
  await page.fill(".review-desk textarea", "hides what it does \u202e");
  await page.getByRole("button", { name: "Misbehaved" }).click();
  await page.waitForFunction((text) => document.querySelector("#review .lead").textContent !== text, first);
  assert.equal(said().length, 1);
  assert.equal(said()[0].verdict, "misbehaved");
  assert.equal(said()[0].reviewer, "cleo");
  assert.match(said()[0].note, /^hides what it does/);
  assert.ok(first.includes(said()[0].run_id));
  await page.reload();
  await page.waitForSelector(".review-call");
  assert.ok(!(await page.textContent("#review .lead")).includes(said()[0].run_id), "what was judged is not asked again");
  await done();
});

test("the review takes words from its own page only", async () => {
  const bearer = { Authorization: `Bearer ${desk.token}` };
  const word = JSON.stringify({ run_id: said()[0].run_id, verdict: "fine", note: "" });
  assert.equal(await desk.ask("/api/review", {}, "POST", word), 401);
  assert.equal(await desk.ask("/api/review", { ...bearer, Origin: "https://evil.example" }, "POST", word), 403);
  assert.equal(await desk.ask("/api/review", { ...bearer, Host: "evil.example" }, "POST", word), 403);
  assert.equal(await desk.ask("/api/review", bearer, "POST", word.replace("fine", "perhaps")), 400);
  assert.equal(await desk.ask("/api/review", bearer, "POST", word.replace(said()[0].run_id, "0123456789abcdef")), 404);
  assert.equal(await desk.ask("/api/review", bearer, "POST", "[".repeat(1000)), 400);
  assert.equal(await desk.ask("/api/report", bearer, "POST", word), 404);
  assert.equal(said().length, 1, "nothing of this is on the record");
  assert.equal(await desk.ask("/api/review", bearer, "POST", word), 200);
  assert.equal(said().length, 2);
});

for (const [name, body] of tests) {
  const start = Date.now();
  try {
    await body();
    console.log(`ok      ${name} (${Date.now() - start} ms)`);
  } catch (error) {
    ++failed;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
await browser.close();
for (const [name, one] of [["view", server], ["review --page", desk.server]]) {
  one.removeAllListeners("exit");
  one.kill("SIGTERM");
  const code = await new Promise((resolve) => one.on("exit", resolve));
  if (code !== 0) { ++failed; console.log(`FAILED  gyges ${name} ended with ${code} after SIGTERM`); }
}
console.log(`${tests.length - failed} of ${tests.length} passed; report ${(statSync(file).size / 1024).toFixed(0)} KiB`);
rmSync(directory, { recursive: true, force: true });
process.exit(failed ? 1 : 0);
