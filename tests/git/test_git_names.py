"""Hostile names: of branches, runs, refs, commits and files. What is let through is a name and nothing else."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitworld import RUN, commit, listing, sh

from ganger.core.ids import Commit, is_commit, is_lease_id, is_question_id, is_run_id, name_fault
from ganger.errors import RepositoryError
from ganger.git import workspace
from ganger.git.changes import changed_paths
from ganger.git.command import oid
from ganger.git.hub import Hub
from ganger.git.merge import checkout_tree, combine, with_protected_from
from ganger.git.refs import checked_ref
from ganger.git.repository import BRANCH_CHARS_MAX, Repository, check_target, is_branch_name, target_tip

NAMES = 10_000
GIT_ASKED_MAX = 1_500
PIECES = (
    *("-", "--", "--upload-pack=touch x", "-c", "--exec=sh", "--output=x", "-oProxyCommand=x", "--end-of-options"),
    *("\0", "\n", "\r", "\t", "\x1b[2J", "\x7f", "\x85", "\u2028", "\u202e", "\u200b", "\ufeff", "\udcff"),
    *("..", "/", "//", "/.", "./", "@", "@{", "@{u}", "@{-1}", "~", "~1", "^", "^{tree}", ":", "?", "*", "[", "\\"),
    *(".lock", ".lock/", "lock", ".git", "HEAD", "refs/heads/", "refs/", "main", "a", "Z9", "_", ".", " ", "  "),
    *("$(touch x)", "`touch x`", ";touch x", "|", "&", "'", '"', "%s", "%00", "é", "e\u0301", "漢", "🐛", "x" * 300),
    *("login.1", "q7", "lease:3", "0" * 40, "f" * 64, "F" * 40, "0" * 41),
)
"""What names are made of, alone and joined."""


def hostile_names(count: int, seed: int = 7) -> Iterator[str]:
    """Yield the pieces themselves, then `count` in all of one to five of them."""
    yield from PIECES
    dice = random.Random(seed)
    for _ in range(count - len(PIECES)):
        yield "".join(dice.choices(PIECES, k=dice.randint(1, 5)))


def test_a_branch_name_that_is_let_through_is_one_for_git_too(repo: Repository) -> None:
    """Whatever git would not have is refused; whatever is refused without asking git could do harm."""
    asked = 0
    for name in hostile_names(NAMES):
        harmless = name.isprintable() and not name.startswith("-") and 0 < len(name) <= BRANCH_CHARS_MAX
        if not harmless or name in ("HEAD", "@"):
            assert not is_branch_name(repo, name), ascii(name)
        elif asked < GIT_ASKED_MAX:
            asked += 1
            assert is_branch_name(repo, name) == allowed_by_the_manual(name), ascii(name)
    assert asked == GIT_ASKED_MAX


def allowed_by_the_manual(name: str) -> bool:
    """The rules of git-check-ref-format(1) for `refs/heads/<name>`, written down again from the manual."""
    parts = name.split("/")
    return not (
        any(not part or part.startswith(".") or part.endswith(".lock") for part in parts)
        or any(bad in name for bad in ("..", "@{", "~", "^", ":", "?", "*", "[", "\\", " ", "\x7f"))
        or any(ord(char) < 32 for char in name)
        or name.endswith(".")
    )


def test_no_hostile_name_of_a_target_finds_a_commit(repo: Repository, user: Path) -> None:
    before = sorted(file.name for file in user.iterdir())
    for name in list(hostile_names(120, seed=11)):
        if name not in ("main", "heads/main"):
            with pytest.raises(RepositoryError):
                check_target(repo, name)
    for name in ("../../HEAD", "x/../main", "main^{commit}", "main@{0}"):
        with pytest.raises(RepositoryError, match="cannot be the name of a branch"):
            check_target(repo, name)
    assert sorted(file.name for file in user.iterdir()) == before
    assert target_tip(repo, "main") is not None


@pytest.mark.parametrize(
    "is_name", [lambda text: not name_fault(text), is_run_id, is_commit, is_lease_id, is_question_id]
)
def test_ids_are_words_of_harmless_letters(is_name: object) -> None:
    """An id that is let through can be a file's name, part of a ref and an argument, and is never an option."""
    assert callable(is_name)
    for name in hostile_names(NAMES):
        for text in (name, f"{name}\n", f"\n{name}"):
            if is_name(text):
                assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.:-]*", text), ascii(text)
                assert ".." not in text
    for text in ("0" * 40 + "\n", "login.1\n", "q7\n", "lease:3\n", "login\n", "٣" * 40, "login.١"):
        assert not is_name(text), ascii(text)


