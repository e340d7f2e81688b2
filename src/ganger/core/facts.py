"""What state is made of: the facts about items, live runs, leases, plans and whatever is open, as frozen values.

Statuses are not stored: they are derived from these facts, see `core.lifecycle`.
"""

from __future__ import annotations

from msgspec import Struct

from ganger.core.ids import Commit, ItemId, LeaseId, PlanId, QuestionId, RunId, Seq
from ganger.core.model import (
    NOTHING,
    Again,
    CiState,
    EndKind,
    Evidence,
    Hold,
    ItemSpec,
    Lease,
    Liveness,
    Question,
    RefusalCode,
    Report,
    Usage,
    Verdict,
    When,
    WorkerId,
)
from ganger.core.train import Search


class Stop(Struct, frozen=True, gc=False):
    """That a run is to end, and how."""

    end: EndKind
    reason: str


class Repeat(Struct, frozen=True, gc=False):
    """That a run gets another turn although its worker did not report."""

    why: Again
    turn: int
    """The turn that is repeated."""
    reason: str
    not_before_ms: int = 0


class Unread(Struct, frozen=True, gc=False):
    """Something that was said to a run and that its worker is not known to have read; the text is in the journal."""

    seq: Seq
    when: When
    turn: int = 0
    """The turn whose worker it was handed to, or was about to be; 0 while it waits."""
    at_work: bool = False
    """Whether that was while the worker was at work; otherwise it stands in the brief."""
    child: bool = False
    """Whether it is what came of a child of the run."""


class Run(Struct, frozen=True, gc=False):
    """The facts about a live run. Its status is derived, see `lifecycle.run_status`."""

    id: RunId
    item: ItemId
    attempt: int
    base: Commit
    agent: str
    lease: Lease
    granted_ms: int
    turn: int = 0
    """Turns started; 0 before the first worker."""
    turn_due: bool = True
    """Whether a worker is to be started for turn `turn + 1`."""
    worker: WorkerId | None = None
    """The process of the last turn, living or not."""
    started_ms: int = 0
    """When that process was recorded."""
    exited_ms: int = 0
    """When it was recorded to be gone; 0 while it may live."""
    report: Report | None = None
    reported_ms: int = 0
    question: QuestionId = QuestionId("")
    """The open question it waits for, the oldest of them; empty for none."""
    also_asked: tuple[QuestionId, ...] = ()
    """The others that its last turn asked and that are open: it waits for the answers to all."""
    asked_turn: int = 0
    """The last turn that ended with a question; 0 for none."""
    evidence: Evidence | None = None
    verdict: Verdict | None = None
    rejections: int = 0
    """Verdicts against it so far."""
    accepted_seq: Seq = Seq(0)
    """Place in the queue for the train; 0 until accepted."""
    stop: Stop | None = None
    kind: str = ""
    depth: int = 0
    reserved: Usage = NOTHING
    """The most it may spend; a figure of 0 is one without a limit."""
    spent: Usage = NOTHING
    """By its turns before the last one; with `turn_spent` all of it."""
    turn_spent: Usage = NOTHING
    """Metered in the last turn so far."""
    permit_ms: int = 0
    """Its first worker must be started before this instant; 0: no such limit."""
    repeat: Repeat | None = None
    """That its last turn is done over; None once the next one has begun, or its worker has spoken after all."""
    repeats: tuple[Again, ...] = ()
    """Why turns were repeated so far."""
    lost: bool = False
    """Whether its worker vanished without a word, and nobody has yet looked at what is left."""
    flag: Liveness | None = None
    """The last recorded liveness."""
    rewind: Commit = Commit("")
    """The checkpoint its workspace is to be put back to; empty when it is not."""
    root: Commit = Commit("")
    """The commit of the target that its base was made of; empty when that is its base."""
    stands_on: tuple[tuple[RunId, Commit], ...] = ()
    """The accepted candidates that its base was made of, besides: it lands after them, or not at all."""
    checkpoints: tuple[Commit, ...] = ()
    """Commits of its earlier turns that ganger keeps; its base is one as well."""
    forbidden: tuple[str, ...] = ()
    """Requests that its worker may not make and made."""
    messages: tuple[Unread, ...] = ()
    """What was said to it, as long as that is not read."""
    spawner: RunId = RunId("")
    """The run whose worker has this done for it; empty: nobody's child."""
    children: tuple[RunId, ...] = ()
    """The runs that its worker has had started, living and past."""
    lent: Usage = NOTHING
    """What of its reservation is its children's: all that the living ones reserve, and what the past ones spent."""
    parked: bool = False
    """Whether its turn is over until its living children have ended."""
    unguarded: int = 0
    """The last turn in which its guard was found silent; 0 for none."""
    consulted: int = 0
    """Questions of its workers that were put to an agent first."""
    reminded: bool = False
    """Whether it was reminded to say what became of it, and no person has said anything to it since."""
    notified: tuple[tuple[int, int, int], ...] = ()
    """The last notices of persons: checksum and length of each text, and when it was said."""
    facts: int = 0
    """Facts that its workers noted."""

    @property
    def questions(self) -> tuple[QuestionId, ...]:
        """What it waits for, oldest first."""
        return (self.question, *self.also_asked) if self.question else ()

    def without_question(self, question: QuestionId) -> tuple[QuestionId, tuple[QuestionId, ...]]:
        """What `question` and `also_asked` are when that one is closed."""
        left = tuple(one for one in self.questions if one != question)
        return (left[0], left[1:]) if left else (QuestionId(""), ())

    @property
    def grounds(self) -> tuple[Commit, ...]:
        """The commits that the target must contain for its change to be the only thing it brings."""
        return (self.root, *(commit for _, commit in self.stands_on)) if self.stands_on else (self.base,)

    @property
    def spent_in_all(self) -> Usage:
        """What it has spent."""
        return self.spent.plus(self.turn_spent)

    @property
    def drawn(self) -> Usage:
        """What is gone of its reservation: what it has spent, and what is its children's."""
        return self.spent_in_all.plus(self.lent)

    @property
    def outstanding(self) -> Usage:
        """What is reserved for it, not spent yet and not its children's."""
        return self.reserved.minus(self.drawn)

    @property
    def is_busy(self) -> bool:
        """Whether it takes up a worker's room: one lives, or is owed to it since it was born."""
        return self.has_worker or (self.turn_due and not self.turn)

    @property
    def has_worker(self) -> bool:
        """Whether a worker was started and is not yet recorded as gone."""
        return self.worker is not None and not self.exited_ms

    @property
    def turn_speaking(self) -> int:
        """The turn whose worker may speak: one that is due may have been started without that being recorded yet."""
        return self.turn + (self.turn_due and not self.has_worker)


