"""What the gate is told of the runs of a fleet, and what becomes of what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.effects import Silence
from ganger.core.facts import Run
from ganger.core.ids import RunId, Token
from ganger.core.model import PLANNER, ReportKind, Writes
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.drivers.port import Hooks
from ganger.git.hub import Hub
from ganger.jail.none import NoJail
from ganger.jail.port import Network
from ganger.service.fleet import Fleet
from ganger.service.hidden import Hidden
from ganger.service.hook_settings import HookSettings, Via
from ganger.service.places import Places
from ganger.service.protected import TESTS
from ganger.service.worker_door import secret_of
from ganger.service.worker_talk import SPOOL
from ganger.supervisor import forecast, recovery
from ganger.supervisor.asked import Asked
from ganger.supervisor.calls import CallLog
from ganger.supervisor.post import Post, waiting
from ganger.worker_api.gatekeeper import Gatekeeper, workers_hooks
from ganger.worker_api.views import Rules, RunView

NAMED_MAX = 5
HEARD_S = 1.0
"""How long a gate is waited for that might yet have to tell of a question."""
KNOWN_BYTES_MAX = 256 << 10
WANT_REPORT = "Say what became of it: ganger done, ganger ask or ganger fail."
WANT_COMMIT = "Nothing is committed: commit your work, or say ganger fail or ganger done --outcome no_evidence."


class Hooked(Struct, frozen=True):
    """What hooks of a fleet depend on, besides its state."""

    state_dir: Path
    policy: Policy
    hub: Hub
    settings: HookSettings
    protected: tuple[str, ...]
    reports_by_exit: Callable[[str], bool]
    """Whether an agent's workers need not say anything besides how they end."""
    writable: tuple[Path, ...] = ()
    """Where every worker may write."""
    hidden: Hidden = Hidden()
    """What is not to be kept."""


def rules_of(hooked: Hooked) -> Rules:
    """What holds for all runs."""
    return Rules(
        hooked.policy.paths,
        hooked.protected,
        hooked.settings.stop_refusals_max,
        hooked.settings.provenance,
        hooked.settings.lookups,
        TESTS,
    )


