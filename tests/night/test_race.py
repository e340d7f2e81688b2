"""Eight processes at once: one winner for each conflict, and the same record for everybody."""

from __future__ import annotations

from builders import Done, Fleet, ended

RACERS = 8


def race(fleet: Fleet, *commands: tuple[str, ...]) -> list[Done]:
    """Start the commands at the same time, each as often as it takes to make eight, and wait for all."""
    started = [fleet.start(*commands[number % len(commands)]) for number in range(RACERS)]
    return [ended(one) for one in started]


def asking(fleet: Fleet) -> str:
    fleet.begin()
    script = '[ $GANGER_TURN = 1 ] && { ganger ask "Which?"; exit; }\necho x >> src/$item.txt; commit work'
    fleet.shell_agent("default", script)
    fleet.configure()
    fleet.item("a")
    plan = str(fleet.plan())
    assert fleet.ganger("run", plan, "--trust").code == 5
    return plan


def test_one_of_eight_answers_counts(fleet: Fleet) -> None:
    plan = asking(fleet)
    done = race(fleet, *[("answer", "q1", f"answer {number}") for number in range(RACERS)])
    assert sorted(one.code for one in done) == [0] + [1] * (RACERS - 1)
    winner = next(number for number, one in enumerate(done) if one.code == 0)
    assert fleet.json("show", "q1")["question"]["choice"] == f"answer {winner}"
    assert all("there is no open question q1" in one.err for one in done if one.code)
    assert fleet.ganger("run", plan).code == 0
    fleet.assert_sound()


def test_one_of_eight_nights_runs(fleet: Fleet) -> None:
    fleet.begin()
    note = 'echo $GANGER_RUN >> "$shared/log"'
    fleet.shell_agent("default", f"{note}; sleep 1; echo x >> src/$item.txt; commit work")
    fleet.configure()
    for name in "abc":
        fleet.item(name)
    plan = str(fleet.plan())
    night = ("run", plan, "--trust")
    done = race(fleet, night, (*night, "--workers", "1"), ("status",), ("doctor",))
    runs = [one for number, one in enumerate(done) if number % 4 < 2]
    assert {one.code for one in runs} <= {0, 1}, runs
    assert 0 in [one.code for one in runs]
    assert all("this fleet is supervised by pid " in one.err for one in runs if one.code == 1), runs
    assert all("Traceback" not in one.both and "fault of ganger" not in one.both for one in done), done
    assert fleet.ganger("run", plan).code == 0
    assert sorted(fleet.landed_items()) == ["a", "b", "c"]
    assert sorted((fleet.shared / "log").read_text().split()) == ["a.1", "b.1", "c.1"]
    fleet.assert_sound()


def test_eight_plans_are_added_at_once(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work")
    fleet.configure()
    plans = []
    for name in "abcdefgh":
        fleet.items = []
        fleet.item(name)
        plans.append(str(fleet.plan(f"plan-{name}")))
    assert fleet.ganger("up", plans[0], "--trust").code == 0
    done = race(fleet, *[("up", plan, "--trust") for plan in plans])
    assert [one.code for one in done] == [0] * RACERS, done
    fleet.wait(lambda: fleet.statuses() == dict.fromkeys("abcdefgh", "landed"))
    assert fleet.ganger("down").code == 0
    assert sorted(fleet.landed_items()) == list("abcdefgh")
    fleet.assert_sound()
