"""The train: which candidates are tested together, and what follows from how they did.

A batch that fails is halved until one candidate is left that fails by itself on top of what has landed; a batch that
passes lets the next one grow again. The size is part of the state, so a restart goes on where the search was.
"""

from __future__ import annotations

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.facts import Run
from ganger.core.ids import RunId, question_id
from ganger.core.model import EndKind, Question, QuestionKind, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.verdict import check_fault

APPROVE, REJECT = "land", "reject"


def queue(state: State) -> list[Run]:
    """Candidates that were accepted and wait for the train, in the order they were accepted."""
    waiting = [run for run in state.runs.values() if run.accepted_seq and run.stop is None]
    return sorted(waiting, key=lambda run: run.accepted_seq)


def next_train(state: State, policy: Policy) -> tuple[RunId, ...]:
    """Choose the candidates to test together now; none while a landing is under way."""
    if state.landing is not None:
        return ()
    size = min(policy.train_max, state.train_size)
    return tuple(run.id for run in queue(state)[:size])


def decide_train(state: State, command: cmd.RecordTrain, now_ms: int, policy: Policy) -> tuple[ev.Event, ...] | Refusal:
    """Take the result of a train: start the landing, shrink the batch, or send candidates back.

    Every token and lease is checked here, in the transaction that allows the landing; from here until the landing
    is recorded the leases stand whatever the clock says.
    """
    if state.landing is not None:
        return Refusal(RefusalCode.conflict, "a landing is under way")
    refusal = _members_refusal(state, command, now_ms)
    if refusal is not None:
        return refusal
    tested = ev.TrainTested(
        runs=command.runs,
        old=command.old,
        commit=command.commit,
        tree=command.tree,
        passed=command.passed,
        checks=command.checks,
        conflicts=command.conflicts,
        took_ms=command.took_ms,
    )
    events: list[ev.Event] = [tested]
    for run_id, paths in command.conflicts:
        reason = f"does not merge with the target at {command.old[:12]}: {', '.join(paths[:5])}"
        events.append(ev.StopRequested(run_id, EndKind.superseded, reason))
    if command.passed and command.runs:
        events += _start_landing(state, command, now_ms, policy)
    elif len(command.runs) == 1:
        events.append(ev.StopRequested(command.runs[0], EndKind.superseded, _guilt(command)))
    return tuple(events)


def _members_refusal(state: State, command: cmd.RecordTrain, now_ms: int) -> Refusal | None:
    for run_id, token, candidate in command.members:
        run = state.live_run(run_id, token)
        if run is None or not run.accepted_seq or run.stop is not None:
            return Refusal(RefusalCode.stale_token, f"token {token} of {run_id} may not land: the run is not waiting")
        if run.evidence is None or run.evidence.commit != candidate:
            return Refusal(RefusalCode.conflict, f"{run_id} was accepted with another commit than {candidate[:12]}")
        if run.lease.expires_ms <= now_ms:
            return Refusal(RefusalCode.lease_expired, f"the lease of {run_id} has run out")
    if {member[0] for member in command.members} != {*command.runs, *(run for run, _ in command.conflicts)}:
        return Refusal(RefusalCode.invalid, "the train's runs are not its members")
    return None


def _guilt(command: cmd.RecordTrain) -> str:
    faults = [check_fault(result) for result in command.checks if result.state != "passed"]
    where = f"passes by itself, but on top of the target at {command.old[:12]} "
    return where + ("; ".join(faults) if faults else "fails")


def _start_landing(state: State, command: cmd.RecordTrain, now_ms: int, policy: Policy) -> list[ev.Event]:
    events: list[ev.Event] = [ev.LandingStarted(command.runs, command.old, command.commit, command.tree)]
    if policy.landing_mode == "ask":
        items = ", ".join(state.runs[run].item for run in command.runs)
        events.append(
            ev.QuestionAsked(
                Question(
                    id=question_id(state.questions_asked + 1),
                    kind=QuestionKind.approve_landing,
                    text=f"Land {items} on {policy.target}? Tested as a whole in commit {command.commit[:12]}.",
                    options=(APPROVE, REJECT),
                    recommend=APPROVE,
                    asked_ms=now_ms,
                    subject=command.commit,
                )
            )
        )
    return events


def decide_landing(
    state: State, command: cmd.RecordLanding, now_ms: int, policy: Policy
) -> tuple[ev.Event, ...] | Refusal:
    """Take what became of the landing under way."""
    landing = state.landing
    if landing is None or landing.new != command.new:
        return Refusal(RefusalCode.conflict, f"no landing of {command.new[:12]} is under way")
    if command.state == "landed":
        return tuple(ev.RunLanded(run, command.new) for run in landing.runs)
    if command.state == "moved":
        reason = f"{policy.target} moved to {command.tip[:12] or 'nowhere'} while the train was under way"
        return (ev.LandingAbandoned(command.new, reason),)
    where = "; ".join(command.detail[:5])
    kind = QuestionKind.dirty_target if command.state == "dirty" else QuestionKind.trust
    asked = state.questions.get(landing.question)
    if asked is not None and asked.kind is kind:
        return ()
    question = Question(
        id=question_id(state.questions_asked + 1),
        kind=kind,
        text=_hindrance(command.state, where, policy),
        options=("try again",),
        asked_ms=now_ms,
        subject=command.new,
    )
    if asked is not None:
        return (ev.QuestionWithdrawn(asked.id, "something else stands against the landing"), ev.QuestionAsked(question))
    return (ev.QuestionAsked(question),)


def _hindrance(state: str, where: str, policy: Policy) -> str:
    """What a person has to do: a dirty work tree is looked at again by itself, any other hindrance when they say so."""
    if state == "dirty":
        return (
            f"{policy.target} is checked out with changes of yours ({where}):"
            " commit, stash or move them, and the landing goes on."
        )
    return f"{policy.target} cannot be moved ({where}): put that right, then answer `try again`."


def answer_landing(state: State, question: Question, choice: str, by: str) -> tuple[ev.Event, ...]:
    """Take a person's word on the landing that waits: let it go on, or send its candidates away."""
    landing = state.landing
    answered = ev.QuestionAnswered(question.id, choice, by)
    if landing is None or landing.new != question.subject or choice != REJECT:
        return (answered,)
    reason = f"{by} refused the landing of {landing.new[:12]}"
    stops = tuple(ev.StopRequested(run, EndKind.stopped, reason) for run in landing.runs)
    return (answered, ev.LandingAbandoned(landing.new, reason), *stops)
