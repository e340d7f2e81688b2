"""What a jail is: a way to put a program behind a wall by changing the command line that starts it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Jail(Protocol):
    """One way of confining a worker. It starts nothing itself: `drivers.process` starts what `wrap` returns."""

    @property
    def tier(self) -> str:
        """How strong it is: `T0` nothing, `T1` kernel (namespaces, Landlock), `T2` container. Never overstated."""
        ...

    def wrap(self, argv: Sequence[str], *, writable: tuple[Path, ...], network: str) -> tuple[str, ...]:
        """Return the argument list that runs `argv` confined.

        `writable` are the only places it may write to, `network` is `none`, `gateway` or `open`. A jail that cannot
        enforce one of them says so by its tier.
        """
        ...
