"""Asking the kernel: what it would decide now, answered by exit code; the same decisions as the supervisor's own."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click
from msgspec.structs import replace

from ganger.cli.admit import permit
from ganger.cli.clocks import clocks_of
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import BLOCKED, FIRST, RACE, SECOND, YES, clock, plain, say, say_json, tell
from ganger.cli.reply import of_refusal
from ganger.cli.state import Seen, look
from ganger.core.effects import Clocks
from ganger.core.facts import Run
from ganger.core.fleet_plan import FleetPlan, FleetVerdict, fleet_plan
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.liveness import Judged
from ganger.core.liveness import liveness as judge_liveness
from ganger.core.loop import Gate, Intent, gate
from ganger.core.model import Lease, LeaseMode, Liveness, Recovery
from ganger.core.picking import CURABLE, HoldReason, Pick, hold_of, survey
from ganger.core.recovery import Recovered, judge_recovery
from ganger.errors import UsageError
from ganger.journal.queries import Reader, RunRow
from ganger.service import place, wiring

GATE_EXIT = {Gate.live: YES, Gate.drained: FIRST, Gate.stale: SECOND, Gate.blocked: BLOCKED, Gate.race: RACE}
FLEET_EXIT = {
    FleetVerdict.at_target: YES,
    FleetVerdict.filling: FIRST,
    FleetVerdict.over_target: SECOND,
    FleetVerdict.target_unreachable: BLOCKED,
}
LIVENESS_EXIT = {
    Liveness.advancing: YES,
    Liveness.spinning: FIRST,
    Liveness.stalled: SECOND,
    Liveness.unknown: BLOCKED,
}
RECOVERY_EXIT = {
    Recovery.resumable: YES,
    Recovery.complete: YES,
    Recovery.diverged: FIRST,
    Recovery.unresumable: SECOND,
}
_plan = click.argument("plan_id", metavar="[PLAN]", default="")


def _seen(app: App, plan: str) -> Seen:
    seen = look(app.state_dir())
    if plan and plan not in seen.state.plans:
        known = ", ".join(sorted(seen.state.plans)[:8]) or "none"
        raise UsageError(f"the fleet has no plan {plan} (plans: {known})", "ganger run FILE adds one")
    return seen


@click.command("next")
@_plan
@as_json
@click.pass_obj
def next_(app: App, plan_id: str, as_json: bool) -> int:
    """Say what would be given to workers now, in order, and why each other open item would not.

    `*` marks what would be; `~` what another try may cure, with when to look again; `-` what needs something else.

    Exit status: 0 something would be; 3 nothing now, but later by itself; 5 nothing at all.
    """
    seen = _seen(app, plan_id)
    dirty = permit(app.start, seen.policy, app.state_override)
    picks = [
        replace(found, refusal=found.refusal or dirty)
        for found in survey(seen.state, seen.now_ms, seen.policy, Intent(plan=PlanId(plan_id)))
    ]
    rows = _unreadable(app, plan_id)
    code = _next_exit(picks, rows)
    if as_json:
        items = [_pick_json(found) for found in picks] + [_row_json(where, why) for where, why in rows]
        say_json("ganger.next", {"offerable": sum(p.refusal is None for p in picks), "items": items})
        return code
    for found in picks:
        say(_pick_text(found))
    for where, why in rows:
        say(f"~ {where}: {HoldReason.unparseable}: {why}")
    if not picks and not rows:
        tell("no item is open")
    return code


def _unreadable(app: App, plan_id: str) -> list[tuple[str, str]]:
    """What the sources of the plans hold that could not be made items: where, and why."""
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        plans = [row for row in reader.plans() if plan_id in ("", row.id)]
    finally:
        reader.close()
    return [(where, why) for row in plans for where, why in plain(row)["unreadable"]]


def _next_exit(picks: Sequence[Pick], rows: Sequence[tuple[str, str]]) -> int:
    if any(found.refusal is None for found in picks):
        return YES
    curable = any(found.refusal is not None and hold_of(found.item, found.refusal) in CURABLE for found in picks)
    return FIRST if curable or rows else BLOCKED


def _pick_text(found: Pick) -> str:
    spec, refusal = found.item.spec, found.refusal
    if refusal is None:
        return f"* {spec.id}: {spec.title} [{spec.agent}]"
    hold = hold_of(found.item, refusal)
    again = f"; again at {clock(refusal.again_ms)}" if refusal.again_ms else ""
    return f"{'~' if hold in CURABLE else '-'} {spec.id}: {hold}: {refusal.reason}{again}"


def _pick_json(found: Pick) -> dict[str, object]:
    hold = hold_of(found.item, found.refusal) if found.refusal is not None else None
    return {
        "item": found.item.spec.id,
        "plan": found.item.spec.plan,
        "title": found.item.spec.title,
        "offerable": hold is None,
        "hold": hold,
        "curable": hold in CURABLE,
        "refusal": of_refusal(found.refusal),
    }


def _row_json(where: str, why: str) -> dict[str, object]:
    hold = HoldReason.unparseable
    refusal = {"code": "invalid", "reason": why, "way": "", "holder": where, "again_ms": 0, "free": []}
    named = {"item": "", "plan": "", "title": where, "offerable": False}
    return {**named, "hold": hold, "curable": hold in CURABLE, "refusal": refusal}


@click.command("gate")
@_plan
@as_json
@click.pass_obj
def gate_(app: App, plan_id: str, as_json: bool) -> int:
    """Say in one word what is left of the backlog.

    Exit status: 0 live, something can be worked on; 3 drained, nothing is left; 4 stale, something has landed that its
    tracker calls open; 5 blocked, none of what is left goes on by itself; 6 race, runs are under way and may change it.
    """
    seen = _seen(app, plan_id)
    verdict, reason = gate(seen.state, seen.now_ms, seen.policy, Intent(plan=PlanId(plan_id)))
    if as_json:
        say_json("ganger.gate", {"gate": verdict, "reason": reason, "plan": plan_id, "seq": seen.state.seq})
    else:
        say(f"{verdict}: {reason}")
    return GATE_EXIT[verdict]


@click.command("fleet-plan")
@click.option("--target", type=click.IntRange(0, 100_000), required=True, help="How many workers are wanted at once.")
@as_json
@click.pass_obj
def fleet_plan_(app: App, target: int, as_json: bool) -> int:
    """Say what a fleet of TARGET workers would need: what to start, what is stalled, what must wait, what spins.

    Nothing is changed. Healthy workers are never stopped for being too many.

    Exit status: 0 as many work as are wanted; 3 fewer, and more can be started; 4 more; 5 so many cannot work at once.
    """
    state_dir = app.state_dir()
    seen = look(state_dir)
    runs = [run for run in seen.state.runs.values() if run.report is None and not run.question]
    found = fleet_plan(seen.state, clocks_of(state_dir, runs, seen.now_ms), target, seen.now_ms, seen.policy)
    if as_json:
        say_json("ganger.fleet-plan", _fleet_json(found))
    else:
        _print_fleet(found)
    return FLEET_EXIT[found.verdict]


def _fleet_json(found: FleetPlan) -> dict[str, object]:
    return {
        **{name: getattr(found, name) for name in ("verdict", "target", "live", "most", "exact")},
        "start": list(found.start),
        "stop": [{"run": run, "reason": reason} for run, reason in found.stop],
        "hold": [{"item": item, "reason": reason} for item, reason in found.hold],
        "flag": [{"run": run, "reason": reason} for run, reason in found.flag],
    }


def _print_fleet(found: FleetPlan) -> None:
    most = f"{'' if found.exact else 'at most '}{found.most}"
    say(f"{found.verdict}: {found.live} of {found.target} at work; {most} could be at once")
    for item in found.start:
        say(f"start {item}")
    for verb, about in (("stop", found.stop), ("flag", found.flag), ("hold", found.hold)):
        for name, reason in about:
            say(f"{verb} {name}: {reason}")


@click.command("liveness")
@click.argument("run")
@as_json
@click.pass_obj
def liveness_(app: App, run: str, as_json: bool) -> int:
    """Say whether the worker of a live RUN gets anywhere: from its workspace and its process, never from its words.

    Looks for a moment itself; that it makes the same call again and again, only its supervisor sees and records.

    Exit status: 0 advancing; 3 spinning, it is active but nothing comes of it; 4 stalled; 5 unknown: it was not seen to
    do anything yet, or no worker of it lives.
    """
    state_dir = app.state_dir()
    seen = look(state_dir)
    found = seen.state.runs.get(RunId(run))
    if found is None:
        raise UsageError(f"there is no live run {run!r}", "ganger status lists them")
    clocks = clocks_of(state_dir, [found], seen.now_ms).get(found.id)
    judged, source = _judged(seen, found, clocks)
    if as_json:
        value = {"run": run, "liveness": judged.liveness, "reason": judged.reason, "source": source}
        times = {f"{name}_ms": getattr(clocks, f"{name}_ms", 0) for name in ("heartbeat", "output", "artefact")}
        say_json("ganger.liveness", {**value, **times, "started_ms": found.started_ms, "now_ms": seen.now_ms})
    else:
        say(f"{judged.liveness}: {judged.reason} ({source})")
    return LIVENESS_EXIT[judged.liveness]


def _judged(seen: Seen, run: Run, clocks: Clocks | None) -> tuple[Judged, str]:
    """The judgement, and what it rests on: what the supervisor recorded, or a look."""
    if clocks is None:
        return Judged(Liveness.unknown, f"no worker of {run.id} lives now"), "looked"
    if run.flag is Liveness.spinning:
        return Judged(run.flag, "its supervisor saw it spin, and has not seen it get anywhere since"), "recorded"
    return judge_liveness(run, seen.state.items[run.item].spec, clocks, seen.now_ms, seen.policy), "looked"


@click.command("resume-check")
@click.argument("run")
@as_json
@click.pass_obj
def resume_check(app: App, run: str, as_json: bool) -> int:
    """Say whether RUN could go on if its worker were gone now: from git and the disk, not from what it said.

    Exit status: 0 resumable, or complete: the target contains its candidate; 3 diverged, only a person lets it go on;
    4 unresumable, nothing is left to go on from.
    """
    judged = _recovered(app, run)
    if as_json:
        say_json("ganger.resume-check", {"run": run, "recovery": judged.recovery, "reason": judged.reason})
    else:
        say(f"{judged.recovery}: {judged.reason}")
    return RECOVERY_EXIT[judged.recovery]


def _recovered(app: App, run: str) -> Recovered:
    from ganger.service.places import Places
    from ganger.supervisor.recovery import look as look_at_rest

    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    reader = Reader(parts.state_dir / place.JOURNAL)
    try:
        row = reader.run(run)
    finally:
        reader.close()
    if row is None:
        raise UsageError(f"there is no run {run!r}", "ganger plan board lists the items, ganger show ITEM their runs")
    found = judge_recovery(
        look_at_rest(wiring.open_hub(parts), Places(parts.state_dir).workspace(RunId(run)), _run(row))
    )
    if row.landed and found.recovery is Recovery.unresumable:
        return Recovered(Recovery.complete, f"it has landed as {row.landed[:12]}")
    return found


def _run(row: RunRow) -> Run:
    """As much of a run, live or ended, as it takes to look at what is left of it."""
    scope = tuple(plain(row)["scope"])
    lease = Lease(Token(row.token), scope, LeaseMode(row.mode), row.expires_ms)
    return Run(RunId(row.id), ItemId(row.item), row.attempt, Commit(row.base), row.agent, lease, row.granted_ms)
