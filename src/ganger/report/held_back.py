"""What keeps runs from being granted, whatever the items are, at the time of the report."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ganger.report.facts import Facts
from ganger.report.shape import HeldBack
from ganger.report.wording import command, duration, named, sentence


def held_back(facts: Facts) -> tuple[HeldBack, ...]:
    """Plans that a person set aside, open breakers, providers that refuse, and leases of those outside the fleet."""
    return (*_plans(facts), *_breakers(facts), *_windows(facts), *_leases(facts))


def _plans(facts: Facts) -> Iterator[HeldBack]:
    for row in facts.plans.values():
        if row.state == "active":
            continue
        why = f" ({row.reason})" if row.reason else ""
        source = facts.cite(facts.newest(f"plan:{row.id}", "PlanPaused", "PlanStopped"))
        text = f"{sentence(row.state)}{why}: none of its items is begun."
        yield HeldBack(f"plan {row.id}", text, command("ganger", "resume", row.id), source)


def _breakers(facts: Facts) -> Iterator[HeldBack]:
    for row in facts.reader.breakers():
        left_ms = row.until_ms - facts.now_ms
        until = f"Not tried for another {duration(left_ms)}" if left_ms > 0 else "One try is due"
        source = facts.cite(facts.newest(row.key, "BreakerOpened"))
        yield HeldBack(row.key, f"{until}: {row.reason}.", command("ganger", "breaker", "close", row.key), source)


def _windows(facts: Facts) -> Iterator[HeldBack]:
    for row in facts.reader.windows(facts.now_ms):
        seqs = facts.newest(row.run, "ProviderLimited") or (facts.reader.first_seq(row.at_ms),)
        text = f"Refuses for another {duration(row.until_ms - facts.now_ms)}, found by {row.run}: {row.reason}."
        yield HeldBack(f"provider {row.provider}", text, "", facts.cite(seqs, row.run))


def _leases(facts: Facts) -> Iterator[HeldBack]:
    for row in facts.reader.leases(facts.now_ms):
        what = f"lane {row.lane}" if row.lane else named(msgspec.json.decode(row.scope, type=tuple[str, ...]))
        text = f"{sentence(row.holder)} holds {what} for another {duration(row.expires_ms - facts.now_ms)}."
        yield HeldBack(row.id, text, "", facts.cite((row.token,)))