class Undone(Struct, frozen=True, gc=False):
    """That the landing of an item was undone."""

    commit: Commit
    """What took it off the target; undoing that brings it back."""
    by: str


class Undo(Struct, frozen=True, gc=False):
    """What a person wants undone and is not yet: the landing of an item, or an earlier undo of it (`back`)."""

    commit: Commit
    """Its change is taken back; known by it."""
    item: ItemId
    run: RunId
    """Whose work it is about."""
    by: str
    why: str
    asked_ms: int
    back: bool = False
    question: QuestionId = QuestionId("")
    """What it waits for; empty when it may go on."""
    changed: tuple[str, ...] = ()
    """The files of the target that it changed when it was tested last."""


class Foundation(Struct, frozen=True, gc=False):
    """The target merged with accepted heads that have not landed."""

    root: Commit
    """The target."""
    heads: tuple[tuple[RunId, Commit], ...]
    """The runs with their candidates, in the order in which the item names what it comes after."""
    commit: Commit
    """Empty where they do not go together."""
    conflicts: tuple[str, ...] = ()
    """The files in which they do not."""


class Item(Struct, frozen=True, gc=False):
    """The facts about an item. Its status is derived, see `lifecycle.item_status`."""

    spec: ItemSpec
    seq: Seq
    """Where it was added; the order among equals."""
    brief_crc: int = 0
    """CRC-32 of its brief, which is not kept here: enough to see that a plan read again says the same."""
    attempts: int = 0
    """Runs granted so far; their numbers are never used again."""
    failures: int = 0
    """Runs that ended and count against `attempts_max`."""
    cool_until_ms: int = 0
    run: RunId = RunId("")
    landed: Commit = Commit("")
    landed_ms: int = 0
    landed_candidate: Commit = Commit("")
    """The candidate that landed, as its run handed it in."""
    foundation: Foundation | None = None
    """What was last made of the accepted heads that it comes after."""
    withdrawn: bool = False
    """Its plan has it no longer; its numbers stay taken."""
    stopped: str = ""
    """Why a person stopped it; empty when nobody did."""
    hold: Hold | None = None
    last_end: EndKind | None = None
    last_reason: str = ""
    waiting: tuple[RefusalCode, str] | None = None
    """The last recorded reason and holder that kept it from being admitted."""
    waiting_ms: int = 0
    """Since when that keeps it."""
    again_ms: int = 0
    """Before this instant it is not asked about again."""
    finished: bool = False
    """Whether it was asked for no change, and has reported."""
    terminal: bool = False
    """Whether it was given up although attempts are left: a worker hung twice on the identical brief."""
    merge: Commit = Commit("")
    """The commit that brought it, and nothing else, to the target; empty until then, and where nobody noted it."""
    question: QuestionId = QuestionId("")
    """What a person must answer before it is worked on again; empty when nothing."""
    undone: Undone | None = None
    """That a person had it undone; None while it is shipped, and once it is offered again."""

    @property
    def given_up(self) -> bool:
        """Whether it has used up its attempts."""
        return (self.failures >= self.spec.attempts_max or self.terminal) and not (
            self.landed or self.finished or self.run
        )


