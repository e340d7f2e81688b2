"""Leases that belong to no run: who gets one, for how long, and what becomes of it."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId, LeaseId, Token
from ganger.core.leases import next_expiry_ms
from ganger.core.model import Lane, LeaseMode, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, NOW_MS, Story, spec

POLICY = Policy(
    lanes=(
        Lane("auth", ("src/**",), workers_max=1),
        Lane("docs", ("docs/**",)),
        Lane("lib", ("lib/**",)),
        Lane("release", ("pkg/**",), exclusive=True),
    ),
    autopick=("release", "auth", "lib", "docs"),
)


def acquire(**fields: Any) -> cmd.AcquireLease:
    return cmd.AcquireLease("olga", **fields)


def acquired(story: Story, **fields: Any) -> ev.LeaseGranted:
    granted = story.do(acquire(**fields))[-1]
    assert isinstance(granted, ev.LeaseGranted)
    return granted


def held(story: Story) -> tuple[LeaseId, Token]:
    (lease,) = story.state.held.values()
    return lease.id, lease.lease.token


def refusal(story: Story, **fields: Any) -> Refusal:
    found = story.decide(acquire(**fields))
    assert isinstance(found, Refusal)
    return found


# ── acquire ──


def test_a_lane_is_given_with_its_paths_and_its_place_is_the_token() -> None:
    story = Story(policy=POLICY)
    granted = acquired(story, lane="auth", ttl_ms=5_000)
    assert granted == ev.LeaseGranted("olga", ("src/**",), LeaseMode.exclusive, NOW_MS + 5_000, "auth")
    assert held(story) == ("lease:1", 1)


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    ({}, "invalid", "neither a lane nor a scope is named"),
    ({"lane": "auth", "scope": ("x",)}, "invalid", "a lease is for a lane or for a scope, not for both"),
    ({"lane": "auth", "ttl_ms": 999}, "invalid", "a lease lives from 1 s to 7 days, not 0.999 s"),
    ({"lane": "auth", "ttl_ms": 604_800_001}, "invalid", "a lease lives from 1 s to 7 days, not 604800 s"),
    ({"lane": "gone"}, "config", "there is no lane gone in ganger.toml (lanes: auth, docs, lib, release)"),
]


@pytest.mark.parametrize(("fields", "code", "reason"), FAULTS)
def test_what_cannot_be_held(fields: dict[str, Any], code: str, reason: str) -> None:
    assert Story(policy=POLICY).why_not(acquire(**fields)) == (code, reason)


def test_a_scope_that_cannot_be_read_is_refused_with_its_fault() -> None:
    code, reason = Story().why_not(acquire(scope=("src/**", "a/../b")))
    assert code == "invalid" and "a/../b" in reason


@pytest.mark.parametrize("holder", ["", "  ", "a\nb", "x" * 201])
def test_a_holder_has_a_name_that_can_be_shown(holder: str) -> None:
    expected = ("invalid", "a holder is named by 1 to 200 printable characters")
    assert Story(policy=POLICY).why_not(cmd.AcquireLease(holder, "auth")) == expected


def test_a_busy_lane_is_refused_with_its_holder_when_to_ask_again_and_what_is_free() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="auth", ttl_ms=5_000)
    assert refusal(story, scope=("src/x",)) == Refusal(
        RefusalCode.overlap,
        "scope src/x wants src/x, which overlaps src/**, held by lease:1 (olga)",
        "wait for lease:1, or ganger lease release lease:1",
        "lease:1",
        NOW_MS + 5_000,
        ("lib", "docs"),
    )


def test_another_lane_is_given_only_to_whom_it_will_do() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="auth")
    assert refusal(story, lane="auth").free == ("lib", "docs")
    granted = acquired(story, lane="auth", autopick=True)
    assert (granted.lane, granted.scope) == ("lib", ("lib/**",))


def test_the_lane_that_was_asked_for_goes_before_the_others() -> None:
    assert acquired(Story(policy=POLICY), lane="docs", autopick=True).lane == "docs"


def test_an_exclusive_lane_is_never_given_instead() -> None:
    story = Story(policy=POLICY)
    for lane in ("auth", "lib", "docs"):
        acquired(story, lane=lane)
    assert refusal(story, lane="auth", autopick=True).code is RefusalCode.overlap


SHARES = [
    (LeaseMode.shared, LeaseMode.shared, True),
    (LeaseMode.shared, LeaseMode.exclusive, False),
    (LeaseMode.exclusive, LeaseMode.shared, False),
    (LeaseMode.exclusive, LeaseMode.exclusive, False),
]


@pytest.mark.parametrize(("first", "second", "admitted"), SHARES)
def test_only_shared_goes_with_shared(first: LeaseMode, second: LeaseMode, admitted: bool) -> None:
    story = Story()
    acquired(story, scope=("src/**",), mode=first)
    assert isinstance(story.decide(acquire(scope=("src/x",), mode=second)), tuple) is admitted


def test_a_lease_keeps_runs_out_and_runs_keep_leases_out() -> None:
    story = Story(spec())
    acquired(story, scope=("src/x",))
    assert story.why_not(cmd.GrantRun(ItemId("login"), BASE))[0] == "overlap"
    story = Story(spec())
    story.granted()
    assert story.why_not(acquire(scope=("src/x",)))[0] == "overlap"


def test_alone_is_both_ways() -> None:
    story = Story(policy=POLICY)
    assert acquired(story, lane="release").alone
    reason = "lease:1 (olga) runs alone"
    assert story.why_not(acquire(lane="docs")) == ("exclusive_held", reason)
    story = Story(policy=POLICY)
    acquired(story, lane="docs")
    reason = "lane release runs alone, and lease:1 (olga) is at work"
    assert story.why_not(acquire(lane="release")) == ("exclusive_held", reason)


def test_an_item_that_waits_for_a_scope_is_not_overtaken() -> None:
    story = Story(spec(), policy=POLICY)
    acquired(story, scope=("src/x",))
    story.do(cmd.RecordWait(ItemId("login"), RefusalCode.overlap, "busy", "lease:3"))
    code, reason = story.why_not(acquire(scope=("src/y",)))
    assert (code, reason) == ("overlap", "scope src/y wants src/y, which overlaps src/**, and login comes first")
    assert acquired(story, scope=("docs/**",))
    story.do(cmd.ReleaseLease(LeaseId("lease:3"), Token(3)))
    story.granted()
    assert isinstance(story.decide(acquire(scope=("src/y",))), Refusal)


def test_what_shares_does_not_wait_for_what_shares() -> None:
    story = Story(spec(mode=LeaseMode.shared))
    story.do(cmd.RecordWait(ItemId("login"), RefusalCode.overlap, "busy", "x"))
    assert acquired(story, scope=("src/y",), mode=LeaseMode.shared)
    assert story.why_not(acquire(scope=("src/z",)))[0] == "overlap"


# ── force ──


def full_lane(story: Story) -> None:
    """The lane's only worker works, on a scope of its own."""
    story.granted()


