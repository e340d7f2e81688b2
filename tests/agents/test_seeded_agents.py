"""Children of real agents: afresh they know nothing of their spawner's conversation, seeded they go on with a copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders import Fleet, quoted
from programs import ALL, need

from ganger.testing.model_server import ModelServer
from ganger.testing.model_server.steps import Case, Say, Script, Sh

PATIENT = 'backoff = "0s"\nbackoff_max = "0s"\nlinger = "60s"\nstop_grace = "1s"\n'
TOLD = "The password of the parrot is Polly."
SAID = "It was the child that said this."
BASE = {"claude": "", "gemini": ""}
"""What stands after the address of a session; `/v1` where nothing is said."""
MODELS = {"claude": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}
CHILD = "run `a-c1.1`, at work on item `a-c1`"


def night(fleet: Fleet, server: ModelServer, driver: str, seeding: str, flags: str) -> dict[str, str]:
    """Have an agent spawn a scout; gives what their models saw last, by the case of the script."""
    fleet.begin()
    asks = f"ganger spawn scout --brief 'Look at a.' {flags} && ganger wait"
    ends = "ganger done --outcome findings --summary 'It says a.' --evidence src/a.txt:1"
    change = "echo more >> src/a.txt; git -c user.name=a -c user.email=a@b.invalid commit -qam work"
    parents = (Say(text="Noted."), Sh(command=f"{change}; ganger done --summary ok"), Say(text="Over."))
    script = Script(
        case=(
            Case(when=CHILD, step=(Sh(command=f"pwd | sed 's/^/at: /'; {ends}"), Say(text=SAID))),
            Case(step=(Sh(command=f"echo '{TOLD}'"), Sh(command=asks), *parents)),
        )
    )
    base = server.script(driver, script) + BASE.get(driver, "/v1")
    model = MODELS.get(driver, "fake-model")
    fleet.configure(
        recovery=PATIENT,
        more=f'[agents.{driver}]\ndriver = "{driver}"\nprogram = {quoted(str(need(driver)))}\nbase_url = "{base}"\n'
        f'model = "{model}"\nkey_env = "MODEL_KEY"\n[kinds.patcher]\nspawn = ["scout"]\n'
        f'[kinds.scout]\nagent = "{driver}"\n{seeding}\n',
    )
    fleet.item("a", agent=driver)
    done = fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet", env={"MODEL_KEY": "sk-1"})
    assert done.code == 0 and fleet.landed_items() == ["a"], (done, server.state(driver))
    return server.state(driver).seen


@pytest.fixture
def fleet(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Fleet(tmp_path / "lab")
    yield made
    left = made.close()
    assert not left, f"the test left processes: {left}"


INHERIT = 'seeding = "inherit"'
ROWS = [
    ("pi", "", "--inherit", True),
    ("pi", INHERIT, "--inherit --fresh", False),
    ("claude", INHERIT, "", True),
    ("codex", INHERIT, "", True),
    ("opencode", INHERIT, "", True),
    *(("gemini", INHERIT, "", True), ("qwen", INHERIT, "", True), ("copilot", INHERIT, "", True))[: 3 * ALL],
]


def manifest_of(fleet: Fleet, run: str) -> dict[str, object]:
    found = json.loads((fleet.state / "runs" / run / "turn-1" / "manifest.json").read_bytes())
    assert isinstance(found, dict)
    return found


def holds(folder: Path, words: str) -> bool:
    """Whether any file below a folder has these words."""
    return any(words.encode() in path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "seeding", "flags", "knows"), ROWS)
def test_a_child_begins_as_it_is_told(
    fleet: Fleet, server: ModelServer, driver: str, seeding: str, flags: str, knows: bool
) -> None:
    seen = night(fleet, server, driver, seeding, flags)
    runs = fleet.state / "runs"
    spawner, child = manifest_of(fleet, "a.1"), manifest_of(fleet, "a-c1.1")
    assert CHILD in seen[CHILD] and "Look at a." in seen[CHILD]
    assert f"at: {fleet.state}/shared/" in seen[CHILD], "it reads where those who write nothing do"
    assert (TOLD in seen[CHILD]) is knows
    assert str(child["seeding"]).partition(" ")[0] == ("inherit" if knows else "fresh")
    spent = [run["tokens"] for run in fleet.runs("a-c1")]
    assert spent == [0 if driver == "copilot" else 2 * 110], "what its spawner used is not its own"
    assert child["driver_version"] == spawner["driver_version"] != ""
    assert (runs / "a.1" / "turn-2").exists() and TOLD in seen[""], "the spawner went on with its own"
    assert SAID not in seen[""] and CHILD not in seen[""]
    assert holds(runs / "a-c1.1" / "agent", SAID) and not holds(runs / "a.1" / "agent", SAID)


def test_a_driver_that_cannot_is_refused_before_anything_begins(fleet: Fleet) -> None:
    fleet.begin()
    fleet.configure(
        more='[agents.default]\ndriver = "command"\nrun = "true"\n'
        '[kinds.scout]\nagent = "default"\nseeding = "inherit"\n'
    )
    fleet.item("a", more='kind = "scout"')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 2, done
    assert "kinds.scout.seeding: the driver command cannot go on with a copy of a conversation" in done.err
    assert not fleet.state.exists()
