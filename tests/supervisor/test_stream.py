"""What the events in a worker's output come to, however the output comes in."""

from __future__ import annotations

import json
import os
import random
from functools import reduce
from pathlib import Path

import pytest

from ganger.core.effects import Limit
from ganger.core.model import Usage
from ganger.drivers import port
from ganger.drivers.command import CommandDriver
from ganger.supervisor.stream import LINE_BYTES_MAX, Price, Stream, Told, tell

PRICE = (3.0, 15.0)
LS, MAKE = port.ToolCall("bash", "ls"), port.ToolCall("bash", "make")
LIMIT = port.RateLimited(1_790_000_000_000, "five-hour limit")


def reads(line: bytes) -> tuple[port.DriverEvent, ...]:
    return CommandDriver().events(line, {"output": "events"})


def line(**fields: object) -> bytes:
    return json.dumps(fields).encode() + b"\n"


USE = line(event="usage", tokens_in=100, tokens_out=10)


def stream(folder: Path, price: Price | None = PRICE) -> Stream:
    return Stream(folder, reads, price)


@pytest.mark.parametrize(
    ("events", "price", "usage"),
    [
        ([], PRICE, Usage()),
        ([port.Usage(100, 10)], PRICE, Usage(450, 110)),
        ([port.Usage(100, 10)], None, Usage(0, 110)),
        ([port.Usage(100, 10, 0.5)], PRICE, Usage(450, 110)),
        ([port.Usage(100, 10, 0.5)], (0.0, 0.0), Usage(0, 110)),
        ([port.Usage(100, 10, 0.5)], None, Usage(500_000, 110)),
        ([port.Usage(100, 10, 0.0)], None, Usage(0, 110)),
        ([port.Usage(100, 10), port.Usage(0, 0, 0.1)], PRICE, Usage(100_450, 110)),
        ([port.Usage(100, 10), port.Usage(150, 20, whole_turn=True)], PRICE, Usage(750, 170)),
        ([port.Usage(150, 20, whole_turn=True)] * 3, PRICE, Usage(750, 170)),
        ([port.Usage(9, 1), port.Usage(3, 1, whole_turn=True)], PRICE, Usage(42, 10)),
        ([port.Usage(1, 0)], (0.15, 0.6), Usage(1, 1)),
        ([port.Usage(0, 0, 0.0042)], None, Usage(4_200, 0)),
    ],
)
def test_usage_is_summed_and_priced(events: list[port.DriverEvent], price: Price | None, usage: Usage) -> None:
    assert reduce(lambda told, event: tell(told, event, price), events, Told()).usage == usage


@pytest.mark.parametrize(
    ("price", "before", "usage", "conversation"),
    [
        (None, Usage(), Usage(900_000, 110), Usage(900_000)),
        (None, Usage(400_000), Usage(500_000, 110), Usage(900_000)),
        (None, Usage(1_000_000), Usage(900_000, 110), Usage(900_000)),
        (PRICE, Usage(400_000), Usage(450, 110), Usage()),
    ],
)
def test_the_money_of_a_conversation_is_counted_once(
    price: Price | None, before: Usage, usage: Usage, conversation: Usage
) -> None:
    total = port.Usage(100, 10, 0.9, whole_turn=True, usd_of_conversation=True)
    told = reduce(
        lambda told, event: tell(told, event, price, {"s": before}.__getitem__), [port.Started("s"), total], Told()
    )
    assert (told.usage, told.conversation) == (usage, conversation)


@pytest.mark.parametrize(
    ("events", "same_calls"),
    [
        ([], 0),
        ([LS], 1),
        ([LS, LS, LS], 3),
        ([LS, port.ToolResult(True), port.Message("again"), LS], 2),
        ([LS, LS, MAKE], 1),
        ([LS, MAKE, LS], 1),
        ([LS, port.ToolCall("sh", "ls")], 1),
    ],
)
def test_identical_calls_in_a_row_are_counted(events: list[port.DriverEvent], same_calls: int) -> None:
    assert reduce(lambda told, event: tell(told, event, None), events, Told()).same_calls == same_calls


