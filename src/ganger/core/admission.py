"""May this happen now? One decision, used by the picker, by the grant itself and by whoever asks.

Source of the rules: CONTRACTS §5, admission. The order of the questions is the order of usefulness of the answers:
what concerns the item alone first, then what it needs, what waits for others last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import TypeAlias

from msgspec import Struct

from ganger.core.breaker import breaker_refusal
from ganger.core.budget import reservation
from ganger.core.facts import Item
from ganger.core.foundation import foundation_refusal
from ganger.core.hours import hours_refusal
from ganger.core.ids import ItemId, LeaseId, RunId, Seq
from ganger.core.limits import grant_refusal
from ganger.core.model import PLANNER, ItemSpec, Lane, Lease, LeaseMode, Refusal, RefusalCode
from ganger.core.patterns import PathRules, ScopeIndex, scope_fault, scope_matches, scope_overlap
from ganger.core.policy import Policy
from ganger.core.state import State

Holder: TypeAlias = RunId | LeaseId
FORCEABLE = frozenset(
    {
        *(RefusalCode.held, RefusalCode.cooldown, RefusalCode.exhausted, RefusalCode.hours),
        *(RefusalCode.fleet_cap, RefusalCode.kind_cap, RefusalCode.lane_cap, RefusalCode.depth_cap),
        *(RefusalCode.budget, RefusalCode.breaker_open, RefusalCode.provider_limit, RefusalCode.dirty_base),
        RefusalCode.predicate,
    }
)
"""Refusals that a person may override by name. Never those that would have two hold one path, or skip what must be
done before: nobody could land such work."""
NOTHING_MORE: Mapping[str, int] = {}
FREE_MAX = 4
"""Most free lanes named in a refusal."""


class Wanted(Struct, frozen=True):
    """A scope that somebody wants to hold."""

    name: str
    """What it is wanted for, as a refusal says it: `item login`, `lane auth`."""
    scope: tuple[str, ...]
    mode: LeaseMode
    lane: str = ""
    alone: bool = False


def wanted_by(spec: ItemSpec, policy: Policy) -> Wanted:
    """The scope that an item's run would hold."""
    lane = policy.lane(spec.lane) if spec.lane else None
    alone = lane is not None and lane.exclusive
    return Wanted(f"item {spec.id}", spec.scope, spec.mode, spec.lane, alone)


def admit(state: State, item: Item, now_ms: int, policy: Policy) -> Refusal | None:
    """Decide whether `item` may be given to a new run at `now_ms`; None admits it."""
    return next(refusals(state, item, now_ms, policy), None)


def refusals(state: State, item: Item, now_ms: int, policy: Policy) -> Iterator[Refusal]:
    """Everything that stands against giving `item` to a new run, in the order in which it is asked."""
    answers: tuple[Callable[[], Refusal | None], ...] = (
        lambda: item_refusal(state, item, now_ms),
        lambda: hours_refusal(now_ms, policy),
        lambda: means_refusal(state, item, now_ms, policy),
        lambda: cap_refusal(state, policy),
        lambda: scope_refusal(state, wanted_by(item.spec, policy), now_ms),
    )
    return (refusal for answer in answers if (refusal := answer()) is not None)


def item_refusal(state: State, item: Item, now_ms: int) -> Refusal | None:
    """Refuse what stands against the item itself, whoever else works."""
    name = item.spec.id
    if item.landed:
        return Refusal(RefusalCode.wrong_state, f"item {name} has landed as {item.landed[:12]}")
    if item.undone is not None:
        reason = f"item {name} was undone by {item.undone.by} as {item.undone.commit[:12]}"
        return Refusal(RefusalCode.wrong_state, reason, f"ganger retry {name}")
    if item.finished:
        return Refusal(RefusalCode.wrong_state, f"item {name} is finished: {item.last_reason}")
    if item.run:
        return Refusal(RefusalCode.wrong_state, f"item {name} is being worked on by {item.run}", holder=item.run)
    if item.withdrawn:
        return Refusal(RefusalCode.wrong_state, f"item {name} is in its plan no longer")
    unmet = state.unmet(item.spec)
    if unmet:
        # Nobody may force that, so it must not stand behind what can be forced.
        reason = f"item {name} waits for {', '.join(unmet)}"
        return Refusal(RefusalCode.not_ready, reason, holder=unmet[0])
    if item.question:
        reason = f"item {name} waits for the answer to {item.question}"
        return Refusal(RefusalCode.not_ready, reason, f"ganger answer {item.question}", item.question)
    if item.stopped:
        return Refusal(RefusalCode.held, f"item {name} was stopped: {item.stopped}", f"ganger retry {name}")
    if item.given_up:
        tries = f"{item.failures} attempt{'s' if item.failures != 1 else ''}"
        return Refusal(RefusalCode.exhausted, f"item {name} failed {tries}: {item.last_reason}", f"ganger retry {name}")
    return foundation_refusal(state, item) or _plan_refusal(state, item) or _hold_refusal(item, now_ms)


