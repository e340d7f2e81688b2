"""How a child begins: when with its spawner's conversation, and whose file of it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from lab import SPEC
from msgspec.structs import replace

from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId, Token
from ganger.core.model import ItemSpec, Lease, LeaseMode
from ganger.drivers.codex import Codex
from ganger.drivers.pi import Pi
from ganger.drivers.port import Fork
from ganger.service.tables import Preset
from ganger.supervisor.forking import fork_of, seeding_of

SPAWNER = RunId("par.1")
CHILD = replace(SPEC, spawner=SPAWNER)
INHERITS = Preset(agent="hand", seeding="inherit")


@pytest.mark.parametrize(
    ("spec", "preset", "found"),
    [
        (CHILD, Preset(), "fresh"),
        (CHILD, INHERITS, "inherit"),
        (replace(CHILD, seeding="inherit"), Preset(), "inherit"),
        (replace(CHILD, seeding="fresh"), INHERITS, "fresh"),
        (SPEC, INHERITS, "fresh"),
        (replace(SPEC, seeding="inherit"), INHERITS, "fresh"),
    ],
)
def test_what_is_said_stands_over_the_kind_and_nobodys_child_is_fresh(
    spec: ItemSpec, preset: Preset, found: str
) -> None:
    assert seeding_of(spec, preset) == found


class Spawner:
    """A state directory with a run of pi that had a conversation."""

    def __init__(self, root: Path) -> None:
        self.state = root / "state"
        self.run = self.state / "runs" / SPAWNER
        self.sessions = self.run / "agent" / "pi" / "sessions" / "--at--"
        self.sessions.mkdir(parents=True)
        self.turn(1, "s-1")
        self.transcript = self.sessions / "2026_s-1.jsonl"
        self.transcript.write_text("of s-1\n")

    def turn(self, number: int, session: str, agent: str = "hand") -> None:
        folder = self.run / f"turn-{number}"
        folder.mkdir(exist_ok=True)
        record = {"run": SPAWNER, "turn": number, "token": 3, "base": "b", "agent": agent}
        (folder / "manifest.json").write_text(json.dumps(record))
        (folder / "output.log").write_text(json.dumps({"type": "session", "id": session}) + "\n")

    def fork(self, turn: int = 1, spec: ItemSpec = CHILD, driver: Pi | Codex = Pi()) -> Fork | None:  # noqa: B008
        lease = Lease(Token(7), SPEC.scope, LeaseMode.shared, 1 << 50)
        run = Run(RunId("par-c1.1"), spec.id, 1, Commit("c" * 40), "hand", lease, 0)
        return fork_of(self.state, run, spec, turn, driver, INHERITS, lambda line: driver.events(line, {}))


def outside(spawner: Spawner) -> None:
    """A link in the place of the transcript, to something of the host's."""
    secret = spawner.state.parent / "secret"
    secret.write_text("of the host")
    spawner.transcript.unlink()
    spawner.transcript.symlink_to(secret)


def folder_outside(spawner: Spawner) -> None:
    away = spawner.state.parent / "away"
    spawner.sessions.rename(away)
    spawner.sessions.symlink_to(away)


def named_as_an_option(spawner: Spawner) -> None:
    spawner.turn(1, "--help")
    spawner.transcript.rename(spawner.sessions / "x_--help.jsonl")


WHOLE = Fork(SPAWNER, "s-1", b"of s-1\n")
ROWS: list[tuple[str, Callable[[Spawner], object], Fork | None]] = [
    ("as it is", lambda spawner: None, WHOLE),
    ("the newest turn's", lambda spawner: spawner.turn(2, "s-1"), WHOLE),
    ("a turn without one", lambda spawner: spawner.turn(2, ""), WHOLE),
    ("another agent's since", lambda spawner: spawner.turn(2, "s-1", "other"), None),
    ("no file", lambda spawner: spawner.transcript.unlink(), None),
    ("another's file", lambda spawner: spawner.transcript.rename(spawner.sessions / "x_s-2.jsonl"), None),
    ("a link", outside, None),
    ("a folder that is a link", folder_outside, None),
    ("a name for a command line", named_as_an_option, None),
    ("a way out", lambda spawner: spawner.turn(1, "../s-1"), None),
    ("no manifest", lambda spawner: (spawner.run / "turn-1/manifest.json").unlink(), None),
]


@pytest.mark.parametrize(("change", "found"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_only_the_spawners_own_file_is_taken(
    tmp_path: Path, change: Callable[[Spawner], object], found: Fork | None
) -> None:
    spawner = Spawner(tmp_path)
    change(spawner)
    assert spawner.fork() == found


def test_later_turns_and_agents_that_cannot_have_none(tmp_path: Path) -> None:
    spawner = Spawner(tmp_path)
    assert spawner.fork(turn=2) is None
    assert spawner.fork(driver=Codex()) is None
    assert spawner.fork(spec=replace(CHILD, seeding="fresh")) is None
