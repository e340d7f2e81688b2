// Records which tests Jest executes: a reporter in the process that hands out the test files. See `runners.cjs`.

"use strict";

const { begin } = require("./sealed.cjs");

const OUTCOMES = { passed: "passed", failed: "failed" };

module.exports = class Seen {
  #record = begin("jest");

  onTestResult(test, found) {
    if (this.#record === null) return;
    for (const { ancestorTitles, failing, status, title } of found.testResults) {
      const outcome = OUTCOMES[status] ?? "skipped";
      this.#record.test(test.path, [...ancestorTitles, title], failing && outcome === "passed" ? "xfailed" : outcome);
    }
    // A file that cannot be loaded has no tests, and is told as one that ended by an error.
    if (found.testExecError && !found.testResults.length) this.#record.test(test.path, [], "error");
  }

  onRunComplete(contexts, found) {
    const failed = found.numFailedTests + found.numRuntimeErrorTestSuites > 0;
    if (this.#record !== null && !found.wasInterrupted) this.#record.end(failed ? 1 : 0);
  }
};
