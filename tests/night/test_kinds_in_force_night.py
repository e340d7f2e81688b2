"""Kinds that are added and changed while a real supervisor is up: what begins under which rights, and what is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from builders import Fleet

WORKS = """\
if echo x > new 2>/dev/null; then echo wrote; else echo blocked; fi > "$shared/now-$GANGER_RUN"
rm -f new; cp "$GANGER_BRIEF_FILE" "$shared/told-$GANGER_RUN"; mv "$shared/now-$GANGER_RUN" "$shared/tried-$GANGER_RUN"
until test -f "$shared/go-$item"; do sleep 0.05; done
if test "$(cat "$shared/tried-$GANGER_RUN")" = blocked; then ganger done --outcome findings --summary "Seen."
else echo x >> src/$item.txt; commit work; ganger done --summary "did it"; fi
"""
READER = '+++\nintent = "Watches"\nwrites = "none"\n+++\n- Watch the gate.\n'
WRITER = '+++\nwrites = "scope"\n+++\n'


class Watched:
    """A fleet whose supervisor is up all the time."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.user = fleet.home / ".config" / "ganger"
        (self.user / "kinds").mkdir(parents=True)
        fleet.begin()
        fleet.shell_agent("default", WORKS)
        fleet.configure(fleet="workers_max = 4\n")

    def up(self, *more: str, plan: str = "plan") -> None:
        """Have a supervisor work on what is in the plan by now, one that is up already or a new one."""
        done = self.fleet.ganger("up", str(self.fleet.plan(plan)), *more)
        assert done.code == 0, done

    def down(self) -> None:
        assert self.fleet.ganger("down", "--now").code == 0
        self.fleet.assert_sound()

    def item(self, name: str, kind: str = "patcher") -> None:
        self.fleet.item(name, more=f'kind = "{kind}"')

    def tried(self, run: str) -> str:
        """Whether a worker could write its workspace, once it has tried; empty before."""
        path = self.fleet.shared / f"tried-{run}"
        return path.read_text().strip() if path.exists() else ""

    def begins(self, run: str) -> str:
        self.fleet.wait(lambda: bool(self.tried(run)))
        return self.tried(run)

    def told(self, run: str) -> str:
        return (self.fleet.shared / f"told-{run}").read_text()

    def go(self, item: str) -> None:
        (self.fleet.shared / f"go-{item}").touch()

    def waits(self, item: str, said: str) -> None:
        """Wait until an item waits for the reason that is said, wherever a person looks."""
        self.fleet.wait(lambda: said in self.fleet.json("why", item)["reason"])
        assert not self.fleet.runs(item), "nothing of it has begun"

    def waiting(self) -> dict[str, str]:
        found: dict[str, str] = self.fleet.json("kinds", "list")["waiting"]
        return found

    @property
    def log(self) -> list[str]:
        """What the supervisor said of kinds."""
        lines = (self.fleet.state / "supervisor.log").read_text().splitlines()
        return [line for line in lines if line.startswith("kinds: ")]

    def show(self, kind: str) -> dict[str, Any]:
        return self.fleet.json("kinds", "show", kind)


@pytest.fixture
def watched(fleet: Fleet) -> Watched:
    return Watched(fleet)


def test_a_kind_that_comes_while_a_supervisor_is_up_is_held_to_its_rights(watched: Watched) -> None:
    watched.item("a")
    watched.up("--trust")
    assert watched.begins("a.1") == "wrote"
    (watched.user / "kinds/guard.md").write_text(READER)
    watched.item("b", "guard")
    watched.up()
    assert watched.begins("b.1") == "blocked", "as `ganger kinds show guard` has it"
    assert "## As a guard\n\nWatches\n\n- Watch the gate." in watched.told("b.1")
    assert watched.show("guard")["waits"] == "" and watched.waiting() == {}
    manifest = json.loads((watched.fleet.state / "runs/b.1/turn-1/manifest.json").read_bytes())
    noted = {one["key"]: one["value"] for one in manifest["settings"]}
    assert (noted["kinds.guard.writes"], manifest["rules_left_out"]) == ('"none"', "")
    assert watched.log == ["kinds: in force for runs that begin from here on: `guard`"]
    watched.go("a")
    watched.go("b")
    watched.fleet.wait(lambda: watched.fleet.statuses() == {"a": "landed", "b": "finished"})
    watched.down()


