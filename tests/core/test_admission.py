"""May this run be born now? A row a rule, with the exact reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganger.core import commands as cmd
from ganger.core.admission import admit, admit_write
from ganger.core.events import BreakerOpened, ItemWithdrawn, RunGranted
from ganger.core.hours import hours_open_ms
from ganger.core.ids import ItemId, PlanId, Token
from ganger.core.model import PLANNER, Again, Budget, EndKind, Hold, Kind, Lane, Lease, LeaseMode, Refusal, RefusalCode
from ganger.core.patterns import PathRules
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


def hung(story: Story) -> None:
    run = story.started()
    story.do(cmd.RepeatTurn(run.id, run.lease.token, 1, Again.hang, "it hung"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, None, 9))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.stalled, "it hung"))


FINISHED = ("wrong_state", "item login is finished: 2 items filed", "", "", 0)
ITEM_RULES: list[tuple[str, dict[str, Any], Any, tuple[str, str, str, str, int]]] = [
    ("landed", {}, landed, ("wrong_state", f"item login has landed as {TIP[:12]}", "", "", 0)),
    ("running", {}, Story.granted, ("wrong_state", "item login is being worked on by login.1", "", "login.1", 0)),
    (
        "withdrawn",
        {},
        lambda story: story.append(ItemWithdrawn(ItemId("login"))),
        ("wrong_state", "item login is in its plan no longer", "", "", 0),
    ),
    ("finished", {"kind": PLANNER}, lambda story: story.ended(end=EndKind.finished, reason="2 items filed"), FINISHED),
    ("hung twice", {}, hung, ("exhausted", "item login failed 1 attempt: it hung", "ganger retry login", "", 0)),
    ("stopped", {}, stopped, ("held", "item login was stopped: wrong way", "ganger retry login", "", 0)),
    (
        "given up after one",
        {"attempts_max": 1},
        Story.ended,
        ("exhausted", "item login failed 1 attempt: it crashed", "ganger retry login", "", 0),
    ),
    ("cooling", {}, Story.ended, ("cooldown", "item login waits after a failed attempt: it crashed", "", "", 30_000)),
    ("not ready", {"after": ("a", "b")}, None, ("not_ready", "item login waits for a, b", "", "a", 0)),
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


# ── what an item needs besides its scope ──

LANES = (
    Lane("auth", ("src/**",), workers_max=1),
    Lane("docs", ("docs/**",)),
    Lane("release", ("pkg/**",), exclusive=True),
)


def grow(story: Story) -> None:
    """Another item of the same kind, lane and agent is at work, somewhere else."""
    story.started("other")


def limited(story: Story) -> None:
    run = story.started("other")
    story.do(cmd.RecordLimit(run.id, run.lease.token, NOW_MS + 60_000, "too many requests"))


def broken(story: Story) -> None:
    story.append(BreakerOpened("agent:default", "3 items in a row came to nothing", NOW_MS + 5))


def asked_a_predicate(story: Story) -> None:
    story.do(cmd.RecordWait(ItemId("login"), RefusalCode.predicate, "no", "freeze", NOW_MS + 9))


MEANS: list[tuple[str, Policy, dict[str, Any], Any, tuple[str, str, str, str, int]]] = [
    (
        "no such lane",
        Policy(lanes=LANES),
        {"lane": "atuh"},
        None,
        ("config", "there is no lane atuh in ganger.toml (lanes: auth, docs, release)", "declare it there", "", 0),
    ),
    (
        "no lanes at all",
        Policy(),
        {"lane": "auth"},
        None,
        ("config", "there is no lane auth in ganger.toml (lanes: none)", "declare it there", "", 0),
    ),
    (
        "too deep",
        Policy(depth_max=1),
        {"depth": 2},
        None,
        (
            "depth_cap",
            "item login stands 2 deep below its plan, and 1 is the most",
            "raise fleet.depth_max, or put it into a plan",
            "",
            0,
        ),
    ),
    (
        "a breaker",
        Policy(),
        {},
        broken,
        (
            "breaker_open",
            "agent default is not tried for a while: 3 items in a row came to nothing",
            "ganger breaker close agent:default",
            "agent:default",
            5,
        ),
    ),
    (
        "a provider",
        Policy(providers=(("default", "shop"),)),
        {},
        limited,
        ("provider_limit", "provider shop has reached its limit: too many requests", "", "shop", 60_000),
    ),
    (
        "money",
        Policy(fleet_budget=Budget(tokens=100)),
        {},
        grow,
        (
            "budget",
            "the fleet has 0 tokens left of 100 tokens",
            "raise the limit in [budget], or wait for the next night",
            "fleet",
            0,
        ),
    ),
    (
        "its kind",
        Policy(kinds=(Kind("patcher", 1),)),
        {},
        grow,
        ("kind_cap", "1 of 1 workers of kind patcher are busy", "", "patcher", 0),
    ),
    (
        "its lane",
        Policy(lanes=(*LANES[1:], Lane("auth", ("**",), workers_max=1))),
        {"lane": "auth"},
        grow,
        ("lane_cap", "1 of 1 workers in lane auth are busy", "", "auth", 0),
    ),
    (
        "a predicate",
        Policy(),
        {},
        asked_a_predicate,
        ("predicate", "item login was refused by freeze a short while ago", "", "", 9),
    ),
]


@pytest.mark.parametrize(("policy", "fields", "before", "expected"), [r[1:] for r in MEANS], ids=[r[0] for r in MEANS])
def test_what_an_item_needs(
    policy: Policy, fields: dict[str, Any], before: Any, expected: tuple[str, str, str, str, int]
) -> None:
    lane = "auth" if policy.lane("auth") and fields.get("lane") == "auth" else ""
    story = Story(spec("other", scope=("other/**",), lane=lane), spec(**fields), policy=policy)
    if before is not None:
        before(story)
    assert refused(story) == expected


def test_a_provider_that_opens_and_a_breaker_whose_time_is_over_let_go_at_their_instant() -> None:
    for before, after_ms in ((limited, 60_000 + Policy().stagger_ms), (broken, 5)):
        story = Story(spec("other", scope=("other/**",)), spec())
        before(story)
        story.now_ms += after_ms - 1
        assert refused(story)[0] in ("provider_limit", "breaker_open")
        story.now_ms += 1
        assert story.granted().id == "login.1"


PAUSES = [
    ("pause", "", ("held", "plan plan is paused", "ganger resume plan", "plan", 0)),
    ("stop", "wrong way", ("held", "plan plan is stopped: wrong way", "ganger resume plan", "plan", 0)),
]


@pytest.mark.parametrize(("verb", "text", "expected"), PAUSES)
def test_a_plan_that_is_not_active(verb: str, text: str, expected: tuple[str, str, str, str, int]) -> None:
    story = Story(spec())
    story.do(cmd.ControlPlan(PlanId("plan"), verb, text))
    assert refused(story) == expected
    story.do(cmd.ControlPlan(PlanId("plan"), "resume"))
    assert story.granted().id == "login.1"


# ── alone ──


def test_who_runs_alone_waits_for_all_others_and_others_for_it() -> None:
    story = Story(spec("a"), spec("all", lane="release", scope=("pkg/**",)), policy=Policy(lanes=LANES))
    story.granted("a")
    assert refused(story, "all") == ("exclusive_held", "item all runs alone, and a.1 is at work", "", "a.1", 0)
    story.do(cmd.RecordEnd(story.run("a").id, story.token("a"), EndKind.interrupted, ""))
    story.granted("all")
    assert refused(story, "a") == ("exclusive_held", "all.1 runs alone", "", "all.1", 0)


def test_a_lease_of_a_stranger_is_in_the_way_until_its_time_is_over() -> None:
    story = Story(spec("a"), spec("all", lane="release", scope=("pkg/**",)), policy=Policy(lanes=LANES))
    story.do(cmd.AcquireLease("olga", scope=("src/x",), ttl_ms=5_000))
    held = story.state.seq
    where = f"lease:{held} (olga)"
    assert refused(story, "a") == (
        "overlap",
        f"item a wants src/**, which overlaps src/x, held by {where}",
        f"wait for lease:{held}, or ganger lease release lease:{held}",
        f"lease:{held}",
        5_000,
    )
    alone = ("exclusive_held", f"item all runs alone, and {where} is at work", "", f"lease:{held}", 5_000)
    assert refused(story, "all") == alone
    story.now_ms += 5_000
    events = story.do(cmd.GrantRun(ItemId("all"), BASE))
    assert [type(event).__name__ for event in events] == ["LeaseEnded", "RunGranted"]


# ── the start permit ──


def test_a_permit_for_another_repository_is_refused_whoever_asks() -> None:
    story = Story(spec(), policy=Policy(repo="r1"))
    expected = ("permit", "the fleet is that of repository r1, not of r2")
    assert story.why_not(cmd.GrantRun(ItemId("login"), BASE, repo="r2")) == expected
    assert story.why_not(cmd.GrantRun(ItemId("login"), BASE, repo="r2", force="olga")) == expected
    story.do(cmd.GrantRun(ItemId("login"), BASE, repo="r1"))


def test_a_base_with_changes_on_it_is_refused_where_that_is_asked_for() -> None:
    dirty = cmd.GrantRun(ItemId("login"), BASE, clean=False)
    expected = ("dirty_base", "main is checked out with changes that are not committed")
    assert Story(spec(), policy=Policy(require_clean=True)).why_not(dirty) == expected
    assert Story(spec()).do(dirty)


# ── force ──


def forced(story: Story, item: str = "login", **fields: Any) -> str:
    """Who is named as having forced the run."""
    granted = story.do(cmd.GrantRun(ItemId(item), BASE, force="olga", **fields))[-1]
    assert isinstance(granted, RunGranted)
    return granted.forced_by


FORCED: list[tuple[str, Policy, dict[str, Any], Any]] = [
    ("held", Policy(), {"hold": Hold("draft")}, None),
    ("cooldown", Policy(), {}, Story.ended),
    ("exhausted", Policy(), {"attempts_max": 1}, Story.ended),
    ("hours", Policy(hours=((0, 1),)), {}, None),
    ("fleet_cap", Policy(workers_max=1), {}, grow),
    ("kind_cap", Policy(kinds=(Kind("patcher", 1),)), {}, grow),
    ("depth_cap", Policy(), {"depth": 9}, None),
    ("budget", Policy(fleet_budget=Budget(tokens=1)), {}, grow),
    ("breaker_open", Policy(), {}, broken),
    ("provider_limit", Policy(), {}, limited),
    ("predicate", Policy(), {}, asked_a_predicate),
]


@pytest.mark.parametrize(("code", "policy", "fields", "before"), FORCED)
def test_a_person_may_force_by_name(code: str, policy: Policy, fields: dict[str, Any], before: Any) -> None:
    story = Story(spec("other", scope=("other/**",)), spec(**fields), policy=policy)
    if before is not None:
        before(story)
    assert refused(story)[0] == code
    assert forced(story) == "olga"


def test_force_is_not_noted_where_nothing_stood_against_it() -> None:
    assert forced(Story(spec())) == ""


def test_a_dirty_base_may_be_forced() -> None:
    assert forced(Story(spec(), policy=Policy(require_clean=True)), clean=False) == "olga"


NEVER_FORCED: list[tuple[str, Policy, dict[str, Any], Any]] = [
    ("overlap", Policy(), {"scope": ("other/x",)}, grow),
    ("overlap", Policy(workers_max=1), {"scope": ("other/x",), "hold": Hold("draft")}, grow),
    ("exclusive_held", Policy(lanes=LANES), {"lane": "release"}, grow),
    ("not_ready", Policy(), {"after": ("other",)}, None),
    ("wrong_state", Policy(), {}, Story.granted),
    ("wrong_state", Policy(), {}, landed),
    ("config", Policy(), {"lane": "gone"}, None),
]


@pytest.mark.parametrize(("code", "policy", "fields", "before"), NEVER_FORCED)
def test_what_nobody_can_force(code: str, policy: Policy, fields: dict[str, Any], before: Any) -> None:
    story = Story(spec("other", scope=("other/**",)), spec(**fields), policy=policy)
    if before is not None:
        before(story)
    assert story.why_not(cmd.GrantRun(ItemId("login"), BASE, force="olga"))[0] == code


def test_counts_are_taken_with_the_grant_itself() -> None:
    """Fifty that ask at once get as many runs as may live, the others a count."""
    story = Story(*(spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(50)), policy=Policy(workers_max=8))
    decided = []
    for n in range(50):
        answer = story.decide(cmd.GrantRun(ItemId(f"i{n}"), BASE))
        decided.append(answer)
        for event in answer if isinstance(answer, tuple) else ():
            story.append(event)
    refusals = [answer for answer in decided if isinstance(answer, Refusal)]
    assert (len(decided) - len(refusals), len(story.state.runs)) == (8, 8)
    assert {(r.code, r.reason) for r in refusals} == {(RefusalCode.fleet_cap, "8 of 8 workers are busy")}


def test_a_dirty_base_that_is_forced_forces_no_overlap_behind_it() -> None:
    story = Story(spec("other"), spec(), policy=Policy(require_clean=True))
    story.do(cmd.GrantRun(ItemId("other"), BASE))
    dirty = cmd.GrantRun(ItemId("login"), BASE, clean=False, force="olga")
    assert story.why_not(dirty) == ("overlap", "item login wants src/**, held by other.1")


LEASE = Lease(Token(7), ("src/**", "*.md"), LeaseMode.exclusive, NOW_MS + 1)
WRITES = [
    ("src/a.py", None),
    ("README.md", None),
    ("docs/a.md", "docs/a.md is outside the scope src/**, *.md"),
    ("", "'' names no file"),
    ("src/", "'src/' names no file"),
    ("/src/a.py", "'/src/a.py' is not a plain path inside the repository"),
    ("src/../docs/a.md", "'src/../docs/a.md' is not a plain path inside the repository"),
    ("./src/a.py", "'./src/a.py' is not a plain path inside the repository"),
    ("src//a.py", "'src//a.py' is not a plain path inside the repository"),
    ("src\\a.py", "'src\\\\a.py' is not a plain path inside the repository"),
    (".git/config", "'.git/config' lies in git's own folder"),
    (".GIT/hooks/x", "'.GIT/hooks/x' lies in git's own folder"),
    ("src/a\0.py", "'src/a\\x00.py' holds a character that no path of ours has"),
    ("src/a\n.py", "'src/a\\n.py' holds a character that no path of ours has"),
]


@pytest.mark.parametrize(("path", "reason"), WRITES)
def test_may_this_file_be_written(path: str, reason: str | None) -> None:
    refusal = admit_write(LEASE, path, NOW_MS, PathRules())
    assert (refusal.reason if refusal else None) == reason


def test_nothing_is_written_when_the_lease_has_run_out() -> None:
    refusal = admit_write(LEASE, "src/a.py", NOW_MS + 1, PathRules())
    assert refusal is not None and refusal.code is RefusalCode.lease_expired


@given(st.text(max_size=60))
def test_whatever_is_asked_about_a_file_is_answered(path: str) -> None:
    """I-18: every text is allowed or denied, and only a plain path inside the scope is allowed."""
    refusal = admit_write(LEASE, path, NOW_MS, PathRules())
    plain = not any(part in ("", ".", "..") for part in path.split("/"))
    assert refusal is not None or (plain and (path.startswith("src/") or ("/" not in path and path.endswith(".md"))))