def _plan_refusal(state: State, item: Item) -> Refusal | None:
    plan = state.plans.get(item.spec.plan)
    if plan is None or not (plan.paused or plan.stopped):
        return None
    what = f"stopped: {plan.stopped}" if plan.stopped else "paused"
    plan_id = item.spec.plan
    return Refusal(RefusalCode.held, f"plan {plan_id} is {what}", f"ganger resume {plan_id}", plan_id)


def _hold_refusal(item: Item, now_ms: int) -> Refusal | None:
    hold = item.hold
    name = item.spec.id
    if hold is not None and hold.reason == "until":
        if now_ms < hold.until_ms:
            return Refusal(RefusalCode.held, f"item {name} is held until its date", again_ms=hold.until_ms)
    elif hold is not None:
        return Refusal(RefusalCode.held, f"item {name} is held: {hold.reason}", f"ganger retry {name}")
    if now_ms < item.cool_until_ms:
        reason = f"item {name} waits after a failed attempt: {item.last_reason}"
        return Refusal(RefusalCode.cooldown, reason, again_ms=item.cool_until_ms)
    if now_ms < item.again_ms:
        reason = f"item {name} was refused by {item.waiting[1] if item.waiting else 'a predicate'} a short while ago"
        return Refusal(RefusalCode.predicate, reason, again_ms=item.again_ms)
    return None


def means_refusal(state: State, item: Item, now_ms: int, policy: Policy) -> Refusal | None:
    """Refuse what an item needs besides its scope: a lane that exists, a working agent, money, room of its own."""
    spec = item.spec
    if spec.lane and policy.lane(spec.lane) is None:
        return unknown_lane(spec.lane, policy)
    if waits := kind_refusal(spec, policy):
        return waits
    if spec.depth > policy.depth_max:
        reason = f"item {spec.id} stands {spec.depth} deep below its plan, and {policy.depth_max} is the most"
        return Refusal(RefusalCode.depth_cap, reason, "raise fleet.depth_max, or put it into a plan")
    refusal = breaker_refusal(state, spec, spec.agent, now_ms, policy)
    refusal = refusal or grant_refusal(state, spec.agent, now_ms, policy)
    if refusal is not None:
        return refusal
    reserved = reservation(state, spec, spec.agent, policy)
    return reserved if isinstance(reserved, Refusal) else own_cap_refusal(state, spec, policy)


def unknown_lane(name: str, policy: Policy) -> Refusal:
    """Refuse a lane that nobody has declared."""
    known = ", ".join(lane.name for lane in policy.lanes[:8]) or "none"
    return Refusal(RefusalCode.config, f"there is no lane {name} in ganger.toml (lanes: {known})", "declare it there")


def kind_refusal(spec: ItemSpec, policy: Policy) -> Refusal | None:
    """Refuse a kind that is not in force as a person has described it, so that it would begin with other rights."""
    if not (why := policy.kind_waits(spec.kind)):
        return None
    return Refusal(RefusalCode.config, f"kind {spec.kind} {why}", f"ganger kinds show {spec.kind}", spec.kind)


def own_cap_refusal(
    state: State, spec: ItemSpec, policy: Policy, more: Mapping[str, int] = NOTHING_MORE
) -> Refusal | None:
    """Refuse when as many of its kind, or in its lane, are busy as may; `more` are about to be, besides."""
    kind = policy.kind(spec.kind)
    busy = state.busy[f"kind:{spec.kind}"] + more.get(f"kind:{spec.kind}", 0)
    if kind.workers_max is not None and busy >= kind.workers_max:
        reason = f"{busy} of {kind.workers_max} workers of kind {kind.name} are busy"
        return Refusal(RefusalCode.kind_cap, reason, holder=kind.name)
    lane = policy.lane(spec.lane) if spec.lane else None
    return _lane_cap_refusal(state, lane, more)


def _lane_cap_refusal(state: State, lane: Lane | None, more: Mapping[str, int] = NOTHING_MORE) -> Refusal | None:
    if lane is None or lane.workers_max is None:
        return None
    busy = state.busy[f"lane:{lane.name}"] + more.get(f"lane:{lane.name}", 0)
    if busy < lane.workers_max:
        return None
    reason = f"{busy} of {lane.workers_max} workers in lane {lane.name} are busy"
    return Refusal(RefusalCode.lane_cap, reason, holder=lane.name)