class HookService:
    """The gate of a fleet, fed from its state. One thread calls `serve`, any other the rest."""

    def __init__(self, hooked: Hooked, fleet: Fleet) -> None:
        self._hooked, self._fleet, self._places = hooked, fleet, Places(hooked.state_dir)
        self._views: dict[RunId, tuple[Run, RunView]] = {}
        self._secrets: dict[tuple[RunId, Token], str] = {}
        self._noticed: tuple[float, dict[RunId, tuple[str, ...]]] = (-1.0, {})
        self.calls = CallLog(fleet, hooked.settings.targets, hidden=hooked.hidden)
        post, self._asked = Post(fleet, hooked.state_dir), Asked()
        self._keeper = Gatekeeper(
            hooked.state_dir,
            rules_of(hooked),
            self.lacks,
            self.calls.add,
            post,
            self._asked.add,
            hooked.settings.via is Via.http,
        )

    def adopt(self, policy: Policy) -> None:
        """Answer by another policy from here on; of the kinds of live runs it says what was said before."""
        self._hooked = replace(self._hooked, policy=policy)

    @property
    def hooks(self) -> Hooks:
        """What an agent is told to call."""
        return workers_hooks()

    def hooks_of(self, network: Network, tier: str) -> Hooks:
        """What the agent of a worker is told to call, behind that wall.

        Over HTTP only where that can come to the gate, and where a wall stands besides: to an agent, a gate that it
        does not reach has no objection.
        """
        if self._hooked.settings.via is not Via.http or network is not Network.open or tier == NoJail.tier:
            return self.hooks
        self.settle()
        return replace(self.hooks, url=self._keeper.url)

    @property
    def environment(self) -> dict[str, str]:
        """How a program that is no agent of ours finds the client."""
        return {"GANGER_HOOK": self.hooks.client}

    def serve(self, state: State) -> None:
        """Tell the gate what has changed; the state must not change meanwhile."""
        self._look_at_forecast(state)
        self._asked.forget(state.runs.keys())
        self._views = {run.id: self._seen(run) for run in state.runs.values()}
        self._keeper.serve({run: view for run, (_, view) in self._views.items()})

    def close(self) -> None:
        """End the gate; what it told is recorded."""
        self._keeper.close()
        self.calls.close()

    def settle(self) -> bool:
        """Wait until the gate holds what was pushed."""
        return self._keeper.settle()

    def watch(self, run: RunId, turn: int) -> None:
        """Count from here on what the hooks of a turn ask: its worker begins."""
        self._asked.begin(run, turn, self._keeper.starts)

    def silent(self, used: Mapping[RunId, tuple[int, int]]) -> dict[RunId, Silence]:
        """The runs whose agents used more tools than their hooks asked about; `used` are their turns, and how many."""
        lacking = self._asked.lacking(used, self._keeper.starts)
        # What was asked before a use came back may still be on its way here.
        if not lacking or not self._keeper.settle(HEARD_S):
            return {}
        return self._asked.lacking({run: used[run] for run in lacking}, self._keeper.starts)

    def lacks(self, run_id: RunId) -> tuple[str, ...]:
        """What a run lacks to end its turn, a sentence each."""
        run = self._fleet.look(lambda state, _: state.runs.get(run_id))
        if run is None or _has_asked(run):
            return ()
        needs_word = run.report is None and not self._hooked.reports_by_exit(run.agent)
        lacks = () if not self._changes(run) else _uncommitted(self._hooked.hub, self._places.workspace(run.id), run)
        return (*lacks, WANT_REPORT) if needs_word else lacks

    def _seen(self, run: Run) -> tuple[Run, RunView]:
        notices = self._noticed[1].get(run.id, ())
        before = self._views.get(run.id)
        if before is not None and before[0] is run and before[1].notices == notices:
            return before
        return run, self._view(run, notices)

    def _view(self, run: Run, notices: tuple[str, ...]) -> RunView:
        turn = run.turn_speaking
        folder = self._places.turn(run.id, turn)
        writes = self._hooked.policy.kind(run.kind).writes
        own = (folder / "home", folder / "tmp", self._places.agent(run.id), self._places.door(run.id) / SPOOL)
        return RunView(
            run=run.id,
            token=run.lease.token,
            secret=self._secret(run),
            workspace=str(self._places.workspace(run.id)),
            lease=run.lease,
            turn=turn,
            places=tuple(map(str, (*own, *self._hooked.writable))),
            changes=self._changes(run),
            writes=writes,
            must_report=not self._hooked.reports_by_exit(run.agent),
            report=_said(run),
            context=_context(run),
            notices=notices,
            known=_told(self._places.brief(run.id, turn)),
            mail=waiting(run),
        )

    def _changes(self, run: Run) -> bool:
        return run.kind != PLANNER and self._hooked.policy.kind(run.kind).writes is not Writes.none

    def _secret(self, run: Run) -> str:
        key = (run.id, run.lease.token)
        if key not in self._secrets:
            self._secrets[key] = secret_of(self._hooked.state_dir, *key)
        return self._secrets[key]

    def _look_at_forecast(self, state: State) -> None:
        """Read the last forecast, where there is a newer one."""
        try:
            changed = (self._hooked.state_dir / forecast.FILE).stat().st_mtime
        except OSError:
            return
        if changed != self._noticed[0]:
            found = forecast.read(self._hooked.state_dir)
            self._noticed = changed, {run: forecast.notices(found, run) for run in state.runs}


def _uncommitted(hub: Hub, place: Path, run: Run) -> tuple[str, ...]:
    """What speaks against the workspace as it lies there; nothing when it cannot be read."""
    held = recovery.held(hub, place, run)
    if held is None:
        return ()
    lacks = [] if held.commits else [WANT_COMMIT]
    if held.uncommitted:
        more = len(held.uncommitted) - NAMED_MAX
        named = ", ".join(held.uncommitted[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
        lacks.append(f"Not committed: {named}; commit or take back these changes.")
    return tuple(lacks)


def _has_asked(run: Run) -> bool:
    """Whether its turn is over until somebody has answered, or its children have ended; or until then was."""
    return bool(run.question) or (run.report is None and run.asked_turn == run.turn_speaking)


def _said(run: Run) -> str:
    """What a run has said, as `RunView.report` has it."""
    if _has_asked(run):
        return "asked"
    if run.report is None:
        return ""
    return "failed" if run.report.kind is ReportKind.fail else run.report.outcome.value


def _context(run: Run) -> str:
    scope = ", ".join(run.lease.scope)
    limits = f"Change only files that match: {scope}" if scope else "Change nothing: you are asked to find out"
    return (
        f"You work for ganger as {run.id}, in a workspace of your own. {limits}. "
        "Commit your work on the branch you find checked out; push nothing. Then say what became of it, once: "
        "ganger done, ganger ask or ganger fail. ganger my-work prints the brief again."
    )


def _told(brief: Path) -> str:
    try:
        with brief.open("rb") as file:
            return file.read(KNOWN_BYTES_MAX).decode(errors="replace")
    except OSError:
        return ""
