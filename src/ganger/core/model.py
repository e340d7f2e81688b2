"""The things ganger talks about, as frozen values: items, leases, reports, evidence, verdicts, questions.

Times are milliseconds since the epoch by the store's clock (`…_ms`) and durations milliseconds. Paths are the text
form of `git.changes.path_text`: forward slashes, relative to the repository, bytes that are not UTF-8 as `\\xff`.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum

from msgspec import Struct

from ganger.core.ids import Commit, ItemId, PlanId, QuestionId, RunId, Token

AGENT = "agent:"
"""What the name of an agent begins with where it answered a question in a person's place."""


def is_agents(by: str) -> bool:
    """Whether it was an agent that answered, and so nobody who can allow anything."""
    return by.startswith(AGENT)


PLANNER = "planner"
"""The kind whose runs change nothing: they file new items, or say that there is nothing more to do."""


CONSULTANT = "consultant"
"""The kind whose runs change nothing: they answer a worker's question in a person's place, if they can."""


class Rung(IntEnum):
    """How strong a verdict is; each rung includes those below it."""

    reported = 0
    """The worker said so; nothing was looked at."""
    committed = 1
    """There is a commit with a change in it, made on the run's base."""
    in_scope = 2
    """Every changed path lies inside the scope of the run's token."""
    checked = 3
    """Every check of the item passed in our own checkout of that tree."""
    witnessed = 4
    """A new or changed test fails on the base and passes on the candidate."""
    reviewed = 5
    """An independent reviewer accepted exactly this commit."""
    landed = 6
    """The target branch contains it, in a tree that was tested as a whole."""

    @property
    def label(self) -> str:
        """The word users read and write: `in-scope`."""
        return self.name.replace("_", "-")

    @classmethod
    def parse(cls, text: str) -> Rung:
        """Read a label; ValueError if it names no rung."""
        try:
            return cls[text.replace("-", "_")]
        except KeyError:
            raise ValueError(f"no such rung: {text}") from None


class LeaseMode(StrEnum):
    """How a scope is held."""

    exclusive = "exclusive"
    """Nobody else may hold an overlapping scope."""
    shared = "shared"
    """Others may hold an overlapping scope too, if theirs is shared as well."""


class Check(Struct, frozen=True, gc=False):
    """A command that decides, by its exit status, whether a tree is good."""

    name: str
    argv: tuple[str, ...]
    timeout_ms: int = 600_000


class Lane(Struct, frozen=True, gc=False):
    """A scope with a name, declared in `ganger.toml`."""

    name: str
    paths: tuple[str, ...]
    exclusive: bool = False
    """It runs alone: nobody else may hold anything meanwhile."""
    workers_max: int | None = None
    """Most live runs in this lane; None: no limit of its own."""


class Writes(StrEnum):
    """What workers of a kind may change."""

    scope = "scope"
    """Whatever the scope of the item says."""
    tests = "tests"
    """Of that only test files."""
    plans = "plans"
    """Of that only plan files."""
    none = "none"
    """Nothing: they only look."""


class Kind(Struct, frozen=True, gc=False):
    """A preset for workers."""

    name: str
    workers_max: int | None = None
    """Most live runs of this kind; None: no limit of its own."""
    writes: Writes = Writes.scope
    spawn: tuple[str, ...] = ()
    """The kinds that its workers may have children of; empty: none."""
    spawn_depth: int = 1
    """How many generations of children may stand below one of its runs."""
    spawn_max: int = 4
    """The most children that one run may have, living and past together."""


class Budget(Struct, frozen=True, gc=False, omit_defaults=True):
    """The most that may be spent; None where there is no limit."""

    usd_micros: int | None = None
    """Millionths of a US dollar."""
    tokens: int | None = None
    """Input and output tokens together."""
    wall_ms: int | None = None
    """Time that workers live, summed over them."""


