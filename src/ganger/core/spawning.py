"""Children: runs that a worker has started for a part of its work, within what its own run may.

A child is an item with exactly one run. What it may spend is taken out of its spawner's reservation, and what it did
not spend goes back when it ends. It never outlives its spawner. What came of it is said to the spawner in the same
decision that ends it, as a message (`core.messages`): once, whatever crashes.

A child of a kind that changes nothing holds no lease. One that changes something holds a part of its spawner's scope:
until it ends that part is the child's alone, which is what the spawner's worker is told when it asks, and why the
spawner cannot be done before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core import family
from ganger.core.admission import kind_refusal, own_cap_refusal
from ganger.core.breaker import breaker_refusal
from ganger.core.budget import share
from ganger.core.evolve import brief_crc
from ganger.core.facts import Run
from ganger.core.hours import hours_refusal
from ganger.core.ids import run_id
from ganger.core.lifecycle import find_run, has_spoken
from ganger.core.limits import grant_refusal
from ganger.core.model import (
    PLANNER,
    EndKind,
    ItemSpec,
    Kind,
    LeaseMode,
    Refusal,
    RefusalCode,
    Report,
    ReportKind,
    Rung,
    Usage,
    When,
    Writes,
)
from ganger.core.patterns import covers as pattern_covers
from ganger.core.patterns import parse, scope_fault, scope_overlap
from ganger.core.policy import Policy
from ganger.core.program import TITLE_CHARS_MAX, free_name
from ganger.core.state import State

Decided: TypeAlias = tuple[ev.Event, ...] | Refusal
WAY = "do it yourself, or say in a note what is missing"


def decide_spawn(state: State, command: cmd.SpawnChild, now_ms: int, policy: Policy) -> Decided:
    """Give a part of a worker's work to a child: its item, its run and its means, at once; or say what forbids it.

    The same asked again while the child lives changes nothing.
    """
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.question or has_spoken(run):
        return Refusal(RefusalCode.conflict, f"{run.id} has already made its report for this turn", "end the turn")
    if fault := _fault(command, policy):
        return Refusal(RefusalCode.invalid, fault)
    if any(_is_same(state, child, command) for child in family.living(state, run)):
        return ()
    kind = policy.kind(command.kind)
    spec = _spec(state, run, command, kind, policy)
    refusal = (
        _grant_refusal(run, kind, policy)
        or _depth_refusal(state, run, spec, policy)
        or _number_refusal(state, run, policy)
        or _scope_refusal(state, run, command, kind)
        or _agent_refusal(run, spec.agent, policy)
        or kind_refusal(spec, policy)
        or hours_refusal(now_ms, policy)
        or breaker_refusal(state, spec, spec.agent, now_ms, policy)
        or grant_refusal(state, spec.agent, now_ms, policy)
        or own_cap_refusal(state, spec, policy)
    )
    if refusal is not None:
        return refusal
    reserved = share(run, policy.kind(run.kind).spawn_max - len(run.children))
    if isinstance(reserved, Refusal):
        return reserved
    return ev.ItemAdded(spec, command.brief), _granted(run, spec, reserved, now_ms, policy)


def _fault(command: cmd.SpawnChild, policy: Policy) -> str:
    title = command.title.strip()
    if not title or len(title) > TITLE_CHARS_MAX or not title.isprintable():
        return f"a title has 1 to {TITLE_CHARS_MAX} printable characters on one line"
    if not command.brief.strip() or len(command.brief) > cmd.SUMMARY_CHARS_MAX:
        return f"a brief has 1 to {cmd.SUMMARY_CHARS_MAX} characters"
    if command.seeding not in ("", "fresh", "inherit"):
        return "a child begins `fresh`, or with its spawner's conversation (`inherit`)"
    return next((fault for pattern in command.scope if (fault := scope_fault(pattern, policy.paths))), "")


def _is_same(state: State, child: Run, command: cmd.SpawnChild) -> bool:
    """Whether a living child does what is asked for already."""
    item = state.items[child.item]
    same = item.spec.kind == command.kind and item.spec.title == command.title.strip()
    return same and item.brief_crc == brief_crc(command.brief)


def _spec(state: State, run: Run, command: cmd.SpawnChild, kind: Kind, policy: Policy) -> ItemSpec:
    parent = state.items[run.item].spec
    reads = kind.writes is Writes.none
    return ItemSpec(
        id=free_name(state, f"{parent.id[:56]}-c", 1),
        plan=parent.plan,
        title=command.title.strip(),
        scope=command.scope or parent.scope,
        checks=() if reads else parent.checks,
        agent=command.agent or policy.agent_of(kind.name) or run.agent,
        kind=kind.name,
        priority=parent.priority,
        rung=Rung.reported if reads else parent.rung,
        mode=LeaseMode.shared if reads else run.lease.mode,
        attempts_max=1,
        wall_max_ms=parent.wall_max_ms,
        silence_max_ms=parent.silence_max_ms,
        parent=parent.id,
        depth=parent.depth + 1,
        witness=parent.witness and not reads,
        tests=parent.tests,
        changes=parent.changes,
        start_on=parent.start_on,
        seed=parent.seed,
        spawner=run.id,
        reads=reads,
        seeding=command.seeding,
    )


def _granted(run: Run, spec: ItemSpec, reserved: Usage, now_ms: int, policy: Policy) -> ev.RunGranted:
    """The birth of the child's only run, at the base of its spawner's: what it lands is made on the same."""
    return ev.RunGranted(
        run=run_id(spec.id, 1),
        item=spec.id,
        attempt=1,
        base=run.base,
        scope=() if spec.reads else spec.scope,
        mode=spec.mode,
        expires_ms=now_ms + max(policy.lease_ttl_ms, spec.silence_max_ms),
        agent=spec.agent,
        kind=spec.kind,
        depth=spec.depth,
        reserved=reserved,
        root=run.root,
        stands_on=run.stands_on,
        spawner=run.id,
    )


def _grant_refusal(run: Run, kind: Kind, policy: Policy) -> Refusal | None:
    """Refuse what the spawner's kind was not given leave for, and what would get more rights than it has itself."""
    own = policy.kind(run.kind)
    if not own.spawn:
        return Refusal(RefusalCode.forbidden, f"workers of kind {own.name} may have no children", WAY)
    if kind.name not in own.spawn or kind.name == PLANNER:
        may = ", ".join(own.spawn)
        reason = f"workers of kind {own.name} may have children of kind {may}, not of kind {kind.name}"
        return Refusal(RefusalCode.forbidden, reason, WAY)
    if kind.writes not in (Writes.none, own.writes) and own.writes is not Writes.scope:
        reason = f"a {kind.name} may write more ({kind.writes}) than the {own.name} that asks for it ({own.writes})"
        return Refusal(RefusalCode.forbidden, reason, WAY)
    return None


