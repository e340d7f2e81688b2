"""Random commands on a small fleet, sensible more often than not: for properties that hold whatever is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, TypeAlias

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.events import Event
from ganger.core.facts import Run
from ganger.core.ids import ItemId, LeaseId, PlanId, QuestionId, RunId, Token
from ganger.core.messages import wants_turn
from ganger.core.model import (
    NOTHING,
    Again,
    Budget,
    CheckState,
    EndKind,
    Hold,
    ItemSpec,
    Kind,
    Lane,
    LeaseMode,
    Liveness,
    Outcome,
    RecoveryFacts,
    Refusal,
    RefusalCode,
    Usage,
    Weakened,
    Weakening,
    When,
    WorkerId,
    Writes,
)
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.testing.builders import BASE, CANDIDATE, NOW_MS, TIP, Story, add_plan, evidence, result, spec

NAMES = ("a", "b", "c", "d", "e")
SCOPES = (("src/**",), ("docs/**",), ("src/x/**", "docs/y"), ("lib/**",))
TOKENS_MAX = 1_000
POLICY = Policy(
    workers_max=4,
    backoff_ms=5_000,
    lanes=(
        Lane("auth", ("src/**",), workers_max=1),
        Lane("release", ("**",), exclusive=True),
        Lane("docs", ("docs/**",)),
    ),
    autopick=("docs", "auth"),
    kinds=(
        Kind("patcher", workers_max=3, spawn=("scout", "patcher"), spawn_depth=2),
        Kind("scout", writes=Writes.none),
    ),
    fleet_budget=Budget(tokens=200 * TOKENS_MAX),
    plan_budgets=(("plan", Budget(tokens=150 * TOKENS_MAX, usd_micros=300_000_000)),),
    run_budget=Budget(tokens=TOKENS_MAX, usd_micros=2_000_000),
    priced=frozenset({"default", "other", "planner"}),
    providers=(("other", "shop"), ("default", "shop")),
    breaker_max=3,
    breaker_ms=20_000,
    planner="planner",
    weakened="inbox",
)
WEAKENED = Weakened("tests/test_a.py", 3, Weakening.deleted, "test_a", "it is gone")
Maker: TypeAlias = Callable[[Story, Random], cmd.Command]


def live(story: Story, rng: Random) -> Run:
    """A live run, where there is one."""
    runs = list(story.state.runs.values())
    return rng.choice(runs) if runs else Run(RunId("a.1"), ItemId("a"), 1, BASE, "default", NO_LEASE, NOW_MS)


NO_LEASE: Any = type("NoLease", (), {"token": Token(1)})()


def token(run: Run, rng: Random) -> Token:
    """The run's token, seldom another."""
    return run.lease.token if rng.random() < 0.97 else Token(run.lease.token + rng.choice((-1, 1)))


def any_spec(rng: Random, name: str, plan: str) -> ItemSpec:
    """An item of a lane or of a free scope, after others or not, held or not."""
    lane = POLICY.lane(rng.choices(("", "auth", "release"), (12, 3, 1))[0])
    made = spec(
        name,
        lane=lane.name if lane else "",
        scope=lane.paths if lane else rng.choice(SCOPES),
        mode=rng.choice((LeaseMode.exclusive, LeaseMode.exclusive, LeaseMode.shared)),
        priority=rng.choice((1, 100)),
        hold=rng.choices((None, Hold("draft"), Hold("until", NOW_MS + rng.randrange(99_000))), (10, 1, 1))[0],
        attempts_max=rng.choice((1, 3)),
        agent=rng.choice(("default", "other")),
        kind=rng.choice(("patcher", "fixer")),
        budget=rng.choice((Budget(), Budget(tokens=9 * TOKENS_MAX))),
    )
    return replace(made, plan=PlanId(plan))


def a_plan(story: Story, rng: Random) -> cmd.Command:
    """Some of the items under one of two names, so that items are revised, withdrawn and change hands."""
    plan = rng.choice(("plan", "plan", "other"))
    names = [name for name in NAMES if rng.random() < 0.6]
    names += [item for item in story.state.items if item not in NAMES and rng.random() < 0.1]
    specs = [any_spec(rng, name, plan) for name in names]
    for n, one in enumerate(specs):
        after = tuple(before.id for before in specs[:n] if rng.random() < 0.15)
        specs[n] = replace(one, after=after)
    return add_plan(*specs, digest=str(rng.random()), plan=plan)