def test_what_a_repository_brings_waits_for_a_persons_word(watched: Watched) -> None:
    watched.item("a")
    watched.up("--trust")
    watched.begins("a.1")
    settings = watched.fleet.repo / "ganger.toml"
    settings.write_text(settings.read_text() + '[kinds.scout]\nwrites = "scope"\n[kinds.tester]\nworkers_max = 2\n')
    watched.item("b", "scout")
    watched.item("c", "tester")
    watched.up()
    reason = "nobody has agreed to it yet (ganger kinds agree)"
    held, left = f"is not in force as it is written: {reason}", f"goes on as it was: {reason}"
    watched.waits("b", f"kind scout {held}")
    assert watched.begins("c.1") == "wrote", "how many there may be is no right"
    assert watched.waiting() == {"scout": held, "tester": left}
    shown = watched.fleet.ganger("kinds", "show", "scout")
    assert f"not in force with the supervisor that is up: scout {held}\n" in shown.err
    assert '  there it has writes = "none"\n' in shown.err
    status = watched.fleet.ganger("status").out
    assert f"kind scout {held}\nkind tester {left}\n" in status
    assert watched.log == [f"kinds: scout {held}; no run of it begins", f"kinds: tester {left}"], "each said once"
    asked = watched.fleet.ganger("kinds", "agree")
    assert asked.code == 2 and ': kinds.scout.writes = "scope"\n' in asked.err
    assert watched.fleet.ganger("kinds", "agree", "--trust").code == 0
    assert watched.begins("b.1") == "wrote"
    assert watched.waiting() == {}
    watched.fleet.write({".ganger/kinds/guard.md": READER})
    watched.item("d", "guard")
    watched.up("--trust")
    assert watched.begins("d.1") == "blocked", "agreed to with the plan"
    watched.down()


def test_a_kind_with_other_rights_than_its_live_runs_begins_no_run_until_they_have_ended(watched: Watched) -> None:
    (watched.user / "kinds/guard.md").write_text(WRITER)
    watched.item("a", "guard")
    watched.item("b")
    watched.up("--trust")
    assert (watched.begins("a.1"), watched.begins("b.1")) == ("wrote", "wrote")
    (watched.user / "kinds/guard.md").write_text(READER)
    watched.fleet.items.clear()
    watched.item("c", "guard")
    watched.item("d")
    watched.up(plan="later")
    why = "has changed, and a.1 began with it as it was"
    watched.waits("c", f"kind guard {why}")
    assert watched.begins("d.1") == "wrote", "the others go on"
    assert watched.show("guard")["waits"] == why
    assert f"kind guard {why}\n" in watched.fleet.ganger("status").out
    watched.go("a")
    assert watched.begins("c.1") == "blocked"
    watched.fleet.wait(lambda: watched.fleet.statuses()["a"] == "landed")
    assert watched.waiting() == {}
    assert watched.log == [
        f"kinds: guard {why}; no run of it begins",
        "kinds: in force for runs that begin from here on: `guard`",
    ]
    watched.down()


def test_a_kind_that_comes_with_another_change_waits_and_comes_when_that_is_gone(watched: Watched) -> None:
    watched.item("a")
    watched.up("--trust")
    watched.begins("a.1")
    (watched.user / "kinds/guard.md").write_text(READER)
    own = watched.user / "config.toml"
    own.write_text("[recovery]\nturns_max = 7\n")
    watched.item("b", "guard")
    watched.item("c")
    watched.up()
    why = "is not in force as it is written: `recovery.turns_max` changed too, which waits for the next supervisor"
    watched.waits("b", f"kind guard {why}")
    assert watched.begins("c.1") == "wrote", "the others go on"
    assert watched.waiting() == {"guard": why}
    watched.go("a")
    watched.go("c")
    watched.fleet.wait(lambda: watched.fleet.statuses() == {"a": "landed", "b": "ready", "c": "landed"})
    own.write_text("[recovery\n")
    watched.fleet.wait(lambda: f"{own}:1: is not TOML" in watched.fleet.ganger("status").out)
    assert not watched.fleet.runs("b")
    own.unlink()
    assert watched.begins("b.1") == "blocked", "noticed although nothing else happened"
    assert len(watched.log) == 3
    watched.down()