def test_a_full_lane_is_forced_by_name() -> None:
    item = spec(lane="auth", scope=("src/a/**",))
    story = Story(item, policy=Policy(lanes=(Lane("auth", ("src/b/**",), workers_max=1),)))
    full_lane(story)
    assert story.why_not(acquire(lane="auth")) == ("lane_cap", "1 of 1 workers in lane auth are busy")
    assert acquired(story, lane="auth", force="olga").forced_by == "olga"


def test_an_overlap_behind_a_full_lane_is_not_forced() -> None:
    story = Story(spec(lane="auth"), policy=POLICY)
    full_lane(story)
    code, reason = story.why_not(acquire(lane="auth", force="olga"))
    assert (code, reason) == ("overlap", "lane auth wants src/**, held by login.1")


def test_who_works_alone_is_not_forced() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="release")
    assert story.why_not(acquire(lane="docs", force="olga"))[0] == "exclusive_held"


def test_force_that_was_not_needed_is_not_noted() -> None:
    assert acquired(Story(policy=POLICY), lane="docs", force="olga").forced_by == ""


# ── renew, release, expire ──


def test_a_lease_is_extended_never_shortened() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="docs", ttl_ms=5_000)
    story.now_ms += 4_999
    assert story.do(cmd.RenewLease(*held(story), 5_000)) == (ev.LeaseExtended(LeaseId("lease:1"), NOW_MS + 9_999),)
    assert story.do(cmd.RenewLease(*held(story), 1_000)) == ()
    assert next_expiry_ms(story.state) == NOW_MS + 9_999


