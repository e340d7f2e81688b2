"""Where a run begins that stands on accepted work, and that git later finds only its own change in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gitworld import sh

from ganger.core.ids import Commit, ItemId, RunId
from ganger.git.changes import changed_paths
from ganger.git.hub import Hub
from ganger.git.merge import combine
from ganger.git.stacking import base_of

ITEM, A, B, C = ItemId("c"), RunId("a.1"), RunId("b.1"), RunId("c.1")
LINES = "".join(f"line {n}\n" for n in range(9))


def made(hub: Hub, on: Commit, files: Mapping[str, str], message: str) -> Commit:
    """A commit with these files on top of another, made in a clone and brought to the hub."""
    place = hub.path.parent / f"clone-{len(list(hub.path.parent.glob('clone-*')))}"
    sh(hub.path.parent, "clone", "-q", "--no-checkout", str(hub.path), str(place))
    sh(place, "checkout", "-q", "--detach", on)
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    sh(place, "add", "--all")
    sh(place, "commit", "-q", "-m", message)
    commit = Commit(sh(place, "rev-parse", "HEAD").strip())
    hub.fetch(place, [f"+HEAD:refs/ganger/candidate/{place.name}"])
    return commit


def text_at(hub: Hub, commit: Commit, path: str) -> str:
    return hub.git.run("cat-file", "blob", f"{commit}:{path}").decode()


def lands(hub: Hub, tip: Commit, run: RunId, candidate: Commit, when_ms: int = 5_000_000_000) -> Commit:
    """The target after the train has merged a candidate, as it would at another time and with other words."""
    done = combine(hub, tip, [(run, candidate, f"Land {run}")], when_ms)
    assert done.merged == (run,), done.conflicts
    return done.commit


def test_the_base_holds_every_head_and_is_the_same_each_time(hub: Hub, base: Commit) -> None:
    one, two = made(hub, base, {"a.txt": LINES}, "a"), made(hub, base, {"b.txt": "b\n"}, "b")
    commit, conflicts = base_of(hub, ITEM, base, ((A, one), (B, two)))
    assert conflicts == () and {change.path for change in changed_paths(hub, base, commit)} == {"a.txt", "b.txt"}
    assert all(hub.is_ancestor(part, commit) for part in (base, one, two))
    assert base_of(hub, ITEM, base, ((A, one), (B, two))) == (commit, ())
    assert hub.reaches(commit), "it is kept, and a workspace can be made of it"


def test_heads_that_conflict_are_named_with_the_files(hub: Hub, base: Commit) -> None:
    one = made(hub, base, {"x.txt": "a\n", "a.txt": "a\n"}, "a")
    two = made(hub, base, {"x.txt": "b\n", "b.txt": "b\n"}, "b")
    assert base_of(hub, ITEM, base, ((A, one), (B, two))) == (Commit(""), ("x.txt",))
    moved = made(hub, base, {"x.txt": "c\n"}, "target")
    assert base_of(hub, ITEM, moved, ((A, one),)) == (Commit(""), ("x.txt",)), "nor with the target as it is"


def test_after_what_it_stands_on_has_landed_only_its_own_change_is_left(hub: Hub, base: Commit) -> None:
    one = made(hub, base, {"a.txt": LINES}, "a")
    start, _ = base_of(hub, ITEM, base, ((A, one),))
    own = made(hub, start, {"a.txt": LINES.replace("line 4\n", "line four\n"), "c.txt": "c\n"}, "c")
    assert [change.path for change in changed_paths(hub, start, own)] == ["a.txt", "c.txt"]
    elsewhere = made(hub, base, {"z.txt": "z\n"}, "somebody else")
    tip = lands(hub, elsewhere, A, one)
    new = lands(hub, tip, C, own)
    assert {change.path for change in changed_paths(hub, tip, new)} == {"a.txt", "c.txt"}
    assert text_at(hub, new, "a.txt") == LINES.replace("line 4\n", "line four\n")
    assert text_at(hub, new, "z.txt") == "z\n"


def test_what_landed_as_another_commit_does_not_come_back_by_it(hub: Hub, base: Commit, tmp_path: Path) -> None:
    """Why such a run is given up: merged onto a target with another version, it brings the old one along."""
    one, other = made(hub, base, {"a.txt": "first\n"}, "a"), made(hub, base, {"b.txt": "second\n"}, "a again")
    start, _ = base_of(hub, ITEM, base, ((A, one),))
    own = made(hub, start, {"c.txt": "c\n"}, "c")
    tip = lands(hub, base, A, other)
    new = lands(hub, tip, C, own)
    assert {change.path for change in changed_paths(hub, tip, new)} == {"a.txt", "c.txt"}, "a.txt is not its own"
    grounds = (base, one)
    assert not all(hub.is_ancestor(ground, tip) for ground in grounds), "which is how the train notices"
