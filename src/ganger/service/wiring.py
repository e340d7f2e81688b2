"""The composition root: puts the concrete parts of a fleet together."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, PlanId
from ganger.core.policy import Policy
from ganger.drivers.port import Driver, load_driver
from ganger.errors import ConfigError, GangerError, RepositoryError, StateDirError, UsageError
from ganger.git import seeding, standin
from ganger.git.hub import Hub
from ganger.git.repository import Repository, check_target, detect_target, open_repository
from ganger.jail.port import Jail
from ganger.journal.queries import NoFleet, Reader
from ganger.journal.store import Store
from ganger.plans.port import Fault, Plan, Severity, read_plan
from ganger.service import config as configuration
from ganger.service import kinds_in_force, place, protected, trust
from ganger.service.door import keep_policy
from ganger.service.fleet import Fleet
from ganger.service.kinds import Rules, places
from ganger.service.tables import INHERIT

PROBE_S = 0.3
TRASH_KEEP_MS = 7 * 24 * 3_600_000


class Parts(Struct, frozen=True):
    """Everything a command on one repository needs, read and checked."""

    repository: Repository
    state_dir: Path
    config: configuration.Config
    policy: Policy
    flags: Mapping[str, str] = {}
    """What the command line set besides."""


class SupervisedElsewhere(GangerError):
    """Another supervisor holds the fleet; the message says who."""

    exit_code = 1


def gather(start: Path, environ: Mapping[str, str], state_override: str, flags: Mapping[str, str]) -> Parts:
    """Find the repository, read its configuration and settle the target; changes nothing.

    Raises RepositoryError, ConfigError or StateDirError.
    """
    repository = open_here(start, environ, state_override)
    user = configuration.user_config_path(environ)
    config = configuration.load(repository.top, user, environ, flags)
    target = config.target or detect_target(repository)
    check_target(repository, target)
    policy = config.policy(repository.rules, time.localtime().tm_gmtoff // 60, target, repo=repository.repo_id)
    return Parts(repository, place.state_dir(start, environ, state_override), config, policy, flags)


def open_here(start: Path, environ: Mapping[str, str], state_override: str) -> Repository:
    """Open the repository around `start`, or what stands in for it where the fleet works on files without a commit."""
    try:
        found = place.state_dir(start, environ, state_override)
    except (RepositoryError, StateDirError):
        return open_repository(start)
    beside = standin.is_there(found) and Path(os.path.realpath(start)).is_relative_to(standin.top_of(found))
    return standin.open_standin(found) if beside else open_repository(start)


def take_in(start: Path, environ: Mapping[str, str], state_override: str) -> tuple[str, ...]:
    """Where nothing is committed, have the files worked on as they are now; what a person should know, a line each."""
    top = standin.without_commits(start)
    if top is None:
        return ()
    done = standin.take_in(place.state_dir_for_plain(top, environ, state_override), top)
    branch = detect_target(done.repository)
    told = [
        f"nothing is committed in {top}: your files are worked on as they are now, and what lands does not land there",
        f"to have it there: {standin.taking(done.repository, branch)}",
    ]
    if done.differing:
        told.append(
            f"changed both by you and by what landed, and as you have it from now on: {', '.join(done.differing)}"
        )
    return tuple(told)


def ready_to_take(parts: Parts) -> str:
    """The command that brings what landed into a directory without commits; empty where there is nothing to bring."""
    repository, branch = parts.repository, parts.policy.target
    ready = repository.beside is not None and standin.has_more(repository, branch)
    return standin.taking(repository, branch) if ready else ""


def refuse_outgrown(parts: Parts) -> None:
    """RepositoryError when a fleet that works beside files without a commit could as well work on commits by now."""
    if parts.repository.beside is not None and standin.is_outgrown(parts.repository):
        raise RepositoryError(
            f"{parts.repository.top} has commits by now, and this fleet works beside it",
            f"take what landed ({standin.taking(parts.repository, parts.policy.target)}), then use a new --state-dir",
        )


def refuse_missing_links(parts: Parts) -> None:
    """ConfigError when a folder that every workspace is to be linked to is not there, and no setup makes it."""
    wanted = parts.config.workspace
    missing = [] if wanted.setup else [name for name in wanted.linked if not (parts.repository.top / name).is_dir()]
    if missing:
        raise ConfigError(
            f"ganger.toml: `workspace.linked` names {missing[0]}, and {parts.repository.top} has no such folder",
            "make it there, or say in workspace.setup what makes it",
        )


def open_fleet(parts: Parts) -> Fleet:
    """Open the fleet's journal, making the state directory if need be, and leave the policy for other processes."""
    place.prepare(parts.state_dir, parts.repository.common_dir)
    fleet = Fleet(Store(parts.state_dir / place.JOURNAL, parts.policy.paths), parts.policy)
    keep_policy(parts.state_dir, parts.policy)
    return fleet


