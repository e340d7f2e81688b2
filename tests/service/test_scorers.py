"""Scorers as real programs: they add refusals between disjoint scopes, and whatever else they do refuses."""

from __future__ import annotations

import json
import sys
from importlib import invalidate_caches
from itertools import product
from pathlib import Path

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import Wanted, admit_scope
from ganger.core.ids import ItemId, Seq
from ganger.core.model import LeaseMode, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.service import predicates, scorers
from ganger.service.predicates import Held, Predicates
from ganger.service.scorers import Weighing, objection, weighing
from ganger.service.tables import Scorer
from ganger.testing.builders import BASE, Story, spec

COUPLES = """
import json, sys
question = json.load(sys.stdin)
def folders(scope): return {one.split("/")[1] for one in scope if one.split("/")[0] in ("src", "tests") and "/" in one}
mine = folders(question["wanted"]["scope"])
print(json.dumps({"scores": [0.8 if mine & folders(held["scope"]) else 0.1 for held in question["held"]]}))
"""
"""The sample: the code of a part and its tests belong together."""
X, S = LeaseMode.exclusive, LeaseMode.shared


def script(text: str, threshold: float = 0.5, timeout_ms: int = 5_000, name: str = "s") -> Scorer:
    return Scorer(name, (sys.executable, "-I", "-S", "-c", text), timeout_ms, threshold)


def verdict(root: Path, *programs: Scorer, held: str, held_as: LeaseMode, wanted: str, wanted_as: LeaseMode) -> str:
    """What the core and then the scorers say: `free`, `overlap` by pattern, or `coupled`."""
    story = Story()
    story.append(ev.LeaseGranted("olga", tuple(held.split()), held_as, 1 << 50))
    scope = tuple(wanted.split())
    answer = admit_scope(story.state, "", scope, wanted_as, story.now_ms, story.policy, autopick=False)
    if isinstance(answer, Refusal):
        return answer.code.value
    refusal = objection(Predicates(root / "state", root, (), programs), weighing(story.state, answer.wanted))
    return "free" if refusal is None else "coupled" if "is coupled with" in refusal.reason else refusal.reason


GOLDEN = (
    # held, wanted, built in, with the sample scorer
    ("src/a/**", X, "src/a/**", X, "overlap", "overlap"),
    ("src/a/**", X, "src/a/b.py", X, "overlap", "overlap"),
    ("src/**", X, "src/a/b.py", S, "overlap", "overlap"),
    ("src/a/**", S, "src/a/**", S, "free", "free"),
    ("src/a/**", S, "tests/a/**", S, "free", "free"),
    ("src/a/**", X, "tests/a/**", X, "free", "coupled"),
    ("tests/a/**", X, "src/a/**", X, "free", "coupled"),
    ("src/a/**", S, "tests/a/**", X, "free", "coupled"),
    ("src/a/**", X, "tests/a/**", S, "free", "coupled"),
    ("src/a/x.py", X, "src/a/y.py", X, "free", "coupled"),
    ("src/a/**", X, "tests/b/**", X, "free", "free"),
    ("src/a/**", X, "docs/**", X, "free", "free"),
    ("src/a/** docs/**", X, "tests/a/** more/**", X, "free", "coupled"),
)


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row[0]}-{row[1]}-{row[2]}-{row[3]}")
def test_golden_pairs(tmp_path: Path, row: tuple[str, LeaseMode, str, LeaseMode, str, str]) -> None:
    held, held_as, wanted, wanted_as, built_in, scored = row
    sides = {"held": held, "held_as": held_as, "wanted": wanted, "wanted_as": wanted_as}
    assert verdict(tmp_path, **sides) == built_in
    assert verdict(tmp_path, script(COUPLES), **sides) == scored


