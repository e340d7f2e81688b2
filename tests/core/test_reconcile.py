"""What must be done in the world: a row a situation, and nothing when all is as it should be."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import (
    CleanWorkspace,
    Clocks,
    CollectEvidence,
    Effect,
    EndRun,
    Exit,
    Land,
    Observed,
    StartWorker,
    StopWorker,
    Submit,
    TestTrain,
)
from ganger.core.ids import Commit, ItemId, RunId
from ganger.core.loop import Intent
from ganger.core.model import Again, Budget, EndKind, Hold, RefusalCode, Usage
from ganger.core.policy import Policy
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.testing.builders import BASE, NOW_MS, TIP, TREE, Story, evidence, spec

RUN = RunId("login.1")
ALIVE = {"alive": frozenset([RUN])}


def look(story: Story, intent: Intent | None = None, **seen: Any) -> tuple[Effect, ...]:
    observed = Observed(**{"target": BASE, **seen})
    return reconcile(story.state, observed, story.now_ms, story.policy, intent or Intent())


def wake(story: Story, **seen: Any) -> int | None:
    """When to look again, relative to now."""
    found = next_wake_ms(story.state, Observed(**{"target": BASE, **seen}), story.now_ms, story.policy)
    return None if found is None else found - story.now_ms


def stopping(story: Story, end: EndKind = EndKind.stopped) -> None:
    story.do(cmd.StopRun(RUN, end, "no"))


# ── offers ──


def test_a_ready_item_is_granted_from_the_target() -> None:
    assert look(Story(spec())) == (Submit(cmd.GrantRun(ItemId("login"), BASE)),)


def test_nothing_is_offered_without_a_target_or_when_told_not_to() -> None:
    assert look(Story(spec()), target=Commit("")) == ()
    assert look(Story(spec()), Intent(offer=False)) == ()


def test_no_more_is_offered_than_there_is_room_for() -> None:
    story = Story(*(spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(5)), policy=Policy(workers_max=3))
    story.granted("i0")
    assert len([effect for effect in look(story) if isinstance(effect, Submit)]) == 2


def test_room_is_kept_for_a_run_whose_next_turn_is_due() -> None:
    story = Story(spec(), spec("b", scope=("docs/**",)), policy=Policy(workers_max=1))
    story.reported()
    assert Submit(cmd.GrantRun(ItemId("b"), BASE)) in look(story)
    story.do(cmd.RecordEvidence(RUN, story.token(), 1, evidence(changed=("x",))))
    assert look(story) == (StartWorker(RUN, 2),)


def test_why_an_item_waits_is_noted_once() -> None:
    story = Story(spec(), spec("b"))
    story.started()
    reason = "item b wants src/**, held by login.1"
    wait = cmd.RecordWait(ItemId("b"), RefusalCode.overlap, reason, "login.1")
    assert look(story, **ALIVE) == (Submit(wait),)
    story.do(wait)
    assert look(story, **ALIVE) == ()


# ── workers ──


def test_a_granted_run_is_started() -> None:
    story = Story(spec())
    story.granted()
    assert look(story) == (StartWorker(RUN, 1),)


def test_starts_are_in_the_order_of_the_grants_and_as_many_as_there_is_room_for() -> None:
    story = Story(*(spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(3)), policy=Policy(workers_max=3))
    for name in ("i2", "i0", "i1"):
        story.granted(name)
    story.policy = Policy(workers_max=2)
    assert look(story) == (StartWorker(RunId("i2.1"), 1), StartWorker(RunId("i0.1"), 1))


def test_a_start_under_way_takes_up_room_and_goes_first() -> None:
    story = Story(*(spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(2)), policy=Policy(workers_max=2))
    story.granted("i0")
    story.granted("i1")
    story.policy = Policy(workers_max=1)
    assert look(story, starting=frozenset([RunId("i1.1")])) == (StartWorker(RunId("i1.1"), 1),)


def test_a_start_of_a_run_that_was_stopped_meanwhile_takes_up_room_too() -> None:
    story = Story(spec(), spec("b", scope=("docs/**",)), policy=Policy(workers_max=2))
    story.granted()
    story.granted("b")
    stopping(story)
    story.policy = Policy(workers_max=1)
    assert look(story, starting=frozenset([RUN])) == (EndRun(RUN, EndKind.stopped, "no"),)


def test_a_worker_that_lives_and_works_is_left_alone() -> None:
    story = Story(spec())
    story.started()
    assert look(story, **ALIVE) == ()


def test_a_worker_that_is_gone_is_recorded() -> None:
    story = Story(spec())
    run = story.started()
    seen = Exit(1, None, 9, cpu_ms=5)
    expected = cmd.RecordExit(RUN, run.lease.token, 1, None, 9, False, 5)
    assert look(story, exits={RUN: seen}) == (Submit(expected),)


def test_the_exit_of_an_earlier_turn_is_not_that_of_this_one() -> None:
    story = Story(spec())
    story.started()
    assert look(story, exits={RUN: Exit(0, 0)}) == ()


def test_silence() -> None:
    story = Story(spec(silence_max_ms=1_000))
    story.started()
    story.now_ms += 999
    assert look(story, **ALIVE) == ()
    assert wake(story, **ALIVE) == 1
    story.now_ms += 1
    again = cmd.RepeatTurn(RUN, story.token(), 1, Again.hang, "the worker showed no activity for 1 s")
    assert look(story, **ALIVE) == (Submit(again),)
    assert look(story, **ALIVE, clocks={RUN: Clocks(heartbeat_ms=NOW_MS + 1)}) == ()
    story.do(again)
    assert look(story, **ALIVE) == (StopWorker(RUN, 1),)


def test_slowness() -> None:
    story = Story(spec(wall_max_ms=2_000, silence_max_ms=60_000))
    story.started()
    story.now_ms += 2_000
    reason = "the worker took longer than 2 s"
    busy = {RUN: Clocks(output_ms=story.now_ms)}
    assert look(story, **ALIVE, clocks=busy) == (Submit(cmd.StopRun(RUN, EndKind.timed_out, reason)),)


def test_slowness_is_measured_by_a_clock_that_does_not_jump() -> None:
    story = Story(spec(wall_max_ms=2_000, silence_max_ms=60_000))
    story.started()
    story.now_ms += 86_400_000
    seen = Clocks(output_ms=story.now_ms, artefact_ms=story.now_ms, age_ms=1_999)
    assert look(story, **ALIVE, clocks={RUN: seen}) == (Submit(cmd.RenewLeases(((RUN, story.now_ms + 600_000),))),)


def test_a_worker_of_a_run_that_ends_is_stopped() -> None:
    story = Story(spec())
    story.started()
    stopping(story)
    assert look(story, **ALIVE) == (StopWorker(RUN, 1),)
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert look(story) == (EndRun(RUN, EndKind.stopped, "no"),)


def test_a_worker_may_linger_a_little_after_its_last_word() -> None:
    story = Story(spec(), policy=Policy(linger_ms=10))
    run = story.started()
    story.do(cmd.ReportDone(RUN, run.lease.token))
    assert look(story, **ALIVE) == ()
    assert wake(story, **ALIVE) == 10
    story.now_ms += 10
    assert look(story, **ALIVE) == (StopWorker(RUN, 1),)


def test_evidence_is_collected_when_the_worker_is_gone() -> None:
    story = Story(spec())
    story.reported()
    assert look(story) == (CollectEvidence(RUN, 1),)


def test_a_worker_that_gave_up_is_not_looked_at() -> None:
    story = Story(spec())
    run = story.started()
    story.do(cmd.ReportFail(RUN, run.lease.token, "no"))
    story.do(cmd.RecordExit(RUN, run.lease.token, 1, 0))
    assert look(story) == (EndRun(RUN, EndKind.failed, "the worker gave up: no"),)


def test_a_workspace_without_a_run_is_cleaned() -> None:
    story = Story(spec(hold=Hold("draft")))
    assert look(story, workspaces=frozenset([RunId("z.2"), RunId("a.1")])) == (
        CleanWorkspace(RunId("a.1")),
        CleanWorkspace(RunId("z.2")),
    )
    story = Story(spec())
    story.started()
    assert look(story, **ALIVE, workspaces=frozenset([RUN])) == ()


# ── leases ──


def test_the_lease_of_a_silent_worker_is_not_renewed() -> None:
    story = Story(spec(silence_max_ms=600_000))
    story.started()
    story.now_ms += 500_000
    assert look(story, **ALIVE) == ()


def test_the_lease_of_an_active_worker_is_renewed_from_its_activity_on() -> None:
    story = Story(spec())
    story.started()
    story.now_ms += 150_000
    assert look(story, **ALIVE, clocks={RUN: Clocks(output_ms=NOW_MS + 149_000)}) == ()
    until = NOW_MS + 150_000 + 600_000
    active = {RUN: Clocks(heartbeat_ms=story.now_ms)}
    assert look(story, **ALIVE, clocks=active) == (Submit(cmd.RenewLeases(((RUN, until),))),)


def test_the_lease_of_a_run_that_waits_for_us_is_renewed() -> None:
    story = Story(spec())
    story.accepted()
    assert wake(story) == 150_000
    story.now_ms += 150_000
    assert Submit(cmd.RenewLeases(((RUN, story.now_ms + 600_000),))) in look(story)


def test_the_lease_of_a_run_that_ends_is_not_renewed() -> None:
    story = Story(spec())
    story.accepted()
    stopping(story)
    story.now_ms += 10**9
    assert look(story) == (EndRun(RUN, EndKind.stopped, "no"),)


# ── landing ──


def test_accepted_candidates_are_tested_together() -> None:
    story = Story(spec())
    story.accepted()
    assert look(story) == (TestTrain((RUN,)),)
    assert look(story, target=Commit("")) == ()


def test_a_landing_is_carried_out() -> None:
    story = Story(spec())
    story.landing()
    assert look(story) == (Land(BASE, TIP, TREE),)


def test_a_landing_waits_for_a_clean_work_tree_and_no_longer() -> None:
    story = Story(spec())
    story.landing()
    story.do(cmd.RecordLanding(TIP, "dirty", BASE, ("x",)))
    assert look(story, target_clean=False) == ()
    assert look(story, target_clean=True) == (Land(BASE, TIP, TREE),)


def test_a_landing_that_git_refused_waits_for_a_word() -> None:
    story = Story(spec())
    story.landing()
    story.do(cmd.RecordLanding(TIP, "blocked", BASE, ("x",)))
    assert look(story, target_clean=True) == ()
    story.do(cmd.AnswerQuestion(next(iter(story.state.questions)), "try again", "olga"))
    assert look(story) == (Land(BASE, TIP, TREE),)


def test_a_landing_that_needs_a_person_waits() -> None:
    story = Story(spec(), policy=Policy(landing_mode="ask"))
    story.landing()
    assert look(story) == ()


# ── the end of the night ──

LEAVE = Intent(offer=False, stop=True)


def test_the_end_of_the_night_stops_what_is_unfinished() -> None:
    interrupted = Submit(cmd.StopRun(RUN, EndKind.interrupted, "the night was ended"))
    story = Story(spec(), spec("b", scope=("docs/**",)))
    story.granted()
    assert look(story, LEAVE) == (interrupted,)
    story.started()
    assert look(story, LEAVE, **ALIVE) == (interrupted,)


def test_the_end_of_the_night_leaves_questions_and_candidates_for_the_next() -> None:
    story = Story(spec())
    run = story.started()
    story.do(cmd.AskQuestion(RUN, run.lease.token, "which?"))
    story.do(cmd.RecordExit(RUN, run.lease.token, 1, 0))
    assert look(story, LEAVE) == ()
    story = Story(spec())
    story.accepted()
    assert look(story, LEAVE) == (TestTrain((RUN,)),)


# ── the next look ──


def test_without_anything_to_wait_for_only_an_event_wakes() -> None:
    assert wake(Story()) is None
    assert wake(Story(spec(hold=Hold("draft")))) is None


def test_a_pause_and_a_date_are_waited_for() -> None:
    story = Story(spec())
    story.ended()
    assert wake(story) == 30_000
    assert wake(Story(spec(hold=Hold("until", NOW_MS + 5)))) == 5


def test_the_hours_are_waited_for() -> None:
    day_ms = 86_400_000
    story = Story(spec(), policy=Policy(hours=((0, 1),)))
    story.now_ms = NOW_MS - NOW_MS % day_ms + 60_000
    assert look(story) == ()
    assert wake(story) == day_ms - 60_000


def test_what_is_due_already_is_not_waited_for() -> None:
    story = Story(spec(silence_max_ms=1_000))
    story.started()
    story.now_ms += 5_000
    assert (wake(story, **ALIVE) or 0) > 1_000


def test_the_world_may_want_to_be_looked_at_sooner() -> None:
    assert wake(Story(), look_again_ms=NOW_MS + 7) == 7


def test_a_second_look_at_a_fixed_point_finds_nothing() -> None:
    story = Story(spec())
    seen = Observed(target=BASE)
    for _ in range(10):
        effects = [
            e for e in reconcile(story.state, seen, story.now_ms, story.policy, Intent()) if isinstance(e, Submit)
        ]
        if not effects:
            break
        for effect in effects:
            story.do(effect.command)
    story.started()
    seen = replace(seen, alive=frozenset([RUN]))
    assert reconcile(story.state, seen, story.now_ms, story.policy, Intent()) == ()


# ── permits, spending, times ──


def test_a_run_that_nobody_started_in_time_expires_and_no_attempt_is_lost() -> None:
    story = Story(spec(), policy=Policy(permit_ms=1_000))
    story.granted()
    story.now_ms += 999
    assert look(story) == (StartWorker(RUN, 1),)
    assert wake(story) == 1
    story.now_ms += 1
    reason = "its start permit ran out before its worker was started"
    assert look(story) == (Submit(cmd.StopRun(RUN, EndKind.expired, reason)),)
    assert look(story, starting=frozenset([RUN])) == (StartWorker(RUN, 1),)


def test_a_permit_is_for_one_base() -> None:
    story = Story(spec())
    run = story.granted()
    assert look(story) == (StartWorker(run.id, 1),)
    renewal = cmd.RenewPermit(run.id, story.token(), TIP)
    assert look(story, target=TIP) == (Submit(renewal),)
    assert look(story, target=TIP, starting=frozenset({run.id})) == (StartWorker(run.id, 1),)
    assert look(story, target="") == (StartWorker(run.id, 1),)
    story.now_ms += 1_000
    assert story.do(renewal) == (ev.PermitRenewed(run.id, TIP, story.now_ms + 1_800_000),)
    assert story.do(renewal) == ()
    assert look(story, target=TIP) == (StartWorker(run.id, 1),)
    story.started()
    assert look(story, target=BASE, **ALIVE) == ()
    refused = ("wrong_state", f"{run.id} has begun at {TIP[:12]}")
    assert story.why_not(cmd.RenewPermit(run.id, story.token(), BASE)) == refused


def test_a_renewed_permit_asks_what_the_first_one_asked() -> None:
    story = Story(spec(), policy=Policy(require_clean=True, repo="r1"))
    story.do(cmd.GrantRun(ItemId("login"), BASE, repo="r1"))
    dirty = cmd.RenewPermit(RUN, story.token(), TIP, "r1", clean=False)
    assert story.why_not(dirty) == ("dirty_base", "main is checked out with changes that are not committed")
    elsewhere = cmd.RenewPermit(RUN, story.token(), TIP, "r2")
    assert story.why_not(elsewhere) == ("permit", "the fleet is that of repository r1, not of r2")


def test_a_permit_is_for_the_first_worker_only() -> None:
    story = Story(spec(), policy=Policy(permit_ms=1_000))
    story.reported()
    story.do(cmd.RecordEvidence(RUN, story.token(), 1, evidence(changed=("x",))))
    story.now_ms += 5_000
    assert look(story) == (StartWorker(RUN, 2),)


def test_what_a_worker_has_spent_is_handed_in_when_it_is_more() -> None:
    story = Story(spec())
    run = story.started()
    record = cmd.RecordUsage(RUN, run.lease.token, 1, Usage(5, 7))
    assert look(story, **ALIVE, usage={RUN: Usage(5, 7)}) == (Submit(record),)
    story.do(record)
    assert look(story, **ALIVE, usage={RUN: Usage(5, 7)}) == ()
    assert look(story, **ALIVE, usage={RUN: Usage(4, 8)}) == (Submit(replace(record, usage=Usage(4, 8))),)


def test_an_end_is_handed_in_before_what_was_spent_so_that_nothing_done_is_stopped() -> None:
    story = Story(spec(), policy=Policy(run_budget=Budget(tokens=10)))
    story.started()
    for effect in look(story, exits={RUN: Exit(1, 0)}, usage={RUN: Usage(tokens=12)}):
        assert isinstance(effect, Submit)
        story.do(effect.command)
    assert story.run().stop is None and story.run().turn_spent.tokens == 12
    assert look(story) == (CollectEvidence(RUN, 1),)


def test_a_worker_that_has_lived_as_long_as_it_may_be_paid_for_is_stopped() -> None:
    story = Story(spec(), policy=Policy(run_budget=Budget(wall_ms=60_000)))
    story.started()
    seen = {RUN: Clocks(output_ms=NOW_MS, artefact_ms=NOW_MS, age_ms=59_999)}
    assert look(story, **ALIVE, clocks=seen) == ()
    assert wake(story, **ALIVE, clocks=seen) == 1
    seen = {RUN: replace(seen[RUN], age_ms=60_000)}
    over = Submit(cmd.StopRun(RUN, EndKind.over_budget, "the run has spent 60 s of 60 s"))
    assert look(story, **ALIVE, clocks=seen) == (over,)


def test_leases_that_have_run_out_are_swept_at_their_instant() -> None:
    story = Story()
    story.do(cmd.AcquireLease("olga", scope=("x",), ttl_ms=5_000))
    assert look(story) == () and wake(story) == 5_000
    story.now_ms += 5_000
    assert look(story) == (Submit(cmd.SweepLeases()),)
    story.do(cmd.SweepLeases())
    assert look(story) == () and wake(story) is None


def test_what_waits_for_a_window_a_breaker_or_a_predicate_is_looked_at_when_it_opens() -> None:
    for event in (
        ev.ProviderLimited("default", NOW_MS + 5, "x"),
        ev.BreakerOpened("agent:default", "x", NOW_MS + 5),
        ev.ItemWaited(ItemId("login"), RefusalCode.predicate, "no", "freeze", NOW_MS + 5),
    ):
        story = Story(spec())
        story.append(event)
        assert look(story) == () and wake(story) == 5
        story.now_ms += 5
        assert look(story) == (Submit(cmd.GrantRun(ItemId("login"), BASE)),)


def test_no_more_is_granted_than_was_asked_for() -> None:
    story = Story(*(spec(f"i{n}", scope=(f"d{n}/**",)) for n in range(4)))
    story.granted("i0")
    offers = [e for e in look(story, Intent(granted_max=2)) if isinstance(e, Submit)]
    assert offers == [Submit(cmd.GrantRun(ItemId("i1"), BASE))]
    assert not [e for e in look(story, Intent(granted_max=1)) if isinstance(e, Submit)]


def test_a_turn_that_waits_for_its_provider_is_owed_no_room() -> None:
    story = Story(spec(), spec("b", scope=("docs/**",), agent="other"), policy=Policy(workers_max=1))
    run = story.started()
    story.do(cmd.RecordLimit(RUN, run.lease.token, NOW_MS + 60_000, "x"))
    story.do(cmd.RecordExit(RUN, run.lease.token, 1, 1))
    assert look(story) == (Submit(cmd.GrantRun(ItemId("b"), BASE)),)
    assert wake(story) == 60_000
    story.now_ms += 60_000
    assert look(story) == (StartWorker(RUN, 2),)


def test_the_grant_carries_what_was_seen_of_the_repository() -> None:
    found = look(Story(spec()), repo="r1", target_clean=False)
    assert found == (Submit(cmd.GrantRun(ItemId("login"), BASE, "r1", False)),)