def _depth_refusal(state: State, run: Run, spec: ItemSpec, policy: Policy) -> Refusal | None:
    """Refuse a generation that any ancestor's kind does not allow."""
    above, generation = run, 1
    while True:
        most = policy.kind(above.kind).spawn_depth
        if generation > most:
            reason = f"{run.id} stands {generation - 1} below {above.id}, whose kind has children {most} deep"
            return Refusal(RefusalCode.depth_cap, reason, WAY)
        if above.spawner not in state.runs:
            break
        above, generation = state.runs[above.spawner], generation + 1
    if spec.depth > policy.depth_max:
        reason = f"a child of {run.id} would stand {spec.depth} deep below its plan, {policy.depth_max} is the most"
        return Refusal(RefusalCode.depth_cap, reason, WAY)
    return None


def _number_refusal(state: State, run: Run, policy: Policy) -> Refusal | None:
    most = policy.kind(run.kind).spawn_max
    if len(run.children) >= most:
        return Refusal(RefusalCode.fleet_cap, f"{run.id} has had {len(run.children)} of {most} children", WAY)
    living = sum(1 for other in state.runs.values() if other.spawner)
    if living >= policy.children_max:
        reason = f"{living} of {policy.children_max} children live in this fleet"
        return Refusal(RefusalCode.fleet_cap, reason, "ask again when one has ended, or do it yourself")
    return None


