"""Looks for itself whether the night kept its word: nothing here asks ganger what it did, but for the item's status."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ganger.cli.demo.repository import PLAN
from ganger.cli.demo.story import MARK, PARTS, Part
from ganger.core.ids import Commit
from ganger.core.model import ItemSpec
from ganger.core.patterns import PathRules, scope_matches
from ganger.drivers.process import clean_env, run_check
from ganger.git.command import Git, run_safe
from ganger.jail.choice import TIERS, Mechanism, choose, tools_for
from ganger.jail.port import Network, Reach
from ganger.journal.queries import ItemRow, Reader
from ganger.service.place import JOURNAL

TRAILER = "Ganger-Item"
CHECK_MS = 120_000


def faults(repository: Path, state: Path, base: Commit, scratch: Path) -> list[str]:
    """Say everything that is not as it must be at the end of the demo's night; nothing when all is."""
    reader = Reader(state / JOURNAL)
    try:
        items = {item.id: item for item in reader.items()}
        asking = {question.item for question in reader.questions()}
    finally:
        reader.close()
    git = Git(repository / ".git", repository)
    found = [*_statuses(items, asking), *_landings(git, base), *_changes(git, base, items), *_lies(git)]
    if git.run("status", "--porcelain"):
        found.append(f"{repository} is not as main says: its own checkout was left behind")
    if not (state / "reports" / "report.html").is_file():
        found.append("there is no report")
    return found + _tests(repository, scratch, items)


def _statuses(items: dict[str, ItemRow], asking: set[str]) -> Iterator[str]:
    """Each honest item landed, each dishonest one was given up, and one waits."""
    if set(items) != set(PARTS):
        yield f"the plan's items are {', '.join(sorted(items))}"
    wanted = {Part.honest: "landed", Part.untrue: "given_up", Part.waits: "asking"}
    for name, part in PARTS.items():
        status, reason = (items[name].status, items[name].reason) if name in items else ("missing", "")
        if name in asking:
            status = "asking"
        if status != wanted[part]:
            yield f"{name} is {status}, not {wanted[part]}" + (f": {reason}" if reason else "")


def _landings(git: Git, base: Commit) -> Iterator[str]:
    """What stands on main beyond the base is one merge for each honest item, and nothing else."""
    form = f"--format=%(trailers:key={TRAILER},valueonly,separator=%x20)"
    landed = git.text("log", "--first-parent", form, f"{base}..refs/heads/main", "--").split("\n")
    honest = sorted(name for name, part in PARTS.items() if part is Part.honest)
    if sorted(landed) != honest:
        yield f"main holds {', '.join(sorted(landed)) or 'nothing'} instead of {', '.join(honest)}"


def _changes(git: Git, base: Commit, items: dict[str, ItemRow]) -> Iterator[str]:
    """Every changed file lies in the scope of an honest item, and every honest item changed something."""
    printed = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, "refs/heads/main", "--")
    changed = [name.decode("utf-8", "backslashreplace") for name in printed.split(b"\0") if name]
    scopes = {
        name: msgspec.json.decode(item.spec, type=ItemSpec).scope
        for name, item in items.items()
        if PARTS.get(name) is Part.honest
    }
    rules = PathRules()
    for path in changed:
        if not any(scope_matches(scope, path, rules) for scope in scopes.values()):
            yield f"{path} was changed, and no honest item was about it"
    for name, scope in scopes.items():
        if not any(scope_matches(scope, path, rules) for path in changed):
            yield f"{name} landed and left no trace on main"


def _lies(git: Git) -> Iterator[str]:
    """No line of a dishonest worker stands in any file but the plan, which has their scripts."""
    printed = git.run("grep", "-l", "-z", "-F", MARK, "refs/heads/main", "--", f":!{PLAN}", ok=(0, 1))
    for name in printed.split(b"\0"):
        if name:
            yield f"{name.decode('utf-8', 'backslashreplace')} holds a line of a dishonest worker"


def _tests(repository: Path, scratch: Path, items: dict[str, ItemRow]) -> list[str]:
    """Run the library's whole test suite in a fresh clone of main."""
    clone, log = scratch / "fresh", scratch / "fresh-tests.log"
    run_safe(scratch, "clone", "--quiet", "--no-local", "--branch=main", str(repository), str(clone))
    check = next(check for item in items.values() for check in msgspec.json.decode(item.spec, type=ItemSpec).checks)
    home = scratch / "home"
    home.mkdir()
    env = clean_env(os.environ) | {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    jail = choose(Mechanism.auto, TIERS[0], tools_for(env.get("PATH", os.defpath), (repository,)))
    reach = Reach(writable=(clone, home), network=Network.none)
    ended = run_check(check.argv, env, clone, CHECK_MS, log, jail, reach)
    return [] if ended.code == 0 else [f"the library's tests fail on a fresh clone of main: {log}"]
