"""Runs that begin on accepted work: where they begin, when they land, and what becomes of them when that goes away."""

from __future__ import annotations

from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.effects import Effect, MakeBase, Observed, Submit
from ganger.core.ids import Commit, ItemId, RunId
from ganger.core.landing import waiting
from ganger.core.lifecycle import ItemStatus, item_status
from ganger.core.loop import Intent
from ganger.core.model import EndKind
from ganger.core.reconcile import reconcile
from ganger.testing.builders import BASE, CANDIDATE, TIP, Story, evidence, spec

A, B, C = ItemId("login"), ItemId("b"), ItemId("c")
MADE, OTHER, LATER = Commit("1" * 40), Commit("2" * 40), Commit("9" * 40)
HEAD = (RunId("login.1"), CANDIDATE)
SEEN = Observed(target=BASE)


def story(start_on: str = "accepted") -> Story:
    """`b` comes after `login`, which was accepted and waits for the train."""
    found = Story(spec(), spec("b", scope=("docs/**",), after=(A,), start_on=start_on))
    found.accepted()
    return found


def founded() -> Story:
    """The same, with `b` at work on what was made of that."""
    found = story()
    found.do(cmd.RecordBase(B, BASE, (HEAD,), MADE))
    found.do(cmd.GrantRun(B, MADE))
    return found


def effects(found: Story, seen: Observed = SEEN) -> tuple[Effect, ...]:
    return reconcile(found.state, seen, found.now_ms, found.policy, Intent())


def accepted_on_top(found: Story) -> None:
    found.started("b")
    run = found.run("b")
    found.do(cmd.ReportDone(run.id, run.lease.token))
    found.do(cmd.RecordExit(run.id, run.lease.token, 1, 0))
    own = evidence(base=MADE, commit=OTHER, changed=("docs/x.md",))
    found.do(cmd.RecordEvidence(run.id, run.lease.token, 1, own))


def test_what_comes_after_waits_for_the_landing_unless_it_may_begin_before() -> None:
    late, early = story("landed"), story()
    assert item_status(late.state, late.state.items[B], late.now_ms) is ItemStatus.waiting
    assert item_status(early.state, early.state.items[B], early.now_ms) is ItemStatus.ready


def test_without_a_head_it_is_blocked() -> None:
    found = Story(spec(), spec("b", scope=("docs/**",), after=(A,), start_on="accepted"))
    assert found.why_not(cmd.GrantRun(B, BASE)) == ("not_ready", "item b waits for login")
    found.reported()
    assert found.why_not(cmd.GrantRun(B, BASE))[0] == "not_ready", "that it is said to be done is not enough"
    assert item_status(found.state, found.state.items[B], found.now_ms) is ItemStatus.waiting


def test_its_base_is_made_first_and_is_the_only_one_it_gets() -> None:
    found = story()
    assert MakeBase(B, (HEAD,)) in effects(found)
    assert found.why_not(cmd.GrantRun(B, BASE)) == (
        "permit",
        f"item b begins on what login.1 had accepted, and {BASE[:12]} is not made of that",
    )
    (made,) = found.do(cmd.RecordBase(B, BASE, (HEAD,), MADE))
    assert made == ev.BaseMade(B, BASE, (HEAD,), MADE)
    assert found.do(cmd.RecordBase(B, BASE, (HEAD,), MADE)) == ()
    grant = next(e.command for e in effects(found) if isinstance(e, Submit) and isinstance(e.command, cmd.GrantRun))
    assert grant.base == MADE
    (granted,) = found.do(grant)
    assert isinstance(granted, ev.RunGranted)
    assert (granted.base, granted.root, granted.stands_on) == (MADE, BASE, (HEAD,))


def test_a_base_on_a_target_that_moved_is_made_anew_while_it_is_not_used() -> None:
    found = story()
    found.do(cmd.RecordBase(B, BASE, (HEAD,), MADE))
    assert MakeBase(B, (HEAD,)) in effects(found, Observed(target=TIP))
    used = founded()
    assert not any(isinstance(one, MakeBase) for one in effects(used, Observed(target=TIP)))
    renewals = [one for one in effects(used, Observed(target=TIP)) if isinstance(one, Submit)]
    assert not any(isinstance(one.command, cmd.RenewPermit) for one in renewals)


