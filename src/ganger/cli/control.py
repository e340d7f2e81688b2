"""What a person does to a plan, to a schedule, to a breaker and to a run's workspace."""

from __future__ import annotations

import time
from pathlib import Path

import click

from ganger.cli.lease import fleet_dir
from ganger.cli.main import App
from ganger.cli.options import Duration, Instant, TimeOfDay, as_json
from ganger.cli.output import NO, YES, clock, plain, say, say_json, table, tell
from ganger.cli.reply import answered, ask, asker
from ganger.cli.state import look
from ganger.core import commands as cmd
from ganger.core.ids import Commit, PlanId, RunId, is_run_id
from ganger.core.program import EVERY_MIN_MS
from ganger.errors import UsageError
from ganger.journal.clock import wall_ms
from ganger.journal.queries import Reader, ScheduleRow
from ganger.plans.values import DAY_MS, duration_text
from ganger.service import place


def fleet_at(app: App) -> Path:
    """The state directory of a fleet that there is; NoFleet when there is none."""
    state_dir = app.state_dir()
    Reader(state_dir / place.JOURNAL).close()
    return state_dir


@click.command()
@click.argument("plan")
@as_json
@click.pass_obj
def pause(app: App, plan: str, as_json: bool) -> int:
    """Start no more workers for PLAN; live ones go on.

    Exit status: 0 it is paused; 1 it cannot be in the state it is in.
    """
    reply = ask(fleet_at(app), cmd.ControlPlan(PlanId(plan), "pause"))
    return answered(reply, f"plan {plan} is paused: ganger resume {plan}", as_json=as_json)


@click.command()
@click.argument("plan")
@as_json
@click.pass_obj
def resume(app: App, plan: str, as_json: bool) -> int:
    """Offer the items of PLAN again, after `ganger pause` or `ganger plan stop`.

    Exit status: 0 they are offered; 1 it is neither paused nor stopped.
    """
    reply = ask(fleet_at(app), cmd.ControlPlan(PlanId(plan), "resume"))
    return answered(reply, f"plan {plan} goes on", as_json=as_json)


@click.command()
@click.argument("plan")
@click.argument("text")
@as_json
@click.pass_obj
def steer(app: App, plan: str, text: str, as_json: bool) -> int:
    """Tell all later turns of PLAN's workers TEXT, until it is steered again; an empty TEXT takes it back.

    Exit status: 0 they are told; 1 the plan is over.
    """
    said = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    reply = ask(fleet_at(app), cmd.ControlPlan(PlanId(plan), "steer", said))
    return answered(reply, f"plan {plan} is steered" if said else f"plan {plan} is steered no more", as_json=as_json)


@click.group()
def breaker() -> None:
    """Look at what is not tried for a while because it failed so often, and have it tried again."""


@breaker.command("list")
@as_json
@click.pass_obj
def list_breakers(app: App, as_json: bool) -> int:
    """List the open breakers.

    Exit status: 0 there are some; 1 there are none.
    """
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        rows = reader.breakers()
    finally:
        reader.close()
    if as_json:
        say_json("ganger.breakers", {"breakers": [plain(row) for row in rows]})
    elif rows:
        table([(row.key, clock(row.until_ms), row.reason) for row in rows], ("BREAKER", "NEXT TRY", "REASON"))
    else:
        tell("no breaker is open")
    return YES if rows else NO


@breaker.command()
@click.argument("key")
@as_json
@click.pass_obj
def close(app: App, key: str, as_json: bool) -> int:
    """Have KEY (agent:NAME, kind:NAME or check:NAME) tried again at once.

    Exit status: 0 it is; 1 no such breaker is open.
    """
    return answered(ask(fleet_at(app), cmd.CloseBreaker(key)), f"{key} is tried again", as_json=as_json)


@click.group()
def schedule() -> None:
    """Have plan files read again at set times, by whatever supervisor is up then."""


@schedule.command("set")
@click.argument("name")
@click.argument("plan_file", metavar="PLANFILE", type=click.Path(path_type=Path))
@click.option("--every", "every_ms", type=Duration(EVERY_MIN_MS), help="Again and again, first after so long.")
@click.option("--at", "minute", type=TimeOfDay(), help="Each day at this local time, as in 22:00.")
@click.option("--once-at", "once_ms", type=Instant(), help="Once, at this instant, as in 2026-12-01T22:00.")
@click.option("--trust", "trusted", is_flag=True, help="Agree to the commands of ganger.toml and the plan.")
@as_json
@click.pass_obj
def set_schedule(
    app: App,
    name: str,
    plan_file: Path,
    every_ms: int | None,
    minute: int | None,
    once_ms: int | None,
    trusted: bool,
    as_json: bool,
) -> int:
    """Have PLANFILE read again at set times, under NAME; a schedule of that name is replaced.

    Its times survive any restart; those that were missed while no supervisor was up are made up for once.

    Exit status: 0 it is set; 2 the plan or the time is wrong.
    """
    if sum(one is not None for one in (every_ms, minute, once_ms)) != 1:
        raise click.UsageError("say when: --every, --at or --once-at, one of them")
    from ganger.cli.night import agree_to

    agree_to(app, plan_file, trusted)
    now_ms = wall_ms()
    again_ms = every_ms or (DAY_MS if minute is not None else 0)
    next_ms = once_ms if once_ms is not None else next_at(minute, now_ms) if minute is not None else now_ms + again_ms
    command = cmd.SetSchedule(name, str(plan_file.resolve()), again_ms, next_ms)
    often = f"then every {duration_text(again_ms)}" if again_ms else "once"
    return answered(ask(fleet_dir(app), command), f"schedule {name}: {clock(next_ms)}, {often}", as_json=as_json)


