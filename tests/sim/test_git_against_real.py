"""The simulated git against the real one: random histories, and each question that the simulation asks of it.

The real side goes the way the product goes: `merge.combine`, `changes.changed_paths`, `Git.is_ancestor`,
`landing.land`. Only making commits and asking for their trees is batched, many histories in one call of git.

`GANGER_SEEDS=1000000 GANGER_SEED=7` plays 10,000 histories from the seventh on; 300 without.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from random import Random

import pytest
from msgspec import Struct, field

from ganger.core.ids import Commit, RunId
from ganger.git.changes import changed_paths
from ganger.git.command import run_safe
from ganger.git.hub import Hub
from ganger.git.landing import land
from ganger.git.merge import combine
from ganger.git.repository import Repository, open_repository
from ganger.testing.simulated_git import Files, SimulatedGit

FIRST = int(os.environ.get("GANGER_SEED", "0"))
HISTORIES = min(max(300, int(os.environ.get("GANGER_SEEDS", "0")) // 100), 10_000)
CHUNK = 50
WHEN_MS = 1_800_000_000_000
NAMES = ("a/p.txt", "a/q.txt", "a/sub/p.txt", "a.txt", "a-b/p.txt", "b/p.txt", "shared/ä.txt")
ROUNDS = 2
LANDS_EVERY = 25
"""Of so many histories one is landed in a user's repository, which takes as long as all the rest of it."""


class History(Struct):
    """One random history in both gits."""

    rng: Random
    target: Commit
    """Where the target is; all commits are named as the simulated git names them."""
    git: SimulatedGit = field(default_factory=SimulatedGit)
    real: dict[Commit, Commit] = field(default_factory=dict)
    """The real commit for each simulated one."""
    new: list[Commit] = field(default_factory=list)
    """Commits that the real git does not have yet."""
    written: int = 0

    def pick(self, among: list[Commit] | None = None) -> Commit:
        """Choose a commit, the newer the likelier."""
        found = among or list(self.git.nodes)
        return found[max(self.rng.randrange(len(found)), self.rng.randrange(len(found)))]

    def commit(self, parent: Commit, files: Files) -> Commit:
        """Commit on a parent; the real git follows later."""
        made = self.git.commit(files, (parent,) if parent else (), f"number {self.rng.randrange(1_000)}")
        self.new.append(made)
        return made

    def edit(self, parent: Commit) -> Commit:
        """Commit with some paths written, removed, or put back to what an older commit has there."""
        files = dict(self.git.files(parent))
        for path in self.rng.sample(NAMES, self.rng.choice((0, 1, 1, 2, 3))):
            older = self.git.files(self.pick()).get(path)
            action = self.rng.choice(("write", "write", "write", "remove", "restore"))
            if action == "write":
                self.written += 1
                files[path] = f"text {self.written}\n"
            elif action == "restore" and older is not None:
                files[path] = older
            else:
                files.pop(path, None)
        return self.commit(parent, files)

    def join(self, commit: Commit, other: Commit) -> Commit:
        """Merge another commit into this one; conflicts are settled in favour of this one."""
        made = self.git.merge(commit, other, "together")
        if isinstance(made, tuple):
            made = self.git.commit(self.git.files(commit), (commit, other), "settled")
        self.new.append(made)
        return made

    def cross(self, commit: Commit) -> Commit:
        """Merge work on a commit and on the target both ways: what comes after has two merge bases."""
        one, other = self.edit(commit), self.edit(self.target)
        self.target = self.edit(self.join(one, other))
        return self.edit(self.join(other, one))


def begin(seed: int) -> History:
    """Start a history with one commit."""
    rng = Random(f"git {seed}")
    history = History(rng, Commit(""))
    start = {path: f"start {path}\n" for path in rng.sample(NAMES, rng.randrange(len(NAMES) + 1))}
    history.target = history.commit(Commit(""), start)
    return history


