"""What each entry of the journal says, in a line."""

from __future__ import annotations

from ganger.core import events as ev
from ganger.core.lifecycle import silence_text
from ganger.core.model import Usage, VerdictKind
from ganger.report.wording import duration, named


def in_words(event: ev.Event) -> str:
    """Say in one line what happened; whatever agents wrote stands in it as it is, so print it through `safe`."""
    if isinstance(event, _OF_PLANS):
        return _plan(event)
    if isinstance(event, _OF_THE_FLEET):
        return _fleet(event)
    return _run(event)


_OF_PLANS = (
    *(ev.PlanAdded, ev.PlanPaused, ev.PlanResumed, ev.PlanStopped, ev.PlanSteered),
    *(ev.ScheduleSet, ev.ScheduleFired, ev.ScheduleDropped),
    *(ev.ItemAdded, ev.ItemRevised, ev.ItemWithdrawn, ev.ItemWaited, ev.ItemRetried, ev.BaseMade),
    *(ev.UndoRequested, ev.UndoTested, ev.UndoDropped, ev.LandingUndone),
)
_OF_THE_FLEET = (
    *(ev.LeaseGranted, ev.LeaseExtended, ev.LeaseEnded, ev.LeasesRenewed, ev.ProviderLimited),
    *(ev.BreakerOpened, ev.BreakerClosed, ev.Forbade, ev.SupervisorStarted, ev.SupervisorStopped),
    *(ev.TrainTested, ev.LandingStarted, ev.LandingAbandoned),
    *(ev.CiSaid, ev.CiWaived, ev.TargetRead, ev.LossAccepted),
)


def _plan(event: ev.Event) -> str:
    match event:
        case ev.PlanAdded():
            missed = f", {len(event.unreadable)} of it unreadable" if event.unreadable else ""
            return f"plan {event.plan}: {event.title}{missed}"
        case ev.PlanPaused():
            return f"plan {event.plan} paused"
        case ev.PlanResumed():
            return f"plan {event.plan} resumed"
        case ev.PlanStopped():
            return f"plan {event.plan} stopped: {event.reason}"
        case ev.PlanSteered():
            return f"plan {event.plan} steered: {event.text}" if event.text else f"plan {event.plan} steered no more"
        case ev.ScheduleSet():
            return f"schedule {event.name} reads {event.path}"
        case ev.ScheduleFired():
            return f"schedule {event.name}: {event.outcome}"
        case ev.ScheduleDropped():
            return f"schedule {event.name} dropped"
        case ev.ItemAdded():
            by = f", filed by a worker on {event.spec.parent}" if event.spec.parent else ""
            by = f", a child of {event.spec.spawner}" if event.spec.spawner else by
            return f"item {event.spec.id} added: {event.spec.title}{by}"
        case ev.ItemRevised():
            return f"item {event.spec.id} revised"
        case ev.ItemWithdrawn():
            return f"item {event.item} withdrawn"
        case ev.ItemWaited():
            return f"{event.item} must wait: {event.reason}"
        case ev.BaseMade():
            heads = named([run for run, _ in event.heads])
            if event.conflicts:
                return f"{event.item} cannot begin on {heads}: they conflict in {named(event.conflicts)}"
            return f"{event.item} is to begin at {event.commit[:12]}: {event.root[:12]} with {heads}"
        case ev.UndoRequested():
            what = f"{event.item} back" if event.back else f"{event.item} undone"
            return f"{event.by} wants {what}, as {event.run} landed it{_because(event.why)}"
        case ev.UndoTested():
            how = "passed" if event.passed else f"cannot land: {event.reason}"
            return f"undo of {event.commit[:12]} ({event.item}) on {event.old[:12]} {how}"
        case ev.UndoDropped():
            return f"{event.by} leaves {event.item} as it is"
        case ev.LandingUndone():
            what = "is back on the target" if event.back else "is undone"
            return f"{event.item} {what} as {event.new[:12]}, by {event.by}{_because(event.why)}"
        case _:
            assert isinstance(event, ev.ItemRetried)
            return f"{event.item} is offered again"


