"""`ganger conflicts`: what live runs' changes have in common, by its text, its JSON and its exit status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ganger.cli import conflicts
from ganger.core.ids import RunId
from ganger.supervisor.forecast import FILE, Forecast, Foreseen, write

A, B = RunId("a.1"), RunId("b.1")


class App:
    """As much of the command line as the command asks for."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def state_dir(self) -> Path:
        return self._state_dir


@pytest.fixture
def app(tmp_path: Path) -> App:
    from contextlib import closing

    from ganger.journal.store import Store

    with closing(Store(tmp_path / "journal.db")):
        return App(tmp_path)


CASES = [
    ((), 0, ""),
    ((Foreseen(B, A, "same-file", ("x",)),), 1, "b.1 and a.1 change x (same-file)\n"),
    (
        (Foreseen(B, A, "same-lines", ("x",), ("x",)),),
        3,
        "b.1 and a.1 would not merge as they are: x (same-lines)\n",
    ),
    (
        (Foreseen(B, A, "ungradable", ("x",)),),
        3,
        "b.1 and a.1 change x, where nobody can tell lines apart: look at both\n",
    ),
]


@pytest.mark.parametrize(("foreseen", "code", "text"), CASES)
def test_what_was_seen_last(
    app: App, foreseen: tuple[Foreseen, ...], code: int, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(app.state_dir() / FILE, Forecast(1_800_000_000_000, (A, B), foreseen))
    assert conflicts.conflicts.callback is not None
    run = conflicts.conflicts.callback.__wrapped__
    assert run(app, looks=False, as_json=False) == code
    said = capsys.readouterr()
    assert said.out == text and said.err.startswith("2 runs compared, seen ")
    assert run(app, looks=False, as_json=True) == code
    assert json.loads(capsys.readouterr().out)["runs"] == ["a.1", "b.1"]


def test_nobody_has_looked(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert conflicts.conflicts.callback is not None
    assert conflicts.conflicts.callback.__wrapped__(app, looks=False, as_json=False) == 0
    assert capsys.readouterr().err == "nobody has looked yet: ganger conflicts --now\n"
