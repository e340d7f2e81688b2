"""Nothing an agent plants in its workspace runs in ganger's hands: each vector times each thing that ganger does.

A cell is a vector and an operation; a planted program that runs writes the canary, which names its cell. The negative
control does the same with git as one uses it.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from git_planted import VECTORS, history_lies
from gitworld import RUN, commit, fingerprint, sh, write

from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.errors import GitFailed, WorldFailed
from ganger.git import combining, command, landing, trash, workspace
from ganger.git.changes import changed_paths
from ganger.git.hub import Hub
from ganger.git.merge import checkout_tree, combine, with_protected_from
from ganger.git.repository import (
    Repository,
    check_target,
    checked_out_at,
    detect_target,
    is_dirty,
    open_repository,
    target_tip,
)
from ganger.git.snapshot import commit_tree
from ganger.git.trees import Entry, edit_tree
from ganger.supervisor import recovery

AGAIN = RunId("login.2")
EXPECTED = (GitFailed, WorldFailed)
"""What an operation may say of a workspace that is broken."""


@dataclass
class Case:
    """A workspace with something planted in it, and what came out of it so far."""

    hub: Hub
    space: Path
    repo: Repository
    base: Commit
    room: Path
    """A folder for what operations write."""
    commits: list[Commit] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.hub.path.parent

    @property
    def run(self) -> Run:
        return Run(RUN, ItemId("login"), 1, self.base, "x", Lease(Token(1), ("**",), LeaseMode.exclusive, 0), 0)

    def note(self, made: Commit | None) -> None:
        """Keep a commit for the operations that follow, once."""
        if made is not None and made not in self.commits:
            self.commits.append(made)


def _kept(case: Case) -> None:
    refs = workspace.keep(case.hub, case.space, RUN)
    assert any("/tree" in ref for ref in refs)
    for found in case.hub.refs(f"refs/ganger/keep/{RUN}/").values():
        case.note(found)


def _verified_trees(case: Case) -> None:
    for number, made in enumerate(case.commits):
        tree, base_tree = case.hub.tree_of(made), case.hub.tree_of(case.base)
        checked = with_protected_from(case.hub, tree, base_tree, lambda path: "README" in path, lambda _: True)
        checkout_tree(case.hub, checked, case.room / f"verified-{number}")


def _check_outs(case: Case) -> None:
    for number, made in enumerate(case.commits):
        checkout_tree(case.hub, made, case.room / f"checkout-{number}")


def _combined(case: Case) -> None:
    for made in case.commits:
        result = combine(case.hub, case.base, [(RUN, made, "Land login: x")], 1000)
        case.hub.set_ref(f"refs/ganger/train/{result.commit}", result.commit)


def _prepared(case: Case) -> None:
    """On a base that has other content wherever a candidate changed some."""
    other = Commit(case.hub.git.text("rev-parse", f"{case.base}:README.md"))
    for number, made in enumerate(case.commits):
        paths = [change.raw for change in changed_paths(case.hub, case.base, made) if change.raw != b"README.md"]
        tree = edit_tree(case.hub, case.hub.tree_of(case.base), {raw: Entry("100644", other) for raw in paths})
        begin = commit_tree(case.hub.git, tree, [case.base], "Meanwhile", 1000)
        earlier = (RUN, "default", case.base, made)
        found = combining.prepare(case.hub, RunId(f"login.{number + 3}"), begin, earlier, case.base, lambda _: True)
        assert found is None or found.commit


def _landed(branch: str) -> Callable[[Case], None]:
    def operation(case: Case) -> None:
        found = combine(case.hub, case.base, [(RUN, case.commits[0], "Land login: x")], 1000)
        result = landing.land(case.repo, case.hub, branch, case.base, found.commit, found.tree)
        assert result.state is landing.LandState.landed, result

    return operation


def _workspace_again(case: Case) -> None:
    for number, made in enumerate(case.commits):
        workspace.create(case.hub, case.state / "workspaces" / f"again-{number}", AGAIN, made)


def _repack(case: Case) -> None:
    case.hub.git.run("repack", "-q", "-n", "-d", "--geometric=2")


def _trashed(case: Case) -> None:
    trash.to_trash(case.state, case.space, 1)
    assert trash.prune(case.state, 0, 2)


def _each(look: Callable[[Case, Commit], object]) -> Callable[[Case], None]:
    def operation(case: Case) -> None:
        for made in case.commits:
            look(case, made)

    return operation


OPERATIONS: dict[str, Callable[[Case], object]] = {
    "open the repository": lambda case: open_repository(case.repo.top),
    "find the target": lambda case: (detect_target(case.repo), check_target(case.repo, "main")),
    "look at the branch": lambda case: workspace.tip(case.space, RUN),
    "watch the branch": lambda case: workspace.ref_files(case.space, RUN),
    "is it readable": lambda case: workspace.is_readable(case.space),
    "snapshot": lambda case: case.note(workspace.snapshot(case.hub, case.space, case.base, "auto")),
    "snapshot of all": lambda case: case.note(workspace.snapshot(case.hub, case.space, case.base, "all", whole=True)),
    "fetch the candidate": lambda case: case.note(workspace.fetch_candidate(case.hub, case.space, RUN)),
    "look after a loss": lambda case: recovery.look(case.hub, case.space, case.run),
    "list what is held": lambda case: recovery.held(case.hub, case.space, case.run),
    "keep": _kept,
    "keep again": _kept,
    "list refs": lambda case: case.hub.refs("refs/ganger/"),
    "sync the target": lambda case: case.hub.sync_target(),
    "changed paths": _each(lambda case, made: changed_paths(case.hub, case.base, made)),
    "diff": _each(lambda case, made: case.hub.diff(case.base, made)),
    "diff of a path": _each(lambda case, made: case.hub.diff(case.base, made, ["README.md"])),
    "log": _each(lambda case, made: case.hub.log_subjects(case.base, made)),
    "tree": _each(lambda case, made: case.hub.tree_of(made)),
    "ancestry": _each(lambda case, made: case.hub.is_ancestor(case.base, made)),
    "existence": _each(lambda case, made: case.hub.exists(made)),
    "check out": _check_outs,
    "check out for a check": _verified_trees,
    "combine": _combined,
    "prepare a merge": _prepared,
    "a workspace from it": _workspace_again,
    "repack": _repack,
    "clear after a crash": lambda case: case.hub.recover(2e9),
    "open the hub": lambda case: Hub.open(case.hub.path, case.repo, "main"),
    "land where nobody looks": _landed("quiet"),
    "land where it is checked out": _landed("main"),
    "look at the user's tree": lambda case: (is_dirty(case.repo.top), checked_out_at(case.repo, "main")),
    "look at the user's branch": lambda case: target_tip(case.repo, "main"),
    "trash": _trashed,
}


@pytest.fixture
def evil(tmp_path: Path) -> str:
    """A program that writes the canary, whatever it is called for."""
    program = tmp_path / "evil"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/canary\ncat >/dev/null 2>&1 </dev/null\n')
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def case(hub: Hub, space: Path, repo: Repository, base: Commit, tmp_path: Path) -> Case:
    """A workspace in which somebody worked."""
    sh(repo.top, "branch", "quiet")
    commit(space, {"src/m1/f1.py": "changed\n", "lib.py": "new\n"})
    write(space, {"README.md": "uncommitted\n", "untracked.py": "x\n"})
    return Case(hub, space, repo, base, tmp_path / "room")


def cells(case: Case, canary: Path) -> list[str]:
    """Do everything with the workspace; return the operations in which the canary was written."""
    fired = []
    for name, operation in OPERATIONS.items():
        with contextlib.suppress(*EXPECTED):
            operation(case)
        if canary.exists():
            fired.append(f"{name}: {canary.read_text()}")
            canary.unlink()
    return fired


@pytest.mark.parametrize("name", VECTORS)
def test_nothing_planted_runs(name: str, evil: str, case: Case, tmp_path: Path) -> None:
    VECTORS[name](case.space, evil)
    canary = tmp_path / "canary"
    canary.unlink(missing_ok=True)
    before = fingerprint(case.repo.top, lambda path: path.split("/")[0] == ".git")
    config = (case.repo.common_dir / "config").read_bytes()
    assert cells(case, canary) == []
    assert case.commits, "nothing came out of it"
    assert is_dirty(case.repo.top) == ()
    assert (case.repo.common_dir / "config").read_bytes() == config
    after = fingerprint(case.repo.top, lambda path: path.split("/")[0] == ".git")
    changed = {path for path in before if after.get(path) != before[path]}
    assert changed <= {"README.md", "src", "src/m1", "src/m1/f1.py"}


def test_the_matrix_is_as_large_as_it_is_said_to_be() -> None:
    assert len(VECTORS) >= 60
    assert len(OPERATIONS) >= 30


def test_each_operation_works_where_nothing_is_planted(case: Case) -> None:
    """Else a cell could be empty because nothing was done."""
    for operation in OPERATIONS.values():
        operation(case)
    assert len(case.commits) >= 3


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A `git` first on PATH that notes what it is called for and then is git; yields the notes."""
    notes, real = tmp_path / "notes", command.git_program()
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "git").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {notes}\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    caches = (command.git_program, command._search_path, command._base_env)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for cache in caches:
        cache.cache_clear()
    yield notes
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


