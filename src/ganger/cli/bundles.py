"""`ganger bundle`, `verify-bundle` and `key`: what speaks for a landed item, in one signed file for elsewhere."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import click

from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, clock, plural, say, say_json, tell
from ganger.cli.reply import a_person
from ganger.errors import ConfigError, RepositoryError, UsageError
from ganger.git.command import UserGit
from ganger.journal.queries import NoFleet
from ganger.plans.source import read_bytes
from ganger.service import bundle as bundles
from ganger.service import place, signing
from ganger.service.bundle import CheckLine
from ganger.service.bundle_check import Checked, check, compare

BYTES_MAX = 1 << 30
"""More than a bundle that is verified may hold: it is taken into memory."""


@click.command()
@click.argument("item_id", metavar="ITEM")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write it here instead of to standard output.")
@as_json
@click.pass_obj
def bundle(app: App, item_id: str, output: Path | None, as_json: bool) -> int:
    """Put what speaks for a landed ITEM into one file, signed with the fleet's key.

    What it changed, the commands ganger ran with their output, the verdict, the landing, and the entries of the
    journal that tell of it, with their hash chain. The same journal and files make the same bytes. `ganger
    verify-bundle` needs nothing else, on any machine.

    Exit status: 0 it is written; 2 there is no such item, or it has not landed, or the file cannot be written.
    """
    a_person("Bundle")
    if output is None and (as_json or sys.stdout.isatty()):
        raise UsageError("a bundle is a file", "name one with -o FILE, or send the output to one")
    state_dir = app.state_dir()
    key = signing.fleet_key(_of_a_fleet(state_dir))
    made = bundles.make(state_dir, item_id, key)
    if output is None:
        sys.stdout.buffer.write(made.data)
        return YES
    try:
        output.write_bytes(made.data)
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}", "name another place with -o") from error
    if as_json:
        told = {"item": made.record.item, "run": made.record.run, "landed": made.record.landed, "path": str(output)}
        digest = hashlib.sha256(made.data).hexdigest()
        facts = {"bytes": len(made.data), "sha256": digest, "key": key.public, "gone": list(made.gone)}
        say_json("ganger.bundle", {**told, **facts})
        return YES
    say(str(output))
    for name in made.gone:
        tell(f"without {name}: it is not kept any more")
    return YES


@click.command("verify-bundle")
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--repo", "clone", type=click.Path(path_type=Path), help="Hold it against this clone of the repository.")
@click.option("--key", "public", default="", help="The public key that must have signed it, or a file with that.")
@as_json
def verify_bundle(path: Path, clone: Path | None, public: str, as_json: bool) -> int:
    """Verify a bundle, offline: its signature, its hash chain, its digests, and that they tell one story.

    With --repo also that a branch of that clone contains the landed commit, with the tree that was tested. Without
    --key anybody may have signed it: the key is printed, to be compared with that of `ganger key`.

    Exit status: 0 all holds; 1 it does not, and what and where is printed; 2 there is no such file or clone.
    """
    try:
        data = read_bytes(path, BYTES_MAX)
    except ConfigError as error:
        raise UsageError(f"{path} {error.message}", "name a file that ganger bundle wrote") from error
    checked = check(data, signing.read_public(public) if public else "")
    against = _compared(checked, clone)
    if as_json:
        _say_json(path, checked, against, clone)
    else:
        _say_text(checked, against, clone, trusted=bool(public))
    return NO if checked.faults or against else YES


@click.command()
@as_json
@click.pass_obj
def key(app: App, as_json: bool) -> int:
    """Print the public key of this fleet, with which its bundles are verified; it is made the first time.

    Give it to whoever is to verify bundles by another way than the bundles themselves.

    Exit status: 0 printed; 2 there is no fleet, or its key cannot be used.
    """
    a_person("Key")
    public = signing.fleet_key(_of_a_fleet(app.state_dir())).public
    if as_json:
        say_json("ganger.key", {"key": public})
    else:
        say(public)
    return YES


def _of_a_fleet(state_dir: Path) -> Path:
    """The state directory; NoFleet when no fleet has been there yet."""
    if not (state_dir / place.JOURNAL).exists():
        raise NoFleet(f"there is no fleet at {state_dir}", "ganger init, then ganger run PLAN")
    return state_dir


def _compared(checked: Checked, clone: Path | None) -> tuple[str, ...]:
    """What of a bundle does not hold in a clone; RepositoryError when it is none."""
    if clone is None:
        return ()
    git = UserGit(clone)
    if not clone.is_dir() or git.code("rev-parse", "--git-dir") != 0:
        raise RepositoryError(f"{clone} is no git repository", "name a clone of the bundle's repository with --repo")
    return compare(checked.record, git) if checked.record is not None else ()


def _say_text(checked: Checked, against: tuple[str, ...], clone: Path | None, *, trusted: bool) -> None:
    record = checked.record
    for fault in checked.faults:
        say(f"DOES NOT HOLD: {fault.part} (bytes {fault.first} to {max(fault.end - 1, fault.first)}): {fault.text}")
    for text in against:
        say(f"DOES NOT HOLD: {clone}: {text}")
    if record is None or checked.faults:
        return
    say(f"{record.item}: {record.title}")
    say(f"run {record.run}, candidate {record.candidate[:12]} on base {record.base[:12]}, rung {record.rung}")
    for one in record.checks:
        say(f"check {one.name}: {one.state}, exit {one.exit_code}{_tests(one)}")
    say(f"landed as {record.landed[:12]} at {clock(record.landed_ms)}, tested as a whole")
    say(f"signed by {checked.key}")
    for name in checked.gone:
        tell(f"without {name}: it was not kept any more")
    if not trusted:
        tell("anybody can sign with a key of their own: --key KEY says whose it must be")
    if clone is None:
        tell("not held against a repository: --repo CLONE does that")
    elif not against:
        tell(f"{clone} agrees: a branch contains {record.landed[:12]}, with the tree that was tested")


def _tests(one: CheckLine) -> str:
    """How many tests a check executed, where its runner is known; and whether the bundle says which."""
    if one.executed is None:
        return ""
    which = f", listed in {one.tests}" if one.tests else ""
    return f", {plural(one.executed, 'test')} executed by {one.runner}{which}"


def _say_json(path: Path, checked: Checked, against: tuple[str, ...], clone: Path | None) -> None:
    record = checked.record
    faults = [{"part": one.part, "first": one.first, "end": one.end, "text": one.text} for one in checked.faults]
    faults += [{"part": str(clone), "first": 0, "end": 0, "text": text} for text in against]
    said = {"item": record.item, "run": record.run, "landed": record.landed} if record is not None else {}
    found = {"item": "", "run": "", "landed": "", **said}
    checks = [
        {"name": one.name, "state": one.state, "executed": one.executed, "runner": one.runner, "tests": one.tests}
        for one in (record.checks if record is not None else ())
    ]
    rest = {
        "checks": checks,
        "key": checked.key,
        "repo": str(clone or ""),
        "gone": list(checked.gone),
        "faults": faults,
    }
    say_json("ganger.verify-bundle", {"holds": not faults, "path": str(path), **found, **rest})
