"""Records which tests a Python runner executes; the interpreter of a check imports it before anything else.

It is found by `PYTHONPATH`, takes itself out of `sys.path` at once, and lets the environment's own `sitecustomize`
run. It waits until pytest or unittest is about to run tests; the first such session takes a one-time secret from the
folder `GANGER_SEEN`, and hides that folder from whatever it starts. With the secret each line of its record is sealed,
chained to the one before: no other process can write such a line, and none can be taken out unseen. Before any code of
the tree runs it notes what the runner is made of, and at the end what has become of that.

Code under test lives in the same process. What it patches is noticed, and who stands behind each line that is written;
so is who looks for objects that nobody gave to it. What it prints, and how it exits, is no matter. Code that finds its
way to the secret without any of this cannot be told from the recorder: the process is one.
Only the standard library, and no syntax newer than Python 3.7: this is another project's interpreter.
"""

from __future__ import annotations

import _thread
import hmac
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from typing import Any, Callable  # noqa: UP035 - `collections.abc.Callable` costs an import in every process

FOLDER = "GANGER_SEEN"
_HOOKS = (
    *("pytest_collect_file", "pytest_collection", "pytest_collection_modifyitems", "pytest_deselected"),
    *("pytest_ignore_collect", "pytest_itemcollected", "pytest_pycollect_makeitem", "pytest_pyfunc_call"),
    *("pytest_make_collect_report", "pytest_runtest_call", "pytest_runtest_logreport", "pytest_runtest_makereport"),
    *("pytest_runtest_protocol", "pytest_runtest_setup", "pytest_runtest_teardown", "pytest_runtestloop"),
    *("pytest_sessionfinish", "pytest_report_teststatus", "pytest_fixture_setup", "pytest_assertrepr_compare"),
)
"""Hooks through which a plugin decides what runs and what counts as passed."""
_RUNNER_MODULES = ("_pytest", "pluggy", "unittest", "builtins", "hmac", "json")
_SEARCHES = frozenset(
    {"gc.get_objects", "gc.get_referents", "gc.get_referrers", "sys._current_frames", "sys.setprofile", "sys.settrace"}
)
"""What the interpreter reports of code that looks for objects of others, or watches them run."""
_Open, _TREE = open, os.getcwd()


class Recorder:
    """The sealed record of one session of a runner."""

    def __init__(self, path: str, secret: bytes, runner: str) -> None:
        # The secret is in a closure only, so that it is no attribute of anything.
        digest, dumps, previous, pid = hmac.new, json.dumps, [b""], os.getpid()
        file = _Open(path, "ab", buffering=0)
        frame, thread = sys._getframe, _thread.get_ident()
        known = set(_behind(frame(1)))

        def write(what: str, fields: dict[str, Any]) -> None:
            if os.getpid() != pid:
                return
            drivers = ["another thread"] if _thread.get_ident() != thread else _behind(frame(1))
            driven = ["the recorder, driven by " + one for one in drivers if one not in known]
            if driven:
                fields = {**fields, "patched": [*fields.get("patched", ()), *driven]}
            text = dumps({"what": what, **fields}).encode()
            previous[0] = digest(secret, previous[0] + text, "sha256").hexdigest().encode()
            file.write(previous[0] + b" " + text + b"\n")

        self.write = write
        self.parts = _parts()
        write("start", {"runner": runner, "python": sys.version.split()[0]})
        _watch_searches(write, frame)

    def test(self, test: str, outcome: str, file: str = "") -> None:
        """Note how a test ended; `file` is relative to the directory of the check, where it is known."""
        self.write("test", {"id": test, "outcome": outcome, "file": file})

    def end(self, status: int, deceived: str, hooks: list[str]) -> None:
        """Note that the session came to its own end."""
        after = _parts()
        patched = sorted(name for name, found in self.parts.items() if after.get(name) != found)
        patched += sorted(name + ", which is equal to everything" for name in _equal_to_all())
        inside, outside = _origins()
        found = {"status": status, "patched": patched, "deceived": deceived, "hooks": hooks}
        self.write("end", {**found, "inside": inside, "outside": outside})