@pytest.mark.parametrize(
    ("events", "limit"),
    [
        ([LIMIT], Limit(1_790_000_000_000, "five-hour limit")),
        ([port.RateLimited(5), LIMIT], Limit(1_790_000_000_000, "five-hour limit")),
        (
            [LIMIT, port.Message("sorry"), port.TurnEnded(port.TurnOutcome.limited)],
            Limit(1_790_000_000_000, LIMIT.reason),
        ),
        ([LIMIT, port.Usage(1, 1)], Limit(1_790_000_000_000, LIMIT.reason)),
        ([LIMIT, LS], None),
        ([LIMIT, port.TurnEnded(port.TurnOutcome.completed)], None),
        ([port.RateLimited(0, "x" * 500)], Limit(0, "x" * 200)),
    ],
)
def test_a_limit_holds_until_the_provider_answers(events: list[port.DriverEvent], limit: Limit | None) -> None:
    assert reduce(lambda told, event: tell(told, event, None), events, Told()).limit == limit


def test_output_is_read_on_from_where_it_was(tmp_path: Path) -> None:
    following = stream(tmp_path)
    assert following.follow() and following.told == Told()
    log = tmp_path / "output.log"
    log.write_bytes(b"hello\n" + USE + USE[:20])
    assert following.follow() and following.told.usage == Usage(450, 110)
    assert following.follow() and following.told.usage == Usage(450, 110)
    with log.open("ab") as file:
        file.write(USE[20:-1])
    following.follow()
    assert following.told.usage == Usage(450, 110)
    following.follow(ended=True)
    following.follow(ended=True)
    assert following.told.usage == Usage(900, 220)


def test_another_supervisor_comes_to_the_same(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    first = stream(tmp_path)
    for _ in range(5):
        with log.open("ab") as file:
            file.write(USE + line(event="tool_call", name="bash"))
        first.follow()
    second = stream(tmp_path)
    second.follow()
    assert second.told == first.told and first.told.usage == Usage(2_250, 550) and first.told.same_calls == 5


@pytest.mark.parametrize("cut", ["truncated", "rotated"])
def test_output_that_is_cut_is_read_from_its_beginning(tmp_path: Path, cut: str) -> None:
    log = tmp_path / "output.log"
    log.write_bytes(USE + USE + b'{"event": "usage", "tok')
    following = stream(tmp_path)
    following.follow()
    if cut == "rotated":
        log.rename(tmp_path / "output.log.1")
    log.write_bytes(USE)
    following.follow()
    assert following.told.usage == Usage(1_350, 330)


def test_lines_that_are_too_long_are_passed_over(tmp_path: Path) -> None:
    long = line(event="usage", tokens_in=5, pad="x" * LINE_BYTES_MAX)
    endless = b"{" * (3 * LINE_BYTES_MAX) + b"\n"
    (tmp_path / "output.log").write_bytes(USE + long + USE + endless + USE + endless[:-1])
    following = stream(tmp_path)
    while not following.follow():
        assert len(following._part) <= LINE_BYTES_MAX
    following.follow(ended=True)
    assert following.told.usage == Usage(1_350, 330)


def test_a_flood_is_read_in_parts(tmp_path: Path) -> None:
    (tmp_path / "output.log").write_bytes(USE * 100)
    following = stream(tmp_path)
    looks = 1
    while not following.follow(bytes_max=1_000):
        looks += 1
    assert looks == -(-len(USE) * 100 // 1_000)
    assert following.told.usage == Usage(45_000, 11_000)


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_matter_how_the_output_comes_in(tmp_path: Path, seed: int) -> None:
    """Against reading all lines at once."""
    dice = random.Random(seed)
    kinds = [USE, line(event="tool_call", name="ls"), b"text\n", b"\n", line(event="rate_limited"), b"\xff{\x00\n"]
    text = b"".join(dice.choice(kinds) for _ in range(60))
    expected = Told()
    for whole in text.split(b"\n"):
        for event in reads(whole):
            expected = tell(expected, event, PRICE)
    following = stream(tmp_path)
    log = tmp_path / "output.log"
    at = 0
    while at < len(text):
        size = dice.randrange(1, 200)
        with log.open("ab") as file:
            file.write(text[at : at + size])
        at += size
        while not following.follow(bytes_max=dice.randrange(1, 150)):
            pass
    assert following.told == expected


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(USE)
    (tmp_path / "output.log").symlink_to(tmp_path / "elsewhere")
    following = stream(tmp_path)
    assert following.follow() and following.told == Told()
    (tmp_path / "output.log").unlink()
    os.mkfifo(tmp_path / "output.log")
    assert following.follow() and following.told == Told()
