"""The text a worker gets: the item, its limits, what was found wrong before, and how to report."""

from __future__ import annotations

import msgspec

from ganger.core.facts import Run
from ganger.core.ids import Commit
from ganger.core.model import Again, EndKind, Evidence, ItemSpec, Verdict
from ganger.git.combining import Preparation
from ganger.journal.queries import MessageRow, Reader, RunRow
from ganger.service.claimed import false_claims, turns_of
from ganger.supervisor import combine
from ganger.supervisor.recovery import Held

TAIL_LINES = 30
HELD_LINES_MAX = 40
SUBJECT_CHARS_MAX = 200


def compose(
    reader: Reader,
    run: Run,
    spec: ItemSpec,
    turn: int,
    held: Held | None = None,
    meets: tuple[str, ...] = (),
    baseline: Commit | None = None,
    prepared: Preparation | None = None,
) -> str:
    """Write the brief of a turn; the same facts give the same text.

    `held` is what a turn that was cut off left, `meets` how its changes meet those of others at work, a line each.
    `baseline` is the commit of a person's uncommitted work at which the run begins, if it does;
    `prepared` the merge of an earlier candidate with which it does.
    """
    item = reader.item(spec.id)
    parts = [f"# {spec.title}\n", item.brief.rstrip() if item is not None and item.brief else "(no further text)"]
    parts.append("\n## Limits\n")
    parts.append("Change only files that match: " + ", ".join(f"`{pattern}`" for pattern in run.lease.scope))
    if spec.checks:
        parts.append("These checks are run on what you commit, by ganger, in its own checkout:")
        parts += [f"- {check.name}: `{' '.join(check.argv)}`" for check in spec.checks]
    parts += _direction(reader, spec)
    parts += _not_yours(baseline)
    parts += combine.told(prepared) if prepared is not None else []
    parts += _going_on(run, held)
    parts += ["\n## Others at work\n", "What you changed so far meets what others have:\n", *meets] if meets else []
    parts += _false_claims(reader, run)
    parts += _rejections(reader, run, turn, prepared.earlier if prepared is not None else "")
    parts += _rewinds(reader, run)
    parts += _answers(reader, spec)
    parts += _messages(reader, run, turn)
    parts.append(HOW)
    return "\n".join(parts) + "\n"


HOW = """
## How to report

Commit your work on the branch you find checked out. Then say what became of it, once, and end:

- `ganger done --summary "what you did"` when the change is made and committed;
- `ganger ask "question" --option A --option B` when you cannot go on without a decision;
- `ganger fail "reason"` when it cannot be done.

`ganger my-work` prints this text again. Nothing you say is taken for done: your commits are checked."""


def _direction(reader: Reader, spec: ItemSpec) -> list[str]:
    """What a person wants all further work on the plan to heed."""
    plan = reader.plan(spec.plan)
    if plan is None or not plan.steer:
        return []
    return ["\n## Direction\n", "From the person who is responsible, for all that is still to be done:\n", plan.steer]


def _not_yours(baseline: Commit | None) -> list[str]:
    """That the workspace begins with the uncommitted work of a person."""
    if baseline is None:
        return []
    return [
        "\n## What is not yours\n",
        f"Your branch begins with a commit that you did not make: {baseline[:12]}, the uncommitted work of a person.",
        "Read it and build on it. It is no part of what you hand in and does not land: leave that commit as it is and",
        f"change no lines that it changed. `git diff {baseline[:12]}` shows what is yours.",
    ]


def _going_on(run: Run, held: Held | None) -> list[str]:
    """That an earlier turn was cut off, and what it left in the workspace."""
    if run.repeat is None or run.repeat.why not in (Again.lost, Again.limited):
        return []
    lines = ["\n## The work goes on\n", f"Turn {run.repeat.turn} of this attempt was cut off: {run.repeat.reason}."]
    lines.append("What it left lies in your workspace: look at it first and go on from there, do not begin anew.")
    if held is not None:
        commits = [f"- commit {commit[:12]}: {subject[:SUBJECT_CHARS_MAX]}" for commit, subject in held.commits]
        files = [f"- not committed: `{path}`" for path in held.uncommitted]
        lines += _at_most([*commits, *files]) or ["- nothing has been changed yet"]
    return lines


