"""Where each item stands: every item that is told is in exactly one section."""

from __future__ import annotations

import msgspec

from ganger.core.landing import APPROVE
from ganger.core.model import QuestionKind
from ganger.journal.queries import ItemRow, QuestionRow
from ganger.report.attempts import attempts_of, turn_source
from ganger.report.facts import Facts, RunFacts, TrainFacts
from ganger.report.ladder import closing_text
from ganger.report.open_items import still_open
from ganger.report.shape import Blocked, Finished, GivenUp, ItemRef, Landed, Ready, Source, StillOpen
from ganger.report.wording import command
from ganger.service.claimed import claim_text, false_claims

LANDING_QUESTIONS = (QuestionKind.dirty_target, QuestionKind.approve_landing)


class Sections:
    """The items of a report, sorted by what a person has to do about them."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        asked = facts.open_questions
        self.ready: tuple[Ready, ...] = tuple(self._ready(row) for row in asked if row.kind in LANDING_QUESTIONS)
        self.blocked: tuple[Blocked, ...] = tuple(
            self._blocked(row) for row in asked if row.kind not in LANDING_QUESTIONS
        )
        told = {item.id for ready in self.ready for item in ready.items}
        told |= {blocked.item.id for blocked in self.blocked if blocked.item is not None}
        landed: list[Landed] = []
        finished: list[Finished] = []
        given_up: list[GivenUp] = []
        left: list[StillOpen] = []
        for row in facts.items.values():
            if row.landed:
                if row.landed_ms >= facts.since_ms:
                    landed.append(self._landed(row))
            elif row.id in told:
                continue
            elif row.status == "finished":
                if row.id in facts.runs_of:
                    finished.append(self._finished(row))
            elif row.status == "given_up":
                given_up.append(self._given_up(row))
            else:
                left.append(still_open(facts, row))
        self.landed = tuple(sorted(landed, key=lambda item: (item.at_ms, item.item.seq)))
        self.finished = tuple(finished)
        self.given_up = tuple(given_up)
        self.still_open = tuple(left)

    def _landed(self, row: ItemRow) -> Landed:
        facts = self._facts
        runs = facts.runs_of.get(row.id, [])
        run = next(run for run in runs if run.row.landed)
        turn = run.last_turn
        evidence = turn.evidence if turn is not None else None
        train = next((train for train in reversed(facts.trains) if train.row.new == row.landed), None)
        return Landed(
            item=facts.item_ref(row.id),
            run=run.row.id,
            commit=row.landed,
            at_ms=row.landed_ms,
            took_ms=row.landed_ms - runs[0].row.granted_ms,
            changed=len(evidence.changed) if evidence is not None else 0,
            train_size=len(train.runs) if train is not None else 0,
            attempts=attempts_of(facts, row.id),
            source=self._landing_source(run, train, row.landed),
            ci=closing_text(facts.reader.ci(row.landed)),
            claims=evidence.claims if evidence is not None else (),
        )

    def _finished(self, row: ItemRow) -> Finished:
        facts = self._facts
        run = facts.runs_of[row.id][-1].row
        return Finished(
            item=facts.item_ref(row.id),
            run=run.id,
            reason=run.reason,
            filed=sum(1 for item in facts.items.values() if item.parent == row.id),
            at_ms=run.ended_ms,
            source=facts.cite(facts.positions.last(run.id, "RunReported", "RunEnded"), run.id),
        )

    def _landing_source(self, run: RunFacts, train: TrainFacts | None, commit: str) -> Source:
        """A landing rests on the verdict, on the checks of the tree that was landed, and on the landing's entry."""
        facts = self._facts
        seqs = facts.positions.last(run.row.id, "VerdictGiven", "RunLanded")
        turn = run.last_turn
        checks = train.checks if train is not None else turn.evidence.checks if turn and turn.evidence else ()
        number = train.row.seq if train is not None else 0
        return facts.cite((*seqs, *([number] if number else [])), run.row.id, commit, number, facts.seen(checks))

    def _ready(self, question: QuestionRow) -> Ready:
        facts = self._facts
        train = next((train for train in reversed(facts.trains) if train.row.new == question.subject), None)
        runs = train.runs if train is not None else ()
        items = [facts.runs[run].row.item for run in runs if run in facts.runs and not facts.runs[run].row.ended_ms]
        seqs = facts.positions.last(question.id, "QuestionAsked")
        return Ready(
            question=question.id,
            text=question.text,
            items=tuple(facts.item_ref(item) for item in items),
            do=_landing_commands(question, options_of(question)),
            asked_ms=question.asked_ms,
            held_up=_together(facts, items),
            source=facts.cite(
                (*seqs, *([train.row.seq] if train is not None else [])),
                commit=question.subject,
                train=train.row.seq if train is not None else 0,
                checks=facts.seen(train.checks) if train is not None else (),
            ),
        )

    def _blocked(self, question: QuestionRow) -> Blocked:
        facts = self._facts
        item: ItemRef | None = facts.item_ref(question.item) if question.item else None
        by_worker = question.kind == QuestionKind.worker
        return Blocked(
            question=question.id,
            item=item,
            text=question.text,
            recommend=question.recommend,
            risk=question.risk,
            do=answer_commands(question),
            asked_ms=question.asked_ms,
            held_up=facts.held_up(question.item) if question.item else (),
            source=self._question_source(question),
            by=question.run if by_worker else "ganger",
        )

    def _question_source(self, question: QuestionRow) -> Source:
        """A question rests on its entry; one about weakened tests also on what was found in that candidate."""
        facts = self._facts
        seqs = facts.positions.last(question.run or question.id, "QuestionAsked")
        run = facts.runs.get(question.run)
        if question.kind != QuestionKind.weakened or run is None or run.last_turn is None:
            return facts.cite(seqs, question.run)
        found = turn_source(facts, run.last_turn)
        return facts.cite((*seqs, *found.seqs), question.run, question.subject, checks=found.checks)

    def _given_up(self, row: ItemRow) -> GivenUp:
        facts = self._facts
        attempts = attempts_of(facts, row.id)
        last = attempts[-1].source.seqs if attempts else ()
        return GivenUp(
            item=facts.item_ref(row.id),
            reason=row.reason,
            attempts=attempts,
            held_up=facts.held_up(row.id),
            do=command("ganger", "retry", row.id),
            source=facts.cite((*last, *([] if last else [row.seq])), row.run),
            claim=claim_text(false_claims(facts.turns_of(row.id))),
        )


