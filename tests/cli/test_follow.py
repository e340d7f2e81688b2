"""Whoever follows a journal or a log while it grows misses nothing and invents nothing, also when cut off (RO1)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from builders import Fleet

from ganger.core import commands as cmd
from ganger.journal.store import Store
from ganger.service.door import kept_policy
from ganger.service.fleet import Accepted
from ganger.service.fleet import Fleet as Fleets

WRITERS, EACH = 4, 60


class Following:
    """A command that follows, and the whole lines it has printed."""

    def __init__(self, fleet: Fleet, *words: str) -> None:
        self.process = fleet.start(*words)
        self.lines: list[bytes] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith(b"\n"):
                self.lines.append(line)

    def end(self, number: signal.Signals = signal.SIGKILL) -> list[bytes]:
        """Kill it, whatever it is about to print; returns its whole lines."""
        self.process.send_signal(number)
        self._reader.join()
        self.process.communicate()
        return self.lines


def write(fleet: Fleet, number: int) -> None:
    """One writer: takes so many leases, each of a scope of its own."""
    policy = kept_policy(fleet.state)
    with closing(Fleets(Store(fleet.state / "journal.db", policy.paths), policy)) as fleets:
        for count in range(EACH):
            held = fleets.submit(cmd.AcquireLease(f"editor {number}", scope=(f"e{number}/{count}",)), "person:dana")
            assert isinstance(held, Accepted), held


@contextmanager
def writers(fleet: Fleet) -> Iterator[None]:
    """Several processes that append while the block runs; it ends when all are done."""
    children = []
    for number in range(WRITERS):
        child = os.fork()
        if not child:
            code = 1
            try:
                write(fleet, number)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    yield
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * WRITERS


@pytest.fixture
def begun(fleet: Fleet) -> Fleet:
    """A fleet with a journal, and no supervisor."""
    fleet.begin()
    fleet.configure()
    assert fleet.ganger("lease", "acquire", "--scope", "docs/**").code == 0
    return fleet


def parsed(lines: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def until(begun: Fleet, after: int, number: int) -> list[bytes]:
    """The lines that a reader had printed when it was killed, soon after it had printed so many."""
    following = Following(begun, "journal", "tail", "--json", "-f", "--after", str(after))
    begun.wait(lambda: len(following.lines) >= number)
    return following.end()


def test_a_reader_that_is_killed_again_and_again_reads_each_entry_once(begun: Fleet) -> None:
    """Four processes append; the reader is killed three times, and each time goes on behind its last whole line."""
    read: list[dict[str, Any]] = []
    with writers(begun):
        for stop_at in (40, 90, 150):
            last = read[-1]["seq"] if read else 0
            read += parsed(until(begun, last, stop_at - len(read)))
    whole = parsed(begun.ganger("journal", "export", "--json").out.encode().splitlines())
    read += parsed(until(begun, read[-1]["seq"], len(whole) - len(read)))
    assert len(whole) > WRITERS * EACH
    assert [entry["seq"] for entry in read] == list(range(1, len(whole) + 1))
    told = [{name: entry[name] for name in ("seq", "at_ms", "actor", "crc", "hash", "event")} for entry in read]
    assert told == [{name: entry[name] for name in told[0]} for entry in whole]


def test_the_log_of_the_fleet_follows_too(begun: Fleet) -> None:
    following = Following(begun, "log", "-f")
    begun.wait(lambda: bool(following.lines))
    with writers(begun):
        pass
    number = len(begun.ganger("journal", "export").out.splitlines())
    begun.wait(lambda: len(following.lines) >= number)
    lines = [line.split() for line in following.end()]
    assert [int(words[0]) for words in lines] == list(range(1, number + 1))
    assert begun.ganger("journal", "tail", "-n", "1000").out.encode().splitlines() == [
        line.rstrip(b"\n") for line in following.lines
    ]


def test_nothing_comes_after_the_end(begun: Fleet) -> None:
    assert begun.ganger("journal", "tail", "--after", "1000").out == ""
    assert begun.ganger("journal", "tail", "--after", "-1").code == 2
    last = begun.json("status")["seq"]
    assert len(begun.ganger("journal", "tail", "--after", str(last - 1)).out.splitlines()) == 1


SLOW = r"""
case $GANGER_TURN in
1)  printf 'one h\303'; sleep 0.8; printf '\251ll'; sleep 0.4; printf 'o\n\n\nthree\n'; sleep 0.4; printf 'no end' ;;
*)  i=0; while [ $i -lt 40 ]; do echo "again $i"; i=$((i+1)); sleep 0.02; done
    echo x >> src/$item.txt; commit work; printf 'the end' ;;
esac
"""
PRINTED = ["one héllo", "", "", "three", "no end", *(f"again {number}" for number in range(40)), "the end"]


def test_what_a_run_prints_is_followed_over_its_turns(fleet: Fleet) -> None:
    """Letters and lines that are written in pieces come whole; the first turn is rejected, the second is followed."""
    fleet.begin()
    fleet.shell_agent("default", SLOW)
    fleet.configure()
    fleet.item("a")
    night = fleet.start("run", str(fleet.plan()), "--trust", "--quiet")
    fleet.wait(lambda: (fleet.state / "journal.db").exists() and fleet.ganger("show", "a.1").code == 0)
    text = Following(fleet, "log", "a", "-f")
    pieces = fleet.start("log", "a.1", "-f", "--json")
    out, _ = pieces.communicate(timeout=60)
    assert text.process.wait(60) == 0
    assert night.wait(60) == 0
    night.communicate()
    assert b"".join(text.end()).decode().splitlines() == PRINTED
    assert fleet.ganger("log", "a").out.splitlines() == PRINTED
    found = parsed(out.splitlines())
    for turn in (1, 2):
        mine = [piece for piece in found if piece["turn"] == turn]
        stored = (fleet.state / f"runs/a.1/turn-{turn}/output.log").read_bytes()
        assert b"".join(piece["text"].encode() for piece in mine) == stored
        assert [piece["at"] for piece in mine] == [
            sum(len(before["text"].encode()) for before in mine[:number]) for number in range(len(mine))
        ]
        assert all(piece["text"].endswith("\n") for piece in mine[:-1])
    assert len(found) > 3


def test_a_reader_whose_pipe_is_closed_ends(begun: Fleet) -> None:
    process = begun.start("journal", "tail", "-f")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert begun.ganger("lease", "acquire", "--scope", "tests/**").code == 0
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert isinstance(process, subprocess.Popen)
