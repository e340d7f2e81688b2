"""Every number that a decision depends on, with its unit; made from the configuration by `service.config`."""

from __future__ import annotations

from functools import cached_property

from msgspec import Struct

from ganger.core.model import Budget, Kind, Lane
from ganger.core.patterns import PathRules


class Policy(Struct, frozen=True, dict=True):
    """The effective settings of a fleet."""

    target: str = "main"
    """Short name of the branch that landings move."""
    workers_max: int = 4
    """Most workers alive at once."""
    hours: tuple[tuple[int, int], ...] = ()
    """Minutes of the local day [from, to) in which workers may be started; empty: always."""
    utc_offset_min: int = 0
    """Minutes to add to UTC to get the local day."""
    lease_ttl_ms: int = 600_000
    """How long a lease lives without renewal; an item's `silence_max_ms` goes before it."""
    backoff_ms: int = 30_000
    """Wait after the first failed attempt; doubles with each further one."""
    backoff_max_ms: int = 1_800_000
    turns_max: int = 2
    """Tries of one run: a rejected candidate goes back to its worker, in its workspace, until they are used up."""
    linger_ms: int = 10_000
    """How long a worker's process may outlive its report before it is stopped."""
    stop_grace_ms: int = 5_000
    """Between the polite and the forced stop of a worker."""
    train_max: int = 8
    """Most candidates tested together."""
    train_parallel: int = 2
    """Most tests of trains, and of what became of them, at once."""
    flaky_retries: int = 1
    """How often a check that failed on a train is run again on the same tree."""
    landing_mode: str = "auto"
    """`auto`, or `ask`: each landing waits in the inbox."""
    combine: str = "worker"
    """Who merges a candidate that conflicted with what landed first: the next `worker`, or it is `prepared` for it."""
    pick_scan_max: int = 1_000
    """Most ready items looked at in one tick; the others wait for the next."""
    effects_max: int = 4
    """Most candidates and trains checked at once."""
    weakened: str = "refuse"
    """What becomes of a candidate that weakens tests: `refuse`, `inbox` (a person is asked), or `allow`."""
    witness: str = "never"
    """Which items need a witness besides those that say so: `never`, `fixes` (those of kind `fixer`), or `always`."""
    off_plan: str = "refuse"
    """What becomes of a candidate that changes more than its scope: `refuse`, or `inbox` (a person is asked)."""
    claims: str = "flag"
    """What becomes of a candidate whose commits claim what they do not do: `flag` (it is shown), or `refuse`."""
    paths: PathRules = PathRules()
    repo: str = ""
    """Identity of the repository; a start permit for another one is refused. Empty: not checked."""
    lanes: tuple[Lane, ...] = ()
    autopick: tuple[str, ...] = ()
    """Lanes that may be given instead of a busy one, best first."""
    kinds: tuple[Kind, ...] = ()
    """Kinds with limits; an item's kind that is not listed has none."""
    kinds_waiting: tuple[tuple[str, str], ...] = ()
    """Kinds of which no run begins for the time being, each with why: described anew under a supervisor that is up."""
    depth_max: int = 2
    """How deep items filed by workers may stand below those of a plan."""
    children_max: int = 8
    """Most living children of workers in the whole fleet."""
    agents: tuple[str, ...] = ()
    """The agents there are; a worker may name one of them for a child. Empty: nobody says."""
    agents_of: tuple[tuple[str, str], ...] = ()
    """The agent of each kind that names one; a child of another kind has its spawner's."""
    permit_ms: int = 1_800_000
    """How long after the grant a run's first worker may be started."""
    require_clean: bool = False
    """Whether the target must not be checked out with uncommitted changes when a run is granted."""
    fleet_budget: Budget = Budget()
    """The most that may be spent in a night."""
    plan_budgets: tuple[tuple[str, Budget], ...] = ()
    """The most that may be spent on a plan in a night, by plan id."""
    run_budget: Budget = Budget()
    """The most that one run may spend; so much is reserved when it is granted."""
    priced: frozenset[str] = frozenset()
    """Agents whose price is known: it is free, given, or reported by the agent itself."""
    providers: tuple[tuple[str, str], ...] = ()
    """The provider of each agent that names one; an agent that does not is a provider of its own."""
    stagger_ms: int = 20_000
    """Between the starts of two workers that waited for the same provider."""
    breaker_max: int = 3
    """Fruitless results in a row of one item's kind, agent or check that open its breaker."""
    breaker_ms: int = 1_800_000
    """How long an open breaker refuses; then one try closes it or opens it again."""
    progress_ms: int = 900_000
    """How long an active worker may change nothing before it counts as spinning."""
    same_calls_max: int = 5
    """Identical tool calls in a row that count as spinning."""
    facts_max: int = 10
    """Facts of persons that a brief tells, and as many of workers."""
    same_within_ms: int = 600_000
    """How long the same notice to the same run counts once."""
    silent_guard: str = "flag"
    """What follows when an agent uses tools about which its hooks do not ask: `flag`, or `stop`."""
    ci_required: bool = False
    """Whether an item that landed is closed only when CI is green on the commit with which it did."""
    ci_dependents: str = "landed"
    """When what comes after such an item may begin: `landed`, or `closed`."""
    ci_every_ms: int = 30_000
    """Between the first two times that CI is asked about a commit; doubles with each further one."""
    ci_every_max_ms: int = 600_000
    ci_patience_ms: int = 3_600_000
    """How long a night waits for CI after a landing."""
    consult_agent: str = ""
    """The agent that is asked before a person is, where a worker asks that way; empty: nobody."""
    consult_window_ms: int = 600_000
    """How long it may take over an answer."""
    planner: str = ""
    """The agent that is asked for new items when nothing is left; empty: nobody is."""
    replans_max: int = 3
    """Planner runs in a row that may say nothing before the loop stops."""

    def lane(self, name: str) -> Lane | None:
        """The lane of that name; None when there is none."""
        return self._lanes_by_name.get(name)

    @cached_property
    def _lanes_by_name(self) -> dict[str, Lane]:
        """Asked many times in a decision, and a thousand lanes are many."""
        return {lane.name: lane for lane in self.lanes}

    def kind(self, name: str) -> Kind:
        """The kind of that name; without limits when it is not listed."""
        return next((kind for kind in self.kinds if kind.name == name), Kind(name))

    def kind_waits(self, name: str) -> str:
        """Why no run of a kind begins for the time being; empty when one may."""
        return next((why for kind, why in self.kinds_waiting if kind == name), "")

    def provider(self, agent: str) -> str:
        """Whose limits bind an agent."""
        return next((provider for name, provider in self.providers if name == agent), agent)

    def agent_of(self, kind: str) -> str:
        """The agent that a kind names; empty when it names none."""
        return next((agent for name, agent in self.agents_of if name == kind), "")

    def plan_budget(self, plan: str) -> Budget:
        """The most that may be spent on a plan in a night."""
        return next((budget for name, budget in self.plan_budgets if name == plan), Budget())
