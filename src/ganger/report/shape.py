"""What the report says, as frozen values: the page and the terminal text are two drawings of one `ReportData`.

Sentences are made here once, so that both tell the same story. Strings are raw: they may hold bytes of agents and
repositories, and whoever draws them sends each through `safe.printable`. Times are ms since the epoch, 0 for none.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from ganger.core.model import CheckState, Usage


class CheckSeen(Struct, frozen=True, gc=False):
    """One check that ganger ran itself."""

    name: str
    state: CheckState
    exit_code: int | None
    executed: int | None
    """Tests executed; None where the runner does not say."""
    took_ms: int
    flaky: bool = False
    log: str = ""
    """The kept output, relative to the state directory; empty when it is not there any more."""
    tail: str = ""
    """The last lines of the output of a check that did not pass."""


class Source(Struct, frozen=True, gc=False):
    """Where a statement can be checked."""

    seqs: tuple[int, ...]
    """Entries of the journal; never empty."""
    run: str = ""
    commit: str = ""
    train: int = 0
    """The entry of the train; 0 for none."""
    checks: tuple[CheckSeen, ...] = ()


class ItemRef(Struct, frozen=True, gc=False):
    """An item by name."""

    id: str
    plan: str
    title: str
    seq: int
    """The entry that added it."""
    child_of: str = ""
    """The run whose worker had it done; empty: nobody's child."""


class TurnEnd(StrEnum):
    """What became of a turn, as the picture colours it."""

    good = "landed or accepted"
    rejected = "rejected"
    failed = "failed or stalled"
    asked = "asked a question"
    cut = "interrupted"
    live = "running"


class TurnSeen(Struct, frozen=True, gc=False):
    """One worker process, with what it said and what was found."""

    run: str
    turn: int
    started_ms: int
    ended_ms: int
    """When the process was gone; the time of the report while it lives."""
    end: TurnEnd
    ending: str
    """How it ended, in words."""
    said: str
    """What the worker said: never believed, shown as its words."""
    found: str
    """What ganger found, in words; empty when nothing was looked at."""
    checking_ms: tuple[int, int]
    """From and to; equal when nothing was checked."""
    cpu_ms: int
    source: Source


class Attempt(Struct, frozen=True, gc=False):
    """One run of an item, told from its beginning to its end."""

    run: str
    agent: str
    ending: str
    """`landed`, another `EndKind`, or the status of a live run."""
    reason: str
    granted_ms: int
    ended_ms: int
    """0 while it lives."""
    counts: bool
    again: str
    """Which turns were done over, and why; empty when none was."""
    turns: tuple[TurnSeen, ...]
    looks: tuple[str, ...]
    """Commands that show the work that was kept."""
    source: Source


class Landed(Struct, frozen=True, gc=False):
    """An item that is on the target."""

    item: ItemRef
    run: str
    commit: str
    at_ms: int
    took_ms: int
    """From the first grant to the landing."""
    changed: int
    """Paths changed."""
    train_size: int
    """Candidates in the tested tree it landed with."""
    attempts: tuple[Attempt, ...]
    source: Source
    ci: str = ""
    """Whether CI has closed it; empty where nothing waits for that."""
    claims: tuple[str, ...] = ()
    """What its commits claim and do not do."""


class Ready(Struct, frozen=True, gc=False):
    """A tested landing that waits for a person."""

    question: str
    text: str
    items: tuple[ItemRef, ...]
    do: tuple[tuple[str, str], ...]
    """Command to type, and what it does; the first is the one to take."""
    asked_ms: int
    held_up: tuple[str, ...]
    source: Source


class Blocked(Struct, frozen=True, gc=False):
    """A question that only a person can answer."""

    question: str
    item: ItemRef | None
    text: str
    recommend: str
    risk: str
    do: tuple[tuple[str, str], ...]
    """Command to type, and the option it takes."""
    asked_ms: int
    held_up: tuple[str, ...]
    """Items that cannot start before this one has landed."""
    source: Source
    by: str
    """The run that asks; `ganger` where it asks itself."""


class GivenUp(Struct, frozen=True, gc=False):
    """An item whose attempts are used up."""

    item: ItemRef
    reason: str
    attempts: tuple[Attempt, ...]
    held_up: tuple[str, ...]
    do: str
    source: Source
    claim: str = ""
    """How often it was said to be done and was not; empty where it never was."""


class StillOpen(Struct, frozen=True, gc=False):
    """An item that is neither landed nor given up and does not wait for an answer."""

    item: ItemRef
    state: str
    why: str
    do: str
    """What a person can type to move it; empty where nothing is needed."""
    attempts: tuple[Attempt, ...]
    source: Source
    claim: str = ""
    """How often it was said to be done and was not; empty where it never was."""


class Finished(Struct, frozen=True, gc=False):
    """An item that is done without anything to land, as a planner's."""

    item: ItemRef
    run: str
    reason: str
    filed: int
    """Items that its workers filed."""
    at_ms: int
    source: Source


