"""The real world: git, processes and folders, behind the seam of `supervisor.effects`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.effects import Observed
from ganger.core.facts import Run, Undo
from ganger.core.foundation import Head
from ganger.core.ids import Commit, ItemId, RunId
from ganger.core.model import Again, Check, CiState, Evidence, ItemSpec, RecoveryFacts, WorkerId
from ganger.core.patterns import scope_matches
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.core.train import Trial
from ganger.drivers import process
from ganger.drivers.port import Driver, McpServer, Turn, must_speak
from ganger.errors import GangerError, GitFailed, LaunchRefused, WorldFailed
from ganger.gateway.prices import Price as ModelPrice
from ganger.git import combining, landing, seeding, stacking, trash, workspace
from ganger.git.beneath import directory
from ganger.git.hub import Hub
from ganger.git.naming import repo_id
from ganger.git.reading_back import lost_from
from ganger.git.refs import keep_prefix, seeded_ref
from ganger.git.repository import Repository, checked_out_at, is_dirty, target_tip
from ganger.jail.bounds import NO_BOUNDS, Bounds
from ganger.jail.none import NoJail
from ganger.jail.port import Jail, Network
from ganger.journal.clock import wall_ms
from ganger.journal.queries import Reader
from ganger.service.hidden import Hidden
from ganger.service.kept import STDIN, prompt_fault
from ganger.service.place import find_common_dir
from ganger.service.places import STARTED, Places
from ganger.service.provisioning import Provisioning
from ganger.service.tables import Preset
from ganger.service.worker_door import WorkerDoor, live, prepare
from ganger.service.worker_talk import SPOOL
from ganger.supervisor import brief, combine, consulted, evidence, forecast, history, packet, recovery, train
from ganger.supervisor.effects import CiSeen, Founded, LandSeen, Probed, Tested, Undid
from ganger.supervisor.forking import fork_of
from ganger.supervisor.hooked import HookService
from ganger.supervisor.launching import (
    environment_of,
    fleet_mark,
    keys_of,
    mark_of,
    opened,
    prepare_state,
    write_settings,
)
from ganger.supervisor.metered import Metered, Pass
from ganger.supervisor.observe import Observer
from ganger.supervisor.packet import Told
from ganger.supervisor.provision import Provisioner
from ganger.supervisor.stream import Price, Reads, read_out
from ganger.supervisor.tooled import Tooled
from ganger.supervisor.watch import Watch
from ganger.verifier import claims

GONE = WorkerId(0, 0, "gone")
"""Stands for a worker that ended before it was recorded; no process has this identity."""
Agents = Mapping[str, tuple[Driver, Mapping[str, str]]]
"""For each agent of the configuration: its driver and that driver's settings."""
ReadsPlan = Callable[[str], cmd.AddPlan | str]
"""Reads a plan file; the text says why it could not be read, or may not be."""
AsksCi = Callable[[Commit], CiSeen]
"""Asks what CI says of a commit."""
NO_PRICES: Mapping[str, Price] = MappingProxyType({})