def options_of(question: QuestionRow) -> tuple[str, ...]:
    """The options of a question; empty when any answer is one."""
    return msgspec.json.decode(question.options, type=tuple[str, ...])


def answer_commands(question: QuestionRow) -> tuple[tuple[str, str], ...]:
    """What to type for each option, the recommended one first, or for an answer in one's own words."""
    options = options_of(question)
    if not options:
        return ((f"ganger answer {question.id} 'YOUR ANSWER'", "in your own words"),)
    ordered = sorted(options, key=lambda option: option != question.recommend)
    return tuple((command("ganger", "answer", question.id, *_plain(option)), option) for option in ordered)


def _plain(option: str) -> tuple[str, ...]:
    """An option as arguments: one that begins like a flag is set apart."""
    return ("--", option) if option.startswith("-") else (option,)


def _landing_commands(question: QuestionRow, options: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    if question.kind == QuestionKind.dirty_target:
        first = ("git stash", "in that checkout, or commit; the landing then goes on by itself")
        return (first, *((command("ganger", "answer", question.id, option), "look again now") for option in options))
    meaning = {APPROVE: "move the target to the tested commit"}
    return tuple(
        (command("ganger", "answer", question.id, option), meaning.get(option, "send the candidates away, work kept"))
        for option in options
    )


def _together(facts: Facts, items: list[str]) -> tuple[str, ...]:
    found = dict.fromkeys(name for item in items for name in facts.held_up(item))
    return tuple(name for name in found if name not in items)
