"""Children: who may have which, on whose means, and what their spawner is told of them, once."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.admission import admit_write
from ganger.core.authority import authority_refusal
from ganger.core.effects import CollectEvidence, EndRun, Observed, StartWorker, Submit
from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, RunId, Token
from ganger.core.lifecycle import RunStatus, run_status
from ganger.core.loop import Intent, StopReason, stop_reason, waits_for_person
from ganger.core.model import (
    Budget,
    EndKind,
    Kind,
    LeaseMode,
    Outcome,
    Refusal,
    RefusalCode,
    Usage,
    When,
    WorkerId,
    Writes,
)
from ganger.core.policy import Policy
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, TIP, Story, add_plan, evidence, spec

RUN, CHILD = RunId("login.1"), RunId("login-c1.1")
KINDS = (
    Kind("patcher", spawn=("scout", "patcher", "tester"), spawn_depth=2, spawn_max=3),
    Kind("scout", writes=Writes.none, spawn=("scout",)),
    Kind("tester", writes=Writes.tests, spawn=("scout", "patcher")),
    Kind("loner"),
)
POLICY = Policy(kinds=KINDS, workers_max=8, depth_max=9, run_budget=Budget(tokens=1_000))


def begun(policy: Policy = POLICY, **fields: Any) -> Story:
    """A worker at work that may have children."""
    story = Story(spec(**fields), policy=policy)
    story.started()
    return story


def spawn(story: Story, kind: str = "scout", title: str = "Look", *scope: str, **fields: Any) -> cmd.SpawnChild:
    of = fields.pop("of", "login")
    run = story.run(of)
    return cmd.SpawnChild(run.id, run.lease.token, kind, title, fields.pop("brief", "Look at it."), scope, **fields)


def with_child(policy: Policy = POLICY, kind: str = "scout", *scope: str) -> tuple[Story, Run]:
    story = begun(policy)
    story.do(spawn(story, kind, "Look", *scope))
    return story, story.run("login-c1")


def told(story: Story, run: RunId = RUN) -> list[str]:
    return [e.event.text for e in story.entries if isinstance(e.event, ev.MessageSent) and e.event.run == run]


def wanted(story: Story, **seen: Any) -> list[Any]:
    """What is to be done next, without renewals of leases."""
    effects = reconcile(story.state, Observed(target=BASE, **seen), story.now_ms, story.policy, Intent())
    return [e for e in effects if not (isinstance(e, Submit) and isinstance(e.command, cmd.RenewLeases))]


def found(story: Story, child: Run, summary: str = "it is there", **fields: Any) -> None:
    """A child's worker runs, reports and ends."""
    story.do(cmd.RecordStart(child.id, child.lease.token, 1, a_worker(story)))
    story.do(cmd.ReportDone(child.id, child.lease.token, Outcome.findings, summary, **fields))
    story.do(cmd.RecordExit(child.id, child.lease.token, 1, 0))
    story.do(cmd.RecordEnd(child.id, child.lease.token, EndKind.finished, summary))


def a_worker(story: Story) -> WorkerId:
    return WorkerId(500 + story.state.seq, story.now_ms)


def test_a_child_is_born_with_its_run_and_its_means_in_one_decision() -> None:
    story = begun()
    item, run = story.do(spawn(story))
    assert isinstance(item, ev.ItemAdded) and isinstance(run, ev.RunGranted)
    assert (item.spec.id, item.spec.parent, item.spec.spawner, item.spec.reads) == ("login-c1", "login", RUN, True)
    assert (item.spec.attempts_max, item.spec.depth, item.spec.checks) == (1, 1, ())
    assert (run.run, run.base, run.scope, run.mode) == (CHILD, BASE, (), LeaseMode.shared)
    assert (run.spawner, run.reserved) == (RUN, Usage(tokens=250))
    assert StartWorker(CHILD, 1) in wanted(story)


