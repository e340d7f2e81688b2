"""Which earlier candidate a run goes on with, and how its worker is told what was merged for it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId
from ganger.core.model import EndKind, Evidence
from ganger.git import combining
from ganger.git.combining import Preparation
from ganger.git.hub import Hub
from ganger.journal.queries import Reader

FILES_MAX = 40


def files_of(hub: Hub, reader: Reader, run: Run, begin: Commit, may_change: Callable[[str], bool]) -> Commit | None:
    """Prepare what a run finds in its workspace at `begin`: a commit with those files, None for those of `begin`.

    The same facts give the same commit, however often it is asked for.
    """
    earlier = candidate_of(reader, run)
    prepared = (
        combining.prepare(hub, run.id, begin, earlier, run.root or run.base, may_change)
        if earlier is not None
        else None
    )
    if prepared is None:
        combining.forget(hub, run.id)
        return None
    return prepared.commit


def candidate_of(reader: Reader, run: Run) -> tuple[RunId, str, Commit, Commit] | None:
    """The last candidate of the item that was good and did not go together with what landed first.

    As run, agent, base and candidate. None when there is none, or the item landed after that.
    """
    for row in sorted(reader.runs(run.item), key=lambda row: row.token, reverse=True):
        if row.token >= run.lease.token or not row.ended_ms:
            continue
        if row.ending == EndKind.landed:
            return None
        if row.ending == EndKind.superseded:
            seen = [msgspec.json.decode(turn.evidence, type=Evidence) for turn in reader.turns(row.id) if turn.evidence]
            if seen and seen[-1].commit != seen[-1].base:
                return RunId(row.id), row.agent, seen[-1].base, seen[-1].commit
    return None


def told(prepared: Preparation) -> list[str]:
    """The section of a brief that says what lies in the workspace."""
    commit = prepared.candidate[:12]
    lines = [
        "\n## What is prepared\n",
        f"{prepared.earlier} was good, and only does not go together with what landed first. Your workspace began",
        "with its change merged into the files as they are on the target. Nothing of that is committed, and all that",
        "is there counts as yours: go on from it, and commit the whole (`git add -A`).",
    ]
    lines += _listed(
        "Lines that conflict are marked in these files. Between the marks stand first the lines of"
        f" {prepared.earlier}, then those both began with, then those of the target. Write what does what both sides"
        " meant, and leave no mark: a candidate with one is refused.",
        [f"- `{one.path}`{_against(one.others)}" for one in prepared.marked],
    )
    lines += _listed(
        f"These are as on the target, since the change of {prepared.earlier} cannot be merged there. Its version is"
        f" `git show {commit}:PATH`; take over by hand what is still needed, and ask where that is not clear.",
        [f"- `{one.path}`{_against(one.others)}" for one in prepared.as_target],
    )
    return lines


def _against(others: str) -> str:
    return f", changed by {others}" if others else ""


def _listed(what: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"- and {len(lines) - FILES_MAX} more"] if len(lines) > FILES_MAX else []
    return ["", what, "", *lines[:FILES_MAX], *more]


def credits(hub: Hub, run: Run) -> tuple[str, ...]:
    """Who besides is an author of what a run handed in: those of the work that it began with and still holds.

    It holds that work where it changes a file that the earlier candidate changed.
    """
    prepared = combining.told_of(hub, run.id)
    if prepared is None or run.evidence is None:
        return ()
    return prepared.authors if combining.is_held(hub, prepared, run.evidence.base, run.evidence.commit) else ()
