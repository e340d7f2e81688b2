"""May this run be born now? A row a rule, with the exact reason."""

from __future__ import annotations

from typing import Any

import pytest

from ganger.core import commands as cmd
from ganger.core.admission import admit, hours_open_ms
from ganger.core.events import ItemWithdrawn
from ganger.core.ids import ItemId
from ganger.core.model import EndKind, Hold, LeaseMode, RefusalCode
from ganger.core.policy import Policy
from ganger.testing.builders import BASE, NOW_MS, TIP, Story, spec

HOUR_MS = 3_600_000


def refused(story: Story, item: str = "login") -> tuple[str, str, str, str, int]:
    """Code, reason, way forward, holder and when to ask again."""
    refusal = admit(story.state, story.state.items[ItemId(item)], story.now_ms, story.policy)
    assert refusal is not None
    return (
        refusal.code.value,
        refusal.reason,
        refusal.way,
        refusal.holder,
        refusal.again_ms - NOW_MS * bool(refusal.again_ms),
    )


def landed(story: Story) -> None:
    story.landing()
    story.do(cmd.RecordLanding(TIP, "landed", TIP))


def stopped(story: Story) -> None:
    run = story.granted()
    story.do(cmd.StopRun(run.id, EndKind.stopped, "wrong way"))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.stopped, "wrong way"))


ITEM_RULES: list[tuple[str, dict[str, Any], Any, tuple[str, str, str, str, int]]] = [
    ("landed", {}, landed, ("wrong_state", f"item login has landed as {TIP[:12]}", "", "", 0)),
    ("running", {}, Story.granted, ("wrong_state", "item login is being worked on by login.1", "", "login.1", 0)),
    (
        "withdrawn",
        {},
        lambda story: story.append(ItemWithdrawn(ItemId("login"))),
        ("wrong_state", "item login is in its plan no longer", "", "", 0),
    ),
    ("stopped", {}, stopped, ("held", "item login was stopped: wrong way", "ganger retry login", "", 0)),
    (
        "given up after one",
        {"attempts_max": 1},
        Story.ended,
        ("exhausted", "item login failed 1 attempt: it crashed", "ganger retry login", "", 0),
    ),
    ("cooling", {}, Story.ended, ("cooldown", "item login waits after a failed attempt: it crashed", "", "", 30_000)),
    ("not ready", {"after": ("a", "b")}, None, ("not_ready", "item login waits for a, b", "", "", 0)),
    ("draft", {"hold": Hold("draft")}, None, ("held", "item login is held: draft", "ganger retry login", "", 0)),
    (
        "operator",
        {"hold": Hold("operator")},
        None,
        ("held", "item login is held: operator", "ganger retry login", "", 0),
    ),
    (
        "soak",
        {"hold": Hold("until", NOW_MS + 7)},
        None,
        ("held", "item login is held until its date", "", "", 7),
    ),
]


@pytest.mark.parametrize(
    ("fields", "before", "expected"), [row[1:] for row in ITEM_RULES], ids=[r[0] for r in ITEM_RULES]
)
def test_what_stands_against_the_item_itself(fields: dict[str, Any], before: Any, expected: tuple[Any, ...]) -> None:
    others = [spec(name, hold=Hold("draft")) for name in fields.get("after", ())]
    story = Story(*others, spec(**fields))
    if before is not None:
        before(story)
    assert refused(story) == expected


def test_several_attempts_are_told_in_the_plural() -> None:
    story = Story(spec(attempts_max=2), policy=Policy(backoff_ms=0))
    story.ended()
    story.ended()
    assert refused(story)[1] == "item login failed 2 attempts: it crashed"


def test_a_hold_that_is_over_holds_nothing() -> None:
    story = Story(spec(hold=Hold("until", NOW_MS)))
    assert admit(story.state, story.state.items[ItemId("login")], NOW_MS, story.policy) is None


def test_a_pause_ends_at_its_instant() -> None:
    story = Story(spec())
    story.ended()
    story.now_ms += 29_999
    assert refused(story)[0] == "cooldown"
    story.now_ms += 1
    assert isinstance(story.decide(cmd.GrantRun(ItemId("login"), BASE)), tuple)


