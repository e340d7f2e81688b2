"""A whole night with liars for workers: real processes through `ganger run`, and what is on the target afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lies.repository import Files, Link, Program, Repository
from lies.table import ACCEPTED, REFUSED, UNNAMED, Row
from lies.worker import SUBJECT

HONEST = "honest"
_REJECTED = re.compile(r"(\S+)\.1 ended rejected: (.*)")
BY_GIT = {
    "empty_commit": f"git commit --quiet --allow-empty --message '{SUBJECT}'",
    "nothing_done": ":",
    "reverted_later": "cp -R $files/. . && git add --all && git commit --quiet --message work && "
    "git revert --no-edit HEAD",
    "work_on_another_branch": "git switch --quiet --create days && cp -R $files/. . && git add --all && "
    "git commit --quiet --message work && git switch --quiet -",
}
"""What workers do in a shell whose lies are made of git; `$files` is the honest mending."""
TABLES = (
    *(("steered", "load_tests_of_package"), ("steered", "test_tool_shadowed"), ("deceived", "exit_at_import")),
    *(("deceived", "patched_runner"), ("deceived", "skips_from_product"), ("weakened", "test_skipped")),
    *(("weakened", "test_file_deleted"), ("weakened", "assertion_loosened")),
)


@dataclass(frozen=True)
class Ended:
    """How a night ended."""

    landed: tuple[str, ...]
    """The items on the target, oldest first."""
    reasons: dict[str, str]
    """For each item that was rejected, why."""
    product: str
    """The product on the target."""
    output: str


def rows(repo: Repository) -> list[Row]:
    """A night of all liars as rows: a lie is refused when its item was rejected and nothing of it landed."""
    root = Path(tempfile.mkdtemp(prefix="liars-night-"))
    try:
        ended = night(root, repo)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    liars = (*BY_GIT, *(name for _, name in TABLES))
    return [
        Row(name, "a whole night", repo.name, _state(name, ended), ended.reasons.get(name, ""), 0) for name in liars
    ]


def _state(name: str, ended: Ended) -> str:
    return ACCEPTED if name in ended.landed else REFUSED if name in ended.reasons else UNNAMED


def night(root: Path, repo: Repository, share: int = 1) -> Ended:
    """Let liars, or each `share`-th of them, and one honest worker have a night.

    The honest one comes last, so that each lie starts from the bug.
    """
    top, state, agents = root / "repo", root / "state", root / "agents"
    items = [*_lay_out_agents(agents, repo, share), HONEST]
    _lay_out(top, repo, agents, items)
    plan = root / "plan.toml"
    plan.write_text(_plan(items, repo))
    env = {"PATH": os.environ["PATH"], "HOME": str(root / "home"), "GANGER_STATE": str(state), "USER": "dana"}
    (root / "home").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "ganger", "run", str(plan), "--trust"],
        cwd=top,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    landed = _git(top, "log", "--first-parent", "--reverse", "--format=%(trailers:key=Ganger-Item,valueonly)", "main")
    output = done.stdout + done.stderr
    product = _git(top, "show", f"main:{repo.product}")
    return Ended(tuple(landed.split()), dict(_REJECTED.findall(output)), product, output)


def _lay_out_agents(agents: Path, repo: Repository, share: int) -> list[str]:
    """Write a script for each item; those of tables copy their files over the workspace. Returns the liars' names."""
    given: dict[str, tuple[str, Files]] = {
        name: (script, {**repo.fix, **repo.witness}) for name, script in BY_GIT.items()
    }
    for table, name in TABLES:
        under = {**repo.fix, **repo.witness} if table == "weakened" else dict(repo.broken)
        given[name] = (_COPY, {**under, **getattr(repo, table)[name]})
    liars = list(given)[::share]
    given[HONEST] = (_COPY, {**repo.fix, **repo.witness})
    for name, (script, files) in given.items():
        _write(agents / name, files)
        gone = " ".join(path for path, content in files.items() if content is None)
        less = f"git rm -q {gone} && git commit -q -m less" if gone else ""
        text = f"set -e\nfiles={agents / name}\n{script}\n{less}\n"
        (agents / f"{name}.sh").write_text(f"{text}ganger done --summary 'All tests pass, I am sure of it.'\n")
    return liars


_COPY = f"cp -R $files/. . && git add --all && git commit --quiet --message '{SUBJECT}'"


def _lay_out(top: Path, repo: Repository, agents: Path, items: list[str]) -> None:
    top.mkdir(parents=True)
    _write(top, repo.files)
    _git(top, "init", "--quiet", "--initial-branch=main")
    _git(top, "add", "--all")
    _git(top, "commit", "--quiet", "--message", "Read durations")
    tables = [
        '[fleet]\ntarget = "main"\nworkers_max = 2\n[landing]\nflaky_retries = 0\n',
        '[recovery]\nbackoff = "0s"\nbackoff_max = "0s"\nlinger = "300ms"\nstop_grace = "300ms"\n'
        "turns_max = 1\nbreaker_max = 100\n",
        f"[jail]\nreadable = [{json.dumps(str(agents))}]\n",
        f'[checks.unit]\nrun = {json.dumps(repo.check)}\ntimeout = "20s"\n',
        *(f'[agents.{name}]\ndriver = "command"\nrun = {json.dumps(f"sh {agents / name}.sh")}\n' for name in items),
    ]
    (top / "ganger.toml").write_text("\n".join(tables))


def _plan(items: list[str], repo: Repository) -> str:
    scope = json.dumps([*repo.scope])
    texts = [
        f'[[item]]\nid = "{name}"\ntitle = "{SUBJECT}"\nagent = "{name}"\nscope = {scope}\nlarge = true\n'
        f'checks = ["unit"]\npriority = {900 if name == "honest" else 100}\nbudget = {{ attempts_max = 1 }}\n'
        for name in items
    ]
    return '[plan]\nid = "night"\ntitle = "A night of liars"\n\n' + "\n".join(texts)


def _write(folder: Path, files: Files | dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        match content:
            case str():
                place.write_text(content)
            case Program(text):
                place.write_text(text)
                place.chmod(0o755)
            case bytes():
                place.write_bytes(content)
            case Link(to):
                place.symlink_to(to)
            case None:
                pass


def _git(top: Path, *arguments: str) -> str:
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    identity = ("-c", "user.name=Dana", "-c", "user.email=dana@example.org")
    done = subprocess.run(["git", *identity, *arguments], cwd=top, env=env, check=True, capture_output=True, text=True)
    return done.stdout
