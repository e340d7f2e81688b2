"""Workers that hand on parts of their work: what comes back, what it costs, and that no child outlives its spawner."""

from __future__ import annotations

from builders import Fleet, ended

KINDS = """
[kinds.scout]
writes = "none"
[kinds.patcher]
spawn = ["scout", "patcher"]
"""
ASKS_A_SCOUT = """
brief=$(ganger my-work)
case "$GANGER_RUN.$GANGER_TURN" in
  *-c1.1.*)
    echo "$brief" > "$shared/childs"
    echo x > src/b.txt && echo wrote >> "$shared/childs"
    ganger done --outcome findings --summary "it says $(cat src/a.txt)" --evidence src/a.txt:1 ;;
  a.1.1)
    echo "$brief" > "$shared/first"
    ganger spawn scout --title 'Read a' --brief 'Say what is in src/a.txt.' > "$shared/spawned"
    ganger wait ;;
  *)
    echo "$brief" > "$shared/second"
    echo more >> src/a.txt; commit work; ganger done --summary ok ;;
esac
"""


def test_what_a_scout_found_stands_in_the_next_brief_of_who_asked(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", ASKS_A_SCOUT)
    fleet.configure(more=KINDS)
    fleet.item("a", scope=("src/a.txt",))
    night = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert night.code == 0, night
    assert fleet.landed_items() == ["a"]
    assert (fleet.shared / "spawned").read_text() == "begun as a-c1\n"
    assert "You may hand on 4 parts of your work" in (fleet.shared / "first").read_text()
    child = (fleet.shared / "childs").read_text()
    assert "Say what is in src/a.txt." in child
    assert "This is a part of the work of run `a.1`, at work on item `a`." in child
    assert "You may hand on" not in child
    assert not child.endswith("wrote\n"), "its checkout is closed"
    second = (fleet.shared / "second").read_text()
    assert second.count("your child a-c1.1 (scout, Read a) says: findings") == 1
    assert "  > it says a\n  > evidence: src/a.txt:1" in second
    assert [run["status"] for run in fleet.runs("a-c1")] == ["finished"]
    assert "its child a-c1.1: finished, scout" in fleet.ganger("show", "a.1").out
    assert "a child of a.1" in fleet.ganger("show", "a-c1.1").out
    assert fleet.json("show", "a.1")["children"] == ["a-c1.1"]
    assert "a-c1: Read a (a child of a.1)" in fleet.ganger("report", "--text").out
    fleet.assert_sound()


SHARES_ITS_SCOPE = """
case "$GANGER_RUN.$GANGER_TURN" in
  a-c1.1.*)
    echo theirs >> src/a.txt; commit child; ganger done --summary "a is done" ;;
  a.1.1)
    ganger spawn patcher --title 'Write a' --brief 'Write src/a.txt.' --scope src/b.txt > "$shared/outside" 2>&1
    ganger spawn patcher --title 'Write a' --brief 'Write src/a.txt.' --scope src/a.txt
    ganger may-write src/a.txt > "$shared/lent" 2>&1
    ganger done --summary early > "$shared/early" 2>&1
    echo mine >> src/c.txt; commit mine ;;
  *)
    ganger my-work > "$shared/second"
    ganger may-write src/a.txt > "$shared/back" 2>&1
    ganger done --summary ok ;;
esac
"""


def test_a_child_that_writes_lands_a_part_of_the_scope_and_its_spawner_goes_on_after_it(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", SHARES_ITS_SCOPE)
    fleet.configure(more=KINDS)
    fleet.item("a", scope=("src/a.txt", "src/c.txt"))
    night = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert night.code == 0, night
    assert fleet.landed_items() == ["a-c1", "a"]
    assert (fleet.on_main("src/a.txt"), fleet.on_main("src/c.txt")) == ("a\ntheirs\n", "c\nmine\n")
    outside = (fleet.shared / "outside").read_text()
    assert "src/b.txt is not inside one pattern of the scope of a.1: src/a.txt, src/c.txt" in outside
    assert "src/a.txt is a child's until that has ended" in (fleet.shared / "lent").read_text()
    assert "a.1 has children that write: a-c1.1" in (fleet.shared / "early").read_text()
    assert "src/a.txt may be written" in (fleet.shared / "back").read_text()
    second = (fleet.shared / "second").read_text()
    assert "your child a-c1.1 (patcher, Write a) landed as " in second
    assert "  > a is done" in second
    fleet.assert_sound()


WAITS_FOR_EVER = """
case "$GANGER_RUN" in
  *-c?.1) echo "$GANGER_RUN $$" >> "$shared/pids"; echo found > left; until false; do sleep 0.1; done ;;
  *)
    echo "$GANGER_RUN $$" >> "$shared/pids"
    ganger spawn scout --brief 'Look at all of it.'; ganger spawn scout --brief 'Look again.'
    until false; do sleep 0.1; done ;;
esac
"""


def test_whoever_is_stopped_takes_its_children_along(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", WAITS_FOR_EVER)
    fleet.configure(more=KINDS, fleet="workers_max = 3\n")
    fleet.item("a", scope=("src/a.txt",))
    night = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait(lambda: len(fleet.noted()) == 3 and all(fleet.noted()))
    assert ", for a.1" in fleet.ganger("status").out
    assert fleet.ganger("stop", "a.1", "--reason", "enough").code == 0
    assert ended(night).code == 3
    assert not any(fleet.noted()), "no process of the family lives"
    assert [fleet.runs(f"a-c{n}")[0]["status"] for n in (1, 2)] == ["dismissed"] * 2
    assert "a.1, which had it done, is being ended" in fleet.ganger("show", "a-c2.1").out
    assert fleet.statuses() == {"a": "held"}
    fleet.assert_sound()


TRIES_AGAIN = """
case "$GANGER_RUN.$GANGER_TURN" in
  a-c1.1.1) ganger done --outcome findings --summary "look into src/a.txt" ;;
  a.1.1) ganger spawn scout --brief 'Where is it?'; ganger wait ;;
  a.1.2) exit 3 ;;
  *) ganger my-work > "$shared/again"; echo more >> src/a.txt; commit work; ganger done --summary ok ;;
esac
"""


def test_what_a_child_found_out_is_known_to_the_next_attempt(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", TRIES_AGAIN)
    fleet.configure(more=KINDS)
    fleet.item("a", scope=("src/a.txt",))
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 0
    again = (fleet.shared / "again").read_text()
    assert "## Found out in earlier attempts\n\n- Where is it?: findings\n  > look into src/a.txt\n" in again
    fleet.assert_sound()


WIDER = """
[kinds.tester]
writes = "tests"
spawn = ["patcher"]
[kinds.scout]
writes = "none"
network = "none"
spawn = ["reader"]
[kinds.reader]
writes = "none"
[kinds.patcher]
spawn = ["planner"]
"""


def test_no_kind_may_have_children_with_more_rights_than_its_own(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "true")
    fleet.configure(more=WIDER)
    fleet.item("a")
    refused = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert refused.code == 2
    for fault in (
        "`kinds.tester.spawn` names patcher, which may write more (scope) than tester (tests)",
        "`kinds.scout.spawn` names reader, which reaches farther (network open) than scout (none)",
        "`kinds.patcher.spawn` names planner, whose workers plan for the whole fleet",
    ):
        assert fault in refused.err


ASKS_TWO = """
case "$GANGER_RUN.$GANGER_TURN" in
  a-c?.1.*)
    echo x >> "$shared/began-$item"; until test -f "$shared/go"; do sleep 0.1; done
    ganger done --outcome findings --summary "found by $item" ;;
  a.1.1)
    for n in 1 2; do ganger spawn scout --brief "Look $n."; done; ganger wait; touch "$shared/parked" ;;
  *)
    ganger my-work > "$shared/turn-$GANGER_TURN"; echo more >> src/a.txt; commit work; ganger done --summary ok ;;
esac
"""


def test_a_supervisor_that_is_killed_while_children_work_finds_them_and_tells_once(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", ASKS_TWO)
    fleet.configure(more=KINDS, fleet="workers_max = 3\n")
    fleet.item("a", scope=("src/a.txt",))
    began = [fleet.shared / "began-a-c1", fleet.shared / "began-a-c2"]
    night = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait(lambda: (fleet.shared / "parked").exists() and all(path.exists() for path in began))
    night.kill()
    ended(night)
    (fleet.shared / "go").touch()
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 0
    assert [path.read_text() for path in began] == ["x\n", "x\n"], "each was begun once"
    assert [path.name for path in fleet.shared.glob("turn-*")] == ["turn-2"]
    brief = (fleet.shared / "turn-2").read_text()
    for number in (1, 2):
        assert brief.count(f"  > found by a-c{number}") == 1
    assert [row["state"] for row in fleet.json("show", "a.1")["messages"]] == ["read", "read"]
    fleet.assert_sound()


GOES_ON_MEANWHILE = """
case "$GANGER_RUN.$GANGER_TURN" in
  a-c1.1.*) ganger done --outcome findings --summary "it is b" ;;
  *)
    ganger spawn scout --brief 'Is it b?'
    until ganger my-work > "$shared/told" && grep -q 'your child a-c1.1' "$shared/told"; do sleep 0.2; done
    ganger my-work > "$shared/after"
    echo more >> src/a.txt; commit work; ganger done --summary ok ;;
esac
"""


def test_whoever_goes_on_meanwhile_is_told_when_it_asks_for_its_work_and_once(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", GOES_ON_MEANWHILE)
    fleet.configure(more=KINDS, fleet="workers_max = 2\n")
    fleet.item("a", scope=("src/a.txt",))
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 0
    assert "  > it is b" in (fleet.shared / "told").read_text()
    assert "your child" not in (fleet.shared / "after").read_text()
    assert [row["turn"] for row in fleet.json("show", "a.1")["turns"]] == [1]
    fleet.assert_sound()
