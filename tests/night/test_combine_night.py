"""`landing.combine = "prepared"`: the next worker of an item that conflicted finds the merge, marked, and lands it."""

from __future__ import annotations

from builders import Fleet

FILE = "src/both.txt"
BEGUN = {FILE: "one\ntwo\nthree\n", "src/own.txt": "own\n"}
PREPARED = '[landing]\ncombine = "prepared"\n'
FIRST = """
meet() {
  touch "$shared/$item"
  for n in $(seq 200); do [ -e "$shared/a" ] && [ -e "$shared/b" ] && break; sleep .1; done
}
if [ "$GANGER_RUN" = b.1 ]; then echo b >> src/own.txt; fi
if [ "${GANGER_RUN#*.}" = 1 ]; then
  meet
  [ $item = a ] || sleep 1
  sed -i "s/two/$item/" src/both.txt; commit work; ganger done --summary ok; exit
fi
"""
RESOLVE = """
cp src/both.txt "$shared/found-$GANGER_RUN"
git status --porcelain > "$shared/status-$GANGER_RUN"
[ $GANGER_RUN != b.2 ] || sed -i -e '/^<<<<<<</d' -e '/^|||||||/,/^=======/d' -e '/^>>>>>>>/d' src/both.txt
"""


def night(fleet: Fleet, script: str, more: str = PREPARED, turns: str = "") -> str:
    """Two items that change the same line at the same time; what came of it is in `$shared`."""
    fleet.begin(BEGUN)
    fleet.shell_agent("default", FIRST + script)
    fleet.configure(more=more, recovery='backoff = "0s"\nbackoff_max = "0s"\nlinger = "300ms"\n' + turns)
    fleet.item("a", scope=(FILE,), more='mode = "shared"')
    fleet.item("b", scope=(FILE, "src/own.txt"), more='mode = "shared"')
    return str(fleet.plan())


def test_the_second_is_combined_and_both_are_credited(fleet: Fleet) -> None:
    plan = night(fleet, RESOLVE + "commit resolved; ganger done --summary ok")
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    assert fleet.landed_items() == ["a", "b"]
    landed = fleet.git("rev-parse", "main^1")
    assert (fleet.shared / "found-b.2").read_text() == (
        "one\n<<<<<<< b.1 (yours before)\nb\n||||||| base\ntwo\n=======\na\n"
        f">>>>>>> target: a.1, landed as {landed[:12]}\nthree\n"
    )
    assert (fleet.shared / "status-b.2").read_text() == " M src/both.txt\n M src/own.txt\n"
    assert fleet.on_main(FILE) == "one\nb\na\nthree\n"
    assert fleet.on_main("src/own.txt") == "own\nb\n"
    assert [run["ending"] for run in fleet.runs("b")] == ["superseded", "landed"]
    told = (fleet.state / "runs/b.2/turn-1/brief.1.md").read_text()
    assert f"- `{FILE}`, changed by a.1, landed as {landed[:12]}\n" in told
    assert "b.1 was good" in told and "cherry-pick" not in told
    message = fleet.git("log", "-1", "--format=%B", "main")
    assert message.rstrip().endswith("Co-authored-by: default <b.1@ganger.invalid>")
    assert "Co-authored-by" not in fleet.git("log", "-1", "--format=%B", landed)
    # The worker's own commit is one on top of what the target was: all of the change, and nothing else.
    assert fleet.git("rev-parse", "main^2^") == landed
    assert fleet.git("diff", "--name-only", landed, "main^2").split() == [FILE, "src/own.txt"]
    fleet.assert_sound()


def test_left_marks_are_refused_and_resolved_in_the_next_turn(fleet: Fleet) -> None:
    script = '[ $GANGER_TURN = 1 ] || { grep -c "^<<<<<<<" src/both.txt > "$shared/turn-2"; ' + RESOLVE + "}\n"
    plan = night(fleet, script + "commit resolved; ganger done --summary ok")
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    assert "leaves conflict markers: src/both.txt" in fleet.ganger("log").out + done.err
    assert (fleet.shared / "turn-2").read_text() == "1\n"
    assert fleet.on_main(FILE) == "one\nb\na\nthree\n"
    fleet.assert_sound()


def test_a_worker_that_never_resolves_lands_nothing(fleet: Fleet) -> None:
    plan = night(fleet, "commit resolved; ganger done --summary ok", turns="turns_max = 1\n")
    done = fleet.ganger("run", plan, "--trust")
    assert done.code != 0, done
    assert fleet.landed_items() == ["a"]
    assert fleet.on_main(FILE) == "one\na\nthree\n"
    endings = [run["ending"] for run in fleet.runs("b")]
    assert endings[:2] == ["superseded", "rejected"]
    # Each further attempt gets the work that was good, and not what came of it.
    told = (fleet.state / "runs/b.3/turn-1/brief.1.md").read_text()
    assert "b.1 was good" in told
    fleet.assert_sound()


def test_the_control_by_default_the_worker_merges_itself(fleet: Fleet) -> None:
    pick = r"""
commits=$(ganger my-work | sed -n 's/.*`git cherry-pick \([0-9a-f.]*\)`.*/\1/p')
cp src/both.txt "$shared/found-$GANGER_RUN"
git -c user.name=a -c user.email=a@b.invalid cherry-pick "$commits"
sed -i -e '/^<<<<<<</d' -e '/^=======/d' -e '/^>>>>>>>/d' src/both.txt
commit resolved; ganger done --summary ok
"""
    plan = night(fleet, pick, more="")
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 0, done
    assert (fleet.shared / "found-b.2").read_text() == "one\na\nthree\n"
    assert "Co-authored-by" not in fleet.git("log", "-1", "--format=%B", "main")
    assert not fleet.hub_refs("refs/ganger/prepared/")
    fleet.assert_sound()


def test_where_no_lines_can_be_marked_a_person_is_asked_and_the_next_worker_told(fleet: Fleet) -> None:
    fleet.begin({"logo.bin": b"\0begun", "src/own.txt": "own\n"})
    draw = FIRST.replace('sed -i "s/two/$item/" src/both.txt', 'printf "\\0$item" > logo.bin')
    fleet.shell_agent("default", draw + 'printf "\\0b on a" > logo.bin; commit drawn; ganger done --summary ok')
    fleet.configure(more=PREPARED, recovery='backoff = "0s"\nbackoff_max = "0s"\nlinger = "300ms"\n')
    fleet.item("a", scope=("logo.bin",), more='mode = "shared"')
    fleet.item("b", scope=("logo.bin", "src/own.txt"), more='mode = "shared"')
    plan = str(fleet.plan())
    done = fleet.ganger("run", plan, "--trust")
    assert done.code == 5, done
    assert fleet.landed_items() == ["a"]
    asked = "b.1 changed logo.bin, and so did what landed first; no lines can be marked there. What counts?"
    assert asked in fleet.ganger("inbox").out
    answered = fleet.ganger("answer", "q1", "draw b into that of a")
    assert answered.code == 0, answered
    again = fleet.ganger("run", plan, "--trust")
    assert again.code == 0, again
    told = (fleet.state / "runs/b.2/turn-1/brief.1.md").read_text()
    assert f"- asked: {asked}\n  answered: draw b into that of a\n" in told
    assert fleet.landed_items() == ["a", "b"]
    assert fleet.git("show", "main:logo.bin") == "\0b on a"
    fleet.assert_sound()