OVERLAPS: list[tuple[tuple[str, ...], LeaseMode, tuple[str, ...], LeaseMode, str]] = [
    (("src/**",), LeaseMode.exclusive, ("docs/**",), LeaseMode.exclusive, ""),
    (("src/**",), LeaseMode.exclusive, ("src/**",), LeaseMode.exclusive, "item b wants src/**, held by a.1"),
    (
        ("src/**",),
        LeaseMode.exclusive,
        ("docs/*", "src/x.py"),
        LeaseMode.exclusive,
        "item b wants src/x.py, which overlaps src/**, held by a.1",
    ),
    (("src/**",), LeaseMode.shared, ("src/**",), LeaseMode.shared, ""),
    (("src/**",), LeaseMode.shared, ("src/**",), LeaseMode.exclusive, "item b wants src/**, held by a.1"),
    (("src/**",), LeaseMode.exclusive, ("src/**",), LeaseMode.shared, "item b wants src/**, held by a.1"),
    (
        ("**/*.md",),
        LeaseMode.exclusive,
        ("docs/**",),
        LeaseMode.exclusive,
        "item b wants docs/**, which overlaps **/*.md, held by a.1",
    ),
]


@pytest.mark.parametrize(("held", "held_mode", "wanted", "mode", "reason"), OVERLAPS)
def test_overlapping_scopes(
    held: tuple[str, ...], held_mode: LeaseMode, wanted: tuple[str, ...], mode: LeaseMode, reason: str
) -> None:
    story = Story(spec("a", scope=held, mode=held_mode), spec("b", scope=wanted, mode=mode))
    story.granted("a")
    if not reason:
        assert story.granted("b").lease.mode is mode
        return
    assert refused(story, "b") == ("overlap", reason, "wait for a.1, or ganger stop a.1", "a.1", 0)


def test_a_lease_that_has_run_out_stands_as_long_as_its_run() -> None:
    story = Story(spec("a"), spec("b"))
    run = story.started("a")
    story.now_ms = run.lease.expires_ms + HOUR_MS
    assert refused(story, "b")[0] == "overlap"


def test_the_fleet_is_full() -> None:
    story = Story(spec("a"), spec("b", scope=("docs/**",)), policy=Policy(workers_max=1))
    story.granted("a")
    assert refused(story, "b") == ("fleet_cap", "1 of 1 workers are busy", "", "", 0)


def test_a_run_that_has_reported_takes_up_no_room() -> None:
    story = Story(spec("a"), spec("b", scope=("docs/**",)), policy=Policy(workers_max=1))
    story.reported("a")
    assert story.granted("b").id == "b.1"


def test_what_concerns_the_item_is_said_before_what_concerns_others() -> None:
    story = Story(spec("a"), spec("b", hold=Hold("draft")), policy=Policy(workers_max=1, hours=((0, 1),)))
    assert refused(story, "b")[0] == "held"


MIDNIGHT_MS = NOW_MS - NOW_MS % (24 * HOUR_MS)
HOURS = [
    ((), 0, 300, 0),
    (((0, 1_440),), 0, 300, 0),
    (((540, 600),), 0, 540, 0),
    (((540, 600),), 0, 600, 1_380),
    (((540, 600),), 0, 500, 40),
    (((1_200, 420),), 0, 0, 0),
    (((1_200, 420),), 0, 419, 0),
    (((1_200, 420),), 0, 420, 780),
    (((1_200, 420),), 0, 1_200, 0),
    (((540, 600),), 60, 480, 0),
    (((540, 600),), -60, 540, 60),
    (((540, 600), (700, 800)), 0, 650, 50),
]


@pytest.mark.parametrize(("hours", "offset_min", "minute", "wait_min"), HOURS)
def test_hours(hours: tuple[tuple[int, int], ...], offset_min: int, minute: int, wait_min: int) -> None:
    now_ms = MIDNIGHT_MS + minute * 60_000 + 17_000
    policy = Policy(hours=hours, utc_offset_min=offset_min)
    opens_ms = hours_open_ms(now_ms, policy)
    assert opens_ms == (now_ms if wait_min == 0 else MIDNIGHT_MS + (minute + wait_min) * 60_000)
    assert hours_open_ms(opens_ms, policy) == opens_ms
    story = Story(spec(), policy=policy)
    story.now_ms = now_ms
    if wait_min:
        assert refused(story)[:2] == ("hours", "outside fleet.allowed_hours")


def test_every_code_of_admission_is_one_of_the_vocabulary() -> None:
    codes = {row[3][0] for row in ITEM_RULES} | {"overlap", "fleet_cap", "hours"}
    assert codes <= {code.value for code in RefusalCode}
