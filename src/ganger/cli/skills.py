"""`ganger skills`: texts that teach a person's own agents to plan for ganger, and to work, review and supervise."""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from pathlib import Path

import click

from ganger.cli.agents_install import write_whole
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, say, say_json, table, tell, tell_error
from ganger.cli.reply import a_person
from ganger.errors import UsageError
from ganger.service.skills import Change, agents, changes, folder_of, home_of, packaged


@click.group()
def skills() -> None:
    """Teach your own agents to work with ganger."""


@skills.command("list")
@as_json
def list_(as_json: bool) -> int:
    """List the skills that ship with ganger, and for which of your agents each is installed.

    Exit status: 0.
    """
    found = {agent: {one.skill: one for one in changes(folder_of(agent, os.environ), False)} for agent in agents()}
    rows = []
    for skill in packaged():
        having = [agent for agent, each in found.items() if (one := each[skill.name]).before and not one.kept]
        rows.append({"name": skill.name, "description": skill.description, "installed": having})
    if as_json:
        say_json("ganger.skills", {"skills": rows})
    else:
        shown = [(str(row["name"]), ", ".join(row["installed"]) or "-", str(row["description"])) for row in rows]
        table(shown, ("NAME", "INSTALLED FOR", "ABOUT"))
    return YES


@skills.command()
@click.argument("target", required=False, metavar=f"[{'|'.join(agents())}|DIR]")
@click.option("--uninstall", is_flag=True, help="Take them away again.")
@click.option("--dry-run", "dry", is_flag=True, help="Only show what would change.")
@as_json
def install(target: str | None, uninstall: bool, dry: bool, as_json: bool) -> int:
    """Put ganger's skills where an agent finds them: in your settings of that agent, or in the folder DIR.

    Without a name: for each of these agents that has settings in your home. Only files that ganger wrote, and nobody
    has changed since, are replaced or taken away; every change is shown. A project's own place is named as DIR, for
    example .claude/skills.

    Exit status: 0 it is so now; 1 something else is in the way, and stays as it is; 2 it cannot be written.
    """
    a_person("InstallSkills")
    folders = [folder_of(name, os.environ) for name in _targets(target)]
    found = [change for folder in folders for change in changes(folder, uninstall)]
    for change in found:
        if change.changes and not dry:
            _carry_out(change)
    if as_json:
        rows = [{"skill": one.skill, "path": str(one.path), "changed": one.changes, "kept": one.kept} for one in found]
        say_json("ganger.skills-install", {"installed": not uninstall, "dry": dry, "files": rows})
    else:
        _show(found, uninstall)
    return NO if any(one.kept for one in found) else YES


def _targets(target: str | None) -> tuple[str, ...]:
    """For whom, or where; UsageError where that is nobody, or a name that looks like an agent's."""
    if target is None:
        having = tuple(agent for agent in agents() if home_of(agent, os.environ).is_dir())
        if not having:
            raise UsageError("none of your agents has settings here", f"name one: {', '.join(agents())}, or a folder")
        return having
    if target not in agents() and "/" not in target and not (target and Path(target).is_dir()):
        raise UsageError(
            f"{target!r} is no agent whose place for skills is known, and no folder",
            f"there are {', '.join(agents())}; a folder that is not there yet is named as ./{target}",
        )
    return (target,)


def _carry_out(change: Change) -> None:
    """Write a file, or take it away with the folders that are empty without it."""
    write_whole(change.path, change.after)
    if not change.after:
        for folder in (change.path.parent, change.path.parent.parent):
            with suppress(OSError):
                folder.rmdir()


def _show(found: list[Change], uninstall: bool) -> None:
    for one in found:
        if one.kept:
            tell_error(f"{one.path} stays as it is: {one.kept}")
        elif one.changes:
            lines = one.before.splitlines(), one.after.splitlines(), str(one.path), str(one.path)
            say("\n".join(difflib.unified_diff(*lines, lineterm="")))
        else:
            tell(f"{one.path}: {'it was not there' if uninstall else 'it is there already'}")
