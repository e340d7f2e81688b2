"""One whole night through the command line: honest workers beside those that lie, crash, hang, fork and ask."""

from __future__ import annotations

from pathlib import Path

from builders import Done, Fleet, ended

HONEST = "echo done >> src/$item.txt; commit work; ganger done --summary 'It is made.'"
AGENTS = {
    "honest": HONEST,
    "second": f"grep -q done src/first.txt || exit 9\n{HONEST}",
    "same": "echo $item >> src/same.txt; commit work",
    "outside": "echo x >> src/outside.txt; echo x >> README; commit work; ganger done",
    "empty": "git -c user.name=a -c user.email=a@b.invalid commit --quiet --allow-empty -m 'All done'; ganger done",
    "loose": "echo loose >> src/loose.txt; echo new > src/loose/new.txt",
    "crash": f"echo half >> src/crash.txt\n[ $GANGER_RUN = crash.1 ] && kill -9 $$\n{HONEST}",
    "hang": "sleep 1000",
    "fork": f"for i in 1 2 3; do setsid sh -c 'trap \"\" TERM; sleep 1000' & done\n{HONEST}",
    "deaf": "trap '' TERM; sleep 1000; sleep 1000",
    "asks": """
if [ $GANGER_TURN = 1 ]; then ganger ask 'Which colour?' --option red --option blue --recommend red; exit 0; fi
printf '%s' "$GANGER_BRIEF" > src/asks.txt; commit work; ganger done
""",
    "twice": """
echo x >> src/twice.txt; commit work
for said in one one two; do ganger done --summary $said; echo $? >> "$TMPDIR/codes"; done
""",
    "idle": "echo I am finished",
    "clash": "echo x > src/$item.new; commit work",
}
RECOVERY = 'backoff = "0s"\nbackoff_max = "0s"\nlinger = "20s"\nstop_grace = "300ms"\n'
CHECK = "sh -c 'test ! -e src/left.new || test ! -e src/right.new'"
ONE_TRY = "budget = { attempts_max = 1 }"
LANDED = {"first", "second", "pair-1", "pair-2", "loose", "crash", "fork", "asks", "twice"}
GIVEN_UP = {"outside", "empty", "hang", "deaf", "idle"}


def lay_out(fleet: Fleet) -> Path:
    """The repository, the agents and the plan of the night."""
    names = ("first", "second", "same", "outside", "empty", "loose", "crash", "hang", "fork", "deaf", "asks", "twice")
    fleet.begin({"README": "hello\n", "src/loose/old.txt": "", **{f"src/{name}.txt": f"{name}\n" for name in names}})
    for name, script in AGENTS.items():
        fleet.shell_agent(name, script)
    fleet.configure(checks={"unit": CHECK}, fleet="workers_max = 6\n", recovery=RECOVERY)
    fleet.item("first", agent="honest")
    fleet.item("second", agent="second", more='after = ["first"]')
    for name in ("pair-1", "pair-2"):
        fleet.item(name, agent="same", scope=["src/same.txt"])
    fleet.item("loose", agent="loose", scope=["src/loose*/**", "src/loose.txt"])
    fleet.item("left", agent="clash", scope=["src/left*"], more=ONE_TRY)
    fleet.item("right", agent="clash", scope=["src/right*"], more=ONE_TRY)
    for name in ("outside", "empty", "idle"):
        fleet.item(name, agent=name, more=ONE_TRY)
    for name in ("crash", "fork", "asks", "twice"):
        fleet.item(name, agent=name)
    fleet.item("hang", agent="hang", more='budget = { attempts_max = 1, silence_max = "1s" }')
    fleet.item("deaf", agent="deaf", more='budget = { attempts_max = 1, wall_max = "1s" }')
    return fleet.plan()


def run_night(fleet: Fleet, plan: Path) -> Done:
    """Run the plan to its end, and answer from another process when something is asked."""
    night = fleet.start("run", str(plan), "--trust")
    fleet.wait(lambda: (fleet.state / "journal.db").exists())
    fleet.wait(lambda: fleet.ganger("inbox").code == 0)
    asked = fleet.json("inbox")["questions"][0]
    assert (asked["kind"], asked["options"], asked["recommend"]) == ("worker", ["red", "blue"], "red")
    answered = fleet.ganger("answer", asked["id"], "blue")
    assert answered == Done(0, f"{asked['id']} answered: blue\n", "")
    return ended(night)


