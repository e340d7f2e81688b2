// Records which tests `node --test` executes: a reporter, loaded by NODE_OPTIONS into the process that starts the test
// files, which runs none of their code. It takes a one-time secret from the folder GANGER_SEEN and seals each line with
// it, chained to the one before. See `sitecustomize.py`, which does the same for Python.

import { createHmac } from "node:crypto";
import { appendFileSync, readdirSync, readFileSync, renameSync, truncateSync } from "node:fs";
import { join, relative } from "node:path";

function claim(folder) {
  delete process.env.GANGER_SEEN;
  let names = [];
  try {
    names = readdirSync(folder).filter((name) => name.endsWith(".secret")).sort();
  } catch {
    return null;
  }
  for (const name of names) {
    const taken = join(folder, name + ".taken");
    try {
      renameSync(join(folder, name), taken);
    } catch {
      continue;
    }
    const secret = readFileSync(taken);
    truncateSync(taken);
    return { secret, path: join(folder, name.slice(0, -".secret".length) + ".record") };
  }
  return null;
}

const claimed = process.env.GANGER_SEEN && !process.env.NODE_TEST_CONTEXT ? claim(process.env.GANGER_SEEN) : null;
let previous = "";

function write(what, fields) {
  const text = JSON.stringify({ what, ...fields });
  previous = createHmac("sha256", claimed.secret).update(previous + text).digest("hex");
  appendFileSync(claimed.path, previous + " " + text + "\n");
}

const outcomeOf = (type, data) => {
  if (data.skip !== undefined && data.skip !== false) return "skipped";
  if (data.todo !== undefined && data.todo !== false) return "xfailed";
  return type === "test:pass" ? "passed" : "failed";
};

export default async function* seen(source) {
  if (claimed === null) {
    for await (const event of source) void event;
    return;
  }
  write("start", { runner: "node", python: process.version });
  let failed = 0;
  const names = [];
  for await (const { type, data } of source) {
    if (type === "test:start") names[data.nesting] = data.name;
    if (type !== "test:pass" && type !== "test:fail") continue;
    const file = data.file ? relative(process.cwd(), data.file) : "";
    // A file that declares no test is reported as a test of its own name: that is not one.
    const whole = data.nesting === 0 && data.file && (data.name === data.file || data.name === file);
    names.length = data.nesting + 1;
    names[data.nesting] = data.name;
    const outcome = outcomeOf(type, data);
    if (outcome === "failed") failed += 1;
    if (data.details?.type === "suite" && outcome !== "failed") continue;
    if (whole && outcome === "passed") continue;
    write("test", { id: [file, ...names].join(" > "), outcome, file });
  }
  write("end", { status: failed ? 1 : 0, patched: [], deceived: "", hooks: [] });
  yield "";
}
