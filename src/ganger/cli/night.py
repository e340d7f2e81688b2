"""Running nights: `run` in the foreground until nothing more can be done, `up` and `down` in the background."""

from __future__ import annotations

import difflib
import fnmatch
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import replace

from ganger import __version__
from ganger.cli import mirror, progress
from ganger.cli.dry_run import dry_run
from ganger.cli.ending import EXIT_OF, farewell
from ganger.cli.main import App
from ganger.cli.options import Duration, as_json
from ganger.cli.output import INTERRUPTED, NO, YES, clock, plural, say, say_json, tell, tell_error
from ganger.cli.reply import a_person
from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId
from ganger.core.loop import Intent, StopReason
from ganger.core.model import Refusal
from ganger.core.policy import Policy
from ganger.drivers.background import start_detached
from ganger.drivers.hooks import DIALECTS
from ganger.drivers.port import must_speak
from ganger.errors import ConfigError, GangerError, UsageError
from ganger.git import trash
from ganger.git.hub import Hub
from ganger.jail.choice import TIERS, look
from ganger.jail.port import Jail
from ganger.journal.clock import wall_ms
from ganger.plans.port import Plan
from ganger.plans.values import SECOND_MS
from ganger.service import ci, containment, place, predicates, reconcile_step, scorers, trust, wiring
from ganger.service import config as configuration
from ganger.service.config import CONFIG_NAME, Config
from ganger.service.door import Door, Tell, submit, tell_supervisor
from ganger.service.fleet import Fleet
from ganger.service.hidden import of_environment
from ganger.service.hook_settings import GateMode
from ganger.service.kinds import places
from ganger.service.kinds_in_force import KindsInForce
from ganger.service.worker_door import WorkerDoor
from ganger.supervisor import sharing, walls
from ganger.supervisor.effects import CiSeen
from ganger.supervisor.hooked import Hooked, HookService
from ganger.supervisor.loop import Supervisor
from ganger.supervisor.metered import Metered
from ganger.supervisor.packet import Told
from ganger.supervisor.tooled import Tooled
from ganger.supervisor.watch import Watch
from ganger.supervisor.world import RealWorld