def test_another_policy_changes_only_the_documented_pairs() -> None:
    """Over all pairs of a pool: a scorer is asked about just those that the core leaves open, and can free none."""
    pool = ("src/a/**", "src/a/b.py", "src/**/b.py", "tests/a/**", "docs/**", "**", "src/[ab]/*")
    for held, held_as, wanted, wanted_as in product(pool, (X, S), pool, (X, S)):
        story = Story()
        story.append(ev.LeaseGranted("olga", (held,), held_as, 1 << 50))
        answer = admit_scope(story.state, "", (wanted,), wanted_as, story.now_ms, story.policy, autopick=False)
        asked = weighing(story.state, Wanted("scope", (wanted,), wanted_as)).against
        if isinstance(answer, Refusal):
            assert not asked, "what overlaps stays refused, whatever anybody scores"
        else:
            assert bool(asked) is not (held_as is wanted_as is S), (held, held_as, wanted, wanted_as)


def test_a_scorer_that_finds_nothing_close_frees_nothing(tmp_path: Path) -> None:
    lenient = script('import json, sys; print(json.dumps({"scores": [0] * len(json.load(sys.stdin)["held"])}))')
    sides = {"held": "src/**", "held_as": X, "wanted": "src/a.py", "wanted_as": X}
    assert verdict(tmp_path, lenient, **sides) == "overlap"
    assert verdict(tmp_path, lenient, **{**sides, "wanted": "docs/**"}) == "free"


