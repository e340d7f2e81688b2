"""`[workspace]`: in a night, workers find their dependencies, ports and variables, and cannot write what is shared."""

from __future__ import annotations

from builders import Fleet

WORKSPACE = """\
[workspace]
setup = "sh -c 'mkdir -p deps/lib && cat lock.json > deps/lib/version'"
setup_key = ["lock.json"]
linked = ["deps"]
ports = 2
env = { STAGE = "night" }
"""


def test_a_night_with_provisioned_workspaces(fleet: Fleet) -> None:
    fleet.begin({"src/a.txt": "a\n", "src/b.txt": "b\n", "lock.json": "v1\n", ".gitignore": "deps/\n"})
    script = """
echo hacked 2>/dev/null > deps/lib/version
echo "$STAGE $(cat deps/lib/version) $((GANGER_PORT_1 - GANGER_PORT_0))" >> src/$item.txt
echo "$GANGER_PORT_0" >> "$shared/ports"
commit work; ganger done --summary ok
"""
    fleet.shell_agent("default", script)
    fleet.configure(more=WORKSPACE)
    fleet.item("a")
    fleet.item("b")
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 0, done
    for name in "ab":
        assert fleet.on_main(f"src/{name}.txt") == f"{name}\nnight v1 1\n"
    assert len(list((fleet.state / "provision/cache").iterdir())) == 1
    assert len(fleet.git("show", "--format=", "--name-only", "main~0^2").splitlines()) == 1
    fleet.assert_sound()


def test_its_command_needs_agreement_and_its_values_are_looked_at(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", "true")
    fleet.item("a")
    for text, said in (
        ('linked = ["../x"]', "no path inside the repository"),
        ('env = { PATH = "/evil" }', "ganger sets that itself"),
        ("ports = 1000", "must be"),
    ):
        fleet.configure(more=f"[workspace]\n{text}\n")
        done = fleet.ganger("run", str(fleet.plan()), "--trust")
        assert done.code == 2
        assert said in done.err
    fleet.configure(more='[workspace]\nsetup = "make things"\n')
    done = fleet.ganger("run", str(fleet.plan()))
    assert done.code == 2
    assert "setup of workspaces: make things" in done.err
