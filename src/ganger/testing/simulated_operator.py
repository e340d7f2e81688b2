"""The person: answers after a while, changes their mind, and works in the same repository at the same time."""

from __future__ import annotations

from random import Random
from typing import Protocol

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.ids import RunId, Token
from ganger.core.model import EndKind, LeaseMode, QuestionKind, When
from ganger.core.state import State
from ganger.service.fleet import Reply
from ganger.testing.simulated_fleet import SCOPES
from ganger.testing.simulated_git import BROKEN, HALF
from ganger.testing.simulated_world import SimulatedWorld

RED_PATH = "docs/s.txt"
"""The file by which the operator breaks the target, in nobody's scope but that of all files."""


class Desk(Protocol):
    """What the operator can reach."""

    world: SimulatedWorld
    added: cmd.AddPlan
    """The plan as it was added last."""

    def person(self, command: cmd.Command) -> Reply:
        """Submit as a person."""
        ...

    def newest(self) -> State:
        """The state as a person's command sees it; to be read at once."""
        ...

    def end_night(self) -> None:
        """Tell the supervisor to stop the workers and leave."""
        ...


def answer(desk: Desk, rng: Random, willing: bool = False) -> None:
    """Answer every open question; unless `willing`, sometimes with no."""
    for question in sorted(desk.newest().questions.values(), key=lambda found: found.id):
        choice = question.recommend or (question.options[0] if question.options else "yes")
        if question.kind is QuestionKind.approve_landing and not willing and rng.random() < 0.3:
            choice = "reject"
        if question.kind is QuestionKind.off_plan and rng.random() < 0.5:
            choice = "allow"
        desk.person(cmd.AnswerQuestion(question.id, choice, "olga"))


def act(desk: Desk, action: str, rng: Random) -> None:
    """Do one of the things that operators do."""
    state, world = desk.newest(), desk.world
    match action:
        case "stop":
            due = sorted(run.id for run in state.runs.values() if run.turn_due and not run.has_worker)
            choices = due if due and rng.random() < 0.7 else sorted(state.runs)
            if choices:
                desk.person(cmd.StopRun(rng.choice(choices), EndKind.stopped, "not now"))
        case "retry":
            desk.person(cmd.RetryItem(rng.choice(sorted(state.items))))
        case "commit":
            commit(world, rng)
        case "red":
            redden(world)
        case "force":
            history = world.git.history(world.target)
            world.operator_moves(rng.choice(history[-4:]))
        case "dirty":
            world.tidy = not world.tidy
            world.stage.wake()
        case "rebase":
            world.rebasing = not world.rebasing
        case "blocked":
            world.blocked = not world.blocked
        case "revise":
            desk.added = revised(desk.added, state, rng)
            desk.person(desk.added)
        case "night":
            desk.end_night()
        case "kill":
            world.kill_one(rng)
        case "lease":
            lease(desk, state, rng)
        case "plan":
            verb = rng.choice(("pause", "resume", "resume", "steer", "stop"))
            desk.person(cmd.ControlPlan(desk.added.plan, verb, "do it this way"))
        case "rewind":
            choices = sorted(run.id for run in state.runs.values() if run.turn)
            if choices:
                run = state.runs[rng.choice(choices)]
                commit_ = rng.choice((run.base, *run.checkpoints))
                desk.person(cmd.RewindRun(run.id, commit_, "not that way", "olga"))
        case "schedule":
            name = rng.choice(("nightly", "other"))
            every_ms = rng.choice((0, 600_000))
            desk.person(cmd.SetSchedule(name, "plans/plan.toml", every_ms, state.at_ms + rng.randrange(1, 2_000_000)))
        case "now":
            item = rng.choice(sorted(state.items))
            desk.person(cmd.GrantRun(item, world.target, "repo", world.tidy, rng.choice(("", "olga"))))
        case "tell":
            tell(desk, state, rng)
        case "breaker":
            if state.breakers:
                desk.person(cmd.CloseBreaker(rng.choice(sorted(state.breakers))))


