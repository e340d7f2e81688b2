"""Guards of tool calls: functions that may refuse one before it has an effect, and nothing else.

Two are built in: identifiers that nobody gave (`ProvenanceRule`), and a lookup that must come first (`LookupRule`).
Packages offer more by the entry point group `ganger.guards`: each is a function from a `GuardedCall` to a reason, empty
for no objection. One that fails refuses whatever is not known to read.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from importlib import metadata
from typing import TypeAlias, cast

from msgspec import Struct

from ganger.core.ids import RunId
from ganger.drivers.hooks import Act, Asked, Json, LookupRule, ProvenanceRule
from ganger.errors import ConfigError
from ganger.worker_api.views import Rules

GROUP = "ganger.guards"
REMEMBERED_MAX = 512
"""Tool calls of one run that are remembered, with what they gave."""
REMEMBERED_CHARS_MAX = 1 << 20
VALUES_MAX = 200


class GuardedCall(Struct, frozen=True):
    """A tool call that is about to be made."""

    run: RunId
    tool: str
    act: Act
    arguments: Json
    seen: Callable[[str], bool]
    """Whether a text stood in the brief, or in what a tool gave that was not told it."""
    used: Callable[[str, str, str], bool]
    """Whether a tool was used, with this value of that argument; empty texts for any."""


Guard: TypeAlias = Callable[[GuardedCall], str]


class Memory:
    """What one run was told and did, as far as its hooks said so."""

    def __init__(self) -> None:
        self._told = ""
        self._calls: deque[tuple[str, Json, str, str]] = deque(maxlen=REMEMBERED_MAX)
        self.chars = 0

    def tell(self, text: str) -> None:
        """Remember what it was told at its start."""
        self._told = text

    def use(self, asked: Asked) -> None:
        """Remember a use of a tool, with what it gave."""
        if asked.failed:
            return
        said = " ".join(_texts(asked.arguments))
        while self._calls and self.chars + len(asked.result) > REMEMBERED_CHARS_MAX:
            self.chars -= len(self._calls.popleft()[3])
        if len(self._calls) == REMEMBERED_MAX:
            self.chars -= len(self._calls[0][3])
        self._calls.append((asked.tool, asked.arguments, said, asked.result))
        self.chars += len(asked.result)

    def seen(self, value: str) -> bool:
        """Whether a text was given to the run, and not only repeated to it: an echo proves nothing."""
        whole = re.compile(rf"(?<![\w-]){re.escape(value)}(?![\w-])").search
        return whole(self._told) is not None or any(
            whole(result) is not None and whole(said) is None for _, _, said, result in self._calls
        )

    def used(self, tool: str, field: str, value: str) -> bool:
        """Whether a tool was used, with this value of that argument where one is named."""
        return any(
            fnmatchcase(name, tool) and (not field or str(arguments.get(field, "")) == value)
            for name, arguments, _, _ in self._calls
        )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif value is not None:
        yield str(value)


def objection(rules: Rules, call: GuardedCall, installed: tuple[tuple[str, Guard], ...]) -> str:
    """Why a call is not to be made; empty when no guard objects."""
    for rule in rules.provenance:
        if fnmatchcase(call.tool, rule.tool) and (reason := _invented(rule, call)):
            return reason
    for lookup in rules.lookups:
        if fnmatchcase(call.tool, lookup.tool) and (reason := _not_looked_up(lookup, call)):
            return reason
    for name, guard in installed:
        try:
            reason = guard(call)
        except Exception as error:
            reason = "" if call.act is Act.read else f"the guard {name} failed: {type(error).__name__}"
        if reason:
            return reason
    return ""


def _invented(rule: ProvenanceRule, call: GuardedCall) -> str:
    for field in rule.fields:
        for value in list(_texts(call.arguments.get(field)))[:VALUES_MAX]:
            if value and not call.seen(value):
                return (
                    f"nobody gave you the {field} {value[:80]!r}: look it up with a tool first, and use what that gives"
                )
    return ""


def _not_looked_up(rule: LookupRule, call: GuardedCall) -> str:
    value = str(call.arguments.get(rule.field, "")) if rule.field else ""
    if call.used(rule.first, rule.field, value):
        return ""
    of = f" with the same {rule.field}" if rule.field else ""
    return f"use {rule.first}{of} before {call.tool}"


def installed() -> tuple[tuple[str, Guard], ...]:
    """The guards that packages offer, by name; ConfigError when one cannot be loaded."""
    found = []
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        try:
            found.append((point.name, cast(Guard, point.load())))
        except Exception as error:
            raise ConfigError(f"the guard {point.name} ({point.value}) cannot be loaded: {error}") from error
    return tuple(found)
