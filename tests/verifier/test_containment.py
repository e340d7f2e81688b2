"""What a run of a check must have seen, measured by the base: a row a rule, with the exact words."""

from __future__ import annotations

import pytest

from ganger.core.model import CheckState
from ganger.verifier.containment import lost_tests, missing_tests, named, newly_xfailed, runner_faults, state_of
from ganger.verifier.record import Ending, Seen, Session
from ganger.verifier.witness import kind_of, new_tests

GOOD = Session("pytest", ended=True, hooks=("pytest_runtest_call of _pytest.runner.call",), outside=("json",))


def never(file: str) -> bool:
    return False


def seen(*sessions: Session, **tests: str) -> Seen:
    return Seen(sessions, {name: Ending(outcome, f"{name[0]}.py") for name, outcome in tests.items()})


BASE = seen(GOOD, a1="passed", a2="failed", a3="skipped", b1="xfailed", b2="error")

MISSING = [
    ({"a1": "passed", "a2": "passed", "b1": "passed"}, ()),
    ({"a1": "failed", "a2": "error", "b1": "xpassed", "a9": "passed"}, ()),
    ({"a1": "skipped", "a2": "passed", "b1": "xfailed"}, ("a1",)),
    ({"a1": "deselected", "a2": "unknown", "b1": "skipped"}, ("a1", "a2", "b1")),
    ({}, ("a1", "a2", "b1")),
]


@pytest.mark.parametrize(("tests", "missing"), MISSING)
def test_tests_of_the_base_that_did_not_run(tests: dict[str, str], missing: tuple[str, ...]) -> None:
    assert missing_tests(BASE, seen(GOOD, **tests), never) == missing


def test_excused_files_are_not_asked_for() -> None:
    assert missing_tests(BASE, seen(GOOD), lambda file: file == "a.py") == ("b1",)


def test_addresses_in_names_change_from_run_to_run() -> None:
    one, other = (Seen((), {f"t[<f at 0x7f{n}00aabbcc>]": Ending("passed")}) for n in (1, 2))
    assert missing_tests(one, other, never) == ()


def test_tests_that_may_fail_now() -> None:
    assert newly_xfailed(BASE, seen(GOOD, a1="xfailed", a2="xpassed", b1="xfailed")) == ("a1", "a2")