PATTERN = "pattern '../x': it has a segment '..'; write the path without it, relative to the repository"
REFUSED: list[tuple[str, Any, str, str]] = [
    ("no grant", {"kind": "loner"}, "forbidden", "workers of kind loner may have no children"),
    (
        "not on the list",
        {"asks": "selector"},
        "forbidden",
        "workers of kind patcher may have children of kind scout, patcher, tester, not of kind selector",
    ),
    (
        "more rights",
        {"kind": "tester", "asks": "patcher", "scope": ("src/a/**",)},
        "forbidden",
        "a patcher may write more (scope) than the tester that asks for it (tests)",
    ),
    (
        "outside",
        {"asks": "patcher", "scope": ("src/a/**", "lib/**")},
        "overlap",
        "lib/** is not inside one pattern of the scope of login.1: src/**",
    ),
    ("nothing to write", {"asks": "patcher"}, "invalid", "a patcher writes: say what, inside src/**"),
    ("no such agent", {"agent": "other"}, "config", "there is no agent other in ganger.toml (agents: default)"),
    ("no title", {"title": " "}, "invalid", "a title has 1 to 200 printable characters on one line"),
    ("no brief", {"brief": ""}, "invalid", "a brief has 1 to 20000 characters"),
    ("too long", {"brief": "x" * 20_001}, "invalid", "a brief has 1 to 20000 characters"),
    ("no pattern", {"asks": "patcher", "scope": ("../x",)}, "invalid", PATTERN),
    ("none in the fleet", {"policy": {"children_max": 0}}, "fleet_cap", "0 of 0 children live in this fleet"),
    (
        "too deep for the plan",
        {"policy": {"depth_max": 0}},
        "depth_cap",
        "a child of login.1 would stand 1 deep below its plan, 0 is the most",
    ),
    (
        "hours",
        {"policy": {"hours": ((0, 1),)}},
        "hours",
        None,
    ),
    (
        "too poor",
        {"policy": {"run_budget": Budget(tokens=3)}},
        "budget",
        "login.1 has 3 tokens left of 3 tokens",
    ),
]


