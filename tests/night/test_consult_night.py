"""An agent asked in a person's place on a real night: it reads, answers that one question, and allows nothing."""

from __future__ import annotations

from builders import Done, Fleet, ended

SETTINGS = '[consult]\nagent = "critic"\nwindow = "{window}"\n[kinds.consultant]\nworkers_max = 1\n'
ASKS = (
    'cp "$GANGER_BRIEF_FILE" "$shared/brief.$GANGER_TURN"\n'
    'if [ "$GANGER_TURN" = 1 ]; then\n'
    "  echo half >> src/a.txt; commit half; echo rest >> src/b.txt\n"
    "  ganger ask 'Left or right?' --option left --option right --recommend right --audience consult; exit 0\nfi\n"
    "echo went >> src/a.txt; git checkout -q src/b.txt 2>/dev/null; commit work; ganger done --summary went\n"
)


def begin(fleet: Fleet, critic: str, window: str = "10m", asks: str = ASKS) -> None:
    fleet.begin()
    fleet.shell_agent("default", asks)
    fleet.shell_agent("critic", f'touch "$shared/began"; cp "$GANGER_BRIEF_FILE" "$shared/asked"\n{critic}')
    fleet.configure(more=SETTINGS.format(window=window))
    fleet.item("a", more='brief = "Go the right way."')


def night(fleet: Fleet) -> Done:
    return ended(fleet.start("run", str(fleet.plan()), "--trust"))


def test_its_answer_is_the_next_briefs_and_says_whose_it_is(fleet: Fleet) -> None:
    begin(
        fleet,
        "place=$(sed -n 's/^Its files lie in `\\([^`]*\\)`.*/\\1/p' \"$shared/asked\")\n"
        'cat "$place/src/a.txt" "$place/src/b.txt" > "$shared/read"\n'
        'git -C "$place" log -1 --format=%s >> "$shared/read"\n'
        '( echo x >> "$place/src/a.txt" ) 2>/dev/null && echo wrote > "$shared/wrote"\n'
        '( echo x >> src/a.txt ) 2>/dev/null && echo wrote own > "$shared/wrote"\n'
        'ganger answer q1 left > "$shared/answered" 2>&1; echo "exit $?" >> "$shared/answered"\n'
        "ganger done --outcome findings --summary 'left\nas the others do'\n",
    )
    assert night(fleet).code == 0
    assert fleet.landed_items() == ["a"] and fleet.on_main("src/a.txt") == "a\nhalf\nwent\n"
    asked = (fleet.shared / "asked").read_text()
    assert "Left or right?" in asked and "- left\n- right\n" in asked and "It would choose: right" in asked
    assert "Go the right way." in asked and "`a.1`" in asked and "You change nothing, and approve nothing" in asked
    assert (fleet.shared / "read").read_text() == "a\nhalf\nb\nrest\nhalf\n", "the candidate, commits and all"
    assert not (fleet.shared / "wrote").exists()
    assert "exit 0" not in (fleet.shared / "answered").read_text(), "it answers by its report only"
    brief = (fleet.shared / "brief.2").read_text()
    assert "answered by agent critic, no person, so that it allows nothing: left\nas the others do" in brief
    log = fleet.ganger("log").out
    assert "q1: Left or right? (agent critic is asked first)" in log and "q1 answered by agent:critic: left" in log
    assert "answered 'left\\nas the others do' by agent:critic at " in fleet.ganger("show", "q1").out
    why = fleet.ganger("why", "a").out
    assert "q1 was answered by agent critic, no person: left" in why
    assert [run["status"] for run in fleet.runs("a-consult-1")] == ["finished"]
    assert fleet.json("why", "a")["verdict"]["by"] == ""
    fleet.assert_sound()


def test_one_that_leaves_it_to_a_person_does(fleet: Fleet) -> None:
    begin(fleet, "ganger done --outcome no_evidence --summary 'a matter of taste'")
    assert night(fleet).code == 5
    (question,) = fleet.json("inbox")["questions"]
    assert (question["agent"], question["passed"]) == ("", "agent critic leaves it to a person: a matter of taste")
    assert "agent critic leaves it to a person: a matter of taste" in fleet.ganger("inbox").out
    shown = fleet.ganger("show", "q1").out
    assert "agent critic leaves it to a person: a matter of taste\nganger answer q1 CHOICE\n" in shown
    assert fleet.ganger("answer", "q1", "right").code == 0
    assert night(fleet).code == 0
    assert "answered: right" in (fleet.shared / "brief.2").read_text()
    fleet.assert_sound()


def test_one_that_takes_too_long_is_not_waited_for(fleet: Fleet) -> None:
    begin(fleet, "sleep 1000", window="1s")
    assert night(fleet).code == 5
    (question,) = fleet.json("inbox")["questions"]
    assert question["passed"] == "agent critic did not answer in time"
    assert fleet.processes() == {}
    assert [run["status"] for run in fleet.runs("a-consult-1")] == ["dismissed"]


def test_without_the_setting_a_person_is_asked(fleet: Fleet) -> None:
    begin(fleet, "true")
    config = fleet.repo / "ganger.toml"
    config.write_text(config.read_text().replace('[consult]\nagent = "critic"\nwindow = "10m"\n', ""))
    assert night(fleet).code == 5
    assert not (fleet.shared / "began").exists()
    assert [question["passed"] for question in fleet.json("inbox")["questions"]] == [""]


def test_a_person_may_answer_before_the_agent_does(fleet: Fleet) -> None:
    begin(fleet, 'while [ ! -e "$shared/go" ]; do sleep 0.05; done; ganger done --summary left', window="1h")
    running = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait((fleet.shared / "began").exists)
    (question,) = fleet.json("inbox")["questions"]
    assert question["agent"] == "critic"
    assert "agent critic is asked first, until" in fleet.ganger("inbox").out
    assert "for you: ganger inbox" not in fleet.ganger("status").out, "nobody need look at it yet"
    assert fleet.ganger("answer", "q1", "right").code == 0
    assert ended(running).code == 0
    assert "answered: right" in (fleet.shared / "brief.2").read_text()
    assert [run["status"] for run in fleet.runs("a-consult-1")] == ["dismissed"]
