"""What the four APIs have in common: a request as far as a script needs it, an answer, and how a stream is framed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from ganger.testing.model_server.steps import Spent
from ganger.testing.model_server.tools import Called, Offered

_NUMBERS = itertools.count(1)
Json = dict[str, Any]


class Asked(Struct, frozen=True):
    """What an agent asks its model."""

    model: str
    tools: Mapping[str, Offered]
    conversation: str
    """All of it, as text."""
    newest: str
    """What came since the model's last answer."""
    streamed: bool


class Said(Struct, frozen=True):
    """What the model answers."""

    text: str
    call: Called | None
    usage: Spent


class Refused(Struct, frozen=True):
    """An answer that is an error; `reset_at_s` is 0 where it is no limit of a quota."""

    status: int
    message: str
    reset_at_s: int = 0
    retry_after_s: int = 0


class Api(Protocol):
    """One way of asking a model."""

    def read(self, path: str, body: Json) -> Asked:
        """Understand a request."""
        ...

    def stream(self, asked: Asked, said: Said) -> list[bytes]:
        """The answer in pieces; a stream that ends after any of them is cut off in the middle, but after the last."""
        ...

    def whole(self, asked: Asked, said: Said) -> Json:
        """The answer in one."""
        ...

    def refuse(self, refused: Refused) -> tuple[dict[str, str], Json]:
        """Headers and body of an error."""
        ...


def fresh(prefix: str) -> str:
    """An identity that nothing else in this process has."""
    return f"{prefix}_{next(_NUMBERS):08x}"


def framed(data: Json | str, event: str = "") -> bytes:
    """One event of a stream."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def pieces(text: str) -> list[str]:
    """A text in the portions in which it is streamed: two, where that can be."""
    half = (len(text) + 1) // 2
    return [part for part in (text[:half], text[half:]) if part]


def offered(name: str, schema: object, space: str = "") -> Offered:
    """A tool of a request; a schema that is none counts as one without arguments."""
    return Offered(name, schema if isinstance(schema, dict) else {}, space)


def told(messages: object) -> str:
    """Messages as text to search in: line ends and quotes as they are, not escaped."""
    if isinstance(messages, str):
        return messages
    if isinstance(messages, dict):
        return "\n".join(told(value) for value in messages.values())
    if isinstance(messages, list):
        return "\n".join(told(value) for value in messages)
    return str(messages)