def work(history: History) -> list[Commit]:
    """Let the operator commit, revert or move the target, and workers make candidates; return these."""
    rng, git = history.rng, history.git
    for _ in range(rng.randrange(3)):
        match rng.choice(("commit", "commit", "revert", "force")):
            case "commit":
                history.target = history.edit(history.target)
            case "revert":
                history.target = history.commit(history.target, git.files(history.pick(git.history(history.target))))
            case "force":
                history.target = history.pick()
    candidates = []
    for _ in range(rng.randrange(1, 4)):
        candidate = history.pick(git.history(history.target)) if rng.random() < 0.7 else history.pick()
        for _ in range(rng.choice((0, 1, 1, 2))):
            candidate = history.edit(candidate)
        candidates.append(history.cross(candidate) if rng.random() < 0.3 else candidate)
    return candidates


def follow(histories: list[History], hub: Hub) -> None:
    """Make in the real git the commits that it does not have yet, all in one call."""
    lines: list[bytes] = []
    asked: list[tuple[History, Commit]] = []
    for history in histories:
        for made in dict.fromkeys(history.new):
            if made not in history.real:
                asked.append((history, made))
                history.real[made] = Commit(f":{len(asked)}")
                lines.append(_as_import(history, made, len(asked)))
        history.new.clear()
    lines += [b"get-mark :%d\n" % number for number in range(1, len(asked) + 1)]
    printed = hub.git.run("fast-import", "--quiet", "--force", input=b"".join(lines)).split()
    for (history, made), found in zip(asked, printed, strict=True):
        history.real[made] = Commit(found.decode())


def _as_import(history: History, made: Commit, mark: int) -> bytes:
    node = history.git.nodes[made]
    message = f"{made}\n".encode()
    lines = [b"commit refs/ganger/histories\nmark :%d\ncommitter a <a@b> 1700000000 +0000\n" % mark]
    lines.append(b"data %d\n%s" % (len(message), message))
    for word, parent in zip((b"from", b"merge"), node.parents, strict=False):
        lines.append(b"%s %s\n" % (word, history.real[parent].encode()))
    lines.append(b"deleteall\n")
    for path, text in node.files.items():
        lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(text.encode()), text.encode()))
    root = b"" if node.parents else b"reset refs/ganger/histories\n"
    return root + b"".join(lines)


def merge_all(history: History, hub: Hub, candidates: list[Commit]) -> list[Commit]:
    """Merge candidates onto the target in order, in both gits; return where the target was, and each tip since."""
    runs = [RunId(f"i{number}.1") for number in range(len(candidates))]
    tips = [history.target]
    merged = []
    conflicts: dict[RunId, tuple[str, ...]] = {}
    for run, candidate in zip(runs, candidates, strict=True):
        result = history.git.merge(tips[-1], candidate, f"land {run}")
        if isinstance(result, tuple):
            conflicts[run] = result
        else:
            tips.append(result)
            merged.append(run)
    given = [(run, history.real[c], f"land {run}") for run, c in zip(runs, candidates, strict=True)]
    combined = combine(hub, history.real[tips[0]], given, WHEN_MS)
    assert combined.conflicts == conflicts
    assert combined.merged == tuple(merged)
    assert combined.tree == tree_id(history.git.files(tips[-1]))
    assert history.real.setdefault(tips[-1], combined.commit) == combined.commit, "one commit here is two there"
    return tips


def name_tips(tips: list[tuple[History, list[Commit]]], hub: Hub) -> None:
    """Find the real commits of the tips in between, by following first parents, in one call."""
    asked = [(history, own[-1], own[at], len(own) - 1 - at) for history, own in tips for at in range(1, len(own) - 1)]
    lines = b"".join(f"{history.real[last]}~{back}\n".encode() for history, last, _, back in asked)
    printed = hub.git.run("cat-file", "--batch-check=%(objectname)", input=lines).split() if asked else []
    for (history, _, tip, _), found in zip(asked, printed, strict=True):
        assert history.real.setdefault(tip, Commit(found.decode())) == found.decode(), "one commit here is two there"


def ask(history: History, hub: Hub) -> None:
    """Ask both gits about random commits."""
    git, real = history.git, history.real
    one, other = history.pick(), history.pick()
    assert git.is_ancestor(one, other) == hub.git.is_ancestor(real[one], real[other])
    assert git.changed(one, other) == tuple(change.path for change in changed_paths(hub, real[one], real[other]))
    last = list(git.nodes)[-1]
    listed = hub.git.text("rev-list", real[last]).split()
    assert sorted(real[found] for found in git.history(last)) == sorted(listed)