def _rewinds(reader: Reader, run: Run) -> list[str]:
    """What a person does not want to be tried again, since the workspace was put back."""
    lines = [f"- {row.note}" for row in reader.rewinds(run.id) if row.note]
    return ["\n## Not to be tried again\n", "Your workspace was put back to an earlier state.", *lines] if lines else []


def _at_most(lines: list[str]) -> list[str]:
    left_out = len(lines) - HELD_LINES_MAX
    return lines if left_out <= 0 else [*lines[:HELD_LINES_MAX], f"- and {left_out} more"]


def _false_claims(reader: Reader, run: Run) -> list[str]:
    """That the item was said to be done before, and was not."""
    found = false_claims(turns_of(reader, run.item))
    if not found:
        return []
    lines = [f"- {one.run}, turn {one.turn}: {one.why}" for one in found]
    return ["\n## Said to be done, and was not\n", "Whoever said so before you was wrong each time:\n", *lines]


def _rejections(reader: Reader, run: Run, turn: int, merged: str) -> list[str]:
    """What was wrong with earlier tries: of this run turn by turn, of earlier runs how they ended.

    `merged` is an earlier run whose work is in the workspace.
    """
    lines: list[str] = []
    for earlier in reader.runs(run.item):
        if earlier.id == run.id:
            continue
        if earlier.ended_ms:
            lines.append(f"- attempt {earlier.attempt} ended {earlier.ending}: {earlier.reason}")
            lines += _left_behind(reader, earlier) if earlier.id != merged else []
    for row in reader.turns(run.id):
        if row.turn >= turn or not row.verdict:
            continue
        verdict = msgspec.json.decode(row.verdict, type=Verdict)
        lines += [f"- turn {row.turn} of this attempt was rejected: {reason}" for reason in verdict.reasons]
        lines += _failed_output(row.evidence)
    return ["\n## What was wrong before\n", *lines] if lines else []


def _left_behind(reader: Reader, earlier: RunRow) -> list[str]:
    """Where the work of an attempt is whose candidate was good, and only did not go together with what landed first."""
    if earlier.ending != EndKind.superseded:
        return []
    found = [msgspec.json.decode(row.evidence, type=Evidence) for row in reader.turns(earlier.id) if row.evidence]
    if not found or found[-1].commit == found[-1].base:
        return []
    base, commit = found[-1].base[:12], found[-1].commit[:12]
    return [
        f"  Its work is commit {commit}, made on {base}: `git cherry-pick {base}..{commit}` puts it on top of what you"
        " have, and marks what conflicts. Commit no marker."
    ]


def _failed_output(evidence: str) -> list[str]:
    if not evidence:
        return []
    lines = []
    for result in msgspec.json.decode(evidence, type=Evidence).checks:
        if result.state != "passed":
            tail = "\n".join(result.tail.splitlines()[-TAIL_LINES:])
            lines.append(f"\nOutput of {result.name} ({result.state}):\n\n```\n{tail}\n```\n")
    return lines


def _messages(reader: Reader, run: Run, turn: int) -> list[str]:
    """What is said to the worker of this turn, and of no other."""
    found = [row for row in reader.messages(run.id) if row.turn == turn and not row.at_work]
    return ["\n## Said to you\n", *map(message_text, found)] if found else []


def message_text(row: MessageRow) -> str:
    """How a worker is told a message."""
    return f"- from {row.by or 'ganger'}: {row.text}"


def _answers(reader: Reader, spec: ItemSpec) -> list[str]:
    lines = []
    for row in reader.answers(spec.id):
        lines.append(f"- asked: {row.text}\n  answered: {row.choice}")
    return ["\n## Answers to your questions\n", *lines] if lines else []