def tell(desk: Desk, state: State, rng: Random) -> None:
    """Say something to a run, sometimes to one that has ended, and to all; add to the facts, or strike one out."""
    runs = [*sorted(state.runs), RunId("gone.1")]
    when = rng.choice((When.steer, When.steer, When.after_turn, When.next_turn))
    desk.person(cmd.TellRun(rng.choice(runs), f"said at {state.seq}", when, "olga"))
    desk.person(cmd.Broadcast(tuple(runs), rng.choice(("the server is down", "it is up again")), "olga"))
    if state.known and rng.random() < 0.5:
        desk.person(cmd.RetractFact(rng.choice(sorted(state.known)), "olga", "it was so"))
    else:
        desk.person(cmd.AddFact(f"known at {state.seq}", "olga", rng.choice(((), ("a/**",)))))


def regret(desk: Desk, rng: Random) -> None:
    """Have a landing undone, or an undoing, or what was undone done again."""
    choices = sorted(i.spec.id for i in desk.newest().items.values() if i.landed or i.undone is not None)
    if not choices:
        return
    item = desk.newest().items[rng.choice(choices)]
    if item.undone is None:
        desk.person(cmd.UndoLanding("olga", item.spec.id, why="it was a mistake"))
    elif rng.random() < 0.5:
        desk.person(cmd.UndoLanding("olga", commit=item.undone.commit))
    else:
        desk.person(cmd.RetryItem(item.spec.id))


def lease(desk: Desk, state: State, rng: Random) -> None:
    """Take, keep, give back or take away a lease, as a script or an agent of the operator's does."""
    held = sorted(state.held.values(), key=lambda found: found.id)
    what = rng.choice(("acquire", "acquire", "renew", "release", "wrong", "late"))
    if what == "acquire" or not held:
        mode = rng.choice((LeaseMode.exclusive, LeaseMode.exclusive, LeaseMode.shared))
        lane = rng.choice(("", "", "one", "two", "alone"))
        ttl_ms = rng.choice((5_000, 120_000, 900_000))
        scope = () if lane else rng.choice(SCOPES)
        desk.person(cmd.AcquireLease("olga's agent", lane, scope, mode, ttl_ms, rng.random() < 0.5))
        return
    one = rng.choice(held)
    token = Token(one.lease.token + (what == "wrong"))
    if what == "renew":
        desk.person(cmd.RenewLease(one.id, token, 300_000))
    else:
        desk.person(cmd.ReleaseLease(one.id, token, "olga" if what == "late" else ""))


def commit(world: SimulatedWorld, rng: Random) -> None:
    """Commit something to the target, sometimes where a worker works too."""
    files = dict(world.git.files(world.target))
    path = rng.choice(("docs/r.txt", "a/p.txt", "b/q.txt", "shared/p.txt"))
    half = f" {HALF}-0-left" if rng.random() < 0.2 else ""
    files[path] = f"operator {world.stage.now_ms}{half}"
    made = world.git.commit(files, (world.target,), f"operator {world.stage.now_ms}")
    if world.git.check_state(made) == "passed":
        world.operator_moves(made)


def redden(world: SimulatedWorld) -> None:
    """Commit something to the target that fails the checks by itself, or put that right."""
    files = dict(world.git.files(world.target))
    if files.pop(RED_PATH, None) is None:
        files[RED_PATH] = f"{BROKEN} {world.stage.now_ms}"
    world.operator_moves(world.git.commit(files, (world.target,), f"operator {world.stage.now_ms}"))


def mend(world: SimulatedWorld) -> None:
    """Take whatever fails out of the target."""
    files = {path: text for path, text in world.git.files(world.target).items() if BROKEN not in text.split()}
    world.operator_moves(world.git.commit(files, (world.target,), f"mended {world.stage.now_ms}"))


def revised(added: cmd.AddPlan, state: State, rng: Random) -> cmd.AddPlan:
    """Change the plan: another scope or priority, an item gone that nothing depends on, or the order of two."""
    items = list(added.items)
    place = rng.randrange(len(items))
    spec, brief = items[place]
    needed = {before for other, _ in items for before in other.after}
    if len(items) > 1 and spec.id not in needed and rng.random() < 0.3:
        del items[place]
    else:
        items[place] = replace(spec, scope=rng.choice(SCOPES), priority=rng.choice((1, 50, 200)), hold=None), brief
    return replace(added, items=tuple(items), digest=f"digest of position {state.seq}")