def _fleet(event: ev.Event) -> str:
    match event:
        case ev.LeaseGranted():
            what = f"lane {event.lane}" if event.lane else named(event.scope)
            return f"{event.holder} holds {what}{_forced(event.forced_by)}"
        case ev.LeaseExtended():
            return f"{event.lease} extended"
        case ev.LeaseEnded():
            return f"{event.lease} ended: {event.reason}"
        case ev.LeasesRenewed():
            return f"leases renewed: {named([run for run, _ in event.until])}"
        case ev.ProviderLimited():
            return f"provider {event.provider} refuses: {event.reason}"
        case ev.BreakerOpened():
            return f"{event.key} is not tried for a while: {event.reason}"
        case ev.BreakerClosed():
            return f"{event.key} is tried again"
        case ev.Forbade():
            return f"{event.actor} asked for {event.what}: {event.reason}"
        case ev.SupervisorStarted():
            return f"supervisor {event.pid} on {event.host} took over"
        case ev.SupervisorStopped():
            return f"supervisor {event.pid} left: {event.reason}"
        case ev.TrainTested():
            apart = [run for run, _ in (*event.conflicts, *event.waits)]
            left_out = f"; {named(apart)} left out" if apart else ""
            left_out += "; flaky: " + named([one.name for one in event.checks if one.flaky]) if _is_flaky(event) else ""
            how = "passed" if event.passed else "failed"
            return f"train of {named(event.runs) or 'nothing'} {how}: {event.commit[:12]} on {event.old[:12]}{left_out}"
        case ev.CiSaid():
            where = f" ({event.where})" if event.where else ""
            return f"CI of {event.commit[:12]} says {event.state.value}: {event.text}{where}"
        case ev.CiWaived():
            return f"{event.by} closed what landed as {event.commit[:12]} without CI"
        case ev.TargetRead():
            tip = event.tip[:12] or "no commit"
            lost = f"does not contain {named([commit[:12] for commit in event.missing])}" if event.missing else ""
            return f"the target was read back: {tip} {lost or 'contains everything that landed'}"
        case ev.LossAccepted():
            return f"{event.by} leaves {named([commit[:12] for commit in event.commits])} off the target"
        case ev.LandingStarted():
            if event.undo:
                return f"undo of {event.undo[:12]} is landing: {event.old[:12]} to {event.new[:12]}"
            return f"landing of {named(event.runs)} started: {event.old[:12]} to {event.new[:12]}"
        case _:
            assert isinstance(event, ev.LandingAbandoned)
            return f"landing of {event.new[:12]} abandoned: {event.reason}"


