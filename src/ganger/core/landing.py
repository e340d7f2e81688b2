"""The train: which candidates are tested together, and what follows from how they did.

What is tested next, and who is to blame, is `core.train`'s to find; what may land is decided here.
"""

from __future__ import annotations

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core import undo
from ganger.core.closing import CLOSED, moot
from ganger.core.facts import Landing, Run
from ganger.core.foundation import may_land
from ganger.core.ids import Commit, RunId, Token, question_id
from ganger.core.model import EndKind, Question, QuestionKind, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.train import Trial, next_trial, trials
from ganger.core.verdict import train_fault

APPROVE, REJECT = "land", "reject"


def queue(state: State) -> list[Run]:
    """Candidates that were accepted and wait for the train, in the order they were accepted.

    Not those that stand on others which have not landed: their turn comes after that.
    """
    waiting = [run for run in state.runs.values() if run.accepted_seq and run.stop is None and may_land(state, run)]
    return sorted(waiting, key=lambda run: run.accepted_seq)


def waiting(state: State) -> tuple[RunId, ...]:
    """The same by their ids."""
    return tuple(run.id for run in queue(state))


def next_trials(
    state: State, policy: Policy, target: Commit, under_way: frozenset[Trial] = frozenset()
) -> tuple[Trial, ...]:
    """Choose the tests to begin now; none while a landing is under way, nor on a target that is missing or red."""
    search = state.search
    if state.landing is not None or not target or search.red == target:
        return ()
    return trials(search, waiting(state), policy.train_max, policy.train_parallel, policy.flaky_retries, under_way)


def judged(state: State, policy: Policy) -> list[Run]:
    """Candidates that were accused and about which enough is known, in the order in which they were accused."""
    accused = [case for case in state.search.cases if next_trial(state.search, case, policy.flaky_retries) is None]
    return [state.runs[case.run] for case in accused if case.run in waiting(state)]


def decide_train(state: State, command: cmd.RecordTrain, now_ms: int, policy: Policy) -> tuple[ev.Event, ...] | Refusal:
    """Take the result of a combination: start its landing, or learn who is to be suspected.

    Every token and lease is checked here, in the transaction that allows the landing; from here until the landing
    is recorded the leases stand whatever the clock says. What has landed since the test began is left out, when it
    is what the tested combination begins with.
    """
    left = _left(state, command)
    if isinstance(left, Refusal):
        return left
    refusal = _members_refusal(state, left, now_ms)
    if refusal is not None:
        return refusal
    tested = ev.TrainTested(
        runs=left.runs,
        old=left.old,
        commit=left.commit,
        tree=left.tree,
        passed=left.passed,
        checks=left.checks,
        conflicts=left.conflicts,
        took_ms=left.took_ms,
        commits=left.commits,
        waits=left.waits,
    )
    events: list[ev.Event] = [tested, *_red_no_more(state, left.old)]
    for run_id, paths in left.conflicts:
        reason = f"does not merge with the target at {left.old[:12]}: {', '.join(paths[:5])}"
        events.append(ev.StopRequested(run_id, EndKind.superseded, reason))
    if policy.combine == "prepared":
        events += _ask_without_lines(state, left, now_ms)
    if left.passed and left.runs and state.landing is None:
        events += _start_landing(state, left, now_ms, policy)
    return tuple(events)


BOTH, TARGETS = "bring both together", "keep the target's"


def _ask_without_lines(state: State, command: cmd.RecordTrain, now_ms: int) -> list[ev.Event]:
    """Ask a person how files are to be combined in which no lines can be marked, before anybody works on them again.

    The answer, of any words, is told to whoever does the item next.
    """
    asked: list[ev.Event] = []
    for run_id, paths in command.no_lines:
        run = state.runs[run_id]
        if run.evidence is None or state.items[run.item].question:
            continue
        named = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        question = Question(
            id=question_id(state.questions_asked + 1 + len(asked)),
            kind=QuestionKind.no_lines,
            text=f"{run_id} changed {named}, and so did what landed first; no lines can be marked there. What counts?",
            options=(BOTH, TARGETS, f"keep that of {run_id}"),
            risk="what is not kept has to be made again",
            item=run.item,
            asked_ms=now_ms,
            subject=run.evidence.commit,
        )
        asked.append(ev.QuestionAsked(question))
    return asked


