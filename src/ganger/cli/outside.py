"""`ganger ci` and `residual`: what is true outside the fleet, of a commit and of a plan."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import closing

import click
import msgspec

from ganger.cli.control import fleet_at
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import FIRST, NO, SECOND, YES, plural, say, say_json, tell
from ganger.cli.reply import a_person, answered, ask, asker
from ganger.core import commands as cmd
from ganger.core.ids import Commit
from ganger.core.model import CI_CLOSES, CiState
from ganger.errors import UsageError
from ganger.git.repository import target_tip
from ganger.journal.queries import NoFleet, Reader
from ganger.service import place, shipped, wiring
from ganger.service.ci import Ci, state_of
from ganger.service.ci_settings import COMMAND, NONE
from ganger.service.residual import Closing, Left, left_of
from ganger.service.residual import residual as reconcile
from ganger.service.shipped import Shipped, Target

CI_EXIT = {
    CiState.green: YES,
    CiState.repaired_green: YES,
    CiState.blocked: NO,
    CiState.unknown: FIRST,
    CiState.unavailable: SECOND,
}
_trust = click.option("--trust", is_flag=True, help="Agree to running the program of ci.run.")


@click.command()
@click.argument("ref", default="", metavar="[ITEM | COMMIT]")
@_trust
@click.option("--close", is_flag=True, help="Close what landed so although CI is not green, by your name.")
@as_json
@click.pass_obj
def ci(app: App, ref: str, trust: bool, close: bool, as_json: bool) -> int:
    """Ask CI about the commit with which ITEM landed, about COMMIT, or about the tip of the target.

    Where ci.required is set, an item that landed is closed by a green answer, or by a person with --close.

    Exit status: 0 green, also when it had to be run again, or with --close closed; 1 blocked, and by what, or with
    --close nothing waits for CI; 2 there is no source, or nothing is called so; 3 unknown: it has not said yet; 4
    unavailable: it could not be asked, and what was seen.
    """
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    if close:
        commit = _commit_of(parts, ref)
        reply = ask(fleet_at(app), cmd.WaiveCi(commit, asker()))
        return answered(reply, f"closed without CI: {commit[:12]}", as_json=as_json)
    _require_source(parts, trust)
    commit = _commit_of(parts, ref)
    found = _asked(parts, commit)
    if as_json:
        say_json("ganger.ci", {"commit": commit, "state": found.state, "text": found.text})
    else:
        say(f"{found.state}: {found.text}")
    return CI_EXIT[found.state]


@click.command()
@click.argument("plan_id", metavar="[PLAN]", default="")
@_trust
@as_json
@click.pass_obj
def residual(app: App, plan_id: str, trust: bool, as_json: bool) -> int:
    """Say what is left of PLAN, or of all, when only evidence counts.

    Each item is verified (the target contains what landed it, and CI is green on that where ci.required says so),
    quiet_incomplete (somebody said that it is done, and it is not there), or open.

    Exit status: 0 nothing is left; 1 something is; 2 there is no such plan or fleet.
    """
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    if parts.config.ci.required:
        _require_source(parts, trust)
    with closing(Reader(parts.state_dir / place.JOURNAL)) as reader:
        if plan_id and reader.plan(plan_id) is None:
            raise UsageError(f"the fleet has no plan {plan_id}", "ganger plan board lists the items")
        target = _target(parts)

        def is_shipped(item: str) -> Shipped:
            return shipped.shipped(item, target, reader)

        items = reconcile(reader, plan_id, is_shipped, _closing(parts, reader))
    left = left_of(items)
    if as_json:
        say_json("ganger.residual", {"plan": plan_id, "left": len(left), "items": msgspec.to_builtins(items)})
    else:
        _say_text(items, left)
    return NO if left else YES


def _say_text(items: tuple[Left, ...], left: tuple[Left, ...]) -> None:
    for one in left:
        said = f" (said to be done {plural(one.claims, 'time')})" if one.claims else ""
        say(f"{one.item}: {one.standing}{said}: {one.text}")
    counts = Counter(one.standing for one in items)
    tell(", ".join(f"{number} {standing}" for standing, number in sorted(counts.items())) or "there is no item")


def _closing(parts: wiring.Parts, reader: Reader) -> Closing:
    """What CI has against closing what landed with a commit; each commit is asked about once.

    A person who closed it has the last word.
    """
    known: dict[str, str] = {}

    def against(commit: str) -> str:
        row = reader.ci(commit)
        if row is not None and row.by:
            return ""
        if parts.config.ci.required and commit not in known:
            found = _asked(parts, commit)
            open_ = f"awaits CI of {commit[:12]}: {found.state}: {found.text}"
            known[commit] = "" if found.state in CI_CLOSES else open_
        return known.get(commit, "")

    return against


def _asked(parts: wiring.Parts, commit: str) -> Ci:
    return state_of(parts.config.ci, commit, parts.repository.top, parts.state_dir, os.environ)


def _require_source(parts: wiring.Parts, trust: bool) -> None:
    """UsageError when there is no source, or one that is a program and nobody has agreed to it."""
    if parts.config.ci.source == NONE:
        raise UsageError("no source of CI is configured", "name one as ci.source in ganger.toml")
    if parts.config.ci.source != COMMAND:
        return
    a_person("Ci")
    if not trust and wiring.require_trust(parts, ()):
        command = " ".join(parts.config.ci.argv)
        raise UsageError(f"nobody has agreed to run {command}", "look at it, then say so with --trust")


def _target(parts: wiring.Parts) -> Target:
    hub, repository = parts.state_dir / "hub.git", parts.repository
    notes = parts.state_dir / shipped.NOTES
    return Target(repository.git, repository.common_dir, parts.policy.target, notes, hub if hub.is_dir() else None)


def _commit_of(parts: wiring.Parts, ref: str) -> Commit:
    """The commit that a name stands for; UsageError when it stands for none."""
    if not ref:
        found = target_tip(parts.repository, parts.policy.target)
    else:
        found = _landed_with(parts, ref) or parts.repository.git.rev_parse(f"{ref}^{{commit}}")
    if found is None:
        raise UsageError(f"nothing that landed, and no commit, is called {ref!r}", "ganger plan board lists the items")
    return found


def _landed_with(parts: wiring.Parts, item: str) -> Commit | None:
    try:
        reader = Reader(parts.state_dir / place.JOURNAL)
    except NoFleet:
        return None
    with closing(reader):
        row = reader.item(item)
        return Commit(row.landed) if row is not None and row.landed else None
