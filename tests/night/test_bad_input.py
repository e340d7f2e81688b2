"""What bad input gets: one message that says what, where and what to do; exit 2; and nothing changed."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from builders import Done, Fleet, tree_digest

EMPTY = hashlib.sha256(b"").hexdigest()
RUN = ("run", "PLAN", "--trust")


def world(fleet: Fleet) -> dict[str, str]:
    """Everything there is: the repository, the state, the home. Two files of SQLite's come with any reader."""
    found = tree_digest(fleet.root, lambda name: name.endswith("-shm") or name == "tmp")
    return {name: digest for name, digest in found.items() if not (name.endswith("-wal") and digest.endswith(EMPTY))}


def refused(fleet: Fleet, *args: str, cwd: Path | None = None) -> str:
    """Run a command that must refuse; returns what it says."""
    before = world(fleet)
    done = fleet.ganger(*(str(fleet.root / "plan.toml") if arg == "PLAN" else arg for arg in args), cwd=cwd)
    assert_refusal(done)
    assert world(fleet) == before
    return done.err


def assert_refusal(done: Done) -> None:
    assert done.code == 2, done
    assert done.out == ""
    assert "Traceback" not in done.err
    assert done.err.count("ganger: ") == 1, done.err
    message, _, hint = done.err.partition("\n\n")
    assert message
    assert hint.strip(), f"no word on what to do: {done.err}"
    assert not re.search(r"rm -|reset --hard|--force|clean -", done.err)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]", done.err)


def ready(fleet: Fleet) -> None:
    """A fleet in which everything is right."""
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work")
    fleet.configure()
    fleet.item("a")
    fleet.plan()


def no_repository(fleet: Fleet) -> None:
    ready(fleet)
    (fleet.repo / ".git").rename(fleet.root / "away")


def no_commits(fleet: Fleet) -> None:
    ready(fleet)
    (fleet.repo / ".git").rename(fleet.root / "away")
    fleet.git("init", "--quiet")


def bare(fleet: Fleet) -> None:
    ready(fleet)
    fleet.git("clone", "--quiet", "--bare", str(fleet.repo), str(fleet.root / "bare.git"))
    fleet.repo.rename(fleet.root / "away")
    (fleet.root / "bare.git").rename(fleet.repo)


def detached(fleet: Fleet) -> None:
    ready(fleet)
    config = (fleet.repo / "ganger.toml").read_text()
    (fleet.repo / "ganger.toml").write_text(config.replace('target = "main"\n', ""))
    fleet.git("checkout", "--quiet", "--detach")


def shallow(fleet: Fleet) -> None:
    ready(fleet)
    fleet.commit({"src/a.txt": "more\n"})
    fleet.git("clone", "--quiet", "--depth=1", f"file://{fleet.repo}", str(fleet.root / "copy"))
    fleet.repo.rename(fleet.root / "away")
    (fleet.root / "copy").rename(fleet.repo)


def target(name: str) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        ready(fleet)
        config = (fleet.repo / "ganger.toml").read_text()
        (fleet.repo / "ganger.toml").write_text(config.replace('"main"', f'"{name}"'))

    return change


def plan_text(text: str) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        ready(fleet)
        (fleet.root / "plan.toml").write_bytes(text.encode("utf-8", "surrogateescape"))

    return change


def config_text(text: str) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        ready(fleet)
        with (fleet.repo / "ganger.toml").open("a") as file:
            file.write(text)

    return change


def default_check(text: str) -> Callable[[Fleet], None]:
    def change(fleet: Fleet) -> None:
        config_text(text)(fleet)
        (fleet.root / "plan.toml").write_text(PLAN + 'checks = ["gone"]\n' + item("a").replace('checks = ["unit"]', ""))

    return change


def item(name: str, rest: str = "") -> str:
    return f'[[item]]\nid = "{name}"\ntitle = "T"\nscope = ["src/{name[:9]}.txt"]\nchecks = ["unit"]\n{rest}\n'


