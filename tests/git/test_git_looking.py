"""Looking at a live workspace again and again: always what a whole snapshot would hold."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import msgspec
import pytest
from gitworld import RUN, commit, sh, write

from ganger.core.ids import Commit, RunId
from ganger.errors import GitFailed
from ganger.git import looking, workspace
from ganger.git.hub import Hub
from ganger.git.looking import fetch_together, look
from ganger.git.refs import looked_at_ref
from ganger.git.snapshot import snapshot


def slow(hub: Hub, space: Path) -> Commit:
    """The tree that a snapshot with an index of its own holds."""
    head = workspace.tip(space, RUN)
    assert head is not None
    return hub.tree_of(snapshot(hub, space, head, "x"))


def change(space: Path, dice: random.Random) -> None:
    file = space / f"src/m{dice.randrange(8)}/f{dice.randrange(8)}.py"
    kind = dice.choice(("same size", "same size", "other", "remove", "untracked", "ignored", "mode", "touch", "commit"))
    if kind in ("same size", "other", "untracked"):
        file.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text() if file.exists() else "value = 0\n" * 5
        file.write_text(text.replace("value", dice.choice(("VALUE", "Value"))) + "more\n" * (kind == "other"))
    elif kind == "remove" and file.exists():
        file.unlink()
    elif kind == "ignored":
        (space / "x.log").write_text("ignored")
    elif kind == "mode" and file.exists():
        file.chmod(0o755)
    elif kind == "touch" and file.exists():
        os.utime(file)
    elif kind == "commit":
        sh(space, "add", "-A")
        sh(space, "commit", "-q", "--allow-empty", "-m", "x")


@pytest.mark.parametrize("seed", range(4))
def test_each_look_holds_what_a_snapshot_holds(seed: int, hub: Hub, base: Commit, space: Path) -> None:
    dice, before = random.Random(seed), None
    for _ in range(20):
        for _ in range(dice.randrange(3)):
            change(space, dice)
        found, before = look(hub, space, RUN, base, before)
        assert hub.tree_of(found) == slow(hub, space)
        assert before.is_linear and before.head == workspace.tip(space, RUN)


def test_a_file_that_changed_when_the_index_was_written_is_read(hub: Hub, base: Commit, space: Path) -> None:
    """Same size and same times as the index has: only that the index is not younger tells git to read the file."""
    old = hub.git.text("hash-object", str(space / "src/m1/f1.py"))
    write(space, {"src/m1/f1.py": "VALUE = 1\n" * 5})
    new = sh(space, "hash-object", "-w", "src/m1/f1.py")
    sh(space, "add", "-A")
    content = (space / ".git/index").read_bytes().replace(bytes.fromhex(new), bytes.fromhex(old))
    index = content[:-20] + hashlib.sha1(content[:-20]).digest()
    _, before = look(hub, space, RUN, base, None)
    moment = (space / "src/m1/f1.py").stat().st_mtime_ns
    found, _ = look(hub, space, RUN, base, msgspec.structs.replace(before, index=index, index_ns=moment))
    assert hub.tree_of(found) == slow(hub, space)
    later = moment + 1_000_000_000
    fooled, _ = look(hub, space, RUN, base, msgspec.structs.replace(before, index=index, index_ns=later))
    assert fooled == base


def test_the_same_content_is_the_same_commit(hub: Hub, base: Commit, space: Path) -> None:
    assert look(hub, space, RUN, base, None)[0] == base
    write(space, {"README.md": "# other\n"})
    found, before = look(hub, space, RUN, base, None)
    os.utime(space / "README.md")
    assert look(hub, space, RUN, base, before)[0] == look(hub, space, RUN, base, None)[0] == found != base
    write(space, {"README.md": "# hello\n"})
    assert look(hub, space, RUN, base, before)[0] == base


def test_an_index_that_is_too_large_is_not_kept(
    hub: Hub, base: Commit, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "INDEX_BYTES_MAX", 10)
    _, before = look(hub, space, RUN, base, None)
    assert before.index == b""
    write(space, {"README.md": "# other\n"})
    assert hub.tree_of(look(hub, space, RUN, base, before)[0]) == slow(hub, space)


def test_only_a_line_of_commits_from_the_base_is_linear(hub: Hub, base: Commit, space: Path, user: Path) -> None:
    commit(space, {"a": "1"})
    mine = commit(space, {"a": "2"})
    assert look(hub, space, RUN, base, None)[1].is_linear
    newer = commit(user, {"theirs": "1"})
    hub.sync_target()
    sh(space, "merge", "-q", "--no-edit", newer)
    assert not look(hub, space, RUN, base, None)[1].is_linear
    sh(space, "reset", "-q", "--hard", mine)
    assert look(hub, space, RUN, base, None)[1].is_linear
    assert not look(hub, space, RUN, newer, None)[1].is_linear


def test_heads_of_several_workspaces_come_by_one_fetch(hub: Hub, base: Commit, space: Path, tmp_path: Path) -> None:
    places = [(space, RUN)]
    for name in ("b.1", "c.1"):
        places.append((tmp_path / "state/workspaces" / name, RunId(name)))
        workspace.create(hub, places[-1][0], RunId(name), base)
    heads = [commit(place, {"same": "1", "own": run}) for place, run in places]
    packs = len(list(hub.objects.glob("pack/*.pack")))
    fetch_together(hub, places)
    assert [hub.ref(looked_at_ref(run)) for _, run in places] == heads
    assert len(list(hub.objects.glob("pack/*.pack"))) == packs + 1
    fetch_together(hub, places)
    assert len(list(hub.objects.glob("pack/*.pack"))) == packs + 1
    # One of them has a head without its objects: the others are looked at nevertheless.
    heads = [commit(place, {"own": f"{run} again"}) for place, run in places]
    tree = sh(space, "rev-parse", "HEAD^{tree}")
    (space / f".git/objects/{tree[:2]}/{tree[2:]}").unlink()
    fetch_together(hub, places)
    assert hub.ref(looked_at_ref(RunId("b.1"))) != heads[1]
    with pytest.raises(GitFailed):
        look(hub, space, RUN, base, None)
    for (place, run), head in zip(places[1:], heads[1:], strict=True):
        assert look(hub, place, run, base, None)[0] == head