def ask_trees(histories: list[History], hub: Hub) -> None:
    """Compare the files and parents of every commit, and which commits are one."""
    asked = [(history, commit) for history in histories for commit in history.git.nodes]
    lines = b"".join(f"{history.real[commit]}^{{tree}}\n".encode() for history, commit in asked)
    printed = hub.git.run("cat-file", "--batch-check=%(objectname)", input=lines).split()
    for (history, commit), found in zip(asked, printed, strict=True):
        assert found.decode() == tree_id(history.git.files(commit))
    names = b"".join(f"{history.real[commit]}\n".encode() for history, commit in asked)
    listed = hub.git.run("rev-list", "--no-walk", "--parents", "--stdin", input=names).decode().splitlines()
    parents = {line.split()[0]: line.split()[1:] for line in listed}
    for history, commit in asked:
        expected = [history.real[parent] for parent in history.git.nodes[commit].parents]
        assert parents[history.real[commit]] == expected
    for history in histories:
        assert len(set(history.real.values())) == len(history.real) == len(history.git.nodes)
        by_id = {history.git.tree(commit): tree_id(history.git.files(commit)) for commit in history.git.nodes}
        assert len(set(by_id.values())) == len(by_id)


def tree_id(files: Files) -> str:
    """The id that git gives to a tree of these files."""
    below: dict[str, dict[str, str]] = {}
    entries = []
    for path, text in files.items():
        top, slash, rest = path.partition("/")
        if slash:
            below.setdefault(top, {})[rest] = text
        else:
            entries.append((top, b"100644 %s\0" % top.encode() + _id(b"blob", text.encode())))
    entries += [
        (f"{top}/", b"40000 %s\0" % top.encode() + bytes.fromhex(tree_id(in_it))) for top, in_it in below.items()
    ]
    return _id(b"tree", b"".join(entry for _, entry in sorted(entries))).hex()


def _id(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0" % (kind, len(content)) + content).digest()


def land_both(history: History, hub: Hub, user: Repository, old: Commit, new: Commit) -> None:
    """Land what was merged while the operator may have moved the target: moved, found, or swapped in both."""
    git, real, rng = history.git, history.real, history.rng
    history.target = rng.choice((old, old, new, history.pick()))
    hub.git.run("push", "--quiet", "--force", str(user.common_dir), f"{real[history.target]}:refs/heads/main")
    found = land(user, hub, "main", real[old], real[new], Commit(tree_id(git.files(new))))
    if git.is_ancestor(new, history.target) or history.target == old:
        state, history.target = "landed", history.target if history.target != old else new
    else:
        state = "moved"
    assert (found.state, found.tip) == (state, real[history.target])
    assert user.git.rev_parse("refs/heads/main") == real[history.target]


@pytest.fixture
def user(tmp_path: Path) -> Repository:
    """A user's repository whose `main` is not checked out."""
    top = tmp_path / "user"
    top.mkdir()
    run_safe(top, "init", "-q", "-b", "elsewhere", ".")
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    run_safe(top, *name, "commit", "-q", "--allow-empty", "-m", "root")
    run_safe(top, "branch", "main")
    return open_repository(top)


@pytest.fixture
def hub(tmp_path: Path, user: Repository) -> Hub:
    return Hub.open(tmp_path / "state" / "hub.git", user, "main")


@pytest.mark.parametrize("first", range(FIRST, FIRST + HISTORIES, CHUNK))
def test_the_simulated_git_does_as_the_real_one(first: int, hub: Hub, user: Repository) -> None:
    histories = [begin(seed) for seed in range(first, first + CHUNK)]
    for _ in range(ROUNDS):
        candidates = [work(history) for history in histories]
        follow(histories, hub)
        tips = [(history, merge_all(history, hub, own)) for history, own in zip(histories, candidates, strict=True)]
        name_tips(tips, hub)
        for number, (history, own) in enumerate(tips):
            if number % LANDS_EVERY == 0:
                land_both(history, hub, user, own[0], own[-1])
            elif history.rng.random() < 0.7:
                history.target = own[-1]
    for history in histories:
        ask(history, hub)
    ask_trees(histories, hub)