class Usage(Struct, frozen=True, gc=False, omit_defaults=True):
    """What was spent."""

    usd_micros: int = 0
    tokens: int = 0
    wall_ms: int = 0

    def plus(self, other: Usage) -> Usage:
        """The sum of both."""
        return Usage(self.usd_micros + other.usd_micros, self.tokens + other.tokens, self.wall_ms + other.wall_ms)

    def minus(self, other: Usage) -> Usage:
        """What is left when the other is taken off; never below nothing."""
        return Usage(
            max(self.usd_micros - other.usd_micros, 0),
            max(self.tokens - other.tokens, 0),
            max(self.wall_ms - other.wall_ms, 0),
        )

    def at_least(self, other: Usage) -> Usage:
        """The larger of both, each figure by itself."""
        return Usage(
            max(self.usd_micros, other.usd_micros), max(self.tokens, other.tokens), max(self.wall_ms, other.wall_ms)
        )


NOTHING = Usage()


class Hold(Struct, frozen=True, gc=False):
    """Why an item is not offered although nothing else stands against it."""

    reason: str
    """`draft`, `operator`, or `until`."""
    until_ms: int = 0
    """With `until`: when it becomes offerable by itself."""


class ItemSpec(Struct, frozen=True, gc=False):
    """What somebody wants, as the plan says it. The brief travels beside it: state does not need it."""

    id: ItemId
    plan: PlanId
    title: str
    scope: tuple[str, ...]
    after: tuple[ItemId, ...] = ()
    checks: tuple[Check, ...] = ()
    agent: str = "default"
    kind: str = "patcher"
    priority: int = 100
    """Lower is sooner."""
    rung: Rung = Rung.checked
    """The rung a candidate must reach before it may land: `committed`, `in_scope` or `checked`."""
    mode: LeaseMode = LeaseMode.exclusive
    hold: Hold | None = None
    attempts_max: int = 3
    wall_max_ms: int = 2_700_000
    """The longest one turn of a worker may take."""
    silence_max_ms: int = 600_000
    """How long a worker may show no sign of activity before it is stopped."""
    lane: str = ""
    """The lane whose paths are its scope; empty when the plan gives the scope itself."""
    budget: Budget = Budget()
    """The most that all runs of the item may spend together."""
    parent: ItemId = ItemId("")
    """The item whose worker filed this one; empty when a plan holds it."""
    depth: int = 0
    """How many items stand above it: 0 for those of a plan."""
    witness: bool = False
    """Whether a new or changed test must fail without the change and pass with it."""
    tests: str = "kept"
    """`kept`: the base's tests must pass unchanged; `may_change`: the candidate may change what they expect."""
    changes: str = "behaviour"
    """`behaviour`: something that runs must change; `words`: documentation, comments and layout are enough."""
    start_on: str = "landed"
    """When its runs may begin: when what it comes after has `landed`, or when that is `accepted`, on top of it."""
    seed: Commit = Commit("")
    """Uncommitted work of the user's that its runs begin with, frozen; empty for none."""
    spawner: RunId = RunId("")
    """The run whose worker has this done for it: the item is over with its only run. Empty: nobody's child."""
    reads: bool = False
    """Whether it asks for no change: its run reports, and is never judged or landed."""
    question: QuestionId = QuestionId("")
    """The question that its only run is to answer in a person's place; empty: there is none."""
    seeding: str = ""
    """How a child begins: `fresh`, or with its spawner's conversation (`inherit`); empty: as its kind does."""


class Lease(Struct, frozen=True, gc=False):
    """A right to a scope."""

    token: Token
    scope: tuple[str, ...]
    mode: LeaseMode
    expires_ms: int
    """Not live at and after this instant."""
    lane: str = ""
    """The lane it was given for; empty for a free scope."""
    alone: bool = False
    """Whether nobody else may hold anything meanwhile."""
    lent: tuple[str, ...] = ()
    """What of the scope is its children's until they have ended."""


class Liveness(StrEnum):
    """Whether a worker gets anywhere, judged from what it left behind, never from what it says."""

    advancing = "advancing"
    """Its commits or its files changed a short while ago."""
    spinning = "spinning"
    """It is active, but nothing it was asked for changes, or it makes the same call again and again."""
    stalled = "stalled"
    """It shows nothing at all."""
    unknown = "unknown"
    """It was never seen to do anything yet; that is not dead."""


