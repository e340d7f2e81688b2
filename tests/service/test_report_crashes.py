"""A report is one change however often it is said and wherever whoever takes it in dies; the answer is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from test_worker_door import OTHER, RUN, fleet, place, state_dir, tokens  # noqa: F401 - fixtures

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import RunId, Token
from ganger.core.model import RefusalCode
from ganger.journal.store import Store
from ganger.service.fleet import Fleet
from ganger.service.worker_door import Listener, secret_of
from ganger.service.worker_talk import ANSWERS, SPOOL, Done, Kept, Refused, Say, decode_answer, encode, new_key, speak

STEPS = ("kept", "carried out", "answered", "put aside")


def report(state: Path, fleet: Fleet, run: RunId = RUN, token: int = 0) -> Say:  # noqa: F811
    found = tokens(fleet)[RUN]
    return Say(cmd.ReportDone(run, Token(token or found), summary="done"), secret_of(state, RUN, found), new_key())


def reports(fleet: Fleet) -> int:  # noqa: F811
    return sum(isinstance(entry.event, ev.RunReported) for entry in fleet.store.entries())


@pytest.mark.parametrize("died", STEPS)
def test_one_change_wherever_the_supervisor_dies(state_dir: Path, fleet: Fleet, died: str) -> None:  # noqa: F811
    message, door = report(state_dir, fleet), place(state_dir)
    assert speak(door, message) == Kept()
    (spooled,) = (door / SPOOL).iterdir()
    answered = door / ANSWERS / message.key
    step = STEPS.index(died)
    if step >= 1:
        first = Listener(state_dir, fleet).answer(RUN, tokens(fleet)[RUN], encode(message))
        assert isinstance(first, Done) and first.changed
    if step >= 2:
        answered.write_bytes(encode(first))
    if step >= 3:
        spooled.unlink()
    reader = Fleet(Store(state_dir / "journal.db"), fleet.policy)
    assert reports(reader) == (step >= 1), "what was acknowledged is in the journal"
    for _ in range(3):
        Listener(state_dir, reader).take_in_all()
    assert reports(reader) == 1
    known = decode_answer(answered.read_bytes())
    (seq,) = (entry.seq for entry in reader.store.entries() if isinstance(entry.event, ev.RunReported))
    assert isinstance(known, Done) and known.seq == seq, "the acknowledgement is that of the first time"
    reader.close()


def test_said_three_times_it_is_acknowledged_three_times(state_dir: Path, fleet: Fleet) -> None:  # noqa: F811
    message, listener = report(state_dir, fleet), Listener(state_dir, fleet)
    told = [listener.answer(RUN, tokens(fleet)[RUN], encode(message)) for _ in range(3)]
    assert [type(one) for one in told] == [Done] * 3 and len({one.seq for one in told if isinstance(one, Done)}) == 1
    other = replace(message, key=new_key())
    assert listener.answer(RUN, tokens(fleet)[RUN], encode(other)) == Done(told[0].seq)  # type: ignore[union-attr]
    assert reports(fleet) == 1


@pytest.mark.parametrize(("run", "token"), [(OTHER, 0), (RunId("a.2"), 0), (RUN, 999)])
def test_with_another_id_it_is_rejected(state_dir: Path, fleet: Fleet, run: RunId, token: int) -> None:  # noqa: F811
    told = Listener(state_dir, fleet).answer(RUN, tokens(fleet)[RUN], encode(report(state_dir, fleet, run, token)))
    assert isinstance(told, Refused)
    assert told.refusal.code in (RefusalCode.forbidden, RefusalCode.stale_token)
    assert reports(fleet) == 0
