"""The demo's repository: the library's files, the fleet's configuration and the plan, in two commits on `main`."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.resources import files
from pathlib import Path

from ganger.cli.demo.library import Library
from ganger.core.ids import Commit
from ganger.git.command import Git, run_safe

CONFIG, PLAN = "ganger.toml", "plans/night.toml"
_WHO = (("user.name", "Demo"), ("user.email", "demo@ganger.invalid"), ("commit.gpgsign", "false"))


def make_repository(folder: Path, library: Library) -> Commit:
    """Make a repository of `folder` and add the night to it; returns the commit from which the night starts.

    Its identity is written into its own configuration: nobody else's is read or changed.
    """
    run_safe(folder, "init", "--quiet", "--initial-branch=main", ".")
    git = Git(folder / ".git", folder)
    for name, value in _WHO:
        git.run("config", name, value)
    _commit(git, f"Take in {library.origin}")
    for name, text in night_files(library).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return _commit(git, "Plan a night")


def night_files(library: Library) -> dict[str, str]:
    """The configuration and the plan for a library, with this Python written in."""
    data = files("ganger.cli.demo") / "nights" / library.name
    path = _in_toml(sys.executable)
    word = _in_toml(shlex.quote(sys.executable))
    texts = {CONFIG: "ganger.toml", PLAN: "plan.toml"}
    return {
        name: (data / source).read_text(encoding="utf-8").replace("@python@", word).replace("@python-path@", path)
        for name, source in texts.items()
    }


def _in_toml(text: str) -> str:
    """Write a text as the inside of a basic string of TOML; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _commit(git: Git, message: str) -> Commit:
    git.run("add", "--all", "--force")
    git.run("commit", "--quiet", f"--message={message}")
    found = git.rev_parse("HEAD")
    assert found is not None, "a commit was made a moment before"
    return found
