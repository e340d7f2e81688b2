"""Which source reads a plan: one of those built in, or one that an installed package offers."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TypeVar, cast

from ganger.errors import ConfigError
from ganger.plans.beads_file import BeadsSource
from ganger.plans.draft import Draft, Field, Table
from ganger.plans.markdown_file import MarkdownSource
from ganger.plans.port import Faults, Known, Source
from ganger.plans.toml_file import TomlSource
from ganger.plans.wording import harmless, listed, shown

GROUP = "ganger.plan_sources"
BUILT_IN: tuple[Source, ...] = (TomlSource(), MarkdownSource(), BeadsSource())
_MESSAGE_CHARS_MAX = 200

T = TypeVar("T")


def read(path: Path, known: Known, faults: Faults, limit_s: float) -> Draft | None:
    """Read a plan's raw fields with the source that it belongs to.

    Raises ConfigError when there is none, when two installed ones want it, or when one crashes or takes too long. What
    is built in comes first: no package can change what a plan in TOML means.
    """
    for source in BUILT_IN:
        if source.reads(path):
            return source.read(path, known, faults)
    installed = {point.name: point for point in metadata.entry_points(group=GROUP)}
    wanting = {}
    for name, point in sorted(installed.items()):
        loaded = _guarded(name, partial(_load_if_wanting, point, path), limit_s)
        if loaded is not None:
            wanting[name] = loaded
    if len(wanting) > 1:
        raise ConfigError(f"is wanted by several plan sources: {listed(wanting)}", "uninstall one, or rename the file")
    for name, source in wanting.items():
        return _guarded(name, partial(_read_checked, source, path, known, faults), limit_s)
    others = f"; sources of packages: {listed(installed)}" if installed else ""
    raise ConfigError("is not a plan", f"a plan's name ends in .toml, .md or .jsonl{others}")


def _load_if_wanting(point: metadata.EntryPoint, path: Path) -> Source | None:
    source = cast(Source, point.load()())
    return source if source.reads(path) else None


def _read_checked(source: Source, path: Path, known: Known, faults: Faults) -> Draft | None:
    """Read with the source of a package, and believe none of its types."""
    own = Faults(faults.path)
    draft = source.read(path, known, own)
    if draft is None and not own.errors:
        raise TypeError("it gave neither a plan nor a reason why not")
    if draft is not None:
        tables = [_copied(table) for table in (draft.plan, *draft.items)]
        still_open = tuple(str(one) for one in draft.still_open)
        draft = Draft(tables[0], tuple(tables[1:]), bool(draft.is_tracker), still_open)
    faults.found += own.found
    faults.rows += own.rows
    return draft


def _copied(table: Table) -> Table:
    fields = {str(name): Field(field.value, int(field.line)) for name, field in table.fields.items()}
    return Table(fields, int(table.line), {str(name) for name in table.unreadable})


def _guarded(name: str, step: Callable[[], T], limit_s: float) -> T:
    """Let a package's code take one step; ConfigError names its source when it crashes or takes too long.

    The step runs in a thread of its own. One that hangs cannot be stopped from outside: it is left behind, and keeps
    nobody from ending the process.
    """
    results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            results.put((step(), None))
        except BaseException as error:
            # Even SystemExit is only this source's failure.
            results.put((None, error))

    threading.Thread(target=run, name=f"plan source {name}", daemon=True).start()
    try:
        result, error = results.get(timeout=limit_s)
    except queue.Empty:
        raise ConfigError(f"the plan source {shown(name)} took longer than {limit_s:g} s") from None
    if isinstance(error, ConfigError):
        raise error
    if error is not None:
        what = harmless(f"{type(error).__name__}: {error}")[:_MESSAGE_CHARS_MAX]
        raise ConfigError(f"the plan source {shown(name)} failed: {what}", "ask whoever made it, or uninstall it")
    return cast(T, result)
