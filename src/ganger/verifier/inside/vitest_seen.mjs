// Records which tests Vitest executes: a reporter in the process that hands out the test files. See `runners.cjs`.

import { createRequire } from "node:module";

const { begin } = createRequire(import.meta.url)("./sealed.cjs");

const OUTCOMES = {
  ...{ pass: "passed", passed: "passed", fail: "failed", failed: "failed" },
  ...{ skip: "skipped", skipped: "skipped", todo: "skipped" },
};

// A test that was to run and has no result never ended.
const outcomeOf = (state, fails) => {
  const outcome = OUTCOMES[state] ?? "unknown";
  return fails && outcome === "passed" ? "xfailed" : outcome;
};

// Before version 3: a file is a task with tasks inside.
function* tasksOf(task, names) {
  for (const inner of task.tasks ?? []) {
    const path = [...names, inner.name];
    if (inner.tasks) yield* tasksOf(inner, path);
    else yield [path, outcomeOf(inner.mode === "run" ? inner.result?.state : inner.mode, inner.fails)];
  }
}

// Since version 3: a module has tests, each with its parents.
function* testsOf(module) {
  for (const test of module.children.allTests()) {
    const names = [test.name];
    for (let suite = test.parent; suite && suite.type === "suite"; suite = suite.parent) names.unshift(suite.name);
    yield [names, outcomeOf(test.result().state, test.options?.fails)];
  }
}

export default class Seen {
  #record = begin("vitest");

  #tell(files, errors) {
    const record = this.#record;
    this.#record = null;
    if (record === null) return;
    let failed = errors.length > 0;
    for (const [path, tests, broken] of files) {
      for (const [names, outcome] of tests) {
        failed ||= outcome === "failed";
        record.test(path, names, outcome);
      }
      // A file that cannot be loaded has no tests, and is told as one that ended by an error.
      if (broken && !tests.length) record.test(path, [], "error");
      failed ||= broken;
    }
    record.end(failed ? 1 : 0);
  }

  onTestRunEnd(modules, errors, reason) {
    if (reason === "interrupted") return;
    const files = modules.map((module) => [module.moduleId, [...testsOf(module)], module.state() === "failed"]);
    this.#tell(files, errors);
  }

  onFinished(files = [], errors = []) {
    const told = files.map((file) => [file.filepath, [...tasksOf(file, [])], file.result?.state === "fail"]);
    this.#tell(told, errors);
  }
}
