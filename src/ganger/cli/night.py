"""Running nights: `run` in the foreground until nothing more can be done, `up` and `down` in the background."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ganger import __version__
from ganger.cli import progress
from ganger.cli.main import App
from ganger.cli.output import BLOCKED, FIRST, INTERRUPTED, NO, YES, plural, say, tell, tell_error
from ganger.core import commands as cmd
from ganger.core.decide import decide
from ganger.core.events import Entry
from ganger.core.ids import Seq
from ganger.core.loop import Intent, StopReason
from ganger.core.model import Refusal
from ganger.core.picking import pick
from ganger.core.state import State, evolve
from ganger.drivers.background import start_detached
from ganger.errors import GangerError, UsageError
from ganger.git import trash
from ganger.git.hub import Hub
from ganger.journal.queries import Reader
from ganger.journal.store import Store, wall_ms
from ganger.plans.port import Plan
from ganger.service import place, trust, wiring
from ganger.service.door import Door, Tell, submit, tell_supervisor
from ganger.service.fleet import Accepted, Fleet
from ganger.supervisor.effects import ACTOR
from ganger.supervisor.loop import Supervisor
from ganger.supervisor.watch import Watch
from ganger.supervisor.world import RealWorld

EXIT_OF = {
    StopReason.complete: YES,
    StopReason.once: YES,
    StopReason.drained: FIRST,
    StopReason.blocked: BLOCKED,
    StopReason.interrupted: INTERRUPTED,
}
UP_WAIT_S = 15.0


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Close at most one item, then stop.")
@click.option("--dry-run", is_flag=True, help="Say what would be picked, and change nothing.")
@click.option("--trust", "trusted", is_flag=True, help="Agree to the commands of ganger.toml and the plan.")
@click.option("--target", default="", help="The branch that landings move.")
@click.option("--workers", type=click.IntRange(1, 1000), help="Most workers at once.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@click.pass_obj
def run(
    app: App,
    plan_file: Path,
    once: bool,
    dry_run: bool,
    trusted: bool,
    target: str,
    workers: int | None,
    quiet: bool,
) -> int:
    """Work through PLAN until nothing more can be done, then write the report.

    Run it again after anything at all: it goes on where things stand. Ctrl-C stops the workers and keeps their work.

    Exit status: 0 all landed; 3 drained, something was given up or is held; 5 what is left waits for you; 1 another
    supervisor holds the fleet; 2 plan, configuration or repository are wrong; 130 interrupted.
    """
    flags = _flags(target, workers)
    parts = wiring.gather(app.start, os.environ, app.state_override, flags)
    plan, warnings = wiring.usable_plan(parts, _plan_path(plan_file))
    for warning in warnings:
        tell(warning.text)
    _check_agents(parts, plan)
    if dry_run:
        return _dry_run(parts, plan)
    _agree(parts, (plan,), trusted)
    with wiring.supervising(parts.state_dir, "run"), _fleet(parts) as fleet:
        reply = fleet.submit(wiring.add_plan(plan), wiring.person())
        if isinstance(reply, Refusal):
            raise UsageError(f"plan {plan.id}: {reply.reason}", reply.way)
        reason = supervise(parts, fleet, Intent(plan=plan.id), once=once, shown=not quiet)
    _farewell(parts, reason)
    return EXIT_OF[reason]


def _flags(target: str, workers: int | None) -> dict[str, str]:
    flags = {"fleet.target": target} if target else {}
    return flags | ({"fleet.workers_max": str(workers)} if workers else {})


def _plan_path(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"there is no plan {path}", "ganger plan lint PLAN says what is wrong with one")
    return path


def _check_agents(parts: wiring.Parts, plan: Plan) -> None:
    """Refuse a plan whose agents cannot be started, before anything is begun."""
    agents = wiring.load_agents(parts.config)
    missing = sorted({item.spec.agent for item in plan.items} - set(agents))
    if missing:
        raise UsageError(
            f"{parts.config.repo_top / 'ganger.toml'} has no agent {', '.join(missing)}, which {plan.path} asks for",
            'add a table [agents.NAME] with driver = "command" and run = "…"',
        )


def _agree(parts: wiring.Parts, plans: tuple[Plan, ...], trusted: bool) -> None:
    """Have a person agree to what will be executed on this machine, once per content."""
    place.check(parts.state_dir, parts.repository.common_dir)
    digest = wiring.require_trust(parts, plans)
    if not digest:
        return
    if not trusted:
        tell("These commands would be run on this machine:\n")
        for line in trust.what_runs(parts.config, plans):
            tell(f"  {line}")
        if not (sys.stdin.isatty() and click.confirm("\nRun them?", err=True)):
            raise UsageError("nobody has agreed to these commands", "look at them, then add --trust")
    place.prepare(parts.state_dir, parts.repository.common_dir)
    trust.trust(parts.state_dir, digest, wiring.person())


@contextmanager
def _fleet(parts: wiring.Parts) -> Iterator[Fleet]:
    fleet = wiring.open_fleet(parts)
    try:
        yield fleet
    finally:
        fleet.close()


def supervise(
    parts: wiring.Parts, fleet: Fleet, intent: Intent, *, once: bool = False, shown: bool = True, stays: bool = False
) -> StopReason:
    """Supervise until the night is over; with `stays`, until somebody says `down`. The lock must be held."""
    watch = Watch()
    try:
        trash.prune(parts.state_dir, wiring.TRASH_KEEP_MS, wall_ms())
        _clear_scratch(parts.state_dir)
        world = RealWorld(
            parts.state_dir,
            parts.repository,
            _recovered(wiring.open_hub(parts)),
            parts.policy,
            wiring.load_agents(parts.config),
            wiring.jail(),
            lambda path: wiring.is_protected(parts, path),
            lambda path: wiring.is_test_file(parts, path),
            watch,
        )
        supervisor = Supervisor(fleet, world, watch, intent, once=once)
        with progress.shown(parts, fleet, supervisor, on=shown), _signals(supervisor), _door(parts, supervisor):
            return _tick_until_over(fleet, supervisor, stays)
    finally:
        watch.close()


def _recovered(hub: Hub) -> Hub:
    """Clear what crashes left in the hub."""
    hub.recover(time.time())
    return hub


def _clear_scratch(state_dir: Path) -> None:
    """Take away the check-outs that a killed supervisor left; they hold nothing but what the hub has."""
    scratch = state_dir / "scratch"
    if scratch.is_dir():
        for left in list(scratch.iterdir()):
            trash.discard_scratch(state_dir, left)


def _tick_until_over(fleet: Fleet, supervisor: Supervisor, stays: bool) -> StopReason:
    host = os.uname().nodename
    fleet.submit(cmd.RecordSupervisor(os.getpid(), host, __version__), ACTOR)
    supervisor.stays = stays
    reason = supervisor.run()
    fleet.submit(cmd.RecordSupervisor(os.getpid(), host, __version__, reason.value), ACTOR)
    if supervisor.cut_off:
        tell("left while checks were running; the next supervisor runs them again")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)
    return reason


@contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    """Ctrl-C ends the night and stops the workers; a second one, or SIGTERM, leaves and lets them go on."""

    def interrupt(number: int, frame: object) -> None:
        if supervisor.intent.stop or number == signal.SIGTERM:
            supervisor.leave = True
        else:
            tell("\nending the night: stopping the workers and keeping their work (again: leave them running)")
        supervisor.intent = Intent(False, number == signal.SIGINT, supervisor.intent.plan, supervisor.intent.once)
        supervisor.waker.wake()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _door(parts: wiring.Parts, supervisor: Supervisor) -> Iterator[None]:
    def told(message: Tell) -> None:
        if message.what == "down":
            supervisor.intent = Intent(False, message.now, supervisor.intent.plan, supervisor.intent.once)
            supervisor.leave = not message.now
            supervisor.stays = False
        supervisor.waker.wake()

    door = Door(parts.state_dir, supervisor.fleet, told)
    try:
        yield
    finally:
        door.close()


def _farewell(parts: wiring.Parts, reason: StopReason) -> None:
    """Say how the night ended and where the report is."""
    reader = Reader(parts.state_dir / place.JOURNAL)
    try:
        counts, questions = reader.counts(wall_ms()), len(reader.questions())
        total = sum(counts.values()) - counts.get("withdrawn", 0)
        say(f"{reason.value}: {counts.get('landed', 0)} of {plural(total, 'item')} landed on {parts.policy.target}")
        if counts.get("given_up"):
            say(f"{plural(counts['given_up'], 'item')} given up: the report says why")
        if questions:
            say(f"{plural(questions, 'question')} for you: ganger inbox")
        _report(parts, reader)
    finally:
        reader.close()


def _report(parts: wiring.Parts, reader: Reader) -> None:
    """Write the report; what hinders that takes nothing away from how the night ended."""
    from ganger.report.html import write

    try:
        path = write(reader, parts.state_dir, parts.state_dir / "reports" / "report.html")
    except OSError as error:
        tell(f"the report could not be written: {error.strerror}; ganger report tries again")
    else:
        say(f"report: {path}")


def _dry_run(parts: wiring.Parts, plan: Plan) -> int:
    """Say what the first tick would offer, and why not the rest; nothing is written anywhere."""
    state = _state_with(parts, plan)
    room = parts.policy.workers_max - state.workers_busy
    intent, offered, others = Intent(plan=plan.id), 0, []
    for found in pick(state, room, wall_ms(), parts.policy, intent):
        if found.refusal is None:
            offered += 1
            say(f"start {found.item.spec.id}: {found.item.spec.title} [{found.item.spec.agent}]")
        else:
            others.append(f"later {found.item.spec.id}: {found.refusal.reason}")
    for item in state.items.values():
        if item.spec.plan == plan.id and state.unmet(item.spec) and not item.landed:
            others.append(f"later {item.spec.id}: waits for {', '.join(state.unmet(item.spec))}")
    for line in others:
        say(line)
    say(f"{offered} of {plural(len(plan.items), 'item')} would be started now; nothing was changed")
    return YES


def _state_with(parts: wiring.Parts, plan: Plan) -> State:
    journal = parts.state_dir / place.JOURNAL
    state = State(rules=parts.policy.paths)
    if journal.exists():
        store = Store(journal, parts.policy.paths)
        state = store.catch_up()
        store.close()
    decided = decide(state, wiring.add_plan(plan), wall_ms(), parts.policy)
    if isinstance(decided, Refusal):
        raise UsageError(f"plan {plan.id}: {decided.reason}", decided.way)
    for event in decided:
        evolve(state, Entry(Seq(state.seq + 1), wall_ms(), "dry-run", event))
    return state


@click.command()
@click.argument("plan_files", metavar="[PLAN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--trust", "trusted", is_flag=True, help="Agree to the commands of ganger.toml and the plans.")
@click.option("--foreground", is_flag=True, hidden=True)
@click.pass_obj
def up(app: App, plan_files: tuple[Path, ...], trusted: bool, foreground: bool) -> int:
    """Start a supervisor in the background, which works through all plans and stays until `ganger down`.

    The plans named are added first; with a supervisor already up, that is all that happens.

    Exit status: 0 it is up, and the plans are added; 1 no plan is named and another supervisor holds the fleet, or
    it did not start; 2 plan, configuration or repository are wrong.
    """
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    plans = tuple(wiring.usable_plan(parts, _plan_path(path))[0] for path in plan_files)
    for plan in plans:
        _check_agents(parts, plan)
    _agree(parts, plans, trusted)
    if foreground:
        with wiring.supervising(parts.state_dir, "up"), _fleet(parts) as fleet:
            supervise(parts, fleet, Intent(), shown=False, stays=True)
        return YES
    supervised = wiring.is_supervised(parts.state_dir)
    if supervised and not plans:
        raise wiring.held_elsewhere(parts.state_dir)
    if not supervised:
        with _fleet(parts):
            pass
    for plan in plans:
        _add(parts, plan)
    if supervised:
        say(f"already up: {wiring.holder(parts.state_dir)}")
        return YES
    return _start_background(app, parts)


def _add(parts: wiring.Parts, plan: Plan) -> None:
    reply = submit(parts.state_dir, wiring.add_plan(plan), wiring.person())
    if isinstance(reply, Refusal):
        raise UsageError(f"plan {plan.id}: {reply.reason}", reply.way)
    changed = len(reply.events) if isinstance(reply, Accepted) else 0
    say(f"plan {plan.id}: {plural(len(plan.items), 'item')}, {'changed' if changed else 'as it was'}")


def _start_background(app: App, parts: wiring.Parts) -> int:
    argv = [sys.executable, "-m", "ganger", "-C", str(app.start.resolve()), "--state-dir", str(parts.state_dir)]
    log = parts.state_dir / "supervisor.log"
    pid = start_detached((*argv, "up", "--foreground"), os.environ, log)
    if not _wait_until(lambda: wiring.is_supervised(parts.state_dir)):
        tail = log.read_text(errors="replace")[-2000:]
        tell_error(f"the supervisor did not start; {log} ends with:\n{tail}")
        return NO
    say(f"up: supervisor {pid}, log {log}")
    return YES


def _wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + UP_WAIT_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


@click.command()
@click.option("--now", is_flag=True, help="Stop the workers too; their work is kept.")
@click.pass_obj
def down(app: App, now: bool) -> int:
    """End the supervisor. Its workers go on, and the next supervisor finds them; --now stops them first."""
    state_dir = app.state_dir()
    if not wiring.is_supervised(state_dir):
        tell("no supervisor is running")
        return NO
    if not tell_supervisor(state_dir, Tell("down", now)):
        raise GangerError(f"the supervisor does not answer: {wiring.holder(state_dir)}", "look at supervisor.log")
    while wiring.is_supervised(state_dir):
        time.sleep(0.05)
    say("down" + ("" if now else "; workers go on, ganger up finds them"))
    return YES