def _run(event: ev.Event) -> str:
    match event:
        case ev.RunGranted():
            what = f"lane {event.lane}" if event.lane else named(event.scope)
            return f"{event.run} granted {what} on {event.base[:12]}{_forced(event.forced_by)}"
        case ev.PermitRenewed():
            return f"{event.run} begins on {event.base[:12]} instead, where the target is now"
        case ev.WorkerStarted():
            return f"{event.run} turn {event.turn}: worker started, pid {event.worker.pid}"
        case ev.WorkerExited():
            return f"{event.run} turn {event.turn}: worker {_ended(event)}"
        case ev.TurnRepeated():
            return f"{event.run} turn {event.turn} is done over ({event.why.value}): {event.reason}"
        case ev.RunFlagged():
            return f"{event.run} is {event.liveness.value}: {event.reason}"
        case ev.UsageRecorded():
            return f"{event.run} turn {event.turn} spent {spent(event.usage)}"
        case ev.RunRewound():
            return f"{event.run} put back to {event.commit[:12]} by {event.by}: {event.note}"
        case ev.WorkspaceRewound():
            return f"{event.run}: its workspace holds {event.commit[:12]} again"
        case ev.RunPruned():
            unseen = ", unseen by anybody" if event.unreviewed else ""
            return f"{event.run}: {named(event.classes)} pruned{unseen}"
        case ev.RunReported():
            said = event.report.kind.value if event.report.source == "worker" else "nothing and ended well"
            return f"{event.run} says {said}" + (f": {event.report.summary}" if event.report.summary else "")
        case ev.RunParked():
            return f"{event.run} turn {event.turn}: it waits for its children"
        case ev.NoteAdded():
            return f"{event.run} notes: {event.text}"
        case ev.FactAdded():
            about = f" (about {named(event.about)})" if event.about else ""
            who = f"{event.by} puts on record" if event.by else f"{event.run} notes as a fact, unchecked"
            return f"{who}: {event.text}{about}"
        case ev.FactRetracted():
            return f"fact {event.fact} struck out by {event.by or 'ganger'}{_because(event.why)}"
        case ev.MessageSent():
            who = f"of its child {event.child}" if event.child else f"by {event.by or 'ganger'} ({event.when.value})"
            return f"{event.run} is told {who}: {event.text}"
        case ev.MessagesDelivered():
            how = "at work" if event.at_work else "with its brief"
            return f"{event.run} turn {event.turn}: {len(event.messages)} messages handed over {how}"
        case ev.MessagesRead():
            return f"{event.run} has read {len(event.messages)} messages"
        case ev.ToolsUsed():
            denied = [f"{use.tool} denied: {use.denied}" for use in event.uses if use.denied]
            used = [use.tool for use in event.uses if not use.denied]
            return f"{event.run}: " + "; ".join([*([f"used {named(used)}"] if used else []), *denied])
        case ev.GuardSilent():
            return f"{event.run} turn {event.turn}: {silence_text(event)}"
        case ev.TodosSet():
            return f"{event.run}: {sum(t.state == 'completed' for t in event.todos)} of {len(event.todos)} todos done"
        case ev.QuestionAsked():
            first = f" (agent {event.question.agent} is asked first)" if event.question.agent else ""
            return f"{event.question.id}: {event.question.text}{first}"
        case ev.QuestionAnswered():
            return f"{event.question} answered by {event.by}: {event.choice}"
        case ev.QuestionEscalated():
            return f"{event.question} comes to a person: {event.reason}"
        case ev.QuestionWithdrawn():
            return f"{event.question} withdrawn: {event.reason}"
        case ev.EvidenceRecorded():
            changed = named(event.evidence.changed) or "nothing"
            return f"{event.run} turn {event.turn}: candidate {event.evidence.commit[:12]} changes {changed}"
        case ev.VerdictGiven():
            if event.verdict.kind is VerdictKind.accepted:
                return f"{event.run} accepted: {event.verdict.rung.label}{_allowed(event.verdict.by)}"
            return f"{event.run} {event.verdict.kind.value}: {'; '.join(event.verdict.reasons)}"
        case ev.CandidateProbed():
            what = f"{event.onto[:12]} without {event.run}" if event.bare else f"{event.run} on {event.onto[:12]}"
            return f"{what} {'passed' if event.passed else 'failed'}{' when run again: flaky' * _is_flaky(event)}"
        case ev.PairFound():
            return f"{event.run} and {event.other} pass each without the other, and fail together"
        case ev.TargetFoundRed():
            return f"the target fails by itself at {event.commit[:12]}, found by the checks of {event.run}"
        case ev.RunLanded():
            return f"{event.run} landed as {event.commit[:12]}"
        case ev.StopRequested():
            return f"{event.run} is to end ({event.end.value}): {event.reason}"
        case _:
            assert isinstance(event, ev.RunEnded)
            return f"{event.run} ended {event.end.value}: {event.reason}"


def _is_flaky(event: ev.TrainTested | ev.CandidateProbed) -> bool:
    """Whether a check failed at first and passed when it was run again."""
    return any(result.flaky for result in event.checks)


def _allowed(by: str) -> str:
    return f", allowed by {by}" if by else ""


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _forced(by: str) -> str:
    return f", forced by {by}" if by else ""


def _ended(event: ev.WorkerExited) -> str:
    if event.lost:
        return "vanished"
    return f"killed by signal {event.signal}" if event.signal is not None else f"exited with {event.code}"


def spent(usage: Usage) -> str:
    """An amount of money, tokens and time, as far as there is any."""
    parts = [f"{usage.usd_micros / 1e6:.2f} USD"] if usage.usd_micros else []
    parts += [f"{usage.tokens:,} tokens"] if usage.tokens else []
    parts += [duration(usage.wall_ms)] if usage.wall_ms else []
    return named(parts) or "nothing"
