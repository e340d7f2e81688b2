"""A result file is a report once it is whole, and of the run and the token it says; anything else is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from test_worker_door import OTHER, RUN, fleet, place, state_dir, tokens  # noqa: F401 - fixtures

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.model import Outcome, ReportKind, WorkerId
from ganger.service.fleet import Fleet
from ganger.service.worker_door import Listener
from ganger.service.worker_talk import ANSWERS, RESULT, SPOOL, TAKEN, Done, Refused, decode_answer


@pytest.fixture
def listener(state_dir: Path, fleet: Fleet) -> Listener:  # noqa: F811
    for run in (RUN, OTHER):
        fleet.submit(cmd.RecordStart(run, tokens(fleet)[run], 1, WorkerId(1, 1)), "supervisor")
    return Listener(state_dir, fleet)


def result(fleet: Fleet, **changes: object) -> dict[str, object]:  # noqa: F811
    said = {"kind": "ganger.result", "version": 1, "run": RUN, "token": tokens(fleet)[RUN], "outcome": "completed"}
    return {**said, "summary": "It is done.", **changes}


def leave(state: Path, content: bytes) -> Path:
    path = place(state) / SPOOL / RESULT
    fresh = path.with_name(".fresh")
    fresh.write_bytes(content)
    fresh.replace(path)
    return path


def reports(fleet: Fleet) -> list[ev.RunReported]:  # noqa: F811
    return [entry.event for entry in fleet.store.entries() if isinstance(entry.event, ev.RunReported)]


def test_a_whole_file_is_a_report_and_is_taken_once(state_dir: Path, fleet: Fleet, listener: Listener) -> None:  # noqa: F811
    path = leave(state_dir, json.dumps(result(fleet, evidence=["tests"], outcome="findings")).encode())
    listener.take_in_all()
    listener.take_in_all()
    (said,) = reports(fleet)
    assert (said.run, said.report.kind, said.report.outcome) == (RUN, ReportKind.done, Outcome.findings)
    assert (said.report.summary, said.report.evidence) == ("It is done.", ("tests",))
    assert not path.exists()
    assert len(list((place(state_dir) / TAKEN).iterdir())) == 1
    assert isinstance(decode_answer((place(state_dir) / ANSWERS / RESULT).read_bytes()), Done)


def test_failed_is_a_report_too(state_dir: Path, fleet: Fleet, listener: Listener) -> None:  # noqa: F811
    leave(state_dir, json.dumps(result(fleet, outcome="failed", summary="cannot")).encode())
    listener.take_in_all()
    assert [said.report.kind for said in reports(fleet)] == [ReportKind.fail]


def test_a_second_one_is_refused(state_dir: Path, fleet: Fleet, listener: Listener) -> None:  # noqa: F811
    for summary in ("first", "second"):
        leave(state_dir, json.dumps(result(fleet, summary=summary)).encode())
        listener.take_in_all()
    assert [said.report.summary for said in reports(fleet)] == ["first"]
    assert isinstance(decode_answer((place(state_dir) / ANSWERS / RESULT).read_bytes()), Refused)


WRONG = {
    "another run": {"run": "b.1"},
    "another token": {"token": 999},
    "another kind": {"kind": "ganger.report"},
    "a later version": {"version": 2},
    "an unknown outcome": {"outcome": "great"},
    "an unknown field": {"also": 1},
}


@pytest.mark.parametrize("what", WRONG)
def test_with_another_header_it_is_none(state_dir: Path, fleet: Fleet, listener: Listener, what: str) -> None:  # noqa: F811
    path = leave(state_dir, json.dumps(result(fleet, **WRONG[what])).encode())
    listener.take_in_all()
    assert reports(fleet) == []
    assert path.exists()


def test_no_part_of_one_is_one(state_dir: Path, fleet: Fleet, listener: Listener) -> None:  # noqa: F811
    whole = json.dumps(result(fleet)).encode()
    for size in range(len(whole)):
        leave(state_dir, whole[:size])
        listener.take_in_all()
    assert reports(fleet) == []
    leave(state_dir, whole)
    listener.take_in_all()
    assert len(reports(fleet)) == 1


@pytest.mark.parametrize(
    "text", [b"Error: 529 overloaded_error", b"I have launched the task.", b"null", b"[]", b"x" * 300_000]
)
def test_words_of_a_harness_are_none(state_dir: Path, fleet: Fleet, listener: Listener, text: bytes) -> None:  # noqa: F811
    leave(state_dir, text)
    listener.take_in_all()
    assert reports(fleet) == []


def test_only_a_plain_file_is_read(state_dir: Path, fleet: Fleet, listener: Listener, tmp_path: Path) -> None:  # noqa: F811
    path = place(state_dir) / SPOOL / RESULT
    (tmp_path / "elsewhere").write_bytes(json.dumps(result(fleet)).encode())
    path.symlink_to(tmp_path / "elsewhere")
    listener.take_in_all()
    path.rename(path.with_name("aside"))
    os.mkfifo(path)
    listener.take_in_all()
    assert reports(fleet) == []