def test_the_operations_start_every_git_command_that_ganger_has(recorded: Path, case: Case) -> None:
    """Held against the source: a command that is new in `ganger.git` must be met by an operation here."""
    for operation in OPERATIONS.values():
        operation(case)
    started = set(recorded.read_text().split("\n"))
    assert _commands_of_the_source() - _ONLY_ELSEWHERE - _NO_COMMANDS <= started


_ONLY_ELSEWHERE = {"fsck", "mktree", "init", "clone"}
"""Of damaged objects (they are met by vectors that damage some), of trees with edits, and of founding a hub."""


_NO_COMMANDS = {"replace", "stash"}
"""Words that mean something else there: how bytes are decoded, and a file of the reflog."""


def _commands_of_the_source() -> set[str]:
    """The names of git's own commands that stand as texts in the modules of `ganger.git`."""
    printed = subprocess.run(["git", "--list-cmds=builtins"], capture_output=True, text=True, check=True).stdout
    known = set(printed.split())
    texts = "".join(file.read_text() for file in sorted(Path(command.__file__).parent.glob("*.py")))
    return {name for name in known if f'"{name}",' in texts or f'"{name}")' in texts}


NAIVE = (
    ["status"],
    ["diff"],
    ["diff", "--stat", "HEAD"],
    ["log", "-1"],
    ["log", "-p", "-2"],
    ["show"],
    ["add", "-A"],
    ["commit", "-m", "x"],
    ["fetch", ".", "HEAD"],
    ["fetch", "origin"],
    ["push", ".", "HEAD:refs/heads/pushed"],
    ["submodule", "update", "--init"],
    ["merge", "--no-edit", "HEAD~1"],
    ["checkout", "HEAD~1"],
)
"""Nothing that would remove files it does not know, should a vector lead it somewhere else."""


