"""What can be made of a run whose worker vanished: judged from git and the disk, never from what it said.

Also decides when a turn is repeated: once for a hang with the identical brief, once for a loss, and whenever a
provider's window opens again.
"""

from __future__ import annotations

from msgspec import Struct

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.hours import closed_until_ms
from ganger.core.lifecycle import cooldown_ms, find_run, is_turn_over
from ganger.core.limits import resume_ms
from ganger.core.model import Again, EndKind, Recovery, RecoveryFacts, Refusal, RefusalCode, Report, ReportKind
from ganger.core.policy import Policy
from ganger.core.state import State

LOSSES_MAX = 3
"""How often a run goes on after its worker vanished; then something about it kills whoever watches it."""
LIMITS_MAX = 50
"""How often a run goes on after its provider's limit; then it is begun anew another time."""
LIMIT_PAUSE_MIN_MS = 1_000
"""The least between two tries of a provider that refuses, however small the back-off is set."""
NOTE_CHARS_MAX = 4_000

Decided = tuple[ev.Event, ...] | Refusal


class Recovered(Struct, frozen=True):
    """What can be made of a run, and why."""

    recovery: Recovery
    reason: str


def judge_recovery(facts: RecoveryFacts) -> Recovered:
    """Judge what is left of a run whose worker is gone without a word."""
    if facts.landed:
        return Recovered(Recovery.complete, "the target contains its candidate already")
    if not facts.workspace:
        return Recovered(Recovery.unresumable, "its workspace is gone or cannot be read")
    if not facts.head:
        return Recovered(Recovery.unresumable, "its workspace has no branch of its own any more")
    if not facts.descends:
        return Recovered(Recovery.diverged, "its branch does not descend from the commit it began with")
    if not facts.base_on_target:
        return Recovered(Recovery.diverged, "the target does not contain the commit it began with any more")
    return Recovered(Recovery.resumable, "its workspace and its base are as they should be")


def decide_recovery(state: State, command: cmd.RecordRecovery, now_ms: int, policy: Policy) -> Decided:
    """Let a run go on, judge what it left, or end it; diverged never goes on by itself."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if not run.lost or run.turn != command.turn:
        return Refusal(RefusalCode.wrong_state, f"{run.id} is not waiting to be recovered")
    found = judge_recovery(command.facts)
    if found.recovery is Recovery.resumable and run.repeats.count(Again.lost) < LOSSES_MAX:
        reason = "the worker vanished together with whoever watched it; it goes on in its workspace"
        return (ev.TurnRepeated(run.id, run.turn, Again.lost, reason, closed_until_ms(now_ms, policy)),)
    if found.recovery is Recovery.complete:
        return (ev.RunReported(run.id, run.turn, Report(ReportKind.done, source="exit")),)
    if found.recovery is Recovery.resumable:
        reason = f"the worker vanished {LOSSES_MAX + 1} times"
    else:
        reason = f"the worker vanished, and the run is {found.recovery}: {found.reason}"
    return (ev.StopRequested(run.id, EndKind.failed, reason),)


def decide_repeat(state: State, command: cmd.RepeatTurn, now_ms: int, policy: Policy) -> Decided:
    """Have a silent worker's turn done over, once, with the identical brief; the second time is the end of it."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.stop is not None or run.turn != command.turn or run.repeat is not None or is_turn_over(run):
        return ()
    if not run.has_worker:
        return ()
    if command.why is not Again.hang:
        return Refusal(RefusalCode.invalid, f"a turn is not repeated on demand because of {command.why}")
    if Again.hang in run.repeats:
        reason = f"{command.reason}, for the second time on the identical brief"
        return (ev.StopRequested(run.id, EndKind.stalled, reason),)
    return (ev.TurnRepeated(run.id, run.turn, Again.hang, command.reason, closed_until_ms(now_ms, policy)),)


def decide_limit(state: State, command: cmd.RecordLimit, now_ms: int, policy: Policy) -> Decided:
    """Take note of a provider's limit, and have the run's turn done over when its window opens.

    A busy provider is asked again after a back-off; one that names no end of a quota ends the run, as `limited`.
    """
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    provider = policy.provider(run.agent)
    if run.stop is not None or run.repeat is not None or is_turn_over(run) or not run.has_worker:
        return ()
    met = run.repeats.count(Again.limited)
    if met >= LIMITS_MAX:
        reason = f"provider {provider} has interrupted the run {LIMITS_MAX} times"
        return (ev.StopRequested(run.id, EndKind.limited, reason),)
    if not command.until_ms and not command.overload:
        reason = f"provider {provider} refuses, and does not say until when: {command.reason}"
        return (
            ev.ProviderLimited(provider, now_ms + policy.breaker_ms, command.reason, run.id),
            ev.StopRequested(run.id, EndKind.limited, reason),
        )
    # A provider that refuses again right after the instant it named is not asked over and over.
    tries = met + 1 if command.overload else met
    pause_ms = max(cooldown_ms(tries, policy), LIMIT_PAUSE_MIN_MS) if tries else 0
    until_ms = max(command.until_ms, now_ms + pause_ms) if tries else command.until_ms
    not_before_ms = resume_ms(state, run.agent, until_ms, now_ms, policy)
    return (
        ev.ProviderLimited(provider, until_ms, command.reason, run.id, command.overload),
        ev.TurnRepeated(run.id, run.turn, Again.limited, command.reason, not_before_ms),
    )


def decide_rewind(state: State, command: cmd.RewindRun) -> Decided:
    """Have a person put a run's workspace back to a checkpoint that ganger made."""
    run = state.runs.get(command.run)
    if run is None:
        return Refusal(RefusalCode.unknown_ref, f"run {command.run} is not live: only a live run is rewound")
    if run.stop is not None or (state.landing is not None and run.id in state.landing.runs):
        return Refusal(RefusalCode.wrong_state, f"{run.id} is being landed or ended")
    if not run.turn:
        return Refusal(RefusalCode.wrong_state, f"{run.id} has not begun yet: there is nothing to rewind")
    if command.commit not in (run.base, *run.checkpoints):
        known = ", ".join(commit[:12] for commit in (run.base, *run.checkpoints))
        return Refusal(RefusalCode.invalid, f"{command.commit[:12]} is no checkpoint of {run.id}", f"one of: {known}")
    if len(command.note) > NOTE_CHARS_MAX:
        return Refusal(
            RefusalCode.invalid, f"the note has {len(command.note)} characters, {NOTE_CHARS_MAX} is the most"
        )
    rewound = ev.RunRewound(run.id, command.commit, command.note, command.by)
    return (rewound, *(ev.QuestionWithdrawn(question, f"{run.id} was rewound") for question in run.questions))


def decide_rewound(state: State, command: cmd.RecordRewind) -> Decided:
    """Take note that a workspace holds its checkpoint; its next turn is due."""
    run = find_run(state, command.run, command.token)
    if isinstance(run, Refusal):
        return run
    if run.rewind != command.commit:
        return ()
    if run.has_worker:
        return Refusal(RefusalCode.wrong_state, f"the worker of {run.id} is not known to be gone")
    return (ev.WorkspaceRewound(run.id, command.commit),)