def a_grant(story: Story, rng: Random) -> cmd.Command:
    ready = [item for _, _, _, item in story.state.ready]
    item = rng.choice(ready if ready and rng.random() < 0.8 else list(story.state.items) or [ItemId("a")])
    return cmd.GrantRun(item, BASE, clean=rng.random() < 0.9, force=rng.choice(("", "", "", "", "olga")))


def a_start(story: Story, rng: Random) -> cmd.Command:
    due = [run for run in story.state.runs.values() if run.turn_due and not run.has_worker]
    run = rng.choice(due) if due else live(story, rng)
    return cmd.RecordStart(run.id, token(run, rng), run.turn + 1, WorkerId(rng.randrange(10**6), story.now_ms))


def an_exit(story: Story, rng: Random) -> cmd.Command:
    living = [run for run in story.state.runs.values() if run.has_worker]
    run = rng.choice(living) if living else live(story, rng)
    return cmd.RecordExit(run.id, token(run, rng), run.turn, rng.choice((0, 0, 1)), lost=rng.random() < 0.5)


def evidence_of(story: Story, rng: Random) -> cmd.Command:
    waiting = [run for run in story.state.runs.values() if run.report and not run.has_worker and not run.evidence]
    run = rng.choice(waiting) if waiting else live(story, rng)
    state = rng.choices((CheckState.passed, CheckState.failed, CheckState.crashed), (6, 2, 1))[0]
    scope = run.lease.scope if run.lease is not NO_LEASE else ()
    changed = (scope[0].replace("**", "z"),) if scope else ("src/z",)
    weakened = (WEAKENED,) if rng.random() < 0.15 else ()
    seen = evidence(checks=(result(state),), changed=changed, weakened=weakened)
    return cmd.RecordEvidence(run.id, token(run, rng), run.turn, seen)


def a_train(story: Story, rng: Random) -> cmd.Command:
    waiting = [run for run in story.state.runs.values() if run.accepted_seq]
    if not waiting:
        return a_start(story, rng)
    members = tuple((run.id, run.lease.token, CANDIDATE) for run in waiting[: rng.randrange(1, 3)])
    runs = tuple(member[0] for member in members)
    return cmd.RecordTrain(members, runs, BASE, TIP, TIP, passed=rng.random() < 0.8)


def a_recovery(story: Story, rng: Random) -> cmd.Command:
    lost = [run for run in story.state.runs.values() if run.lost]
    run = rng.choice(lost) if lost else live(story, rng)
    facts = RecoveryFacts(rng.random() < 0.9, CANDIDATE, rng.random() < 0.9, landed=rng.random() < 0.1)
    return cmd.RecordRecovery(run.id, token(run, rng), run.turn, facts)


def a_rewind(story: Story, rng: Random) -> cmd.Command:
    run = live(story, rng)
    return cmd.RewindRun(run.id, rng.choice((run.base, *run.checkpoints, TIP)), "not that way", "olga")


def a_rewound(story: Story, rng: Random) -> cmd.Command:
    run = live(story, rng)
    return cmd.RecordRewind(run.id, token(run, rng), run.rewind or BASE)


def a_limit(story: Story, rng: Random) -> cmd.Command:
    run = live(story, rng)
    until_ms = rng.choice((0, story.now_ms + 30_000, story.now_ms + 90_000))
    return cmd.RecordLimit(run.id, token(run, rng), until_ms, "too many requests")