class Again(StrEnum):
    """Why a run gets another turn although its worker did not report."""

    hang = "hang"
    """It showed nothing at all: once, the identical brief goes to a new worker in the same workspace."""
    lost = "lost"
    """Its worker vanished together with whoever watched it, and its workspace is good to go on in."""
    limited = "limited"
    """Its provider's limit was reached; it goes on when the window opens."""
    rewound = "rewound"
    """A person put its workspace back to a checkpoint."""
    told = "told"
    """Its worker had ended before it could be told what a person says to it."""
    idle = "idle"
    """Its worker ended without a word and without a change: it is reminded to say what became of it."""


class When(StrEnum):
    """When a worker is told what is said to its run; each also stands in the next brief, if it comes to that first."""

    steer = "steer"
    """While it works, with its next tool call; in a turn of its own when it ends before."""
    after_turn = "after-turn"
    """When its turn is over, in a turn of its own."""
    next_turn = "next-turn"
    """With its next turn, if there is one anyway."""
    notice = "notice"
    """While it works, or with its next turn, if there is one anyway; only ganger itself gives notice."""


class Recovery(StrEnum):
    """What can be made of a run whose worker is gone without a word."""

    resumable = "resumable"
    """Workspace and base are as they should be: it can go on."""
    diverged = "diverged"
    """What is there does not follow from what ganger knows; only a person lets it go on."""
    unresumable = "unresumable"
    """Nothing is left to go on from."""
    complete = "complete"
    """Its candidate is on the target already."""


class RecoveryFacts(Struct, frozen=True, gc=False):
    """What git and the disk say about a run whose worker is gone."""

    workspace: bool
    """Whether its workspace is there and can be read."""
    head: Commit = Commit("")
    """Tip of the workspace's branch; empty when there is none."""
    descends: bool = False
    """Whether that descends from the run's base."""
    base_on_target: bool = True
    """Whether the target still contains the run's base."""
    landed: bool = False
    """Whether the target contains the tip, and the tip is more than the base."""


class Outcome(StrEnum):
    """What a worker says of its own work when it says `done`."""

    completed = "completed"
    """The change is made."""
    findings = "findings"
    """There is a result to read, but no change."""
    proposal = "proposal"
    """A change is proposed for a person to decide on."""
    no_evidence = "no_evidence"
    """It looked and found nothing to do."""


class ReportKind(StrEnum):
    """The terminal things a worker can say in a turn."""

    done = "done"
    """It says that the item is done."""
    fail = "fail"
    """It gives up on the item."""


SILENCE = "silence"
"""The source of a report that nobody made: a worker that is to speak ended without a word."""


class Report(Struct, frozen=True, gc=False):
    """What a worker said. Never believed by itself and never shown to the judge."""

    kind: ReportKind
    outcome: Outcome = Outcome.completed
    summary: str = ""
    evidence: tuple[str, ...] = ()
    recommended: tuple[str, ...] = ()
    scope_confidence: str = "clear"
    source: str = "worker"
    """`worker` (it said so by the protocol), `exit` (concluded from how its process ended) or `SILENCE`."""


class ToolUse(Struct, frozen=True, gc=False):
    """One use of a tool by a worker, as its hooks told it; or that one was denied."""

    tool: str
    target: str = ""
    """Its files or its command, cut; empty where only that it was used is kept."""
    took_ms: int = 0
    failed: bool = False
    denied: str = ""
    """Why the gate denied it; empty when it did not."""


class Todo(Struct, frozen=True, gc=False):
    """One line of a worker's own board."""

    text: str
    state: str
    """`pending`, `in_progress` or `completed`."""


class WorkerId(Struct, frozen=True, gc=False):
    """A process that can be recognised again after the supervisor died: pid alone is not enough."""

    pid: int
    started: int
    """The kernel's start time of that process, in clock ticks since boot (Linux) or whole seconds (elsewhere)."""
    boot: str = ""
    """The boot it belongs to; after a reboot no worker of the old one lives."""