def _behind(frame: Any) -> list[str]:
    """Name the files of the tree whose code is running, innermost first; code without a file is of the tree.

    The program that was started itself, at the outer end, is none of them.
    """
    found: list[str] = []
    while frame is not None:
        path, back = frame.f_code.co_filename, frame.f_back
        is_program = frame.f_code.co_name == "<module>" and (back is None or "runpy" in back.f_code.co_filename)
        if not is_program and (path.startswith(_TREE + os.sep) or not (os.path.isabs(path) or "frozen" in path)):
            found.append(path[len(_TREE) + 1 :] if path.startswith(_TREE) else path)
        frame = back
    return found


def _watch_searches(write: Callable[[str, dict[str, Any]], None], frame: Callable[[int], Any]) -> None:
    """Note at once, as nothing can take back, who looks for objects that nobody gave to it."""
    noted: set[str] = set()

    def note(event: str, args: Any) -> None:
        if event not in _SEARCHES:
            return
        caller = frame(1)
        if "-packages" in caller.f_code.co_filename and not caller.f_code.co_filename.startswith(_TREE):
            return
        name = event + " of " + next(iter(_behind(caller)), "somebody")
        if name not in noted:
            noted.add(name)
            write("search", {"patched": [name]})

    if hasattr(sys, "addaudithook"):
        sys.addaudithook(note)


class _Anything:
    """An object that nothing of the tree has ever seen."""


def _equal_to_all() -> list[str]:
    """Name the classes of the tree whose objects say that they are equal to something that they cannot know."""
    found: list[str] = []
    waiting, seen = [object], {object}
    while waiting:
        for kind in type.__subclasses__(waiting.pop()):
            if kind in seen:
                continue
            seen.add(kind)
            waiting.append(kind)
            code = getattr(vars(kind).get("__eq__"), "__code__", None)
            path = getattr(code, "co_filename", "/")
            if (path.startswith(_TREE + os.sep) or not os.path.isabs(path)) and _is_equal_to_all(kind):
                found.append(str(kind.__module__) + "." + str(kind.__qualname__))
    return found


def _is_equal_to_all(kind: Any) -> bool:
    # Made by what is beneath the classes of Python, so that nothing of the tree runs but the comparison.
    made_by = next(base for base in kind.__mro__ if not base.__flags__ & (1 << 9))
    try:
        return vars(kind)["__eq__"](made_by.__new__(kind), _Anything()) is True
    except Exception:
        return False


def _origins() -> tuple[list[str], list[str]]:
    """Name the top-level modules that came from the tree that is checked, and those that came from elsewhere."""
    here = _TREE + os.sep
    inside: list[str] = []
    outside: list[str] = []
    for name, module in list(sys.modules.items()):
        origin = getattr(module, "__file__", None)
        if "." in name or not isinstance(origin, str):
            continue
        (inside if os.path.abspath(origin).startswith(here) else outside).append(name)
    return sorted(inside), sorted(outside)


def _parts() -> dict[str, tuple[int, int]]:
    """Name every function that the runner is made of, with what it is at this moment."""
    found: dict[str, tuple[int, int]] = {"os._exit": (id(os._exit), 0)}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in _RUNNER_MODULES or not isinstance(module, types.ModuleType):
            continue
        if name.startswith("unittest.mock"):
            continue
        for key, value in list(vars(module).items()):
            if isinstance(value, (types.FunctionType, types.BuiltinFunctionType)):
                found[name + "." + key] = (id(value), id(getattr(value, "__code__", None)))
            elif isinstance(value, type) and value.__module__ == name:
                for inner, function in list(vars(value).items()):
                    function = getattr(function, "__func__", function)
                    if isinstance(function, types.FunctionType):
                        found[name + "." + key + "." + inner] = (id(function), id(function.__code__))
    return found


