"""Options that many commands share, and types of values that are read alike everywhere."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import click

from ganger.plans.values import DURATION_MAX_MS, Unfit, duration

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")


class Duration(click.ParamType[int]):
    """A duration with its unit, as in ganger.toml: `90s`, `10m`, `1h30m`; gives milliseconds."""

    name = "duration"

    def __init__(self, low_ms: int = 0, high_ms: int = DURATION_MAX_MS) -> None:
        self._read = duration(low_ms, high_ms)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return self._read(value)
        except Unfit as error:
            self.fail(error.message + (f": {error.hint}" if error.hint else ""), param, ctx)


class TimeOfDay(click.ParamType[int]):
    """A time of the local day, `22:00`; gives the minute of the day."""

    name = "hh:mm"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            found = time.strptime(value, "%H:%M")
        except ValueError:
            self.fail(f"{value!r} is no time of the day: as in 22:00", param, ctx)
        return found.tm_hour * 60 + found.tm_min


class Instant(click.ParamType[int]):
    """An instant in ISO 8601, local time where it names no zone; gives milliseconds since the epoch."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return int(datetime.fromisoformat(value).timestamp() * 1000)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no instant: as in 2026-12-01T22:00 or 2026-12-01T21:00Z", param, ctx)
