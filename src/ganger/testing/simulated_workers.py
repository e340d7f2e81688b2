"""Agents as small scripts: honest ones, liars, sloppy ones and broken ones.

A behaviour is a generator: it yields how many milliseconds pass before its next step and returns its exit status.
Being killed ends it between two steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from random import Random
from typing import Protocol, TypeAlias

from ganger.core import commands as cmd
from ganger.core.ids import Commit, QuestionId, RunId, Token, item_of
from ganger.core.model import EndKind, Outcome, Refusal, RefusalCode, ToolUse, Usage
from ganger.service.fleet import Reply
from ganger.testing.invariants import CALL_TOKENS_MAX, fail
from ganger.testing.simulated_git import BROKEN, HALF, NO_TESTS, SimulatedGit, differing

OVERLOADED = "overloaded"
"""The reason by which a simulated provider says that it is busy, rather than a quota used up."""
Script: TypeAlias = Generator[int, None, int]


class Workspace:
    """A private clone: the branch's tip and the files as they lie there."""

    def __init__(self, head: Commit, files: dict[str, str], base: Commit | None = None) -> None:
        self.base = base or head
        """The commit that the run began with."""
        self.head = head
        self.files = dict(files)


class Surroundings(Protocol):
    """What a worker's process can reach."""

    git: SimulatedGit

    def say(self, command: cmd.Command, run: RunId) -> Reply:
        """Submit a command as the worker, one that it may ask for or not; what is acknowledged is checked to stay."""
        ...

    def hear(self, command: cmd.Command) -> None:
        """Have the supervisor, if there is one, submit what the hooks of the worker told."""
        ...

    def news(self, run: RunId, token: Token, turn: int) -> None:
        """Have the supervisor, if there is one, hand over what is said to the run, at a use of a tool."""
        ...

    def later(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do something after a while, whatever became of the process."""
        ...


class Worker:
    """One process of one turn, with its hands."""

    def __init__(
        self,
        run: RunId,
        token: Token,
        turn: int,
        attempt: int,
        paths: tuple[str, ...],
        workspace: Workspace,
        world: Surroundings,
        rng: Random,
    ) -> None:
        self.run, self.token, self.turn, self.attempt = run, token, turn, attempt
        self.paths, self.workspace, self.world, self.rng = paths, workspace, world, rng
        self.steps = 0
        self.obeys = True
        """Whether it ends when it is asked to."""
        self.spent = Usage()
        """What its output says that this turn has spent."""
        self.same_calls = 0
        self.unasked = 0
        """Tools that it used behind the back of its hooks."""
        self.limit: tuple[int, str] | None = None
        """How long from now its provider refuses (ms; 0: it does not say), and what it says."""

    def write(self, words: str = "", path: str = "") -> None:
        """Write something that nobody wrote before."""
        self.world.news(self.run, self.token, self.turn)
        where = path or self.rng.choice(self.paths)
        if self.workspace.files.get(where, "").startswith(f"{self.run}/{self.turn} "):
            self.commit()
        self.steps += 1
        self.workspace.files[where] = f"{self.run}/{self.turn} {self.steps} {words}".strip()

    def commit(self) -> None:
        """Commit everything, if anything differs."""
        git, place = self.world.git, self.workspace
        if differing(git.files(place.head), place.files):
            place.head = git.commit(place.files, (place.head,), f"work of {self.run}/{self.turn} {self.steps}")

    def done(self) -> Reply:
        """Say that it is done."""
        return self.world.say(cmd.ReportDone(self.run, self.token, Outcome.completed, f"turn {self.turn}"), self.run)

    def ask(self, text: str, audience: str = "person") -> Reply:
        """Ask a person, or an agent before."""
        said = cmd.AskQuestion(self.run, self.token, text, ("yes", "no"), "yes", audience=audience)
        return self.world.say(said, self.run)

    def note(self, text: str) -> Reply:
        """Say something to be shown."""
        return self.world.say(cmd.AddNote(self.run, self.token, text), self.run)

    def know(self, text: str, *about: str) -> Reply:
        """Note something as a fact."""
        return self.world.say(cmd.AddNote(self.run, self.token, text, fact=True, about=about), self.run)

    def spend(self, tokens: int) -> None:
        """Use up tokens; its output says so."""
        self.spent = self.spent.plus(Usage(usd_micros=3 * tokens, tokens=tokens))

    def call(self, same: bool) -> None:
        """Call a tool, the same way as before or another."""
        self.same_calls = self.same_calls + 1 if same else 1
        use = ToolUse("shell", "ls" if same else f"ls {self.steps}", denied="" if same else "outside its scope")
        self.world.hear(cmd.RecordTools(self.run, self.token, (use,)))


def honest(me: Worker) -> Script:
    yield me.rng.randrange(100, 60_000)
    me.write()
    yield me.rng.randrange(1_000, 60_000)
    me.commit()
    me.done()
    yield me.rng.randrange(10, 2_000)
    return 0


def quick(me: Worker) -> Script:
    """It reports before anyone can have recorded that it runs."""
    yield 0
    me.write()
    me.commit()
    me.done()
    return 0


def quick_but_lingers(me: Worker) -> Script:
    """It reports at once, and its process stays."""
    yield from quick(me)
    yield 1 << 40
    return 0


def slow(me: Worker) -> Script:
    for _ in range(me.rng.randrange(4, 9)):
        yield me.rng.randrange(50_000, 110_000)
        me.write()
    return (yield from honest(me))


def liar(me: Worker) -> Script:
    """Done, it says, and has done nothing, or committed nothing."""
    yield me.rng.randrange(1_000, 30_000)
    if me.rng.random() < 0.5:
        place = me.workspace
        place.head = me.world.git.commit(place.files, (place.head,), f"empty {me.run}/{me.turn}")
    me.done()
    yield 100
    return 0


def outside(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 30_000)
    me.write()
    me.write(path="docs/p.txt")
    me.commit()
    me.done()
    yield 100
    return 0


def breaks(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 30_000)
    me.write(BROKEN)
    me.commit()
    me.done()
    yield 100
    return 0


def deletes_tests(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 30_000)
    me.write(NO_TESTS)
    me.commit()
    me.done()
    yield 100
    return 0


def half(me: Worker) -> Script:
    """Fine alone, broken together with the other half; the second attempt does it another way."""
    yield me.rng.randrange(1_000, 30_000)
    side = me.rng.choice(("left", "right")) if me.attempt == 1 else "left"
    me.write(f"{HALF}-{me.rng.randrange(2)}-{side}")
    me.commit()
    me.done()
    yield 100
    return 0


def hangs(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 30_000)
    me.write()
    yield 1 << 40
    return 0


def hangs_after_report(me: Worker) -> Script:
    """It goes on writing after it has said that it is done, and has to be stopped."""
    yield from honest(me)
    me.obeys = me.rng.random() < 0.5
    for _ in range(3):
        yield me.rng.randrange(1_000, 8_000)
        me.write()
    yield 1 << 40
    return 0


def crashes(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 60_000)
    me.write()
    yield 1_000
    return me.rng.choice((1, 2, 139))


def crashes_once(me: Worker) -> Script:
    return (yield from (crashes(me) if me.attempt == 1 else honest(me)))


def done_then_crashes(me: Worker) -> Script:
    yield from honest(me)
    return 3


def asks(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 30_000)
    if me.turn > 1:
        return (yield from honest(me))
    me.write()
    me.ask(f"which way, {me.run}?")
    yield me.rng.randrange(10, 20_000)
    if me.rng.random() < 0.3:
        me.ask(f"and then, {me.run}?")
        me.done()
        yield 20_000
    return 0


def reports_twice(me: Worker) -> Script:
    yield from honest(me)
    me.done()
    me.world.say(cmd.ReportDone(me.run, me.token, Outcome.completed, "something else"), me.run)
    yield 100
    return 0


def zombie(me: Worker) -> Script:
    """It is done, and something of it speaks again long after with its old token."""

    def speak() -> None:
        _refused_when_over(me, me.done())
        _refused_when_over(me, me.world.say(cmd.ReportFail(me.run, me.token, "from the grave"), me.run))
        _refused_when_over(me, me.note("from the grave"))

    for delay_ms in (30_000, 200_000, 2_000_000):
        me.world.later(delay_ms, speak)
    return (yield from honest(me))


def _refused_when_over(me: Worker, reply: Reply) -> None:
    wrong = cmd.AddNote(me.run, Token(me.token + 1), "with the next token")
    refusal = me.world.say(wrong, me.run)
    if not isinstance(refusal, Refusal) or refusal.code is not RefusalCode.stale_token:
        fail("I-1", f"{me.run} was heard with a token that is not its own")
    if isinstance(reply, Refusal) and not reply.reason:
        fail("I-14", f"{me.run} was refused without a reason")


def ignores_stop(me: Worker) -> Script:
    me.obeys = False
    return (yield from hangs(me))


def silent_exit(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 60_000)
    me.write()
    me.commit()
    yield 100
    return 0


def says_nothing(me: Worker) -> Script:
    """It ends without a word; often it has changed nothing either, or not yet."""
    me.spend(me.rng.choice((0, 0, CALL_TOKENS_MAX)))
    yield me.rng.randrange(1_000, 60_000)
    if me.turn > 2 and me.rng.random() < 0.5:
        me.write()
    return 0


def unsure(me: Worker) -> Script:
    """It says that it is done, has nothing to show for it, and often says that it was not clear what is wanted."""
    yield me.rng.randrange(1_000, 60_000)
    confidence = me.rng.choice(("clear", "unclear", "unclear"))
    evidence = me.rng.choice(((), (), ("it is so already",)))
    told = cmd.ReportDone(me.run, me.token, Outcome.no_evidence, "nothing to do", evidence, (), confidence)
    me.world.say(told, me.run)
    yield 100
    return 0


def gives_up(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 60_000)
    me.write()
    me.world.say(cmd.ReportFail(me.run, me.token, "too hard"), me.run)
    yield 100
    return 0


def uncommitted(me: Worker) -> Script:
    yield me.rng.randrange(1_000, 60_000)
    me.write()
    me.commit()
    me.write(path=me.paths[0])
    me.done()
    yield 100
    return 0


def floods(me: Worker) -> Script:
    for number in range(12):
        me.note(f"note {number} of {me.run}/{me.turn} " + "x" * me.rng.choice((1, 5_000)))
        me.know(f"fact {number} of {me.run}/{me.turn}", *(() if number % 2 else ("**",)))
        yield 50
    return (yield from honest(me))


def too_slow(me: Worker) -> Script:
    while True:
        yield 90_000
        me.write()


def hangs_once(me: Worker) -> Script:
    """An infrastructure hang: the same brief goes well the second time."""
    return (yield from (hangs(me) if me.turn == 1 else honest(me)))


def spins(me: Worker) -> Script:
    """It is busy, and nothing comes of it."""
    for _ in range(me.rng.randrange(5, 30)):
        yield me.rng.randrange(5_000, 60_000)
        me.call(same=me.rng.random() < 0.9)
    return (yield from honest(me))


def spends(me: Worker) -> Script:
    """It pays for each step, often more than it may."""
    for _ in range(me.rng.randrange(1, 12)):
        me.spend(me.rng.randrange(100, CALL_TOKENS_MAX + 1))
        yield me.rng.randrange(5_000, 60_000)
        me.write()
    return (yield from honest(me))


def limited(me: Worker) -> Script:
    """Its provider refuses for a while, and it waits to be told, or gives up at once."""
    yield me.rng.randrange(1_000, 30_000)
    me.write()
    if me.turn > 1 or me.rng.random() < 0.2:
        return (yield from honest(me))
    me.limit = (me.rng.randrange(60_000, 3_000_000), "rate limit reached")
    yield me.rng.choice((10, 5_000, 1 << 40))
    return 1


def refused(me: Worker) -> Script:
    """Its provider refuses and does not say until when; later attempts do better."""
    if me.attempt > 1 and me.rng.random() < 0.7:
        return (yield from honest(me))
    yield me.rng.randrange(1_000, 30_000)
    me.limit = (0, me.rng.choice(("quota exceeded", OVERLOADED)))
    yield 1 << 40
    return 1


def oversteps(me: Worker) -> Script:
    """It asks for what is not its to ask for, and its hooks are off."""
    yield me.rng.randrange(1_000, 30_000)
    me.unasked = 1 + me.steps % 2
    others = RunId(f"{me.run}1")
    for command in (
        *(cmd.GrantRun(item_of(me.run), me.workspace.head), cmd.AnswerQuestion(QuestionId("q1"), "yes", "olga")),
        *(cmd.RetryItem(item_of(me.run)), cmd.StopRun(me.run, EndKind.stopped, "enough"), cmd.SweepLeases()),
        cmd.AddNote(others, me.token, "for another run"),
        cmd.RecordTools(me.run, me.token, (ToolUse("shell"),)),
    ):
        if not isinstance(me.world.say(command, me.run), Refusal):
            fail("I-19", f"the worker of {me.run} was given {type(command).__name__}")
        yield 100
    return (yield from honest(me))


def files_more(me: Worker) -> Script:
    """It comes upon more work and files it."""
    yield me.rng.randrange(1_000, 30_000)
    for number in range(me.rng.randrange(1, 4)):
        title = f"more of {item_of(me.run)} {number // 2}"
        me.world.say(cmd.FileFollowUp(me.run, me.token, title, "Do it.", (me.paths[0],)), me.run)
    return (yield from honest(me))


def plans(me: Worker) -> Script:
    """A planner: it files new work, says that there is none, or says nothing."""
    yield me.rng.randrange(1_000, 60_000)
    what = me.rng.choice(("file", "say", "say", "nothing", "crash"))
    if what == "file":
        scope = (me.rng.choice(("a/**", "b/r.txt", "shared/**")),)
        me.world.say(cmd.FileFollowUp(me.run, me.token, f"found by {me.run}", "Do it.", scope), me.run)
    if what in ("file", "say"):
        outcome = Outcome.no_evidence if what == "say" else Outcome.completed
        me.world.say(cmd.ReportDone(me.run, me.token, outcome, "planned"), me.run)
    yield 100
    return 1 if what == "crash" else 0


def consults(me: Worker) -> Script:
    """It asks an agent, or thinks so, sometimes two things at once."""
    yield me.rng.randrange(1_000, 30_000)
    if me.turn > 4 or (me.turn > 1 and me.rng.random() < 0.4):
        return (yield from honest(me))
    me.write()
    me.ask(f"which way, {me.run}/{me.turn}?", "consult")
    if me.rng.random() < 0.3:
        me.ask(f"and how far, {me.run}/{me.turn}?", me.rng.choice(("consult", "person")))
    yield me.rng.randrange(10, 20_000)
    return 0


def advises(me: Worker) -> Script:
    """An agent that is asked in a person's place: it answers, passes it on, oversteps, or is of no use."""
    yield me.rng.choice((1_000, 10_000, 60_000, 400_000))
    what = me.rng.choice(("answer", "answer", "answer", "person", "other", "fail", "nothing", "crash", "hang", "ask"))
    if what == "ask":
        if not isinstance(me.ask("what do they mean?"), Refusal):
            fail("WP3", f"{me.run} is to answer a question, and asks one")
        what = "answer"
    if me.rng.random() < 0.5:
        answer = cmd.AnswerQuestion(QuestionId(f"q{me.rng.randrange(1, 9)}"), "yes", "agent:other")
        if not isinstance(me.world.say(answer, me.run), Refusal):
            fail("I-19", f"the worker of {me.run} was given AnswerQuestion")
    said = {"answer": "yes\nbecause it is so", "person": "person", "other": "perhaps"}
    if what in said:
        me.world.say(cmd.ReportDone(me.run, me.token, Outcome.findings, said[what]), me.run)
    if what == "fail":
        me.world.say(cmd.ReportFail(me.run, me.token, "I cannot tell"), me.run)
    yield 1 << 40 if what == "hang" else 100
    return 1 if what == "crash" else 0


BEHAVIOURS: dict[str, Callable[[Worker], Script]] = {
    found.__name__: found
    for found in (
        *(
            honest,
            quick,
            quick_but_lingers,
            slow,
            liar,
            outside,
            breaks,
            deletes_tests,
            half,
            hangs,
            hangs_after_report,
            crashes,
        ),
        *(crashes_once, done_then_crashes, asks, reports_twice, zombie, ignores_stop, silent_exit, gives_up),
        *(uncommitted, floods, too_slow, hangs_once, spins, spends, limited, refused, oversteps, files_more),
    )
}


def spawns(me: Worker) -> Script:
    """It hands on parts of its work, and waits, works on, gives up, or just ends."""
    yield me.rng.randrange(100, 30_000)
    for number in range(me.rng.randrange(5) if me.turn < 3 else 0):
        kind = me.rng.choice(("scout", "scout", "patcher", "fixer"))
        scope = (me.rng.choice(me.paths),) if kind != "scout" and me.paths else ()
        asked = (kind, f"part {number % 3} of {me.run}", "Do it.", scope, me.rng.choice(("", "", "other")))
        me.world.say(cmd.SpawnChild(me.run, me.token, *asked), me.run)
        me.spend(me.rng.choice((0, 0, 500)))
        yield me.rng.randrange(10, 20_000)
    if me.paths and me.rng.random() < 0.5:
        me.write()
        me.commit()
    for _ in range(me.rng.randrange(3)):
        yield me.rng.randrange(1_000, 60_000)
        me.call(same=False)
    how = me.rng.choice(("wait", "wait", "wait", "done", "exit", "fail", "crash"))
    if how == "wait":
        me.world.say(cmd.ParkRun(me.run, me.token), me.run)
    elif how == "done":
        me.done()
    elif how == "fail":
        me.world.say(cmd.ReportFail(me.run, me.token, "too hard, with children"), me.run)
    yield me.rng.choice((10, 100, 20_000))
    return 1 if how == "crash" else 0


def looks(me: Worker) -> Script:
    """A child that changes nothing: it looks, and says what it found, at first too much of it."""
    me.spend(me.rng.choice((0, 100, CALL_TOKENS_MAX)))
    yield me.rng.randrange(1_000, 90_000)
    how = me.rng.choice(("say", "say", "much", "ask", "nothing", "crash", "fail", "hang"))
    if how == "ask" and me.turn == 1:
        me.ask(f"which one, {me.run}?")
        yield 100
        return 0
    if how == "fail":
        me.world.say(cmd.ReportFail(me.run, me.token, "cannot see it"), me.run)
    if how == "hang":
        yield 1 << 40
    if how in ("say", "much"):
        found = tuple(f"docs/{n}.txt:1" for n in range(3))
        if how == "much" and not isinstance(_found(me, "x" * 5_000, found), Refusal):
            fail("DW7", f"{me.run} was heard with a report that is too long")
        _found(me, "found it", found)
    yield 100
    return 1 if how == "crash" else 0


def _found(me: Worker, summary: str, evidence: tuple[str, ...]) -> Reply:
    return me.world.say(cmd.ReportDone(me.run, me.token, Outcome.findings, summary, evidence), me.run)


FAMILY: dict[str, Callable[[Worker], Script]] = {found.__name__: found for found in (spawns, looks)}
"""Drawn by a source of chance of their own as well."""
UNSPOKEN: dict[str, Callable[[Worker], Script]] = {found.__name__: found for found in (says_nothing, unsure, consults)}
"""Drawn by a source of chance of their own, so that no other draw depends on them."""