def test_a_lease_that_has_run_out_is_not_extended() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="docs", ttl_ms=5_000)
    story.now_ms += 5_000
    expected = ("lease_expired", "lease:1 ran out; somebody else may hold its scope")
    assert story.why_not(cmd.RenewLease(*held(story), 5_000)) == expected


NOT_HELD = ("unknown_ref", "lease:9 is not held: it ended, or never was")
OTHERS: list[tuple[cmd.Command, tuple[str, str]]] = [
    (cmd.RenewLease(LeaseId("lease:1"), Token(2), 5_000), ("stale_token", "token 2 is not that of lease:1")),
    (cmd.ReleaseLease(LeaseId("lease:1"), Token(2)), ("stale_token", "token 2 is not that of lease:1")),
    (cmd.RenewLease(LeaseId("lease:9"), Token(9), 5_000), NOT_HELD),
    (cmd.ReleaseLease(LeaseId("lease:9"), Token(9)), NOT_HELD),
    (cmd.ReleaseLease(LeaseId("lease:9"), Token(0)), NOT_HELD),
    (cmd.ReleaseLease(LeaseId("lease:9"), Token(1)), NOT_HELD),
    (
        cmd.RenewLease(LeaseId("lease:1"), Token(1), 0),
        ("invalid", "a lease lives from 1 s to 7 days, not 0 s"),
    ),
]


@pytest.mark.parametrize(("command", "expected"), OTHERS)
def test_only_its_holder_has_a_lease(command: cmd.Command, expected: tuple[str, str]) -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="docs")
    assert story.why_not(command) == expected


def test_a_lease_is_given_back_once_and_once_more_is_no_error() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="docs")
    back = cmd.ReleaseLease(*held(story))
    assert story.do(back) == (ev.LeaseEnded(LeaseId("lease:1"), "released"),)
    assert story.do(back) == ()
    assert acquired(story, lane="docs")


def test_a_person_takes_a_lease_away_by_name() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="docs")
    taken = cmd.ReleaseLease(LeaseId("lease:1"), Token(0), force="ben")
    assert story.do(taken) == (ev.LeaseEnded(LeaseId("lease:1"), "taken away by ben"),)


def test_a_stolen_lease_is_the_old_holders_no_more() -> None:
    """What ran out may be had by another at once; whoever still believes in the old token is refused."""
    story = Story(policy=POLICY)
    acquired(story, lane="docs", ttl_ms=5_000)
    old = held(story)
    story.now_ms += 5_000
    events = story.do(cmd.AcquireLease("ben", "docs"))
    assert [type(event).__name__ for event in events] == ["LeaseEnded", "LeaseGranted"]
    assert story.why_not(cmd.RenewLease(*old, 5_000))[0] == "unknown_ref"
    assert held(story)[1] > old[1]


def test_leases_that_have_run_out_are_swept_and_no_others() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="docs", ttl_ms=5_000)
    acquired(story, lane="lib", ttl_ms=5_001)
    assert story.do(cmd.SweepLeases()) == ()
    story.now_ms += 5_000
    assert story.do(cmd.SweepLeases()) == (ev.LeaseEnded(LeaseId("lease:1"), "expired"),)
    assert next_expiry_ms(story.state) == NOW_MS + 5_001
    assert next_expiry_ms(Story().state) is None


def test_who_was_alone_is_so_no_longer_once_its_time_is_over() -> None:
    story = Story(policy=POLICY)
    acquired(story, lane="release", ttl_ms=5_000)
    story.now_ms += 5_000
    assert acquired(story, lane="docs")
    assert story.state.alone == set()
