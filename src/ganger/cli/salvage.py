"""`ganger salvage`: what was kept of the work of runs that ended, and how to have it back."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, clock, plural, say, say_json, table, tell
from ganger.core.ids import Commit, RunId, is_run_id
from ganger.errors import StateDirError, UsageError
from ganger.git import salvage as kept
from ganger.git.command import Git
from ganger.git.founding import COMPLETE
from ganger.git.hub import Hub
from ganger.git.trash import in_trash
from ganger.journal.queries import NoFleet, Reader
from ganger.service import place
from ganger.service.door import kept_policy
from ganger.service.kept import Manifest, read_manifest
from ganger.service.wiring import TRASH_KEEP_MS, open_here


@click.group()
def salvage() -> None:
    """List, show and restore the work of runs that ended: commits, index, tracked and untracked files."""


def _hub(app: App) -> Hub:
    """The hub as it is; it is not made, and its target is not moved."""
    state_dir = app.state_dir()
    hub_dir = state_dir / "hub.git"
    if not (hub_dir / COMPLETE).exists():
        raise StateDirError(f"there is no hub in {state_dir}: nothing was salvaged", "ganger run makes one")
    repository = open_here(app.start, os.environ, app.state_override)
    return Hub(hub_dir, repository, kept_policy(state_dir).target, Git(hub_dir))


@salvage.command("list")
@as_json
@click.pass_obj
def list_(app: App, as_json: bool) -> int:
    """List the runs of which work was salvaged.

    Exit status: 0 there are some; 1 none.
    """
    found = kept.salvages(_hub(app))
    state_dir = app.state_dir()
    told = _told(state_dir)
    rows = [
        {
            "run": one.run,
            "status": told.get(one.run, ("", 0))[0],
            "ended_ms": told.get(one.run, ("", 0))[1],
            "parts": sorted(one.refs),
            "trash": [str(path) for path in in_trash(state_dir, one.run)],
        }
        for one in found
    ]
    if as_json:
        say_json("ganger.salvages", {"salvages": rows})
    else:
        shown = [
            (one.run, *_status_of(told, one.run), ", ".join(sorted(one.refs)), _until(state_dir, one.run))
            for one in found
        ]
        table(shown, ("RUN", "STATUS", "ENDED", "PARTS", "WHOLE FOLDER IN THE TRASH"))
        tell(f"{plural(len(found), 'run')}; ganger salvage show RUN says what there is of one")
    return YES if found else NO


def _told(state_dir: Path) -> dict[str, tuple[str, int]]:
    """What the journal says of each run: its status, and when it ended."""
    try:
        reader = Reader(state_dir / place.JOURNAL)
    except NoFleet:
        return {}
    try:
        return {run.id: (run.status, run.ended_ms) for item in reader.items() for run in reader.runs(item.id)}
    finally:
        reader.close()


def _status_of(told: dict[str, tuple[str, int]], run: str) -> tuple[str, str]:
    status, ended_ms = told.get(run, ("unknown", 0))
    return status, clock(ended_ms) if ended_ms else ""


def _until(state_dir: Path, run: str) -> str:
    """Until when the whole folder, ignored files included, can be had from the trash."""
    stamps = [int(path.name.partition("-")[0]) for path in in_trash(state_dir, run)]
    return f"until {clock(max(stamps) + TRASH_KEEP_MS)}" if stamps else "not any more"


def _run_id(ref: str) -> RunId:
    if not is_run_id(ref):
        raise UsageError(f"{ref!r} is no run", "a run is called like login.2; ganger salvage list shows them")
    return RunId(ref)


@salvage.command()
@click.argument("run")
@as_json
@click.pass_obj
def show(app: App, run: str, as_json: bool) -> int:
    """Show what was salvaged of RUN (login.2): commits, and staged, changed and untracked files apart.

    Exit status: 0 there it is; 2 nothing was salvaged of it.
    """
    hub = _hub(app)
    manifest = read_manifest(app.state_dir(), _run_id(run), 1)
    if isinstance(manifest, Manifest) and manifest.shared:
        raise UsageError(
            f"nothing was salvaged of {run}: it only read, in a checkout that it could not write",
            f"ganger show {run} says what came of it",
        )
    found = kept.salvaged(hub, _run_id(run))
    has = kept.content(hub, found, _base(app, hub, found))
    trash = [str(path) for path in in_trash(app.state_dir(), run)]
    if as_json:
        commits = [{"commit": commit, "subject": subject} for commit, subject in has.commits]
        files = {"staged": has.staged, "changed": has.changed, "untracked": has.untracked, "left_out": has.left_out}
        say_json("ganger.salvage", {"run": run, "refs": dict(found.refs), "commits": commits, **files, "trash": trash})
        return YES
    _print_list("commits", [f"{commit[:12]} {subject}" for commit, subject in has.commits])
    _print_list("staged, not committed", has.staged)
    _print_list("tracked, not staged", has.changed)
    _print_list("untracked", has.untracked)
    _print_list("could not be taken", has.left_out)
    _print_list("other parts", [f"{name} {commit[:12]}" for name, commit in has.others.items()])
    for path in trash:
        say(f"the whole folder, ignored files too, until it is pruned: {path}")
    tell(f"\nganger salvage restore {run} --into DIR    or    --branch NAME")
    return YES


def _base(app: App, hub: Hub, found: kept.Salvaged) -> Commit:
    """Where the run began: as the journal says, or, where it is silent, as the history tells."""
    try:
        reader = Reader(app.state_dir() / place.JOURNAL)
    except NoFleet:
        return kept.base_of(hub, found)
    try:
        row = reader.run(found.run)
    finally:
        reader.close()
    return Commit(row.base) if row is not None and hub.exists(Commit(row.base)) else kept.base_of(hub, found)


def _print_list(title: str, lines: tuple[str, ...] | list[str]) -> None:
    if lines:
        say(f"{title}:")
        for line in lines:
            say("  " + line.replace("\n", "\\n"))


@salvage.command()
@click.argument("run")
@click.option("--into", type=click.Path(path_type=Path), help="Make this new directory as the workspace was.")
@click.option("--branch", default="", help="Make this new branch of your repository.")
@click.option(
    "--part", default="", help="With --branch: which part, as `salvage list` names it. Default: tree, or head."
)
@as_json
@click.pass_obj
def restore(app: App, run: str, into: Path | None, branch: str, part: str, as_json: bool) -> int:
    """Give back what was salvaged of RUN: as a new directory, or as a new branch. Nothing is written over.

    A directory gets the branch, the index and the files as they were, in a repository of its own. A branch gets one
    commit: the files as they were, on top of what was committed, or the part that --part names.

    Exit status: 0 done; 2 nothing was salvaged of it, or something is there already.
    """
    if (into is None) == (not branch):
        raise UsageError("say where to: --into DIR or --branch NAME", "")
    if part and not branch:
        raise UsageError("--part goes with --branch; a directory gets everything", "")
    hub = _hub(app)
    found = kept.salvaged(hub, _run_id(run))
    if into is not None:
        path = str(kept.restore_into(hub, found, _absolute(app.start, into)))
        value = {"run": run, "path": path, "branch": "", "commit": found.head or found.files or ""}
    else:
        commit = kept.part(found, part) if part else found.files or found.head
        if commit is None:
            kept.part(found, "tree")
        assert commit is not None, "an unknown part is refused"
        kept.restore_branch(hub, commit, branch)
        value = {"run": run, "path": "", "branch": branch, "commit": commit}
    if as_json:
        say_json("ganger.salvage-restore", value)
    else:
        say(value["path"] or f"{branch} {value['commit']}")
    return YES


def _absolute(start: Path, into: Path) -> Path:
    return into if into.is_absolute() else start / into
