"""The rungs of a candidate, from what was only said to what landed: which hold, by what, and what is missing next."""

from __future__ import annotations

from msgspec import Struct

from ganger.core.model import CheckState, Evidence, Rung, Verdict, WitnessKind
from ganger.journal.queries import CiRow


def closing_text(row: CiRow | None) -> str:
    """Say in a line whether CI has closed what landed with a commit; empty where nothing waits for it."""
    if row is None:
        return ""
    said = f"{row.state}: {row.text}" if row.state else "it was not asked"
    if row.by:
        return f"closed by {row.by} although CI is not green ({said})"
    return f"CI says {said}" if row.closed_ms else f"CI has not closed it: {said if row.state else 'not asked yet'}"


class Step(Struct, frozen=True):
    """One rung of a candidate."""

    rung: str
    """Its label: `in-scope`."""
    holds: bool
    text: str
    """By what it holds, or what is missing for it."""


def ladder(evidence: Evidence | None, verdict: Verdict | None, landed: str) -> tuple[Step, ...]:
    """Say of each rung, from the lowest, whether it holds and why; a rung above one that does not, holds neither.

    `landed` is the commit of the target that contains the candidate, empty when none does: what has landed holds all
    that its policy asked for, and the rungs that nobody asked for stay open.
    """
    reached = verdict.rung if verdict is not None else Rung.reported
    return tuple(_step(rung, rung <= reached, evidence, verdict, landed) for rung in Rung)


def next_step(steps: tuple[Step, ...]) -> Step | None:
    """The lowest rung that does not hold; None when all do."""
    return next((step for step in steps if not step.holds), None)


def _step(rung: Rung, reached: bool, evidence: Evidence | None, verdict: Verdict | None, landed: str) -> Step:
    if rung is Rung.landed:
        text = f"the target contains it as {landed[:12]}" if landed else "it is not on the target"
        return Step(rung.label, bool(landed), text)
    if rung is Rung.reviewed:
        return Step(
            rung.label, reached, "a reviewer accepted it" if reached else "no reviewer has accepted this commit"
        )
    if rung is Rung.reported:
        return Step(rung.label, True, "somebody said so")
    if evidence is None:
        return Step(rung.label, False, "nothing was looked at yet")
    reasons = verdict.reasons if verdict is not None and rung == verdict.rung + 1 else ()
    if reached:
        return Step(rung.label, True, _proof(rung, evidence, verdict))
    return Step(rung.label, False, "; ".join(reasons) or _lack(rung, evidence))


def _proof(rung: Rung, evidence: Evidence, verdict: Verdict | None) -> str:
    """By what a rung holds that ganger looks at itself."""
    if rung is Rung.committed:
        return f"{evidence.commit[:12]} changes {len(evidence.changed)} files of {evidence.base[:12]}"
    if rung is Rung.in_scope:
        allowed = f" or was allowed by {verdict.by}" if verdict is not None and verdict.by else ""
        return f"every changed file lies in the scope of the run's lease{allowed}, and none is protected"
    if rung is Rung.checked:
        passed = [one.name for one in evidence.checks if one.state is CheckState.passed]
        return f"passed in ganger's own checkout of tree {evidence.checked_tree[:12]}: {', '.join(passed)}"
    found = evidence.witness
    return f"fails without the change: {', '.join(found.tests) or found.count}" if found is not None else "witnessed"


def _lack(rung: Rung, evidence: Evidence) -> str:
    """What is missing for a rung above the one that the verdict speaks of."""
    if rung is Rung.committed:
        return "nothing was committed"
    if rung is Rung.in_scope:
        return "it is not known to lie in its scope"
    if rung is Rung.checked:
        return "no check was run" if not evidence.checks else "its checks are not known to pass"
    if evidence.witness is None:
        return "nobody asked for new tests that fail without the change"
    if evidence.witness.kind is WitnessKind.discriminates:
        return "its new tests witness the change, but what is below does not hold"
    return f"its new tests do not witness the change: {evidence.witness.kind.value}"
