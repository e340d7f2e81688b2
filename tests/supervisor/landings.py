"""Landings by the hundred on real git by real supervisors: what must never happen is counted, read from git itself.

    PYTHONPATH=tests/supervisor python -m landings --seed 1 --landings 300

Each round has twenty candidates on one base: some change one file in different ways, some fail alone, some fail with
one other. Checks fail by chance at first, a person commits to the target just before it is moved, the supervisor is
killed before any of the git processes that it starts, and some of what landed is undone. A round with a wrong merge
base must stop at the first landing. `--without` switches a defence off: then something must be counted.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
from msgspec import Struct

from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId
from ganger.core.model import CheckState
from ganger.core.policy import Policy
from ganger.git import merge
from ganger.git.command import oid
from ganger.git.hub import Hub
from ganger.git.refs import train_ref
from ganger.git.snapshot import commit_tree
from ganger.supervisor.effects import LandSeen
from ganger.supervisor.train import Train
from ganger.testing.real_train import Candidate, Depot, Opened, supervise

BATCH = 20
HALVES = 3
SCRIPT = """
test ! -e bad || exit 1
for n in 0 1 2; do test ! -e half-$n-left || test ! -e half-$n-right || exit 1; done
test -n "$0" || exit 0
tree=$(cat * | cksum | tr ' ' -)
case $tree in *[037]) test -e "$0/$tree" || { touch "$0/$tree"; exit 1; };; esac
"""
"""Its first argument is a folder that remembers the trees on which it has failed by chance, or empty."""
DEFENCES = ("audit", "test", "compare", "retries")
STEPS = 90
"""About as many git processes does a supervisor start in a round; it is killed before one of them."""
ROUNDS_MAX = 12
WRONG_BASE, KILLED = 3, -signal.SIGKILL


class Tally(Struct):
    """What was played, and what was found."""

    landings: int = 0
    undos: int = 0
    conflicts: int = 0
    """Candidates sent back because they do not merge."""
    guilty: int = 0
    """Candidates sent back because they fail, alone or with another."""
    kills: int = 0
    moves: int = 0
    """Commits of a person's between a test and its landing."""
    wrong_bases: int = 0
    noticed: int = 0
    """Of those, how many stopped at the first landing."""
    red_tips: int = 0
    lost: int = 0
    """Changes that were on the target, or should be, and are not."""
    twice: int = 0
    """Runs that landed twice."""
    innocent: int = 0
    """Candidates sent back for what they did not do."""
    stranded: int = 0
    """Candidates of which nobody says why they have not landed."""

    @property
    def varied(self) -> bool:
        """Whether everything has happened that a round can meet with."""
        return all((self.conflicts, self.guilty, self.kills, self.wrong_bases, self.undos))

    @property
    def faults(self) -> int:
        """What must not be."""
        missed = self.wrong_bases - self.noticed
        return self.red_tips + self.lost + self.twice + self.innocent + self.stranded + missed


def drawn(rng: Random, first: int) -> list[Candidate]:
    """Candidates, mostly good by themselves."""
    made = []
    for number in range(first, first + BATCH):
        files: dict[str, str | None] = {f"own-{number:04}": f"{number}\n"}
        kind = rng.choice(("own", "own", "own", "own", "own", "shared", "half", "bad"))
        if kind == "shared":
            files["shared"] = f"{number}\n"
        elif kind == "half":
            files[f"half-{rng.randrange(HALVES)}-{rng.choice(('left', 'right'))}"] = f"{number}\n"
        elif kind == "bad":
            files["bad"] = f"{number}\n"
        made.append(Candidate(f"c{number:04}", files, is_fine_alone=kind != "bad"))
    return made