class CheckState(StrEnum):
    """How a check ended. Only `passed` passes."""

    passed = "passed"
    """Exit status 0 and, where the runner is known, at least one test was executed."""
    failed = "failed"
    """It exited with another status."""
    timed_out = "timed_out"
    """It was stopped at its time limit."""
    crashed = "crashed"
    """It died of a signal, or could not be started."""
    ran_nothing = "ran_nothing"
    """It exited with 0 but executed no test."""
    skipped_required = "skipped_required"
    """A test that must run was skipped."""


class CheckResult(Struct, frozen=True, gc=False):
    """What ganger saw when it ran one check itself."""

    name: str
    argv: tuple[str, ...]
    state: CheckState
    exit_code: int | None
    """None when it died of a signal or timed out."""
    took_ms: int
    executed: int | None = None
    """Tests executed, where the runner is known; None where it is not."""
    runner: str = ""
    log: str = ""
    """Path of the kept output, relative to the state directory."""
    log_sha256: str = ""
    tail: str = ""
    """The last lines of the output, raw; at most 2,000 characters."""
    flaky: bool = False
    """It failed at first and passed when it was run again on the same tree."""
    faults: tuple[str, ...] = ()
    """What else stands against it, a line each: a deceived runner, tests that did not run, writes into the tree."""
    missing: int = 0
    """How many tests that are executed on the base were not executed."""
    tests: str = ""
    """Path of the list of its tests, relative to the state directory; empty where no runner was seen."""
    tests_sha256: str = ""


class Weakening(StrEnum):
    """How a candidate makes the tests see less than those of its base did."""

    deleted = "deleted"
    uncollected = "uncollected"
    """Renamed or moved, so that its runner does not find it any more."""
    skipped = "skipped"
    xfailed = "xfailed"
    emptied = "emptied"
    assertion_removed = "assertion_removed"
    assertion_loosened = "assertion_loosened"
    expected_changed = "expected_changed"
    parameters_cut = "parameters_cut"
    threshold_lowered = "threshold_lowered"


class Weakened(Struct, frozen=True):
    """One place where a candidate weakens a test (BX5)."""

    path: str
    """In the candidate; in the base where the file or the test is gone."""
    line: int
    """From 1, in the version that `path` names."""
    kind: Weakening
    test: str
    """Its name within the file (`TestLogin.test_empty`); empty where it is about no single test."""
    detail: str
    """What was and what is, in one line; taken from files that an agent wrote."""


class WitnessKind(StrEnum):
    """What a new or changed test says about a change, by how it ends without it and with it."""

    discriminates = "discriminates"
    """It fails without the change and passes with it."""
    vacuous = "vacuous"
    """It passes both ways: it witnesses nothing."""
    unsatisfied = "unsatisfied"
    """It fails both ways: the item is not done."""
    regressive = "regressive"
    """It passes without the change and fails with it."""
    abstain = "abstain"
    """There is none, or it could not be run both ways."""


class Witness(Struct, frozen=True):
    """What the new and changed tests of a candidate witness together."""

    kind: WitnessKind
    tests: tuple[str, ...] = ()
    """The first few of that kind."""
    count: int = 0
    """How many of that kind there are."""


