"""The `[workspace]` table of `ganger.toml`: what a workspace is given before a worker sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from ganger.plans import values
from ganger.plans.values import MINUTE_MS, SECOND_MS, Unfit, duration, integer
from ganger.plans.wording import shown
from ganger.service.layers import Layers

SETUP_MS = (SECOND_MS, 60 * MINUTE_MS)
SETUP_DEFAULT = "10m"
PORTS_MAX = 100
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_OURS = ("GANGER_", "GIT_", "LD_", "PYTHON")
_OURS_EXACTLY = frozenset({"PATH", "HOME", "TMPDIR"})


class Provisioning(Struct, frozen=True):
    """What every workspace is given; empty: nothing but its files."""

    setup: tuple[str, ...] = ()
    """An argument list that is run in the jail: once for a cache of `linked`, or, where that is empty, in each
    workspace."""
    setup_timeout_ms: int = 600_000
    setup_key: tuple[str, ...] = ()
    """Files whose content decides whether the cache still holds; empty: the whole tree does."""
    linked: tuple[str, ...] = ()
    """Folders of dependencies whose entries are linked, from the cache or from the user's checkout."""
    ports: int = 0
    """Free ports that each workspace has for itself, as `GANGER_PORT_0` and so on."""
    env: Mapping[str, str] = {}


def read_workspace(layers: Layers) -> Provisioning:
    """Read `[workspace]`."""
    names = layers.tables("workspace").get("env", [])
    env = {name: layers.take_from_files(("workspace", "env", name), _value_of(name)) for name in names}
    return Provisioning(
        setup=layers.take_from_files(("workspace", "setup"), values.command) or (),
        setup_timeout_ms=layers.take(("workspace", "setup_timeout"), duration(*SETUP_MS), SETUP_DEFAULT),
        setup_key=layers.take_from_files(("workspace", "setup_key"), _folders) or (),
        linked=layers.take_from_files(("workspace", "linked"), _folders) or (),
        ports=layers.take(("workspace", "ports"), integer(0, PORTS_MAX), 0),
        env={name: value for name, value in env.items() if value is not None},
    )


def _folders(value: object) -> tuple[str, ...]:
    """Take paths inside the repository, written as git writes them."""
    if not isinstance(value, list):
        raise Unfit("must be a list of paths", 'as in linked = [".venv", "node_modules"]')
    found = values.texts(value)
    for path in found:
        parts = path.split("/")
        if (
            not path
            or not path.isprintable()
            or any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
        ):
            raise Unfit(f"holds {shown(path)}, which is no path inside the repository", 'as in "node_modules"')
    return tuple(dict.fromkeys(found))


def _value_of(name: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if not _ENV_NAME.fullmatch(name) or name in _OURS_EXACTLY or name.startswith(_OURS):
            raise Unfit(f"cannot set {shown(name)}", "ganger sets that itself, or it is no name of a variable")
        found = values.text(value)
        if "\0" in found:
            raise Unfit("holds a NUL character")
        return found

    return parse