def test_refs_of_the_hub_and_object_ids_are_asserted(hub: Hub) -> None:
    for name in hostile_names(NAMES):
        for ref in (name, f"refs/ganger/{name}", f"refs/ganger/keep/login.1/{name}"):
            try:
                checked_ref(ref)
            except AssertionError:
                continue
            assert re.fullmatch(r"refs/ganger/[A-Za-z0-9_./-]*", ref), ascii(ref)
            assert ".." not in ref
            assert not ref.removeprefix("refs/ganger/").startswith(("-", "."))
        try:
            assert re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", oid(Commit(name)))
        except AssertionError as refused:
            assert "not an object id" in str(refused), ascii(name)
    for name in list(hostile_names(150, seed=5)):
        assert hub.git.rev_parse(name.replace("\0", "")) in (None, name.lower()), ascii(name)


def raw_paths(count: int) -> list[bytes]:
    """Hostile names of files as bytes that git takes into a tree: no NUL, no `.git`, no empty parts or dots."""
    found: dict[bytes, None] = {}
    for number, name in enumerate(hostile_names(count)):
        raw = name.encode("utf-8", "surrogateescape").replace(b"\0", b"\xff")[:200]
        parts = [part for part in raw.split(b"/") if part not in (b"", b".", b"..")]
        if parts and not any(b".git" in part.lower() or b"git~" in part.lower() for part in parts):
            found[b"d%d/" % (number % 97) + b"/".join(part[:120] for part in parts)] = None
    prefixes = {path[:at] for path in found for at in range(len(path)) if path[at : at + 1] == b"/"}
    return [path for path in found if path not in prefixes]


def test_trees_with_hostile_names_come_through_as_they_are(hub: Hub, space: Path, base: Commit) -> None:
    paths = raw_paths(NAMES)
    assert len(paths) > NAMES // 2
    blob = sh(space, "hash-object", "-w", "--stdin", stdin=b"x").encode()
    sh(space, "update-index", "-z", "--index-info", stdin=b"".join(b"100644 %s\t%s\0" % (blob, raw) for raw in paths))
    sh(space, "commit", "-q", "-m", "x")
    made = workspace.fetch_candidate(hub, space, RUN)
    assert made is not None
    assert {change.raw for change in changed_paths(hub, base, made)} == set(paths)
    assert {os.fsencode(path) for path in listing(hub, made)} >= set(paths)
    tree, base_tree = hub.tree_of(made), hub.tree_of(base)
    assert with_protected_from(hub, tree, base_tree, lambda _: True, lambda _: True) == base_tree
    assert combine(hub, base, [(RUN, made, "Land login: x")], 1000).tree == tree
    hub.diff(base, made, [os.fsdecode(raw) for raw in paths[:500]])


def test_files_with_hostile_names_come_through_as_they_are(hub: Hub, space: Path, base: Commit, tmp_path: Path) -> None:
    paths = raw_paths(500)
    for raw in paths:
        file = Path(os.fsdecode(os.fsencode(space) + b"/" + raw))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)
    files = workspace.snapshot(hub, space, base, "as they lie there")
    assert {change.raw for change in changed_paths(hub, base, files)} == set(paths)
    checkout_tree(hub, files, tmp_path / "out")
    for raw in paths:
        assert Path(os.fsdecode(os.fsencode(tmp_path / "out") + b"/" + raw)).read_bytes() == raw


def test_refs_with_hostile_names_get_names_of_ours(hub: Hub, space: Path, base: Commit) -> None:
    head = commit(space, {"a": "1"})
    side = Commit(sh(space, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "side"))
    lines = [f"{side} refs/heads/{name}".encode("utf-8", "surrogatepass") for name in hostile_names(NAMES)]
    (space / ".git/packed-refs").write_bytes(b"\n".join([*lines, b""]))
    before = hub.refs("refs/ganger/")
    kept = workspace.keep(hub, space, RUN)
    prefix = f"refs/ganger/keep/{RUN}/"
    assert {name.removeprefix(prefix) for name in kept} == {"head", "other-1", "tree"}
    found = hub.refs("refs/ganger/")
    assert set(found) - set(before) == set(kept)
    assert (found[prefix + "head"], found[prefix + "other-1"]) == (head, side)
