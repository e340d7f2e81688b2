"""A command that is started without a standard stream does what it does, and says it to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId
from ganger.core.model import ItemSpec
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Fleet
from ganger.service.place import JOURNAL

OPENED = """
import os, sys
from ganger import __main__
__main__._fill_streams()
with open({path!r}) as file:
    number = file.fileno()
os.write(3, str(number).encode())
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("state")
    fleet = Fleet(Store(place / JOURNAL), Policy())
    spec = ItemSpec(ItemId("login"), PlanId("auth"), "Log in", ("login/**",))
    fleet.submit(cmd.AddPlan(PlanId("auth"), "Auth", "auth.toml", "0", ((spec, ""),)), "person:ann")
    fleet.close()
    return place


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("status", 0), ("show login", 0), ("journal tail", 0), ("show nobody", 2)])
def test_it_ends_as_with_all_of_them(state: Path, words: str, code: int, closed: str) -> None:
    env = os.environ | {"GANGER_STATE": str(state)}
    argv = ["sh", "-c", f'exec "$0" -P -m ganger {words} {closed}', sys.executable]
    done = subprocess.run(argv, env=env, cwd=state, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done
    assert bool(done.stdout) == (code == 0 and ">&-" not in closed.replace("2>&-", ""))
    assert bool(done.stderr) == (code != 0 and "2>&-" not in closed)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_its_number(tmp_path: Path, closed: str) -> None:
    (tmp_path / "any").touch()
    code = OPENED.format(path=str(tmp_path / "any"))
    argv = ["sh", "-c", f'exec "$0" -c "$1" 3>number {closed}', sys.executable, code]
    subprocess.run(argv, cwd=tmp_path, timeout=60, check=True)
    assert int((tmp_path / "number").read_text()) > 3
