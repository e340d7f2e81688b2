"""`ganger plan`: is the plan right, what is in it, and how far is it?"""

from __future__ import annotations

import os
from pathlib import Path

import click

from ganger.cli.main import App
from ganger.cli.output import USAGE, YES, plural, say, say_json, table, tell
from ganger.errors import UsageError
from ganger.journal.queries import ItemRow, Reader
from ganger.journal.store import wall_ms
from ganger.plans.port import Severity
from ganger.service import place, wiring


@click.group()
def plan() -> None:
    """Lint and show plans, and the board of items."""


@plan.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
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
@click.pass_obj
def show(app: App, path: Path) -> int:
    """Show the items of the plan at PATH as ganger reads them."""
    if not path.is_file():
        raise UsageError(f"there is no plan {path}")
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    found, _ = wiring.usable_plan(parts, path)
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
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def board(app: App, plan_id: str, as_json: bool) -> int:
    """Show every item with what was claimed of it and what was seen."""
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        items = reader.items(plan_id)
        if plan_id and not items:
            raise UsageError(f"the fleet has no plan {plan_id}", "ganger run FILE adds one")
        if as_json:
            rows = [{k: v for k, v in item._asdict().items() if k not in ("brief", "spec")} for item in items]
            say_json("ganger.board", {"items": rows})
            return YES
        rows_shown = [(i.id, _claimed(reader, i), _status(i), str(i.attempts), i.title) for i in items]
        table(rows_shown, ("ITEM", "CLAIMED", "SEEN", "RUNS", "TITLE"))
    finally:
        reader.close()
    return YES


def _status(item: ItemRow) -> str:
    cooling = item.status == "ready" and item.cool_until_ms > wall_ms()
    return "cooling" if cooling else item.status


def _claimed(reader: Reader, item: ItemRow) -> str:
    """Whether a worker ever said that the item is done."""
    runs = reader.runs(item.id) if item.attempts else []
    said = any(turn.report and '"kind":"done"' in turn.report for run in runs for turn in reader.turns(run.id))
    return "done" if said else "-"
