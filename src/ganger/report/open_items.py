"""Items that are neither landed nor given up: what each waits for."""

from __future__ import annotations

from ganger.core.model import Hold
from ganger.journal.queries import ItemRow, WaitRow
from ganger.report.attempts import attempts_of
from ganger.report.facts import Facts, RunFacts
from ganger.report.shape import StillOpen
from ganger.report.wording import command, duration, named
from ganger.service.claimed import claim_text, false_claims

_LIVE = {
    "starting": "its worker is about to be started",
    "working": "its worker works",
    "asking": "it waits for an answer",
    "repeating": "its turn is about to be done over",
    "recovering": "its worker vanished, and what is left is looked at",
    "rewinding": "its workspace is being put back to a checkpoint",
    "reported": "its worker has ended and its candidate is looked at",
    "rejected": "its candidate was refused and the run is about to end",
    "accepted": "its candidate was accepted and waits for the train",
    "landing": "its candidate is being landed",
    "ending": "it is being stopped",
}
_ENDED = {
    "rejected": "was rejected",
    "superseded": "was superseded",
    "unfounded": "lost what it stood on",
    "dismissed": "was needed no longer",
    "unsent": "could not be sent what it was to be told",
    "stopped": "was stopped",
    "interrupted": "was interrupted",
    "timed_out": "timed out",
    "over_budget": "went over its budget",
    "limited": "was cut short by its provider",
    "expired": "lost its lease",
}


def still_open(facts: Facts, row: ItemRow) -> StillOpen:
    """Tell what an item waits for, and what the statement rests on."""
    state, why, do, seqs = _waits_for(facts, row)
    return StillOpen(
        item=facts.item_ref(row.id),
        state=state,
        why=why,
        do=do,
        attempts=attempts_of(facts, row.id),
        source=facts.cite(seqs or (row.seq,), row.run),
        claim=claim_text(false_claims(facts.turns_of(row.id))),
    )


def _waits_for(facts: Facts, row: ItemRow) -> tuple[str, str, str, tuple[int, ...]]:
    """State, reason, what a person can type (may be empty), and the entries it rests on (may be none)."""
    runs = facts.runs_of.get(row.id, [])
    if row.run and runs:
        return ("running", *_running(facts, runs[-1]))
    if row.status == "waiting":
        return ("waiting", *_waiting(facts, row))
    hold = facts.specs[row.id].hold
    if row.status == "held":
        return ("held", *_held(facts, row, runs, hold))
    if hold is not None and hold.reason == "until" and facts.now_ms < hold.until_ms:
        return "held", f"held for another {duration(hold.until_ms - facts.now_ms)}", "", ()
    plan = facts.plans[row.plan]
    if plan.state != "active":
        seqs = facts.newest(f"plan:{plan.id}", "PlanPaused", "PlanStopped")
        return plan.state, f"its plan is {plan.state}", command("ganger", "resume", plan.id), seqs
    if row.cool_until_ms > facts.now_ms:
        seqs = facts.positions.last(runs[-1].row.id, "RunEnded") if runs else ()
        again = duration(row.cool_until_ms - facts.now_ms)
        return "cooling", f"failed ({row.reason}); offered again in {again}", "", seqs
    return ("ready", *_ready(facts, row))


def _running(facts: Facts, run: RunFacts) -> tuple[str, str, tuple[int, ...]]:
    text = f"{run.row.id}: {_LIVE.get(run.row.status, run.row.status)}"
    if run.last_turn is not None and run.row.status == "working":
        text += f" for {duration(facts.now_ms - run.last_turn.row.started_ms)}"
    if not facts.supervised():
        text += "; no supervisor is in charge"
    kinds = ("RunGranted", "WorkerStarted", "WorkerExited", "RunReported", "VerdictGiven", "StopRequested")
    do = "" if facts.supervised() else "ganger up"
    return text, do, facts.positions.last(run.row.id, *kinds)[-1:]


def _waiting(facts: Facts, row: ItemRow) -> tuple[str, str, tuple[int, ...]]:
    unmet = [before for before in facts.specs[row.id].after if not _has_landed(facts, before)]
    words = [f"{before} ({_standing(facts, before)})" for before in unmet]
    seqs = [row.seq, *(facts.items[before].seq for before in unmet if before in facts.items)]
    return f"waits for {named(words)}", "", tuple(seqs[:4])


def _has_landed(facts: Facts, item: str) -> bool:
    return item in facts.items and bool(facts.items[item].landed)


def _standing(facts: Facts, item: str) -> str:
    row = facts.items.get(item)
    if row is None:
        return "in its plan no longer"
    if any(question.item == item for question in facts.open_questions):
        return "asks a question"
    return row.status.replace("_", " ")


def _held(facts: Facts, row: ItemRow, runs: list[RunFacts], hold: Hold | None) -> tuple[str, str, tuple[int, ...]]:
    retry = command("ganger", "retry", row.id)
    if hold is not None and hold.reason != "until":
        return f"held by its plan: {hold.reason}", retry, ()
    seqs = facts.positions.last(runs[-1].row.id, "RunEnded") if runs else ()
    return f"stopped: {row.reason}", retry, seqs


def _ready(facts: Facts, row: ItemRow) -> tuple[str, str, tuple[int, ...]]:
    runs = facts.runs_of.get(row.id, [])
    last = runs[-1].row if runs else None
    after = f"; its last run {_ENDED.get(last.ending, last.ending)}: {last.reason}" if last is not None else ""
    ended = facts.positions.last(last.id, "RunEnded") if last is not None else ()
    wait = _last_wait(facts, row)
    if wait is not None:
        return f"could start, but {wait.reason}{after}", "", (wait.seq, *ended)
    if not facts.supervised():
        return f"could start, but no supervisor is in charge{after}", "ganger up", ended
    return f"could start{after}", "", ended


def _last_wait(facts: Facts, row: ItemRow) -> WaitRow | None:
    """The newest refusal of the item, where it still holds; what has passed explains nothing."""
    found = facts.last_waits.get(row.id)
    runs = facts.runs_of.get(row.id, [])
    if found is None or (runs and found.seq < runs[-1].row.token):
        return None
    if found.holder in facts.runs and facts.runs[found.holder].row.ended_ms:
        return None
    return found