RUNNER = [
    ("as on the base", (GOOD,), {}, 0, ()),
    ("forged", (Session("pytest", ended=True, forged=True),), {}, 0, (
        "the record of the executed tests was tampered with: a line's seal does not fit",
    )),
    ("never ended", (Session("pytest", ended=False),), {}, 0, (
        "the test runner did not come to its own end: something ended its process",
        "0 of 1 sessions of the test runner were seen",
    )),
    ("not seen", (), {}, 0, ("0 of 1 sessions of the test runner were seen",)),
    ("deceived", (Session("pytest", ended=True, deceived="a test that fails is reported as passed"),), {}, 0, (
        "the test runner is deceived: a test that fails is reported as passed",
    )),
    ("patched", (Session("pytest", ended=True, patched=("os._exit",)),), {}, 0, (
        "the code under test changed the test runner: os._exit",
    )),
    ("hooked", (Session("pytest", ended=True, hooks=(*GOOD.hooks, "pytest_runtest_call of app.f")),), {}, 0, (
        "the code under test put itself into the test runner: pytest_runtest_call of app.f",
    )),
    ("shadowed", (Session("pytest", ended=True, inside=("json", "app")),), {}, 0, (
        "modules of the test runner's surroundings are imported from the tree instead: json",
    )),
    ("failed and said 0", (GOOD,), {"a1": "failed", "a2": "failed"}, 0, (
        "it exited with 0 although tests failed: a1",
    )),
    ("failed and said so", (GOOD,), {"a1": "failed"}, 1, ()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("sessions", "tests", "code", "faults"), [row[1:] for row in RUNNER], ids=[r[0] for r in RUNNER]
)
def test_what_became_of_the_runner(
    sessions: tuple[Session, ...], tests: dict[str, str], code: int, faults: tuple[str, ...]
) -> None:
    assert runner_faults(BASE, seen(*sessions, **tests), code) == faults


@pytest.mark.parametrize("row", [row for row in RUNNER if row[4] and row[0] not in ("forged", "not seen")])
def test_what_is_so_on_the_base_is_no_fault(row: tuple[str, tuple[Session, ...], dict[str, str], int, object]) -> None:
    _, sessions, tests, code, _ = row
    same = seen(*sessions, **tests)
    assert runner_faults(same, same, code) == ()


STATES = [
    ({"code": 0}, CheckState.passed),
    ({"code": 0, "missing": ["t"]}, CheckState.skipped_required),
    ({"code": 0, "faults": ["it is deceived"], "missing": ["t"]}, CheckState.failed),
    ({"code": 0, "faults": ["it did not come to its own end"]}, CheckState.crashed),
    ({"code": 1, "missing": ["t"]}, CheckState.failed),
    ({"code": 0, "executed": 0, "faults": ["x"]}, CheckState.ran_nothing),
    ({"code": None}, CheckState.crashed),
    ({"code": None, "timed_out": True}, CheckState.timed_out),
]


@pytest.mark.parametrize(("fields", "state"), STATES)
def test_how_a_check_ended(fields: dict[str, object], state: CheckState) -> None:
    given = {"timed_out": False, "executed": 3, "faults": (), "missing": (), **fields}
    assert state_of(**given) is state  # type: ignore[arg-type]


def test_names_are_few() -> None:
    assert named("abcdefg") == "a, b, c, d, e and 2 more"


KINDS = [
    ("failed", "passed", "discriminates"), ("error", "passed", "discriminates"), (None, "passed", "discriminates"),
    ("skipped", "passed", "discriminates"), ("passed", "passed", "vacuous"), ("failed", "failed", "unsatisfied"),
    (None, "error", "unsatisfied"), ("passed", "failed", "regressive"), ("passed", None, "abstain"),
    ("failed", "skipped", "abstain"), ("failed", "xfailed", "abstain"),
]  # fmt: skip


@pytest.mark.parametrize(("without", "with_it", "kind"), KINDS)
def test_what_one_test_witnesses(without: str | None, with_it: str | None, kind: str) -> None:
    before, after = (Ending(outcome) if outcome else None for outcome in (without, with_it))
    assert kind_of(before, after) == kind


def test_which_tests_are_new() -> None:
    candidate = seen(GOOD, a1="passed", a2="passed", b1="passed", c1="passed", c2="skipped")
    assert new_tests(BASE, candidate, frozenset()) == ("c1",)
    assert new_tests(BASE, candidate, frozenset({"a.py"})) == ("a1", "a2", "c1")


OWN = [
    ("all there", {"t.py::test_a": "passed", "t.py::test_b[1]": "passed"}, b"", ()),
    ("moved", {"u.py::test_a": "passed", "t.py::test_b[1]": "passed"}, b"def test_a", ()),
    ("renamed", {"t.py::test_c": "passed", "t.py::test_b[1]": "passed"}, b"def test_c", ()),
    ("renamed, its old name within the new", {"t.py::test_aa": "passed", "t.py::test_b[1]": "passed"}, b"test_aa", ()),
    ("gone", {"t.py::test_b[1]": "passed"}, b"", ("t.py::test_a",)),
    (
        "there, but not executed",
        {"t.py::test_c": "passed", "t.py::test_b[1]": "passed"},
        b"def test_a",
        ("t.py::test_a",),
    ),
    (
        "skipped",
        {"t.py::test_a": "skipped", "t.py::test_c": "passed", "t.py::test_b[1]": "passed"},
        b"test_a",
        ("t.py::test_a",),
    ),
    ("a case less", {"t.py::test_a": "passed"}, b"def test_b", ("t.py::test_b[1]",)),
    ("another case", {"t.py::test_a": "passed", "t.py::test_b[2]": "passed"}, b"def test_b", ()),
    ("two gone, one came", {"t.py::test_c": "passed"}, b"test_c", ("t.py::test_a", "t.py::test_b[1]")),
]


@pytest.mark.parametrize(("tests", "text", "lost"), [row[1:] for row in OWN], ids=[row[0] for row in OWN])
def test_tests_of_the_base_under_the_candidates_own(tests: dict[str, str], text: bytes, lost: tuple[str, ...]) -> None:
    base = seen(GOOD, **{"t.py::test_a": "passed", "t.py::test_b[1]": "passed"})
    assert lost_tests(base, seen(GOOD, **tests), (text,)) == lost


QUOTED = [
    ("renamed, its old name within the new", {"a > whole hours": "passed"}, b'test("whole hours", f)', ()),
    ("there, but not executed", {"a > days": "passed"}, b'test.skip("hours", f); test("days", g)', ("a > hours",)),
    ("there in other quotes", {"a > days": "passed"}, b"test.skip('hours', f); test('days', g)", ("a > hours",)),
    ("its words, not its name", {"a > days": "passed"}, b"// no hours here\ntest('days', g)", ()),
    ("gone", {}, b'test("days", g)', ("a > hours",)),
]


@pytest.mark.parametrize(("tests", "text", "lost"), [row[1:] for row in QUOTED], ids=[row[0] for row in QUOTED])
def test_tests_whose_names_are_texts(tests: dict[str, str], text: bytes, lost: tuple[str, ...]) -> None:
    assert lost_tests(seen(GOOD, **{"a > hours": "passed"}), seen(GOOD, **tests), (text,)) == lost
