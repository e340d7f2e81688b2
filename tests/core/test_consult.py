"""The consult lane: an agent is asked for a while, a person after that; an agent's answer allows nothing."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.authority import PERSONS_ONLY, WORKERS_MAY, authority_refusal
from ganger.core.consult import CONSULTS_MAX, is_consulted
from ganger.core.effects import Exit, Observed, StartWorker, Submit
from ganger.core.ids import Commit, ItemId, QuestionId, RunId
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.loop import Intent, StopReason, stop_reason
from ganger.core.model import (
    CONSULTANT,
    Budget,
    EndKind,
    Kind,
    LeaseMode,
    Outcome,
    QuestionKind,
    Usage,
    VerdictKind,
    Writes,
)
from ganger.core.policy import Policy
from ganger.core.reconcile import next_wake_ms, reconcile
from ganger.testing.builders import BASE, NOW_MS, Story, evidence, spec

RUN, CRITIC = RunId("login.1"), RunId("login-consult-1.1")
Q = QuestionId("q1")
WINDOW_MS = 60_000
POLICY = Policy(
    consult_agent="critic",
    consult_window_ms=WINDOW_MS,
    kinds=(Kind(CONSULTANT, writes=Writes.none),),
    workers_max=4,
)


def asking(policy: Policy = POLICY, *, audience: str = "consult", **said: Any) -> Story:
    """A run that has asked and ended its turn."""
    story = Story(spec(), policy=policy)
    story.started()
    story.do(question(story, audience=audience, **said))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    return story


def question(story: Story, text: str = "left or right?", audience: str = "consult", **said: Any) -> cmd.AskQuestion:
    options = said.pop("options", ("left", "right"))
    return cmd.AskQuestion(RUN, story.token(), text, options, audience=audience, **said)


def critic(story: Story) -> Any:
    return story.state.runs[CRITIC].lease.token


def answers(story: Story, summary: str = "left", **said: Any) -> tuple[ev.Event, ...]:
    return story.do(cmd.ReportDone(CRITIC, critic(story), summary=summary, **{"outcome": Outcome.findings, **said}))


def todo(story: Story, **seen: Any) -> list[Any]:
    return list(reconcile(story.state, Observed(target=BASE, **seen), story.now_ms, story.policy, Intent()))


def submitted(story: Story, **seen: Any) -> list[Any]:
    return [effect.command for effect in todo(story, **seen) if isinstance(effect, Submit)]


# ── who is asked ──


def test_an_agent_is_asked_at_once_and_holds_nothing() -> None:
    story = asking()
    asked = story.state.questions[Q]
    assert (asked.agent, asked.until_ms, asked.kind) == ("critic", NOW_MS + WINDOW_MS, QuestionKind.worker)
    run, item = story.state.runs[CRITIC], story.state.items[ItemId("login-consult-1")].spec
    assert (run.agent, run.kind, run.lease.scope, run.base) == ("critic", CONSULTANT, (), BASE)
    assert (item.question, item.parent, item.reads, item.mode) == (Q, "login", True, LeaseMode.shared)
    assert StartWorker(CRITIC, 1) in todo(story)
    assert not any(isinstance(effect, StartWorker) and effect.run == RUN for effect in todo(story))


@pytest.mark.parametrize(
    ("policy", "audience"),
    [
        (Policy(), "consult"),
        (POLICY, "person"),
        (replace(POLICY, hours=((0, 1),)), "consult"),
        (replace(POLICY, kinds=(Kind(CONSULTANT, workers_max=0),)), "consult"),
        (replace(POLICY, plan_budgets=(("plan", Budget(usd_micros=10)),), priced=frozenset({"default"})), "consult"),
    ],
)
def test_a_person_is_asked_at_once_where_no_agent_is_to_be_had(policy: Policy, audience: str) -> None:
    story = Story(spec(), policy=replace(policy, hours=()))
    story.started()
    story.policy = policy
    (asked,) = story.do(question(story, audience=audience))
    assert isinstance(asked, ev.QuestionAsked) and not is_consulted(asked.question)
    assert CRITIC not in story.state.runs


def test_a_run_asks_agents_three_times_at_most() -> None:
    story = Story(spec(), policy=POLICY)
    story.started()
    found = [story.do(question(story, f"{n}?")) for n in range(4)]
    asked = [bool(event.question.agent) for events in found for event in events if isinstance(event, ev.QuestionAsked)]
    assert asked == [True] * CONSULTS_MAX + [False]


def test_an_audience_is_one_of_two() -> None:
    story = Story(spec(), policy=POLICY)
    story.started()
    refused = story.why_not(question(story, audience="everybody"))
    assert refused == ("invalid", "'everybody' is no audience: consult or person")


def test_who_is_asked_asks_nobody() -> None:
    story = asking()
    refused = story.why_not(cmd.AskQuestion(CRITIC, critic(story), "what do they mean?"))
    assert refused == ("forbidden", f"{CRITIC} is to answer, and asks nobody")


# ── what it says ──


def test_its_answer_binds_to_the_question_and_is_logged_as_an_agents() -> None:
    story = asking()
    reported, answered = answers(story, "left\nbecause the tests say so")
    assert isinstance(reported, ev.RunReported)
    assert answered == ev.QuestionAnswered(Q, "left\nbecause the tests say so", "agent:critic")
    assert run_status(story.state, story.run()) is RunStatus.starting and StartWorker(RUN, 2) in todo(story)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"summary": "person"}, "agent critic leaves it to a person"),
        ({"summary": ""}, "agent critic leaves it to a person"),
        (
            {"summary": "a matter of taste", "outcome": Outcome.no_evidence},
            "agent critic leaves it to a person: a matter of taste",
        ),
        ({"summary": "straight on"}, "agent critic chose none of the options: straight on"),
        ({"summary": "I say\nleft"}, "agent critic chose none of the options: I say\nleft"),
    ],
)
def test_what_is_no_answer_comes_to_a_person(said: dict[str, Any], why: str) -> None:
    story = asking()
    escalated = answers(story, **said)[1]
    assert escalated == ev.QuestionEscalated(Q, why)
    assert not is_consulted(story.state.questions[Q])
    assert run_status(story.state, story.run()) is RunStatus.asking
    story.do(cmd.AnswerQuestion(Q, "straight on, all the same", "person:olga"))
    assert story.run().turn_due


def test_without_options_it_says_what_it_likes() -> None:
    story = asking(options=())
    assert answers(story, "as in src/b.py")[1] == ev.QuestionAnswered(Q, "as in src/b.py", "agent:critic")


@pytest.mark.parametrize("how", ["fail", "crash", "silence", "stopped", "ended"])
def test_one_that_fails_leaves_it_to_a_person(how: str) -> None:
    story = asking()
    token = critic(story)
    story.do(cmd.RecordStart(CRITIC, token, 1, story.run().worker or pytest.fail("no worker")))
    match how:
        case "fail":
            story.do(cmd.ReportFail(CRITIC, token, "I cannot tell"))
        case "crash":
            story.do(cmd.RecordExit(CRITIC, token, 1, 139))
        case "silence":
            story.do(cmd.RecordExit(CRITIC, token, 1, 0, must_speak=True))
            story.do(cmd.RecordEnd(CRITIC, token, EndKind.finished, "its worker says: completed"))
        case "stopped":
            story.do(cmd.StopRun(CRITIC, EndKind.stopped, "not now"))
        case "ended":
            story.do(cmd.RecordExit(CRITIC, token, 1, None, 9, lost=True))
            story.do(cmd.RecordEnd(CRITIC, token, EndKind.failed, "it vanished"))
    reasons = [one.event.reason for one in story.entries if isinstance(one.event, ev.QuestionEscalated)]
    assert reasons == [
        {
            "fail": "agent critic did not answer: the worker gave up: I cannot tell",
            "crash": "agent critic did not answer: the worker exited with status 139",
            "silence": "agent critic did not answer: it ended without an answer",
            "stopped": "agent critic did not answer: not now",
            "ended": "agent critic did not answer: it vanished",
        }[how]
    ]
    assert not is_consulted(story.state.questions[Q])


def test_nobody_is_asked_the_same_a_second_time() -> None:
    story = asking()
    story.do(cmd.StopRun(CRITIC, EndKind.failed, "it crashed"))
    story.do(cmd.RecordEnd(CRITIC, critic(story), EndKind.failed, "it crashed"))
    assert story.state.items[ItemId("login-consult-1")].withdrawn
    assert [one for one in story.state.ready if one[3] == "login-consult-1"] == []
    assert story.why_not(cmd.RetryItem(ItemId("login-consult-1")))[0] == "wrong_state"


# ── its time ──


def test_when_its_time_is_over_a_person_is_asked_and_its_run_ends() -> None:
    story = asking()
    observed = Observed(target=BASE)
    assert cmd.EscalateQuestion(Q) not in submitted(story)
    assert story.why_not(cmd.EscalateQuestion(Q)) == ("wrong_state", "agent critic may answer q1 for 60 s more")
    wake_ms = next_wake_ms(story.state, observed, story.now_ms, story.policy)
    assert wake_ms is not None and wake_ms <= NOW_MS + WINDOW_MS
    story.now_ms += WINDOW_MS
    assert cmd.EscalateQuestion(Q) in submitted(story)
    assert story.do(cmd.EscalateQuestion(Q)) == (ev.QuestionEscalated(Q, "agent critic did not answer in time"),)
    assert story.do(cmd.EscalateQuestion(Q)) == () and cmd.EscalateQuestion(Q) not in submitted(story)
    assert cmd.StopRun(CRITIC, EndKind.dismissed, "q1 is not its to answer any more") in submitted(story)


def test_an_answer_after_its_time_is_none() -> None:
    story = asking()
    story.now_ms += WINDOW_MS
    assert answers(story)[1] == ev.QuestionEscalated(Q, "agent critic answered too late")
    early = asking()
    early.now_ms += WINDOW_MS - 1
    assert isinstance(answers(early)[1], ev.QuestionAnswered)


def test_an_answer_after_a_person_was_asked_is_none() -> None:
    story = asking()
    story.now_ms += WINDOW_MS
    story.do(cmd.EscalateQuestion(Q))
    assert [type(event) for event in answers(story)] == [ev.RunReported]
    assert Q in story.state.questions


def test_a_person_may_answer_before_the_agent_does() -> None:
    story = asking()
    story.do(cmd.AnswerQuestion(Q, "right", "person:olga"))
    assert [type(event) for event in answers(story)] == [ev.RunReported], "what it says then is nobody's answer"
    story = asking()
    story.do(cmd.AnswerQuestion(Q, "right", "person:olga"))
    assert cmd.StopRun(CRITIC, EndKind.dismissed, "q1 is not its to answer any more") in submitted(story)


@pytest.mark.parametrize("how", ["stop", "rewind"])
def test_it_is_dismissed_when_nobody_asks_any_more(how: str) -> None:
    story = asking()
    stop, rewind = cmd.StopRun(RUN, EndKind.stopped, "no"), cmd.RewindRun(RUN, BASE, "", "olga")
    story.do(stop if how == "stop" else rewind)
    assert cmd.StopRun(CRITIC, EndKind.dismissed, "q1 is not its to answer any more") in submitted(story)


def test_the_night_goes_on_as_long_as_an_agent_is_asked() -> None:
    story = asking()
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is None
    answers(story, "person")
    story.do(cmd.RecordEnd(CRITIC, critic(story), EndKind.finished, "person"))
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is StopReason.blocked


def test_its_run_ends_without_anything_to_judge_or_land() -> None:
    story = asking()
    answers(story)
    story.do(cmd.RecordEnd(CRITIC, critic(story), EndKind.finished, "left"))
    item = story.state.items[ItemId("login-consult-1")]
    assert item.finished and not item.landed and not item.withdrawn


# ── an agent's answer is never an approval ──

APPROVALS = [kind for kind in QuestionKind if kind is not QuestionKind.worker]


@pytest.mark.parametrize("kind", APPROVALS)
def test_whatever_else_waits_for_a_person_no_agent_answers(kind: QuestionKind) -> None:
    """Even where the journal says that an agent was asked about it."""
    story = asking()
    asked = story.state.questions[Q]
    forged = replace(asked, kind=kind, text="may I?")
    story.state.questions[Q] = forged
    assert not is_consulted(forged)
    assert [type(event) for event in answers(story, "left")] == [ev.RunReported]
    assert story.state.questions[Q] == forged


@pytest.mark.parametrize("kind", APPROVALS)
def test_only_a_worker_that_asks_has_an_agent_asked(kind: QuestionKind) -> None:
    """The questions that ganger asks are a person's from the first moment, with an agent configured as without."""
    story = Story(spec(), policy=POLICY)
    asks = {
        QuestionKind.off_plan: lambda: off_plan(),
        QuestionKind.approve_landing: lambda: landing_asked(),
        QuestionKind.weakened: lambda: off_plan(),
        QuestionKind.no_evidence: lambda: no_evidence(),
    }
    made = asks.get(kind, lambda: story)()
    assert all(not question.agent for question in made.state.questions.values())
    assert bool(made.state.questions) is (kind in asks)


