"""What may still be spent: reserved at the grant, metered while it works, settled at the end."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.budget import amount, overspent, reservation, spent_and_reserved
from ganger.core.ids import ItemId, PlanId
from ganger.core.model import NOTHING, Budget, EndKind, Refusal, Usage
from ganger.core.policy import Policy
from ganger.testing.builders import NOW_MS, Story, add_plan, spec

PRICED = frozenset({"default"})
PLAN = (("plan", Budget(tokens=100)),)


def reserve(story: Story, item: str = "login") -> Usage | tuple[str, str]:
    """What a run would reserve, or the account that stands against it and why."""
    one = story.state.items[ItemId(item)].spec
    found = reservation(story.state, one, one.agent, story.policy)
    return (found.holder, found.reason) if isinstance(found, Refusal) else found


def spend(story: Story, item: str = "login", **figures: int) -> None:
    run = story.run(item)
    story.do(cmd.RecordUsage(run.id, run.lease.token, run.turn, Usage(**figures)))


RESERVED: list[tuple[str, Policy, dict[str, Any], Usage]] = [
    ("nothing is limited", Policy(), {}, NOTHING),
    ("a run's own limit", Policy(run_budget=Budget(tokens=40)), {}, Usage(tokens=40)),
    ("all of what the fleet has", Policy(fleet_budget=Budget(tokens=100)), {}, Usage(tokens=100)),
    ("the least of all", Policy(fleet_budget=Budget(tokens=100), plan_budgets=PLAN), {}, Usage(tokens=100)),
    ("its item's", Policy(plan_budgets=PLAN), {"budget": Budget(tokens=7)}, Usage(tokens=7)),
    (
        "each figure by itself",
        Policy(run_budget=Budget(5, 6, 7), fleet_budget=Budget(usd_micros=4), priced=PRICED),
        {"budget": Budget(wall_ms=3)},
        Usage(4, 6, 3),
    ),
]


@pytest.mark.parametrize(("policy", "fields", "expected"), [r[1:] for r in RESERVED], ids=[r[0] for r in RESERVED])
def test_what_a_run_reserves(policy: Policy, fields: dict[str, Any], expected: Usage) -> None:
    story = Story(spec(**fields), policy=policy)
    assert reserve(story) == expected
    assert story.granted().reserved == expected


LEVELS: list[tuple[str, Policy, Budget, str, str]] = [
    ("fleet", Policy(fleet_budget=Budget(tokens=100)), Budget(), "fleet", "the fleet"),
    ("plan", Policy(plan_budgets=PLAN), Budget(), "plan:plan", "plan plan"),
    ("item", Policy(), Budget(tokens=100), "item:login", "item login"),
]


@pytest.mark.parametrize(("policy", "own", "account", "name"), [row[1:] for row in LEVELS], ids=[r[0] for r in LEVELS])
def test_a_quarter_must_be_left_at_every_level(policy: Policy, own: Budget, account: str, name: str) -> None:
    policy = replace(policy, run_budget=Budget(tokens=40))
    for used, expected in (
        (60, Usage(tokens=40)),
        (61, Usage(tokens=39)),
        (90, Usage(tokens=10)),
        (91, (account, f"{name} has 9 tokens left of 100 tokens")),
        (100, (account, f"{name} has 0 tokens left of 100 tokens")),
        (120, (account, f"{name} has 0 tokens left of 100 tokens")),
    ):
        story = Story(spec(budget=own), policy=policy)
        story.state.accounts[account] = Usage(tokens=used)
        assert reserve(story) == expected, used


def test_little_left_in_one_account_does_not_make_little_in_another_enough() -> None:
    """The quarter is one of what a run may spend, not of what the account before has left."""
    policy = Policy(run_budget=Budget(tokens=100), fleet_budget=Budget(tokens=1_000), plan_budgets=PLAN)
    story = Story(spec(), policy=policy)
    story.state.accounts |= {"fleet": Usage(tokens=970), "plan:plan": Usage(tokens=92)}
    assert reserve(story) == ("plan:plan", "plan plan has 8 tokens left of 100 tokens")


def test_a_small_item_still_fits_into_what_a_large_fleet_has_left() -> None:
    story = Story(spec(budget=Budget(tokens=20)), policy=Policy(fleet_budget=Budget(tokens=1_000)))
    story.state.accounts["fleet"] = Usage(tokens=970)
    assert reserve(story) == Usage(tokens=20)


def test_a_limit_of_nothing_lets_nothing_through() -> None:
    story = Story(spec(budget=Budget(tokens=0)))
    assert reserve(story) == ("item:login", "item login has 0 tokens left of 0 tokens")


# ── money of an agent whose price nobody knows ──

MONEY = Budget(usd_micros=2_500_000)
UNPRICED: list[tuple[Policy, Budget, str]] = [
    (Policy(fleet_budget=MONEY), Budget(), "the fleet"),
    (Policy(plan_budgets=(("plan", MONEY),)), Budget(), "plan plan"),
    (Policy(run_budget=MONEY), Budget(), "the run"),
    (Policy(), MONEY, "item login"),
]


@pytest.mark.parametrize(("policy", "own", "name"), UNPRICED)
def test_an_unknown_price_refuses_where_money_is_limited(policy: Policy, own: Budget, name: str) -> None:
    reason = f"{name} has a limit in dollars, and nobody knows what agent default costs"
    found = reserve(Story(spec(budget=own), policy=policy))
    assert isinstance(found, tuple) and found[1] == reason
    assert isinstance(reserve(Story(spec(budget=own), policy=replace(policy, priced=PRICED))), Usage)


def test_an_unknown_price_does_not_matter_where_only_tokens_are_limited() -> None:
    assert reserve(Story(spec(), policy=Policy(fleet_budget=Budget(tokens=9)))) == Usage(tokens=9)


# ── accounts ──


def test_what_is_reserved_is_not_there_for_others_and_comes_back_at_the_end() -> None:
    items = (spec("a", scope=("a/**",)), spec("b", scope=("b/**",)))
    story = Story(*items, policy=Policy(fleet_budget=Budget(tokens=100), run_budget=Budget(tokens=80)))
    run = story.started("a")
    assert reserve(story, "b") == Usage(tokens=20)
    spend(story, "a", tokens=30)
    assert spent_and_reserved(story.state, "fleet") == Usage(tokens=80)
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 1))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.failed, "it crashed"))
    assert spent_and_reserved(story.state, "fleet") == Usage(tokens=30)
    assert reserve(story, "b") == Usage(tokens=70)


def test_what_a_worker_files_is_paid_by_the_item_it_came_from() -> None:
    story = Story(spec(budget=Budget(tokens=100)), policy=Policy(run_budget=Budget(tokens=60)))
    run = story.started()
    story.do(cmd.FileFollowUp(run.id, run.lease.token, "More", "Do it.", ("docs/**",)))
    story.do(cmd.RetryItem(ItemId("login-f1")))
    assert story.granted("login-f1").reserved == Usage(tokens=40)
    assert spent_and_reserved(story.state, "item:login") == Usage(tokens=100)
    child = story.started("login-f1")
    spend(story, "login-f1", tokens=35)
    assert story.state.accounts["item:login"] == story.state.accounts["item:login-f1"] == Usage(tokens=35)
    assert child.reserved.tokens + run.reserved.tokens <= 100


def test_what_a_run_has_reserved_moves_along_with_its_item() -> None:
    """An item that another plan takes over while its run lives: the first plan's money is free, the other's is not."""
    other = replace(spec(), plan=PlanId("other"))
    budgets = (("plan", Budget(tokens=100)), ("other", Budget(tokens=100)))
    story = Story(spec(), policy=Policy(plan_budgets=budgets, run_budget=Budget(tokens=60)))
    run = story.granted()
    story.do(add_plan(spec("x", scope=("x/**",)), digest="2"))
    story.do(add_plan(other, plan="other"))
    assert spent_and_reserved(story.state, "plan:plan") == NOTHING
    assert spent_and_reserved(story.state, "plan:other") == Usage(tokens=60)
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.interrupted, ""))
    assert spent_and_reserved(story.state, "plan:other") == NOTHING


def test_usage_replaces_what_was_metered_before_and_never_shrinks() -> None:
    story = Story(spec(), policy=Policy(priced=PRICED))
    story.started()
    spend(story, tokens=10, usd_micros=5)
    spend(story, tokens=30)
    assert story.run().turn_spent == Usage(5, 30)
    assert story.state.accounts["fleet"] == Usage(5, 30)
    run = story.run()
    assert story.do(cmd.RecordUsage(run.id, run.lease.token, 1, Usage(tokens=29))) == ()
    assert story.do(cmd.RecordUsage(run.id, run.lease.token, 2, Usage(tokens=99))) == ()


def test_the_next_turn_is_metered_anew_and_added() -> None:
    story = Story(spec())
    run = story.started()
    spend(story, tokens=10)
    story.do(cmd.AskQuestion(run.id, run.lease.token, "which?"))
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.do(cmd.AnswerQuestion(next(iter(story.state.questions)), "this", "olga"))
    story.started(turn=2)
    spend(story, tokens=4)
    assert story.run().spent_in_all.tokens == story.state.accounts["fleet"].tokens == 14


def test_the_time_that_workers_live_is_paid_when_they_are_gone() -> None:
    story = Story(spec())
    run = story.started()
    story.now_ms += 7_000
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 1))
    assert story.state.accounts["fleet"] == story.run().spent_in_all == Usage(wall_ms=7_000)


# ── nights ──


def test_a_night_begins_anew_only_after_one_that_was_left_in_good_order() -> None:
    arrive, leave = cmd.RecordSupervisor(7, "host", "1"), cmd.RecordSupervisor(7, "host", "1", "drained")
    story = Story(spec())
    story.do(arrive)
    story.started()
    spend(story, tokens=10)
    story.now_ms += 1_000
    story.do(arrive)
    assert story.state.accounts["fleet"] == Usage(tokens=10)
    assert story.state.night_ms == NOW_MS
    story.do(leave)
    assert story.state.accounts["fleet"] == Usage(tokens=10)
    story.do(arrive)
    assert story.state.accounts == {"item:login": Usage(tokens=10)}
    assert story.state.night_ms == NOW_MS + 1_000


# ── the stop ──

OVER = [
    (Usage(tokens=99), 0, ""),
    (Usage(tokens=100), 0, "the run has spent 100 tokens of 100 tokens"),
    (Usage(tokens=120), 0, "the run has spent 120 tokens of 100 tokens"),
    (Usage(usd_micros=1_500_000), 0, "the run has spent $1.50 of $1.50"),
    (Usage(), 8_999, ""),
    (Usage(), 9_000, "the run has spent 9 s of 9 s"),
    (Usage(wall_ms=8_000), 1_000, "the run has spent 9 s of 9 s"),
]


@pytest.mark.parametrize(("spent", "age_ms", "reason"), OVER)
def test_what_a_run_has_used_up(spent: Usage, age_ms: int, reason: str) -> None:
    story = Story(spec())
    run = replace(story.started(), reserved=Usage(1_500_000, 100, 9_000), turn_spent=spent)
    assert overspent(run, age_ms) == reason


def test_a_dead_workers_age_counts_no_more() -> None:
    story = Story(spec())
    run = replace(story.reported(), reserved=Usage(wall_ms=9_000))
    assert overspent(run, 9_000) == ""


def test_a_run_that_has_spent_it_all_is_stopped_with_the_record() -> None:
    story = Story(spec(), policy=Policy(run_budget=Budget(tokens=100)))
    run = story.started()
    events = story.do(cmd.RecordUsage(run.id, run.lease.token, 1, Usage(tokens=130)))
    reason = "the run has spent 130 tokens of 100 tokens"
    assert events[1:] == (ev.StopRequested(run.id, EndKind.over_budget, reason),)
    assert spent_and_reserved(story.state, "fleet") == Usage(tokens=130)


def test_what_is_known_too_late_stops_nothing() -> None:
    story = Story(spec(), policy=Policy(run_budget=Budget(tokens=100)))
    run = story.reported()
    events = story.do(cmd.RecordUsage(run.id, run.lease.token, 1, Usage(tokens=130)))
    assert [type(event).__name__ for event in events] == ["UsageRecorded"]


AMOUNTS = [
    ("usd_micros", 1_234_567_000, "$1,234.57"),
    ("tokens", 5_000_000, "5,000,000 tokens"),
    ("wall_ms", 90_400, "90 s"),
]


@pytest.mark.parametrize(("figure", "value", "text"), AMOUNTS)
def test_amounts(figure: str, value: int, text: str) -> None:
    assert amount(figure, value) == text