UP_WAIT_S = 15.0


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@click.option("--once", is_flag=True, help="Close at most one item, then stop.")
@click.option("--iterations", type=click.IntRange(1, 1_000_000), help="Give out at most so many runs in this night.")
@click.option("--select", default="", help="Only items whose ids match this pattern, as in 'auth-*'.")
@click.option("--patience", "patience_ms", type=Duration(), help="Wait no longer than this for time alone.")
@click.option(
    "--every", "every_ms", type=Duration(SECOND_MS), help="After each night wait so long and begin again, until Ctrl-C."
)
@click.option("--dry-run", "dry", is_flag=True, help="Say for each item whether it would be started; change nothing.")
@click.option("--trust", "trusted", is_flag=True, help="Agree to the commands of ganger.toml and the plan.")
@click.option("--target", default="", help="The branch that landings move.")
@click.option("--workers", type=click.IntRange(1, 1000), help="Most workers at once.")
@click.option("--seed-dirty", is_flag=True, help="Let workers begin with your uncommitted work; it does not land.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
@as_json
@click.pass_obj
def run(
    app: App,
    plan_file: Path,
    once: bool,
    iterations: int | None,
    select: str,
    patience_ms: int | None,
    every_ms: int | None,
    dry: bool,
    trusted: bool,
    target: str,
    workers: int | None,
    seed_dirty: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Work through PLAN until nothing more can be done, then write the report.

    Run it again after anything at all: it goes on where things stand. Ctrl-C stops the workers and keeps their work.

    Exit status: 0 all landed, or what --once or --iterations asked for is done; 3 drained, something was given up;
    4 what is left waits for time, a provider or the next night's budget; 5 what is left waits for you; 1 another
    supervisor holds the fleet; 2 plan, configuration or repository are wrong; 130 interrupted.
    """
    if dry and every_ms:
        raise click.UsageError("--dry-run looks once: leave --every out")
    options = Options(once, iterations, select, patience_ms, not quiet, as_json, seed_dirty, app.alone)
    flags = _flags(target, workers)
    if seed_dirty and not dry:
        for line in wiring.take_in(app.start, os.environ, app.state_override):
            tell(line)
    parts, plan = _ready(app, plan_file, flags)
    only = selected(plan, select)
    if dry:
        return dry_run(parts, plan, iterations, only, as_json=as_json)
    _agree(parts, (plan,), trusted)
    reason = _night(parts, plan, options)
    while every_ms and reason is not StopReason.interrupted:
        tell(f"the next night begins at {clock(wall_ms() + every_ms)}")
        time.sleep(every_ms / 1000)
        reason = _next_night(app, plan_file, flags, options) or reason
    return EXIT_OF[reason]


class Options(Struct, frozen=True):
    """What a night was asked to be like."""

    once: bool
    iterations: int | None
    select: str
    patience_ms: int | None
    shown: bool
    as_json: bool
    seed_dirty: bool = False
    alone: bool = False
    """Whether this process may give up its rights."""


def selected(plan: Plan, pattern: str) -> frozenset[ItemId] | None:
    """The items of a plan whose ids match; None for all. UsageError when none does, or `pattern` names a kind."""
    if not pattern:
        return None
    ids = [item.spec.id for item in plan.items]
    found = frozenset(item for item in ids if fnmatch.fnmatchcase(item, pattern))
    if not found:
        kinds = sorted({item.spec.kind for item in plan.items})
        near = difflib.get_close_matches(pattern, ids, n=3)
        hint = "it is a kind: items are selected by their ids" if pattern in kinds else ""
        hint = hint or f"near: {', '.join(near)}" if near or hint else f"ids are {', '.join(ids[:5])}"
        raise UsageError(f"no item of plan {plan.id} matches --select {pattern!r}", hint)
    return found


def _ready(app: App, plan_file: Path, flags: dict[str, str]) -> tuple[wiring.Parts, Plan]:
    """Read configuration and plan, and see that the plan's agents can be started; nothing is changed."""
    parts = wiring.gather(app.start, os.environ, app.state_override, flags)
    wiring.refuse_outgrown(parts)
    wiring.refuse_missing_links(parts)
    plan, warnings = wiring.usable_plan(parts, _plan_path(plan_file))
    for warning in warnings:
        tell(warning.text)
    _check_agents(parts, plan)
    wiring.jail(parts)
    return parts, plan


def agree_to(app: App, plan_file: Path, trusted: bool) -> None:
    """Have a person agree to what a plan would run; an error when nobody does, or when it could not be run at all."""
    parts, plan = _ready(app, plan_file, {})
    _agree(parts, (plan,), trusted)


def _night(parts: wiring.Parts, plan: Plan, options: Options) -> StopReason:
    """Add the plan, supervise until the night is over, and say how it ended."""
    only = selected(plan, options.select)
    with wiring.supervising(parts.state_dir, "run"), _fleet(parts) as fleet:
        plan = wiring.seeded(parts, plan) if options.seed_dirty else plan
        reply = fleet.submit(wiring.add_plan(plan), wiring.person())
        if isinstance(reply, Refusal):
            raise UsageError(f"plan {plan.id}: {reply.reason}", reply.way)
        granted = fleet.look(lambda state, _: state.granted)
        most = granted + options.iterations if options.iterations is not None else None
        intent = Intent(plan=plan.id, only=only, granted_max=most, patience_ms=options.patience_ms)
        reason = supervise(parts, fleet, intent, once=options.once, shown=options.shown, alone=options.alone)
    farewell(parts, plan.id, reason, as_json=options.as_json)
    ready = wiring.ready_to_take(parts)
    if ready:
        tell(f"to have what landed in {parts.repository.top}: {ready}")
    return reason


def _next_night(app: App, plan_file: Path, flags: dict[str, str], options: Options) -> StopReason | None:
    """Another night with everything read anew; None when it cannot begin, which is said and may be mended meanwhile.

    Nobody is asked to agree to new commands: whoever would may be asleep.
    """
    try:
        parts, plan = _ready(app, plan_file, flags)
        if wiring.require_trust(parts, (plan,)):
            raise UsageError("nobody has agreed to the commands as they are now", f"ganger run {plan_file} --trust")
        return _night(parts, plan, options)
    except (UsageError, wiring.SupervisedElsewhere) as error:
        tell_error(error.message, error.hint)
        return None


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
            "add a table [agents.NAME] with its driver (claude, codex, command, …): docs/guides/use-agents.md",
        )


def _agree(parts: wiring.Parts, plans: tuple[Plan, ...], trusted: bool) -> None:
    """Have a person agree to what will be executed on this machine, once per content."""
    who = a_person("AddPlan")
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
    wiring.agree(parts, plans, who)


@contextmanager
def _fleet(parts: wiring.Parts) -> Iterator[Fleet]:
    fleet = wiring.open_fleet(parts)
    try:
        yield fleet
    finally:
        fleet.close()


def supervise(
    parts: wiring.Parts,
    fleet: Fleet,
    intent: Intent,
    *,
    once: bool = False,
    shown: bool = True,
    stays: bool = False,
    alone: bool = False,
) -> StopReason:
    """Supervise until the night is over; with `stays`, until somebody says `down`. The lock must be held.

    With `alone`, this process first gives up its rights to write elsewhere, for good.
    """
    jail, hub = containment.furnished(wiring.jail(parts), parts.state_dir), wiring.open_hub(parts)
    holds = containment.of_jail(jail)
    if alone:
        look()
        holds = containment.of_jail(jail, walls.put_up(parts.state_dir, hub))
    containment.keep(parts.state_dir, holds)
    watch = Watch()
    if shown or jail.tier == TIERS[0]:
        tell(f"containment: {holds.line}")
    hidden = of_environment(parts.config.model_keys, os.environ)
    worker_door = WorkerDoor(parts.state_dir, fleet, hidden)
    hooked, metered = hook_service(parts, fleet, hub), _gateway(parts)
    asks = parts.config.hooks
    tooled = Tooled(parts.state_dir, asks.mcp_calls_max) if asks.mcp and importlib.util.find_spec("mcp") else None
    try:
        trash.prune(parts.state_dir, wiring.TRASH_KEEP_MS, wall_ms())
        _clear_scratch(parts.state_dir)
        sharing.drop_unused(parts.state_dir)
        world = RealWorld(
            parts.state_dir,
            parts.repository,
            _recovered(hub),
            parts.policy,
            wiring.load_agents(parts.config),
            jail,
            lambda path: wiring.is_protected(parts, path),
            lambda path: wiring.is_test_file(parts, path),
            watch,
            {
                agent: (tokens_in / 1e6, tokens_out / 1e6)
                for agent, (tokens_in, tokens_out) in parts.config.prices.items()
            },
            _reads_plans(parts),
            parts.config.jail.bounds,
            worker_door,
            parts.config.workspace,
            _asks_ci(parts),
            hooked,
            metered,
            tooled,
            _told(parts),
            hidden,
        )
        asked = predicates.Predicates(
            parts.state_dir,
            parts.repository.top,
            predicates.with_installed(parts.config.predicates),
            scorers.with_installed(parts.config.scorers),
        )
        predicates.keep(asked)
        step = reconcile_step.of_fleet(parts.state_dir, parts.repository.top, parts.config.driver)
        kinds = _kinds(parts, fleet, world, jail)
        supervisor = Supervisor(fleet, world, watch, intent, once=once, predicates=asked, driver=step, kinds=kinds)
        shows = progress.shown(parts, fleet, supervisor, on=shown, tries=shown or stays)
        with mirror.kept(parts.state_dir), shows, _signals(supervisor), _door(parts, supervisor):
            reason = _tick_until_over(fleet, supervisor, stays)
        # A person who ended the night just as it was over has still asked for no other one to begin.
        return StopReason.interrupted if supervisor.intent.stop or supervisor.leave else reason
    finally:
        if hooked is not None:
            hooked.close()
        if tooled is not None:
            tooled.close()
        if metered is not None:
            metered.close(workers_live=fleet.look(lambda state, _: any(run.has_worker for run in state.runs.values())))
        worker_door.close()
        watch.close()


def hook_service(parts: wiring.Parts, fleet: Fleet, hub: Hub) -> HookService | None:
    """What answers the hooks of this fleet's agents; None where there is nobody whose hooks it could answer."""
    agents = wiring.load_agents(parts.config)
    mode, hooking = parts.config.hooks.gate, any(driver.name in DIALECTS for driver, _ in agents.values())
    if not sys.platform.startswith("linux") or mode is GateMode.off or (mode is GateMode.auto and not hooking):
        return None
    hooked = Hooked(
        parts.state_dir,
        parts.policy,
        hub,
        parts.config.hooks,
        parts.config.protected,
        lambda agent: agent in agents and not must_speak(*agents[agent]),
        parts.config.jail.bounds.writable,
        of_environment(parts.config.model_keys, os.environ),
    )
    return HookService(hooked, fleet)


def _gateway(parts: wiring.Parts) -> Metered | None:
    """The gateway of this fleet's workers; None where none of them is to go through one."""
    config = parts.config
    if not config.jail.bounds.uses_gateway:
        return None
    if importlib.util.find_spec("uvicorn") is None or importlib.util.find_spec("httpx") is None:
        raise ConfigError('`network = "gateway"` needs packages that are not installed', "pip install 'ganger[agents]'")
    keys = {name: os.environ[name] for name in config.model_keys if name in os.environ}
    return Metered(parts.state_dir, config.model_prices, keys, parts.state_dir / place.SUPERVISOR_LOCK)


def _told(parts: wiring.Parts) -> Told:
    """With what launches are made besides their items."""
    return Told(wiring.rules(parts, os.environ), parts.config.presets, parts.config.explain())


def _kinds(parts: wiring.Parts, fleet: Fleet, world: RealWorld, jail: Jail) -> KindsInForce:
    """The kinds of a supervisor: read anew where they are written down, as by the command that started it."""
    top, user = parts.repository.top, configuration.user_config_path(os.environ)

    def read() -> Config:
        found = configuration.load(top, user, os.environ, parts.flags)
        wiring.load_agents(found)
        found.jail.refuse_unheld(jail)
        return found

    def adopt(config: Config, policy: Policy) -> None:
        now = replace(parts, config=config, policy=policy)
        world.adopt(policy, config.jail.bounds, _told(now), _reads_plans(now))

    return KindsInForce(
        parts.state_dir,
        fleet,
        parts.config,
        read,
        lambda config: places(top, user, config.packages),
        (top / CONFIG_NAME, *([user] if user is not None else [])),
        lambda digest: trust.is_trusted(parts.state_dir, digest),
        adopt,
        tell,
    )


def _reads_plans(parts: wiring.Parts) -> Callable[[str], cmd.AddPlan | str]:
    """How the plan of a schedule is read: as by `ganger run`, but nobody is asked to agree to its commands."""

    def read(path: str) -> cmd.AddPlan | str:
        try:
            plan, _ = wiring.usable_plan(parts, Path(path))
            _check_agents(parts, plan)
        except UsageError as error:
            return error.message
        if wiring.require_trust(parts, (plan,)):
            return f"nobody has agreed to the commands of {path} as they are now"
        return wiring.add_plan(plan)

    return read


def _asks_ci(parts: wiring.Parts) -> Callable[[Commit], CiSeen]:
    """How CI is asked about a landing; that its program may be run was agreed to with everything else."""
    settings = parts.config.ci

    def ask(commit: Commit) -> CiSeen:
        found = ci.state_of(settings, commit, parts.repository.top, parts.state_dir, os.environ)
        return CiSeen(found.state, found.text, ci.where(settings, commit))

    return ask


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
    fleet.take_over(os.getpid(), host, __version__)
    supervisor.stays = stays
    reason = supervisor.run()
    fleet.submit(cmd.RecordSupervisor(os.getpid(), host, __version__, reason.value), fleet.acts_as)
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
        supervisor.intent = replace(supervisor.intent, offer=False, stop=number == signal.SIGINT)
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
            supervisor.intent = replace(supervisor.intent, offer=False, stop=message.now)
            supervisor.leave = not message.now
            supervisor.stays = False
        supervisor.waker.wake()

    door = Door(parts.state_dir, supervisor.fleet, told)
    try:
        yield
    finally:
        door.close()


@click.command()
@click.argument("plan_files", metavar="[PLAN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--trust", "trusted", is_flag=True, help="Agree to the commands of ganger.toml and the plans.")
@click.option("--foreground", is_flag=True, hidden=True)
@as_json
@click.pass_obj
def up(app: App, plan_files: tuple[Path, ...], trusted: bool, foreground: bool, as_json: bool) -> int:
    """Start a supervisor in the background, which works through all plans and stays until `ganger down`.

    The plans named are added first; with a supervisor already up, that is all that happens.

    Exit status: 0 it is up, and the plans are added; 1 no plan is named and another supervisor holds the fleet, or
    it did not start; 2 plan, configuration or repository are wrong.
    """
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    wiring.refuse_outgrown(parts)
    wiring.refuse_missing_links(parts)
    plans = tuple(wiring.usable_plan(parts, _plan_path(path))[0] for path in plan_files)
    wiring.jail(parts)
    for plan in plans:
        _check_agents(parts, plan)
    _agree(parts, plans, trusted)
    if foreground:
        wiring.hold(parts.state_dir, "up")
        with _fleet(parts) as fleet:
            supervise(parts, fleet, Intent(), shown=False, stays=True, alone=app.alone)
        return YES
    supervised = place.is_supervised(parts.state_dir)
    if supervised and not plans:
        raise wiring.held_elsewhere(parts.state_dir)
    if not supervised:
        with _fleet(parts):
            pass
    added = [_add(parts, plan) for plan in plans]
    log = parts.state_dir / "supervisor.log"
    pid = 0 if supervised else _start_background(app, parts, log)
    if as_json:
        by = wiring.holder(parts.state_dir)
        value = {"up": True, "started": not supervised, "pid": pid, "by": by, "log": str(log)}
        plan_rows = [{"plan": plan.id, "changed": change} for plan, change in zip(plans, added, strict=True)]
        say_json("ganger.up", {**value, "plans": plan_rows})
        return YES
    for plan, change in zip(plans, added, strict=True):
        say(f"plan {plan.id}: {plural(len(plan.items), 'item')}, {'changed' if change else 'as it was'}")
    say(f"already up: {wiring.holder(parts.state_dir)}" if supervised else f"up: supervisor {pid}, log {log}")
    return YES


def _add(parts: wiring.Parts, plan: Plan) -> bool:
    """Make the fleet's items those of the plan; whether that changed anything."""
    reply = submit(parts.state_dir, wiring.add_plan(plan), wiring.person())
    if isinstance(reply, Refusal):
        raise UsageError(f"plan {plan.id}: {reply.reason}", reply.way)
    return bool(reply.events)


def _start_background(app: App, parts: wiring.Parts, log: Path) -> int:
    """Start a supervisor and wait until it holds the fleet; its process id. NotUp when it does not."""
    # The working directory is the repository, whose files are not ours to import.
    argv = [sys.executable, "-P", "-m", "ganger", "-C", str(app.start.resolve()), "--state-dir", str(parts.state_dir)]
    pid = start_detached((*argv, "up", "--foreground"), os.environ, log)
    if not _wait_until(lambda: place.is_supervised(parts.state_dir)):
        raise NotUp(f"the supervisor did not start; {log} ends with:\n{log.read_text(errors='replace')[-2000:]}")
    return pid


class NotUp(GangerError):
    """A supervisor that was started in the background did not come up."""

    exit_code = NO


def _wait_until(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + UP_WAIT_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


@click.command()
@click.option("--now", is_flag=True, help="Stop the workers too; their work is kept.")
@as_json
@click.pass_obj
def down(app: App, now: bool, as_json: bool) -> int:
    """End the supervisor. Its workers go on, and the next supervisor finds them; --now stops them first.

    Exit status: 0 it is down; 1 none was running.
    """
    a_person("Down")
    state_dir = app.state_dir()
    running = place.is_supervised(state_dir)
    if running and not tell_supervisor(state_dir, Tell("down", now)):
        raise GangerError(f"the supervisor does not answer: {wiring.holder(state_dir)}", "look at supervisor.log")
    while place.is_supervised(state_dir):
        time.sleep(0.05)
    if as_json:
        say_json("ganger.down", {"was_up": running, "workers_stopped": running and now})
    elif running:
        say("down" + ("" if now else "; workers go on, ganger up finds them"))
    else:
        tell("no supervisor is running")
    return YES if running else NO