WEIGHING = Weighing(
    Wanted("item login", ("src/auth/**",), X),
    (Held("docs.1", ("docs/**",), "shared"), Held("lease:7", ("tests/auth/**",), "exclusive")),
)
COULD_NOT = "scorer s could not be asked: "
CLOSE = "item login is coupled with tests/auth/**, held by lease:7: scorer s puts it at 0.5, and 0.5 is too close"
NO_SCORES = COULD_NOT + "its answer is no scores: "
ANSWERS = {
    "nothing is close": ("""print('{"scores": [0, 0.49]}')""", ""),
    "just too close": ("""print('{"scores": [0, 0.5]}')""", CLOSE),
    "a crash": ("raise OSError", COULD_NOT + "it exited with 1"),
    "a signal": ("import os; os.kill(os.getpid(), 11)", COULD_NOT + "signal 11 ended it"),
    "too slow": ("import time; time.sleep(60)", COULD_NOT + "it took longer than 0.6 s"),
    "no answer": ("", NO_SCORES + "Input data was truncated"),
    "garbage": ("print('\\x1b[31m')", NO_SCORES + "JSON is malformed: invalid character (byte 0)"),
    "bytes": ("import os; os.write(1, b'\\xff')", COULD_NOT + "it printed bytes that are no text"),
    "a flood": ("print('0' * 70_000)", COULD_NOT + "it printed more than 64 KiB"),
    "too few": ("""print('{"scores": [0]}')""", COULD_NOT + "it gave 1 scores for 2 leases"),
    "too many": ("""print('{"scores": [0, 0, 0]}')""", COULD_NOT + "it gave 3 scores for 2 leases"),
    "below": ("""print('{"scores": [0, -1]}')""", COULD_NOT + "it gave the score -1, must be 0 to 1"),
    "above": ("""print('{"scores": [0, 1.01]}')""", COULD_NOT + "it gave the score 1.01, must be 0 to 1"),
    "not a number": ("""print('{"scores": [0, NaN]}')""", NO_SCORES + "JSON is malformed: invalid character (byte 15)"),
    "a text": ("""print('{"scores": [0, "0"]}')""", NO_SCORES + "Expected `float`, got `str` - at `$.scores[1]`"),
    "another field": ("""print('{"scores": [0, 0], "more": 1}')""", NO_SCORES + "Object contains unknown field `more`"),
    "no field": ("print('{}')", NO_SCORES + "Object missing required field `scores`"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(tmp_path: Path, name: str) -> None:
    text, expected = ANSWERS[name]
    timeout_ms = 600 if name == "too slow" else 5_000
    asked = Predicates(tmp_path / "state", tmp_path, (), (script(text, timeout_ms=timeout_ms),))
    refusal = objection(asked, WEIGHING)
    assert (refusal.reason if refusal is not None else "") == expected
    assert refusal is None or refusal.code is RefusalCode.predicate


def test_nobody_is_asked_where_nothing_is_open(tmp_path: Path) -> None:
    broken = Predicates(tmp_path / "state", tmp_path, (), (script("raise SystemExit(9)"),))
    assert objection(broken, Weighing(WEIGHING.wanted, ())) is None
    assert objection(Predicates(tmp_path / "state", tmp_path, ()), WEIGHING) is None
    assert objection(broken, WEIGHING) is not None


def test_what_it_reads(tmp_path: Path) -> None:
    seen = "import json, sys; json.dump(json.load(sys.stdin), open('seen', 'w')); print('{\"scores\": [0, 0]}')"
    assert objection(Predicates(tmp_path / "state", tmp_path, (), (script(seen),)), WEIGHING) is None
    assert json.loads((tmp_path / "seen").read_bytes()) == {
        "kind": "ganger.overlap",
        "version": 1,
        "wanted": {"name": "item login", "scope": ["src/auth/**"], "mode": "exclusive"},
        "held": [
            {"holder": "docs.1", "scope": ["docs/**"], "mode": "shared"},
            {"holder": "lease:7", "scope": ["tests/auth/**"], "mode": "exclusive"},
        ],
    }


def test_scorers_of_packages_run_in_processes_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "near-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: near\nVersion: 1\n")
    names = ("zero", "close", "raises", "silent")
    (info / "entry_points.txt").write_text("[ganger.scorers]\n" + "".join(f"{n} = near:{n}\n" for n in names))
    (tmp_path / "site" / "near.py").write_text(
        "def zero(question): print('chatter'); return {'scores': [0] * len(question['held'])}\n"
        "def close(question): return {'scores': [1] * len(question['held'])}\n"
        "def raises(question): raise RuntimeError\n"
        "def silent(question): return None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    invalidate_caches()
    own = script("", name="own")
    found = scorers.with_installed((own,))
    assert [one.name for one in found] == ["own", "close", "raises", "silent", "zero"]
    answers = {one.name: objection(Predicates(tmp_path / "s", tmp_path, (), (one,)), WEIGHING) for one in found[1:]}
    assert answers["zero"] is None
    said = {name: no.reason for name, no in answers.items() if no is not None}
    assert said["close"].startswith("item login is coupled with docs/**, held by docs.1: scorer close puts it at 1")
    assert said["raises"] == "scorer raises could not be asked: it exited with 70"
    assert said["silent"].startswith("scorer silent could not be asked: its answer is no scores")


def test_what_is_kept_is_asked_again_by_others(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    kept = Predicates(tmp_path / "state", tmp_path, (), (script(COUPLES, 0.25),))
    predicates.keep(kept)
    assert predicates.kept(tmp_path / "state") == kept


def test_what_was_weighed_before_another_lease_is_refused() -> None:
    """Two that ask at the same moment cannot both be let through: the second is asked again."""
    story = Story(spec("a", scope=("src/a/**",)), spec("b", scope=("tests/a/**",)), policy=Policy(workers_max=4))
    seq = story.state.seq
    story.do(cmd.GrantRun(ItemId("a"), BASE, weighed=seq))
    late = (
        cmd.GrantRun(ItemId("b"), BASE, weighed=seq),
        cmd.AcquireLease("olga", scope=("tests/a/**",), weighed=seq),
        cmd.AcquireLease("olga", scope=("tests/a/**",), weighed=Seq(0)),
    )
    for command in late:
        assert story.why_not(command) == ("conflict", "a lease was granted since the scorers were asked")
    assert story.do(cmd.AcquireLease("olga", scope=("docs/**",), weighed=story.state.seq))
    assert story.do(cmd.GrantRun(ItemId("b"), BASE)), "where there are no scorers, nothing is weighed"
