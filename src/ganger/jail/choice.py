"""Which jail this machine can give, tried and not guessed; and refusing to work with less than was asked for."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

from ganger.errors import ConfigError
from ganger.jail import bubblewrap, kernel, landlock, seccomp, system
from ganger.jail.bubblewrap import Bubblewrap
from ganger.jail.landlock import Landlock
from ganger.jail.none import NoJail
from ganger.jail.port import Jail, Network, Reach

TIERS = ("T0", "T1")
_PROBE = Reach(network=Network.none)


class Mechanism(StrEnum):
    """What is to hold a tier."""

    auto = "auto"
    """The strongest that works here."""
    bubblewrap = "bubblewrap"
    landlock = "landlock"
    none = "none"
    """Nothing; only with `tier_min = "T0"`."""


def look() -> None:
    """Try all there is, once: whoever has given up rights (`rights`) can no longer try, and is told what was found."""
    program = bubblewrap.found()
    if program and not probe_bubblewrap(program):
        version_of(program)
    _can_seal()


def choose(mechanism: Mechanism, tier_min: str, tools: Iterable[Path]) -> Jail:
    """Take the jail to be used; ConfigError says what to do where none is as strong as `tier_min`."""
    why: list[str] = []
    for name, jail in _tried(mechanism, tuple(tools), why):
        if TIERS.index(jail.tier) >= TIERS.index(tier_min):
            return jail
        why.append(f"{name} is {jail.tier}")
    raise ConfigError(
        f"this machine cannot keep workers from the rest of it as `jail.tier_min` = {tier_min} asks: {'; '.join(why)}",
        "install bubblewrap (apt install bubblewrap); or agree to work without containment: "
        '[jail] tier_min = "T0" in ganger.toml',
    )


def _tried(mechanism: Mechanism, tools: tuple[Path, ...], why: list[str]) -> Iterator[tuple[str, Jail]]:
    """Make each jail that works, strongest first; `why` collects why others do not."""
    abi = kernel.landlock_abi()
    if mechanism in (Mechanism.auto, Mechanism.bubblewrap):
        program = bubblewrap.found()
        fault = probe_bubblewrap(program) if program else "bubblewrap is not installed"
        if not fault:
            yield "bubblewrap", Bubblewrap(program, version_of(program), tools, abi)
        else:
            why.append(fault)
    if mechanism in (Mechanism.auto, Mechanism.landlock):
        fault = _fault_of_landlock(abi)
        if not fault:
            yield "Landlock", Landlock(tools, abi, _can_seal())
        else:
            why.append(fault)
    if mechanism in (Mechanism.auto, Mechanism.none):
        yield "no containment", NoJail()


def _fault_of_landlock(abi: int) -> str:
    if abi < landlock.ABI_MIN:
        return f"this kernel's Landlock is too old ({abi}, wanted {landlock.ABI_MIN})" if abi else "no Landlock here"
    known = seccomp.program(frozenset())
    return "" if known else f"no filter for system calls is known for {os.uname().machine}"


def tools_for(search_path: str, closed: Iterable[Path]) -> tuple[Path, ...]:
    """What is shown of this machine's tools: those on `search_path` and this Python's."""
    beside = str(Path(sys.executable).parent)
    return system.tools(os.pathsep.join((beside, search_path)), (*closed, Path.home()))


@functools.cache
def _can_seal() -> bool:
    return kernel.can_seal()


@functools.cache
def probe_bubblewrap(program: str) -> str:
    """Run it once in a process as it would be used; why that does not work, or empty."""
    code, printed = _ask(program, *Bubblewrap(program, "", (), 0).confine(("/bin/true",), _PROBE).argv[1:])
    if code == 0:
        return ""
    return f"{program} does not work here: {(printed.strip().splitlines() or ['exit status ' + str(code)])[-1]}"


@functools.cache
def version_of(program: str) -> str:
    """What it says it is, as `bubblewrap 0.8.0`."""
    return _ask(program, "--version")[1].strip() or "bubblewrap"


def _ask(*argv: str) -> tuple[int, str]:
    """Run a program in an empty environment to its end; its exit status and what it printed."""
    reader, writer = os.pipe()
    pid = os.posix_spawn(
        argv[0], argv, {}, file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1), (os.POSIX_SPAWN_DUP2, writer, 2)]
    )
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        printed = file.read(65_536)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), printed.decode(errors="replace")
