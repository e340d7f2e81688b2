"""What the report says of a night with something in every section, and what each statement rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from report_builder import (
    BEGIN_MS,
    LEASE_MS,
    MIN,
    Night,
    commit,
    flaky_night,
    full_night,
    hard_day,
    pair_night,
    red_night,
    spec,
    twice_night,
)

from ganger.core import commands as cmd
from ganger.core.events import QuestionAsked
from ganger.core.ids import ItemId, QuestionId
from ganger.core.model import (
    CheckState,
    EndKind,
    Question,
    QuestionKind,
    Rung,
    Usage,
    Weakened,
    Weakening,
    Witness,
    WitnessKind,
)
from ganger.core.policy import Policy
from ganger.report.attempts import KIND_OF_ENDING
from ganger.report.data import collect
from ganger.report.numbers import parallel_text, workers_peak
from ganger.report.shape import AnomalyKind, ReportData, Source, TurnEnd
from ganger.report.text import render_text

KIND = AnomalyKind
TRAIN_STORIES: list[tuple[Callable[[Night], None], dict[AnomalyKind, tuple[str, list[str]]]]] = [
    (
        pair_night,
        {
            KIND.train_failed: (
                "train #TRAIN: a.1 and b.1 together failed: check unit failed with exit status 1."
                " Halving the batch found b.1 (not together with a.1).",
                ["TrainTested", "CandidateProbed", "PairFound"],
            ),
            KIND.pair: (
                "b.1: b.1 and a.1 each pass without the other and fail together: a.1 has landed as LANDED,"
                " b.1 goes back.",
                ["RunLanded", "PairFound"],
            ),
        },
    ),
    (
        red_night,
        {
            KIND.target_red: (
                "target: Fails by itself at TARGET: check unit failed with exit status 1. Nobody is blamed, and nothing"
                " lands on it; the checks of a.1 found it.",
                ["TargetFoundRed"],
            ),
            KIND.train_failed: (
                "train #TRAIN: a.1 on top of the target failed: check unit failed with exit status 1."
                " The target fails without it as well: nobody is blamed.",
                ["TrainTested", "CandidateProbed", "CandidateProbed", "TargetFoundRed"],
            ),
        },
    ),
    (
        flaky_night,
        {
            KIND.train_failed: (
                "train #TRAIN: a.1 on top of the target failed: check unit failed with exit status 1."
                " The failure did not come back when it was run again: nobody is blamed.",
                ["TrainTested", "CandidateProbed"],
            ),
            KIND.flaky: (
                "a.1: unit failed first and passed again with it on TARGET.",
                ["CandidateProbed"],
            ),
        },
    ),
]
"""A night, and what it has told, gravest first: the text, and the entries that it rests on."""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    found = full_night(tmp_path_factory.mktemp("night"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def data(night: Night) -> ReportData:
    return told(night)


def told(night: Night, since_ms: int = 0, now_ms: int = 0) -> ReportData:
    reader = night.reader()
    try:
        return collect(reader, night.state_dir, since_ms, now_ms)
    finally:
        reader.close()


@pytest.fixture(scope="module")
def night_after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    found = full_night(tmp_path_factory.mktemp("hard"))
    hard_day(found)
    yield found
    found.close()


@pytest.fixture(scope="module")
def hard(night_after: Night) -> ReportData:
    return told(night_after)


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Night]:
    found = Night(tmp_path, Policy(workers_max=8, lease_ttl_ms=LEASE_MS, turns_max=1))
    yield found
    found.close()


def sources(value: object) -> Iterator[Source]:
    """Every source in a report, however deep."""
    if isinstance(value, Source):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from sources(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from sources(one)


def texts(data: ReportData, kind: AnomalyKind) -> list[str]:
    return [f"{one.subject}: {one.text}" for one in data.anomalies if one.kind is kind]


def test_the_headline(data: ReportData) -> None:
    assert data.headline == "3 of 16 items landed; 2 wait for your answer and 1 was given up."


def test_every_item_is_told_exactly_once(data: ReportData, night: Night) -> None:
    told = [one.item.id for one in (*data.landed, *data.given_up, *data.still_open)]
    told += [item.id for one in data.ready for item in one.items]
    told += [one.item.id for one in data.blocked if one.item is not None]
    reader = night.reader()
    assert sorted(told) == sorted(row.id for row in reader.items())
    reader.close()


def test_what_landed(data: ReportData) -> None:
    assert [(one.item.id, one.run, len(one.attempts), one.train_size) for one in data.landed] == [
        ("schema", "schema.1", 1, 1),
        ("api", "api.1", 1, 1),
        ("login", "login.1", 1, 1),
    ]
    schema = data.landed[0]
    assert [(check.name, check.state, check.executed) for check in schema.source.checks] == [
        ("unit", CheckState.passed, 42)
    ]
    assert schema.source.train


def test_what_is_ready(data: ReportData) -> None:
    (one,) = data.ready
    assert [item.id for item in one.items] == ["search"]
    assert [line for line, _ in one.do] == ["git stash", "ganger answer q2 'try again'"]


def test_what_is_blocked(data: ReportData) -> None:
    (one,) = data.blocked
    assert one.do == (("ganger answer q1 argon2id", "argon2id"), ("ganger answer q1 bcrypt", "bcrypt"))
    assert (one.recommend, one.item and one.item.id) == ("argon2id", "billing")


def test_what_was_given_up(data: ReportData, night: Night) -> None:
    (one,) = data.given_up
    assert one.held_up == ("warm",)
    assert one.do == "ganger retry cache"
    assert [(attempt.run, attempt.ending, attempt.reason) for attempt in one.attempts] == [
        ("cache.1", "rejected", "check unit failed with exit status 1"),
        ("cache.2", "failed", "the worker gave up: the library is missing"),
    ]
    look = f"git --git-dir {night.state_dir}/hub.git log refs/ganger/keep/cache.1/head"
    assert one.attempts[0].looks[0] == look


def test_what_is_still_open(data: ReportData) -> None:
    states = {one.item.id: (one.state, one.why) for one in data.still_open}
    assert states["draft"] == ("held", "held by its plan: draft")
    assert states["later"] == ("held", "held for another 19 d 19 h")
    assert states["warm"] == ("waiting", "waits for cache (given up)")
    assert states["mail"] == ("cooling", "failed (the worker exited with status 3); offered again in 2 min")
    assert states["slow"] == ("running", "slow.1: its worker works for 9 min 09 s")
    assert states["rest"] == ("ready", "could start")
    assert states["docs"][1].startswith("could start; its last run was superseded: does not merge")
    assert states["logout"] == ("held", "stopped: the library is missing")
    assert states["perf"][1] == "could start; its last run timed out: the worker took longer than 2700 s"


def test_every_kind_of_anomaly_is_found(hard: ReportData) -> None:
    of_the_train = {kind for _, found in TRAIN_STORIES for kind in found}
    of_closing = {KIND.ci_blocked, KIND.ci_open, KIND.landing_lost, KIND.claims}  # in test_closing_report.py
    elsewhere = {KIND.advised, KIND.guard_silent}  # in test_advised_report.py and test_guard_report.py
    assert {one.kind for one in hard.anomalies} | of_the_train | of_closing | elsewhere == set(KIND)
    order = list(KIND)
    places = [order.index(one.kind) for one in hard.anomalies]
    assert places == sorted(places)


def test_workers_that_hang_spin_and_reach_too_far(hard: ReportData) -> None:
    assert texts(hard, KIND.repeated) == [
        "hang.1: Turn 1 was done over (hang): the worker showed no activity for 600 s.",
        "limit.1: Turn 1 was done over (limited): the library is missing.",
    ]
    assert texts(hard, KIND.spinning) == ["spin.1: The same call 12 times in 300 s."]
    assert texts(hard, KIND.forbidden) == ["spin.1: The worker of spin.1 may not ask for RetryItem."]
    assert texts(hard, KIND.pruned_unseen) == ["prune: 2 results were pruned unseen: mail.1 and perf.1."]
    kinds = {one.seq: (one.type, one.subject) for one in hard.entries}
    rest = {one.kind: [kinds[seq] for seq in one.source.seqs] for one in hard.anomalies}
    assert rest[KIND.spinning] == [("RunFlagged", "spin.1")]
    assert rest[KIND.forbidden] == [("Forbade", "spin.1")]
    assert rest[KIND.repeated] == [("TurnRepeated", "limit.1")]
    assert rest[KIND.pruned_unseen] == [("RunPruned", "mail.1"), ("RunPruned", "perf.1")]


def test_repeats_stand_with_the_attempt(hard: ReportData) -> None:
    again = {one.item.id: [attempt.again for attempt in one.attempts] for one in hard.still_open}
    assert (again["hang"], again["limit"]) == (
        ["turn 1 was done over (hang)"],
        ["turn 1 was done over (limited)"],
    )
    assert set(again["perf"]) == {""}


def test_what_holds_the_fleet_back(hard: ReportData) -> None:
    kinds = {one.seq: one.type for one in hard.entries}
    assert [(one.subject, one.text, one.do, *(kinds[seq] for seq in one.source.seqs)) for one in hard.held_back] == [
        (
            "plan parked",
            "Stopped (the library is missing): none of its items is begun.",
            "ganger resume parked",
            "PlanStopped",
        ),
        *(
            (
                key,
                "Not tried for another 26 min 57 s: 3 items in a row came to nothing, the last one:"
                " the library is missing.",
                f"ganger breaker close {key}",
                "BreakerOpened",
            )
            for key in ("agent:default", "kind:patcher")
        ),
        (
            "provider default",
            "Refuses for another 1 h 26 min, found by limit.1: the library is missing.",
            "",
            "ProviderLimited",
        ),
        ("lease:196", "Olga holds vendor/** and tools/** for another 2 h.", "", "LeaseGranted"),
        ("lease:197", "Script holds elsewhere/x for another 1 h.", "", "LeaseGranted"),
    ]


def test_what_holds_the_fleet_back_stands_while_it_lasts(night_after: Night) -> None:
    later_ms = night_after.now_ms + 100 * MIN
    held = told(night_after, since_ms=later_ms - MIN, now_ms=later_ms).held_back
    assert [(one.subject, one.text.partition(":")[0]) for one in held] == [
        ("plan parked", "Stopped (the library is missing)"),
        ("agent:default", "One try is due"),
        ("kind:patcher", "One try is due"),
        ("lease:196", "Olga holds vendor/** and tools/** for another 20 min."),
    ]


def test_a_planner_that_said_its_word_is_not_open(hard: ReportData) -> None:
    (one,) = hard.finished
    assert (one.item.id, one.run, one.reason, one.filed) == ("ideas", "ideas.1", "Nothing is left to do.", 0)
    kinds = {one.seq: one.type for one in hard.entries}
    assert [kinds[seq] for seq in one.source.seqs] == ["RunReported", "RunEnded"]
    assert "ideas" not in [one.item.id for one in hard.still_open]
    assert hard.headline.startswith("3 of 23 items landed, 1 finished with nothing to land; 2 wait")


def test_what_is_open_when_a_plan_is_set_aside_or_a_run_begins_again(hard: ReportData) -> None:
    states = {one.item.id: (one.state, one.why, one.do) for one in hard.still_open}
    assert states["parked"] == ("stopped", "its plan is stopped", "ganger resume parked")
    assert states["limit"][:2] == ("running", "limit.1: its turn is about to be done over")
    assert states["spin"][:2] == ("running", "spin.1: its workspace is being put back to a checkpoint")


def test_what_was_spent_by_item_and_in_all(data: ReportData, hard: ReportData) -> None:
    kinds = {one.seq: one.type for one in hard.entries}
    spent = {one.item.id: one for one in hard.spent if one.metered != Usage()}
    assert {item: (one.metered.usd_micros, one.metered.tokens) for item, one in spent.items()} == {
        "hang": (1_250_000, 48_000),
        "spin": (310_000, 9_000),
    }
    assert [kinds[seq] for seq in spent["hang"].source.seqs] == ["RunGranted", "UsageRecorded"]
    total = spent["hang"].metered.plus(spent["spin"].metered)
    assert (hard.numbers.metered, data.numbers.metered) == (total, Usage())
    assert total.wall_ms > 30 * MIN


def test_turns_that_were_not_looked_at_took_no_checking(data: ReportData) -> None:
    assert all(start <= end for start, end in (turn.checking_ms for turn in data.turns))
    assert data.numbers.parallel == (
        "Working side by side paid: 7 h 09 min of work and 29 min 11 s of checks in 4 h 55 min: 1.6 × one worker,"
        " at most 4 at a time."
    )


def test_said_done_but(data: ReportData) -> None:
    assert texts(data, KIND.said_done) == [
        "api.1: Said done, but: nothing was committed: the candidate is the commit it started from.",
        "cache.1: Said done, but: check unit failed with exit status 1.",
        "mail.2: Ended as if it were done, but: check unit exited with 0 but ran no test.",
    ]
    assert texts(data, KIND.out_of_scope) == [
        "cache.1: Changed what is not its own: changes outside the scope src/cache/**: src/other/settings.py."
    ]


def test_trains_that_failed_and_who_was_guilty(data: ReportData) -> None:
    assert texts(data, KIND.train_failed) == [
        "train #72: api.1, ui.1 and login.1 together failed: check unit failed with exit status 1."
        " Halving the batch found ui.1."
    ]
    assert texts(data, KIND.conflict) == [
        "docs.2: Does not merge with the target at 5ac576db365b: docs/index.md and src/other/settings.py."
    ]
    assert texts(data, KIND.flaky) == ["train #105: unit failed first and passed again on the same tree."]
    (moved,) = texts(data, KIND.target_moved)
    assert moved.endswith("while the train was under way; 1 candidate had to be tested again.")


@pytest.mark.parametrize(("story", "found"), TRAIN_STORIES, ids=lambda one: getattr(one, "__name__", ""))
def test_what_became_of_the_accused(
    empty: Night, story: Callable[[Night], None], found: dict[AnomalyKind, tuple[str, list[str]]]
) -> None:
    start = empty.target
    story(empty)
    data = told(empty)
    kinds = {one.seq: one.type for one in data.entries}
    names = {"TRAIN": str(data.trains[0].seq), "TARGET": start[:12], "LANDED": empty.target[:12]}
    filled = {kind: (_filled(text, names), types) for kind, (text, types) in found.items()}
    assert [
        (one.kind, f"{one.subject}: {one.text}", [kinds[seq] for seq in one.source.seqs]) for one in data.anomalies
    ] == [(kind, *told_of) for kind, told_of in filled.items()]


def _filled(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(name, value)
    return text


def test_a_candidate_is_named_only_for_the_last_batch_that_failed_with_it(empty: Night) -> None:
    twice_night(empty)
    failed = [one.text for one in told(empty).anomalies if one.kind is KIND.train_failed]
    assert failed == [
        "a.1 and b.1 together failed: check unit failed with exit status 1."
        " The failure did not come back when it was run again: nobody is blamed.",
        "b.1 and c.1 together failed: check unit failed with exit status 1."
        " Halving the batch found b.1 (not together with a.1).",
    ]


def test_a_test_of_an_accused_candidate_is_counted_but_is_no_train(empty: Night) -> None:
    flaky_night(empty)
    data = told(empty)
    assert [(one.runs, one.passed) for one in data.trains] == [(("a.1",), False), (("a.1",), True)]
    assert data.numbers.checks == 4
    assert data.numbers.checking_ms == 54_000 + 2 * 96_000 + 24_000


def test_a_red_target_is_asked_about_and_leads_the_page(empty: Night) -> None:
    red_night(empty)
    data = told(empty)
    assert data.anomalies[0].kind is KIND.target_red
    (one,) = data.blocked
    assert (one.item, one.by, one.do) == (None, "ganger", (("ganger answer q1 'try again'", "try again"),))


def test_weakened_tests_are_asked_about_by_ganger(empty: Night) -> None:
    empty.fleet.policy = Policy(workers_max=8, lease_ttl_ms=LEASE_MS, turns_max=1, weakened="inbox")
    empty.plan(spec("a"))
    run = empty.grant("a")
    empty.done(run, "done", 1)
    empty.evidence(run, weakened=(Weakened("tests/a.py", 3, Weakening.skipped, "test_a", "`pytest.skip()`"),))
    data = told(empty)
    (one,) = data.blocked
    assert (one.by, one.recommend, [option for _, option in one.do]) == ("ganger", "refuse", ["refuse", "allow"])
    assert "tests/a.py:3" in one.text
    kinds = {entry.seq: entry.type for entry in data.entries}
    assert {"EvidenceRecorded", "VerdictGiven", "QuestionAsked"} <= {kinds[seq] for seq in one.source.seqs}
    assert [check.name for check in one.source.checks] == ["unit"]
    assert "\n    ganger recommends: refuse\n" in render_text(data)


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({}, "passed unit"),
        ({"tier": "T1"}, "passed unit in T1"),
        ({"witness": Witness(WitnessKind.discriminates)}, "passed unit, new tests: discriminates"),
        ({"tier": "T0", "witness": Witness(WitnessKind.vacuous)}, "passed unit in T0, new tests: vacuous"),
    ],
)
def test_tier_and_witness_stand_where_the_evidence_has_them(empty: Night, fields: dict[str, object], end: str) -> None:
    empty.plan(spec("a"))
    run = empty.grant("a")
    empty.done(run, "done", 1)
    empty.evidence(run, **fields)
    assert told(empty).turns[0].found == f"accepted as {_rung(fields)}: 2 paths changed, {end}"


def _rung(fields: dict[str, object]) -> str:
    witness = fields.get("witness")
    good = isinstance(witness, Witness) and witness.kind is WitnessKind.discriminates
    return (Rung.witnessed if good else Rung.checked).label


def test_workers_and_supervisors_that_died(data: ReportData) -> None:
    assert texts(data, KIND.supervisor_died) == [
        "supervisor 4711: Supervisor 4711 on tor ended without a word after 1 h 55 min;"
        " supervisor 4999 took over 40 min later."
    ]
    assert [one.subject for one in data.anomalies if one.kind is KIND.worker_died] == ["mail.1", "docs.1", "mail.2"]
    assert [one.subject for one in data.anomalies if one.kind is KIND.worker_silent] == ["perf.1", "perf.2"]


def test_a_worker_that_gives_up_is_no_anomaly(data: ReportData) -> None:
    assert not [one for one in data.anomalies if one.subject == "cache.2"]


def test_every_statement_rests_on_entries_that_exist(hard: ReportData, night_after: Night) -> None:
    every = set(range(1, hard.last_seq + 1))
    assert night_after.store.folded.seq == hard.last_seq
    data = hard
    found = list(sources(data))
    assert len(found) > 80
    assert all(one.seqs and set(one.seqs) <= every for one in found)
    assert {seq for one in found for seq in one.seqs} == {one.seq for one in data.entries}


def test_the_entries_are_about_what_the_statements_say(data: ReportData) -> None:
    kinds = {one.seq: (one.type, one.subject) for one in data.entries}
    for one in data.landed:
        assert {("VerdictGiven", one.run), ("RunLanded", one.run)} < {kinds[seq] for seq in one.source.seqs}
    for turn in data.turns:
        assert {kinds[seq][1] for seq in turn.source.seqs} == {turn.run}
        assert kinds[turn.source.seqs[0]][0] == "WorkerStarted"
    api = next(one for one in data.landed if one.item.id == "api")
    first, second = api.attempts[0].turns
    assert max(first.source.seqs) < min(second.source.seqs)
    assert {kinds[one.source.seqs[0]] for one in data.blocked} == {("QuestionAsked", "billing.1")}


def test_colours_of_turns(data: ReportData) -> None:
    ends = {(turn.run, turn.turn): turn.end for turn in data.turns}
    assert ends["api.1", 1] is TurnEnd.rejected
    assert ends["api.1", 2] is TurnEnd.good
    assert ends["billing.1", 1] is TurnEnd.asked
    assert ends["slow.1", 1] is TurnEnd.live
    assert ends["logout.1", 1] is TurnEnd.cut
    assert ends["perf.1", 1] is TurnEnd.failed
    assert ends["search.1", 1] is TurnEnd.good


def test_a_turn_that_was_done_over_has_not_asked(hard: ReportData) -> None:
    ends = {(turn.run, turn.turn): turn.end for turn in hard.turns}
    assert (ends["hang.1", 1], ends["hang.1", 2]) == (TurnEnd.failed, TurnEnd.live)
    assert ends["limit.1", 1] is TurnEnd.cut


def test_every_ending_of_a_run_has_a_colour() -> None:
    assert set(KIND_OF_ENDING) == set(EndKind)


def test_numbers_add_up(data: ReportData) -> None:
    numbers = data.numbers
    assert (numbers.items, numbers.landed, numbers.turns) == (16, 3, len(data.turns))
    assert numbers.work_ms == sum(turn.ended_ms - turn.started_ms for turn in data.turns)
    assert numbers.workers_peak == workers_peak(data.turns) == 4
    schema = next(one for one in data.spent if one.item.id == "schema")
    assert schema.total_ms == data.landed[0].at_ms - BEGIN_MS
    assert {one.code: (one.times, one.items) for one in data.refused} == {"overlap": (3, 3), "fleet_cap": (1, 1)}
    assert data.refused[0].holders == (("schema.1", 2), ("cache.1", 1))


def test_the_same_journal_gives_the_same_report(night: Night, data: ReportData) -> None:
    assert told(night) == data


def test_a_report_since_a_time(night: Night, data: ReportData) -> None:
    since_ms = data.landed[1].at_ms + 1
    later = told(night, since_ms)
    assert [one.item.id for one in later.landed] == ["login"]
    assert later.numbers.landed_before == 2
    assert {one.kind for one in later.anomalies} >= {KIND.worker_died, KIND.flaky}
    assert KIND.target_moved not in {one.kind for one in later.anomalies}
    assert [len(one.attempts) for one in later.given_up] == [2]
    assert all(one.seqs for one in sources(later))


def test_an_empty_journal(empty: Night) -> None:
    data = told(empty)
    assert data.headline == "There are no items."
    assert (data.numbers.wall_ms, data.numbers.parallel, data.anomalies) == (0, "No worker ran.", ())


def test_all_landed(empty: Night) -> None:
    empty.plan(spec("a"), spec("b"))
    empty.supervisor(1)
    empty.land(empty.accepted("a"), empty.accepted("b"))
    empty.supervisor(1, "complete")
    data = told(empty)
    assert data.headline == "All 2 items have landed."
    assert not data.anomalies
    assert [one.train_size for one in data.landed] == [2, 2]


def test_a_landing_that_waits_for_approval(empty: Night) -> None:
    empty.fleet.policy = Policy(workers_max=8, lease_ttl_ms=LEASE_MS, landing_mode="ask")
    empty.plan(spec("a"), spec("b", after=(ItemId("a"),)))
    empty.train(empty.accepted("a"))
    (one,) = told(empty).ready
    assert [line for line, _ in one.do] == ["ganger answer q1 land", "ganger answer q1 reject"]
    assert one.held_up == ("b",)
    assert [item.id for item in one.items] == ["a"]


def test_a_refused_landing_is_not_a_moved_target(empty: Night) -> None:
    empty.fleet.policy = Policy(workers_max=8, lease_ttl_ms=LEASE_MS, landing_mode="ask")
    empty.plan(spec("a"))
    run = empty.accepted("a")
    empty.train(run)
    empty.answer("q1", "reject")
    empty.end(run)
    data = told(empty)
    assert not data.anomalies
    assert [(one.state, one.why) for one in data.still_open] == [
        ("held", f"stopped: ada refused the landing of {commit('a.1' + empty.target)[:12]}")
    ]


def test_a_batch_whose_failure_did_not_come_back(empty: Night) -> None:
    empty.plan(spec("a"), spec("b"))
    runs = empty.accepted("a"), empty.accepted("b")
    empty.train(*runs, passed=False)
    assert "not settled" in texts(told(empty), KIND.train_failed)[0]
    for run in runs:
        empty.land(run)
    (text,) = texts(told(empty), KIND.train_failed)
    assert text.endswith("All of them landed in smaller batches: the failure did not come back.")


def test_halves_are_told_with_the_batch_they_came_from(empty: Night) -> None:
    empty.plan(*(spec(name) for name in "abcd"))
    runs = [empty.accepted(name) for name in "abcd"]
    empty.train(*runs, passed=False)
    empty.train(*runs[:2], passed=False)
    empty.train(runs[0], passed=False)
    empty.send_back(runs[0])
    assert "not settled" in texts(told(empty), KIND.train_failed)[0]
    empty.end(runs[0])
    empty.land(*runs[1:])
    (text,) = texts(told(empty), KIND.train_failed)
    assert text.endswith("Halving the batch found a.1.")


def test_protected_files_are_told_apart(empty: Night) -> None:
    empty.plan(spec("a"))
    run = empty.grant("a")
    empty.done(run, "done", 1)
    path = "src/a/conftest.py"
    empty.evidence(run, changed=(path,), protected=(path,), unchecked=True)
    (text,) = texts(told(empty), KIND.out_of_scope)
    assert text.startswith("a.1: Changed protected files: ")


def test_a_worker_that_exits_at_once(empty: Night) -> None:
    empty.plan(spec("a"))
    run = empty.grant("a")
    empty.exit(run, 127, minutes=0.01)
    empty.end(run)
    found = texts(told(empty), KIND.worker_died)
    assert found == ["a.1: The worker exited with status 127, 600 ms after it was started."]


def test_a_worker_that_never_started(empty: Night) -> None:
    empty.plan(spec("a"))
    empty.say(cmd.GrantRun(ItemId("a"), empty.target))
    empty.stop("a.1", EndKind.failed, "the worker could not be started: no such program")
    data = told(empty)
    assert texts(data, KIND.worker_died) == ["a.1: The worker could not be started: no such program."]
    assert (data.numbers.turns, data.numbers.parallel) == (0, "No worker ran.")


def test_an_interrupted_night_is_no_anomaly(empty: Night) -> None:
    empty.plan(spec("a"))
    empty.supervisor(1)
    empty.stop(empty.grant("a"), EndKind.interrupted, "the night was ended", 5)
    empty.supervisor(1, "interrupted")
    data = told(empty)
    assert not data.anomalies
    (one,) = data.still_open
    assert one.why.startswith("could start, but no supervisor is in charge")
    assert one.do == "ganger up"


def test_a_supervisor_that_left_in_order_did_not_die(empty: Night) -> None:
    empty.supervisor(1)
    empty.supervisor(1, "complete", 5)
    empty.supervisor(2, minutes=600)
    assert not told(empty).anomalies


def test_a_pause_between_two_nights_does_not_count(empty: Night) -> None:
    empty.plan(spec("a"), spec("b"))
    empty.land(empty.accepted("a", work=30))
    empty.now_ms += 15 * 60 * MIN
    empty.land(empty.accepted("b", work=30))
    numbers = told(empty).numbers
    assert numbers.paused_ms > 14 * 60 * MIN
    assert "without pauses" in numbers.parallel


@pytest.mark.parametrize(
    ("work", "wall", "said"),
    [(300, 100, "paid: "), (120, 100, "paid little: "), (100, 100, "did not pay: "), (0, 100, "No worker ran.")],
)
def test_whether_working_side_by_side_paid(work: int, wall: int, said: str) -> None:
    assert said in parallel_text(work * MIN, wall * MIN, 0, 3, Counter())
    held = parallel_text(work * MIN, wall * MIN, 0, 3, Counter({"a.1": 4}))
    assert ("mostly behind a.1" in held) == ("little" in said or "not" in said)


def test_a_check_that_a_train_did_not_repeat_is_counted_once(empty: Night) -> None:
    empty.plan(spec("a"))
    run = empty.grant("a")
    empty.done(run, "done", 1)
    known = empty.result(run)
    empty.evidence(run, known)
    empty.landing(empty.train(run, checks=(known,)))
    numbers = told(empty).numbers
    assert (numbers.checks, numbers.tests) == (1, 42)


def test_an_item_that_landed_is_not_held_up(empty: Night) -> None:
    empty.plan(spec("a"), spec("b"), spec("c"))
    run = empty.accepted("b")
    after = (ItemId("a"),)
    empty.plan(spec("a"), spec("b", after=after), spec("c", after=after), digest="2")
    empty.land(run)
    empty.ask(empty.grant("a"), "Which?")
    (one,) = told(empty).blocked
    assert one.held_up == ("c",)
    assert one.do == (("ganger answer q1 'YOUR ANSWER'", "in your own words"),)


def test_an_item_that_its_plan_dropped_is_not_told_but_its_work_is(empty: Night) -> None:
    empty.plan(spec("a"), spec("b"))
    empty.stop(empty.grant("a"), EndKind.interrupted, "the night was ended", 5)
    empty.plan(spec("b"), digest="2")
    data = told(empty)
    assert [one.item.id for one in data.still_open] == ["b"]
    assert [(turn.run, turn.end) for turn in data.turns] == [("a.1", TurnEnd.cut)]
    assert [one.item.title for one in data.spent] == ["The a item"]


def test_an_old_question_is_still_told(empty: Night) -> None:
    empty.plan(spec("a"), spec("b"))
    empty.ask(empty.grant("a"), "Which?", "this", "that")
    empty.land(empty.accepted("b", 5, 300))
    (one,) = told(empty, since_ms=empty.now_ms - MIN).blocked
    assert one.question == "q1" and one.source.seqs


def test_an_old_question_of_the_fleet_itself_is_told(empty: Night) -> None:
    asked = Question(QuestionId("q1"), QuestionKind.trust, "Trust ganger.toml?", ("yes", "no"), asked_ms=empty.now_ms)
    with empty.store.writing() as writing:
        writing.append((QuestionAsked(asked),), "supervisor")
    empty.now_ms += 600 * MIN
    empty.supervisor(1)
    (one,) = told(empty, since_ms=empty.now_ms - MIN).blocked
    assert (one.item, one.question, len(one.source.seqs)) == (None, "q1", 1)


def test_options_that_a_shell_would_read_are_quoted(empty: Night) -> None:
    empty.plan(spec("a"))
    options = ("$(touch /tmp/x)", "-rf", "it's")
    empty.ask(empty.grant("a"), "Which?", *options, recommend="it's")
    (one,) = told(empty).blocked
    assert [line for line, _ in one.do] == [
        """ganger answer q1 'it'"'"'s'""",
        "ganger answer q1 '$(touch /tmp/x)'",
        "ganger answer q1 -- -rf",
    ]


def test_the_fleet_may_go_on_while_the_report_is_read(empty: Night) -> None:
    empty.plan(spec("a"), spec("b"))
    reader = empty.reader()
    before = collect(reader, empty.state_dir)
    empty.land(empty.accepted("a"))
    after = collect(reader, empty.state_dir)
    reader.close()
    assert (before.numbers.landed, after.numbers.landed) == (0, 1)
