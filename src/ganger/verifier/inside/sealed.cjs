// The sealed record of one session of Jest or Vitest: takes a one-time secret from the folder GANGER_SEEN, and chains
// and seals each line with it. See `sitecustomize.py`, which does the same for Python.
//
// Tests run in processes of their own; what they could change of this one is taken hold of before they are started.

"use strict";

const { createHmac } = require("node:crypto");
const { appendFileSync, readdirSync, readFileSync, renameSync, truncateSync } = require("node:fs");
const { join, relative } = require("node:path");

function claim() {
  const folder = process.env.GANGER_SEEN;
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

// Begins the record of a session; null when it is not to be recorded.
exports.begin = function begin(runner) {
  const claimed = process.env.GANGER_SEEN ? claim() : null;
  if (claimed === null) return null;
  const top = process.cwd();
  const stringify = JSON.stringify;
  let previous = "";
  const write = (what, fields) => {
    const text = stringify({ what, ...fields });
    previous = createHmac("sha256", claimed.secret).update(previous + text).digest("hex");
    appendFileSync(claimed.path, previous + " " + text + "\n");
  };
  write("start", { runner, python: process.version });
  return {
    // Notes how a test ended: `names` are those of its suites and its own, `path` is where it stands.
    test(path, names, outcome) {
      const file = path ? relative(top, path) : "";
      write("test", { id: [file, ...names].join(" > "), outcome, file });
    },
    // Notes that the runner came to its own end.
    end(status) {
      write("end", { status, patched: [], deceived: "", hooks: [] });
    },
  };
};