def cap_refusal(state: State, policy: Policy) -> Refusal | None:
    """Refuse when as many workers live as may."""
    busy = state.workers_busy
    if busy < policy.workers_max:
        return None
    return Refusal(RefusalCode.fleet_cap, f"{busy} of {policy.workers_max} workers are busy")


def scope_refusal(
    state: State, wanted: Wanted, now_ms: int, reserved: ScopeIndex[ItemId] | None = None
) -> Refusal | None:
    """Refuse when somebody must be alone, or when a live lease or a reservation overlaps and either is exclusive.

    A run's lease that has run out still stands while its run does: a run ends when its worker is known to be gone, and
    only then is its scope free. Any other lease stands until its time is over.
    """
    refusal = _alone_refusal(state, wanted, now_ms)
    if refusal is not None:
        return refusal
    shared = wanted.mode is LeaseMode.shared
    for holder in state.leases.overlapping(wanted.scope, shared=shared):
        if stands(state, holder, now_ms):
            return _overlap(state, wanted, holder, state.lease_of(holder).scope)
    waiting = reserved.overlapping(wanted.scope, shared=shared) if reserved is not None else ()
    first = next((item for item in waiting if _plan_refusal(state, state.items[item]) is None), None)
    if first is None:
        return None
    what = _where(state, wanted, state.items[first].spec.scope)
    return Refusal(RefusalCode.overlap, f"{wanted.name} wants {what}, and {first} comes first", holder=first)


def stands(state: State, holder: Holder, now_ms: int) -> bool:
    """Whether a lease keeps others out."""
    held = state.held.get(LeaseId(holder))
    return held is None or now_ms < held.lease.expires_ms


def _alone_refusal(state: State, wanted: Wanted, now_ms: int) -> Refusal | None:
    others: Iterable[Holder] = chain(state.runs, state.held) if wanted.alone else sorted(state.alone)
    holder = next((holder for holder in others if stands(state, holder, now_ms)), None)
    if holder is None:
        return None
    if wanted.alone:
        reason = f"{wanted.name} runs alone, and {shown(state, holder)} is at work"
    else:
        reason = f"{shown(state, holder)} runs alone"
    return Refusal(RefusalCode.exclusive_held, reason, holder=holder, again_ms=_again_ms(state, holder))


def shown(state: State, holder: Holder) -> str:
    """A lease's holder as a person reads it: `login.2`, `lease:7 (olga)`."""
    held = state.held.get(LeaseId(holder))
    return f"{holder} ({held.holder})" if held is not None else holder


def _again_ms(state: State, holder: Holder) -> int:
    held = state.held.get(LeaseId(holder))
    return held.lease.expires_ms if held is not None else 0


def _overlap(state: State, wanted: Wanted, holder: Holder, scope: tuple[str, ...]) -> Refusal:
    reason = f"{wanted.name} wants {_where(state, wanted, scope)}, held by {shown(state, holder)}"
    act = f"ganger lease release {holder}" if holder in state.held else f"ganger stop {holder}"
    return Refusal(RefusalCode.overlap, reason, f"wait for {holder}, or {act}", holder, _again_ms(state, holder))


def _where(state: State, wanted: Wanted, scope: tuple[str, ...]) -> str:
    """Say where the wanted scope and another one meet."""
    pair = scope_overlap(wanted.scope, scope, state.rules)
    mine, theirs = pair if pair is not None else (wanted.scope[0], wanted.scope[0])
    return mine if mine == theirs else f"{mine}, which overlaps {theirs}"


class Admitted(Struct, frozen=True):
    """A scope that may be held, and which: with `redirected`, another one than was asked for."""

    wanted: Wanted
    redirected: bool = False


def admit_scope(
    state: State, lane: str, scope: tuple[str, ...], mode: LeaseMode, now_ms: int, policy: Policy, *, autopick: bool
) -> Admitted | Refusal:
    """Decide whether somebody whom ganger did not start may hold a lane or a scope now.

    With `autopick`, another lane of `policy.autopick` is given when the one asked for is busy; the caller must use
    what is returned. Items that wait for a scope come before.
    """
    asked = _asked(lane, scope, mode, policy)
    if isinstance(asked, Refusal):
        return asked
    refusal = _hold_refused(state, asked, now_ms, policy)
    if refusal is None:
        return Admitted(asked)
    free = free_lanes(state, lane, mode, now_ms, policy, 1 if autopick else FREE_MAX)
    if autopick and free:
        chosen = _asked(free[0], (), mode, policy)
        if not isinstance(chosen, Refusal):
            return Admitted(chosen, redirected=True)
    return Refusal(refusal.code, refusal.reason, refusal.way, refusal.holder, refusal.again_ms, free)