def test_a_night_with_all_sorts_of_workers(fleet: Fleet) -> None:
    done = run_night(fleet, lay_out(fleet))
    assert done.code == 3, done
    fleet.assert_sound()
    statuses = fleet.statuses()
    clash = {statuses.pop("left"), statuses.pop("right")}
    assert clash == {"landed", "given_up"}
    assert {item for item, status in statuses.items() if status == "landed"} == LANDED
    assert {item for item, status in statuses.items() if status == "given_up"} == GIVEN_UP
    _assert_target(fleet)
    _assert_records(fleet)
    _assert_late_words_are_heard_by_nobody(fleet)


def _assert_target(fleet: Fleet) -> None:
    """The target holds exactly the honest work, each item once."""
    landed = fleet.landed_items()
    assert len(landed) == len(set(landed)) == len(LANDED) + 1
    assert landed.index("first") < landed.index("second")
    assert sorted((fleet.on_main("src/same.txt") or "").split()) == ["pair-1", "pair-2", "same"]
    assert fleet.on_main("src/loose/new.txt") == "new\n"
    assert fleet.on_main("README") == "hello\n"
    assert fleet.on_main("src/outside.txt") == "outside\n"
    assert "answered: blue" in (fleet.on_main("src/asks.txt") or "")
    assert [name for name in ("left", "right") if fleet.on_main(f"src/{name}.new")] == [
        name for name in ("left", "right") if name in landed
    ]
    fleet.git("fsck", "--strict", "--no-dangling")


def _assert_records(fleet: Fleet) -> None:
    """Each run tells how it ended, its work is kept, and its workspace is in the trash."""
    endings = {item: [run["ending"] for run in fleet.runs(item)] for item in ("crash", "hang", "deaf", "idle")}
    assert endings == {
        "crash": ["failed", "landed"],
        "hang": ["stalled"],
        "deaf": ["timed_out"],
        "idle": ["rejected"],
    }
    assert fleet.json("why", "loose")["evidence"]["auto_committed"]
    assert not fleet.json("why", "first")["evidence"]["auto_committed"]
    assert "outside the scope" in fleet.ganger("why", "outside").out or "scope" in fleet.ganger("why", "outside").out
    kept = fleet.hub_refs("refs/ganger/keep/")
    assert set(kept.values()) == {"commit"}
    listed = [ref for item in fleet.statuses() for run in fleet.runs(item) for ref in run["kept"]]
    assert listed
    assert set(listed) <= set(kept)
    assert "half" in fleet.git(
        "--git-dir", str(fleet.state / "hub.git"), "show", "refs/ganger/keep/crash.1/tree:src/crash.txt"
    )
    runs = {run["id"] for item in fleet.statuses() for run in fleet.runs(item)}
    trashed = {entry.name.partition("-")[2] for entry in (fleet.state / "trash").iterdir()}
    assert runs <= trashed
    assert (fleet.state / "runs/twice.1/turn-1/tmp/codes").read_text().split() == ["0", "0", "1"]


def _assert_late_words_are_heard_by_nobody(fleet: Fleet) -> None:
    """A worker whose run is over, or whose token is not that of the run, says nothing any more."""
    before = fleet.json("status")["seq"]
    for run, token in (("crash.1", fleet.runs("crash")[0]["token"]), ("crash.2", 1), ("nobody.1", 7)):
        door = fleet.state / "runs" / run / "door"
        env = {"GANGER_RUN": run, "GANGER_TOKEN": str(token), "GANGER_DOOR": str(door), "GANGER_SECRET": "0" * 64}
        done = fleet.ganger("done", "--summary", "late", env=env)
        assert ("it ended" in done.err, done.code) == ((True, 1) if door.exists() else (False, 2)), done
    # Whoever opens the journal takes in what live runs have said.
    fleet.ganger("answer", "q99", "x")
    assert fleet.json("status")["seq"] == before


def test_the_night_again_does_nothing(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", HONEST)
    fleet.configure()
    for name in "abc":
        fleet.item(name)
    plan = str(fleet.plan())
    first = fleet.ganger("run", plan, "--trust")
    assert first.code == 0, first
    assert first.out.startswith("complete: 3 of 3 items landed on main\n")
    tip, again = fleet.git("rev-parse", "main"), fleet.ganger("run", plan)
    assert again.code == 0, again
    assert fleet.git("rev-parse", "main") == tip
    assert sorted(fleet.landed_items()) == ["a", "b", "c"]
    fleet.assert_sound()
