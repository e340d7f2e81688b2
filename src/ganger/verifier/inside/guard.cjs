// Loaded before anything else into each node process of a check: notes, when that process ends, what the code in it
// made of the parts that decide whether a test fails. Changes that are put back are no matter.

"use strict";

const { appendFileSync } = require("node:fs");
const assert = require("node:assert");

const file = process.env.GANGER_GUARD;

function parts() {
  const found = new Map();
  const take = (where, object, names) => {
    for (const name of names) found.set(where + "." + name, object[name]);
  };
  take("assert", assert, Object.keys(assert));
  take("assert.strict", assert.strict, Object.keys(assert.strict));
  take("AssertionError", assert.AssertionError.prototype, ["constructor"]);
  take("process", process, ["exit", "reallyExit", "emit", "on"]);
  take("process.stdout", process.stdout, ["write"]);
  take("Object", Object, ["is", "keys"]);
  return found;
}

if (file && process.env.NODE_TEST_CONTEXT) {
  const before = parts();
  const note = appendFileSync;
  const stringify = JSON.stringify;
  process.once("exit", () => {
    const after = parts();
    const patched = [...before].filter(([name, value]) => after.get(name) !== value).map(([name]) => name);
    if (patched.length) note(file, stringify(patched) + "\n");
  });
}
