"""The consult lane: a worker's question may go to another agent for a while before it comes to a person.

The agent's run changes nothing and holds nothing: it reads, answers exactly that question, and is over. Its answer is
one more thing that the asking worker is told, marked as an agent's. It is never a person's word: only questions of
workers come this way, and whatever else waits for an approval does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import kind_refusal, own_cap_refusal
from ganger.core.breaker import breaker_refusal
from ganger.core.budget import reservation
from ganger.core.facts import Run
from ganger.core.hours import hours_refusal
from ganger.core.ids import RunId, run_id
from ganger.core.limits import grant_refusal
from ganger.core.model import (
    AGENT,
    CONSULTANT,
    EndKind,
    ItemSpec,
    LeaseMode,
    Outcome,
    Question,
    QuestionKind,
    Refusal,
    RefusalCode,
    Report,
    ReportKind,
    Rung,
    Usage,
)
from ganger.core.policy import Policy
from ganger.core.program import free_name
from ganger.core.state import State

Decided: TypeAlias = tuple[ev.Event, ...] | Refusal
CONSULT, PERSON = "consult", "person"
CONSULTS_MAX = 3
"""Questions of one run that go to an agent first; whoever asks more than that needs a person."""


def is_consulted(question: Question) -> bool:
    """Whether an agent is asked a question in a person's place, for now."""
    return bool(question.agent) and question.kind is QuestionKind.worker


def is_to_answer(state: State, run: Run) -> bool:
    """Whether a run was started to answer a question in a person's place."""
    item = state.items.get(run.item)
    return item is not None and bool(item.spec.question)


def asked_of(state: State, run: Run) -> Question | None:
    """The open question that a run was started to answer; None for any other run, and when it is not its any more."""
    item = state.items.get(run.item)
    question = state.questions.get(item.spec.question) if item is not None else None
    return question if question is not None and is_consulted(question) else None


def audience_fault(audience: str) -> str:
    """Say why nobody is meant by an audience; empty when somebody is."""
    return "" if audience in (CONSULT, PERSON) else f"{audience!r} is no audience: {CONSULT} or {PERSON}"


def with_consultant(state: State, command: cmd.AskQuestion, decided: Decided, now_ms: int, policy: Policy) -> Decided:
    """Have a question that is for an agent first put to one; as it is where that cannot be, or nobody is configured."""
    if fault := audience_fault(command.audience):
        return Refusal(RefusalCode.invalid, fault)
    run = state.runs.get(command.run)
    if run is not None and is_to_answer(state, run):
        return Refusal(RefusalCode.forbidden, f"{run.id} is to answer, and asks nobody", "leave it to a person")
    if isinstance(decided, Refusal) or not decided or command.audience != CONSULT or run is None:
        return decided
    (asked,) = (event for event in decided if isinstance(event, ev.QuestionAsked))
    born = _born(state, run, asked.question, now_ms, policy)
    if born is None:
        return decided
    agent, until_ms = policy.consult_agent, now_ms + policy.consult_window_ms
    return (ev.QuestionAsked(replace(asked.question, agent=agent, until_ms=until_ms)), *born)


def _born(
    state: State, run: Run, question: Question, now_ms: int, policy: Policy
) -> tuple[ev.ItemAdded, ev.RunGranted] | None:
    """The item and the run of whoever is asked; None where it may not be had now, since a person need not wait."""
    if not policy.consult_agent or run.consulted >= CONSULTS_MAX:
        return None
    spec = _spec(state, run, question, policy)
    refusal = (
        kind_refusal(spec, policy)
        or hours_refusal(now_ms, policy)
        or breaker_refusal(state, spec, spec.agent, now_ms, policy)
        or grant_refusal(state, spec.agent, now_ms, policy)
        or own_cap_refusal(state, spec, policy)
    )
    reserved = reservation(state, spec, spec.agent, policy)
    if refusal is not None or isinstance(reserved, Refusal):
        return None
    return ev.ItemAdded(spec, _brief(question)), _granted(run, spec, reserved, now_ms, policy)


def _spec(state: State, run: Run, question: Question, policy: Policy) -> ItemSpec:
    asking = state.items[run.item].spec
    return ItemSpec(
        id=free_name(state, f"{asking.id[:52]}-consult-", 1),
        plan=asking.plan,
        title=f"Answer {question.id} of {run.id}",
        scope=asking.scope,
        agent=policy.consult_agent,
        kind=CONSULTANT,
        rung=Rung.reported,
        mode=LeaseMode.shared,
        attempts_max=1,
        wall_max_ms=asking.wall_max_ms,
        silence_max_ms=asking.silence_max_ms,
        parent=asking.id,
        depth=asking.depth,
        start_on=asking.start_on,
        reads=True,
        question=question.id,
    )


def _brief(question: Question) -> str:
    lines = [question.text]
    lines += ["\nIts options:\n", *(f"- {option}" for option in question.options)] if question.options else []
    lines += [f"\nIt would choose: {question.recommend}"] if question.recommend else []
    lines += [f"\nWhat can go wrong, it says: {question.risk}"] if question.risk else []
    return "\n".join(lines)


