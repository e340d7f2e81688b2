"""What the hub knows of the target's history by heart, against git, which walks."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from gitworld import commit, sh

from ganger.core.ids import Commit
from ganger.git import history, history_keeper
from ganger.git.history import FOLDER, MANIFEST, NAMED, SPOKEN, History, Mention
from ganger.git.history_keeper import keep_up
from ganger.git.hub import Hub
from ganger.git.repository import Repository, open_repository

WORDS = ("login", "fix", "a-b", "x_1", "été", "Land", "12", "über-cool")
TRAILER = "{0}\n\nGanger-Item: {1}\n"


def known(hub: Hub) -> History:
    found = history.read(hub.path / FOLDER)
    assert found is not None
    return found


def message(dice: random.Random) -> str:
    said = " ".join(dice.choices(WORDS, k=3)) + dice.choice(("", ".", ": (x)"))
    return TRAILER.format(said, dice.choice(WORDS)) if dice.random() < 0.3 else said


def grow(top: Path, dice: random.Random, commits: int) -> None:
    """Commits on `main`, on branches of it, and merges of those."""
    tree = sh(top, "rev-parse", "main^{tree}")

    def put(text: str, *parents: str) -> str:
        given = [word for parent in parents for word in ("-p", parent)]
        return sh(top, "commit-tree", tree, *given, stdin=text.encode())

    main = sh(top, "rev-parse", "main")
    side = main
    for _ in range(commits):
        kind = dice.choice(("main", "side", "side", "merge"))
        if kind == "main":
            main = put(message(dice), main)
        elif kind == "side":
            side = put(message(dice), side)
        elif side != main:
            main = put(message(dice), main, side)
            side = main
    sh(top, "update-ref", "refs/heads/main", main)


def walked(top: Path, tip: str) -> tuple[set[str], dict[str, int]]:
    """The same by git: all commits, and for each word how strongly it is mentioned."""
    commits = set(sh(top, "rev-list", tip).splitlines())
    first = set(sh(top, "rev-list", "--first-parent", tip).splitlines())
    ranks: dict[str, int] = {}
    for one in commits:
        subject, _, rest = sh(top, "log", "-1", "--format=%B", one).partition("\n")
        named = rest.strip().removeprefix("Ganger-Item: ") if rest.strip() else ""
        for word in WORDS:
            if named == word:
                rank = NAMED if one in first else SPOKEN
            else:
                rank = SPOKEN if word in subject.rstrip(".").replace(": (x)", "").split() else 0
            ranks[word] = max(ranks.get(word, 0), rank)
    return commits, ranks


@pytest.mark.parametrize("seed", range(3))
def test_it_says_what_git_says_however_it_grew(
    seed: int, hub: Hub, user: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_keeper, "PART_COMMITS_MAX", 16)
    dice, looked_at = random.Random(seed), 0
    elsewhere = sh(user, "commit-tree", "HEAD^{tree}", "-m", "elsewhere")
    for _ in range(6):
        grow(user, dice, dice.choice((1, 2, 5, 40)))
        tip = Commit(sh(user, "rev-parse", "main"))
        looked_at += keep_up(hub, tip)
        commits, ranks = walked(user, tip)
        found = known(hub)
        assert found.tip == tip and looked_at == len(commits)
        assert all(found.holds(one) for one in commits) and not found.holds(elsewhere)
        mentions = {word: found.mention(word) for word in WORDS}
        assert {word: one.rank if one else 0 for word, one in mentions.items()} == ranks
        assert all(one.commit in commits for one in mentions.values() if one)
        assert found.mention("logi") is found.mention("log") is found.mention("zzz") is found.mention("0") is None
    assert keep_up(hub, tip) == 0


def test_many_landings_leave_few_files(hub: Hub, user: Path) -> None:
    landed = Commit("")
    for number in range(20):
        tip = commit(user, {}, TRAILER.format("Land x", "x") if number == 6 else f"step x {number}")
        landed = tip if number == 6 else landed
        keep_up(hub, tip)
    assert (known(hub).mention("step"), known(hub).mention("x")) == (Mention(SPOKEN, tip), Mention(NAMED, landed))
    names = {path.name for path in (hub.path / FOLDER).iterdir()}
    spans = [part.span for part in known(hub).parts]
    assert names == {MANIFEST, *(f"{span.number}.{end}" for span in spans for end in ("commits", "words"))}
    assert len(spans) <= 5 and sum(span.commits for span in spans) == 20 * 21


def test_the_newest_of_equal_mentions_is_told(hub: Hub, user: Path) -> None:
    older = commit(user, {}, TRAILER.format("Land x", "x"))
    newer = commit(user, {}, TRAILER.format("Land x again", "x"))
    keep_up(hub, newer)
    assert known(hub).mention("x") == Mention(NAMED, newer) != Mention(NAMED, older)
    spoken = commit(user, {}, "About x")
    keep_up(hub, spoken)
    assert known(hub).mention("x") == Mention(NAMED, newer)
    assert known(hub).mention("About") == Mention(SPOKEN, spoken)


def test_what_a_forced_move_took_away_is_forgotten(hub: Hub, user: Path, base: Commit) -> None:
    lost = commit(user, {}, TRAILER.format("Land x", "x"))
    keep_up(hub, lost)
    sh(user, "reset", "-q", "--hard", base)
    tip = commit(user, {}, "Something else")
    assert keep_up(hub, tip) == 2
    assert not known(hub).holds(lost) and known(hub).holds(base) and known(hub).mention("x") is None


@pytest.mark.parametrize("name", [MANIFEST, "1.commits", "1.words"])
def test_what_is_cut_off_is_not_read_and_is_learnt_again(name: str, hub: Hub, base: Commit) -> None:
    keep_up(hub, base)
    file = hub.path / FOLDER / name
    file.write_bytes(file.read_bytes()[:-1])
    assert history.read(hub.path / FOLDER) is None
    assert keep_up(hub, base) == 1
    assert known(hub).holds(base)


def test_what_a_crash_left_is_taken_away(hub: Hub, user: Path, base: Commit) -> None:
    keep_up(hub, base)
    for name in ("7.commits.new", "7.words"):
        (hub.path / FOLDER / name).write_bytes(b"half")
    keep_up(hub, commit(user, {}, "More"))
    assert not [path for path in (hub.path / FOLDER).iterdir() if path.name.startswith("7.")]


def test_hostile_messages_are_words_like_others(hub: Hub, user: Path) -> None:
    """Separators of ours, bytes that are no text, other encodings, and a word longer than any name."""
    tree = sh(user, "rev-parse", "HEAD^{tree}").encode()
    said = b"one\x1ftwo \xff\xfe \x1ethree " + b"w" * 500 + b"\n\nGanger-Item: four\x1ffive\n"
    raw = b"tree %s\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\n%s" % (tree, said)
    done = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin"], cwd=user, input=raw, capture_output=True, check=True
    )
    tip = Commit(done.stdout.decode().strip())
    sh(user, "update-ref", "refs/heads/main", tip)
    assert keep_up(hub, tip) == 1
    for word in ("one", "two", "three"):
        assert known(hub).mention(word) == Mention(SPOKEN, tip)
    assert not history.is_word("w" * 500) and not history.is_word("two words") and history.is_word("two-words")


def test_a_repository_with_long_ids(tmp_path: Path) -> None:
    top = tmp_path / "long"
    top.mkdir()
    sh(top, "init", "-q", "-b", "main", "--object-format=sha256")
    tip = commit(top, {"a": "a"}, "Land it")
    repo: Repository = open_repository(top)
    hub = Hub.open(tmp_path / "hub.git", repo, "main")
    keep_up(hub, tip)
    assert known(hub).holds(tip) and not known(hub).holds(tip[:40])
    assert known(hub).mention("it") == Mention(SPOKEN, tip)
