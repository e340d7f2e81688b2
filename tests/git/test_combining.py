"""An earlier candidate merged for the next worker: what merges is there, what conflicts is marked, nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest
from gitworld import commit, listing, sh, show, write

from ganger.core.ids import Commit, RunId
from ganger.git import combining, seeding, workspace
from ganger.git.changes import changed_paths
from ganger.git.combining import Meeting, Prepared, lay_over, prepare, told_of, without_lines
from ganger.git.hub import Hub
from ganger.git.refs import prepared_ref
from ganger.git.snapshot import snapshot
from ganger.verifier.markers import conflicts_marked

EARLIER, LATER = RunId("login.1"), RunId("login.2")
TEN = "".join(f"line {number}\n" for number in range(10))


def anything(path: str) -> bool:
    return True


class Two:
    """What an earlier run handed in, and what landed meanwhile, both on one base."""

    def __init__(self, hub: Hub, user: Path, root: Path) -> None:
        self.hub, self.user, self.space = hub, user, root / "runs" / EARLIER
        self.base = hub.sync_target()
        workspace.create(hub, self.space, EARLIER, self.base)

    def land(self, message: str = "Land signup\n\nGanger-Item: signup\nGanger-Run: signup.1\n") -> Commit:
        """Commit what was done to the user's repository."""
        return commit(self.user, {}, message)

    def prepared(self, may_change: object = None, run: RunId = LATER) -> Prepared | None:
        """Merge what lies in the earlier workspace onto the target."""
        if sh(self.space, "status", "--porcelain"):
            commit(self.space, {}, "work")
        candidate = workspace.fetch_candidate(self.hub, self.space, EARLIER)
        assert candidate is not None
        asked = anything if may_change is None else may_change
        self.begin = self.hub.sync_target()
        return prepare(self.hub, run, self.begin, (EARLIER, "claude", self.base, candidate), self.begin, asked)  # type: ignore[arg-type]

    def made(self, may_change: object = None) -> Prepared:
        found = self.prepared(may_change)
        assert found is not None
        return found


@pytest.fixture
def two(hub: Hub, user: Path, tmp_path: Path) -> Two:
    commit(user, {"a.txt": TEN, "b.txt": TEN})
    (user / "b.bin").write_bytes(b"\0one")
    commit(user, {})
    return Two(hub, user, tmp_path)


def test_lines_in_conflict_bear_the_names_of_both_sides(two: Two) -> None:
    write(two.space, {"a.txt": TEN.replace("line 4", "mine"), "b.txt": "mine\n" + TEN, "new.txt": "new\n"})
    write(two.user, {"a.txt": TEN.replace("line 4", "theirs"), "b.txt": TEN + "theirs\n"})
    landed = two.land()
    found = two.made()
    assert show(two.hub, found.commit, "a.txt").splitlines() == [
        *(f"line {number}" for number in range(4)),
        "<<<<<<< login.1 (yours before)",
        "mine",
        "||||||| base",
        "line 4",
        "=======",
        "theirs",
        f">>>>>>> target: signup.1, landed as {landed[:12]}",
        *(f"line {number}" for number in range(5, 10)),
    ]
    assert show(two.hub, found.commit, "b.txt") == "mine\n" + TEN + "theirs\n"
    assert (
        found.told
        == combining.Preparation(
            earlier=EARLIER,
            base=two.base,
            candidate=sh(two.space, "rev-parse", "HEAD"),  # type: ignore[arg-type]
            authors=("claude <login.1@ganger.invalid>",),
            marked=(Meeting("a.txt", f"signup.1, landed as {landed[:12]}"),),
            merged=2,
        )
    )
    assert told_of(two.hub, LATER) == found.told
    assert conflicts_marked(show(two.hub, found.commit, "a.txt").encode()) == 1


