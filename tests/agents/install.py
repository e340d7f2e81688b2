"""Install the agent programs of `pins.toml` into a cache folder; what is there already is left as it is.

    python tests/agents/install.py [--into FOLDER] [NAME… | all]

Without names those are meant that a change has to pass with. Each program gets a folder of its own, `lib/NAME`, and is
started as `bin/NAME`, so that a jail which shows the tools on PATH shows it whole. No lifecycle script of any package
is run. The folder is `$GANGER_AGENTS`, or else `$XDG_CACHE_HOME/ganger-agents`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

PINS = Path(__file__).with_name("pins.toml")
NPM_S = 600
Pin = dict[str, Any]


def folder() -> Path:
    """Where the programs are kept."""
    own = os.environ.get("GANGER_AGENTS", "")
    cache = os.environ.get("XDG_CACHE_HOME", "")
    return Path(own) if own else Path(cache or Path.home() / ".cache") / "ganger-agents"


def pins() -> dict[str, Pin]:
    """The pin file."""
    with PINS.open("rb") as file:
        return tomllib.load(file)


def is_ready(into: Path, name: str, pin: Pin) -> bool:
    """Whether exactly these packages of a program are installed."""
    try:
        return (into / "lib" / name / ".ready").read_text() == _mark(pin)
    except OSError:
        return False


def install(into: Path, name: str, pin: Pin) -> None:
    """Install one program; CalledProcessError when the registry does not give it."""
    place = into / "lib" / name
    made = place.with_name(f".{name}.{os.getpid()}")
    made.mkdir(parents=True, exist_ok=True)
    packages = dict(package.rsplit("@", 1) for package in pin["packages"])
    (made / "package.json").write_text(json.dumps({"private": True, "dependencies": packages}))
    command = ["npm", "install", "--prefix", str(made), "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    try:
        subprocess.run(command, check=True, timeout=NPM_S, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        for program in pin["programs"].values():
            if not (made / "node_modules" / program).exists():
                raise FileNotFoundError(f"{name}: its packages have no {program}")
        (made / ".ready").write_text(_mark(pin))
        if place.exists():
            shutil.rmtree(place)
        made.rename(place)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def expose(into: Path, name: str, pin: Pin) -> None:
    """Make `bin/NAME` start it: a link to a program, a line of shell for a script that Node runs."""
    (into / "bin").mkdir(parents=True, exist_ok=True)
    for called, program in pin["programs"].items():
        target, entry = into / "lib" / name / "node_modules" / program, into / "bin" / called
        fresh = entry.with_name(f".{called}.{os.getpid()}")
        if program.endswith(".js"):
            fresh.write_text(f'#!/bin/sh\nexec "{into}/bin/node" "{target}" "$@"\n')
            fresh.chmod(0o755)
        else:
            target.chmod(0o755)
            fresh.symlink_to(os.path.relpath(target, entry.parent))
        fresh.replace(entry)


def main(arguments: list[str]) -> int:
    """Install what is asked for; 1 when something could not be had."""
    reader = argparse.ArgumentParser(description="Install the agent programs that drivers are tested with.")
    reader.add_argument("--into", type=Path, default=folder())
    reader.add_argument("names", nargs="*")
    asked = reader.parse_args(arguments)
    known = pins()
    names = [name for name, pin in known.items() if pin["ci"]] if not asked.names else asked.names
    if names == ["all"]:
        names = list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no such agent program: {', '.join(unknown)}; known: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for name in dict.fromkeys(["node", *names]):
        pin = known[name]
        try:
            if not is_ready(asked.into, name, pin):
                print(f"installing {', '.join(pin['packages'])}", file=sys.stderr)
                install(asked.into, name, pin)
            expose(asked.into, name, pin)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"{name}: cannot be installed: {error}", file=sys.stderr)
            failed += 1
    print(f"{asked.into}: {', '.join(name for name in known if is_ready(asked.into, name, known[name]))}")
    return 1 if failed else 0


def _mark(pin: Pin) -> str:
    return hashlib.sha256(json.dumps(pin, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
