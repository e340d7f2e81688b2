"""`ganger plan`: is the plan right, what is in it, and how far is it?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from ganger.cli.control import fleet_at
from ganger.cli.items import claimed, shown_status, verified
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import USAGE, YES, plural, say, say_json, table, tell
from ganger.cli.reply import answered, ask
from ganger.core import commands as cmd
from ganger.core.ids import PlanId
from ganger.errors import UsageError
from ganger.journal.clock import wall_ms
from ganger.journal.queries import ItemRow, Reader
from ganger.plans.port import Severity
from ganger.service import place, wiring


@click.group()
def plan() -> None:
    """Lint, show and stop plans, and show the board of items."""


@plan.command()
@click.argument("path", type=click.Path(path_type=Path))
@as_json
@click.pass_obj
def lint(app: App, path: Path, as_json: bool) -> int:
    """Report every fault of the plan at PATH at once, each with its line.

    Exit status: 0 it can be run (there may be warnings); 2 it cannot.
    """
    if not path.is_file():
        raise UsageError(f"there is no plan {path}")
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    found, faults = wiring.read_plan_file(parts, path)
    usable = found is not None and all(fault.severity is not Severity.error for fault in faults)
    if as_json:
        listed = [
            {"path": f.path, "line": f.line, "severity": f.severity.value, "message": f.message, "hint": f.hint}
            for f in faults
        ]
        say_json("ganger.plan-lint", {"usable": usable, "faults": listed})
        return YES if usable else USAGE
    for fault in faults:
        tell(fault.text)
    if usable and found is not None:
        say(f"{path}: plan {found.id}, {plural(len(found.items), 'item')}, can be run")
    return YES if usable else USAGE


@plan.command()
@click.argument("path", type=click.Path(path_type=Path))
@as_json
@click.pass_obj
def show(app: App, path: Path, as_json: bool) -> int:
    """Show the items of the plan at PATH as ganger reads them.

    Exit status: 0 it can be run; 2 it cannot: `ganger plan lint` says why.
    """
    if not path.is_file():
        raise UsageError(f"there is no plan {path}")
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    found, _ = wiring.usable_plan(parts, path)
    if as_json:
        items = [{**msgspec.to_builtins(item.spec), "brief": item.brief, "line": item.line} for item in found.items]
        say_json("ganger.plan", {"id": found.id, "title": found.title, "digest": found.digest, "items": items})
        return YES
    say(f"{found.id}: {found.title}\n")
    rows = []
    for item in found.items:
        spec = item.spec
        checks = ", ".join(check.name for check in spec.checks) or "none"
        rows.append((spec.id, spec.agent, ", ".join(spec.scope), checks, ", ".join(spec.after) or "-", spec.title))
    table(rows, ("ITEM", "AGENT", "SCOPE", "CHECKS", "AFTER", "TITLE"))
    return YES


@plan.command()
@click.argument("plan_id", metavar="[PLAN]", default="")
@as_json
@click.pass_obj
def board(app: App, plan_id: str, as_json: bool) -> int:
    """Show every item with what its worker claimed and what ganger verified; `!` where these differ.

    Exit status: 0 the board; 2 there is no such plan.
    """
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        items = reader.items(plan_id)
        if plan_id and not items and reader.plan(plan_id) is None:
            raise UsageError(f"the fleet has no plan {plan_id}", "ganger run FILE adds one")
        now_ms = wall_ms()
        lines = [_line(item, reader, now_ms) for item in items]
    finally:
        reader.close()
    if as_json:
        say_json("ganger.board", {"items": lines})
        return YES
    shown = [
        (
            *(line["id"], line["claimed"], ("! " if line["differs"] else "") + line["verified"], line["seen"]),
            *(str(line["attempts"]), line["title"]),
        )
        for line in lines
    ]
    table(shown, ("ITEM", "CLAIMED", "VERIFIED", "STATE", "RUNS", "TITLE"))
    return YES


def _line(item: ItemRow, reader: Reader, now_ms: int) -> dict[str, Any]:
    """What the board says of an item."""
    runs = reader.runs(item.id) if item.attempts else []
    said, found = claimed(reader, runs), verified(item, reader, runs)
    row = {name: value for name, value in item._asdict().items() if name not in ("brief", "spec")}
    differs = said == "done" and found not in ("landed", "accepted")
    return {**row, "seen": shown_status(item, reader, now_ms), "claimed": said, "verified": found, "differs": differs}


@plan.command("replan")
@click.argument("plan_id", metavar="PLAN")
@as_json
@click.pass_obj
def replan(app: App, plan_id: str, as_json: bool) -> int:
    """Have the planner (loop.planner) asked for new items of PLAN, whatever is left of it.

    Exit status: 0 it will be; 1 it is being asked already, or there is no planner, or no such plan.
    """
    reply = ask(fleet_at(app), cmd.ControlPlan(PlanId(plan_id), "replan"))
    return answered(reply, f"the planner will be asked about {plan_id}", as_json=as_json)


@plan.command("stop")
@click.argument("plan_id", metavar="PLAN")
@click.option("--reason", default="stopped by hand", help="Why; it is shown wherever its items are.")
@as_json
@click.pass_obj
def stop_plan(app: App, plan_id: str, reason: str, as_json: bool) -> int:
    """End PLAN: its live runs are stopped, their work is kept, and nothing of it is offered until `ganger resume`.

    Exit status: 0 it is ended; 1 it cannot be in the state it is in.
    """
    reply = ask(fleet_at(app), cmd.ControlPlan(PlanId(plan_id), "stop", reason))
    return answered(reply, f"plan {plan_id} is stopped: ganger resume {plan_id}", as_json=as_json)