def test_done_twice_it_is_the_same(two: Two) -> None:
    write(two.space, {"a.txt": "mine\n"})
    write(two.user, {"a.txt": "theirs\n"})
    two.land()
    assert two.made() == two.made()
    assert two.hub.ref(prepared_ref(LATER)) == two.made().commit
    combining.forget(two.hub, LATER)
    combining.forget(two.hub, LATER)
    assert told_of(two.hub, LATER) is None


def test_who_changed_a_file_is_counted_and_persons_have_no_run(two: Two) -> None:
    write(two.space, {"a.txt": "mine\n"})
    write(two.user, {"a.txt": "theirs\n"})
    two.land()
    write(two.user, {"a.txt": "a person's\n"})
    last = two.land("Mine\n\nGanger-Run: <<<<<<< forged\n")
    assert two.made().told.marked == (Meeting("a.txt", f"commit {last[:12]} and 1 more"),)


def test_what_a_run_stands_on_that_has_not_landed_is_called_accepted(two: Two) -> None:
    write(two.space, {"a.txt": "mine\n"})
    root = two.base
    write(two.user, {"a.txt": "theirs\n"})
    accepted = two.land("What login begins on: signup\n\nGanger-Run: signup.1\n")
    candidate = two.made().told.candidate
    found = prepare(two.hub, LATER, accepted, (EARLIER, "claude", two.base, candidate), root, anything)
    assert found is not None
    assert found.told.marked == (Meeting("a.txt", f"signup.1, accepted as {accepted[:12]}"),)


def test_what_has_no_lines_is_as_on_the_target_and_named(two: Two) -> None:
    """Binary, removed by one side, renamed twice, a link, a file that is a directory over there."""
    write(two.user, {f"{name}.txt": name * 30 + "\n" for name in ("gone", "kept", "moved", "link", "dir", "wide")})
    two.land("More")
    two.__init__(two.hub, two.user, two.space.parent / "second")  # type: ignore[misc]
    for place, side in ((two.space, "mine"), (two.user, "theirs")):
        (place / "b.bin").write_bytes(b"\0" + side.encode())
        (place / "moved.txt").rename(place / f"moved-{side}.txt")
        (place / "link.txt").unlink()
        (place / "link.txt").symlink_to(side)
    (two.space / "gone.txt").unlink()
    write(two.user, {"gone.txt": "gone" * 30 + "\ntheirs\n"})
    (two.user / "kept.txt").unlink()
    write(two.space, {"kept.txt": "kept" * 30 + "\nmine\n"})
    (two.space / "dir.txt").unlink()
    write(two.space, {"dir.txt/inside": "mine\n"})
    write(two.user, {"dir.txt": "dir" * 30 + "\ntheirs\n"})
    (two.user / "wide.txt").unlink()
    write(two.user, {"wide.txt/inside": "theirs\n"})
    write(two.space, {"wide.txt": "wide" * 30 + "\nmine\n", "free.txt": "mine\n"})
    two.land()
    found = two.made()
    assert {change.path for change in changed_paths(two.hub, two.begin, found.commit)} == {"free.txt"}
    assert {one.path for one in found.told.as_target} == {
        *("b.bin", "gone.txt", "kept.txt", "link.txt", "dir.txt", "dir.txt/inside", "wide.txt"),
        *("moved.txt", "moved-mine.txt", "moved-theirs.txt"),
    }
    assert not found.told.marked and found.told.merged == 1
    lineless = without_lines(two.hub, EARLIER, two.base, found.told.candidate, two.begin)
    assert lineless == tuple(one.path for one in found.told.as_target if one.path != "dir.txt/inside")


def test_a_renamed_file_is_marked_under_its_new_name_and_a_mode_stays(two: Two) -> None:
    (two.space / "a.txt").rename(two.space / "renamed.txt")
    write(two.space, {"renamed.txt": TEN.replace("line 4", "mine")})
    (two.space / "renamed.txt").chmod(0o755)
    write(two.user, {"a.txt": TEN.replace("line 4", "theirs")})
    two.land()
    found = two.made()
    assert [one.path for one in found.told.marked] == ["renamed.txt"]
    assert "a.txt" not in listing(two.hub, found.commit)
    assert sh(two.space, "ls-tree", found.commit, "renamed.txt").startswith("100755 ")