def person() -> str:
    """The actor for what a person does by hand."""
    try:
        return f"person:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"person:{os.getuid()}"


def load_agents(config: configuration.Config) -> dict[str, tuple[Driver, Mapping[str, str]]]:
    """Load the driver of every agent; ConfigError names the agents whose settings cannot work."""
    agents: dict[str, tuple[Driver, Mapping[str, str]]] = {}
    faults = []
    for agent in config.agents.values():
        try:
            driver = load_driver(agent.driver)
        except UsageError as error:
            faults.append(f"ganger.toml: agents.{agent.name}: {error.message}")
            continue
        fault = driver.fault(agent.settings)
        if fault:
            faults.append(f"ganger.toml: agents.{agent.name}: {fault}")
        agents[agent.name] = (driver, agent.settings)
    for kind, preset in config.presets.items():
        if preset.model and preset.agent in agents and not faults:
            driver, settings = agents[preset.agent]
            fault = driver.fault({**settings, "model": preset.model})
            faults += [f"kinds.{kind}.model: {fault}"] if fault else []
        if preset.seeding == INHERIT and preset.agent in agents and not agents[preset.agent][0].capabilities.fork:
            name = agents[preset.agent][0].name
            faults.append(f"kinds.{kind}.seeding: the driver {name} cannot go on with a copy of a conversation")
    if faults:
        raise ConfigError("\n".join(faults), "correct ganger.toml; nothing was changed")
    return agents


def read_plan_file(parts: Parts, path: Path) -> tuple[Plan | None, tuple[Fault, ...]]:
    """Read and lint a plan against the configuration, the target's files and the fleet's other items."""
    others = _other_items(parts)
    known = parts.config.known(parts.repository.rules, lambda: tracked_paths(parts), others, parts.policy.target)
    return read_plan(path, known)


def usable_plan(parts: Parts, path: Path) -> tuple[Plan, tuple[Fault, ...]]:
    """The plan and its warnings; ConfigError lists everything that is wrong with it."""
    plan, faults = read_plan_file(parts, path)
    errors = [fault for fault in faults if fault.severity is Severity.error]
    if plan is None or errors:
        raise ConfigError("\n".join(fault.text for fault in errors), "correct the plan; nothing was changed")
    return plan, tuple(fault for fault in faults if fault.severity is not Severity.error)


def tracked_paths(parts: Parts) -> tuple[str, ...]:
    """The files of the target's tree."""
    listing = parts.repository.git.run("ls-tree", "-r", "-z", "--name-only", f"refs/heads/{parts.policy.target}")
    return tuple(name.decode("utf-8", "backslashreplace") for name in listing.split(b"\0") if name)


def _other_items(parts: Parts) -> dict[ItemId, PlanId]:
    try:
        reader = Reader(parts.state_dir / place.JOURNAL)
    except NoFleet:
        return {}
    try:
        return {ItemId(row.id): PlanId(row.plan) for row in reader.items()}
    finally:
        reader.close()


def add_plan(plan: Plan) -> cmd.AddPlan:
    """The command that makes the fleet's items those of the plan."""
    items = tuple((item.spec, item.brief) for item in plan.items)
    return cmd.AddPlan(plan.id, plan.title, plan.path, plan.digest, items, plan.unreadable, plan.still_open)