class Round:
    """One depot, played until nothing more lands."""

    def __init__(self, root: Path, seed: int, number: int, tally: Tally, without: str, *, kills: bool) -> None:
        self.rng = Random(f"{seed} {number}")
        self.tally, self.kills, self.without = tally, kills, without
        self.root = root / f"{seed}-{number}"
        flakes = self.root / "flakes"
        flakes.mkdir(parents=True)
        is_flaky = self.rng.random() < 0.5 or without == "retries"
        argv = ("sh", "-c", SCRIPT, str(flakes) if is_flaky else "")
        self.candidates = {one.name: one for one in drawn(self.rng, number * BATCH)}
        policy = Policy(
            train_max=self.rng.choice((3, 8)),
            train_parallel=self.rng.choice((1, 2, 3)),
            workers_max=BATCH,
            flaky_retries=0 if without == "retries" else 2,
        )
        start = {"shared": "start\n", "README": "x\n"}
        self.depot = Depot(self.root, start, list(self.candidates.values()), argv, policy)
        (self.root / "policy.json").write_bytes(msgspec.json.encode(policy))
        self.mine: list[str] = []
        self.undone: set[str] = set()

    def play(self) -> None:
        """Play it, and count what is found."""
        try:
            if self.rng.random() < 0.4 or self.without == "audit":
                self._with_a_wrong_base()
            self._nights()
            self._undo()
            self._count()
        finally:
            self.depot.close()

    def _with_a_wrong_base(self) -> None:
        """A person has committed; merged against the wrong commit, each candidate would take that back."""
        kept = self._commit()
        self.depot.close()
        code = run_child(self.root, "--wrong-base", *(("--without", self.without) if self.without else ()))
        self.depot.reopen()
        self.tally.wrong_bases += 1
        self.tally.noticed += code == WRONG_BASE and self.depot.git("rev-parse", "main") == kept

    def _nights(self) -> None:
        """Let supervisors work, some of which are killed, until nobody has anything to do."""
        for _ in range(self.rng.randrange(4) if self.kills else 0):
            self.depot.close()
            self.tally.kills += run_child(self.root, "--kill-at", str(self.rng.randrange(1, STEPS))) == KILLED
            settled(self.depot.top)
            if self.rng.random() < 0.5:
                self._commit()
            self.depot.reopen()
        world = self.depot.world
        for _ in range(6):
            self.depot.world = Moving(self, world)
            self.depot.night()
            questions = self.depot.fleet.look(lambda state, _: list(state.questions.values()))
            for question in questions:
                self.depot.do(cmd.AnswerQuestion(question.id, question.options[0], "olga"))
            if not questions:
                return

    def _undo(self) -> None:
        """Have some of what landed undone."""
        landed = sorted(self.depot.landed())
        chosen = self.rng.sample(landed, min(len(landed), self.rng.randrange(3)))
        for name in chosen:
            self.depot.do(cmd.UndoLanding("olga", ItemId(name)))
        if chosen:
            self._nights()
        self.undone = set(chosen) - self.depot.landed()
        self.tally.undos += len(self.undone)

    def _commit(self) -> Commit:
        """A person commits a file of their own."""
        name = f"mine-{len(self.mine)}"
        self.mine.append(name)
        (self.depot.top / name).write_text(f"{name}\n")
        self.depot.git("add", name)
        self.depot.git("commit", "-q", "-m", name, "--", name)
        return Commit(self.depot.git("rev-parse", "main"))

    def moves(self) -> None:
        """Now and then a person commits just before the target is moved."""
        if self.rng.random() < 0.15 or self.without == "compare":
            self._commit()
            self.tally.moves += 1

    def _count(self) -> None:
        landed = self.depot.landed()
        self.tally.landings += len(landed) + len(self.undone)
        self._count_tips()
        self._count_lost(landed)
        runs = self.depot.git(
            "log", "--first-parent", "--format=%(trailers:key=Ganger-Run,valueonly,separator=)", "main"
        )
        named = [run for run in runs.splitlines() if run]
        self.tally.twice += len(named) - len(set(named))
        ever = landed | self.undone
        for name, why in self.depot.reasons().items():
            if name not in self.undone:
                self._count_reason(self.candidates[name], why, ever)

    def _count_tips(self) -> None:
        """Read every commit that the target ever pointed at from its own log."""
        for tip in set(self.depot.git("log", "-g", "--format=%H", "main").splitlines()):
            names = set(self.depot.git("ls-tree", "--name-only", tip).splitlines())
            torn = any(f"half-{n}-left" in names and f"half-{n}-right" in names for n in range(HALVES))
            self.tally.red_tips += "bad" in names or torn

    def _count_lost(self, landed: set[str]) -> None:
        printed = self.depot.git("ls-tree", "--format=%(path)", "main").splitlines()
        here = {path: self.depot.git("show", f"main:{path}") for path in printed}
        expected: dict[str, str | None] = {"shared": "start", "README": "x", **{name: name for name in self.mine}}
        for name in landed:
            for path, text in self.candidates[name].files.items():
                expected[path] = text.strip() if text is not None else None
        self.tally.lost += sum(here.get(path) != text for path, text in expected.items())
        self.tally.lost += sum(f"own-{name[1:]}" in here for name in self.undone)

    def _count_reason(self, one: Candidate, why: str, landed: set[str]) -> None:
        """Whether what is said of a candidate that was sent back is so."""
        if not why:
            self.tally.stranded += 1
            return
        there = {path for name in landed for path in self.candidates[name].files}
        if "does not merge" in why:
            self.tally.conflicts += 1
            self.tally.innocent += not there.intersection(one.files)
            return
        self.tally.guilty += 1
        others = (path.replace("left", "?").replace("right", "left").replace("?", "right") for path in one.files)
        self.tally.innocent += not ("bad" in one.files or any("half" in path and path in there for path in others))


class Moving:
    """A world in which a person commits just before the target is moved."""

    def __init__(self, played: Round, world: Any) -> None:
        self._played, self._world = played, world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def land(self, old: Commit, new: Commit, tree: Commit) -> LandSeen:
        self._played.moves()
        if self._played.without == "compare":
            depot = self._played.depot
            depot.git("fetch", "-q", str(depot.hub.path), train_ref(new))
            depot.git("reset", "-q", "--hard", new)
            return LandSeen("landed", new)
        seen = self._world.land(old, new, tree)
        assert isinstance(seen, LandSeen)
        return seen