def test_both_added_the_file(two: Two) -> None:
    write(two.space, {"added.txt": "mine\n"})
    write(two.user, {"added.txt": "theirs\n"})
    (two.user / "added.txt").chmod(0o755)
    two.land()
    found = two.made()
    assert [one.path for one in found.told.marked] == ["added.txt"]
    assert sh(two.space, "ls-tree", found.commit, "added.txt").startswith("100755 ")


def test_a_merge_does_not_lead_out_of_what_may_be_changed(two: Two) -> None:
    """The target moved a file elsewhere; git would carry the change there."""
    write(two.space, {"a.txt": TEN + "mine\n", "b.txt": TEN + "mine\n"})
    (two.user / "a.txt").rename(two.user / "elsewhere.txt")
    landed = two.land()
    found = two.made(lambda path: path in ("a.txt", "b.txt"))
    assert {change.path for change in changed_paths(two.hub, two.begin, found.commit)} == {"b.txt"}
    assert found.told.as_target == (Meeting("elsewhere.txt", f"signup.1, landed as {landed[:12]}"),)
    assert {change.path for change in changed_paths(two.hub, two.begin, two.made().commit)} == {
        "b.txt",
        "elsewhere.txt",
    }


def test_a_conflict_out_of_what_may_be_changed_is_not_marked(two: Two) -> None:
    for place, side in ((two.space, "mine"), (two.user, "theirs")):
        write(place, {"a.txt": f"{side}\n", "b.txt": f"{side}\n"})
    two.land()
    found = two.made(lambda path: path == "a.txt")
    assert [one.path for one in found.told.marked] == ["a.txt"]
    assert [one.path for one in found.told.as_target] == ["b.txt"]
    assert show(two.hub, found.commit, "b.txt") == "theirs\n"


def test_files_without_lines_are_named_also_where_nothing_else_is_to_be_merged(two: Two) -> None:
    (two.space / "b.bin").write_bytes(b"\0mine")
    (two.user / "b.bin").write_bytes(b"\0theirs")
    two.land()
    found = two.made()
    assert [one.path for one in found.told.as_target] == ["b.bin"]
    assert two.hub.tree_of(found.commit) == two.hub.tree_of(two.begin)


def test_nothing_is_prepared_where_nothing_is_left_or_nothing_is_there(two: Two) -> None:
    write(two.space, {"a.txt": "same\n"})
    write(two.user, {"a.txt": "same\n"})
    two.land()
    assert two.prepared() is None
    assert (
        prepare(two.hub, LATER, two.base, (EARLIER, "claude", two.base, Commit("9" * 40)), two.base, anything) is None
    )


def test_only_its_own_change_is_merged_when_its_base_was_taken_off_the_target(two: Two, user: Path) -> None:
    write(user, {"later.txt": "taken back\n"})
    two.land()
    two.__init__(two.hub, user, two.space.parent / "second")  # type: ignore[misc]
    write(two.space, {"a.txt": TEN + "mine\n"})
    sh(user, "reset", "-q", "--hard", "HEAD^")
    two.land("Another way")
    assert {change.path for change in changed_paths(two.hub, two.hub.sync_target(), two.made().commit)} == {"a.txt"}


def test_the_authors_of_a_chain_stay(two: Two) -> None:
    write(two.space, {"a.txt": "mine\n"})
    write(two.user, {"a.txt": "theirs\n"})
    two.land()
    two.made()
    later = prepare(
        two.hub,
        RunId("login.3"),
        two.begin,
        (LATER, "a <b>\nc", two.base, two.made().told.candidate),
        two.begin,
        anything,
    )
    assert later is not None
    assert later.told.authors == ("claude <login.1@ganger.invalid>", "a b c <login.2@ganger.invalid>")


