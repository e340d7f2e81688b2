"""What the report says of a guard that was silent."""

from __future__ import annotations

from pathlib import Path

from report_builder import Night, spec

from ganger.core import commands as cmd
from ganger.core.ids import RunId
from ganger.report.data import collect
from ganger.report.shape import AnomalyKind
from ganger.report.text import render_text


def test_a_silent_guard_is_named_with_its_turn(tmp_path: Path) -> None:
    night = Night(tmp_path)
    night.plan(spec("a"), spec("b"))
    for item, used in (("a", 3), ("b", 2)):
        run = RunId(night.grant(item, 1))
        night.say(cmd.RecordSilence(run, night.token(run), 1, used, 2))
    reader = night.reader()
    data = collect(reader, tmp_path, 0, night.now_ms)
    reader.close()
    night.close()
    found = [one for one in data.anomalies if one.kind is AnomalyKind.guard_silent]
    text = "Turn 1: its guard was silent: of 3 uses of tools its hooks asked about 2."
    assert [(one.subject, one.text, one.said) for one in found] == [("a.1", text, "")]
    assert [entry.type for entry in data.entries if entry.seq in found[0].source.seqs] == ["GuardSilent"]
    assert "Guards that were silent" in render_text(data)
