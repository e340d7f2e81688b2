"""Kinds of workers that may not write everything: kept from it by the jail, and caught by the evidence."""

from __future__ import annotations

from builders import Fleet


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
