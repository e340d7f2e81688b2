"""The library that the demo works on: sqlparse from the package index, or the one that ganger brings along.

sqlparse's own tests need pytest and the codemods on it need ruff. Where either is missing, or the index cannot be
reached in time, the bundled library does: its tests and its codemods need nothing but Python.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tarfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from msgspec import Struct

from ganger.drivers.process import run_check
from ganger.errors import GangerError
from ganger.jail.none import NoJail

FETCH_MS = 20_000
PROJECT, VERSION = "sqlparse", "0.5.3"
SHA256 = "09f67787f56a0b16ecdbde1bfc7f5d9c3371ca683cfeaa8e6ff60b4807ec9272"
ARCHIVE = f"{PROJECT}-{VERSION}.tar.gz"
BUNDLED = "spoken"
_NEEDED = ("pip", "pytest", "ruff")

_STAND_IN = f'''\
"""pip asks the build backend of a source distribution for its metadata; that one would have to be fetched and run."""

import os


def prepare_metadata_for_build_wheel(directory, config_settings=None):
    name = "{PROJECT}-{VERSION}.dist-info"
    os.mkdir(os.path.join(directory, name))
    with open(os.path.join(directory, name, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: {PROJECT}\\nVersion: {VERSION}\\n")
    return name
'''


class Unreachable(GangerError):
    """The library from the package index cannot be had; the message says why."""


class Library(Struct, frozen=True):
    """A library whose files lie in a folder."""

    name: str
    """`sqlparse` or `spoken`: also the name of the night that is made for it."""
    origin: str
    """Where it came from, for people."""


def put_library(folder: Path, scratch: Path, *, offline: bool) -> tuple[Library, str]:
    """Put a library into the new `folder`; returns it and why it is not the one from the index (empty when it is)."""
    why = "as you asked (--offline)"
    if not offline:
        try:
            fetch(folder, scratch)
            return Library(PROJECT, f"{PROJECT} {VERSION}, from the package index"), ""
        except Unreachable as error:
            why = error.message
    unpack_bundled(folder)
    return Library(BUNDLED, f"{BUNDLED}, a small library that comes with ganger"), why


def fetch(folder: Path, scratch: Path) -> None:
    """Have pip download the pinned source distribution, and unpack it as `folder`; Unreachable when it cannot be."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise Unreachable(f"this Python has no {' and no '.join(missing)}")
    archive = _download(scratch)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        raise Unreachable(f"{archive} is not the {ARCHIVE} that is expected")
    try:
        with tarfile.open(archive) as tar:
            # The digest above says exactly what is in it; the filter came in a patch release of 3.11.
            options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extractall(scratch, **options)  # type: ignore[arg-type] # noqa: S202
        (scratch / f"{PROJECT}-{VERSION}").rename(folder)
    except (OSError, tarfile.TarError) as error:
        raise Unreachable(f"{archive} cannot be unpacked: {error}") from error


def _download(scratch: Path) -> Path:
    """Run pip, with the person's own settings for indexes and proxies, and without running any code of the library."""
    backend = scratch / "stand-in" / "hatchling"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build.py").write_text(_STAND_IN, encoding="utf-8")
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{PROJECT}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    how = ["--no-deps", "--no-binary=:all:", "--no-build-isolation", "--no-cache-dir", "--disable-pip-version-check"]
    limits = ["--no-input", "--retries=1", "--timeout=8"]
    argv = [sys.executable, "-m", "pip", "download", *how, *limits, f"--dest={scratch}", f"--requirement={wanted}"]
    env = {**os.environ, "PYTHONPATH": str(backend.parent), "TMPDIR": str(scratch), "PIP_NO_COLOR": "1"}
    log = scratch / "pip.log"
    try:
        ended = run_check(argv, env, scratch, FETCH_MS, log, NoJail())
    except GangerError as error:
        raise Unreachable(f"pip cannot be run: {error.message}") from error
    if ended.timed_out:
        raise Unreachable(f"the package index gave nothing within {FETCH_MS // 1000} s")
    if ended.code != 0 or not (scratch / ARCHIVE).is_file():
        raise Unreachable(f"pip could not download {PROJECT} {VERSION}: {log} says why")
    return scratch / ARCHIVE


def unpack_bundled(folder: Path) -> None:
    """Write the bundled library to `folder`; in the package its files bear `.txt`, so that nobody runs them there."""
    for path, file in _walk(files("ganger.cli.demo") / "bundled", ""):
        target = folder / path.removesuffix(".txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry
