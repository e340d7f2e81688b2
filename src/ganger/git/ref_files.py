"""Reading refs from their own files, without starting git; on the path of scripts, so it imports little."""

from __future__ import annotations

import os
from pathlib import Path

from ganger.core.ids import Commit, is_commit


def read_ref(git_dir: Path, ref: str) -> Commit | None:
    """Read a ref from the files of a repository with files as refs.

    `Commit("")` when there is no such ref; None when only git can tell (a symbolic ref, or content not understood).
    """
    try:
        text = (git_dir / ref).read_bytes().decode("ascii", "replace").strip()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return _packed_ref(git_dir, ref)
    except OSError:
        return None
    return Commit(text) if is_commit(text) else None


def _packed_ref(git_dir: Path, ref: str) -> Commit | None:
    """Find a ref in `packed-refs`; git replaces that file as a whole, so one read sees one state."""
    try:
        packed = (git_dir / "packed-refs").read_bytes()
    except FileNotFoundError:
        return Commit("")
    except OSError:
        return None
    at = packed.find(b" " + os.fsencode(ref) + b"\n")
    if at < 0:
        return Commit("")
    text = packed[packed.rfind(b"\n", 0, at) + 1 : at].decode("ascii", "replace")
    return Commit(text) if is_commit(text) else None