def off_plan() -> Story:
    """A candidate that changes more than its scope, about which an agent had said that it may."""
    story = asking(replace(POLICY, off_plan="inbox"), options=())
    answers(story, "allow: yes, change docs/a.md as well")
    story.reported(turn=2)
    story.do(cmd.RecordEvidence(RUN, story.token(), 2, evidence(changed=("docs/a.md", "src/a.py"))))
    return story


def landing_asked() -> Story:
    story = Story(spec(), policy=replace(POLICY, landing_mode="ask"))
    story.landing()
    return story


def no_evidence() -> Story:
    story = Story(spec(), policy=POLICY)
    story.reported()
    story.do(cmd.RecordNoEvidence(RUN, story.token(), 1, "the disk is full"))
    return story


def test_more_than_the_scope_is_not_had_by_an_agents_answer() -> None:
    story = off_plan()
    run = story.run()
    assert run.verdict is not None and run.verdict.kind is VerdictKind.unknown and not run.accepted_seq
    (left,) = story.state.questions.values()
    assert left.kind is QuestionKind.off_plan and run_status(story.state, run) is RunStatus.asking
    refused = asking(options=())
    answers(refused, "allow")
    refused.reported(turn=2)
    refused.do(cmd.RecordEvidence(RUN, refused.token(), 2, evidence(changed=("docs/a.md", "src/a.py"))))
    assert refused.run().verdict is not None and not refused.run().accepted_seq, "and without a person not at all"


