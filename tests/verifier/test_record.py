"""Records of test runners: what they say, and that nobody without the secret can say it."""

from __future__ import annotations

import hmac
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ganger.verifier.record import Ending, Seen, Session, lay_out, read

SECRET_NAME = "00"


def sealed(secret: bytes, lines: list[dict[str, Any]]) -> list[bytes]:
    """Lines as a recorder writes them."""
    rows, previous = [], b""
    for line in lines:
        text = json.dumps(line).encode()
        previous = hmac.new(secret, previous + text, "sha256").hexdigest().encode()
        rows.append(previous + b" " + text)
    return rows


STORY: list[dict[str, Any]] = [
    {"what": "start", "runner": "pytest"},
    {"what": "test", "id": "a.py::test_a", "outcome": "passed", "file": "a.py"},
    {"what": "test", "id": "a.py::test_b", "outcome": "skipped", "file": "a.py"},
    {"what": "end", "status": 0, "patched": ["x"], "hooks": [], "deceived": "", "news": 1},
]


def record(folder: Path, rows_of: Any) -> Seen:
    """Have a session write what `rows_of` makes of its secret."""
    laid = lay_out(folder, 2)
    (folder / f"{SECRET_NAME}.secret").rename(folder / f"{SECRET_NAME}.secret.taken")
    (folder / f"{SECRET_NAME}.record").write_bytes(b"".join(row + b"\n" for row in rows_of(laid[SECRET_NAME])))
    return read(folder, laid)


def test_a_whole_record_is_read(tmp_path: Path) -> None:
    seen = record(tmp_path / "seen", lambda secret: sealed(secret, STORY))
    assert seen.sessions == (Session("pytest", ended=True, patched=("x",)),)
    assert seen.tests == {"a.py::test_a": Ending("passed", "a.py"), "a.py::test_b": Ending("skipped", "a.py")}
    assert (seen.executed, seen.runners) == (1, "pytest")


def test_nobody_ran_a_test(tmp_path: Path) -> None:
    laid = lay_out(tmp_path / "seen", 3)
    assert read(tmp_path / "seen", laid) == Seen()


FORGED = {
    "another secret": lambda secret: sealed(b"guess", STORY),
    "a line added": lambda secret: [*sealed(secret, STORY), b"0" * 64 + b' {"what": "test"}'],
    "a line taken out": lambda secret: [row for n, row in enumerate(sealed(secret, STORY)) if n != 2],
    "a line changed": lambda secret: [row.replace(b"skipped", b"passed") for row in sealed(secret, STORY)],
    "lines in another order": lambda secret: sealed(secret, STORY)[::-1],
    "no seal at all": lambda secret: [json.dumps(line).encode() for line in STORY],
    "not JSON": lambda secret: [*sealed(secret, STORY)[:2], b"\xff\xfe"],
}


@pytest.mark.parametrize("how", FORGED)
def test_what_is_not_sealed_is_forged(tmp_path: Path, how: str) -> None:
    assert record(tmp_path / "seen", FORGED[how]).sessions[0].forged


@pytest.mark.parametrize("length", range(len(STORY)))
def test_what_is_cut_off_has_no_end(tmp_path: Path, length: int) -> None:
    session = record(tmp_path / "seen", lambda secret: sealed(secret, STORY)[:length]).sessions[0]
    assert not session.ended and not session.forged


@pytest.mark.parametrize("instead", ["link", "pipe", "folder", "nothing"])
def test_something_else_in_its_place_is_no_record(tmp_path: Path, instead: str) -> None:
    folder = tmp_path / "seen"
    laid = lay_out(folder, 1)
    (folder / "00.secret").unlink()
    path = folder / "00.record"
    if instead == "link":
        (tmp_path / "elsewhere").write_bytes(b"\n".join(sealed(laid["00"], STORY)))
        path.symlink_to(tmp_path / "elsewhere")
    elif instead == "pipe":
        os.mkfifo(path)
    elif instead == "folder":
        path.mkdir()
    assert read(folder, laid) == Seen((Session("", ended=False),), {})


def test_the_worst_of_a_test_counts(tmp_path: Path) -> None:
    lines = [{"what": "test", "id": "t", "outcome": outcome} for outcome in ("passed", "failed", "passed")]
    seen = record(tmp_path / "seen", lambda secret: sealed(secret, [STORY[0], *lines]))
    assert seen.tests == {"t": Ending("failed")}