def some_usage(story: Story, rng: Random) -> cmd.Command:
    run = live(story, rng)
    usage = Usage(rng.randrange(2_000_000), rng.randrange(TOKENS_MAX + TOKENS_MAX // 8))
    return cmd.RecordUsage(run.id, token(run, rng), run.turn, usage)


def a_message(story: Story, rng: Random) -> cmd.Command:
    """Something that is said, claimed, or given a turn of its own."""
    run = live(story, rng)
    told = [run for run in story.state.runs.values() if wants_turn(run)]
    if told and rng.random() < 0.7:
        return cmd.RepeatTurn(told[0].id, told[0].lease.token, told[0].turn, Again.told, "something was said to it")
    if rng.random() < 0.6:
        return cmd.TellRun(run.id, "do", rng.choice((When.steer, When.after_turn, When.next_turn)), "olga")
    at_work = rng.random() < 0.5
    return cmd.GiveMessages(run.id, token(run, rng), run.turn + (not at_work), at_work)


def a_fact(story: Story, rng: Random) -> cmd.Command:
    """Something that is said to all, put on record, or struck out."""
    run = live(story, rng)
    known = sorted(story.state.known)
    if known and rng.random() < 0.3:
        return cmd.RetractFact(rng.choice(known), "olga", "it was so")
    about = rng.choice(((), ("src/**",), ("docs/y",)))
    if rng.random() < 0.4:
        return cmd.AddNote(run.id, token(run, rng), "slow", fact=True, about=about)
    if rng.random() < 0.5:
        return cmd.Broadcast(tuple(story.state.runs), rng.choice(("up", "down")), "olga")
    return cmd.AddFact("known", "olga", about)


def an_end(story: Story, rng: Random) -> cmd.Command:
    """The end of a run that was stopped, or of one that is about to start, which may happen too."""
    ending = [run for run in story.state.runs.values() if run.stop is not None and not run.has_worker]
    if not ending and rng.random() < 0.9:
        return a_start(story, rng)
    run = rng.choice(ending) if ending else live(story, rng)
    kinds = (EndKind.failed, EndKind.interrupted, EndKind.finished, EndKind.stalled)
    return cmd.RecordEnd(run.id, token(run, rng), run.stop.end if run.stop else rng.choice(kinds), "it ended")


def a_lease(story: Story, rng: Random) -> cmd.Command:
    lane = rng.choices(("", "auth", "release", "docs"), (4, 2, 1, 2))[0]
    scope = () if lane else rng.choice(SCOPES)
    mode = rng.choice((LeaseMode.exclusive, LeaseMode.shared))
    return cmd.AcquireLease("script", lane, scope, mode, rng.choice((5_000, 50_000)), rng.random() < 0.5)


def held(story: Story, rng: Random) -> tuple[LeaseId, Token]:
    leases = list(story.state.held.values())
    found = rng.choice(leases) if leases else None
    return (found.id, found.lease.token) if found is not None else (LeaseId("lease:1"), Token(1))


def a_landing(story: Story, rng: Random) -> cmd.Command:
    return cmd.RecordLanding(TIP, rng.choice(("landed", "landed", "moved", "dirty", "blocked")), BASE, ("x",))


def an_answer(story: Story, rng: Random) -> cmd.Command:
    questions = list(story.state.questions.values())
    if not questions:
        return cmd.AnswerQuestion(QuestionId("q1"), "yes", "olga")
    question = rng.choice(questions)
    return cmd.AnswerQuestion(question.id, rng.choice(question.options or ("yes",)), "olga")


def a_question(story: Story, rng: Random) -> cmd.Command:
    run = live(story, rng)
    return cmd.AskQuestion(run.id, token(run, rng), rng.choice(("which?", "why?")))


def a_wait(story: Story, rng: Random) -> cmd.Command:
    item = rng.choice(list(story.state.items) or [ItemId("a")])
    code = rng.choice((RefusalCode.overlap, RefusalCode.overlap, RefusalCode.predicate))
    again_ms = story.now_ms + 10_000 if code is RefusalCode.predicate else 0
    return cmd.RecordWait(item, code, "busy", rng.choice(("x", "y")), again_ms)


def by_run(make: Callable[[Run, Token, Random], cmd.Command]) -> Maker:
    """A command that needs a run and its token only."""

    def maker(story: Story, rng: Random) -> cmd.Command:
        run = live(story, rng)
        return make(run, token(run, rng), rng)

    return maker


def a_child(run: Run, token: Token, rng: Random) -> cmd.Command:
    kind = rng.choice(("scout", "patcher", "fixer"))
    scope = (rng.choice(("src/x/**", "docs/y", "lib/a/b")),) if kind != "scout" else ()
    return cmd.SpawnChild(run.id, token, kind, rng.choice("xyz"), "Do it.", scope, rng.choice(("", "other")))


def a_park(story: Story, rng: Random) -> cmd.Command:
    """Most often of a run that has had children."""
    spawners = [run for run in story.state.runs.values() if run.children]
    run = rng.choice(spawners) if spawners and rng.random() < 0.9 else live(story, rng)
    return cmd.ParkRun(run.id, token(run, rng))


MAKERS: tuple[tuple[int, Maker], ...] = (
    (2, a_plan),
    (26, a_grant),
    (26, a_start),
    (20, an_exit),
    (16, evidence_of),
    (8, a_train),
    (8, a_landing),
    (6, a_recovery),
    (4, a_rewind),
    (5, a_rewound),
    (4, a_limit),
    (10, some_usage),
    (10, an_end),
    (6, a_message),
    (3, a_fact),
    (3, a_lease),
    (5, a_question),
    (6, an_answer),
    (6, a_wait),
    (14, by_run(lambda run, token, rng: cmd.ReportDone(run.id, token, rng.choice(list(Outcome))))),
    (1, by_run(lambda run, token, rng: cmd.ReportFail(run.id, token, "too hard"))),
    (4, by_run(lambda run, token, rng: cmd.RepeatTurn(run.id, token, run.turn, Again.hang, "it is silent"))),
    (1, by_run(lambda run, token, rng: cmd.StopRun(run.id, rng.choice((EndKind.stopped, EndKind.timed_out)), "no"))),
    (2, by_run(lambda run, token, rng: cmd.RecordSilence(run.id, token, run.turn, rng.randrange(3), 1))),
    (2, by_run(lambda run, token, rng: cmd.FlagRun(run.id, token, rng.choice(list(Liveness)), "why"))),
    (3, by_run(lambda run, token, rng: cmd.RenewLeases(((run.id, NOW_MS + rng.randrange(10**6)),)))),
    (3, by_run(lambda run, token, rng: cmd.RenewPermit(run.id, token, rng.choice((BASE, TIP))))),
    (5, by_run(lambda run, token, rng: cmd.FileFollowUp(run.id, token, rng.choice("xyz"), "Do it.", ("lib/**",)))),
    (12, by_run(a_child)),
    (12, a_park),
    (3, lambda story, rng: cmd.RenewLease(*held(story, rng), rng.choice((5_000, 50_000)))),
    (3, lambda story, rng: cmd.ReleaseLease(*held(story, rng), rng.choice(("", "olga")))),
    (2, lambda story, rng: cmd.SweepLeases()),
    (3, lambda story, rng: cmd.AskPlanner(PlanId(rng.choice(("plan", "other"))))),
    (
        3,
        lambda story, rng: cmd.ControlPlan(
            PlanId("plan"), rng.choice(("pause", "resume", "resume", "resume", "stop", "steer"))
        ),
    ),
    (1, lambda story, rng: cmd.CloseBreaker(rng.choice(list(story.state.breakers) or ["x"]))),
    (4, lambda story, rng: cmd.RetryItem(rng.choice(list(story.state.items) or [ItemId("a")]))),
    (2, lambda story, rng: cmd.RecordSupervisor(1, "host", "1", rng.choice(("", "drained")))),
)


def steps(story: Story, rng: Random, count: int) -> Iterator[tuple[cmd.Command, tuple[Event, ...] | Refusal]]:
    """Decide `count` random commands one after the other; the caller lets the events happen."""
    yield (first := a_plan(story, rng)), story.decide(first)
    makers, weights = [maker for _, maker in MAKERS], [weight for weight, _ in MAKERS]
    for _ in range(count):
        story.now_ms += rng.choice((0, 0, 1, 1_000, 7_000))
        command = rng.choices(makers, weights)[0](story, rng)
        yield command, story.decide(command)


def indexes(state: State) -> dict[str, object]:
    """Everything that a state derives and keeps along the way."""
    return {
        "ready": state.ready,
        "reserved": sorted(state.reserved.overlapping(("**",))),
        "leases": sorted(state.leases.overlapping(("**",))),
        "busy": {key: count for key, count in state.busy.items() if count},
        "outstanding": {key: usage for key, usage in state.outstanding.items() if usage != NOTHING},
        "alone": state.alone,
        "dependents": {item: names for item, names in state.dependents.items() if names},
    }