def _left(state: State, command: cmd.RecordTrain) -> cmd.RecordTrain | Refusal:
    """The result as far as it is about candidates that still wait, on top of the target as it is by now."""
    landing, search = state.landing, state.search
    if landing is not None:
        taken = len(landing.runs)
        goes_on = command.runs[:taken] == landing.runs and command.commits[taken - 1 : taken] == (landing.new,)
        if not goes_on or len(command.runs) == taken:
            return Refusal(RefusalCode.conflict, "a landing is under way")
        return replace(command, members=_of(command, command.runs), conflicts=(), waits=(), no_lines=())
    landed = {run for run, _ in search.landed}
    gone = sum(run in landed for run in command.runs)
    if gone:
        if command.commits[gone - 1 : gone] != (search.tip,) or not landed.issuperset(command.runs[:gone]):
            return Refusal(RefusalCode.conflict, "it was tested on a target that has moved on")
        runs = command.runs[gone:]
        if not runs:
            return Refusal(RefusalCode.conflict, "all of it has landed already")
        return replace(
            command,
            members=_of(command, runs),
            runs=runs,
            old=search.tip,
            commits=command.commits[gone:],
            conflicts=(),
            waits=(),
            no_lines=(),
        )
    if command.old != search.tip and command.tip and command.tip != search.tip:
        return Refusal(RefusalCode.conflict, "it was tested on a target that has moved on")
    return command


def _of(command: cmd.RecordTrain, runs: tuple[RunId, ...]) -> tuple[tuple[RunId, Token, Commit], ...]:
    return tuple(member for member in command.members if member[0] in runs)


def _red_no_more(state: State, tip: Commit) -> list[ev.Event]:
    """Withdraw what was asked about a red target that is the target no more."""
    return [
        ev.QuestionWithdrawn(question.id, f"the target has moved to {tip[:12]}")
        for question in state.questions.values()
        if question.kind is QuestionKind.red_target and question.subject != tip
    ]


def decide_probe(state: State, command: cmd.RecordProbe, now_ms: int, policy: Policy) -> tuple[ev.Event, ...] | Refusal:
    """Take how an accused candidate did by itself, or what it fails on without it."""
    run = _waiting_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.evidence is None or run.evidence.commit != command.candidate:
        return Refusal(RefusalCode.conflict, f"{run.id} has another candidate than {command.candidate[:12]} by now")
    case = next((case for case in state.search.cases if case.run == run.id), None)
    trial = Trial((run.id,), command.onto, command.again, command.bare)
    if case is None or next_trial(state.search, case, policy.flaky_retries) != trial:
        return Refusal(RefusalCode.conflict, f"nobody waits for how {run.id} does on {command.onto[:12]}")
    probed = ev.CandidateProbed(
        run=run.id,
        onto=command.onto,
        passed=command.passed,
        checks=command.checks,
        again=command.again,
        bare=command.bare,
        took_ms=command.took_ms,
    )
    if not command.bare or command.passed or command.onto != state.search.tip:
        return (probed,)
    asked = Question(
        id=question_id(state.questions_asked + 1),
        kind=QuestionKind.red_target,
        text=(
            f"{policy.target} fails by itself at {command.onto[:12]} ({train_fault(command.checks)}): nothing lands"
            " until it moves to a commit that does not."
        ),
        options=("try again",),
        asked_ms=now_ms,
        subject=command.onto,
    )
    return (probed, ev.TargetFoundRed(command.onto, run.id, command.checks), ev.QuestionAsked(asked))


