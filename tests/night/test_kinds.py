"""Kinds of workers that may not write everything: kept from it by the jail, and caught by the evidence."""

from __future__ import annotations

import pytest
from builders import Fleet, ended


def test_what_a_kind_may_not_write_does_not_land(fleet: Fleet) -> None:
    fleet.begin({"src/a.txt": "a\n", "src/b.txt": "b\n", "tests/test_c.py": "# c\n", ".gitignore": "x\n"})
    blocked = 'if echo x > new 2>/dev/null; then echo wrote; else echo blocked; fi > "$shared/$item"\n'
    work = "echo worked >> src/$item.txt; echo '# more' >> tests/test_c.py; commit work; ganger done --summary ok"
    fleet.shell_agent("default", blocked + work)
    kinds = '[kinds.scout]\nwrites = "none"\n[kinds.tester]\nwrites = "tests"\n'
    fleet.configure(more=kinds)
    scope = ("src/a.txt", "src/b.txt", "tests/test_c.py", "src/never/**")
    once = "budget = { attempts_max = 1 }\n"
    fleet.item("a", scope=scope, more=f'{once}kind = "scout"')
    fleet.item("b", scope=scope, more=f'{once}kind = "tester"')
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 3
    assert fleet.landed_items() == []
    assert (fleet.shared / "a").read_text() == "blocked\n"
    assert (fleet.shared / "b").read_text() == "wrote\n"
    why = fleet.ganger("why", "b")
    assert "a tester may change only tests, but this changes" in why.out
    assert "untouched of its scope: src/a.txt, src/never/**" in why.out
    assert "off plan: new" in why.out
    assert fleet.json("why", "b")["fidelity"]["off_plan"] == ["new"]
    fleet.assert_sound()


SCOUTS = '[kinds.scout]\nwrites = "none"\n'
WAITS = """
exec 2> /dev/null
echo x > src/a.txt; echo x > new; echo x > .git/config; git commit -q --allow-empty -m x
git log --format=%s -1 > "$shared/log-$item"; cat src/a.txt > "$shared/read-$item"
echo mine > "$HOME/own" && echo mine > "$TMPDIR/own" && echo "$HOME" > "$shared/home-$item"
pwd -P > "$shared/at-$item"
until test -f "$shared/at-a" && test -f "$shared/at-b"; do sleep 0.1; done
until test -f "$shared/go"; do sleep 0.1; done
ganger done --summary read
"""


@pytest.mark.parametrize("mechanism", ("bubblewrap", "landlock"))
def test_kinds_that_write_nothing_share_a_checkout_that_the_wall_closes(fleet: Fleet, mechanism: str) -> None:
    fleet.begin()
    fleet.shell_agent("default", WAITS)
    fleet.configure(more=SCOUTS)
    settings = fleet.repo / "ganger.toml"
    settings.write_text(settings.read_text().replace("[jail]\n", f'[jail]\nmechanism = "{mechanism}"\n'))
    for name in "ab":
        fleet.item(name, scope=(f"src/{name}/**",), more='budget = { attempts_max = 1 }\nkind = "scout"')
    night = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait(lambda: (fleet.shared / "at-a").exists() and (fleet.shared / "at-b").exists())
    checkouts = [place for place in (fleet.state / "shared").iterdir() if place.is_dir()]
    assert len(checkouts) == 1
    assert {(fleet.state / "workspaces" / run).readlink() for run in ("a.1", "b.1")} == set(checkouts)
    assert (fleet.shared / "at-a").read_text() == (fleet.shared / "at-b").read_text() == f"{checkouts[0]}\n"
    assert (fleet.shared / "home-a").read_text() != (fleet.shared / "home-b").read_text()
    assert (fleet.shared / "read-a").read_text() == "a\n"
    assert (fleet.shared / "log-a").read_text() == f"{fleet.git('log', '-1', '--format=%s')}\n"
    assert (checkouts[0] / "src/a.txt").read_text() == "a\n"
    assert not (checkouts[0] / "new").exists()
    assert "ganger worker reader" in (checkouts[0] / ".git/config").read_text()
    (fleet.shared / "go").touch()
    assert ended(night).code == 0, "both were asked for no change, and have reported"
    assert fleet.statuses() == {"a": "finished", "b": "finished"} and fleet.landed_items() == []
    assert list((fleet.state / "shared").iterdir()) == [], "nobody uses it any more"
    assert list((fleet.state / "workspaces").iterdir()) == []
    said = fleet.ganger("salvage", "show", "a.1")
    assert said.code == 2
    assert "nothing was salvaged of a.1: it only read, in a checkout that it could not write" in said.err
    fleet.assert_sound()


def test_without_a_wall_each_has_a_workspace_and_its_changes_are_kept_and_land_nowhere(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work; ganger done --summary ok")
    fleet.configure(more=SCOUTS)
    settings = fleet.repo / "ganger.toml"
    settings.write_text(settings.read_text().replace("[jail]\n", '[jail]\nmechanism = "none"\ntier_min = "T0"\n'))
    fleet.item("a", more='budget = { attempts_max = 1 }\nkind = "scout"')
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 0
    assert not (fleet.state / "shared").exists()
    assert fleet.statuses() == {"a": "finished"} and fleet.landed_items() == []
    assert fleet.on_main("src/a.txt") == "a\n"
    assert fleet.ganger("salvage", "show", "a.1").code == 0
