"""Whether a person has agreed to what a repository's configuration would run on this machine, and tell workers.

Trust is given to a digest over every command that the configuration and the plans would start, and every file of the
repository from which workers are told rules. Any change to one of them makes another digest, which nobody has agreed to
yet; changes that run and tell nothing else do not ask again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from ganger.errors import StateDirError
from ganger.plans.port import Plan
from ganger.plans.wording import harmless
from ganger.service.config import Config

TRUST_NAME = "trusted.json"
_BYTES_MAX = 1024 * 1024


class Trusted(Struct, frozen=True, forbid_unknown_fields=True):
    """A digest and who agreed to it."""

    digest: str
    by: str


class _Store(Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    trusted: tuple[Trusted, ...]


class Command(Struct, frozen=True):
    """Something that the configuration or a plan would run, or that workers would be told."""

    origin: str
    """`check unit`, `predicate freeze`, `agent fixer`, `plan auth: item login: check types`, `told to workers`."""
    words: tuple[str, ...]
    """The argument list of a program; of an agent its driver and its settings as `key=value`; of a file its path and
    the hash of what is in it."""


def commands(config: Config, plans: Iterable[Plan] = ()) -> tuple[Command, ...]:
    """List everything that would be executed or told, in an order that depends only on the content."""
    found = [Command(f"check {check.name}", check.argv) for check in config.checks.values()]
    found += [Command(f"predicate {one.name}", one.argv) for one in config.predicates]
    found += [Command(f"scorer {one.name}", one.argv) for one in config.scorers]
    found += [Command("driver of the loop", config.driver.argv)] if config.driver is not None else []
    found += [Command("setup of workspaces", config.workspace.setup)] if config.workspace.setup else []
    found += [Command("source of CI", config.ci.argv)] if config.ci.argv else []
    for agent in config.agents.values():
        settings = sorted(f"{key}={value}" for key, value in agent.settings.items())
        found.append(Command(f"agent {agent.name}", (f"driver={agent.driver}", *settings)))
    found += [Command("told to workers", (one.path, f"sha256={one.sha256}")) for one in config.rulebook.of_project]
    named = {(check.name, check.argv) for check in config.checks.values()}
    for plan in plans:
        for item in plan.items:
            for check in item.spec.checks:
                if (check.name, check.argv) not in named:
                    found.append(Command(f"plan {plan.id}: item {item.spec.id}: check {check.name}", check.argv))
    return tuple(sorted(set(found), key=lambda command: (command.origin, command.words)))


def what_runs(config: Config, plans: Iterable[Plan] = ()) -> tuple[str, ...]:
    """Say, a line each, what would be executed or told: in full, and with characters that do not print written out."""
    return tuple(harmless(f"{one.origin}: {shlex.join(one.words)}") for one in commands(config, plans))


def digest_of(config: Config, plans: Iterable[Plan] = ()) -> str:
    """Digest everything that would be executed or told: SHA-256 in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(commands(config, plans))).hexdigest()


def is_trusted(state_dir: Path, digest: str) -> bool:
    """Whether somebody has agreed to that digest; StateDirError when the record cannot be believed."""
    return any(one.digest == digest for one in _read(state_dir))


def trust(state_dir: Path, digest: str, by: str) -> None:
    """Record, durably and once, that `by` agrees to a digest."""
    with _locked(state_dir) as directory:
        known = _read(state_dir)
        if not any(one.digest == digest for one in known):
            _write(directory, _Store(1, (*known, Trusted(digest, by))))


def _read(state_dir: Path) -> tuple[Trusted, ...]:
    path = state_dir / TRUST_NAME
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StateDirError(f"{path} cannot be read: {error.strerror}") from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise StateDirError(f"{path} is not a file that only you can write", "move it away; ganger then asks again")
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(_BYTES_MAX)
    finally:
        os.close(fd)
    try:
        return msgspec.json.decode(data, type=_Store).trusted
    except msgspec.MsgspecError as error:
        raise StateDirError(f"{path} is damaged: {error}", "move it away; ganger then asks again") from None


@contextmanager
def _locked(state_dir: Path) -> Iterator[int]:
    """Hold the state directory against others that record at the same time; gives its descriptor."""
    try:
        directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StateDirError(f"{state_dir} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(directory)


def _write(directory: int, store: _Store) -> None:
    """Replace the record at once or not at all."""
    new = f"{TRUST_NAME}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(new, flags, 0o600, dir_fd=directory)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, 0o600)
            file.write(msgspec.json.format(msgspec.json.encode(store)) + b"\n")
            file.flush()
            os.fsync(fd)
        os.replace(new, TRUST_NAME, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    except OSError as error:
        raise StateDirError(f"{TRUST_NAME} cannot be written: {error.strerror}") from None
