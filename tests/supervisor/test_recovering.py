"""What is found of a run whose worker is gone, and how its workspace is put back: with real git and real files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import RUN, SPEC, Lab, git
from msgspec.structs import replace

from ganger.core.ids import Commit
from ganger.core.model import RecoveryFacts
from ganger.drivers import process
from ganger.errors import WorldFailed
from ganger.git import workspace
from ganger.git.refs import candidate_ref, keep_prefix


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path, "sleep 60")
    workspace.create(made.hub, made.place, RUN, made.run.base)
    yield made
    made.close()


def commit(place: Path, text: str) -> Commit:
    (place / "a.txt").write_text(text)
    git(place, "commit", "-q", "-a", "-m", f"make it {text!r}")
    return Commit(git(place, "rev-parse", "HEAD"))


def found(lab: Lab) -> RecoveryFacts:
    return lab.world.recover(lab.run, SPEC)


def nothing(lab: Lab) -> RecoveryFacts:
    return RecoveryFacts(True, lab.run.base, True, True, False)


def committed(lab: Lab) -> RecoveryFacts:
    return RecoveryFacts(True, commit(lab.place, "two\n"), True, True, False)


def packed(lab: Lab) -> RecoveryFacts:
    head = commit(lab.place, "two\n")
    git(lab.place, "gc", "-q")
    return RecoveryFacts(True, head, True, True, False)


def gone(lab: Lab) -> RecoveryFacts:
    lab.place.rename(lab.state_dir / "away")
    return RecoveryFacts(False, Commit(""), False, True, False)


def a_link(lab: Lab) -> RecoveryFacts:
    lab.place.rename(lab.state_dir / "away")
    lab.place.symlink_to(lab.state_dir / "away")
    return RecoveryFacts(False, Commit(""), False, True, False)


def without_branch(lab: Lab) -> RecoveryFacts:
    git(lab.place, "checkout", "-q", "--detach")
    git(lab.place, "branch", "-q", "-D", f"ganger/{RUN}")
    return RecoveryFacts(True, Commit(""), False, True, False)


def branch_of_another_history(lab: Lab) -> RecoveryFacts:
    git(lab.place, "checkout", "-q", "--orphan", "new")
    git(lab.place, "commit", "-q", "-m", "anew")
    git(lab.place, "branch", "-q", "-M", "new", f"ganger/{RUN}")
    return RecoveryFacts(True, Commit(git(lab.place, "rev-parse", "HEAD")), False, True, False)


def object_lost(lab: Lab) -> RecoveryFacts:
    head = commit(lab.place, "two\n")
    tree = git(lab.place, "rev-parse", "HEAD^{tree}")
    (lab.place / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    return RecoveryFacts(True, head, False, True, False)


def object_damaged(lab: Lab) -> RecoveryFacts:
    head = commit(lab.place, "two\n")
    file = lab.place / ".git" / "objects" / head[:2] / head[2:]
    file.chmod(0o600)
    file.write_bytes(b"torn")
    return RecoveryFacts(True, head, False, True, False)


def target_went_on(lab: Lab) -> RecoveryFacts:
    commit(lab.top, "three\n")
    return RecoveryFacts(True, lab.run.base, True, True, False)


def target_was_rewritten(lab: Lab) -> RecoveryFacts:
    git(lab.top, "commit", "-q", "--amend", "-m", "rewritten")
    return RecoveryFacts(True, lab.run.base, True, False, False)


def target_is_gone(lab: Lab) -> RecoveryFacts:
    git(lab.top, "branch", "-m", "main", "other")
    return RecoveryFacts(True, lab.run.base, True, False, False)


def landed(lab: Lab) -> RecoveryFacts:
    head = commit(lab.place, "two\n")
    git(lab.top, "pull", "-q", "--ff-only", str(lab.place), f"ganger/{RUN}")
    return RecoveryFacts(True, head, True, True, True)


def landed_and_gone(lab: Lab) -> RecoveryFacts:
    landed(lab)
    workspace.fetch_candidate(lab.hub, lab.place, RUN)
    return replace(gone(lab), landed=True)


@pytest.mark.parametrize(
    "case",
    [
        nothing,
        committed,
        packed,
        gone,
        a_link,
        without_branch,
        branch_of_another_history,
        object_lost,
        object_damaged,
        target_went_on,
        target_was_rewritten,
        target_is_gone,
        landed,
        landed_and_gone,
    ],
)
def test_facts(lab: Lab, case: Callable[[Lab], RecoveryFacts]) -> None:
    expected = case(lab)
    assert found(lab) == expected
    assert found(lab) == expected


def test_git_of_the_workspace_is_never_run(lab: Lab, tmp_path: Path) -> None:
    head = commit(lab.place, "two\n")
    ran = tmp_path / "ran"
    with (lab.place / ".git" / "config").open("a") as file:
        file.write(f"[core]\n\tfsmonitor = touch {ran}\n\thooksPath = {tmp_path}\n[alias]\n\tx = !touch {ran}\n")
    assert found(lab).head == head and not ran.exists()


def test_what_lives_of_the_worker_is_ended_before_the_look(lab: Lab) -> None:
    worker = lab.world.start(lab.run, SPEC, 1)
    assert process.is_alive(worker)
    assert found(lab).workspace
    assert not process.is_alive(worker)


def files(place: Path) -> dict[str, bytes]:
    """Every file outside `.git`, with its bytes."""
    every = (path for path in place.rglob("*") if ".git" not in path.relative_to(place).parts and path.is_file())
    return {str(path.relative_to(place)): path.read_bytes() for path in every}


def turn_ended(lab: Lab, turn: int) -> Commit:
    """Have the evidence of a turn collected, as the supervisor does; return its commit."""
    return lab.world.collect(replace(lab.run, turn=turn), SPEC).commit


def test_each_turn_leaves_a_checkpoint_that_stays(lab: Lab) -> None:
    commit(lab.place, "two\n")
    (lab.place / "more").write_text("not committed\n")
    first = turn_ended(lab, 1)
    git(lab.place, "commit", "-q", "--amend", "-m", "history is rewritten")
    git(lab.place, "clean", "-q", "-f")
    second = turn_ended(lab, 2)
    third = turn_ended(lab, 3)
    prefix = keep_prefix(RUN)
    assert lab.hub.refs(prefix) == {f"{prefix}turn-1": first, f"{prefix}turn-2": second, f"{prefix}turn-3": third}
    assert first != second == third
    lab.hub.git.run("reflog", "expire", "--expire=now", "--all")
    lab.hub.git.run("gc", "-q", "--prune=now")
    assert lab.hub.git.run("cat-file", "-p", f"{first}:more") == b"not committed\n"


def test_turn_without_a_change_needs_no_checkpoint(lab: Lab) -> None:
    assert turn_ended(lab, 1) == lab.run.base
    assert lab.hub.refs(keep_prefix(RUN)) == {}


@pytest.fixture
def gone_wrong(lab: Lab) -> tuple[Commit, dict[str, bytes]]:
    """A first turn with a checkpoint, and a second one that made a mess; the checkpoint and its files."""
    commit(lab.place, "two\n")
    (lab.place / "sub").mkdir()
    (lab.place / "sub" / "odd \xff name").write_bytes(b"\x00\r\nbytes")
    (lab.place / "run.sh").write_text("#!/bin/sh\n")
    (lab.place / "run.sh").chmod(0o755)
    good = files(lab.place)
    checkpoint = turn_ended(lab, 1)
    commit(lab.place, "all wrong\n")
    shutil.rmtree(lab.place / "sub")
    (lab.place / "run.sh").unlink()
    (lab.place / "junk").write_text("junk")
    return checkpoint, good


def assert_rewound(lab: Lab, checkpoint: Commit, good: dict[str, bytes]) -> None:
    assert files(lab.place) == good
    assert os.access(lab.place / "run.sh", os.X_OK)
    assert git(lab.place, "rev-parse", "HEAD") == checkpoint == workspace.tip(lab.place, RUN)
    assert git(lab.place, "status", "--porcelain", "--branch") == f"## ganger/{RUN}"
    assert workspace.snapshot(lab.hub, lab.place, checkpoint, "nothing differs") == checkpoint


def test_rewind_restores_the_bytes_and_keeps_what_was_there(
    lab: Lab, gone_wrong: tuple[Commit, dict[str, bytes]]
) -> None:
    wrong = Commit(git(lab.place, "rev-parse", "HEAD"))
    lab.world.rewind(lab.run, gone_wrong[0])
    assert_rewound(lab, *gone_wrong)
    kept = lab.hub.refs(keep_prefix(RUN))
    assert kept[f"{keep_prefix(RUN)}head"] == wrong
    assert lab.hub.git.run("cat-file", "-p", f"{kept[f'{keep_prefix(RUN)}tree']}:junk") == b"junk"
    assert len(list((lab.state_dir / "trash").iterdir())) == 1


def cut_off_after_trash(lab: Lab, checkpoint: Commit) -> None:
    lab.world.clean(RUN)


def cut_off_in_the_making(lab: Lab, checkpoint: Commit) -> None:
    lab.world.clean(RUN)
    (lab.place.parent / f".making-{RUN}-x" / ".git").mkdir(parents=True)


def cut_off_before_the_record(lab: Lab, checkpoint: Commit) -> None:
    lab.world.rewind(lab.run, checkpoint)


def cut_off_after_keep(lab: Lab, checkpoint: Commit) -> None:
    lab.world.keep(lab.run)


@pytest.mark.parametrize(
    "crash", [cut_off_after_keep, cut_off_after_trash, cut_off_in_the_making, cut_off_before_the_record]
)
def test_rewind_is_done_again_after_a_crash(
    lab: Lab, gone_wrong: tuple[Commit, dict[str, bytes]], crash: Callable[[Lab, Commit], None]
) -> None:
    crash(lab, gone_wrong[0])
    lab.world.rewind(lab.run, gone_wrong[0])
    assert_rewound(lab, *gone_wrong)
    assert [place.name for place in lab.place.parent.iterdir()] == [RUN]


def test_rewind_to_the_base(lab: Lab, gone_wrong: tuple[Commit, dict[str, bytes]]) -> None:
    lab.world.rewind(lab.run, lab.run.base)
    assert files(lab.place) == {"a.txt": b"one\n"}


def test_rewind_to_what_is_not_there_changes_nothing(lab: Lab, gone_wrong: tuple[Commit, dict[str, bytes]]) -> None:
    before = files(lab.place)
    with pytest.raises(WorldFailed, match="is not in the hub: its workspace stays as it is"):
        lab.world.rewind(lab.run, Commit("1" * 40))
    assert files(lab.place) == before


def test_a_look_leaves_what_was_judged_as_it_was(lab: Lab) -> None:
    first = commit(lab.place, "two\n")

    assert workspace.fetch_candidate(lab.hub, lab.place, RUN) == first
    commit(lab.place, "three\n")
    assert found(lab).descends
    assert lab.hub.ref(candidate_ref(RUN)) == first
