"""Children of real agents: afresh they know nothing of their spawner's conversation, seeded they go on with a copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import Fleet, quoted
from programs import need

from ganger.testing.model_server import ModelServer
from ganger.testing.model_server.steps import Case, Say, Script, Sh

PATIENT = 'backoff = "0s"\nbackoff_max = "0s"\nlinger = "60s"\nstop_grace = "1s"\n'
TOLD = "The password of the parrot is Polly."
MODELS = {"claude": "claude-sonnet-4-5"}
CHILD = "run `a-c1.1`, at work on item `a-c1`"


def night(fleet: Fleet, server: ModelServer, driver: str, seeding: str, flags: str) -> str:
    """Have an agent spawn a scout; gives the child's conversation as its model saw it."""
    fleet.begin()
    asks = f"ganger spawn scout --brief 'Look at a.' {flags} && ganger wait"
    ends = "ganger done --outcome findings --summary 'It says a.' --evidence src/a.txt:1"
    change = "echo more >> src/a.txt; git -c user.name=a -c user.email=a@b.invalid commit -qam work"
    parents = (Say(text="Noted."), Sh(command=f"{change}; ganger done --summary ok"), Say(text="Over."))
    script = Script(
        case=(
            Case(when=CHILD, step=(Sh(command=ends), Say(text="Told."))),
            Case(step=(Sh(command=f"echo '{TOLD}'; {asks}"), *parents)),
        )
    )
    url = server.script(driver, script)
    base = url if driver == "claude" else f"{url}/v1"
    model = MODELS.get(driver, "fake-model")
    fleet.configure(
        recovery=PATIENT,
        more=f'[agents.{driver}]\ndriver = "{driver}"\nprogram = {quoted(str(need(driver)))}\nbase_url = "{base}"\n'
        f'model = "{model}"\nkey_env = "MODEL_KEY"\n[kinds.patcher]\nspawn = ["scout"]\n'
        f'[kinds.scout]\nagent = "{driver}"\n{seeding}\n',
    )
    fleet.item("a", agent=driver)
    done = fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet", env={"MODEL_KEY": "sk-1"})
    assert done.code == 0 and fleet.landed_items() == ["a"], done
    return server.state(driver).seen[CHILD]


@pytest.fixture
def fleet(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Fleet(tmp_path / "lab")
    yield made
    left = made.close()
    assert not left, f"the test left processes: {left}"


INHERIT = 'seeding = "inherit"'
ROWS = [("pi", "", "--inherit", True), ("pi", INHERIT, "--inherit --fresh", False), ("claude", INHERIT, "", True)]


def seeding_of(fleet: Fleet) -> str:
    found = json.loads((fleet.state / "runs" / "a-c1.1" / "turn-1" / "manifest.json").read_bytes())["seeding"]
    assert isinstance(found, str)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "seeding", "flags", "knows"), ROWS)
def test_a_child_begins_as_it_is_told(
    fleet: Fleet, server: ModelServer, driver: str, seeding: str, flags: str, knows: bool
) -> None:
    conversation = night(fleet, server, driver, seeding, flags)
    assert CHILD in conversation and "Look at a." in conversation
    assert (TOLD in conversation) is knows
    assert seeding_of(fleet).partition(" ")[0] == ("inherit" if knows else "fresh")


def test_a_driver_that_cannot_is_refused_before_anything_begins(fleet: Fleet) -> None:
    fleet.begin()
    program = quoted(str(need("codex")))
    fleet.configure(
        more=f'[agents.default]\ndriver = "codex"\nprogram = {program}\nbase_url = "http://127.0.0.1:1"\n'
        '[kinds.scout]\nagent = "default"\nseeding = "inherit"\n'
    )
    fleet.item("a", more='kind = "scout"')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 2, done
    assert "kinds.scout.seeding: the driver codex cannot go on with a copy of a conversation" in done.err
    assert not fleet.state.exists()