def agree(parts: Parts, plans: tuple[Plan, ...], who: str) -> None:
    """Record that somebody agrees to everything that would be run, and to what workers are told by itself."""
    trust.trust(parts.state_dir, trust.digest_of(parts.config, plans), who)
    agree_to_kinds(parts, who)


def agree_to_kinds(parts: Parts, who: str) -> None:
    """Record that somebody agrees to what the repository says of kinds and has workers told."""
    trust.trust(parts.state_dir, parts.config.rulebook.digest, who)
    trust.trust(parts.state_dir, kinds_in_force.digest_of(parts.config), who)


def rules(parts: Parts, environ: Mapping[str, str]) -> Rules:
    """What workers are told at each start from now on."""
    where = places(parts.config.repo_top, configuration.user_config_path(environ), parts.config.packages)
    return Rules(where, parts.config.rulebook, lambda digest: trust.is_trusted(parts.state_dir, digest))


def require_trust(parts: Parts, plans: tuple[Plan, ...]) -> str:
    """The digest of everything that would be run, when a person has not yet agreed to it; empty when one has."""
    digest = trust.digest_of(parts.config, plans)
    return "" if trust.is_trusted(parts.state_dir, digest) else digest


def open_hub(parts: Parts) -> Hub:
    """Open the hub, making it if need be."""
    return Hub.open(parts.state_dir / "hub.git", parts.repository, parts.policy.target)


def seeded(parts: Parts, plan: Plan) -> Plan:
    """The plan, with items whose runs begin with what is not committed in the user's main work tree now.

    Where nothing at all is committed, the files are what all runs begin with anyway.
    """
    if parts.repository.beside is not None:
        return plan
    seed = seeding.freeze(open_hub(parts)) or Commit("")
    items = tuple(replace(item, spec=replace(item.spec, seed=seed)) for item in plan.items)
    return replace(plan, items=items)


def jail(parts: Parts) -> Jail:
    """The containment of this fleet's workers and checks; ConfigError where this machine has none that is enough."""
    closed = (parts.repository.top, parts.repository.common_dir, parts.state_dir)
    return parts.config.jail.jail(parts.config.search_path, closed)


def is_protected(parts: Parts, path: str) -> bool:
    """Whether the checks take this file from the base."""
    return protected.is_protected(path, parts.config.protected, parts.repository.rules)


def is_test_file(parts: Parts, path: str) -> bool:
    """Whether the file is a test, which a candidate may add to but not take away unseen."""
    return protected.is_test_file(path, parts.repository.rules)


@contextlib.contextmanager
def supervising(state_dir: Path, what: str) -> Iterator[None]:
    """Hold the fleet as its only supervisor; SupervisedElsewhere says who does."""
    handle = hold(state_dir, what)
    try:
        yield
    finally:
        os.close(handle)


def hold(state_dir: Path, what: str) -> int:
    """Hold the fleet as its only supervisor for as long as the returned descriptor is open: left open, to the very end
    of this process, so that whoever finds the fleet free finds nothing of it still running."""
    try:
        handle = os.open(state_dir / place.SUPERVISOR_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        what = f"{state_dir / place.SUPERVISOR_LOCK} cannot be opened: {error.strerror}"
        raise StateDirError(what, "check its owner and mode") from error
    try:
        if not _gets(handle):
            raise held_elsewhere(state_dir)
        about = {"pid": os.getpid(), "host": socket.gethostname(), "what": what, "since_ms": int(time.time() * 1000)}
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(about).encode(), 0)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _gets(handle: int) -> bool:
    """Take the lock; False when it stays taken for longer than whoever only asks whether it is (`is_supervised`)."""
    until = time.monotonic() + PROBE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)


def held_elsewhere(state_dir: Path) -> SupervisedElsewhere:
    """The error that says which supervisor holds the fleet."""
    return SupervisedElsewhere(
        f"this fleet is supervised by {holder(state_dir)}", "ganger status shows it, ganger down ends it"
    )


def holder(state_dir: Path) -> str:
    """Say who holds, or last held, the fleet."""
    try:
        about = json.loads((state_dir / place.SUPERVISOR_LOCK).read_bytes())
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(about["since_ms"] / 1000))
        return f"pid {about['pid']} on {about['host']} (ganger {about['what']}) since {since}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