class HeldBack(Struct, frozen=True, gc=False):
    """What keeps runs from being granted, whatever the items are: a provider, a breaker, a person's word."""

    subject: str
    """Provider, breaker, plan or lease."""
    text: str
    do: str
    """What a person can type to end it; empty where it ends by itself."""
    source: Source


class AnomalyKind(StrEnum):
    """What is out of the ordinary, gravest first; the value is the heading."""

    ci_blocked = "CI fails on what landed"
    landing_lost = "Landed, but not on the target any more"
    supervisor_died = "The supervisor was killed"
    target_red = "The target fails by itself"
    target_moved = "Somebody else moved the target"
    ci_open = "Landed, and not closed by CI"
    said_done = "Said done, but was not"
    claims = "Commits that claim what they do not do"
    out_of_scope = "Edits outside the scope"
    guard_silent = "Guards that were silent"
    forbidden = "Workers that asked for what is not theirs"
    train_failed = "Good alone, not together"
    pair = "Two that do not go together"
    conflict = "Did not merge"
    worker_died = "Workers that crashed, vanished or never started"
    worker_silent = "Workers that stalled or ran out of time"
    spinning = "Workers that were busy and got nowhere"
    repeated = "Turns that were done over"
    flaky = "Checks that failed and then passed on the same tree"
    auto_committed = "Work that was left uncommitted"
    advised = "Questions that an agent answered"
    pruned_unseen = "Results that were pruned unseen"


class Anomaly(Struct, frozen=True, gc=False):
    """One thing that a person should know before the rest."""

    kind: AnomalyKind
    subject: str
    """Run, train, supervisor, `target` or `prune`."""
    text: str
    said: str
    at_ms: int
    source: Source


class TrainSeen(Struct, frozen=True, gc=False):
    """One tested batch."""

    seq: int
    from_ms: int
    at_ms: int
    runs: tuple[str, ...]
    conflicts: tuple[str, ...]
    passed: bool
    landed_ms: int
    text: str
    source: Source


class Spent(Struct, frozen=True, gc=False):
    """Where the time of an item went."""

    item: ItemRef
    waiting_ms: int
    working_ms: int
    checking_ms: int
    asking_ms: int
    train_ms: int
    cpu_ms: int
    attempts: int
    metered: Usage
    """What its workers' programs said they spent, and how long they worked; nothing where none said anything."""
    source: Source

    @property
    def total_ms(self) -> int:
        """All of it but processor time."""
        return self.waiting_ms + self.working_ms + self.checking_ms + self.asking_ms + self.train_ms


class Refused(Struct, frozen=True, gc=False):
    """Why ready items had to wait: all refusals of one code."""

    code: str
    meaning: str
    times: int
    items: int
    holders: tuple[tuple[str, int], ...]
    """Who held the scope, and how often; most often first."""
    source: Source


class Numbers(Struct, frozen=True, gc=False):
    """The night in figures."""

    items: int
    landed: int
    landed_before: int
    """Of those, the ones that had landed before the report's time begins; they are not listed."""
    finished: int
    """Items that are done without anything to land."""
    runs: int
    turns: int
    from_ms: int
    to_ms: int
    paused_ms: int
    """Of the time from beginning to end, long stretches in which nothing was done."""
    work_ms: int
    """All turns of all workers together."""
    checking_ms: int
    """Sum of the time that candidates and trains were looked at."""
    workers_peak: int
    parallel: str
    """Whether working side by side paid, in a sentence."""
    checks: int
    tests: int
    """Executed by ganger itself, as far as the runners say."""
    metered: Usage
    """Of all items together; nothing where nothing was metered."""
    source: Source

    @property
    def wall_ms(self) -> int:
        """How long the night was."""
        return self.to_ms - self.from_ms


class EntrySeen(Struct, frozen=True, gc=False):
    """An entry of the journal that the report refers to."""

    seq: int
    at_ms: int
    type: str
    subject: str
    actor: str


class ReportData(Struct, frozen=True, gc=False):
    """Everything that the report shows."""

    headline: str
    now_ms: int
    """As of when."""
    first_seq: int
    last_seq: int
    """The part of the journal it covers."""
    numbers: Numbers
    anomalies: tuple[Anomaly, ...]
    """Gravest kind first, then in order of time."""
    landed: tuple[Landed, ...]
    finished: tuple[Finished, ...]
    ready: tuple[Ready, ...]
    blocked: tuple[Blocked, ...]
    given_up: tuple[GivenUp, ...]
    held_back: tuple[HeldBack, ...]
    still_open: tuple[StillOpen, ...]
    turns: tuple[TurnSeen, ...]
    trains: tuple[TrainSeen, ...]
    spent: tuple[Spent, ...]
    refused: tuple[Refused, ...]
    entries: tuple[EntrySeen, ...]
    """Every entry that a `Source` names, in order."""
    containment: str = ""
    """What kept workers and checks from the rest of the machine; empty when nothing is known of it."""
