// node open_logs.mjs PAGE LOGS CHROMIUM PLAYWRIGHT [SCREENSHOTS]: opens every .eval of LOGS, and a sample
// of each, in the log viewer of Inspect that was built into PAGE. Exits with 1 if one is not shown, or
// the viewer reports an error. A log whose header was damaged has to fail.
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { inflateRawSync } from "node:zlib";

const [page, logs, chromium, playwright, shots] = process.argv.slice(2);
const { chromium: browserType } = await import(playwright);
const patience = 60000;

// One member of a zip file of ours: stored or deflated, sizes in the directory at its end.
function member(bytes, wanted) {
  let at = bytes.readUInt32LE(bytes.lastIndexOf(Buffer.from("PK\x05\x06", "latin1")) + 16);
  while (bytes.readUInt32LE(at) === 0x02014b50) {
    const [nameLength, extra, comment] = [bytes.readUInt16LE(at + 28), bytes.readUInt16LE(at + 30), bytes.readUInt16LE(at + 32)];
    if (bytes.toString("utf8", at + 46, at + 46 + nameLength) === wanted) {
      const local = bytes.readUInt32LE(at + 42);
      const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
      const packed = bytes.subarray(start, start + bytes.readUInt32LE(at + 20));
      return { start, text: (bytes.readUInt16LE(at + 10) === 8 ? inflateRawSync(packed) : packed).toString("utf8") };
    }
    at += 46 + nameLength + extra + comment;
  }
  throw new Error(`no member ${wanted}`);
}

const files = new Map(readdirSync(logs).filter((name) => name.endsWith(".eval")).sort().map((name) => [name, readFileSync(join(logs, name))]));
assert.ok(files.size > 0, `no logs in ${logs}`);
const headers = new Map([...files].map(([name, bytes]) => [name, JSON.parse(member(bytes, "header.json").text)]));
// The control: bytes of the packed header are turned over.
const bad = "2000-01-01T00-00-00_damaged_x.eval";
const damaged = Buffer.from(files.values().next().value);
const { start } = member(damaged, "header.json");
for (let i = 0; i < 40; ++i) damaged[start + i] ^= 0x5a;
files.set(bad, damaged);

const types = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".json": "application/json" };
const server = createServer((asked, answer) => {
  const path = normalize(decodeURIComponent(new URL(asked.url, "http://x").pathname));
  let bytes = null;
  if (path === "/logs/listing.json")
    bytes = Buffer.from(JSON.stringify(Object.fromEntries([...files.keys()].map((name) => {
      const { version, status, eval: spec } = headers.get(name) ?? headers.values().next().value;
      return [name, { version, status, eval_id: spec.eval_id + (headers.has(name) ? "" : "-x"), run_id: spec.run_id, task: spec.task, task_id: spec.task_id, task_version: spec.task_version, model: spec.model }];
    }))));
  else if (path.startsWith("/logs/")) bytes = files.get(path.slice(6)) ?? null;
  else try { bytes = readFileSync(join(page, path === "/" ? "index.html" : path)); } catch { /* 404 below */ }
  if (bytes === null) return answer.writeHead(404).end();
  const head = { "Content-Type": types[extname(path === "/" ? "index.html" : path)] ?? "application/octet-stream", "Accept-Ranges": "bytes" };
  const range = /^bytes=(\d+)-(\d+)$/.exec(asked.headers.range ?? "");
  if (range) {
    const part = bytes.subarray(Number(range[1]), Number(range[2]) + 1);
    return answer.writeHead(206, { ...head, "Content-Length": part.length, "Content-Range": `bytes ${range[1]}-${Number(range[1]) + part.length - 1}/${bytes.length}` }).end(part);
  }
  answer.writeHead(200, { ...head, "Content-Length": bytes.length }).end(asked.method === "HEAD" ? undefined : bytes);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const origin = `http://127.0.0.1:${server.address().port}`;
const browser = await browserType.launch({ executablePath: chromium, args: ["--no-sandbox", "--disable-dev-shm-usage"], timeout: patience });
if (shots) mkdirSync(shots, { recursive: true });

// What the page says once `wanted` stands in it, or an error does.
async function shown(name, route, wanted) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 1000 } });
  const tab = await context.newPage();
  tab.setDefaultTimeout(patience);
  const faults = [];
  tab.on("pageerror", (error) => faults.push(error.message));
  await tab.goto(`${origin}/#/logs/${route}`);
  await tab.waitForFunction((texts) => texts.every((text) => document.body.innerText.includes(text)) || /\bError\b|Unable to|failed/i.test(document.body.innerText), wanted).catch(() => faults.push(`not shown: ${wanted}`));
  const text = await tab.evaluate(() => document.body.innerText);
  if (shots) await tab.screenshot({ path: join(shots, name + ".png") });
  await context.close();
  return { text, faults, whole: wanted.every((one) => text.includes(one)) };
}

let failed = 0;
const check = (name, good, why) => { console.log(`${good ? "ok     " : "FAILED "} ${name}${good ? "" : ": " + why}`); failed += good ? 0 : 1; };
let number = 0;
for (const [name, header] of headers) {
  const bytes = files.get(name);
  const summary = JSON.parse(member(bytes, "summaries.json").text)[0];
  const list = await shown(`log${++number}`, encodeURIComponent(name), [header.eval.task, header.eval.model]);
  check(`${name}: the log`, list.whole && !list.faults.length, JSON.stringify(list.faults) + list.text.slice(0, 300));
  const sample = JSON.parse(member(bytes, `samples/${summary.id}_epoch_${summary.epoch}.json`).text);
  const call = sample.messages.flatMap((m) => m.tool_calls ?? [])[0];
  const at = `${encodeURIComponent(name)}/samples/sample/${encodeURIComponent(summary.id)}/${summary.epoch}/`;
  const seen = await shown(`sample${number}`, at + "messages", [call ? String(Object.values(call.arguments)[0]).slice(0, 30) : String(summary.id)]);
  check(`${name}: sample ${summary.id}, epoch ${summary.epoch}`, seen.whole && !seen.faults.length, JSON.stringify(seen.faults) + seen.text.slice(0, 300));
  const events = await shown(`events${number}`, at + "transcript", [call ? call.function : String(summary.id)]);
  check(`${name}: its events`, events.whole && !events.faults.length, JSON.stringify(events.faults) + events.text.slice(0, 300));
}
const control = await shown("damaged", encodeURIComponent(bad), [headers.values().next().value.eval.model]);
check("a damaged log is not shown", !control.whole, control.text.slice(0, 300));
await browser.close();
server.close();
console.log(`${failed ? failed + " failed" : "all shown"}: ${headers.size} logs in the log viewer of Inspect`);
process.exit(failed ? 1 : 0);