def test_a_landing_that_waits_for_a_person_waits_on() -> None:
    story = landing_asked()
    (waits,) = story.state.questions.values()
    assert waits.kind is QuestionKind.approve_landing
    for actor in ("worker:login-consult-1.1", "supervisor"):
        answer = cmd.AnswerQuestion(waits.id, "approve", "agent:critic")
        assert authority_refusal(story.state, answer, actor) is not None
    assert authority_refusal(story.state, cmd.AnswerQuestion(waits.id, "approve", "x"), "person:olga") is None


def test_money_is_not_had_by_an_agents_answer() -> None:
    story = Story(spec(), policy=replace(POLICY, run_budget=Budget(tokens=1_000)))
    story.started()
    story.do(question(story, "may I spend 5,000 tokens more?", options=()))
    story.do(cmd.RecordUsage(RUN, story.token(), 1, Usage(tokens=900)))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    reserved = story.run().reserved
    answers(story, "yes, spend them")
    assert story.run().reserved == reserved == Usage(tokens=1_000)
    story.started(turn=2)
    events = story.do(cmd.RecordUsage(RUN, story.token(), 2, Usage(tokens=100)))
    assert [type(event) for event in events] == [ev.UsageRecorded, ev.StopRequested]


@pytest.mark.parametrize(
    "command", sorted(PERSONS_ONLY, key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__
)
def test_who_is_asked_may_do_nothing_that_is_a_persons(command: type) -> None:
    assert command not in WORKERS_MAY and cmd.EscalateQuestion not in WORKERS_MAY
    needed = command.__struct_fields__[: len(command.__struct_fields__) - len(command.__struct_defaults__)]
    story = asking()
    refused = authority_refusal(story.state, command(**dict.fromkeys(needed, "x")), f"worker:{CRITIC}")
    assert refused is not None and refused.code == "forbidden"


def test_all_commands_of_workers_are_no_approvals() -> None:
    assert set(get_args(cmd.WorkerCommand)).isdisjoint(PERSONS_ONLY)


# ── the edges ──


def test_an_agent_that_is_asked_costs_the_item_that_asks() -> None:
    story = asking(replace(POLICY, run_budget=Budget(tokens=1_000)))
    story.do(cmd.RecordStart(CRITIC, critic(story), 1, story.run().worker or pytest.fail("no worker")))
    story.do(cmd.RecordUsage(CRITIC, critic(story), 1, Usage(tokens=77)))
    assert story.state.accounts["item:login"].tokens == 77


def test_an_item_of_that_kind_in_a_plan_is_an_item_like_any_other() -> None:
    story = Story(spec(kind=CONSULTANT), policy=POLICY)
    run = story.started()
    assert story.do(question(story, audience="person")), "it may ask"
    story.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    story.do(cmd.StopRun(run.id, EndKind.failed, "no"))
    story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.failed, "no"))
    assert not story.state.items[ItemId("login")].withdrawn and story.state.granted == 1


