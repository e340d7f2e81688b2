"""`ganger simulate`: how long a plan would take with so many workers, what limits it, and what others would do."""

from __future__ import annotations

import math
import os
from pathlib import Path

import click
import msgspec

from ganger.cli.main import App
from ganger.cli.options import Duration, Instant, as_json
from ganger.cli.output import NO, YES, say, say_json, table, tell
from ganger.cli.state import look
from ganger.core.decide import decide
from ganger.core.events import Entry
from ganger.core.evolve import evolve
from ganger.core.facts import Snapshot
from ganger.core.ids import Seq
from ganger.core.model import Refusal
from ganger.core.state import State
from ganger.errors import UsageError
from ganger.journal.clock import wall_ms
from ganger.journal.queries import NoFleet
from ganger.plans.port import Plan
from ganger.plans.values import HOUR_MS, MINUTE_MS
from ganger.report import capacity as told
from ganger.report.capacity import Capacity
from ganger.report.capacity_picture import render_svg
from ganger.service import wiring
from ganger.supervisor.capacity import capacity
from ganger.supervisor.rehearsal import Pace


class Figure(click.ParamType[float]):
    """A number above a least one, as in `8` or `1.5`."""

    name = "number"

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            found = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is no number: as in 8 or 1.5", param, ctx)
        if not (math.isfinite(found) and self._low <= found <= self._high):
            self.fail(f"{value} must be {self._low:g} to {self._high:g}", param, ctx)
        return found


@click.command()
@click.option(
    "--plan", "plan_file", type=click.Path(path_type=Path), required=True, help="The plan file to play through."
)
@click.option("--workers", type=click.IntRange(1, 1000), help="Workers at once; else those of ganger.toml.")
@click.option("--hours", type=Figure(0.01, 87_600), help="The time there is: exit 1 when the plan takes longer.")
@click.option("--minutes", type=Figure(0.01, 10_000), default=20, show_default=True, help="Median length of a turn.")
@click.option(
    "--spread",
    type=Figure(1, 100),
    default=1,
    show_default=True,
    help="Two thirds of the turns take between the median divided by this and the median times this.",
)
@click.option("--fail", type=Figure(0, 1), default=0, show_default=True, help="Share of turns that are rejected.")
@click.option("--checks", "check_ms", type=Duration(), default="1m", show_default=True, help="How long checks take.")
@click.option(
    "--landing", "land_ms", type=Duration(), default="2s", show_default=True, help="How long a landing takes."
)
@click.option("--seed", type=int, default=0, show_default=True, help="What chance is drawn from.")
@click.option("--from", "begin_ms", type=Instant(), help="When it begins, where hours and dates matter; else now.")
@click.option("--picture", type=click.Path(path_type=Path), help="Draw it into this SVG file.")
@as_json
@click.pass_obj
def simulate(
    app: App,
    plan_file: Path,
    workers: int | None,
    hours: float | None,
    minutes: float,
    spread: float,
    fail: float,
    check_ms: int,
    land_ms: int,
    seed: int,
    begin_ms: int | None,
    picture: Path | None,
    as_json: bool,
) -> int:
    """Play a plan through in virtual time and say how long it would take, and what limits it.

    What is picked when is decided as in a night; how long things take is what the options say. Nothing is started
    and nothing is changed. The same seed gives the same answer.

    Exit status: 0 everything that is not held would land, within --hours; 1 it would not.
    """
    if not plan_file.is_file():
        raise UsageError(f"there is no plan {plan_file}")
    flags = {"fleet.workers_max": str(workers)} if workers is not None else {}
    parts = wiring.gather(app.start, os.environ, app.state_override, flags)
    plan, _ = wiring.usable_plan(parts, plan_file)
    pace = Pace(round(minutes * MINUTE_MS), spread, check_ms, land_ms, fail, seed)
    limit_ms = round(hours * HOUR_MS) if hours is not None else None
    at_ms = begin_ms if begin_ms is not None else wall_ms()
    found = capacity(_facts(parts, plan, at_ms), plan.id, parts.policy, pace, at_ms, limit_ms)
    if picture is not None:
        _draw(found, picture)
    if as_json:
        shown = {name: value for name, value in msgspec.to_builtins(found).items() if name != "turns"}
        say_json("ganger.simulate", {"fits": found.fits, "ideal_ms": found.ideal_ms, **shown})
    else:
        _print(found)
    return YES if found.fits else NO


def _facts(parts: wiring.Parts, plan: Plan, at_ms: int) -> Snapshot:
    """The items of the fleet with the plan added, and nothing of what goes on there."""
    try:
        fleet = look(parts.state_dir).state
    except NoFleet:
        fleet = State(rules=parts.policy.paths)
    state = State(
        Snapshot(items=list(fleet.items.values()), plans=dict(fleet.plans), seq=fleet.seq), parts.policy.paths
    )
    decided = decide(state, wiring.add_plan(plan), at_ms, parts.policy)
    if isinstance(decided, Refusal):
        raise UsageError(f"plan {plan.id}: {decided.reason}", decided.way)
    for event in decided:
        evolve(state, Entry(Seq(state.seq + 1), at_ms, "simulate", event))
    return state.snapshot()


def _draw(found: Capacity, picture: Path) -> None:
    try:
        picture.write_text(render_svg(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{picture} cannot be written: {error.strerror}") from error
    tell(f"wrote {picture}")


def _print(found: Capacity) -> None:
    say(told.headline(found))
    if found.items:
        for line in told.bounds(found):
            say(line)
        say()
        table(told.rows(found), told.HEAD)
    for heading, lines in (("waited while a worker was free:", told.waits(found)), ("", told.left(found))):
        if lines:
            say(f"\n{heading}".rstrip(" ") if heading else "")
        for line in lines:
            say(f"  {line}" if heading else line)
    if told.verdict(found):
        say(f"\n{told.verdict(found)}")
