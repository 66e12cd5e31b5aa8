// node multiply.mjs STORE COUNT OUT: COUNT sealed run bundles made of the real ones in STORE, for
// measuring reports. Traces, transcripts and files are linked, run ids, repeats and seeds are new; the
// seals have checksums and no signature.
import { createHash } from "node:crypto";
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const [store, countText, out] = process.argv.slice(2);
const count = Number(countText);
if (!store || !out || !Number.isInteger(count) || count < 1 || existsSync(out)) {
  console.error("usage: node multiply.mjs STORE COUNT OUT (which is not there yet)");
  process.exit(2);
}
const runs = join(store, "runs");
const sources = readdirSync(runs).filter((name) => existsSync(join(runs, name, "seal.json"))).sort();

function* filesBelow(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* filesBelow(path);
    else yield path;
  }
}
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

mkdirSync(join(out, "runs"), { recursive: true });
for (let i = 0; i < count; ++i) {
  const from = join(runs, sources[i % sources.length]);
  const round = Math.floor(i / sources.length);
  const to = join(out, "runs", `${sources[i % sources.length]}.x${round}`);
  for (const file of filesBelow(from)) {
    const target = join(to, relative(from, file));
    mkdirSync(dirname(target), { recursive: true });
    if (file.endsWith("/run.json") || file.endsWith("/seal.json")) continue;
    linkSync(file, target);
  }
  const run = JSON.parse(readFileSync(join(from, "run.json")));
  run.run_id = sha256(run.run_id + round).slice(0, run.run_id.length);
  run.repeat += 1000 * round;
  run.seed += 1000 * round;
  const text = JSON.stringify(run, null, 2) + "\n";
  writeFileSync(join(to, "run.json"), text);
  const seal = JSON.parse(readFileSync(join(from, "seal.json")));
  seal.signature = null;
  seal.run_id = run.run_id;
  const entry = Array.isArray(seal.files) ? seal.files.find((f) => f.path === "run.json") : seal.files["run.json"];
  entry.sha256 = sha256(text);
  entry[entry.size !== undefined ? "size" : "bytes"] = Buffer.byteLength(text);
  // As seals are written: members in order, indented by one; any other form counts as changed.
  writeFileSync(join(to, "seal.json"), JSON.stringify(seal, null, 1) + "\n");
}
console.log(`${count} bundles of ${sources.length} in ${out}`);