def next_at(minute: int, now_ms: int) -> int:
    """The next instant at which the local day is so many minutes old."""
    now = time.localtime(now_ms / 1000)
    today_ms = int(time.mktime((*now[:3], minute // 60, minute % 60, 0, 0, 0, -1)) * 1000)
    if today_ms > now_ms:
        return today_ms
    tomorrow = (now.tm_year, now.tm_mon, now.tm_mday + 1, minute // 60, minute % 60, 0, 0, 0, -1)
    return int(time.mktime(tomorrow) * 1000)


@schedule.command("list")
@as_json
@click.pass_obj
def list_schedules(app: App, as_json: bool) -> int:
    """List the schedules, the next to come first, with what came of the last time; then those that have fired for good.

    Exit status: 0 there are some to come; 1 there are none.
    """
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        to_come = reader.schedules()
        rows = [*to_come, *reader.schedules_over()]
    finally:
        reader.close()
    if as_json:
        say_json("ganger.schedules", {"schedules": [plain(row) for row in rows]})
    elif rows:
        table([_schedule_cells(row) for row in rows], ("SCHEDULE", "NEXT", "EVERY", "LAST", "PLAN"))
    if not to_come and not as_json:
        tell("nothing is scheduled")
    return YES if to_come else NO


def _schedule_cells(row: ScheduleRow) -> tuple[str, ...]:
    when = clock(row.next_ms) if row.next_ms else "over"
    last = f"{clock(row.fired_ms)}: {row.outcome}" if row.fired_ms else "-"
    return row.name, when, duration_text(row.every_ms) if row.every_ms else "once", last, row.path


@schedule.command()
@click.argument("name")
@as_json
@click.pass_obj
def drop(app: App, name: str, as_json: bool) -> int:
    """Forget the schedule NAME; the plan itself stays as it is.

    Exit status: 0 it is forgotten; 1 there was none.
    """
    return answered(ask(fleet_at(app), cmd.DropSchedule(name)), f"schedule {name} is dropped", as_json=as_json)


@click.command()
@click.argument("run")
@click.argument("checkpoint", required=False)
@click.option("--note", default="", help="What is not to be tried again; the next brief holds it.")
@as_json
@click.pass_obj
def rewind(app: App, run: str, checkpoint: str | None, note: str, as_json: bool) -> int:
    """Put the workspace of a live RUN back to CHECKPOINT: a commit of the list, `base` or `turn-N`.

    Without CHECKPOINT the checkpoints are listed. What is in the workspace is kept; the worker is stopped, and its next
    turn begins from the checkpoint with --note in its brief.

    Exit status: 0 it will be put back, or they are listed; 1 refused; 2 there is no such run or checkpoint.
    """
    state_dir = fleet_at(app)
    known = checkpoints(state_dir, run)
    if checkpoint is None:
        _say_checkpoints(run, known, as_json=as_json)
        return YES
    if not note.strip():
        raise click.UsageError("say with --note what is not to be tried again")
    commit = _chosen(run, known, checkpoint)
    who = asker()
    reply = ask(state_dir, cmd.RewindRun(RunId(run), commit, note, who))
    return answered(reply, f"{run} is put back to {commit[:12]}", as_json=as_json)


def checkpoints(state_dir: Path, run: str) -> list[tuple[str, Commit]]:
    """The checkpoints of a live run with their names, the base first; UsageError when there is no such run."""
    found = look(state_dir).state.runs.get(RunId(run)) if is_run_id(run) else None
    if found is None:
        raise UsageError(f"there is no live run {run!r}", "ganger status lists them; only a live run is rewound")
    reader = Reader(state_dir / place.JOURNAL)
    try:
        turns = [(turn.turn, plain(turn)["evidence"]) for turn in reader.turns(run)]
    finally:
        reader.close()
    names = {evidence["commit"]: f"turn-{turn}" for turn, evidence in turns if evidence}
    return [("base", found.base), *((names.get(one, "-"), one) for one in found.checkpoints if one != found.base)]


def _chosen(run: str, known: list[tuple[str, Commit]], wanted: str) -> Commit:
    matching = {commit for name, commit in known if name == wanted or (len(wanted) >= 4 and commit.startswith(wanted))}
    if len(matching) == 1:
        return matching.pop()
    what = f"{wanted!r} names several checkpoints" if matching else f"{wanted!r} is no checkpoint"
    raise UsageError(f"{what} of {run}: {', '.join(f'{n} ({c[:12]})' for n, c in known)}", f"ganger rewind {run}")


def _say_checkpoints(run: str, known: list[tuple[str, Commit]], *, as_json: bool) -> None:
    if as_json:
        rows = [{"name": name, "commit": commit} for name, commit in known]
        say_json("ganger.checkpoints", {"run": run, "checkpoints": rows})
        return
    for name, commit in known:
        say(f"{name:<8} {commit}")
