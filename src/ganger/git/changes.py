"""Which paths differ between two trees, exactly as git records them: no renames, no quoting, any bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganger.core.ids import Commit
from ganger.git.command import oid

if TYPE_CHECKING:
    from ganger.git.hub import Hub

ABSENT_MODE = "000000"


@dataclass(frozen=True)
class Change:
    """One path that differs."""

    status: str
    """`A` added, `D` deleted, `M` content or mode modified, `T` type changed."""
    path: str
    """Text form, see `path_text`; two names of different bytes may share it."""
    old_mode: str
    """Six octal digits as git writes them; `000000` where there is nothing. `160000` is a submodule."""
    new_mode: str
    old_oid: Commit
    """All zeros where there is nothing."""
    new_oid: Commit
    raw: bytes
    """The path itself."""


def path_text(raw: bytes) -> str:
    """Return the text form of a path: valid UTF-8 as it is, any other byte as `\\xff`; nothing else is changed.

    Control characters stay: whoever shows a path makes them harmless.
    """
    return raw.decode("utf-8", "backslashreplace")


def changed_paths(hub: Hub, base: Commit, commit: Commit) -> tuple[Change, ...]:
    """List the paths that differ between two commits or trees, in git's order (bytes of the path)."""
    printed = hub.git.run(
        "diff-tree",
        "-r",
        "-z",
        "--raw",
        "--no-abbrev",
        "--no-renames",
        "--no-ext-diff",
        "--no-textconv",
        "--ignore-submodules=none",
        oid(base),
        oid(commit),
        "--",
    )
    fields = printed.split(b"\0")[:-1]
    return tuple(_change(fields[at], fields[at + 1]) for at in range(0, len(fields), 2))


def _change(about: bytes, raw: bytes) -> Change:
    old_mode, new_mode, old_oid, new_oid, status = about.decode("ascii").removeprefix(":").split(" ")
    return Change(status[:1], path_text(raw), old_mode, new_mode, Commit(old_oid), Commit(new_oid), raw)
