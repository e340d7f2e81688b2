"""`ganger verify`: is it on the target, and how well proven? On the path of scripts, so it imports little."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ganger.cli.output import NO, USAGE, YES, hung_up, say, say_json, tell_error
from ganger.errors import GangerError
from ganger.git.command import UserGit
from ganger.git.naming import STANDIN
from ganger.journal.queries import NoFleet, Reader
from ganger.service import shipped
from ganger.service.place import JOURNAL, find_common_dir, state_dir
from ganger.service.shipped import RUNGS, Shipped, Target

HELP = """Usage: ganger verify [ITEM | COMMIT] [--rung RUNG] [--json]

Say by the exit code whether an item or a commit is on the target, and how
strong the evidence is:

  landed     the journal records its landing, the commit holds the tree that was
             tested as a whole, and the target contains it
  committed  the target contains the commit, or a merge that says it landed the
             item, but no journal says so
  reported   some commit's message speaks of it: anybody can write that

Options:
  --rung RUNG      The least that counts as yes: reported, committed (unless you
                   say otherwise) or landed.
  --json           Print one JSON object instead.
  -C DIR           Work as if called in this directory.
  --state-dir DIR  Keep this fleet's state here.
  -h, --help       Show this message and exit.

Exit status: 0 it is there, as well proven as asked for; 1 it is not, or less
well; 2 there is no repository, or its fleet cannot be read.
"""
POLICY = "policy.json"
"""Held equal to `service.door.POLICY` by a test."""


class Asked(NamedTuple):
    """The question of one command line."""

    name: str = ""
    rung: str = "committed"
    as_json: bool = False
    start: Path = Path()
    override: str = ""
    help: bool = False


def main(args: list[str]) -> int:
    """Parse `args`, look, and print what was found; returns the exit status."""
    asked = parse(args)
    if isinstance(asked, str):
        tell_error(asked, "ganger verify --help")
        return USAGE
    if asked.help:
        sys.stdout.write(HELP)
        return YES
    try:
        found = look(asked)
        if asked.as_json:
            say_json("ganger.verify", told(asked, found))
        else:
            say(found.why)
        sys.stdout.flush()
    except BrokenPipeError:
        hung_up()
    except GangerError as error:
        tell_error(error.message, error.hint)
        return error.exit_code
    return YES if is_enough(found, asked.rung) else NO


def parse(args: list[str]) -> Asked | str:
    """Read the words of a command line; a text says what is wrong with them."""
    found: dict[str, Any] = {}
    values = {"--rung": "rung", "-C": "start", "--state-dir": "override"}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if word in ("-h", "--help"):
            found["help"] = True
        elif word == "--json":
            found["as_json"] = True
        elif name in values:
            if not has_value and not rest:
                return f"verify wants a value after {name}"
            given = value if has_value else rest.pop(0)
            found[values[name]] = Path(given) if name == "-C" else given
        elif word.startswith("-") or "name" in found:
            return f"verify does not know {word!r}"
        else:
            found["name"] = word
    asked = Asked(**found)
    if asked.rung not in RUNGS:
        return f"verify knows the rungs {', '.join(RUNGS)}, not {asked.rung!r}"
    if not asked.help and not asked.name:
        return "verify wants an item or a commit"
    return asked


def is_enough(found: Shipped, rung: str) -> bool:
    """Whether what was found is as well proven as asked for."""
    return bool(found.rung) and RUNGS.index(found.rung) >= RUNGS.index(rung)


def look(asked: Asked) -> Shipped:
    """Look for it; where there is no fleet, in the history of the target alone."""
    start = asked.start.absolute()
    fleet_dir = state_dir(start, os.environ, asked.override)
    beside = fleet_dir / STANDIN
    at = beside if beside.is_dir() else start
    try:
        reader = Reader(fleet_dir / JOURNAL)
    except NoFleet:
        return shipped.shipped(asked.name, Target(UserGit(at), find_common_dir(at), _branch(start), None), None)
    try:
        branch = _kept_target(fleet_dir) or _branch(start)
        hub = fleet_dir / "hub.git"
        places = (fleet_dir / shipped.NOTES, hub if hub.is_dir() else None)
        return shipped.shipped(asked.name, Target(UserGit(at), find_common_dir(at), branch, *places), reader)
    finally:
        reader.close()


def _kept_target(fleet_dir: Path) -> str:
    """The target by which the fleet decides; empty when that is not kept."""
    try:
        policy = json.loads((fleet_dir / POLICY).read_bytes())
    except (OSError, ValueError):
        return ""
    return str(policy.get("target", "main")) if isinstance(policy, dict) else ""


def _branch(start: Path) -> str:
    """The target of a repository without a fleet, by its configuration."""
    from ganger.service import wiring

    return wiring.gather(start, os.environ, "", {}).policy.target


def told(asked: Asked, found: Shipped) -> dict[str, Any]:
    """What was found, for `--json`."""
    proven = {"landed": found.rung == RUNGS[-1], "commit": found.commit, "rung": found.rung, "why": found.why}
    return {"item": asked.name, **proven, "enough": is_enough(found, asked.rung)}