@pytest.mark.parametrize(("name", "how", "code", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused(name: str, how: dict[str, Any], code: str, reason: str | None) -> None:
    policy = replace(POLICY, agents=("default",))
    story = Story(spec(kind=how.get("kind", "patcher")), policy=replace(policy, **how.get("policy", {})))
    if "hours" in how.get("policy", {}):
        story.policy = policy
        story.started()
        story.policy = replace(policy, hours=((0, 1),))
    else:
        story.started()
    fields = {key: how[key] for key in ("brief", "agent") if key in how}
    command = spawn(story, how.get("asks", "scout"), how.get("title", "Look"), *how.get("scope", ()), **fields)
    refused = story.why_not(command)
    assert refused[0] == code
    assert reason is None or refused[1] == reason
    assert not story.run().children


def test_money_is_not_given_to_an_agent_whose_price_nobody_knows() -> None:
    policy = replace(POLICY, run_budget=Budget(usd_micros=5_000_000), priced=frozenset({"default"}))
    story = begun(policy)
    assert story.why_not(spawn(story, agent="other")) == (
        "budget",
        "login.1 has a limit in dollars, and nobody knows what agent other costs",
    )
    story.do(spawn(story))


def test_the_caps_of_a_run_count_the_past_and_those_of_the_fleet_the_living() -> None:
    story = begun(replace(POLICY, children_max=2))
    for title in ("one", "two"):
        story.do(spawn(story, "scout", title))
    refused = story.decide(spawn(story, "scout", "three"))
    assert isinstance(refused, Refusal)
    assert (refused.code, refused.reason) == (RefusalCode.fleet_cap, "2 of 2 children live in this fleet")
    found(story, story.run("login-c1"))
    story.do(spawn(story, "scout", "three"))
    found(story, story.run("login-c2"))
    assert story.why_not(spawn(story, "scout", "four")) == ("fleet_cap", "login.1 has had 3 of 3 children")


def test_every_ancestor_says_how_deep() -> None:
    story = begun()
    story.do(spawn(story, "patcher", "one", "src/a/**"))
    story.started("login-c1")
    story.do(spawn(story, "scout", "two", of="login-c1"))
    story.started("login-c1-c1")
    assert story.why_not(spawn(story, "scout", "three", of="login-c1-c1")) == (
        "depth_cap",
        "login-c1-c1.1 stands 2 below login.1, whose kind has children 2 deep",
    )
    story.do(spawn(story, "scout", "four"))
    story.started("login-c2")
    story.do(spawn(story, "scout", "five", of="login-c2"))
    story.started("login-c2-c1")
    own = story.why_not(spawn(story, "scout", "six", of="login-c2-c1"))
    assert own == ("depth_cap", "login-c2-c1.1 stands 1 below login-c2.1, whose kind has children 1 deep")


def test_the_same_asked_again_while_it_lives_is_one_child() -> None:
    story, child = with_child()
    assert story.do(spawn(story)) == ()
    assert story.do(spawn(story, brief="Look again.")) != ()
    found(story, child)
    assert story.do(spawn(story)) != (), "it has ended: this is another one"


def test_only_the_worker_at_work_may_and_only_for_itself() -> None:
    story = begun()
    command = spawn(story)
    assert story.why_not(replace(command, token=Token(99))) == ("stale_token", "token 99 is not that of login.1")
    foreign = authority_refusal(story.state, command, "worker:signup.1")
    assert foreign is not None and foreign.reason == "the worker of signup.1 may speak for its own run only"
    story.do(cmd.AskQuestion(RUN, story.token(), "which?"))
    over = ("conflict", "login.1 has already made its report for this turn")
    assert story.why_not(command) == over
    assert story.why_not(cmd.ParkRun(RUN, story.token())) == over
    done = begun()
    done.do(cmd.ReportDone(RUN, done.token()))
    assert done.why_not(spawn(done)) == over


@pytest.mark.parametrize("word", ("done", "fail", "spawn", "park", "note"))
def test_a_child_says_nothing_for_its_spawner(word: str) -> None:
    story, child = with_child()
    story.started("login-c1")
    token = child.lease.token
    command: Any = {
        "done": cmd.ReportDone(RUN, token),
        "fail": cmd.ReportFail(RUN, token, "no"),
        "spawn": cmd.SpawnChild(RUN, token, "scout", "t", "b"),
        "park": cmd.ParkRun(RUN, token),
        "note": cmd.AddNote(RUN, token, "x"),
    }[word]
    assert authority_refusal(story.state, command, f"worker:{CHILD}") is not None
    assert story.why_not(command)[0] == "stale_token"
    for foreign in (cmd.StopRun(RUN, EndKind.stopped, "x"), cmd.RetryItem(ItemId("login"))):
        assert authority_refusal(story.state, foreign, f"worker:{CHILD}") is not None


LONG: list[tuple[dict[str, Any], str]] = [
    ({"summary": "x" * 4_001}, "a child's summary has 4001 characters, the most is 4000"),
    ({"evidence": ("x",) * 6}, "evidence has 6 entries, a child may give 5"),
    ({"recommended": ("x",) * 6}, "recommended has 6 entries, a child may give 5"),
    ({"evidence": ("x" * 1_001,)}, "an entry of evidence has 1001 characters, the most is 1000"),
]


@pytest.mark.parametrize(("fields", "reason"), LONG)
def test_a_report_that_its_spawner_could_not_read_is_refused_and_may_be_said_shorter(
    fields: dict[str, Any], reason: str
) -> None:
    story, child = with_child()
    story.started("login-c1")
    command = cmd.ReportDone(child.id, child.lease.token, **fields)
    assert story.why_not(command) == ("invalid", reason)
    story.do(cmd.ReportDone(child.id, child.lease.token, summary="short"))
    own = begun()
    own.do(cmd.ReportDone(RUN, own.token(), **fields))


def test_what_came_of_it_is_said_once_in_the_entry_after_its_end() -> None:
    story, child = with_child()
    found(story, child, "it is\nthere", evidence=("a.py:3",), recommended=("mend it",))
    text = (
        "your child login-c1.1 (scout, Look) says: findings\n"
        "  > it is\n  > there\n  > evidence: a.py:3\n  > next: mend it"
    )
    assert [e.event for e in story.entries[-2:]] == [
        ev.RunEnded(CHILD, EndKind.finished, "it is\nthere", False),
        ev.MessageSent(RUN, text, When.notice, child=CHILD),
    ]
    assert story.why_not(cmd.RecordEnd(CHILD, child.lease.token, EndKind.finished, "x"))[0] == "stale_token"
    given = story.do(cmd.GiveMessages(RUN, story.token(), 1, at_work=True))
    assert isinstance(given[0], ev.MessagesDelivered)
    assert story.do(cmd.GiveMessages(RUN, story.token(), 1, at_work=True)) == (), "a crash may lose it, never repeat it"


ENDS: list[tuple[EndKind, str, str]] = [
    (EndKind.failed, "the worker exited with status 1", "ended failed: the worker exited with status 1"),
    (EndKind.over_budget, "spent", "ended over_budget: spent"),
    (EndKind.stopped, "olga: enough", "ended stopped: olga: enough"),
]


@pytest.mark.parametrize(("end", "reason", "how"), ENDS)
def test_a_child_that_comes_to_nothing_is_told_of_and_never_offered_again(end: EndKind, reason: str, how: str) -> None:
    story, child = with_child()
    story.do(cmd.StopRun(CHILD, end, reason))
    assert EndRun(CHILD, end, reason) in wanted(story)
    story.do(cmd.RecordEnd(CHILD, child.lease.token, end, reason))
    assert told(story) == [f"your child login-c1.1 (scout, Look) {how}"]
    assert story.state.items[ItemId("login-c1")].withdrawn
    assert not story.state.ready
    again = "item login-c1 was done for login.1, whose worker may have it done again"
    assert story.why_not(cmd.RetryItem(ItemId("login-c1"))) == ("wrong_state", again)
    taken = add_plan(spec(), spec("login-c1", scope=("lib/**",)), digest="2")
    assert story.why_not(taken) == ("conflict", "item login-c1 was done for login.1")


def test_a_turn_parks_until_the_last_child_has_ended_and_what_came_of_them_stands_in_the_next_brief() -> None:
    story = begun()
    for title in ("one", "two"):
        story.do(spawn(story, "scout", title))
    assert story.do(cmd.ParkRun(RUN, story.token())) == (ev.RunParked(RUN, 1),)
    assert story.do(cmd.ParkRun(RUN, story.token())) == ()
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert run_status(story.state, story.run()) is RunStatus.parked
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is None
    found(story, story.run("login-c1"), "first")
    assert StartWorker(RUN, 2) not in wanted(story)
    found(story, story.run("login-c2"), "second")
    assert StartWorker(RUN, 2) in wanted(story)
    (given,) = story.do(cmd.GiveMessages(RUN, story.token(), 2))
    assert isinstance(given, ev.MessagesDelivered) and len(given.messages) == 2
    story.started(turn=2)
    assert not story.run().messages, "they are read"
    nothing = "login.1 has no child whose result it does not know"
    assert story.why_not(cmd.ParkRun(RUN, story.token())) == ("wrong_state", nothing)


def test_it_may_have_parked_before_its_start_is_on_record() -> None:
    story = begun()
    story.do(spawn(story))
    story.do(cmd.ParkRun(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    found(story, story.run("login-c1"))
    story.do(spawn(story, "scout", "more"))
    story.do(cmd.ParkRun(RUN, story.token()))
    assert StartWorker(RUN, 2) in wanted(story), "the start that nobody recorded is found again"
    story.do(cmd.RecordStart(RUN, story.token(), 2, a_worker(story)))
    assert story.run().parked and not story.run().turn_due


@pytest.mark.parametrize("ended", (False, True))
def test_a_turn_that_ends_without_a_word_waits_for_what_children_say(ended: bool) -> None:
    story, child = with_child()
    if ended:
        found(story, child)
    assert story.do(cmd.RecordExit(RUN, story.token(), 1, 0))[-1] == ev.RunParked(RUN, 1)
    assert story.run().turn_due is ended
    failed, _ = with_child()
    assert isinstance(failed.do(cmd.RecordExit(RUN, failed.token(), 1, 3))[-1], ev.StopRequested)


def test_whoever_is_done_ends_those_that_look_and_waits_for_those_that_write() -> None:
    story = begun()
    story.do(spawn(story))
    story.do(spawn(story, "patcher", "Write", "src/a/**"))
    writes = ("wrong_state", "login.1 has children that write: login-c2.1")
    assert story.why_not(cmd.ReportDone(RUN, story.token())) == writes
    child = story.started("login-c2")
    story.do(cmd.ReportFail(child.id, child.lease.token, "no"))
    story.do(cmd.RecordExit(child.id, child.lease.token, 1, 0))
    story.do(cmd.RecordEnd(child.id, child.lease.token, EndKind.failed, "no"))
    story.do(cmd.ReportDone(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    why = "login.1, which had it done, is done itself"
    assert Submit(cmd.StopRun(CHILD, EndKind.dismissed, why)) in wanted(story)
    assert not [e for e in wanted(story) if isinstance(e, CollectEvidence)], "it is looked at when they have ended"
    command = cmd.RecordEvidence(RUN, story.token(), 1, evidence())
    assert story.why_not(command) == ("wrong_state", "login-c1.1, a child of login.1, has not ended")
    story.do(cmd.StopRun(CHILD, EndKind.dismissed, why))
    story.do(cmd.RecordEnd(CHILD, story.token("login-c1"), EndKind.dismissed, why))
    assert CollectEvidence(RUN, 1) in wanted(story)
    story.do(command)


def test_whoever_ends_ends_its_children_first_and_theirs() -> None:
    story = begun()
    story.do(spawn(story, "patcher", "one", "src/a/**"))
    below = story.started("login-c1")
    story.do(spawn(story, "scout", "two", of="login-c1"))
    story.do(cmd.RecordExit(below.id, below.lease.token, 1, 0))
    story.do(cmd.StopRun(RUN, EndKind.stopped, "olga: no"))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    why = "login.1, which had it done, is being ended"
    assert wanted(story)[0] == Submit(cmd.StopRun(CHILD, EndKind.dismissed, why))
    alive = ("wrong_state", "login-c1.1, a child of login.1, has not ended")
    assert story.why_not(cmd.RecordEnd(RUN, story.token(), EndKind.stopped, "x")) == alive
    story.do(cmd.StopRun(CHILD, EndKind.dismissed, why))
    lowest = story.run("login-c1-c1")
    deep = "login-c1.1, which had it done, is being ended"
    assert wanted(story)[0] == Submit(cmd.StopRun(lowest.id, EndKind.dismissed, deep))
    story.do(cmd.StopRun(lowest.id, EndKind.dismissed, deep))
    for name in ("login-c1-c1", "login-c1", "login"):
        run = story.run(name)
        assert run.stop is not None
        assert wanted(story) == [EndRun(run.id, run.stop.end, run.stop.reason)]
        story.do(cmd.RecordEnd(run.id, run.lease.token, run.stop.end, run.stop.reason))
    assert not story.state.runs


def test_a_child_that_is_being_landed_is_waited_for() -> None:
    story, child = with_child(POLICY, "patcher", "src/a/**")
    story.do(cmd.ParkRun(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    story.reported("login-c1")
    story.do(cmd.RecordEvidence(CHILD, child.lease.token, 1, evidence(changed=("src/a/x.py",))))
    story.do(story.train("login-c1"))
    story.do(cmd.StopRun(RUN, EndKind.stopped, "olga: no"))
    assert not [e for e in wanted(story) if isinstance(e, Submit | EndRun)]
    story.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert child.id not in story.state.runs
    assert told(story)[-1].startswith(f"your child login-c1.1 (patcher, Look) landed as {TIP[:12]}")
    assert EndRun(RUN, EndKind.stopped, "olga: no") in wanted(story)


def test_what_a_child_writes_is_not_its_spawners_until_it_has_ended() -> None:
    story, child = with_child(POLICY, "patcher", "src/a/**")
    rules = story.policy.paths
    assert child.lease.scope == ("src/a/**",) and child.lease.mode is LeaseMode.exclusive
    assert admit_write(child.lease, "src/a/x.py", story.now_ms, rules) is None
    refused = admit_write(story.run().lease, "src/a/x.py", story.now_ms, rules)
    assert refused is not None and refused.reason == "src/a/x.py is a child's until that has ended"
    assert admit_write(story.run().lease, "src/b.py", story.now_ms, rules) is None
    meets = "src/a/b/** overlaps src/a/**, which login-c1.1 holds"
    assert story.why_not(spawn(story, "patcher", "again", "src/a/b/**")) == ("overlap", meets)
    story.do(cmd.StopRun(CHILD, EndKind.stopped, "x"))
    story.do(cmd.RecordEnd(CHILD, child.lease.token, EndKind.stopped, "x"))
    assert admit_write(story.run().lease, "src/a/x.py", story.now_ms, rules) is None


def test_a_child_that_only_looks_holds_nothing_and_is_never_judged() -> None:
    story, child = with_child()
    assert not list(story.state.leases.overlapping(("lib/**",)))
    refused = admit_write(child.lease, "src/a", story.now_ms, story.policy.paths)
    assert refused is not None and refused.reason == "src/a cannot be written: this run may change nothing"
    story.started("login-c1")
    story.do(cmd.ReportDone(child.id, child.lease.token))
    story.do(cmd.RecordExit(child.id, child.lease.token, 1, 0))
    judged = story.why_not(cmd.RecordEvidence(child.id, child.lease.token, 1, evidence()))
    assert judged == ("wrong_state", "login-c1.1 was asked for no change: there is nothing to judge")


def test_a_child_that_ends_without_a_word_is_told_of_as_that() -> None:
    story, child = with_child()
    story.started("login-c1")
    story.do(cmd.RecordExit(child.id, child.lease.token, 1, 0))
    silent = "its worker ended without a word"
    assert EndRun(CHILD, EndKind.finished, silent) in wanted(story)
    story.do(cmd.RecordEnd(child.id, child.lease.token, EndKind.finished, silent))
    assert told(story) == [f"your child login-c1.1 (scout, Look) ended finished: {silent}"]


def test_a_spawner_waits_for_a_person_when_all_its_children_do() -> None:
    story, child = with_child()
    story.do(cmd.ParkRun(RUN, story.token()))
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    story.started("login-c1")
    assert not waits_for_person(story.state, RUN)
    story.do(cmd.AskQuestion(child.id, child.lease.token, "which?"))
    story.do(cmd.RecordExit(child.id, child.lease.token, 1, 0))
    assert waits_for_person(story.state, RUN)
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is StopReason.blocked
    stopped = reconcile(story.state, Observed(target=BASE), story.now_ms, story.policy, Intent(stop=True))
    assert not [e for e in stopped if isinstance(e, Submit) and isinstance(e.command, cmd.StopRun)]


def test_a_night_is_not_over_while_a_worker_that_waits_for_its_children_still_ends_its_turn() -> None:
    story, child = with_child()
    story.started("login-c1")
    story.do(cmd.AskQuestion(child.id, child.lease.token, "which?"))
    story.do(cmd.RecordExit(child.id, child.lease.token, 1, 0))
    story.do(cmd.ParkRun(RUN, story.token()))
    assert story.run().has_worker
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is None
    story.do(cmd.RecordExit(RUN, story.token(), 1, 0))
    assert stop_reason(story.state, story.now_ms, story.policy, Intent()) is StopReason.blocked


def test_a_child_does_not_count_as_a_run_of_the_night_and_has_no_start_permit() -> None:
    story, child = with_child()
    assert story.state.granted == 1 and child.permit_ms == 0
    moved = [e for e in wanted(story) if isinstance(e, Submit) and isinstance(e.command, cmd.RenewPermit)]
    assert not moved
    elsewhere = reconcile(story.state, Observed(target=Commit(TIP)), story.now_ms, story.policy, Intent())
    assert StartWorker(CHILD, 1) in elsewhere, "it begins where its spawner did"


@pytest.mark.parametrize("seed", range(40))
def test_a_family_never_spends_more_than_was_reserved_for_it(seed: int) -> None:
    """Random schedules of spawning, spending up to what each may, and ending; with an account of its own."""
    rng = Random(seed)
    limit = rng.choice((50, 1_000, 999_983))
    kinds = (replace(KINDS[0], spawn_depth=3, spawn_max=rng.choice((1, 3, 6))), *KINDS[1:])
    story = begun(replace(POLICY, kinds=kinds, children_max=99, workers_max=99, run_budget=Budget(tokens=limit)))
    spent: dict[RunId, int] = {RUN: 0}
    limits: dict[RunId, int] = {RUN: limit}
    for step in range(60):
        run = rng.choice(list(story.state.runs.values()))
        if not run.has_worker and run.stop is None:
            story.do(cmd.RecordStart(run.id, run.lease.token, run.turn + 1, a_worker(story)))
        run = story.state.runs[run.id]
        act = rng.choice(("spawn", "spawn", "spend", "end"))
        if act == "spawn":
            kind = rng.choice(("scout", "patcher"))
            scope = (f"{run.lease.scope[0][:-3]}/{step}/**",) if kind == "patcher" and run.lease.scope else ()
            command = cmd.SpawnChild(run.id, run.lease.token, kind, f"part {step}", "Do it.", scope)
            decided = story.decide(command)
            if not isinstance(decided, Refusal):
                (_, granted) = story.do(command)
                assert isinstance(granted, ev.RunGranted)
                limits[granted.run], spent[granted.run] = granted.reserved.tokens, 0
                assert granted.reserved.tokens > 0
        elif act == "spend":
            left = limits[run.id] - spent[run.id] - given(story, run.id, limits, spent)
            spent[run.id] += rng.randrange(max(left, 0) + 1)
            story.do(cmd.RecordUsage(run.id, run.lease.token, run.turn, Usage(tokens=spent[run.id])))
        elif run.id != RUN and not any(other.spawner == run.id for other in story.state.runs.values()):
            story.do(cmd.StopRun(run.id, EndKind.failed, "x"))
            story.do(cmd.RecordExit(run.id, run.lease.token, run.turn, 1))
            story.do(cmd.RecordEnd(run.id, run.lease.token, EndKind.failed, "x"))
        assert sum(spent.values()) <= limit
        for name, live in story.state.runs.items():
            left = limits[name] - spent[name] - given(story, name, limits, spent)
            assert live.outstanding.tokens == left >= 0
        assert sum(live.outstanding.tokens for live in story.state.runs.values()) + sum(spent.values()) == limit
        fleet = story.state.outstanding.get("fleet", Usage()).tokens
        assert fleet == limit - sum(spent.values()), "nothing is counted twice, and nothing is lost between them"


def given(story: Story, run: RunId, limits: dict[RunId, int], spent: dict[RunId, int]) -> int:
    """What of a run's reservation is its children's: what the living may spend, and what the past and theirs did."""
    total = 0
    for child in limits:
        item = story.state.items[ItemId(child.rpartition(".")[0])].spec
        if item.spawner == run:
            alive = child in story.state.runs
            total += limits[child] if alive else spent[child] + given(story, child, limits, spent)
    return total


def test_a_spawner_is_stopped_when_it_and_its_children_have_spent_what_it_may() -> None:
    story, child = with_child()
    used = Usage(tokens=760)
    recorded, stop = story.do(cmd.RecordUsage(RUN, story.token(), 1, used))
    assert isinstance(recorded, ev.UsageRecorded)
    reason = "the run and its children have spent 1,010 tokens of 1,000 tokens"
    assert stop == ev.StopRequested(RUN, EndKind.over_budget, reason)
    story.started("login-c1")
    over = story.do(cmd.RecordUsage(CHILD, child.lease.token, 1, Usage(tokens=251)))
    assert over[-1] == ev.StopRequested(CHILD, EndKind.over_budget, "the run has spent 251 tokens of 250 tokens")
