"""`ganger log`: what a run printed, in words that are the same for every agent program, while it grows or afterwards.

No model is asked and nothing is sent: everything is read from the files that are kept of the run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import msgspec

from ganger.cli.look import Looking
from ganger.cli.main import App
from ganger.cli.output import NO, YES, clock, say, say_json, tell, tell_error
from ganger.cli.transcript import Piece, Transcript, as_printed
from ganger.core.ids import is_run_id
from ganger.drivers.port import Driver, load_driver
from ganger.errors import GangerError, UsageError
from ganger.service import wiring
from ganger.service.kept import DataClass, Manifest, read_manifest
from ganger.service.places import Places

FOLLOW_S = 0.25
_CHUNK = 1 << 20


@click.command()
@click.argument("ref", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on printing as it grows.")
@click.option("-n", "--last", type=click.IntRange(1, 1_000_000), help="Begin with the last so many lines.")
@click.option("--raw", is_flag=True, help="Print the program's own output, line for line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each piece instead.")
@click.pass_obj
def log(app: App, ref: str | None, follow: bool, last: int | None, raw: bool, as_json: bool) -> int:
    """Show what a run printed (REF: run or item), or, without REF, what happened in the fleet.

    The output of an agent program is told in the same words for each of them: what it says, which tools it uses on
    what, what it spent, and how its turn ended. It stays readable when the worker and its workspace are gone, until the
    run's output is pruned. Nobody is asked, and no model hears of it. With --follow, an item's first run is waited for.

    Exit status: 0 there is something; 1 it has printed nothing yet, or that was pruned.
    """
    if ref is None:
        from ganger.cli.records import tail_events

        return tail_events(app.state_dir(), last or 50, follow=follow, as_json=as_json)
    if as_json and (last or raw):
        raise UsageError("--json prints every piece: --last and --raw say nothing about that", "ganger log --help")
    with Looking(app) as looking:
        if follow and not is_run_id(ref):
            _await_begin(looking, ref)
        run = looking.run(ref).id
        if as_json:
            _pieces(app, looking, run, follow)
        else:
            _print(_lines(app, looking, run, follow, raw), last)
        if _outputs(looking, run):
            return YES
        tell_error(f"{run} {_why_no_output(looking, run)}")
        return NO


def _await_begin(looking: Looking, ref: str) -> None:
    """Wait until an item has had a run, or is to have none."""
    from ganger.cli.progress import SETTLED

    is_told = False
    while (item := looking.item(ref)).status not in SETTLED and not looking.reader.runs(item.id):
        if not is_told:
            tell(f"item {item.id} has had no run yet: waiting for one")
        is_told = True
        time.sleep(FOLLOW_S)


def last_lines(app: App, looking: Looking, run: str, number: int) -> tuple[str, ...]:
    """The end of what a run printed, for a person who looks at a worker that is gone."""
    return tuple(deque((line for line in _lines(app, looking, run, False, False) if line is not None), number))


def _why_no_output(looking: Looking, run: str) -> str:
    pruned = [row for row in looking.reader.prunings(run) if DataClass.output in json.loads(row.classes)]
    if not pruned:
        return "has printed nothing yet"
    return f"has no output any more: it was pruned at {clock(pruned[-1].at_ms)}"


def _print(lines: Iterator[str | None], last: int | None) -> None:
    """Print lines, the last so many first and what comes after as it comes."""
    held: deque[str] | None = deque(maxlen=last) if last else None
    for line in lines:
        if line is None:
            _flush(held)
            held = None
        elif held is None:
            say(line)
        else:
            held.append(line)
    _flush(held)


def _flush(held: deque[str] | None) -> None:
    for line in held or ():
        say(line)
    sys.stdout.flush()


def _lines(app: App, looking: Looking, run: str, follow: bool, raw: bool) -> Iterator[str | None]:
    """The lines to be shown; None each time that all there is has been, and more may come."""
    shown: dict[Path, Transcript] = {}
    several = False
    for path, chunk, finished in _grown(looking, run, follow):
        if path is None:
            yield None
            continue
        if path not in shown:
            driver, settings = (None, {}) if raw else _driver_of(app, looking, path)
            shown[path] = Transcript(driver, settings)
            several = several or _turn_of(path) > 1
            if several and shown[path].tells:
                yield f"turn {_turn_of(path)}"
        yield from shown[path].lines(chunk, finished)


def _pieces(app: App, looking: Looking, run: str, follow: bool) -> None:
    """Print each piece of output with what it means."""
    shown: dict[Path, tuple[Transcript, int]] = {}
    for path, chunk, finished in _grown(looking, run, follow):
        if path is None:
            sys.stdout.flush()
            continue
        if path not in shown:
            shown[path] = Transcript(*_driver_of(app, looking, path)), 0
        transcript, at = shown[path]
        piece: Piece = transcript.piece(chunk, finished)
        shown[path] = transcript, at + len(piece.text)
        if piece.text:
            say_json(
                "ganger.log",
                {
                    "run": run,
                    "turn": _turn_of(path),
                    "at": at,
                    "text": as_printed(piece.text),
                    "events": [msgspec.to_builtins(event) for event in piece.events],
                },
            )


def _grown(looking: Looking, run: str, follow: bool) -> Iterator[tuple[Path | None, bytes, bool]]:
    """What was added to the outputs of a run: the file, the bytes, and whether no more will come to it.

    (None, b"", False) each time that everything there is has been given and more is waited for.
    """
    read: dict[Path, int] = {}
    ended: set[Path] = set()
    while True:
        found = looking.reader.run(run)
        over = not follow or found is None or bool(found.ended_ms)
        outputs = _outputs(looking, run)
        for path in outputs:
            finished = over or path != outputs[-1]
            if path in ended:
                continue
            for chunk in _chunks(path, read.get(path, 0)):
                read[path] = read.get(path, 0) + len(chunk)
                yield path, chunk, False
            if finished:
                ended.add(path)
                yield path, b"", True
        if over:
            return
        yield None, b"", False
        time.sleep(FOLLOW_S)


def _outputs(looking: Looking, run: str) -> list[Path]:
    """The outputs of a run's turns, in their order."""
    return sorted(Places(looking.state_dir).run(run).glob("turn-*/output.log"), key=_turn_of)


def _chunks(path: Path, at: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(at)
        until = os.fstat(file.fileno()).st_size
        while at < until and (chunk := file.read(min(_CHUNK, until - at))):
            at += len(chunk)
            yield chunk


def _turn_of(path: Path) -> int:
    """The turn whose output a file is."""
    return int(path.parent.name.removeprefix("turn-"))


def _driver_of(app: App, looking: Looking, path: Path) -> tuple[Driver | None, Mapping[str, str]]:
    """What reads the output of a turn: the driver that started it, with the settings that its agent has by now.

    Where nobody knows, as when a plugin is gone, the output is shown as it is.
    """
    found = read_manifest(looking.state_dir, path.parents[1].name, _turn_of(path))
    if not isinstance(found, Manifest) or not found.driver:
        return None, {}
    try:
        driver = load_driver(found.driver)
        if driver.product is not None:
            return driver, {}
        agents = wiring.gather(app.start, os.environ, app.state_override, {}).config.agents
        return driver, agents[found.agent].settings if found.agent in agents else {}
    except GangerError:
        return None, {}
