"""`ganger agents`: which agent programs there are, which of them work here, and hooks for a person's own."""

from __future__ import annotations

import os

import click
import msgspec

from ganger.cli.agents_install import install
from ganger.cli.output import NO, YES, say_json, table, tell
from ganger.service.agents import Found, find_all, own_place


@click.group()
def agents() -> None:
    """Look at the agent programs that ganger knows."""


agents.add_command(install)


@agents.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def list_(as_json: bool) -> int:
    """Start each agent program that is installed, and say which version it is and whether that was tested.

    Exit status: 0 when one works here, 1 when none does.
    """
    found = find_all(os.environ, own_place(os.environ))
    if as_json:
        rows = [msgspec.to_builtins(one) | {"is_tested": one.is_tested} for one in found]
        say_json("ganger.agents", {"agents": rows})
    else:
        table([_row(one) for one in found], ("DRIVER", "VERSION", "TESTED WITH", "WORKS HERE"))
        if any(one.works and not one.is_tested for one in found):
            tell("\na version that was not tested may print what the driver does not read")
    return YES if any(one.works for one in found) else NO


def _row(one: Found) -> tuple[str, str, str, str]:
    version = one.version or ("-" if not one.program else "unknown")
    return one.driver, version, ", ".join(one.tested), "yes" if one.works else f"no: {one.why}"
