"""Getting going: `init`, `doctor`, `demo`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, say, say_json, tell
from ganger.errors import ConfigError, GangerError, UsageError
from ganger.git.command import git_program
from ganger.git.repository import detect_target, open_repository
from ganger.jail.port import shown
from ganger.journal import check
from ganger.journal.store import Store
from ganger.service import config, detect, place, wiring
from ganger.service.agents import canaries
from ganger.service.door import kept_policy
from ganger.supervisor import walls
from ganger.worker_api.gatekeeper import is_compiled

LOW_WATER_BYTES = 500 * 1024 * 1024


@click.command()
@click.option("--dry-run", is_flag=True, help="Print the file instead of writing it.")
@click.option("--target", default="", help="The branch that landings move.")
@as_json
@click.pass_obj
def init(app: App, dry_run: bool, target: str, as_json: bool) -> int:
    """Detect target branch, checks and agents of this repository, and write ganger.toml.

    An existing ganger.toml is never overwritten.

    Exit status: 0 it is written, or with --dry-run printed; 2 there is one already, or no repository.
    """
    repository = open_repository(app.start)
    path = repository.top / config.CONFIG_NAME
    found = detect.detect(repository.top)
    text = detect.render_toml(found, target or detect_target(repository))
    told = {"path": str(path), "checks": dict(found.checks), "agents": list(found.agents), "text": text}
    if dry_run:
        if as_json:
            say_json("ganger.init", {"written": False, **told})
        else:
            say(text)
        return YES
    if path.exists():
        raise UsageError(f"{path} is there already", "ganger init --dry-run prints what would be written")
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    try:
        wiring.gather(app.start, os.environ, app.state_override, {})
    except GangerError as error:
        path.unlink()
        raise UsageError(f"what was detected does not load: {error.message}", error.hint) from error
    if as_json:
        say_json("ganger.init", {"written": True, **told})
        return YES
    say(f"wrote {path}")
    say(
        "checks: "
        + (", ".join(f"{name} ({run})" for name, run in found.checks.items()) or "none found: add [checks.NAME]")
    )
    say("agents on PATH: " + (", ".join(found.agents) or "none found: ganger agents list says which are known"))
    say("next: write a plan (docs/tutorial.md), ganger plan lint PLAN, ganger run PLAN")
    return YES


class Finding(Struct, frozen=True):
    """One thing the doctor looked at; `remedy` is empty when all is well with it."""

    what: str
    state: str
    remedy: str = ""
    serious: bool = True


@click.command()
@as_json
@click.option("--fix", is_flag=True, help="Mend what can be mended without asking: rebuild stale tables.")
@click.pass_obj
def doctor(app: App, as_json: bool, fix: bool) -> int:
    """Check the machine, this repository and its fleet; each fault comes with its remedy.

    Exit status: 0 nothing serious; 1 something is.
    """
    findings = [*_machine(), *_here(app, fix)]
    faults = [finding for finding in findings if finding.remedy and finding.serious]
    if as_json:
        rows = [{"what": f.what, "state": f.state, "remedy": f.remedy, "serious": f.serious} for f in findings]
        say_json("ganger.doctor", {"well": not faults, "findings": rows})
        return NO if faults else YES
    for finding in findings:
        mark = "ok  " if not finding.remedy else "FAIL" if finding.serious else "note"
        say(f"{mark}  {finding.what}: {finding.state}")
        if finding.remedy:
            say(f"      {finding.remedy}")
    return NO if faults else YES


def _machine() -> Iterator[Finding]:
    yield Finding("python", sys.version.split()[0])
    try:
        yield Finding("git", git_program())
    except GangerError as error:
        yield Finding("git", error.message, error.hint or "install git 2.38 or newer")
    import apsw

    yield Finding("sqlite", apsw.sqlite_lib_version())
    linux = sys.platform.startswith("linux")
    kernel = "pidfd, inotify and subreaper in use" if linux else "polling: no pidfds or inotify here"
    yield Finding("kernel", kernel)
    if linux and not is_compiled():
        remedy = "install a C compiler, then ganger again; until then a hook costs some 30 ms more"
        yield Finding("hooks", "the client was not compiled", remedy, serious=False)
    fault = walls.fault_of_walls()
    state = f"it would keep yours: {fault}" if fault else "a supervisor writes only below its state directory"
    yield Finding("rights", state, "use a kernel with Landlock (Linux 6.2 or newer)" if fault else "", serious=False)


def _here(app: App, fix: bool) -> Iterator[Finding]:
    try:
        parts = wiring.gather(app.start, os.environ, app.state_override, {})
    except GangerError as error:
        yield Finding("repository and configuration", error.message, error.hint or "see docs/tutorial.md")
        return
    yield Finding("repository", f"{parts.repository.top}, target {parts.policy.target}")
    yield _containment(parts)
    yield _checks(parts)
    yield _agents(parts)
    free = shutil.disk_usage(_existing(parts.state_dir)).free
    remedy = "free some space" if free < LOW_WATER_BYTES else ""
    yield Finding("disk", f"{free // (1 << 20)} MiB free for {parts.state_dir}", remedy)
    if (parts.state_dir / place.JOURNAL).exists():
        yield from _fleet(parts, fix)
    else:
        yield Finding("fleet", "none yet")


def _containment(parts: wiring.Parts) -> Finding:
    try:
        jail = wiring.jail(parts)
    except ConfigError as error:
        return Finding("containment", error.message, error.hint)
    remedy = "" if jail.tier != "T0" else 'install bubblewrap, and set [jail] tier_min = "T1"'
    return Finding("containment", f"{shown(jail)}; {'; '.join(jail.gaps)}", remedy, serious=False)


def _checks(parts: wiring.Parts) -> Finding:
    missing = [
        f"{check.name} starts {check.argv[0]}, which is not there"
        for check in parts.config.checks.values()
        if not parts.config.has_program(check.argv[0])
    ]
    if missing:
        return Finding("checks", "; ".join(missing), "install it, or correct [checks.NAME] run in ganger.toml")
    remedy = "" if parts.config.checks else "add [checks.NAME]"
    return Finding("checks", ", ".join(parts.config.checks) or "none", remedy)


def _agents(parts: wiring.Parts) -> Finding:
    try:
        agents = wiring.load_agents(parts.config)
    except GangerError as error:
        return Finding("agents", error.message, error.hint)
    tried = canaries(agents, os.environ)
    broken = [f"{name}: {one.why}" for name, one in tried.items() if not one.works]
    if broken:
        return Finding("agents", "; ".join(broken), "ganger agents list says which programs work here")
    told = [f"{name} ({tried[name].said})" if name in tried else name for name in agents]
    remedy = "" if agents else "add [agents.NAME] with its driver: docs/guides/use-agents.md, ganger agents list"
    return Finding("agents", ", ".join(told) or "none", remedy)


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def _fleet(parts: wiring.Parts, fix: bool) -> Iterator[Finding]:
    supervised = place.is_supervised(parts.state_dir)
    held = f"held by {wiring.holder(parts.state_dir)}" if supervised else "none is running"
    yield Finding("supervisor", held)
    try:
        store = Store(parts.state_dir / place.JOURNAL, kept_policy(parts.state_dir).paths)
    except GangerError as error:
        yield Finding("journal", error.message, error.hint or "ganger journal verify")
        return
    try:
        found = check.verify(store)
        remedy = "restore the state directory from a copy; the entries before it are good" if found.fault else ""
        yield Finding("journal", found.fault or f"{found.entries} entries hold", remedy)
        if not found.fault:
            yield _tables(store, parts, fix)
    finally:
        store.close()


def _tables(store: Store, parts: wiring.Parts, fix: bool) -> Finding:
    faults = check.compare(store, parts.policy.paths)
    if faults and fix:
        check.rebuild(store, parts.policy.paths)
        tell("tables rebuilt from the journal")
        faults = check.compare(store, parts.policy.paths)
    return Finding("tables", "; ".join(faults) or "as the journal gives them", "ganger doctor --fix" if faults else "")


@click.command()
@click.option("--keep", type=click.Path(path_type=Path), help="Work in this new folder and keep it.")
@click.option("--offline", is_flag=True, help="Use the bundled library instead of one from the package index.")
@click.option("--workers", type=click.IntRange(1, 64), default=4, help="Most workers at once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for the night, and one for its proof.")
def demo(keep: Path | None, offline: bool, workers: int, as_json: bool) -> int:
    """Run a whole night on a real library: honest codemods, and agents that lie, crash, hang and ask.

    No model and no account is needed. Prints where the report is.

    Exit status: 0 everything came out as it must; 1 it did not.
    """
    from ganger.cli.demo.night import run_demo

    return run_demo(keep, offline=offline, workers=workers, as_json=as_json)