class Evidence(Struct, frozen=True, gc=False):
    """What ganger observed itself about one candidate."""

    base: Commit
    commit: Commit
    """The candidate; equal to `base` when the worker committed nothing."""
    tree: Commit
    checked_tree: Commit
    """The tree the checks ran on: `tree` with protected files taken from `base`."""
    changed: tuple[str, ...]
    """Paths that differ from the base, sorted."""
    protected: tuple[str, ...] = ()
    """Those of `changed` that are protected: the checks ran with the base's version of them."""
    descends: bool = True
    """Whether the candidate descends from its base."""
    auto_committed: bool = False
    """Whether ganger committed changes that the worker had left uncommitted."""
    checks: tuple[CheckResult, ...] = ()
    took_ms: int = 0
    item: ItemId = ItemId("")
    verifier: str = ""
    """Hash of what verified it: the base's protected files, our recorders, the checks' commands; empty: none ran."""
    tier: str = ""
    """How the checks were contained."""
    faults: tuple[str, ...] = ()
    """What is wrong with the change itself, whatever the checks say, a line each."""
    base_checks: tuple[CheckResult, ...] = ()
    """The same checks on the candidate with the base's tests; empty when it has those anyway."""
    weakened: tuple[Weakened, ...] = ()
    witness: Witness | None = None
    """None where nobody asked for one."""
    claims: tuple[str, ...] = ()
    """What the candidate's commits claim and do not do, a line each."""


class VerdictKind(StrEnum):
    """The judgement on a candidate."""

    accepted = "accepted"
    """The evidence reaches the rung the item asks for."""
    rejected = "rejected"
    """The evidence shows that it does not."""
    unknown = "unknown"
    """The evidence could not be collected; nothing follows from it."""


class Verdict(Struct, frozen=True, gc=False):
    """Judged from evidence alone."""

    kind: VerdictKind
    rung: Rung
    """The highest rung that the evidence reaches."""
    reasons: tuple[str, ...] = ()
    """Why not higher; empty when accepted."""
    by: str = ""
    """The person who allowed what the evidence alone would not; empty where nobody had to."""


class CiState(StrEnum):
    """What continuous integration says of a commit."""

    green = "green"
    """Every check that ran passed, and at least one did."""
    repaired_green = "repaired_green"
    """So it is now, but a check failed on the same commit before and was run again."""
    unavailable = "unavailable"
    """It could not be asked; the text says what was seen. Nothing follows from that."""
    blocked = "blocked"
    """Something failed; the text says what."""
    unknown = "unknown"
    """It has not said yet: nothing has run, or something still runs."""


CI_CLOSES = frozenset({CiState.green, CiState.repaired_green})
"""The only states with which an item that must wait for CI is closed."""


class EndKind(StrEnum):
    """How a run ended, unless it landed."""

    landed = "landed"
    """Its candidate is on the target branch."""
    rejected = "rejected"
    """Its candidate was refused and it has no turn left."""
    failed = "failed"
    """The worker gave up, crashed, or could not be started."""
    stalled = "stalled"
    """The worker showed no activity for too long."""
    timed_out = "timed_out"
    """The worker took longer than its item allows."""
    superseded = "superseded"
    """Its candidate does not go together with what has landed meanwhile."""
    stopped = "stopped"
    """A person stopped it."""
    interrupted = "interrupted"
    """The night was ended while it worked; this attempt does not count."""
    over_budget = "over_budget"
    """It had spent what it may."""
    limited = "limited"
    """Its provider refuses it, and does not say until when; this attempt does not count."""
    unfounded = "unfounded"
    """What it stands on did not land as it was; this attempt does not count."""
    expired = "expired"
    """Its start permit ran out before its worker was started; this attempt does not count."""
    finished = "finished"
    """It was asked for no change, and has reported."""
    unsent = "unsent"
    """What its worker was to be sent was not whole, or not on record; this attempt does not count."""
    dismissed = "dismissed"
    """The run that had it done needs it no longer; this attempt does not count."""


class QuestionKind(StrEnum):
    """Who asks, and about what."""

    worker = "worker"
    """A worker cannot go on without an answer."""
    dirty_target = "dirty_target"
    """The target branch is checked out with uncommitted changes: a landing waits."""
    red_target = "red_target"
    """The target branch fails checks by itself: nothing lands until it is good again."""
    approve_landing = "approve_landing"
    """Landings wait for a person (`landing.mode = "ask"`)."""
    weakened = "weakened"
    """A candidate is good but for tests that it weakens (`verify.weakened = "inbox"`)."""
    no_evidence = "no_evidence"
    """Nothing could be observed about a candidate, so that nobody knows what it is worth."""
    off_plan = "off_plan"
    """A candidate is good but for paths outside its scope (`verify.off_plan = "inbox"`)."""
    no_lines = "no_lines"
    """A good candidate conflicts with the target where no lines can be marked (`landing.combine = "prepared"`)."""
    undo = "undo"
    """A landing that a person wants undone cannot be: it conflicts with the target, or fails checks."""
    ci_blocked = "ci_blocked"
    """CI fails on the commit with which items landed (`ci.required`)."""
    target_lost = "target_lost"
    """The target does not contain any more what landed on it."""
    trust = "trust"
    """Something about the fleet itself needs a person."""