def test_it_lies_in_the_workspace_as_changes_that_are_not_committed(two: Two, tmp_path: Path) -> None:
    write(two.space, {"a.txt": "mine\n", "new/deep.txt": "new\n"})
    (two.space / "b.txt").unlink()
    write(two.user, {"a.txt": "theirs\n"})
    two.land()
    found = two.made()
    place = tmp_path / "spaces" / LATER
    workspace.create(two.hub, place, LATER, two.begin, found.commit)
    assert workspace.tip(place, LATER) == two.begin
    assert sh(place, "status", "--porcelain") == "M a.txt\n D b.txt\n?? new/"
    assert two.hub.tree_of(snapshot(two.hub, place, two.begin, "x")) == two.hub.tree_of(found.commit)
    # The worker's commit is the resolution, and the whole change.
    write(place, {"a.txt": "both\n"})
    commit(place, {}, "Resolved")
    handed_in = workspace.fetch_candidate(two.hub, place, LATER)
    assert handed_in is not None
    assert seeding.parent_of(two.hub, handed_in) == two.begin
    assert {change.path for change in changed_paths(two.hub, two.begin, handed_in)} == {
        "a.txt",
        "b.txt",
        "new/deep.txt",
    }
    assert combining.is_held(two.hub, found.told, two.begin, handed_in)
    assert not combining.is_held(two.hub, found.told, two.begin, two.begin)


def test_files_are_laid_over_what_a_setup_left(two: Two, tmp_path: Path) -> None:
    """A setup has made files; a link of its making is not followed."""
    write(two.space, {"a.txt": "mine\n", "src/m0/f0.py": "mine\n"})
    write(two.user, {"a.txt": "theirs\n"})
    two.land()
    found = two.made()
    place, outside = tmp_path / "spaces" / LATER, tmp_path / "outside"
    workspace.create(two.hub, place, LATER, two.begin)
    outside.mkdir()
    (place / "made.txt").write_text("by the setup")
    (place / "src/m0/f0.py").unlink()
    (place / "src/m0").rmdir()
    (place / "src/m0").symlink_to(outside)
    for _ in range(2):
        lay_over(two.hub, place, two.begin, found.commit)
        assert (place / "src/m0/f0.py").read_text() == "mine\n"
        assert "<<<<<<< login.1" in (place / "a.txt").read_text()
    assert not list(outside.iterdir())
    assert (place / "made.txt").read_text() == "by the setup"


@pytest.mark.parametrize("seed", range(6))
def test_nothing_but_what_the_candidate_changed_differs_from_the_target(two: Two, seed: int) -> None:
    """Whatever both did: a file that the candidate did not touch is as on the target, and no line of it is lost."""
    rng = Random(seed)
    names = [f"src/m{n}/f{n}.py" for n in range(8)]
    texts = {name: f"value = {n}\n" * 5 for n, name in enumerate(names)}
    touched: dict[str, set[str]] = {"mine": set(), "theirs": set()}
    for side, place in (("mine", two.space), ("theirs", two.user)):
        for name in rng.sample(names, 5):
            touched[side].add(name)
            if rng.random() < 0.2:
                os.unlink(place / name)
            else:
                lines = texts[name].splitlines(keepends=True)
                lines.insert(rng.randrange(len(lines) + 1), f"{side} {name}\n")
                (place / name).write_text("".join(lines))
    two.land()
    found = two.made()
    differ = {change.path for change in changed_paths(two.hub, two.begin, found.commit)}
    assert differ <= touched["mine"]
    for name in touched["theirs"] & listing(two.hub, two.begin) & listing(two.hub, found.commit):
        assert f"theirs {name}\n" in show(two.hub, found.commit, name) + "\n"
    assert touched["theirs"] & listing(two.hub, two.begin) <= listing(two.hub, found.commit)
    marked = {
        name for name in listing(two.hub, found.commit) if conflicts_marked(show(two.hub, found.commit, name).encode())
    }
    assert marked == {one.path for one in found.told.marked}
