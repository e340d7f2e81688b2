"""What a brief says of children: to one who may have some, and to one that is some other run's child."""

from __future__ import annotations

import msgspec

from ganger.core.facts import Run
from ganger.core.ids import item_of
from ganger.core.model import ItemSpec, Report
from ganger.core.policy import Policy
from ganger.core.spawning import report_lines
from ganger.journal.queries import ItemRow, Reader

FOUND_MAX = 8
"""Results of earlier attempts' children that a brief holds, the newest."""

HOW_TO_TELL = """
## How to report

You were asked to find something out, and to change nothing: nothing you change is kept. Say what you found, once, and
end:

- `ganger done --outcome findings --summary "what you found" --evidence "file:line"` when you found it; nobody who reads
  it knows what you saw, so say where;
- `ganger done --outcome no_evidence --summary "where you looked"` when there is nothing to be found;
- `ganger ask "question" --option A --option B` when you cannot go on without a decision;
- `ganger fail "reason"` when it cannot be done.

`ganger my-work` prints this text again."""


def limits(run: Run, spec: ItemSpec) -> str:
    """What the worker of a run may change."""
    if spec.reads:
        return "Change nothing. It is about: " + ", ".join(f"`{pattern}`" for pattern in spec.scope)
    return "Change only files that match: " + ", ".join(f"`{pattern}`" for pattern in run.lease.scope)


def for_whom(spec: ItemSpec) -> list[str]:
    """Whose part of the work this is."""
    if not spec.spawner:
        return []
    whose = f"run `{spec.spawner}`, at work on item `{item_of(spec.spawner)}`"
    return [f"\nThis is a part of the work of {whose}. What you report is said to its worker, and to no one else."]


def may_have(run: Run, policy: Policy) -> list[str]:
    """Which children the worker of a run may have; nothing where it may have none."""
    kind = policy.kind(run.kind)
    left = kind.spawn_max - len(run.children)
    if not kind.spawn or left <= 0:
        return []
    kinds = ", ".join(f"`{name}`" for name in kind.spawn)
    return [
        "\n## Children\n",
        f"You may hand on {left} parts of your work: `ganger spawn KIND --title … --brief …`, KIND one of {kinds}.",
        "A child works beside you, on your budget, and knows nothing but what its brief says. One that writes gets a",
        "part of your scope (`--scope`), which is not yours until it has ended. What came of a child is said to you;",
        "`ganger wait` ends your turn until all have ended. When you are done, those that only look are ended.",
    ]


def found_before(reader: Reader, run: Run) -> list[str]:
    """What children of earlier attempts at the same item found out."""
    found = []
    for row in reader.filed_by(run.item):
        spec = msgspec.json.decode(row.spec, type=ItemSpec)
        if spec.spawner and spec.spawner != run.id:
            found += [text for text in (_found(reader, row),) if text]
    return ["\n## Found out in earlier attempts\n", *found[-FOUND_MAX:]] if found else []


def _found(reader: Reader, row: ItemRow) -> str:
    """What the worker of a child said at its end; empty when it said nothing."""
    reports = [turn.report for run in reader.runs(row.id) for turn in reader.turns(run.id) if turn.report]
    if not reports:
        return ""
    report = msgspec.json.decode(reports[-1], type=Report)
    lines = report_lines(report) if report.source == "worker" else ()
    return "\n".join((f"- {row.title}: {report.outcome}", *lines)) if lines else ""
