"""What workers say, and do not say, on a real night: one reminder, a question instead of an empty `done`."""

from __future__ import annotations

import json
from typing import Any

from builders import QUICK, Done, Fleet, ended

SEES = 'cp "$GANGER_BRIEF_FILE" "$shared/brief.$GANGER_TURN"\n'


def speaking(fleet: Fleet, script: str, *, words: bool = True, more: str = "", recovery: str = QUICK) -> None:
    """One agent, and a configuration that says whether its workers are to speak."""
    fleet.begin()
    fleet.shell_agent("default", SEES + script)
    fleet.configure(more=more, recovery=recovery)
    if words:
        config = fleet.repo / "ganger.toml"
        config.write_text(config.read_text().replace('driver = "command"', 'driver = "command"\nreports = "words"'))


def night(fleet: Fleet) -> Done:
    return ended(fleet.start("run", str(fleet.plan()), "--trust"))


def turns(fleet: Fleet, run: str = "a.1") -> list[dict[str, Any]]:
    return list(fleet.json("show", run)["turns"])


def test_whoever_says_nothing_is_reminded_and_can_still_do_it(fleet: Fleet) -> None:
    speaking(fleet, '[ "$GANGER_TURN" = 1 ] || { echo done >> src/a.txt; commit work; ganger done --summary x; }')
    fleet.item("a")
    assert night(fleet).code == 0
    assert fleet.landed_items() == ["a"]
    first, second = ((fleet.shared / f"brief.{turn}").read_text() for turn in (1, 2))
    assert first.startswith("# Do a\n")
    assert second.startswith(
        "# You have not said what became of it\n\nTurn 1 of this attempt ended, and nothing was reported"
    )
    assert "# Do a\n" in second and "ganger done" in second.partition("# Do a\n")[0]


def test_whoever_says_nothing_twice_is_not_reminded_again(fleet: Fleet) -> None:
    speaking(fleet, "true")
    fleet.item("a", more="budget = { attempts_max = 1 }")
    assert night(fleet).code == 3
    found = fleet.json("show", "a.1")
    assert len(found["turns"]) == 2
    assert found["reason"].startswith("no report: the worker was reminded to say what became of it")
    assert "turn 1 is done over (idle): turn 1 ended without a word and without a change" in fleet.ganger("log").out


def test_a_program_is_not_reminded(fleet: Fleet) -> None:
    speaking(fleet, "true", words=False)
    fleet.item("a", more="budget = { attempts_max = 1 }")
    assert night(fleet).code == 3
    assert len(turns(fleet)) == 2, "its second try is the one after a rejection"
    brief = (fleet.shared / "brief.2").read_text()
    assert "You have not said" not in brief and "turn 1 of this attempt was rejected" in brief


def test_what_it_left_uncommitted_is_judged_without_a_word(fleet: Fleet) -> None:
    speaking(fleet, "echo done >> src/a.txt")
    fleet.item("a")
    assert night(fleet).code == 0
    assert fleet.landed_items() == ["a"] and len(turns(fleet)) == 1


def test_an_unclear_done_with_nothing_to_show_asks_a_person(fleet: Fleet) -> None:
    speaking(
        fleet,
        'if [ "$GANGER_TURN" = 1 ]; then ganger done --scope-confidence unclear --summary "is it this?"; exit 0; fi\n'
        "echo blue >> src/a.txt; commit work; ganger done --summary blue",
    )
    fleet.item("a")
    assert night(fleet).code == 5, "it waits for a person"
    (question,) = fleet.json("inbox")["questions"]
    assert question["text"] == (
        "What is wanted of a? Its worker says completed and that it was unclear what was wanted, "
        'with nothing to show for it: "is it this?"'
    )
    assert fleet.ganger("answer", question["id"], "make it blue").code == 0
    assert night(fleet).code == 0
    assert "make it blue" in (fleet.shared / "brief.2").read_text()
    assert fleet.on_main("src/a.txt") == "a\nblue\n"


def test_after_its_question_a_turn_is_over(fleet: Fleet) -> None:
    speaking(
        fleet,
        'if [ "$GANGER_TURN" = 1 ]; then\n'
        '  ( while true; do echo talking; echo x >> "$shared/late"; sleep 0.05; done ) &\n'
        '  while [ ! -e "$shared/late" ]; do sleep 0.05; done\n'
        "  ganger ask 'Left or right?'; wait\nfi\n"
        "echo went >> src/a.txt; commit work; ganger done --summary went",
    )
    fleet.item("a")
    assert night(fleet).code == 5
    assert fleet.processes() == {}, "it did not end by itself, and lives no longer"
    said, told = (fleet.shared / "late").read_text(), fleet.ganger("log", "a.1").out
    assert fleet.ganger("answer", "q1", "left").code == 0
    assert night(fleet).code == 0
    assert (fleet.shared / "late").read_text() == said
    assert fleet.ganger("log", "a.1").out.startswith(told) and turns(fleet)[0]["signal"]


def test_with_two_questions_open_one_answer_is_not_enough(fleet: Fleet) -> None:
    speaking(
        fleet,
        'if [ "$GANGER_TURN" = 1 ]; then\n'
        "  ganger ask 'Left or right?' --option left --option right; ganger ask 'And how far?'; exit 0\nfi\n"
        "echo went >> src/a.txt; commit work; ganger done --summary went",
        recovery='linger = "10m"\n',
    )
    fleet.item("a")
    assert night(fleet).code == 5
    first, second = fleet.json("inbox")["questions"]
    assert fleet.ganger("answer", first["id"], "left").code == 0
    assert night(fleet).code == 5, "one of two is answered: it still waits"
    assert not (fleet.shared / "brief.2").exists()
    assert fleet.ganger("answer", second["id"], "a mile").code == 0
    assert night(fleet).code == 0
    brief = (fleet.shared / "brief.2").read_text()
    assert brief.index("answered: left") < brief.index("answered: a mile")


def test_the_board_is_shown(fleet: Fleet) -> None:
    states = [{"state": "done"}] * 5 + [{"state": "todo"}] * 5 + [{}] * 5
    board = [{"text": f"step {n}", **state} for n, state in enumerate(states)]
    speaking(fleet, f"ganger todos '{json.dumps(board)}'; echo x >> src/a.txt; commit work; ganger ask ready?")
    fleet.item("a")
    assert night(fleet).code == 5
    assert "asking, 5/12 done" in fleet.ganger("status").out
    shown = fleet.ganger("show", "a.1").out
    assert "board: 5 of 12 done\n    completed: step 0\n" in shown and "    pending: step 11\n" in shown
    assert "step 12" not in shown


def test_a_worker_that_asks_for_what_is_a_persons_is_not_told_to_begin_a_fleet(fleet: Fleet) -> None:
    speaking(fleet, "ganger tell b.1 hi 2> $shared/told; echo done >> src/a.txt; commit work; ganger done >&2")
    fleet.item("a")
    assert night(fleet).code == 0
    told = (fleet.shared / "told").read_text()
    assert "ganger init" not in told
    assert told.endswith(
        "\n\na worker sees nothing of its fleet: for it are ganger my-work, may-write, todos, note, ask, done, fail\n"
    )