class Landing(Struct, frozen=True, gc=False):
    """A landing that was allowed and is not yet recorded as done."""

    seq: Seq
    runs: tuple[RunId, ...]
    old: Commit
    new: Commit
    tree: Commit
    question: QuestionId = QuestionId("")
    """What it waits for; empty when it may go on."""
    commits: tuple[Commit, ...] = ()
    """After each of the runs."""
    undo: Commit = Commit("")
    """What it undoes; it lands no run then."""


class AwaitedCi(Struct, frozen=True, gc=False):
    """A commit of the target on which CI must be green before what landed with it is closed."""

    items: tuple[ItemId, ...]
    since_ms: int
    """When they landed."""
    holds: bool = False
    """Whether what comes after them waits until then."""
    state: CiState | None = None
    """What it said last; None before it was asked."""
    text: str = ""
    asks: int = 0
    """How often in a row it has said so."""
    again_ms: int = 0
    """When it is asked again."""
    question: QuestionId = QuestionId("")
    """What a person is asked about it; empty for nothing."""


class ReadBack(Struct, frozen=True, gc=False):
    """What was read back from the target last."""

    tip: Commit = Commit("")
    """Where it was; empty when there was no such branch."""
    missing: tuple[Commit, ...] = ()
    """Commits that landed something, and that it did not contain."""
    accepted: tuple[Commit, ...] = ()
    """Those that a person knows to be gone."""
    question: QuestionId = QuestionId("")
    is_new: bool = False
    """Whether nothing has landed since."""


class HeldLease(Struct, frozen=True, gc=False):
    """A lease that belongs to no run: somebody whom ganger did not start holds it."""

    id: LeaseId
    holder: str
    lease: Lease


class PlanFacts(Struct, frozen=True, gc=False):
    """The facts about a plan."""

    digest: str
    path: str = ""
    paused: bool = False
    stopped: str = ""
    """Why a person stopped it; empty when nobody did."""
    steer: str = ""
    """The direction that a person gave all later turns."""
    still_open: tuple[ItemId, ...] = ()
    """Items that its tracker calls open."""
    unreadable: int = 0
    """How much of its source could not be made items."""
    replans: int = 0
    """Planner runs asked for so far; their numbers are never used again."""
    quiet_replans: int = 0
    """The last ones in a row that said nothing."""
    filed: bool = False
    """Whether the planner run under way has filed an item."""
    drained: bool = False
    """Whether the planner said, since the last new item, that there is nothing more to do."""


class Breaker(Struct, frozen=True, gc=False):
    """Something that is not tried because it failed so often in a row."""

    until_ms: int
    reason: str
    launch: bool = False


class Window(Struct, frozen=True, gc=False):
    """A provider that refuses its agents until then."""

    until_ms: int
    reason: str


class Schedule(Struct, frozen=True, gc=False):
    """A plan file that is read again at set times."""

    path: str
    every_ms: int
    next_ms: int
    """0 when it has fired for good, and nobody has dropped it since."""


class Snapshot(Struct):
    """The stored form of a state at one position."""

    items: list[Item] = []
    runs: list[Run] = []
    questions: list[Question] = []
    plans: dict[PlanId, PlanFacts] = {}
    held: list[HeldLease] = []
    accounts: dict[str, Usage] = {}
    streaks: dict[str, tuple[str, ...]] = {}
    breakers: dict[str, Breaker] = {}
    windows: dict[str, Window] = {}
    schedules: dict[str, Schedule] = {}
    epoch: Seq = Seq(0)
    night_ms: int = 0
    left_in_order: bool = True
    granted: int = 0
    landing: Landing | None = None
    awaited: dict[Commit, AwaitedCi] = {}
    read_back: ReadBack = ReadBack()
    undos: list[Undo] = []
    known: list[tuple[Seq, RunId]] = []
    questions_asked: int = 0
    search: Search = Search()
    seq: Seq = Seq(0)
    at_ms: int = 0