def test_heads_that_conflict_are_refused_with_the_files() -> None:
    found = story()
    found.do(cmd.RecordBase(B, BASE, (HEAD,), Commit(""), ("src/a.py", "src/b.py")))
    reason = "item b waits: what login had accepted does not go together with the target in src/a.py, src/b.py"
    assert found.why_not(cmd.GrantRun(B, MADE)) == ("not_ready", reason)
    assert not any(isinstance(one, MakeBase) for one in effects(found)), "it is not tried again and again"
    found.do(found.train("login"))
    found.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert isinstance(found.decide(cmd.GrantRun(B, TIP)), tuple), "once they have landed, it begins on the target"


def test_it_does_not_land_before_what_it_stands_on() -> None:
    found = founded()
    accepted_on_top(found)
    assert waiting(found.state) == ("login.1",)
    both = found.train("login", "b")
    members = ((RunId("login.1"), found.token(), CANDIDATE), (RunId("b.1"), found.token("b"), OTHER))
    assert found.why_not(replace(both, members=members)) == ("not_ready", "b.1 stands on what has not landed")
    found.do(found.train("login"))
    found.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert waiting(found.state) == ("b.1",) and effects(found, Observed(target=TIP)) != ()
    assert not any(isinstance(e, Submit) and isinstance(e.command, cmd.StopRun) for e in effects(found))


def stop_of(found: Story) -> cmd.StopRun:
    (stop,) = [e.command for e in effects(found) if isinstance(e, Submit) and isinstance(e.command, cmd.StopRun)]
    return stop


def test_when_what_it_stands_on_is_sent_back_it_is_offered_again() -> None:
    found = founded()
    found.do(cmd.StopRun(RunId("login.1"), EndKind.superseded, "it does not merge"))
    stop = stop_of(found)
    assert (stop.run, stop.end) == ("b.1", EndKind.unfounded)
    assert stop.reason == f"it stands on {CANDIDATE[:12]} of login.1, which was sent back"
    found.do(stop)
    run = found.run("b")
    found.do(cmd.RecordEnd(run.id, run.lease.token, stop.end, stop.reason))
    item = found.state.items[B]
    assert (item.failures, item.last_reason, item.run) == (0, stop.reason, "")
    assert item_status(found.state, item, found.now_ms) is ItemStatus.waiting


def test_another_version_is_not_what_it_stands_on() -> None:
    found = founded()
    found.do(cmd.RewindRun(RunId("login.1"), BASE, "not so", "olga"))
    assert stop_of(found).reason == f"it stands on {CANDIDATE[:12]} of login.1, which was sent back"
    run = found.run()
    found.state.runs[run.id] = replace(
        run, rewind=Commit(""), accepted_seq=found.state.seq, evidence=evidence(commit=LATER)
    )
    assert stop_of(found).run == "b.1", "it was accepted again, as another commit"
    found.state.items[A] = replace(found.state.items[A], landed=TIP, landed_candidate=LATER, run=RunId(""))
    del found.state.runs[run.id]
    assert stop_of(found).reason == f"it stands on {CANDIDATE[:12]} of login.1, which has landed as something else"


def test_the_heads_are_of_all_that_has_not_landed() -> None:
    found = Story(
        spec(),
        spec("b", scope=("docs/**",)),
        spec("c", scope=("lib/**",), after=(A, B), start_on="accepted"),
    )
    found.accepted()
    assert found.why_not(cmd.GrantRun(C, BASE)) == ("not_ready", "item c waits for b")
    run = found.reported("b")
    own = evidence(commit=OTHER, changed=("docs/x.md",))
    found.do(cmd.RecordEvidence(run.id, run.lease.token, 1, own))
    assert MakeBase(C, (HEAD, (RunId("b.1"), OTHER))) in effects(found)
    found.do(found.train("login"))
    found.do(cmd.RecordLanding(TIP, "landed", TIP))
    assert MakeBase(C, ((RunId("b.1"), OTHER),)) in effects(found, Observed(target=TIP))
