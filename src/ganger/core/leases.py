"""Leases that belong to no run: for scripts, and for people and agents that ganger did not start.

They live by the store's clock alone. Whoever holds one is not stopped when its time is over; it may go on believing,
but its token is refused (RELIABILITY I-1).
"""

from __future__ import annotations

from itertools import takewhile

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import FORCEABLE, admit_scope, unweighed_refusal
from ganger.core.facts import HeldLease
from ganger.core.ids import LeaseId, Seq, Token, lease_id
from ganger.core.model import Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State

TTL_MIN_MS, TTL_MAX_MS = 1_000, 7 * 86_400_000
HOLDER_CHARS_MAX = 200

Decided = tuple[ev.Event, ...] | Refusal


def decide_acquire(state: State, command: cmd.AcquireLease, now_ms: int, policy: Policy) -> Decided:
    """Grant a lane or a scope; the event says which, and its position is the token."""
    fault = _fault(command)
    if fault:
        return Refusal(RefusalCode.invalid, fault)
    if refusal := unweighed_refusal(state, command.weighed):
        return refusal
    admitted = admit_scope(state, command.lane, command.scope, command.mode, now_ms, policy, autopick=command.autopick)
    if isinstance(admitted, Refusal) and not (command.force and admitted.code in FORCEABLE):
        return admitted
    if isinstance(admitted, Refusal):
        lane = policy.lane(command.lane)
        scope, alone, name = (lane.paths, lane.exclusive, lane.name) if lane else (command.scope, False, "")
    else:
        wanted = admitted.wanted
        scope, alone, name = wanted.scope, wanted.alone, wanted.lane
    return (
        *expired(state, now_ms),
        ev.LeaseGranted(
            holder=command.holder,
            scope=scope,
            mode=command.mode,
            expires_ms=now_ms + command.ttl_ms,
            lane=name,
            alone=alone,
            forced_by=command.force if isinstance(admitted, Refusal) or command.overruled else "",
        ),
    )


def _fault(command: cmd.AcquireLease) -> str:
    if not command.holder.strip() or len(command.holder) > HOLDER_CHARS_MAX or not command.holder.isprintable():
        return f"a holder is named by 1 to {HOLDER_CHARS_MAX} printable characters"
    if command.lane and command.scope:
        return "a lease is for a lane or for a scope, not for both"
    return _ttl_fault(command.ttl_ms)


def _ttl_fault(ttl_ms: int) -> str:
    if TTL_MIN_MS <= ttl_ms <= TTL_MAX_MS:
        return ""
    return f"a lease lives from {TTL_MIN_MS // 1000} s to {TTL_MAX_MS // 86_400_000} days, not {ttl_ms / 1000:g} s"


def decide_renew(state: State, command: cmd.RenewLease, now_ms: int) -> Decided:
    """Extend a lease that has not run out; it never gets shorter."""
    held = _live(state, command.lease, command.token, now_ms)
    if isinstance(held, Refusal):
        return held
    if fault := _ttl_fault(command.ttl_ms):
        return Refusal(RefusalCode.invalid, fault)
    expires_ms = now_ms + command.ttl_ms
    return (ev.LeaseExtended(held.id, expires_ms),) if expires_ms > held.lease.expires_ms else ()


def decide_release(state: State, command: cmd.ReleaseLease) -> Decided:
    """Give a lease back, or take it away by name; one that is gone is no error to whoever held it."""
    held = state.held.get(command.lease)
    if held is None:
        is_over = command.token <= state.seq and command.lease == lease_id(Seq(command.token))
        return () if is_over else _unknown(command.lease)
    if command.force:
        return (ev.LeaseEnded(held.id, f"taken away by {command.force}"),)
    if held.lease.token != command.token:
        return Refusal(
            RefusalCode.stale_token, f"token {command.token} is not that of {held.id}", f"only {held.holder} has it"
        )
    return (ev.LeaseEnded(held.id, "released"),)


def decide_sweep(state: State, now_ms: int) -> Decided:
    """Note the leases whose time is over."""
    return tuple(expired(state, now_ms))


def expired(state: State, now_ms: int) -> list[ev.LeaseEnded]:
    """Leases without a run that have run out."""
    over = takewhile(lambda end: end[0] <= now_ms, state.ends)
    return [ev.LeaseEnded(lease, "expired") for _, lease in over]


def next_expiry_ms(state: State) -> int | None:
    """When the first of these leases runs out; None when there is none."""
    return state.ends[0][0] if state.ends else None


def _live(state: State, lease: LeaseId, token: Token, now_ms: int) -> HeldLease | Refusal:
    held = state.held.get(lease)
    if held is None:
        return _unknown(lease)
    if held.lease.token != token:
        return Refusal(RefusalCode.stale_token, f"token {token} is not that of {lease}", "acquire it anew")
    if held.lease.expires_ms <= now_ms:
        return Refusal(RefusalCode.lease_expired, f"{lease} ran out; somebody else may hold its scope", "acquire anew")
    return held


def _unknown(lease: LeaseId) -> Refusal:
    return Refusal(RefusalCode.unknown_ref, f"{lease} is not held: it ended, or never was", "ganger lease list")
