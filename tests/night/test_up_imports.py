"""What lies in the repository is not what its supervisor imports."""

from __future__ import annotations

import sys

from builders import Fleet, ended


def test_a_repositorys_module_with_the_name_of_one_of_ours_is_not_run_by_up(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", 'echo x >> src/$item.txt; commit work; ganger done --summary "did it"')
    fleet.configure()
    fleet.item("a")
    trace = fleet.shared / "run"
    for name in ("click", "msgspec", "ganger"):
        (fleet.repo / f"{name}.py").write_text(f"import pathlib\npathlib.Path({str(trace)!r}).write_text({name!r})\n")
    # As an installed `ganger` begins: without the working directory on its path.
    installed = (sys.executable, "-P", "-m", "ganger")
    up = ended(fleet.start("up", str(fleet.plan()), "--trust", program=installed))
    assert up.code == 0 and not trace.exists(), up
    down = ended(fleet.start("down", "--now", program=installed))
    assert down.code == 0 and not trace.exists(), down
