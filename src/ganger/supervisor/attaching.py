"""How a person comes to the conversation of a worker: the same agent, folder, settings, hooks and wall as its turns."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.facts import Run
from ganger.core.ids import Token
from ganger.core.model import ItemSpec
from ganger.drivers.port import Conversational, Driver, Launch, McpServer, Turn
from ganger.drivers.process import MARK
from ganger.errors import GangerError
from ganger.git.hub import Hub
from ganger.jail.landlock import Landlock
from ganger.jail.port import Confined, Jail, Network
from ganger.service import containment, wiring
from ganger.service.places import Places
from ganger.service.worker_door import prepare
from ganger.supervisor.launching import (
    environment_of,
    fleet_mark,
    keys_of,
    mark_of,
    opened,
    prepare_state,
    write_members,
    write_settings,
)
from ganger.supervisor.packet import Told
from ganger.supervisor.provision import Provisioner
from ganger.supervisor.stream import read_out
from ganger.supervisor.tooled import SOCKET, relay_of
from ganger.worker_api.gatekeeper import workers_hooks
from ganger.worker_api.views import VIEW


class NotAttachable(GangerError):
    """There is no way for a person into this run's conversation; the message says why."""

    exit_code = 1


class Way(Struct, frozen=True):
    """How a conversation is opened."""

    run: Run
    kind: str
    turn: Turn
    launch: Launch

    @property
    def shown(self) -> str:
        """What is started, as a person would type it; without the wall, and without what is secret."""
        own = [f"{name}={shlex.quote(value)}" for name, value in sorted(self.launch.env.items())]
        keys = [f"{name}=…" for name in sorted(self.launch.keys)]
        return f"cd {shlex.quote(str(self.turn.workspace))}\n{' '.join((*own, *keys, shlex.join(self.launch.argv)))}"


class Opening(Struct, frozen=True):
    """A conversation behind its wall, ready to be opened."""

    program: str
    confined: Confined
    env: dict[str, str]
    cwd: Path
    mark: str


def way_to(parts: wiring.Parts, run: Run, spec: ItemSpec) -> Way:
    """Say how the conversation of a run's last turn is opened; writes nothing. NotAttachable where there is none."""
    driver, settings = _agent_of(parts, run)
    if not isinstance(driver, Conversational):
        raise NotAttachable(
            f"agent {run.agent} is started by the driver {driver.name!r}, which holds no conversation with a person",
            f"ganger log {run.id} shows what it prints, ganger tell {run.id} says something to it",
        )
    if parts.config.jail.bounds.network_of(spec.kind) is Network.gateway:
        raise NotAttachable(
            f"workers of the kind {spec.kind} reach their model through the gateway only, which serves turns of ganger",
            f"ganger tell {run.id} says something to its worker",
        )
    places = Places(parts.state_dir)
    session = _session(places, run, driver, settings)
    if not session:
        raise NotAttachable(f"the agent of {run.id} has not named a conversation", f"ganger log {run.id}")
    turn = Turn(
        run=run.id,
        item=run.item,
        turn=run.turn,
        token=Token(run.lease.token),
        brief="",
        workspace=places.workspace(run.id),
        run_dir=places.turn(run.id, run.turn),
        settings=Told(presets=parts.config.presets).of_agent(run.agent, spec.kind, settings),
        state=places.agent(run.id),
        session=session,
        tier=wiring.jail(parts).tier,
        hooks=workers_hooks() if (places.run(run.id) / VIEW).exists() else None,
        mcp=_servers(places, run),
    )
    return Way(run, spec.kind, turn, driver.interactive(turn))


def prepared(parts: wiring.Parts, way: Way) -> Opening:
    """Write the agent's settings, and put it behind the wall that its worker had."""
    run, turn, launch = way.run, way.turn, way.launch
    places, hub = Places(parts.state_dir), wiring.open_hub(parts)
    jail = containment.furnished(wiring.jail(parts), parts.state_dir)
    prepare_state(turn.state)
    write_settings(turn.state, launch.files)
    write_members(turn.state, launch.members)
    confined, provided = _behind_the_wall(parts, way, places, hub, jail)
    hooked = {} if turn.hooks is None else {"GANGER_HOOK": turn.hooks.client}
    env = environment_of(parts.state_dir, run, turn.turn, turn.run_dir, os.environ, {**provided, **hooked})
    mark = f"{fleet_mark(parts.state_dir)}:{mark_of(run, turn.turn)}"
    whole = env | launch.env | keys_of(launch, os.environ) | {MARK: mark}
    return Opening(confined.argv[0], confined, whole, turn.workspace, mark)


def _behind_the_wall(
    parts: wiring.Parts, way: Way, places: Places, hub: Hub, jail: Jail
) -> tuple[Confined, dict[str, str]]:
    """The agent behind its wall, and what its workspace gives it in its environment."""
    bounds, run, turn = parts.config.jail.bounds, way.run.id, way.turn
    provisioner = Provisioner(parts.state_dir, hub, jail, bounds, parts.config.workspace)
    spool = prepare(parts.state_dir, run)
    reach = bounds.of_worker(way.kind, turn.workspace, places.run(run), turn.run_dir, hub.objects, spool)
    reach = opened(provisioner.within(reach, run), turn.state, way.launch)
    if isinstance(jail, Landlock):
        # Its terminal is there in any case, already open; programs want to open it once more.
        reach = replace(reach, writable=(*reach.writable, *_terminal()))
    if not jail.sees(way.launch.argv[0], reach):
        raise NotAttachable(
            f"{way.launch.argv[0]} is not to be seen from inside the jail ({jail.tier})",
            "name its folder in [jail] readable",
        )
    return jail.confine(way.launch.argv, reach), provisioner.environment(run)


def _terminal() -> tuple[Path, ...]:
    try:
        return Path("/dev/tty"), Path(os.ttyname(0))
    except OSError:
        return ()


def _agent_of(parts: wiring.Parts, run: Run) -> tuple[Driver, Mapping[str, str]]:
    found = wiring.load_agents(parts.config).get(run.agent)
    if found is None:
        raise NotAttachable(f"there is no agent {run.agent} in ganger.toml any more", f"ganger log {run.id}")
    return found


def _session(places: Places, run: Run, driver: Driver, settings: Mapping[str, str]) -> str:
    """The conversation of the last turn that named one; empty where none did."""
    folders = (places.turn(run.id, turn) for turn in range(run.turn, 0, -1))
    told = (read_out(folder, lambda line: driver.events(line, settings)).session for folder in folders)
    return next((session for session in told if session), "")


def _servers(places: Places, run: Run) -> tuple[McpServer, ...]:
    """The tools that the run's worker was connected to."""
    door = places.door(run.id)
    return (relay_of(door),) if (door / SOCKET).exists() else ()