PLAN = '[plan]\nid = "p"\n'
TABLE: dict[str, tuple[Callable[[Fleet], None], tuple[str, ...]]] = {
    "not a repository": (no_repository, ("is not inside a git repository", "/lab/proj")),
    "no commits": (no_commits, ("has no commit on any branch", "make a first commit")),
    "a bare repository": (bare, ("bare", "/lab/proj")),
    "a detached head": (detached, ("detached HEAD", "fleet.target")),
    "a shallow clone": (shallow, ("shallow", "git fetch --unshallow")),
    "no such target": (target("mian"), ("has no branch 'mian'", "nearest: main")),
    "a target like an option": (target("-rf"), ("ganger.toml:2", "cannot be the branch `-rf`")),
    "a target with a line break": (target("ma\\nin"), ("ganger.toml:2", "cannot be the branch")),
    "a syntax error": (plan_text("[plan\nid = 1"), ("plan.toml:1", "]")),
    "bytes that are no text": (plan_text("[plan]\nid = '\udcff'"), ("plan.toml", "UTF-8")),
    "a cycle": (
        plan_text(PLAN + item("a", 'after = ["b"]') + item("b", 'after = ["c"]') + item("c", 'after = ["a"]')),
        ("plan.toml:", "`a`", "`b`", "`c`", "cycle"),
    ),
    "an id twice": (plan_text(PLAN + item("a") + item("a")), ("plan.toml:10", "`a`", "line 3")),
    "an unknown id": (plan_text(PLAN + item("abc") + item("b", 'after = ["abd"]')), ("plan.toml:14", "`abd`", "`abc`")),
    "an item without a check": (
        plan_text(PLAN + item("a").replace('checks = ["unit"]', "")),
        ("plan.toml:3", "`a`", "checks = []"),
    ),
    "an unknown check": (plan_text(PLAN + item("a").replace("unit", "unti")), ("plan.toml:7", "`unti`", "`unit`")),
    "a check without a program": (
        plan_text(PLAN + item("a").replace('["unit"]', '[{ run = "nosuchprogram -q" }]')),
        ("plan.toml:7", "nosuchprogram"),
    ),
    "a scope that escapes": (plan_text(PLAN + item("a").replace("src/", "../src/")), ("plan.toml:6", "..")),
    "an absolute scope": (plan_text(PLAN + item("a").replace("src/a.txt", "/etc/passwd/../x")), ("plan.toml:6", "..")),
    "an id with shell words": (plan_text(PLAN + item("a; touch x $(id)")), ("plan.toml:4", "letters, digits")),
    "an id with a line break": (plan_text(PLAN + item("a\\nb")), ("plan.toml:4", "letters, digits")),
    "an id with an escape": (plan_text(PLAN + item("a\\u001b]0;owned\\u0007")), ("plan.toml:4", "letters, digits")),
    "an id of 4,000 characters": (plan_text(PLAN + item("a" * 4000)), ("plan.toml:4", "4000 characters")),
    "an unknown key": (config_text("[fleets]\nworkers = 3\n"), ("ganger.toml:", "fleets", "fleet")),
    "a wrong unit": (config_text('[checks.slow]\nrun = "true"\ntimeout = "10 parsecs"\n'), ("ganger.toml:", "timeout")),
    "no unit": (config_text('[checks.slow]\nrun = "true"\ntimeout = 10\n'), ("ganger.toml:", "without a unit")),
    "a configured check without a program": (
        default_check('[checks.gone]\nrun = "nosuchprogram"\n'),
        ("plan.toml:3", "`gone`", "nosuchprogram"),
    ),
    "an agent without a program": (
        config_text('[agents.gone]\ndriver = "command"\nrun = "nosuchprogram"\n'),
        ("ganger.toml", "agents.gone", "nosuchprogram"),
    ),
    "a configuration that is no TOML": (config_text("]]]\n"), ("ganger.toml:",)),
}


@pytest.mark.parametrize("case", TABLE)
def test_it_is_refused_and_nothing_is_changed(fleet: Fleet, case: str) -> None:
    change, words = TABLE[case]
    change(fleet)
    said = refused(fleet, *RUN)
    for word in words:
        assert word in said, said
    assert len(said) < 3000
    assert not fleet.state.exists()


def test_arguments_that_name_nothing(fleet: Fleet) -> None:
    ready(fleet)
    assert "there is no plan" in refused(fleet, "run", "nowhere.toml", "--trust")
    assert "there is no plan" in refused(fleet, "run", "src", "--trust")
    assert "cannot be the branch `-x`" in refused(fleet, *RUN, "--target=-x")
    assert "has no branch 'nope'" in refused(fleet, *RUN, "--target", "nope")
    assert "/nowhere is not a directory" in refused(fleet, "-C", "/nowhere", *RUN)
    assert "there is no fleet at" in refused(fleet, "show", "a")
    assert "there is no fleet at" in refused(fleet, "status")


def test_nothing_runs_that_nobody_agreed_to(fleet: Fleet) -> None:
    ready(fleet)
    before = world(fleet)
    done = fleet.ganger("run", str(fleet.root / "plan.toml"))
    assert done.code == 2, done
    assert "check unit: true" in done.err
    assert "nobody has agreed to these commands" in done.err
    assert world(fleet) == before


# The state directory


def test_a_file_in_its_place(fleet: Fleet) -> None:
    ready(fleet)
    fleet.state.write_text("mine\n")
    assert "the state directory" in refused(fleet, *RUN)
    assert str(fleet.state) in refused(fleet, "status")


def test_one_of_another_repository(fleet: Fleet) -> None:
    ready(fleet)
    other = Fleet(fleet.root / "other")
    other.state = fleet.state
    ready(other)
    assert other.ganger("run", str(other.root / "plan.toml"), "--trust").code == 0
    said = refused(fleet, *RUN)
    assert f"belongs to the fleet of {other.repo}" in said


