"""Which agent programs this machine has, and whether each starts here, behind the wall that workers get."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct

from ganger.drivers.agent import installed_at
from ganger.drivers.port import Driver, Product, driver_names, load_driver
from ganger.drivers.process import clean_env, run_check
from ganger.errors import GangerError, UsageError
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.jail.port import Jail, Network, Reach

TIMEOUT_MS = 30_000
AT_ONCE = 2
_VERSION = re.compile(r"(?<![\d.])\d+\.\d+\.\d+(?:[-+][0-9A-Za-z.-]*[0-9A-Za-z])?")


class Found(Struct, frozen=True):
    """What is known of one agent program."""

    driver: str
    program: str
    """Where it is; empty when it is not installed."""
    version: str
    """As it says itself; empty when it does not."""
    tested: tuple[str, ...]
    works: bool
    """Whether it starts here and says its version."""
    why: str
    """Why it does not work; empty when it does."""

    @property
    def is_tested(self) -> bool:
        """Whether this version is one that the driver's tests have run."""
        return self.version in self.tested

    @property
    def said(self) -> str:
        """Its version, and whether that was tested."""
        return self.version if self.is_tested else f"{self.version}, not tested"


def find_all(environ: Mapping[str, str], place: Path) -> tuple[Found, ...]:
    """Look at the programs of all drivers, by starting them; they write only in `place`, which is made."""
    path = clean_env(environ).get("PATH", os.defpath)
    jail = choose(Mechanism.auto, "T0", tools_for(path, (place,)))
    products = [(name, product) for name in driver_names() if (product := load_driver(name).product) is not None]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return tuple(pool.map(lambda one: find(one[0], one[1], path, place / one[0], jail), products))


def canaries(agents: Mapping[str, tuple[Driver, Mapping[str, str]]], environ: Mapping[str, str]) -> dict[str, Found]:
    """Try the programs of a fleet's agents, by the agents' names; those whose driver has no program are left out."""
    path, place = clean_env(environ).get("PATH", os.defpath), own_place(environ)
    jail = choose(Mechanism.auto, "T0", tools_for(path, (place,)))
    return {
        name: find(driver.name, driver.product, path, place / driver.name, jail, settings.get("program", ""))
        for name, (driver, settings) in agents.items()
        if driver.product is not None
    }


def own_place(environ: Mapping[str, str]) -> Path:
    """A folder of ganger's own in the user's cache, where programs are tried; UsageError without a home."""
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if not cache.startswith("/"):
        if not home.startswith("/"):
            raise UsageError("there is no home folder to work in", "set HOME or XDG_CACHE_HOME")
        cache = f"{home}/.cache"
    return Path(cache) / "ganger" / "agents"


def find(driver: str, product: Product, path: str, place: Path, jail: Jail, named: str = "") -> Found:
    """Look at one program, `named` or on `path`; it gets a home of its own, no network, and nothing of the user's."""
    program = shutil.which(named or product.program, path=path)
    if program is None:
        return Found(driver, "", "", product.tested, False, f"{named or product.program} is not on PATH")
    home = place / "home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = place / "output.log"
    output.write_bytes(b"")
    reach = Reach(writable=(place,), readable=installed_at(program), network=Network.none)
    env = clean_env({"PATH": path, "LANG": "C.UTF-8"}) | {"HOME": str(home), "TMPDIR": str(place)}
    try:
        ended = run_check((program, *product.version_args), env, home, TIMEOUT_MS, output, jail, reach)
    except GangerError as error:
        return Found(driver, program, "", product.tested, False, error.message)
    said = _VERSION.search(output.read_text(errors="replace"))
    version = said[0] if said else ""
    if ended.code == 0 and version:
        return Found(driver, program, version, product.tested, True, "")
    if ended.timed_out:
        why = f"it does not say its version within {TIMEOUT_MS // 1_000} s"
    else:
        last = (output.read_text(errors="replace").strip().splitlines() or [f"it ends with {ended.code}"])[-1]
        why = f"it does not start: {last[:200]}"
    return Found(driver, program, version, product.tested, False, why)
