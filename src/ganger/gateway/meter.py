"""Reading from an answer, as it passes by, what it used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

import msgspec

from ganger.gateway.account import Limited
from ganger.gateway.apis import Api
from ganger.gateway.prices import Tokens

WHOLE_BYTES_MAX = 64 << 20
LINE_BYTES_MAX = 8 << 20
SOON_MS = 60_000
"""A refusal for so short a time is a busy provider, not a quota that is used up."""
_TELLS = (b"sage", b"message_stop", b"finishReason", b"response.")
"""What stands in every message that tells what was used, or that all has been told."""


class Meter:
    """What an answer used so far."""

    def __init__(self, api: Api, *, streams: bool) -> None:
        """`streams`: whether the answer is a stream of events, and not one whole text."""
        self._api, self._streams = api, streams
        self._part = b""
        self._lost = False
        self.used = Tokens()
        self.is_told = False
        """Whether everything that was used has been told."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if not self._streams:
            self._lost = self._lost or len(self._part) + len(chunk) > WHOLE_BYTES_MAX
            self._part = b"" if self._lost else self._part + chunk
            return
        if b"\n" not in chunk:
            self._keep(self._part + chunk)
            return
        *lines, rest = (self._part + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data:") and any(word in line for word in _TELLS):
                self._take(line[5:])
        self._keep(rest)

    def end(self) -> None:
        """Nothing more comes."""
        if not self._streams:
            before = self.used
            self._take(self._part)
            self.is_told = self.used != before and not self._lost
        elif self._part.startswith(b"data:"):
            self._take(self._part[5:])

    def _keep(self, rest: bytes) -> None:
        self._part = rest if len(rest) <= LINE_BYTES_MAX else b""

    def _take(self, text: bytes) -> None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        self.used = self._api.used(message, self.used)
        self.is_told = self.is_told or (self._streams and self._api.ends(message, self.used))


def refusal_of(status: int, headers: Mapping[str, str], now_ms: int) -> Limited | None:
    """What a provider's answer says about when to come again; None where it is no refusal for now."""
    if status not in (429, 503, 529):
        return None
    until_ms = _until(headers, now_ms)
    overload = status != 429 or 0 < until_ms <= now_ms + SOON_MS
    return Limited(until_ms, f"the provider answered {status}", overload)


def _until(headers: Mapping[str, str], now_ms: int) -> int:
    after = headers.get("retry-after", "").strip()
    if after:
        if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", after):
            return now_ms + round(float(after) * 1000)
        try:
            return max(round(parsedate_to_datetime(after).timestamp() * 1000), now_ms)
        except (ValueError, OverflowError):
            pass
    found = [_moment(value, now_ms) for name, value in headers.items() if "ratelimit" in name and "reset" in name]
    return max(found, default=0)


def _moment(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch of `2026-11-21T13:00:00Z`, or of `6m0s` and `350ms` from now; 0 for others."""
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    found = re.fullmatch(
        r"(?:(\d{1,4})h)?(?:(\d{1,4})m(?!s))?(?:(\d{1,6}(?:\.\d{1,6})?)s)?(?:(\d{1,6})ms)?", text.strip()
    )
    if found is None or not any(found.groups()):
        return 0
    hours, minutes, seconds, millis = (float(part or 0) for part in found.groups())
    return now_ms + round(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
