"""The hours of the local day in which workers may be started."""

from __future__ import annotations

from ganger.core.model import Refusal, RefusalCode
from ganger.core.policy import Policy

MINUTE_MS = 60_000
DAY_MIN = 1_440


def hours_refusal(now_ms: int, policy: Policy) -> Refusal | None:
    """Refuse outside the hours in which workers may be started."""
    again_ms = hours_open_ms(now_ms, policy)
    if again_ms <= now_ms:
        return None
    return Refusal(RefusalCode.hours, "outside fleet.allowed_hours", again_ms=again_ms)


def hours_open_ms(now_ms: int, policy: Policy) -> int:
    """Tell when the hours are next open: `now_ms` itself when they are open now."""
    if not policy.hours:
        return now_ms
    minute = (now_ms // MINUTE_MS + policy.utc_offset_min) % DAY_MIN
    if any(_within(minute, start, end) for start, end in policy.hours):
        return now_ms
    wait = min((start - minute) % DAY_MIN for start, _ in policy.hours)
    return (now_ms // MINUTE_MS + wait) * MINUTE_MS


def closed_until_ms(now_ms: int, policy: Policy) -> int:
    """Tell until when nothing may be started; 0 when it may be now."""
    opens_ms = hours_open_ms(now_ms, policy)
    return opens_ms if opens_ms > now_ms else 0


def _within(minute: int, start: int, end: int) -> bool:
    return start <= minute < end if start < end else minute >= start or minute < end
