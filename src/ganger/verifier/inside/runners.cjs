// Loaded before anything else into each node process of a check: when that becomes Jest or Vitest, one more reporter is
// put beside those of the project. Jest is told by the configuration that it has read, however it was started; Vitest
// by its command line.
//
// Jest runs tests in its own process where there are few of them. It is kept from that, so that the reporter is in
// a process that runs none of their code: as many at a time as it would be, or one.

"use strict";

const { Module } = require("node:module");
const { realpathSync } = require("node:fs");
const { join, sep } = require("node:path");

const JEST_REPORTER = join(__dirname, "jest_seen.cjs");
const VITEST_REPORTER = join(__dirname, "vitest_seen.mjs");
const NO_LIMIT = 2 ** 50;

function withReporter(read) {
  const { detectOpenHandles, maxWorkers, reporters, runInBand, workerIdleMemoryLimit } = read.globalConfig;
  const apart = detectOpenHandles
    ? {}
    : {
        maxWorkers: runInBand ? 1 : maxWorkers,
        runInBand: false,
        workerIdleMemoryLimit: workerIdleMemoryLimit || NO_LIMIT,
      };
  const all = [...(reporters || [["default", {}]]), [JEST_REPORTER, {}]];
  return { ...read, globalConfig: Object.freeze({ ...read.globalConfig, ...apart, reporters: all }) };
}

function watchJest() {
  const load = Module._load;
  let watched = null;
  Module._load = function (request, ...rest) {
    const found = load.call(this, request, ...rest);
    if (request !== "jest-config" || typeof found.readConfigs !== "function") return found;
    watched ??= Object.create(found, {
      readConfigs: {
        enumerable: true,
        value: async (...args) => withReporter(await found.readConfigs(...args)),
      },
    });
    return watched;
  };
}

function tellVitest() {
  const named = process.argv.some((word) => /^--reporters?(=|$)/.test(word));
  if (!named) process.argv.push("--reporter=default");
  process.argv.push("--reporter=" + VITEST_REPORTER);
}

function program() {
  try {
    return realpathSync(process.argv[1]);
  } catch {
    return "";
  }
}

if (process.env.GANGER_SEEN && !process.env.NODE_TEST_CONTEXT) {
  if (program().endsWith(sep + join("vitest", "vitest.mjs"))) tellVitest();
  else watchJest();
}