def decide_judge(state: State, command: cmd.JudgeCandidate, policy: Policy) -> tuple[ev.Event, ...] | Refusal:
    """Send an accused candidate back, and name the one that it does not go together with."""
    run = _waiting_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    case = next((case for case in state.search.cases if case.run == run.id), None)
    if case is None or next_trial(state.search, case, policy.flaky_retries) is not None:
        return Refusal(RefusalCode.wrong_state, f"not enough is known about {run.id}")
    if case.partner:
        reason = (
            f"passes by itself, and so does {case.partner}, which has landed as {case.at(case.bad)[:12]},"
            f" but both together do not: {case.fault}"
        )
        pair = ev.PairFound(run.id, case.partner, case.at(case.bad))
        return (pair, ev.StopRequested(run.id, EndKind.superseded, reason))
    but = "passes by itself, but " if case.is_fine_alone else ""
    reason = f"{but}on top of the target at {case.at(case.bad)[:12]} {case.fault}"
    return (ev.StopRequested(run.id, EndKind.superseded, reason),)


def _waiting_run(state: State, run_id: RunId, token: Token) -> Run | Refusal:
    run = state.live_run(run_id, token)
    if run is None or not run.accepted_seq or run.stop is not None:
        return Refusal(RefusalCode.stale_token, f"token {token} of {run_id} may not land: the run is not waiting")
    return run


def _members_refusal(state: State, command: cmd.RecordTrain, now_ms: int) -> Refusal | None:
    for run_id, token, candidate in command.members:
        run = _waiting_run(state, run_id, token)
        if isinstance(run, Refusal):
            return run
        if not may_land(state, run):
            return Refusal(RefusalCode.not_ready, f"{run_id} stands on what has not landed")
        if run.evidence is None or run.evidence.commit != candidate:
            return Refusal(RefusalCode.conflict, f"{run_id} was accepted with another commit than {candidate[:12]}")
        if run.lease.expires_ms <= now_ms:
            return Refusal(RefusalCode.lease_expired, f"the lease of {run_id} has run out")
    left_out = (run for run, _ in (*command.conflicts, *command.waits))
    if {member[0] for member in command.members} != {*command.runs, *left_out}:
        return Refusal(RefusalCode.invalid, "the train's runs are not its members")
    return None


def _start_landing(state: State, command: cmd.RecordTrain, now_ms: int, policy: Policy) -> list[ev.Event]:
    events: list[ev.Event] = [
        ev.LandingStarted(command.runs, command.old, command.commit, command.tree, command.commits)
    ]
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
    if command.state == "landed" and landing.undo:
        gone = moot(state, state.items[state.undos[landing.undo].item])
        return (*undo.landed(state, landing, policy), *gone, *_red_no_more(state, landing.new))
    if command.state == "landed":
        after_each = landing.commits if len(landing.commits) == len(landing.runs) else (Commit(""),) * len(landing.runs)
        waits, holds = policy.ci_required, policy.ci_required and policy.ci_dependents == CLOSED
        pairs = zip(landing.runs, after_each, strict=True)
        landed = (ev.RunLanded(run, command.new, own, awaits_ci=waits, holds=holds) for run, own in pairs)
        return (*landed, *_next_landing(state, landing, now_ms, policy))
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


def _next_landing(state: State, landing: Landing, now_ms: int, policy: Policy) -> list[ev.Event]:
    """Go on with what has passed on top of this landing meanwhile, if it may still land."""
    ready = state.search.ready
    taken = len(landing.runs)
    if ready is None or ready.runs[:taken] != landing.runs or ready.commits[taken - 1 : taken] != (landing.new,):
        return []
    runs = ready.runs[taken:]
    rest = [run for run in queue(state) if run.id in runs]
    command = cmd.RecordTrain(
        members=tuple((run.id, run.lease.token, run.evidence.commit) for run in rest if run.evidence is not None),
        runs=runs,
        old=landing.new,
        commit=ready.commits[-1],
        tree=ready.tree,
        passed=True,
        commits=ready.commits[taken:],
    )
    if _members_refusal(state, command, now_ms) is not None:
        return []
    return _start_landing(state, command, now_ms, policy)


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