def _asked(lane: str, scope: tuple[str, ...], mode: LeaseMode, policy: Policy) -> Wanted | Refusal:
    if lane:
        found = policy.lane(lane)
        if found is None:
            return unknown_lane(lane, policy)
        return Wanted(f"lane {lane}", found.paths, mode, lane, found.exclusive)
    if fault := scope_fault_of(scope, policy):
        return Refusal(RefusalCode.invalid, fault, "name a lane, or patterns as in a plan's scope")
    return Wanted(f"scope {', '.join(scope)}", scope, mode)


def scope_fault_of(scope: tuple[str, ...], policy: Policy) -> str:
    """Say what is wrong with a scope; empty when it can be used."""
    if not scope:
        return "neither a lane nor a scope is named"
    return next((fault for pattern in scope if (fault := scope_fault(pattern, policy.paths))), "")


def _hold_refused(state: State, wanted: Wanted, now_ms: int, policy: Policy) -> Refusal | None:
    """The scope is asked about first: a person may force a full lane, never an overlap that stands behind it."""
    lane = policy.lane(wanted.lane) if wanted.lane else None
    return scope_refusal(state, wanted, now_ms, state.reserved) or _lane_cap_refusal(state, lane)


def free_lanes(
    state: State, but: str, mode: LeaseMode, now_ms: int, policy: Policy, most: int = FREE_MAX
) -> tuple[str, ...]:
    """Lanes of `policy.autopick` that could be had now, best first; no more than `most`."""
    free: list[str] = []
    for name in policy.autopick:
        lane = policy.lane(name)
        if lane is None or lane.exclusive or name == but or len(free) >= most:
            continue
        if _hold_refused(state, Wanted(f"lane {name}", lane.paths, mode, name), now_ms, policy) is None:
            free.append(name)
    return tuple(free)


def unweighed_refusal(state: State, weighed: Seq | None) -> Refusal | None:
    """Refuse what scorers let pass at `weighed` when a lease was granted since: they have not seen that one."""
    holders: Iterable[Holder] = chain(state.runs, state.held)
    if weighed is None or all(state.lease_of(holder).token <= weighed for holder in holders):
        return None
    return Refusal(RefusalCode.conflict, "a lease was granted since the scorers were asked", "ask again")


def permit_refusal(repo: str, *, clean: bool, policy: Policy) -> Refusal | None:
    """Refuse a start permit for another repository, or from a base that a person has uncommitted changes on."""
    if policy.repo and repo and repo != policy.repo:
        return Refusal(RefusalCode.permit, f"the fleet is that of repository {policy.repo}, not of {repo}")
    if policy.require_clean and not clean:
        reason = f"{policy.target} is checked out with changes that are not committed"
        return Refusal(RefusalCode.dirty_base, reason, "commit or stash them; fleet.require_clean asks for it")
    return None


def admit_write(lease: Lease, path: str, now_ms: int, rules: PathRules) -> Refusal | None:
    """Decide whether the holder of a lease may write a file; None allows it.

    `path` is relative to the repository, with forward slashes, as git writes it; whatever else it is, it is refused.
    Allowing writes nothing: what counts in the end are the paths that a candidate changed.
    """
    if fault := path_fault(path):
        return Refusal(RefusalCode.invalid, fault, "name the file as git does, from the repository's top")
    if now_ms >= lease.expires_ms:
        return Refusal(RefusalCode.lease_expired, "the lease has run out", "stop working on it")
    if not lease.scope:
        return Refusal(RefusalCode.overlap, f"{path} cannot be written: this run may change nothing", "only read")
    if scope_matches(lease.lent, path, rules):
        return Refusal(RefusalCode.overlap, f"{path} is a child's until that has ended", "ganger wait")
    if scope_matches(lease.scope, path, rules):
        return None
    return Refusal(RefusalCode.overlap, f"{path} is outside the scope {', '.join(lease.scope)}", "ask, or leave it")


def path_fault(path: str) -> str:
    """Say why a text is not the name of a file inside the repository; empty when it is."""
    if not path or path.endswith("/"):
        return f"{path!r} names no file"
    if "\0" in path or not path.isprintable():
        return f"{path!r} holds a character that no path of ours has"
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\\" in path:
        return f"{path!r} is not a plain path inside the repository"
    return f"{path!r} lies in git's own folder" if parts[0].lower() == ".git" else ""


def changes_nothing(spec: ItemSpec) -> bool:
    """Whether an item asks for no change: its runs are never judged or landed."""
    return spec.kind == PLANNER or spec.reads
