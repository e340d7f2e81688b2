"""What workers say reaches the fleet through the socket of their run, or later; what is not theirs to say does not."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.facts import Unread
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Seq, Token
from ganger.core.model import EndKind, ItemSpec, RefusalCode, When, WorkerId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.door import keep_policy, submit
from ganger.service.fleet import Accepted, Fleet
from ganger.service.places import Places
from ganger.service.worker_door import Listener, WorkerDoor, live, prepare, secret_of
from ganger.service.worker_talk import (
    ENDED,
    LINE_BYTES_MAX,
    SOCKET,
    SPOOL,
    Done,
    HeardMail,
    Kept,
    Mail,
    MayWrite,
    Refused,
    Say,
    Unheard,
    decode_answer,
    encode,
    fetch_mail,
    new_key,
    short_path,
    speak,
)

RUN, OTHER = RunId("a.1"), RunId("b.1")


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    return deep


@pytest.fixture
def fleet(state_dir: Path) -> Iterator[Fleet]:
    policy = Policy(workers_max=4)
    keep_policy(state_dir, policy)
    fleet = Fleet(Store(state_dir / "journal.db"), policy)
    specs = [ItemSpec(id=ItemId(name), plan=PlanId("p"), title=name, scope=(f"{name}/**",)) for name in "ab"]
    fleet.submit(cmd.AddPlan(PlanId("p"), "P", "p.toml", "1", tuple((spec, "do it") for spec in specs)), "person:me")
    for name in "ab":
        assert isinstance(fleet.submit(cmd.GrantRun(ItemId(name), Commit("1" * 40)), "supervisor"), Accepted)
    for run in (RUN, OTHER):
        prepare(state_dir, run)
    yield fleet
    fleet.close()


@pytest.fixture
def door(state_dir: Path, fleet: Fleet) -> Iterator[WorkerDoor]:
    made = WorkerDoor(state_dir, fleet)
    made.serve(tokens(fleet))
    for run in (RUN, OTHER):
        wait_for(place(state_dir, run) / SOCKET)
    yield made
    made.close()


def tokens(fleet: Fleet) -> dict[RunId, Token]:
    return fleet.look(lambda state, _: live(state))


def place(state_dir: Path, run: RunId = RUN) -> Path:
    return Places(state_dir).door(run)


def wait_for(path: Path) -> None:
    waited = threading.Event()
    while not path.exists():
        waited.wait(0.005)


def note(state_dir: Path, fleet: Fleet, text: str, run: RunId = RUN, speaker: RunId = RUN) -> Say:
    token = tokens(fleet)[run]
    secret = secret_of(state_dir, speaker, tokens(fleet)[speaker])
    return Say(cmd.AddNote(run, token, text), secret, new_key())


def notes(fleet: Fleet) -> list[tuple[str, str]]:
    found = [(entry.actor, entry.event) for entry in fleet.store.entries()]
    return [(actor, event.text) for actor, event in found if isinstance(event, ev.NoteAdded)]


def raw(state_dir: Path, line: bytes) -> object:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        with short_path(place(state_dir), SOCKET) as path:
            connection.connect(path)
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        return decode_answer(connection.makefile("rb").readline())


def test_a_worker_is_heard_as_itself(state_dir: Path, fleet: Fleet, door: WorkerDoor) -> None:
    answer = speak(place(state_dir), note(state_dir, fleet, "hello"))
    assert isinstance(answer, Done) and answer.changed
    assert notes(fleet) == [("worker:a.1", "hello")]


def test_it_may_ask_whether_it_may_write(state_dir: Path, fleet: Fleet, door: WorkerDoor) -> None:
    secret, token = secret_of(state_dir, RUN, tokens(fleet)[RUN]), tokens(fleet)[RUN]
    assert speak(place(state_dir), MayWrite("a/x", token, secret, new_key())) == Done(0)
    outside = speak(place(state_dir), MayWrite("b/x", token, secret, new_key()))
    assert isinstance(outside, Refused) and outside.refusal.code is RefusalCode.overlap
    stale = speak(place(state_dir), MayWrite("a/x", 1, secret, new_key()))
    assert isinstance(stale, Refused) and stale.refusal.code is RefusalCode.stale_token


def at_work(fleet: Fleet, *texts: str) -> tuple[Seq, ...]:
    """Have the worker of the run at work, and these things said to it; returns their numbers."""
    token = tokens(fleet)[RUN]
    started = cmd.RecordStart(RUN, token, 1, WorkerId(7, 0, "b"))
    assert isinstance(fleet.submit(started, fleet.acts_as), Accepted)
    for text in texts:
        assert isinstance(fleet.submit(cmd.TellRun(RUN, text, When.steer, "dana"), "person:dana"), Accepted)
    return tuple(one.seq for one in unread(fleet))


def unread(fleet: Fleet) -> tuple[Unread, ...]:
    return fleet.look(lambda state, _: state.runs[RUN].messages)


def test_what_is_said_to_it_is_handed_over_once_and_read_when_it_says_so(
    state_dir: Path, fleet: Fleet, door: WorkerDoor
) -> None:
    seqs = at_work(fleet, "use B", "and C")
    token, secret = tokens(fleet)[RUN], secret_of(state_dir, RUN, tokens(fleet)[RUN])
    heard = HeardMail(tuple(map(int, seqs)), token, secret, new_key())
    assert speak(place(state_dir), heard) == Done(int(fleet.store.last_seq()), False), "it was handed nothing yet"
    mail = fetch_mail(place(state_dir), token, secret)
    assert mail == Mail("Said to you just now:\n- from dana: use B\n- from dana: and C", tuple(map(int, seqs)))
    assert [(one.turn, one.at_work) for one in unread(fleet)] == [(1, True)] * 2
    assert fetch_mail(place(state_dir), token, secret) == Mail("")
    answer = speak(place(state_dir), heard)
    assert isinstance(answer, Done) and answer.changed and unread(fleet) == ()


def test_nobody_is_handed_what_is_said_to_another(state_dir: Path, fleet: Fleet, door: WorkerDoor) -> None:
    at_work(fleet, "a secret")
    token, theirs = tokens(fleet)[RUN], tokens(fleet)[OTHER]
    other = secret_of(state_dir, OTHER, theirs)
    for folder, number, secret in (
        (place(state_dir), token, other),
        (place(state_dir), token, ""),
        (place(state_dir), Token(1), secret_of(state_dir, RUN, token)),
        (place(state_dir, OTHER), theirs, other),
        (place(state_dir, OTHER), token, other),
    ):
        assert fetch_mail(folder, number, secret) == Mail("")
    assert [one.turn for one in unread(fleet)] == [0], "it still waits"


def test_what_waits_is_not_asked_for_where_nobody_listens(state_dir: Path, fleet: Fleet) -> None:
    at_work(fleet, "use B")
    token = tokens(fleet)[RUN]
    assert fetch_mail(place(state_dir), token, secret_of(state_dir, RUN, token)) == Mail("")
    assert list((place(state_dir) / SPOOL).iterdir()) == []
    Listener(state_dir, fleet).take_in_all()
    assert [one.turn for one in unread(fleet)] == [0]


def test_it_cannot_speak_for_another(state_dir: Path, fleet: Fleet, door: WorkerDoor) -> None:
    for message, said in (
        (note(state_dir, fleet, "x", run=OTHER), "the worker of a.1 may speak for its own run only"),
        (note(state_dir, fleet, "x", speaker=OTHER), "this is not the secret of a.1"),
        (msgspec.structs.replace(note(state_dir, fleet, "x"), secret=""), "this is not the secret of a.1"),
        (msgspec.structs.replace(note(state_dir, fleet, "x"), secret="é"), "this is not the secret of a.1"),
    ):
        answer = speak(place(state_dir), message)
        assert isinstance(answer, Refused) and answer.refusal.reason == said
    assert notes(fleet) == []


def test_only_what_a_worker_may_ask_for_is_understood(state_dir: Path, fleet: Fleet, door: WorkerDoor) -> None:
    whole = encode(note(state_dir, fleet, "x"))
    for line in (
        b"{}\n",
        b"\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        whole.replace(b'"AddNote"', b'"StopRun"') + b"\n",
        whole.replace(b'"AddNote"', b'"AnswerQuestion"') + b"\n",
        whole[:-1] + b',"actor":"person:me"}\n',
        encode(note(state_dir, fleet, "x" * LINE_BYTES_MAX)) + b"\n",
        encode(msgspec.structs.replace(note(state_dir, fleet, "x"), key="../../x")) + b"\n",
    ):
        assert isinstance(raw(state_dir, line), Unheard), line[:80]
    assert notes(fleet) == []


def test_what_is_said_to_nobody_is_taken_in_once_and_in_order(state_dir: Path, fleet: Fleet) -> None:
    for text in ("one", "two", "three"):
        assert speak(place(state_dir), note(state_dir, fleet, text)) == Kept()
    assert notes(fleet) == []
    listener = Listener(state_dir, fleet)
    kept = sorted((place(state_dir) / SPOOL).iterdir())
    again = [(path, path.read_bytes()) for path in kept]
    listener.take_in_all()
    assert [text for _, text in notes(fleet)] == ["one", "two", "three"]
    assert list((place(state_dir) / SPOOL).iterdir()) == []
    for path, content in again:  # as after a crash between the command and putting it aside
        path.write_bytes(content)
    listener.take_in_all()
    assert [text for _, text in notes(fleet)] == ["one", "two", "three"]


def test_a_person_hears_it_without_a_supervisor(state_dir: Path, fleet: Fleet) -> None:
    secret = secret_of(state_dir, RUN, tokens(fleet)[RUN])
    asked = Say(cmd.AskQuestion(RUN, tokens(fleet)[RUN], "Which?", ("left",), "left", ""), secret, new_key())
    assert speak(place(state_dir), asked) == Kept()
    assert isinstance(submit(state_dir, cmd.AddNote(OTHER, tokens(fleet)[OTHER], "x"), "worker:b.1"), Accepted)
    assert [str(one) for one in fleet.look(lambda state, _: list(state.questions))] == ["q1"]


def test_what_lies_in_the_folder_is_not_trusted(state_dir: Path, fleet: Fleet) -> None:
    folder, victim = place(state_dir) / SPOOL, state_dir / "victim"
    victim.write_bytes(encode(note(state_dir, fleet, "through a link")))
    names = [f"{number:020d}-{new_key()}" for number in range(5)]
    (folder / names[0]).symlink_to(victim)
    os.mkfifo(folder / names[1])
    (folder / names[2]).mkdir()
    (folder / names[3]).write_bytes(b"x" * (LINE_BYTES_MAX + 1))
    (folder / names[4]).write_bytes(encode(note(state_dir, fleet, "forged", run=OTHER)))
    (folder / "something.else").write_bytes(encode(note(state_dir, fleet, "by another name")))
    Listener(state_dir, fleet).take_in_all()
    assert notes(fleet) == []
    assert [path.name for path in folder.iterdir()] == ["something.else"]
    assert victim.exists()


def test_ended_runs_are_not_listened_to(state_dir: Path, fleet: Fleet, door: WorkerDoor) -> None:
    message = note(state_dir, fleet, "late")
    door.serve({OTHER: tokens(fleet)[OTHER]})
    waited = threading.Event()
    while (place(state_dir) / SOCKET).exists():
        waited.wait(0.005)
    assert speak(place(state_dir), message) == Kept()


@pytest.mark.parametrize("leaves", [False, True], ids=["while it is supervised", "as the supervisor leaves"])
def test_a_late_word_of_an_ended_run_is_refused(state_dir: Path, fleet: Fleet, leaves: bool) -> None:
    """Nobody will ever take it in, so it is not said to be kept."""
    made = WorkerDoor(state_dir, fleet)
    made.serve(tokens(fleet))
    wait_for(place(state_dir) / SOCKET)
    message, token = note(state_dir, fleet, "late"), tokens(fleet)[RUN]
    assert isinstance(speak(place(state_dir), message), Done)
    fleet.submit(cmd.StopRun(RUN, EndKind.stopped, "enough"), "person:me")
    assert isinstance(fleet.submit(cmd.RecordEnd(RUN, token, EndKind.stopped, "enough"), "supervisor"), Accepted)
    if not leaves:
        made.serve(tokens(fleet))
        wait_for(place(state_dir) / ENDED)
    made.close()
    again = Say(message.command, message.secret, new_key())
    refused = speak(place(state_dir), again)
    assert isinstance(refused, Refused) and refused.refusal.reason == "run a.1 is not live: it ended"
    assert speak(place(state_dir, OTHER), again) == Kept(), "the other one lives, and is heard later"


def test_a_flood_of_connections_is_cut(state_dir: Path, fleet: Fleet, door: WorkerDoor) -> None:
    held = []
    for _ in range(40):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with short_path(place(state_dir), SOCKET) as path:
            connection.connect(path)
        held.append(connection)
    assert isinstance(speak(place(state_dir, OTHER), note(state_dir, fleet, "b", run=OTHER, speaker=OTHER)), Done)
    for connection in held:
        connection.close()


def test_a_run_and_its_token_make_the_secret(state_dir: Path) -> None:
    found = {secret_of(state_dir, run, token) for run in (RUN, OTHER) for token in (Token(1), Token(2))}
    assert len(found) == 4
    assert secret_of(state_dir, RUN, Token(1)) in found
    assert (state_dir / "door.secret").stat().st_mode & 0o777 == 0o600
