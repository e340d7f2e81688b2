"""What a hook is answered where there is no gate: from what was left for it, and from the journal's tables.

A worker finds the file that the supervisor leaves in the folder of its run; where it sees the journal too, that has the
last word. A person's own session has no run: it is told when somebody else holds what is about to be written. When
neither can be read, what writes is denied and what reads is not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from ganger.core.admission import path_fault
from ganger.core.patterns import PathRules, scope_matches
from ganger.drivers.hooks import Act, Allow, Answer, Asked, Deny, Dialect, HookEvent, NotAPayload
from ganger.errors import GangerError, RepositoryError
from ganger.journal.queries import NoFleet, Reader
from ganger.service import place
from ganger.service.door import kept_policy
from ganger.worker_api import judge
from ganger.worker_api.gate import STALE
from ganger.worker_api.guards import Memory, installed
from ganger.worker_api.shell import Deed, Forbidden, How, deeds
from ganger.worker_api.views import RULES, VIEW, Rules, RunView, decode_rules, decode_view

LEFT_BYTES_MAX = 4 << 20
Held: TypeAlias = tuple[PathRules, tuple[tuple[str, tuple[str, ...]], ...]]
"""How names are compared, and the runs with their scopes."""


def answer(
    environ: Mapping[str, str], event: HookEvent, dialect: Dialect, payload: bytes, start: Path, now_ms: int
) -> bytes:
    """Answer a hook, whatever it hands in."""
    try:
        asked = dialect.read(event, payload)
    except NotAPayload as error:
        return dialect.answer(event, judge.unreadable(event, error))
    try:
        if "GANGER_DOOR" in environ or "GANGER_RUN" in environ:
            found = _of_worker(environ, asked, now_ms)
        else:
            found = _of_person(environ, asked, start)
    except (GangerError, OSError, ValueError) as error:
        reason = error.message if isinstance(error, GangerError) else str(error)
        found = judge.broken(event, asked.act is Act.read, reason)
    return dialect.answer(event, found)


def _of_worker(environ: Mapping[str, str], asked: Asked, now_ms: int) -> Answer:
    """Answer the worker of a run."""
    run, token, door = environ.get("GANGER_RUN", ""), environ.get("GANGER_TOKEN", ""), environ.get("GANGER_DOOR", "")
    rules, left = _left(Path(door).parent)
    if (left.run, str(left.token)) != (run, token):
        return judge.broken(asked.event, asked.act is Act.read, STALE)
    if asked.event is HookEvent.pre_tool:
        view = _as_journalled(left, Path(door).parents[2])
        if view is None:
            return judge.broken(asked.event, asked.act is Act.read, STALE)
        memory = Memory()
        memory.tell(view.known)
        return judge.judge(rules, view, asked, memory, installed(), now_ms)
    if asked.event is HookEvent.session_start:
        return judge.context(left, asked.event, set())
    return Allow()


def _left(folder: Path) -> tuple[Rules, RunView]:
    """What was left for a run; OSError or ValueError when nothing was."""
    try:
        rules: Rules = decode_rules(_content(folder / RULES))
        view: RunView = decode_view(_content(folder / VIEW))
    except msgspec.MsgspecError as error:
        raise ValueError(f"what was left in {folder} is not what it should be: {error}") from error
    return rules, view


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LEFT_BYTES_MAX)


def _as_journalled(view: RunView, state_dir: Path) -> RunView | None:
    """The view with the lease as the journal has it, where that can be seen; None when the run is not live any more."""
    journal = state_dir / place.JOURNAL
    try:
        os.close(os.open(journal, os.O_RDONLY | os.O_CLOEXEC))
    except (FileNotFoundError, PermissionError):
        return view  # as behind every wall
    reader = Reader(journal)
    try:
        row = reader.run(view.run)
    finally:
        reader.close()
    if row is None or row.ended_ms or row.token != view.token:
        return None
    scope = tuple(json.loads(row.scope))
    return replace(view, lease=replace(view.lease, scope=scope, expires_ms=row.expires_ms))


def _of_person(environ: Mapping[str, str], asked: Asked, start: Path) -> Answer:
    """Answer a session that ganger did not start: it has no lease, and must not step on those of others."""
    if asked.event is not HookEvent.pre_tool or asked.act in (Act.read, Act.other):
        return Allow()
    held: dict[Path, Held] = {}
    for path in _written(asked, str(start / asked.cwd)):
        top = _work_tree(path)
        if top is None:
            continue
        inside = path[len(str(top).rstrip("/")) + 1 :]
        if top not in held:
            held[top] = _held(top, environ)
        rules, scopes = held[top]
        run = next((run for run, scope in scopes if not path_fault(inside) and scope_matches(scope, inside, rules)), "")
        if run:
            return Deny(f"{inside} is held by {run}; wait for it, or ganger stop {run}: its work is kept")
    return Allow()


def _work_tree(path: str) -> Path | None:
    """The top of the checkout that a file is in, linked work trees among them."""
    return next((folder for folder in Path(path).parents if (folder / ".git").exists()), None)


def _held(top: Path, environ: Mapping[str, str]) -> Held:
    """The live runs of a checkout's fleet, each with what it alone may write; none where there is no fleet."""
    try:
        state_dir = place.state_dir(top, environ)
        reader = Reader(state_dir / place.JOURNAL)
    except (NoFleet, RepositoryError):
        return PathRules(), ()
    try:
        runs = reader.writing()
    finally:
        reader.close()
    return kept_policy(state_dir).paths, tuple((run, tuple(json.loads(scope))) for run, scope in runs)


def _written(asked: Asked, cwd: str) -> Iterator[str]:
    """The real paths of the files that would be written."""
    if asked.act is Act.write:
        named: Iterator[Deed | Forbidden] = (Deed(How.file, path) for path in asked.paths)
    else:
        named = deeds(asked.command)
    for deed in named:
        if not judge.is_name(cwd):
            raise ValueError(f"{cwd[:200]!r} names no folder")
        if isinstance(deed, Forbidden) or deed.how is How.directory or not judge.is_name(deed.path):
            continue
        path = judge.place_of(deed, cwd)
        if path is not None:
            yield path
            if deed.how is How.tree and judge.is_directory(path):
                yield from judge.files_in(path)
