"""A lane or a scope held by somebody whom ganger did not start: with and without a supervisor, against workers."""

from __future__ import annotations

from builders import Fleet, ended

WORK = "echo x >> src/$item.txt; commit work"


def begin(fleet: Fleet, more: str = "") -> str:
    fleet.begin()
    fleet.shell_agent("default", WORK)
    fleet.configure(
        more='[lanes]\nautopick = ["b", "a"]\n[lanes.a]\npaths = ["src/a.txt"]\n[lanes.b]\npaths = ["src/b.txt"]\n'
    )
    fleet.item("a", more=more)
    fleet.item("c")
    return str(fleet.plan())


def test_it_is_held_before_any_plan_was_run_and_keeps_workers_out(fleet: Fleet) -> None:
    plan = begin(fleet)
    assert not fleet.state.exists()
    held = fleet.json("lease", "acquire", "--lane", "a", "--ttl", "1h", "--holder", "my editor")
    assert {held[name] for name in ("id", "lane")} == {"lease:1", "a"} and held["token"] == 1
    assert held["scope"] == ["src/a.txt"]
    night = fleet.start("run", plan, "--trust", "--quiet")
    fleet.wait(lambda: fleet.statuses().get("c") == "landed")
    assert fleet.statuses()["a"] == "ready"
    assert "held by lease:1 (my editor)" in fleet.ganger("next").out
    assert fleet.ganger("next").code == 3
    assert fleet.json("admit", "a")["refusal"]["holder"] == "lease:1"
    assert fleet.ganger("lease", "release", "lease:1", "1").code == 0
    assert ended(night).code == 0
    assert fleet.landed_items() == ["c", "a"]


def test_with_autopick_the_one_to_use_is_another(fleet: Fleet) -> None:
    begin(fleet)
    first = fleet.json("lease", "acquire", "--lane", "a")
    second = fleet.json("lease", "acquire", "--lane", "a", "--autopick")
    assert (first["lane"], second["lane"], second["scope"]) == ("a", "b", ["src/b.txt"])
    asked = fleet.json("admit", "--lane", "a", "--autopick")
    assert (asked["admitted"], asked["refusal"]["code"], asked["refusal"]["free"]) == (False, "overlap", [])


def test_of_many_at_once_one_gets_it(fleet: Fleet) -> None:
    begin(fleet)
    fleet.ganger("lease", "acquire", "--lane", "b")
    asking = [fleet.start("lease", "acquire", "--scope", f"src/a.{end}") for end in ("txt", "*", "t*", "[t]xt")]
    assert sorted(ended(one).code for one in asking) == [0, 1, 1, 1]


def test_what_has_run_out_is_lost(fleet: Fleet) -> None:
    begin(fleet)
    fleet.ganger("lease", "acquire", "--lane", "a", "--ttl", "1s", "--holder", "first")
    fleet.wait(lambda: fleet.ganger("admit", "--lane", "a").code == 0)
    assert fleet.ganger("lease", "list").code == 1
    late = fleet.ganger("lease", "renew", "lease:1", "1")
    assert (late.code, "lease_expired" in late.err) == (6, True)
    assert fleet.ganger("lease", "acquire", "--lane", "a", "--holder", "second").code == 0
    assert fleet.ganger("lease", "renew", "lease:1", "1").code == 6
    assert [row["holder"] for row in fleet.json("lease", "list")["leases"]] == ["second"]


def test_two_may_share_and_a_third_may_not_be_alone(fleet: Fleet) -> None:
    begin(fleet)
    for name in ("one", "two"):
        assert fleet.ganger("lease", "acquire", "--scope", "docs/**", "--shared", "--holder", name).code == 0
    assert fleet.ganger("admit", "--scope", "docs/a.md", "--shared").code == 0
    assert fleet.ganger("admit", "--scope", "docs/a.md").code == 1


def test_a_worker_may_neither_hold_nor_force(fleet: Fleet) -> None:
    """Who speaks from the environment of a run is that run's worker, whatever it asks for."""
    plan = begin(fleet)
    assert fleet.ganger("run", plan, "--trust", "--quiet").code == 0
    worker = {"GANGER_RUN": "a.1", "GANGER_TOKEN": "7"}
    for words in (
        ("lease", "acquire", "--lane", "b"),
        ("lease", "acquire", "--lane", "b", "--force"),
        ("retry", "c"),
        ("pause", "plan"),
        ("breaker", "close", "agent:default"),
    ):
        done = fleet.ganger(*words, env=worker)
        assert (done.code, "refused (forbidden)" in done.err) == (1, True), done
    head = fleet.json("journal", "verify")["head"]
    for words in (
        ("prune", "--older-than", "0s"),
        ("up", plan, "--trust"),
        ("run", plan, "--trust"),
        ("down", "--now"),
    ):
        done = fleet.ganger(*words, env=worker)
        assert (done.code, "refused (forbidden)" in done.err) == (1, True), done
    assert fleet.json("journal", "verify")["head"] == head
    assert fleet.ganger("admit", "--lane", "b", env=worker).code == 0


def test_through_a_supervisor_it_is_the_same(fleet: Fleet) -> None:
    begin(fleet)
    assert fleet.ganger("up", "--trust").code == 0
    held = fleet.json("lease", "acquire", "--lane", "a", "--ttl", "1s")
    assert held["accepted"] and held["lane"] == "a"
    fleet.wait(lambda: not fleet.json("status")["leases"])
    assert fleet.ganger("lease", "renew", held["id"], str(held["token"])).code == 6
    assert fleet.ganger("down").code == 0