def test_its_item_is_not_offered_again() -> None:
    story = asking()
    answers(story)
    story.do(cmd.RecordEnd(CRITIC, critic(story), EndKind.finished, "left"))
    refused = story.why_not(cmd.RetryItem(ItemId("login-consult-1")))
    assert refused == ("wrong_state", "item login-consult-1 was there to answer q1, once")


def test_its_base_does_not_move_under_it() -> None:
    story = asking()
    observed = Observed(target=Commit("f" * 40))
    found = [e.command for e in reconcile(story.state, observed, NOW_MS, POLICY, Intent()) if isinstance(e, Submit)]
    assert not any(isinstance(one, cmd.RenewPermit) for one in found)


def test_it_does_not_count_as_a_run_of_the_night() -> None:
    assert asking().state.granted == 1


def test_an_answer_does_not_let_a_silent_worker_be_reminded_again() -> None:
    story = Story(spec(), policy=replace(POLICY, turns_max=4))
    story.started()
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0, must_speak=True))
    story.do(cmd.RecordEvidence(RUN, story.token(), 1, evidence(commit=BASE, changed=(), checks=())))
    story.started(turn=2)
    story.do(question(story))
    story.do(cmd.RecordExit(RUN, story.token(), 2, 0, must_speak=True))
    answers(story)
    assert story.run().reminded, "only what a person says does that"


def test_exits_are_seen_of_both() -> None:
    story = asking()
    story.do(cmd.RecordStart(CRITIC, critic(story), 1, story.run().worker or pytest.fail("no worker")))
    found = submitted(story, exits={CRITIC: Exit(1, 0)})
    assert cmd.RecordExit(CRITIC, critic(story), 1, 0) in found