def settled(top: Path) -> None:
    """Wait until no git of a supervisor that was killed works in a repository any more."""
    deadline = time.monotonic() + 10
    while (top / ".git" / "index.lock").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.1)


def killed_at(root: Path, step: int) -> bool:
    """Land two and undo one with a supervisor that dies before its `step`-th git process; tell whether it got there.

    AssertionError when anything but that comes of it.
    """
    candidates = [Candidate(name, {name: f"{name}\n"}, is_fine_alone=True) for name in "ab"]
    depot = Depot(root, {"README": "x\n"}, candidates, ("true",), Policy(workers_max=2))
    (root / "policy.json").write_bytes(msgspec.json.encode(depot.policy))
    try:
        first = _killed_once(depot, root, step)
        assert depot.landed() == {"a", "b"}
        depot.do(cmd.UndoLanding("olga", ItemId("a")))
        second = _killed_once(depot, root, step)
        assert depot.landed() == {"b"}
        assert depot.git("ls-tree", "--name-only", "main").split() == ["README", "b"]
        subjects = depot.git("log", "--first-parent", "--format=%s", "main").splitlines()
        assert subjects == ["Undo a", "Land b: Change b", "Land a: Change a", "start"]
        assert not depot.git("status", "--porcelain")
        return first or second
    finally:
        depot.close()


def _killed_once(depot: Depot, root: Path, step: int) -> bool:
    depot.close()
    code = run_child(root, "--kill-at", str(step))
    settled(depot.top)
    depot.reopen()
    depot.night()
    assert code in (0, KILLED), code
    return code == KILLED


# ── the other process ──


def run_child(root: Path, *args: str) -> int:
    """Let another process supervise the depot at `root`; returns how it ended."""
    command = [sys.executable, "-m", "landings", "--child", str(root), *args]
    folder = Path(__file__).parent
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False).returncode


def supervised(root: Path, kill_at: int, without: str, *, wrong_base: bool) -> int:
    """Supervise the depot at `root`; die before the `kill_at`-th git process."""
    policy = msgspec.json.decode((root / "policy.json").read_bytes(), type=Policy)
    opened = Opened(root, policy)
    started = 0

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal started
        if event == "subprocess.Popen":
            started += 1
            if started == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    if kill_at:
        sys.addaudithook(count)
    if wrong_base:
        vars(merge)["_merged_tree"] = merged_against_the_tip
    try:
        with switched_off(without):
            supervise(opened.fleet, opened.world, opened.watch)
    except AssertionError as error:
        print(error, file=sys.stderr)
        os._exit(WRONG_BASE if "loses or makes changes" in str(error) else 4)
    return 0


def merged_against_the_tip(hub: Hub, tip: Commit, candidate: Commit) -> Commit:
    """Merge as if the target itself were the common ancestor: what it has and the candidate has not is taken away."""
    base = commit_tree(hub.git, hub.tree_of(tip), (), "wrong", 0)
    theirs = commit_tree(hub.git, hub.tree_of(candidate), (base,), "wrong", 0)
    return Commit(hub.git.text("merge-tree", "--write-tree", oid(base), oid(theirs)))


@contextlib.contextmanager
def switched_off(defence: str) -> Iterator[None]:
    """Have the program do without a defence for a while."""
    kept = {name: vars(Train)[name] for name in ("_audit", "_results")}
    if defence == "audit":
        Train._audit = lambda self, *args: None  # type: ignore[method-assign]
    if defence == "test":
        results = Train._results

        def believed(self: Train, *args: Any, **how: Any) -> Any:
            found = results(self, *args, **how)
            return tuple(msgspec.structs.replace(one, state=CheckState.passed) for one in found)

        Train._results = believed  # type: ignore[method-assign]
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(Train, name, function)


def play(root: Path, seed: int, landings: int, without: str = "", *, kills: bool = True) -> Tally:
    """Play rounds until so many landings were made; with kills, until also everything has happened, or `ROUNDS_MAX`.

    How many git processes a supervisor starts, so whether one of them is its last, is a matter of chance.
    """
    logging.getLogger("ganger.supervisor").setLevel(logging.ERROR)
    tally, number = Tally(), 0
    with switched_off(without):
        while tally.landings < landings or (kills and not tally.varied and number < ROUNDS_MAX):
            Round(root, seed, number, tally, without, kills=kills).play()
            number += 1
    return tally


def main(arguments: Sequence[str]) -> int:
    """Play and print what was found; 0 when nothing was that must not be."""
    parser = argparse.ArgumentParser(prog="python -m landings", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--landings", type=int, default=300)
    parser.add_argument("--without", choices=DEFENCES, default="", help="switch a defence off")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--kill-at", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--wrong-base", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        return supervised(options.child, options.kill_at, options.without, wrong_base=options.wrong_base)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="landings-") as folder:
        tally = play(Path(folder), options.seed, options.landings, options.without)
    for name, value in msgspec.structs.asdict(tally).items():
        print(f"{name:12} {value}")
    print(f"{tally.faults} faults in {time.monotonic() - began:.0f} s, seed {options.seed}")
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
