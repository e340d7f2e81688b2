"""A candidate in which git's conflict markers were left is refused, with the file named."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab import SPEC, Lab

from ganger.core.model import VerdictKind
from ganger.core.patterns import AS_WRITTEN
from ganger.core.verdict import judge
from ganger.git import workspace

MARKED = "<<<<<<< HEAD\nmine\n=======\ntheirs\n>>>>>>> 1234567 (theirs)\n"


@pytest.mark.parametrize(("text", "kind"), [(MARKED, VerdictKind.rejected), ("two\n", VerdictKind.accepted)])
def test_leftover_markers_are_refused(tmp_path: Path, text: str, kind: VerdictKind) -> None:
    lab = Lab(tmp_path, "true")
    try:
        workspace.create(lab.hub, lab.place, lab.run.id, lab.run.base)
        (lab.place / "a.txt").write_text(text)
        evidence = lab.world.collect(lab.run, SPEC)
        verdict = judge(SPEC, lab.run.lease.scope, evidence, AS_WRITTEN)
        assert verdict.kind is kind
        assert any("leaves conflict markers: a.txt" in reason for reason in verdict.reasons) is (text == MARKED)
    finally:
        lab.close()