def claim(runner: str) -> Recorder | None:
    """Take a secret that nobody took before; None when there is none, or this session is not to be recorded."""
    folder = os.environ.pop(FOLDER, "")
    _forget_us()
    try:
        names = sorted(os.listdir(folder)) if folder else []
    except OSError:
        return None
    for name in names:
        if not name.endswith(".secret"):
            continue
        path = os.path.join(folder, name)
        try:
            os.rename(path, path + ".taken")
        except OSError:
            continue
        with _Open(path + ".taken", "rb+") as file:
            secret = file.read()
            file.truncate(0)
        return Recorder(path[: -len(".secret")] + ".record", secret, runner)
    return None


def _forget_us() -> None:
    left = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part and part != _HERE]
    if left:
        os.environ["PYTHONPATH"] = os.pathsep.join(left)
    else:
        os.environ.pop("PYTHONPATH", None)


# ── pytest ──


class PytestSeen:
    """A plugin that notes each test once its last phase is over."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._worst: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the outcome of the phases, in the process that has them all (the controller of pytest-xdist)."""
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xfailed" if report.skipped else "xpassed"
        elif report.failed and report.when != "call":
            outcome = "error"
        worse = report.when == "call" or outcome in ("error", "skipped", "xfailed")
        if worse and self._worst.get(report.nodeid) not in ("failed", "error"):
            self._worst[report.nodeid] = outcome
        if report.when == "teardown":
            ended = self._worst.pop(report.nodeid, "unknown")
            self._recorder.test(report.nodeid, ended, report.nodeid.partition("::")[0])

    def pytest_deselected(self, items: Any) -> None:
        """Note tests that were collected and left out."""
        for item in items:
            self._recorder.test(item.nodeid, "deselected", item.nodeid.partition("::")[0])

    def pytest_collectreport(self, report: Any) -> None:
        """Note what could not be collected, and what was skipped as a whole."""
        if report.failed:
            self._recorder.test(report.nodeid, "error", report.nodeid.partition("::")[0])

    def pytest_sessionfinish(self, session: Any, exitstatus: Any) -> None:
        """Note the end, after a look at whether a failure is still seen as one."""
        for nodeid in sorted(self._worst):
            self._recorder.test(nodeid, "unknown", nodeid.partition("::")[0])
        self._recorder.end(int(exitstatus), _pytest_deceived(session), _hooks_of(session.config))


def _pytest_deceived(session: Any) -> str:
    """Say what the runner made of a test that fails, when that is not a failure; empty when all is well."""
    from _pytest.runner import CallInfo

    pytest = sys.modules["pytest"]
    marker = AssertionError("this test must fail")

    def fails() -> None:
        raise marker

    class Canary(pytest.Item):  # type: ignore[name-defined, misc]
        def runtest(self) -> None:
            fails()

        def reportinfo(self) -> tuple[Any, int, str]:
            return self.path, 0, "canary"

    try:
        item = Canary.from_parent(session, name="test_" + os.urandom(4).hex())
        call = CallInfo.from_call(item.runtest, when="call")
        if call.excinfo is None or call.excinfo.value is not marker:
            return "a call that raises is taken for one that does not"
        report = session.config.hook.pytest_runtest_makereport(item=item, call=call)
    except Exception:
        # A plugin of the project that cannot deal with a test like this one says nothing about the runner.
        return ""
    return "" if report.outcome == "failed" and report.failed else "a test that fails is reported as " + report.outcome


def _hooks_of(config: Any) -> list[str]:
    found = []
    # Until pytest 9.0, some of `config.hook` are plain functions that stand before the real ones.
    hooks = config.pluginmanager.hook
    for name in _HOOKS:
        caller = getattr(hooks, name, None)
        for implementation in caller.get_hookimpls() if caller is not None else ():
            function = implementation.function
            found.append(f"{name} of {function.__module__}.{function.__qualname__}")
    return sorted(set(found))


def _watch_pytest(module: Any) -> None:
    get_config = module.get_config

    def get_config_and_watch(*args: Any, **kwargs: Any) -> Any:
        config = get_config(*args, **kwargs)
        recorder = claim("pytest")
        if recorder is not None:
            config.pluginmanager.register(PytestSeen(recorder), "ganger-seen")
        return config

    module.get_config = get_config_and_watch


# ── unittest ──