class RealWorld:
    """Carries out effects with the programs of this machine."""

    def __init__(
        self,
        state_dir: Path,
        repository: Repository,
        hub: Hub,
        policy: Policy,
        agents: Agents,
        jail: Jail,
        is_protected: Callable[[str], bool],
        is_test: Callable[[str], bool],
        watch: Watch,
        prices: Mapping[str, Price] = NO_PRICES,
        read_plan: ReadsPlan | None = None,
        bounds: Bounds = NO_BOUNDS,
        door: WorkerDoor | None = None,
        wanted: Provisioning = Provisioning(),  # noqa: B008 - a frozen value
        ask_ci: AsksCi | None = None,
        hooked: HookService | None = None,
        metered: Metered | None = None,
        tooled: Tooled | None = None,
        told: Told = Told(),  # noqa: B008 - a frozen value
        hidden: Hidden = Hidden(),  # noqa: B008 - never changes
    ) -> None:
        """`prices` are those of agents that do not report money, by their names, see `stream.Price`.

        `door` is where workers speak; without one what they say lies in their folders until somebody takes it in.
        `wanted` is what workspaces are given, `told` with what launches are made. What is `hidden` is taken out of
        what workers leave.
        """
        self._bounds, self._door = bounds, door
        self._hooked, self._metered, self._tooled, self._hidden = hooked, metered, tooled, hidden
        self._prices, self._told, self._versions = prices, told, packet.Versions(state_dir, jail)
        self._provisioner = Provisioner(state_dir, hub, jail, bounds, wanted)
        self._state_dir, self._repository, self._hub, self._policy = state_dir, repository, hub, policy
        self._agents, self._jail, self._is_test, self._watch = agents, jail, is_test, watch
        self._fleet_mark = fleet_mark(state_dir)
        self._places = Places(state_dir)
        self._checker = evidence.Checker(state_dir, hub, jail, is_protected, is_test, bounds, self._provisioner.linked)
        self._train = train.Train(self._checker, hub, self._places.trains(), policy.flaky_retries)
        self._forecast = forecast.Background(forecast.Seer(hub, self._places.workspace), state_dir)
        self._history = history.Background(hub)
        self._read_plan, self._ask_ci = read_plan, ask_ci
        self._observer = Observer(
            self._places,
            self._tip_of,
            self._target,
            self._target_dirty,
            self._repo_id,
            self._reads,
            prices,
            self._needs_clean,
            must_speak=lambda agent: agent in self._agents and must_speak(*self._agents[agent]),
        )

    def adopt(self, policy: Policy, bounds: Bounds, told: Told, read_plan: ReadsPlan) -> None:
        """Start workers under these from here on, which say what was said before but for kinds without a live run."""
        self._policy, self._bounds, self._told, self._read_plan = policy, bounds, told, read_plan
        if self._hooked is not None:
            self._hooked.adopt(policy)

    def observe(self, state: State, now_ms: int) -> Observed:
        """See what is, and watch the workers that live."""
        seen = self._observer.observe(state, now_ms)
        if self._door is not None:
            self._door.serve(live(state))
        if self._metered is not None:
            self._metered.tell_lent(state.runs.values())
        if self._hooked is not None:
            self._hooked.serve(state)
            clocks = self._hooked.calls.heard(seen.clocks, now_ms)
            seen = replace(seen, clocks=clocks, silent=self._hooked.silent(self._observer.uses(state)))
        self._watch.follow(
            (run.id, run.worker, (*self._refs_of(run.id), self._places.door(run.id) / SPOOL))
            for run in state.runs.values()
            if run.id in seen.alive and run.worker is not None
        )
        self._history.nudge(seen.target, now_ms)
        self._forecast.nudge([run for run in state.runs.values() if run.id in seen.workspaces and run.turn], now_ms)
        return seen

    def start(self, run: Run, spec: ItemSpec, turn: int) -> WorkerId:
        """Start the worker of a turn; the one that an earlier supervisor started is found by its record."""
        folder = self._places.turn(run.id, turn)
        earlier = self._started_before(run, turn, folder)
        if earlier is not None:
            return earlier
        place = self._places.workspace(run.id)
        unseen = turn == 1 and not (folder / STARTED).exists()
        cut_off = unseen and place.exists() and not self._provisioner.is_made(run.id)
        if cut_off or (unseen and place.exists() and self._tip_of(run.id) != run.base):
            # Made for an earlier permit, by a start that was cut off; no worker has seen it.
            self.clean(run.id)
        shares = self._only_reads(spec)
        if self._provisioner.is_shared(run.id) and not (shares and place.exists()):
            # What others read is never opened to a worker that may write.
            self._provisioner.release(run.id)
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            if not self._hub.exists(run.base):
                self._hub.sync_target()
            begin = seeding.baseline(self._hub, run.id, run.base, spec.seed) if spec.seed else run.base
            files = None if shares else self._prepared(run, begin)
            self._provisioner.make(run.id, begin, base=begin, shared=shares, files=files)
        driver, settings = self._agent(run.agent)
        preset = self._told.presets.get(spec.kind, Preset())
        fork = fork_of(self._state_dir, run, spec, turn, driver, preset, self._reads(run.agent))
        settings, rules = self._told.of_agent(run.agent, spec.kind, settings), self._told.now()
        text = self._brief(run, spec, turn, rules.rulebook.told(spec.kind))
        (folder / "home").mkdir(parents=True, exist_ok=True)
        (folder / "tmp").mkdir(exist_ok=True)
        spool = prepare(self._state_dir, run.id)
        way, network = self._pass(run, spec, turn, driver, settings), self._bounds.network_of(spec.kind)
        order = Turn(
            run=run.id,
            item=run.item,
            turn=turn,
            token=run.lease.token,
            brief=text,
            workspace=place,
            run_dir=folder,
            settings=settings if way is None else way.settings,
            state=prepare_state(self._places.agent(run.id)),
            session=self._session(run, turn, driver),
            fork=fork,
            tier=self._jail.tier,
            hooks=None if self._hooked is None else self._hooked.hooks_of(network, self._jail.tier),
            mcp=self._tools(run, turn, driver),
        )
        launch = driver.launch(order)
        (folder / STARTED).write_text(str(process.slept_ms()))
        write_settings(order.state, launch.files)
        own = self._places.run(run.id)
        reach = self._bounds.of_worker(spec.kind, place, own, folder, self._hub.objects, spool)
        reach = opened(self._provisioner.within(reach, run.id), order.state, launch)
        reach = reach if way is None else replace(reach, way=way.way)
        asks = self._who_asks(spec)
        reach = reach if asks is None else replace(reach, readable=(*reach.readable, asks))
        version = self._versions.of(driver, launch.program or launch.argv[0])
        shared = self._provisioner.is_shared(run.id)
        made = (order, run, spec, driver, launch, reach, self._jail, self._told, rules, version)
        packet.store(order, launch, packet.manifest_of(*made, shared=shared))
        packet.require_whole(self._state_dir, order, launch)
        keys = keys_of(launch, os.environ if way is None else way.keys)
        if self._hooked is not None and self._hooked.settle() and self._jail.joins(reach):
            self._hooked.watch(run.id, turn)
        return process.start(
            process.ProcessSpec(
                argv=launch.argv,
                env=self._environment(run, turn, folder) | launch.env | keys,
                cwd=place,
                stdin_path=folder / STDIN,
                output_path=folder / "output.log",
                exit_path=folder / "exit.json",
                grace_ms=self._policy.stop_grace_ms,
                marker=self._marker(run, turn),
                reach=reach,
            ),
            self._jail,
        )

    def _tools(self, run: Run, turn: int, driver: Driver) -> tuple[McpServer, ...]:
        """The server of tools that a turn is connected to, where its agent speaks with such."""
        if self._tooled is None or driver.product is None:
            return ()
        return (self._tooled.admit(run, turn, self._policy.kind(run.kind).spawn),)

    def _pass(self, run: Run, spec: ItemSpec, turn: int, driver: Driver, settings: Mapping[str, str]) -> Pass | None:
        """How a turn comes to its model, where its kind is to come by the gateway only."""
        if self._metered is None or self._bounds.network_of(spec.kind) is not Network.gateway:
            return None
        own = self._prices.get(run.agent)
        return self._metered.admit(run, turn, driver, settings, ModelPrice(*own) if own is not None else None)

    def stop(self, run: Run) -> None:
        """Stop the worker and everything it started."""
        if run.worker is not None:
            process.stop(run.worker, self._policy.stop_grace_ms, self._marker(run, run.turn))
        else:
            self._sweep(run)

    def _note_calls(self) -> None:
        """Have on record what tools were used, before runs end."""
        if self._hooked is not None:
            self._hooked.calls.hand_in()

    def _hide(self, run: Run) -> None:
        """Take out of what a worker that is gone has printed, and its agent remembers, what is to stand nowhere."""
        self._hidden.below(self._places.agent(run.id))
        for turn in range(1, run.turn_speaking + 1):
            folder = self._places.turn(run.id, turn)
            self._hidden.below(folder / "home")
            with suppress(OSError), directory(folder) as at:
                self._hidden.file("output.log", at)

    def collect(self, run: Run, spec: ItemSpec) -> Evidence:
        """Fetch the candidate, look at it, check it; it stays reachable as a checkpoint, whatever later turns make."""
        self._note_calls()
        self._hide(run)
        found = evidence.collect(
            self._checker,
            self._hub,
            run,
            spec,
            self._places.workspace(run.id),
            self._places.checks(run.id, run.turn),
            self._is_test,
            self._policy.paths,
            self._policy,
        )
        if found.commit != run.base:
            self._hub.set_ref(f"{keep_prefix(run.id)}turn-{run.turn}", found.commit)
        told = claims.told_by(self._hub.git, found.base, found.commit)
        flags = claims.audit(told, self._is_test)
        faults = (*found.faults, *flags) if self._policy.claims == "refuse" else found.faults
        return replace(found, faults=faults, claims=flags)

    def test(self, members: tuple[tuple[Run, ItemSpec], ...]) -> Tested:
        """Merge candidates onto the target and check the whole."""
        return self._train.test(members)

    def probe(self, run: Run, spec: ItemSpec, trial: Trial) -> Probed:
        """Test an accused candidate by itself."""
        return self._train.probe(run, spec, trial)

    def undo(self, wanted: Undo, must: tuple[Check, ...], own: tuple[Check, ...]) -> Undid:
        """Take a commit's change back on the target and check the whole."""
        return self._train.undo(wanted, must, own)

    def land(self, old: Commit, new: Commit, tree: Commit) -> LandSeen:
        """Move the user's target branch by compare-and-swap."""
        self._note_calls()
        result = landing.land(self._repository, self._hub, self._policy.target, old, new, tree)
        return LandSeen(result.state.value, result.tip, result.detail)

    def keep(self, run: Run) -> tuple[str, ...]:
        """Salvage what the worker left; whatever still lives of it is stopped first."""
        self._note_calls()
        self._sweep(run)
        self._hide(run)
        place = self._places.workspace(run.id)
        if self._provisioner.is_shared(run.id):
            return ()
        return workspace.keep(self._hub, place, run.id) if place.exists() else ()

    def clean(self, run: RunId) -> None:
        """Salvage once more, then put the workspace into the trash; a checkout that was only read just goes."""
        place = self._places.workspace(run)
        if self._provisioner.is_shared(run):
            self._provisioner.release(run)
            return
        if not place.exists():
            return
        try:
            workspace.keep(self._hub, place, run)
        except GitFailed as error:
            raise WorldFailed(f"{place} stays where it is: its work could not be kept: {error.message}") from error
        trash.to_trash(self._state_dir, place, wall_ms())

    def recover(self, run: Run, spec: ItemSpec) -> RecoveryFacts:
        """Look at what is left of a run; whatever still lives of its worker is stopped first."""
        self._sweep(run)
        self._hide(run)
        if self._provisioner.is_shared(run.id) and self._places.workspace(run.id).exists():
            return recovery.unchanged(self._hub, run)
        return recovery.look(self._hub, self._places.workspace(run.id), run)

    def rewind(self, run: Run, commit: Commit) -> None:
        """Keep what is there, put it into the trash, and make the workspace anew from the checkpoint."""
        if not self._hub.exists(commit):
            raise WorldFailed(f"the checkpoint {commit} of {run.id} is not in the hub: its workspace stays as it is")
        self._sweep(run)
        shared = self._provisioner.is_shared(run.id)
        self.clean(run.id)
        begin = seeding.begun_again(self._hub, run.id, run.base, commit)
        first = self._hub.ref(seeded_ref(run.id)) or run.base
        files = self._prepared(run, begin) if begin == first and not shared else None
        self._provisioner.make(run.id, begin, base=first, shared=shared, files=files)

    def _prepared(self, run: Run, begin: Commit) -> Commit | None:
        """What a run that goes on with an earlier candidate finds; None: the files of the commit where it begins."""
        if self._policy.combine != "prepared":
            combining.forget(self._hub, run.id)
            return None
        is_protected, paths = self._checker.protected_for(run.lease.scope), self._policy.paths

        def may_change(path: str) -> bool:
            return scope_matches(run.lease.scope, path, paths) and not is_protected(path)

        reader = Reader(self._state_dir / "journal.db")
        try:
            return combine.files_of(self._hub, reader, run, begin, may_change)
        finally:
            reader.close()

    def make_base(self, item: ItemId, heads: tuple[Head, ...]) -> Founded:
        """Merge them in the hub."""
        root = self._hub.sync_target()
        commit, conflicts = stacking.base_of(self._hub, item, root, heads)
        return Founded(root, commit, conflicts)

    def ask_ci(self, commit: Commit) -> CiSeen:
        """Ask the configured source."""
        if self._ask_ci is None:
            return CiSeen(CiState.unavailable, "no source of CI is configured")
        return self._ask_ci(commit)

    def read_target(self, landings: tuple[Commit, ...]) -> tuple[Commit, tuple[Commit, ...]]:
        """Ask git, in the user's repository, which landings the target contains as it is now."""
        tip = self._target()
        return tip, lost_from(self._repository.git, self._hub.objects, tip, landings)

    def read_plan(self, path: str) -> cmd.AddPlan | str:
        """Read a plan file again."""
        return "plans cannot be read here" if self._read_plan is None else self._read_plan(path)

    def has_started(self, run: Run, turn: int) -> bool:
        """Look for what a start leaves."""
        return self._started_before(run, turn, self._places.turn(run.id, turn)) is not None

    def _started_before(self, run: Run, turn: int, folder: Path) -> WorkerId | None:
        """The worker of this turn that a supervisor started and did not live to record, living or ended.

        The living are looked for first: one that ends meanwhile has left its record by the time that is looked for.
        """
        if not (folder / STARTED).exists():
            return None
        living = process.find(self._marker(run, turn))
        if living is None and (folder / "exit.json").exists():
            return GONE
        return living

    def _brief(self, run: Run, spec: ItemSpec, turn: int, rules: str) -> str:
        """What the worker of a turn is told: after a hang the same, letter by letter, as the one that hung."""
        repeat = run.repeat
        if repeat is not None and repeat.why is Again.hang:
            told = self._places.brief(run.id, repeat.turn)
            if fault := prompt_fault(self._state_dir, run.id, repeat.turn):
                raise LaunchRefused(fault)
            if told.exists():
                return told.read_bytes().decode(errors="replace")
        held = None
        if repeat is not None and repeat.why in (Again.lost, Again.limited):
            held = recovery.held(self._hub, self._places.workspace(run.id), run)
        asks = self._who_asks(spec)
        reader = Reader(self._state_dir / "journal.db")
        try:
            meets = forecast.notices(forecast.read(self._state_dir), run.id)
            baseline = self._hub.ref(seeded_ref(run.id)) if spec.seed else None
            prepared = combining.told_of(self._hub, run.id)
            return brief.compose(reader, run, spec, turn, held, meets, baseline, prepared, self._policy, rules, asks)
        finally:
            reader.close()

    def _who_asks(self, spec: ItemSpec) -> Path | None:
        """The workspace of the run whose question a run is to answer; None for any other run."""
        if not spec.question:
            return None
        reader = Reader(self._state_dir / "journal.db")
        try:
            return consulted.place_of(reader, spec, self._places)
        finally:
            reader.close()

    def _session(self, run: Run, turn: int, driver: Driver) -> str:
        """The conversation that a turn goes on with; empty where it begins a new one, as after a hang or a rewind."""
        if not driver.capabilities.resume or (run.repeat and run.repeat.why in (Again.hang, Again.rewound)):
            return ""
        folders = (self._places.turn(run.id, earlier) for earlier in range(turn - 1, 0, -1))
        told = (read_out(folder, self._reads(run.agent)).session for folder in folders)
        return next((session for session in told if session), "")

    def _agent(self, name: str) -> tuple[Driver, Mapping[str, str]]:
        found = self._agents.get(name)
        if found is None:
            raise WorldFailed(
                f"there is no agent {name} in ganger.toml", "add [agents.NAME] or change the item's agent"
            )
        return found

    def _environment(self, run: Run, turn: int, folder: Path) -> dict[str, str]:
        """What a worker finds in its environment: nothing of ours but what it needs to report."""
        hooked = {} if self._hooked is None else self._hooked.environment
        provided = self._provisioner.environment(run.id)
        return environment_of(self._state_dir, run, turn, folder, os.environ, {**provided, **hooked})

    def _reads(self, agent: str) -> Reads:
        """How an agent's lines are understood; those of one that is not configured any more are not."""
        found = self._agents.get(agent)
        if found is None:
            return lambda line: ()
        driver, settings = found
        return lambda line: driver.events(line, settings)

    def _tip_of(self, run: RunId) -> Commit | None:
        return self._provisioner.begins_at(run) or workspace.tip(self._places.workspace(run), run)

    def _only_reads(self, spec: ItemSpec) -> bool:
        """Whether a wall keeps the workers of this item from writing their workspace."""
        special = self._bounds.kinds.get(spec.kind)
        return special is not None and special.read_only and self._jail.tier != NoJail.tier

    def _repo_id(self) -> str:
        """Identity of the repository that lies where the user's lay; empty when there is none any more."""
        try:
            return repo_id(find_common_dir(self._repository.top))
        except (GangerError, OSError):
            plain = self._repository.beside is not None and self._repository.top.is_dir()
            return repo_id(self._repository.top) if plain else ""

    def _refs_of(self, run: RunId) -> tuple[Path, ...]:
        return workspace.ref_files(self._places.workspace(run), run)

    def _target(self) -> Commit:
        return target_tip(self._repository, self._policy.target) or Commit("")

    def _target_dirty(self) -> bool:
        place = checked_out_at(self._repository, self._policy.target)
        return place is not None and bool(is_dirty(place))

    def _needs_clean(self, state: State) -> bool:
        room = state.workers_busy < self._policy.workers_max
        return self._policy.require_clean and room and bool(state.ready)

    def _sweep(self, run: Run) -> None:
        """End whatever lives of any of the run's turns, also of one whose start is not recorded yet."""
        for turn in range(1, run.turn + 2):
            process.sweep(self._marker(run, turn))

    def _marker(self, run: Run, turn: int) -> str:
        """What marks every process of a turn, in its environment: the fleet, the run, its token and the turn.

        Fleets are told apart by their state directories: two of them can have the same runs at the same time. Turns
        are, because the next one may be started while the one before is still being swept up.
        """
        return f"{self._fleet_mark}:{mark_of(run, turn)}"