def test_one_of_a_newer_version(fleet: Fleet) -> None:
    ready(fleet)
    assert fleet.ganger("run", str(fleet.root / "plan.toml"), "--trust").code == 0
    with sqlite3.connect(fleet.state / "journal.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    fleet.item("b")
    fleet.plan()
    for command in (RUN, ("status",), ("journal", "verify"), ("inbox",), ("retry", "a"), ("up", "PLAN", "--trust")):
        said = refused(fleet, *command)
        assert "schema 99" in said
        assert "a newer ganger wrote it" in said


def test_one_whose_making_was_cut_short_is_made_again(fleet: Fleet) -> None:
    ready(fleet)
    fleet.state.mkdir()
    (fleet.state / "journal.db").touch()
    assert fleet.ganger("run", str(fleet.root / "plan.toml"), "--trust").code == 0
    fleet.assert_sound()


def test_a_journal_that_is_none(fleet: Fleet) -> None:
    ready(fleet)
    fleet.state.mkdir()
    (fleet.state / "journal.db").write_text("This is a diary.\n" * 500)
    assert "journal.db" in refused(fleet, *RUN)


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    """A small file system of its own at `place`; only root can have one."""
    place.mkdir()
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=False, capture_output=True
    )
    if tried.returncode:
        pytest.skip("not tested here: mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_one_that_cannot_be_written(fleet: Fleet) -> None:
    ready(fleet)
    with mounted(fleet.state, "size=16m,mode=0700,ro"):
        assert "cannot be written" in refused(fleet, *RUN)
    if os.geteuid():
        fleet.state.chmod(0o500)
        assert "cannot be written" in refused(fleet, *RUN)


@pytest.mark.parametrize("size", ["4k", "64k", "1m"])
def test_a_full_one(fleet: Fleet, size: str) -> None:
    ready(fleet)
    with mounted(fleet.state, f"size={size},mode=0700"):
        assert f"the disk of {fleet.state} is full" in refused(fleet, *RUN)


def test_one_that_fills_up_during_the_night(fleet: Fleet) -> None:
    ready(fleet)
    filler = 'cat /dev/zero > "$TMPDIR/fill" 2>/dev/null; echo x >> src/$item.txt; commit work'
    fleet.shell_agent("default", filler)
    with mounted(fleet.state, "size=8m,mode=0700"):
        done = fleet.ganger("run", str(fleet.root / "plan.toml"), "--trust")
        assert done.code != 0, done
        assert "Traceback" not in done.both
        for fill in fleet.state.glob("runs/*/*/tmp/fill"):
            fill.write_bytes(b"")
        assert fleet.ganger("journal", "verify").code == 0
        fleet.shell_agent("default", "echo x >> src/$item.txt; commit work")
        assert fleet.ganger("retry", "a").code in (0, 1)
        again = fleet.ganger("run", str(fleet.root / "plan.toml"))
        assert again.code == 0, again
        fleet.assert_sound()
        fleet.close()


# Names that are hard to bear


NAMES = (
    *(b"with space.txt", b"new\nline.txt", b"quo\"te'.txt", b"-rf.txt", b"$(touch canary).txt", b"tab\there.txt"),
    *(
        b"not-utf8-\xff\xfe.txt",
        b"\x1b]0;owned\x07.txt",
        b"\x1b[31mred.txt",
        b"\xe2\x80\xae reversed.txt",
        b"*?[a].txt",
    ),
)


def test_a_night_among_file_names_that_are_hard_to_bear(fleet: Fleet) -> None:
    fleet.begin()
    names = {os.fsdecode(b"src/" + name): "here\n" for name in NAMES}
    fleet.commit(names)
    script = """
cd src; for f in ./*; do echo worked >> "$f"; done; cd ..
commit "$(printf 'odd \\033]0;owned\\007 words')"
ganger done --summary "$(printf '\\033[2J gone \\377')"
"""
    fleet.shell_agent("default", script)
    fleet.shell_agent("stray", "printf x > \"$(printf 'out\\033[31m\\377.txt')\"; commit work")
    fleet.configure()
    fleet.item("a", scope=["src/**"])
    fleet.item("b", agent="stray", scope=["docs/**"], more="budget = { attempts_max = 1 }")
    plan = str(fleet.plan())
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 3, done
    assert_harmless(done)
    for name in NAMES:
        assert fleet.on_main(os.fsdecode(b"src/" + name)) == "here\nworked\n"
    commands = (("status",), ("show", "a"), ("why", "a"), ("why", "b"), ("log", "a"), ("journal", "tail"), ("log",))
    for command in (*commands, ("report", "--text"), ("plan", "board"), ("plan", "lint", plan), ("doctor",)):
        shown = fleet.ganger(*command)
        assert shown.code in (0, 1), shown
        assert_harmless(shown)
    assert "out\\x1b[31m\\xff.txt" in fleet.ganger("why", "b").out
    page = (fleet.state / "reports/report.html").read_bytes().decode("utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)
    assert not (fleet.repo / "canary").exists()
    assert not (fleet.repo / "src/canary").exists()
    fleet.assert_sound()


def assert_harmless(done: Done) -> None:
    """Nothing that a terminal would act on."""
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\udc80-\udcff]", done.both), done