_UNITTEST_OUTCOMES = {
    "addSuccess": "passed",
    "addFailure": "failed",
    "addError": "error",
    "addSkip": "skipped",
    "addExpectedFailure": "xfailed",
    "addUnexpectedSuccess": "xpassed",
}


class UnittestSeen:
    """The recorder of the unittest session of this process, if there is one."""

    def __init__(self) -> None:
        self.recorder: Recorder | None = None

    def begin(self) -> None:
        """Take a secret, if none was taken before."""
        if self.recorder is None:
            self.recorder = claim("unittest")

    def listen(self, result: Any) -> Any:
        """Have a result note what it is told."""
        recorder = self.recorder
        if recorder is None:
            return result
        for method, outcome in _UNITTEST_OUTCOMES.items():
            setattr(result, method, _noting(getattr(result, method), outcome, recorder))
        add_subtest = getattr(result, "addSubTest", None)
        if add_subtest is not None:

            def note_subtest(test: Any, subtest: Any, error: Any) -> Any:
                if error is not None:
                    recorder.test(test.id(), "failed", _file_of(test))
                return add_subtest(test, subtest, error)

            result.addSubTest = note_subtest
        return result

    def end(self, result: Any) -> None:
        """Note the end of a run of the runner."""
        if self.recorder is not None:
            self.recorder.end(0 if result.wasSuccessful() else 1, _unittest_deceived(), [])


def _noting(add: Callable[..., Any], outcome: str, recorder: Recorder) -> Callable[..., Any]:
    def note(test: Any, *rest: Any, **named: Any) -> Any:
        recorder.test(test.id(), outcome, _file_of(test))
        return add(test, *rest, **named)

    return note


def _file_of(test: Any) -> str:
    module = sys.modules.get(type(test).__module__)
    path = getattr(module, "__file__", None)
    return os.path.relpath(path) if path else ""


def _unittest_deceived() -> str:
    unittest = sys.modules["unittest"]
    result = unittest.TestResult()

    class Canary(unittest.TestCase):  # type: ignore[name-defined, misc]
        def runTest(self) -> None:
            self.assertEqual(1, 2)

    Canary().run(result)
    return "" if result.failures and not result.wasSuccessful() else "a test that fails is taken for one that passes"


_unittest_seen = UnittestSeen()


def _watch_unittest_main(module: Any) -> None:
    begin = module.TestProgram.__init__

    def begin_and_watch(self: Any, *args: Any, **kwargs: Any) -> None:
        _unittest_seen.begin()
        begin(self, *args, **kwargs)

    module.TestProgram.__init__ = begin_and_watch


def _watch_unittest_runner(module: Any) -> None:
    run, make_result = module.TextTestRunner.run, module.TextTestRunner._makeResult

    def run_and_watch(self: Any, test: Any) -> Any:
        _unittest_seen.begin()
        result = run(self, test)
        _unittest_seen.end(result)
        return result

    module.TextTestRunner.run = run_and_watch
    module.TextTestRunner._makeResult = lambda self: _unittest_seen.listen(make_result(self))


# ── waiting for a runner ──


class _Waiting(importlib.abc.MetaPathFinder):
    """Finds modules as if it were not there, and has three of them watched once they are loaded."""

    watched: dict[str, Callable[[Any], None]] = {  # noqa: RUF012 - nothing changes it
        "_pytest.config": _watch_pytest,
        "unittest.main": _watch_unittest_main,
        "unittest.runner": _watch_unittest_runner,
    }

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Find one of the three with the finders that come after this one."""
        watch = self.watched.get(name)
        if watch is None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_watch(module: Any) -> None:
            execute(module)
            watch(module)

        spec.loader.exec_module = execute_and_watch  # type: ignore[method-assign]
        return spec


_HERE = os.path.dirname(os.path.abspath(__file__))


def _let_the_other_run() -> None:
    """Run the `sitecustomize` that this one stands before."""
    sys.path[:] = [part for part in sys.path if os.path.abspath(part) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    _let_the_other_run()
    if os.environ.get(FOLDER):
        sys.meta_path.insert(0, _Waiting())
