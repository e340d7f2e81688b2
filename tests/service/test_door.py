"""The supervisor's socket: the same answers as submitting directly, for many at once, and none for strangers' words."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import ItemSpec, Refusal
from ganger.core.policy import Policy
from ganger.errors import StateDirError
from ganger.journal.store import Store
from ganger.service.door import (
    SOCKET_NAME,
    Ask,
    Client,
    Door,
    Tell,
    ask_supervisor,
    keep_policy,
    submit,
    tell_supervisor,
)
from ganger.service.fleet import Accepted, Fleet


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def fleet(state_dir: Path) -> Iterator[Fleet]:
    policy = Policy()
    keep_policy(state_dir, policy)
    fleet = Fleet(Store(state_dir / "journal.db"), policy)
    spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=("a/**",))
    fleet.submit(cmd.AddPlan(PlanId("p"), "P", "p.toml", "1", ((spec, "do it"),)), "person:me")
    fleet.submit(cmd.GrantRun(ItemId("a"), Commit("1" * 40)), "supervisor")
    yield fleet
    fleet.close()


def note(fleet: Fleet, text: str) -> cmd.AddNote:
    token = fleet.look(lambda state, _: state.runs[RunId("a.1")].lease.token)
    return cmd.AddNote(RunId("a.1"), token, text)


@pytest.fixture
def told(state_dir: Path, fleet: Fleet) -> Iterator[list[Tell]]:
    heard: list[Tell] = []
    door = Door(state_dir, fleet, heard.append)
    yield heard
    door.close()
    assert not (state_dir / SOCKET_NAME).exists()


def test_command_goes_through_the_supervisor(state_dir: Path, fleet: Fleet, told: list[Tell]) -> None:
    reply = ask_supervisor(state_dir, note(fleet, "hello"), "worker:a.1")
    assert isinstance(reply, Accepted)
    assert reply.events == (ev.NoteAdded(RunId("a.1"), "hello"),)


def test_refusal_comes_back_as_one(state_dir: Path, fleet: Fleet, told: list[Tell]) -> None:
    stale = cmd.AddNote(RunId("a.1"), Token(99), "late")
    reply = ask_supervisor(state_dir, stale, "worker:a.1")
    assert isinstance(reply, Refusal)
    assert reply == fleet.submit(stale, "worker:a.1")


def test_same_key_is_carried_out_once(state_dir: Path, fleet: Fleet, told: list[Tell]) -> None:
    first = ask_supervisor(state_dir, note(fleet, "once"), "worker:a.1", "key-1")
    again = ask_supervisor(state_dir, note(fleet, "once"), "worker:a.1", "key-1")
    assert isinstance(first, Accepted) and first.events
    assert isinstance(again, Accepted) and not again.events


def test_many_at_once_are_all_recorded(state_dir: Path, fleet: Fleet, told: list[Tell]) -> None:
    def speak(number: int) -> None:
        with Client(state_dir) as client:
            for turn in range(20):
                client.exchange(Ask(note(fleet, f"{number}.{turn}"), "worker:a.1"))

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    notes = [e.event.text for e in fleet.store.entries(0, limit=1_000) if isinstance(e.event, ev.NoteAdded)]
    assert sorted(notes) == sorted(f"{number}.{turn}" for number in range(8) for turn in range(20))


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"not json\n",
        b'{"type":"Ask"}\n',
        b'{"type":"Ask","command":{"type":"Nothing"},"actor":"x"}\n',
        b'{"type":"Ask","command":{"type":"RetryItem","item":"a","more":1},"actor":"x"}\n',
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_nonsense_is_answered_with_a_fault(state_dir: Path, fleet: Fleet, told: list[Tell], line: bytes) -> None:
    before = fleet.store.last_seq()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(10)
        raw.connect(f"/proc/self/fd/{_handle(state_dir)}/{SOCKET_NAME}")
        raw.sendall(line)
        assert b'"Fault"' in raw.makefile("rb").readline()
    assert fleet.store.last_seq() == before
    assert isinstance(ask_supervisor(state_dir, note(fleet, "still there"), "worker:a.1"), Accepted)


_handles: list[int] = []


def _handle(directory: Path) -> int:
    import os

    handle = os.open(directory, os.O_PATH)
    _handles.append(handle)
    return handle


@pytest.fixture(autouse=True)
def _close_handles() -> Iterator[None]:
    import os

    yield
    while _handles:
        os.close(_handles.pop())


def test_tell_reaches_the_supervisor(state_dir: Path, fleet: Fleet, told: list[Tell]) -> None:
    assert tell_supervisor(state_dir, Tell("down", now=True))
    assert told == [Tell("down", now=True)]


def test_without_a_supervisor_the_journal_is_written_directly(state_dir: Path, fleet: Fleet) -> None:
    assert ask_supervisor(state_dir, note(fleet, "x"), "worker:a.1") is None
    assert not tell_supervisor(state_dir, Tell("down"))
    assert isinstance(submit(state_dir, note(fleet, "direct"), "worker:a.1"), Accepted)
    last = fleet.look(lambda state, _: fleet.store.entries(state.seq - 1))
    assert last[-1].event == ev.NoteAdded(RunId("a.1"), "direct")


def test_no_fleet_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(StateDirError, match="there is no fleet at"):
        submit(tmp_path, cmd.RetryItem(ItemId("a")), "person:me")