def assert_inside(space: Path, room: Path) -> None:
    """AssertionError when plain git in this workspace would work on files outside of the test's own folder."""
    config = space / ".git" / "config"
    text = config.read_text() if config.is_file() else ""
    for value in re.findall(r"worktree = (.*)", text):
        assert (space / ".git" / value).resolve().is_relative_to(room), value


def test_the_vectors_work_against_naive_git(
    evil: str, hub: Hub, tmp_path: Path, base: Commit, capsys: pytest.CaptureFixture[str]
) -> None:
    """The negative control: most of them do run when somebody works in the workspace with plain git."""
    canary = tmp_path / "canary"
    fired: dict[str, list[str]] = {}
    for number, (name, plant) in enumerate(VECTORS.items()):
        if name == "pipes":
            continue
        space = tmp_path / f"naive-{number}" / "w"
        workspace.create(hub, space, RUN, base)
        commit(space, {"src/m1/f1.py": "changed\n"})
        write(space, {"README.md": "uncommitted\n"})
        plant(space, evil)
        assert_inside(space, tmp_path)
        for args in NAIVE:
            canary.unlink(missing_ok=True)
            sh(space, *args, check=False)
            if canary.exists():
                fired.setdefault(name, []).append(args[0])
    with capsys.disabled():
        by_status = sum("status" in names for names in fired.values())
        cells_fired = sum(map(len, fired.values()))
        print(
            f"\nnaive git: {len(fired)} of {len(VECTORS)} vectors in {cells_fired} cells; {by_status} by `git status`"
        )
    assert len(fired) >= 25, sorted(set(VECTORS) - set(fired))
    assert by_status >= 10


def test_history_that_lies_is_seen_as_it_is(hub: Hub, space: Path, base: Commit) -> None:
    made = commit(space, {"a": "1"})
    history_lies(space, "")
    assert workspace.fetch_candidate(hub, space, RUN) == made
    assert hub.is_ancestor(base, made)
    assert {change.path for change in changed_paths(hub, base, made)} == {"a"}
