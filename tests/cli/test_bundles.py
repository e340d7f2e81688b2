"""Bundles of a real night, verified where nothing but the file and a clone is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Done, Fleet

from ganger.cli.bundles import BYTES_MAX


@pytest.fixture
def night(fleet: Fleet) -> Fleet:
    """A fleet with two items that landed together and one that did not."""
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work")
    fleet.shell_agent("bad", "exit 3")
    fleet.configure(checks={"unit": "grep -q x src/a.txt src/b.txt src/c.txt"})
    fleet.write({"src/a.txt": "x\n", "src/b.txt": "x\n", "src/c.txt": "x\n"})
    fleet.commit({}, "More")
    fleet.item("a")
    fleet.item("b")
    fleet.item("c", agent="bad", more="budget = { attempts_max = 1 }")
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 3
    return fleet


def test_a_bundle_is_verified_with_nothing_but_itself_and_a_clone(
    night: Fleet, here: Callable[..., Done], tmp_path: Path
) -> None:
    files = [tmp_path / f"{name}.bundle" for name in ("a", "again", "b")]
    for file, item in zip(files, ("a", "a", "b"), strict=True):
        assert here("bundle", item, "-o", str(file)).out == f"{file}\n"
    assert files[0].read_bytes() == files[1].read_bytes()
    public = here("key").out.strip()
    clone = tmp_path / "clone"
    night.git("clone", "--quiet", "--bare", str(night.repo), str(clone))
    night.state.rename(tmp_path / "state-is-elsewhere")
    for file in files:
        done = here("verify-bundle", str(file), "--repo", str(clone), "--key", public)
        assert done.code == 0 and done.err.startswith(f"{clone} agrees: a branch contains ")
        assert f"signed by {public}" in done.out and "check unit: passed, exit 0" in done.out
    told = json.loads(here("verify-bundle", str(files[2]), "--json").out)
    assert (told["holds"], told["item"], told["run"], told["faults"]) == (True, "b", "b.1", [])
    assert "--key KEY says whose it must be" in here("verify-bundle", str(files[0])).err
    (tmp_path / "state-is-elsewhere").rename(night.state)


def test_a_clone_without_the_landing_is_told(night: Fleet, here: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "a.bundle"
    here("bundle", "a", "-o", str(file))
    tip = night.json("show", "a")["landed"]
    night.git("update-ref", "refs/heads/main", f"{tip}~1")
    done = here("verify-bundle", str(file), "--repo", str(night.repo))
    assert done.code == 1 and f"no branch of the clone contains {tip[:12]}" in done.out
    other = tmp_path / "other"
    other.mkdir()
    night.git("init", "--quiet", str(other))
    done = here("verify-bundle", str(file), "--repo", str(other))
    assert done.code == 1 and f"{other}: the landed commit {tip[:12]} is not in the clone" in done.out


def test_damage_is_said_with_its_place(night: Fleet, here: Callable[..., Done], tmp_path: Path) -> None:
    file = tmp_path / "a.bundle"
    here("bundle", "a", "-o", str(file))
    data = bytearray(file.read_bytes())
    at = data.index(b'"type":"VerdictGiven"')
    data[at + 9] ^= 1
    file.write_bytes(data)
    done = here("verify-bundle", str(file), "--repo", str(night.repo))
    assert done.code == 1 and done.err == ""
    assert done.out.startswith("DOES NOT HOLD: entry ") and done.out.endswith("it is not what was signed\n")
    assert [
        one["first"] <= at + 9 < one["end"]
        for one in json.loads(here("verify-bundle", str(file), "--json").out)["faults"]
    ] == [True]


def test_what_cannot_be_asked(night: Fleet, here: Callable[..., Done]) -> None:
    asked = {
        ("bundle", "c", "-o", "x"): "c has not landed, so there is nothing to bundle",
        ("bundle", "z", "-o", "x"): "nothing is called 'z'",
        ("bundle", "a", "--json"): "a bundle is a file",
        ("bundle", "a", "-o", "/nowhere/x"): "/nowhere/x cannot be written: No such file or directory",
        ("verify-bundle", "/nowhere/x"): "/nowhere/x cannot be read: No such file or directory",
        ("verify-bundle", "ganger.toml", "--repo", "/nowhere"): "/nowhere is no git repository",
        ("verify-bundle", "ganger.toml", "--key", "x"): "'x' is no public key, nor a file with one",
    }
    for words, told in asked.items():
        done = here(*words)
        assert (done.code, done.out) == (2, "") and done.err.startswith(f"ganger: {told}"), done
    done = here("verify-bundle", "ganger.toml")
    assert done.code == 1 and "the first line is not that of a ganger.bundle/1" in done.out


def test_what_is_no_file_is_not_read(night: Fleet, here: Callable[..., Done], tmp_path: Path) -> None:
    """A pipe is not waited for, and what has no end is not taken into memory."""
    pipe, long = tmp_path / "pipe", tmp_path / "long"
    os.mkfifo(pipe)
    with long.open("wb") as file:
        file.truncate(BYTES_MAX + 1)
    for path, told in (
        (pipe, "is not a regular file"),
        ("/dev/zero", "is not a regular file"),
        (long, "is larger than"),
    ):
        done = here("verify-bundle", str(path))
        assert (done.code, done.out) == (2, "") and done.err.startswith(f"ganger: {path} {told}"), done
        keyed = here("verify-bundle", "ganger.toml", "--key", str(path))
        assert keyed.code == 2 and "is no public key, nor a file with one" in keyed.err


def test_a_worker_gets_no_signature(fleet: Fleet) -> None:
    fleet.begin()
    for words in (("bundle", "a", "-o", "x"), ("key",)):
        done = fleet.ganger(*words, env={"GANGER_RUN": "a.1"})
        assert done.code == 1 and "refused (forbidden): the worker of a.1 may not ask for" in done.err