def _scope_refusal(state: State, run: Run, command: cmd.SpawnChild, kind: Kind) -> Refusal | None:
    """Refuse a child that would write outside its spawner's scope, or where another child writes."""
    if kind.writes is Writes.none:
        return None
    if not command.scope:
        return Refusal(RefusalCode.invalid, f"a {kind.name} writes: say what, inside {', '.join(run.lease.scope)}")
    for pattern in command.scope:
        if not _is_inside(state, run.lease.scope, pattern):
            reason = f"{pattern} is not inside one pattern of the scope of {run.id}: {', '.join(run.lease.scope)}"
            return Refusal(RefusalCode.overlap, reason, "hand on only what is yours")
    for child in family.living(state, run):
        met = scope_overlap(command.scope, child.lease.scope, state.rules)
        if met is not None:
            reason = f"{met[0]} overlaps {met[1]}, which {child.id} holds"
            return Refusal(RefusalCode.overlap, reason, f"wait for {child.id}", child.id)
    return None


def _is_inside(state: State, scope: tuple[str, ...], pattern: str) -> bool:
    """Whether one pattern of a scope matches all that another pattern does: what is sure, not all that is so."""
    wanted = parse(pattern, state.rules)
    return any(pattern_covers(parse(own, state.rules), wanted) for own in scope)


def _agent_refusal(run: Run, agent: str, policy: Policy) -> Refusal | None:
    if policy.agents and agent not in policy.agents:
        known = ", ".join(policy.agents)
        return Refusal(RefusalCode.config, f"there is no agent {agent} in ganger.toml (agents: {known})")
    if run.reserved.usd_micros and agent not in policy.priced:
        reason = f"{run.id} has a limit in dollars, and nobody knows what agent {agent} costs"
        return Refusal(RefusalCode.budget, reason, f"set agents.{agent}.price in ganger.toml")
    return None


def decide_park(state: State, command: cmd.ParkRun) -> Decided:
    """End a worker's turn until its children have ended; one that has nothing to wait for goes on."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.parked:
        return ()
    if run.question or has_spoken(run):
        return Refusal(RefusalCode.conflict, f"{run.id} has already made its report for this turn", "end the turn")
    if not family.has_news(state, run):
        return Refusal(RefusalCode.wrong_state, f"{run.id} has no child whose result it does not know", "go on")
    return (ev.RunParked(run.id, run.turn_speaking),)


def with_results(state: State, decided: Decided) -> Decided:
    """Add what spawners are told of their children that end, and that nobody is to do again what they did not."""
    if isinstance(decided, Refusal):
        return decided
    return tuple(found for event in decided for found in (event, *_with_result(state, event)))


def _with_result(state: State, event: ev.Event) -> Iterator[ev.Event]:
    match event:
        case ev.RunEnded():
            how = f"ended {event.end}: {event.reason}"
        case ev.RunLanded():
            how = f"landed as {event.commit[:12]}"
        case _:
            return
    run = state.runs[event.run]
    if run.spawner and isinstance(event, ev.RunEnded) and event.end is not EndKind.finished:
        yield ev.ItemWithdrawn(run.item)
    if run.spawner in state.runs:
        text = result_text(state.items[run.item].spec, run, how)
        yield ev.MessageSent(run.spawner, text, When.notice, child=run.id)


def result_text(spec: ItemSpec, run: Run, how: str) -> str:
    """What a spawner is told of a child that has ended; what the child's worker said stands in quotes."""
    head = f"your child {run.id} ({spec.kind}, {spec.title}) "
    report = run.report
    if report is None or report.source != "worker" or report.kind is not ReportKind.done:
        return head + how
    says = f"says: {report.outcome}" if spec.reads else f"{how}, and says: {report.outcome}"
    return "\n".join((head + says, *report_lines(report)))


def report_lines(report: Report) -> tuple[str, ...]:
    """What a child's worker said, in quotes, a line each."""
    lines = [*report.summary.splitlines(), *_listed("evidence", report.evidence), *_listed("next", report.recommended)]
    return tuple(f"  > {line}" for line in lines)


def _listed(what: str, texts: tuple[str, ...]) -> Iterator[str]:
    return (f"{what}: {' '.join(text.split())}" for text in texts)
