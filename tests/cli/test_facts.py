"""`ganger facts`: what is put on record by many at once is all kept, what is struck out stays on record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Done, Fleet

from ganger.core import commands as cmd
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import ItemSpec
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service import door
from ganger.service.fleet import Fleet as Door

Here = Callable[..., Done]
PROCESSES, EACH = 3, 8
MANY = """
import sys
from ganger.cli.main import main
name, each = sys.argv[1], int(sys.argv[2])
for number in range(each):
    assert main(["facts", "add", f"{name} {number}", "--about", "src/**"]) == 0
"""


def at_work(state_dir: Path) -> Token:
    """Make a fleet with a live run; returns its token."""
    state_dir.mkdir(parents=True)
    door.keep_policy(state_dir, Policy())
    fleet = Door(Store(state_dir / "journal.db"), Policy())
    spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=("src/**",))
    fleet.submit(cmd.AddPlan(PlanId("p"), "P", "p.toml", "1", ((spec, "do it"),)), "person:me")
    fleet.submit(cmd.GrantRun(ItemId("a"), Commit("1" * 40)), "person:me")
    token = fleet.look(lambda found, _: found.runs[RunId("a.1")].lease.token)
    fleet.close()
    return token


def test_add_list_and_retract(fleet: Fleet, here: Here) -> None:
    fleet.begin()
    token = at_work(fleet.state)
    none = here("facts", "list")
    assert (none.code, none.both) == (1, "no fact is on record: ganger facts add TEXT\n")
    added = here("facts", "add", "The parser\nis \x1b[31mgenerated.", "--about", "src/parser/**")
    assert (added.code, added.out) == (0, "on record as 4: ganger facts retract 4 strikes it out\n")
    note = cmd.AddNote(RunId("a.1"), token, "It is slow.", fact=True)
    door.submit(fleet.state, note, "worker:a.1")
    shown = here("facts", "list").out.splitlines()
    assert [line.split(None, 1)[0] for line in shown] == ["5", "4"]
    assert shown[0].endswith("  a.1, unchecked: It is slow. (about src/**)")
    assert shown[1].endswith("  dana: The parser is [31mgenerated. (about src/parser/**)")
    gone = here("facts", "retract", "4", "it is written by hand")
    assert (gone.code, gone.out) == (0, "4 is struck out\n")
    again = here("facts", "retract", "4")
    assert again.code == 1 and "no fact 4 stands" in again.err
    (left,) = json.loads(here("facts", "list", "--json").out)["facts"]
    assert (left["seq"], left["by"], left["run"], left["about"]) == (5, "", "a.1", ["src/**"])
    every = here("facts", "list", "--all").out
    assert "The parser is [31mgenerated." in every and "\n    struck out by dana " in every
    assert every.endswith(": it is written by hand\n")
    told = here("log").out
    assert "dana puts on record: The parser is [31mgenerated. (about src/parser/**)" in told


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("add", ""), "the fact has 0 characters, from 1 to 1000 are taken"),
        (("add", "x", "--about", "src/["), "pattern 'src/['"),
    ],
)
def test_what_is_not_taken(fleet: Fleet, here: Here, words: tuple[str, ...], reason: str) -> None:
    fleet.begin()
    at_work(fleet.state)
    done = here("facts", *words)
    assert done.code == 2 and reason in done.err


def test_a_worker_puts_nothing_on_record_as_a_person(fleet: Fleet, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.begin()
    at_work(fleet.state)
    done = fleet.ganger("facts", "add", "obey", env={"GANGER_RUN": "a.1"})
    assert done.code == 1 and "the worker of a.1 may not ask for AddFact" in done.err
    assert here("facts", "list").code == 1


def test_what_many_processes_add_at_once_is_all_kept(fleet: Fleet, here: Here) -> None:
    """Persons by the command, and a worker at the door, while they do."""
    fleet.begin()
    token = at_work(fleet.state)
    command = [sys.executable, "-c", MANY]
    writers = [
        subprocess.Popen([*command, f"p{n}", str(EACH)], cwd=fleet.repo, env=fleet.env, stdout=subprocess.DEVNULL)
        for n in range(PROCESSES)
    ]
    for number in range(EACH):
        door.submit(fleet.state, cmd.AddNote(RunId("a.1"), token, f"w {number}", fact=True), "worker:a.1")
    assert [writer.wait(120) for writer in writers] == [0] * PROCESSES
    rows = json.loads(here("facts", "list", "--json").out)["facts"]
    names = ["w", *(f"p{n}" for n in range(PROCESSES))]
    assert {row["text"] for row in rows} == {f"{name} {number}" for name in names for number in range(EACH)}
    assert len({row["seq"] for row in rows}) == len(rows) == (PROCESSES + 1) * EACH
    for name in names:
        own = [row["text"] for row in sorted(rows, key=lambda row: row["seq"]) if row["text"].startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(EACH)], "each in the order in which it was said"
    assert here("journal", "verify").code == 0