class Question(Struct, frozen=True, gc=False):
    """Something a person must answer."""

    id: QuestionId
    kind: QuestionKind
    text: str
    options: tuple[str, ...] = ()
    recommend: str = ""
    risk: str = ""
    run: RunId = RunId("")
    item: ItemId = ItemId("")
    asked_ms: int = 0
    subject: str = ""
    """What exactly is asked about, for example the commit of a landing; an answer binds to it."""
    agent: str = ""
    """Who is asked in a person's place, for now; only where a worker asks. Empty: a person is asked."""
    until_ms: int = 0
    """When a person is asked after all, if that agent has not answered before."""


class RefusalCode(StrEnum):
    """Why a command was refused: the closed vocabulary of refusals."""

    overlap = "overlap"
    """Another run holds an overlapping scope."""
    fleet_cap = "fleet_cap"
    """As many workers as allowed are live."""
    not_ready = "not_ready"
    """Something that must be done before is not."""
    exclusive_held = "exclusive_held"
    """Somebody works who must be alone, or the asker must be and is not."""
    kind_cap = "kind_cap"
    """As many workers of this kind as allowed are live."""
    lane_cap = "lane_cap"
    """As many workers as allowed are live in this lane."""
    depth_cap = "depth_cap"
    """Items filed by workers may not stand that deep below those of a plan."""
    budget = "budget"
    """It could cost more than is left, or nobody knows what it costs."""
    breaker_open = "breaker_open"
    """It failed so often in a row that it is not tried for a while."""
    provider_limit = "provider_limit"
    """The agent's provider has reached its limit and says when it opens again."""
    dirty_base = "dirty_base"
    """The target is checked out with changes that are not committed."""
    permit = "permit"
    """The start permit does not fit: another repository, another base, or too late."""
    predicate = "predicate"
    """A configured program (a predicate, a scorer, the driver) said no, or could not be asked."""
    config = "config"
    """The configuration has no such lane, kind or agent."""
    forbidden = "forbidden"
    """Whoever asks may not ask for that."""
    held = "held"
    """The item is held by its plan or by a person."""
    cooldown = "cooldown"
    """It failed a short while ago and waits."""
    exhausted = "exhausted"
    """It has no attempt left."""
    hours = "hours"
    """Outside the hours in which workers may run."""
    unknown_ref = "unknown_ref"
    """Nothing has that name."""
    wrong_state = "wrong_state"
    """Not possible in the state it is in."""
    stale_token = "stale_token"  # noqa: S105 - a refusal code, not a secret
    """The token is not that of a live run: whoever holds it was replaced."""
    lease_expired = "lease_expired"
    """The lease has run out."""
    target_moved = "target_moved"
    """The target branch is not where the landing was tested."""
    conflict = "conflict"
    """It contradicts what is already recorded."""
    invalid = "invalid"
    """The command's own fields make no sense."""


class Refusal(Struct, frozen=True, gc=False):
    """An expected "no": a code, a reason with its values, and a way forward."""

    code: RefusalCode
    reason: str
    way: str = ""
    """What the asker can do instead; empty where there is nothing."""
    holder: str = ""
    """Who stands in the way: a run, a lease, a lane, an item or a plan; empty when nobody does."""
    again_ms: int = 0
    """When asking again may help; 0 when time alone will not change it."""
    free: tuple[str, ...] = ()
    """Lanes that could be had instead."""