def _granted(run: Run, spec: ItemSpec, reserved: Usage, now_ms: int, policy: Policy) -> ev.RunGranted:
    """The birth of the only run, on the base of the one that asks."""
    return ev.RunGranted(
        run=run_id(spec.id, 1),
        item=spec.id,
        attempt=1,
        base=run.base,
        scope=(),
        mode=spec.mode,
        expires_ms=now_ms + max(policy.lease_ttl_ms, spec.silence_max_ms),
        agent=spec.agent,
        kind=spec.kind,
        depth=spec.depth,
        reserved=reserved,
        root=run.root,
        stands_on=run.stands_on,
    )


_ENDS = ev.RunReported | ev.StopRequested | ev.RunEnded
"""What an agent that was asked can do about the question, or have happen to it."""


def with_outcome(state: State, decided: Decided, now_ms: int) -> Decided:
    """Add what becomes of a question when the agent that is asked says something, or its run ends."""
    if isinstance(decided, Refusal) or not any(isinstance(event, _ENDS) for event in decided):
        return decided
    closed = {
        event.question
        for event in decided
        if isinstance(event, ev.QuestionAnswered | ev.QuestionWithdrawn | ev.QuestionEscalated)
    }
    found: list[ev.Event] = []
    for event in decided:
        more = []
        for one in _follows(state, event, now_ms):
            about = one.question if isinstance(one, ev.QuestionAnswered | ev.QuestionEscalated) else None
            if about is None or about not in closed:
                more.append(one)
                closed |= {about} if about is not None else set()
        # A question is nobody's who has ended, not even for one entry.
        found += [event, *more] if isinstance(event, ev.RunReported) else [*more, event]
    return tuple(found)


def _follows(state: State, event: ev.Event, now_ms: int) -> Iterator[ev.Event]:
    if not isinstance(event, _ENDS):
        return
    run = state.runs.get(event.run)
    if run is None or not is_to_answer(state, run):
        return
    question = asked_of(state, run)
    if isinstance(event, ev.RunReported):
        if question is not None and event.report.source == "worker" and event.report.kind is ReportKind.done:
            yield _said(question, event.report, now_ms)
        return
    if question is not None:
        why = "it ended without an answer" if event.end is EndKind.finished else event.reason
        yield ev.QuestionEscalated(question.id, f"agent {question.agent} did not answer: {why}")
    if isinstance(event, ev.RunEnded) and event.end is not EndKind.finished and not state.items[run.item].withdrawn:
        # Its question is a person's by now, or nobody's: no other run is to answer it.
        yield ev.ItemWithdrawn(run.item)


def _said(question: Question, report: Report, now_ms: int) -> ev.QuestionAnswered | ev.QuestionEscalated:
    """The answer of the agent, or why it is none: it passes the question on, is late, or chooses what is no option."""
    choice, who = report.summary.strip(), f"agent {question.agent}"
    if now_ms >= question.until_ms:
        return ev.QuestionEscalated(question.id, f"{who} answered too late")
    if report.outcome is Outcome.no_evidence or not choice or choice.casefold() == PERSON:
        why = f": {choice}" if choice and choice.casefold() != PERSON else ""
        return ev.QuestionEscalated(question.id, f"{who} leaves it to a person{why}")
    if question.options and choice.splitlines()[0].strip() not in question.options:
        return ev.QuestionEscalated(question.id, f"{who} chose none of the options: {choice}")
    return ev.QuestionAnswered(question.id, choice, f"{AGENT}{question.agent}")


def decide_escalate(state: State, command: cmd.EscalateQuestion, now_ms: int) -> Decided:
    """Put a question to a person once the time of the agent that was asked is over."""
    question = state.questions.get(command.question)
    if question is None or not is_consulted(question):
        return ()
    if now_ms < question.until_ms:
        reason = f"agent {question.agent} may answer {question.id} for {(question.until_ms - now_ms) / 1000:g} s more"
        return Refusal(RefusalCode.wrong_state, reason, "answer it yourself: ganger answer", again_ms=question.until_ms)
    return (ev.QuestionEscalated(question.id, f"agent {question.agent} did not answer in time"),)


def late(state: State, now_ms: int) -> Iterator[Question]:
    """The questions whose agents have had their time."""
    return (one for one in state.questions.values() if is_consulted(one) and one.until_ms <= now_ms)


def ends_ms(state: State) -> Iterator[int]:
    """When agents that are asked have had their time."""
    return (one.until_ms for one in state.questions.values() if is_consulted(one))


def dismissal(state: State, run: Run) -> str:
    """Say why a run that was to answer a question is to be stopped; empty when it is not."""
    if not is_to_answer(state, run) or run.report is not None or asked_of(state, run) is not None:
        return ""
    return f"{state.items[run.item].spec.question} is not its to answer any more"


def asking_run(state: State, run: Run) -> RunId:
    """The run whose question a run was started to answer; empty for any other."""
    question = asked_of(state, run)
    return question.run if question is not None else RunId("")
