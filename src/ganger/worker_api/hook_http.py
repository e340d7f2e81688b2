"""A hook as one POST on loopback, for agents that can ask an address instead of a program; see `gate_server`.

    POST /pre-tool/claude HTTP/1.1
    Authorization: Bearer SECRET
    X-Ganger-Run: login.2
    X-Ganger-Token: 17
    Content-Length: 812

Whoever names an event of ours is answered in that agent's dialect, with status 200, whatever else is wrong: to an agent
any other status, like no answer at all, means that nobody objects.
"""

from __future__ import annotations

import re
import secrets

from ganger.drivers.hooks import DIALECTS, HookEvent
from ganger.worker_api.views import Header

HEAD_BYTES_MAX = 16_384
BODY_BYTES_MAX = 256 << 20
"""A longer body is not even read to its end."""
_LINE = re.compile(rb"POST /(?P<event>[a-z-]{1,20})/(?P<agent>[a-z]{1,20}) HTTP/1\.[01]")
_SECRET = re.compile(rb"[Bb]earer ([0-9a-f]{1,128})")
_RUN = re.compile(rb"[\x21-\x7e]{1,200}")
_NUMBER = re.compile(rb"[0-9]{1,18}")
_NOBODY = "-"
"""A run that there is not."""
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class NotAHook(ValueError):
    """The bytes are no POST to an event of ours."""


def read_head(data: bytes) -> tuple[Header, int] | None:
    """The question that a request begins, and the length of its head; None while that is not all there.

    A head that does not say whose it is gives a question of nobody's.
    """
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
    if end < 0:
        if len(data) >= HEAD_BYTES_MAX:
            raise NotAHook
        return None
    first, *rest = data[:end].split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None or line["event"].decode() not in frozenset(HookEvent) or line["agent"].decode() not in DIALECTS:
        raise NotAHook
    fields = _fields(rest)
    secret, run = _SECRET.fullmatch(fields.get(b"authorization", b"")), fields.get(b"x-ganger-run", b"")
    token, length = fields.get(b"x-ganger-token", b""), fields.get(b"content-length", b"0")
    known = secret is not None and _RUN.fullmatch(run) and _NUMBER.fullmatch(token) and b"origin" not in fields
    header = Header(
        HookEvent(line["event"].decode()),
        line["agent"].decode(),
        run.decode() if known else _NOBODY,
        int(token) if known else 0,
        secret[1].decode() if known and secret is not None else "0",
        secrets.token_hex(16),
        int(length) if _NUMBER.fullmatch(length) else 0,
    )
    return header, end + 4


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    """The fields of a head; of one that stands twice, nothing that anybody could mean."""
    found: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        key = name.strip().lower()
        found[key] = b"" if key in found else value.strip()
    return found


def response(text: bytes) -> bytes:
    """An answer on the wire; nothing to say is an object without members."""
    body = text or b"{}"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % len(body) + body
