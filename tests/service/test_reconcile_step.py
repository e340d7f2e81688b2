"""The external reconcile step as a real program: it lets go or holds back, and whatever else it does holds."""

from __future__ import annotations

import json
import sys
import time
from importlib import invalidate_caches
from pathlib import Path

import pytest

from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.ids import ItemId
from ganger.core.model import Hold, LeaseMode, RefusalCode
from ganger.errors import ConfigError
from ganger.service.predicates import Held, Request
from ganger.service.programs import MARGIN_MS
from ganger.service.reconcile_step import ReconcileStep, Situation, Step, Waiting, of_fleet, situation
from ganger.service.tables import Driver
from ganger.testing.builders import BASE, NOW_MS, Story, spec

ASKED = Situation(now_ms=NOW_MS, offered=("a", "b"), ready=(), held=(), leases=(), left_out=0)
COULD_NOT = "the driver could not be asked: "
NO_DECISION = COULD_NOT + "its answer is no decision: "
BOTH = frozenset({ItemId("a"), ItemId("b")})
NONE: frozenset[ItemId] = frozenset()


def step(root: Path, text: str, timeout_ms: int = 5_000) -> ReconcileStep:
    return ReconcileStep(root / "state", root, Driver((sys.executable, "-I", "-S", "-c", text), timeout_ms))


def says(**fields: object) -> str:
    return f"print({json.dumps(fields)!r})"


ANSWERS = {
    "go": (says(decision="go"), Step(BOTH)),
    "go with some": (says(decision="go", only=["b"], reason="b first"), Step(frozenset({ItemId("b")}))),
    "go with none": (
        says(decision="go", only=[]),
        Step(NONE, reason="the driver let nothing of it go: it gave no reason"),
    ),
    "hold": (says(decision="hold", reason="deploying\nmore"), Step(NONE, reason="the driver said hold: deploying")),
    "stop": (says(decision="stop", reason="\x1b[31m"), Step(NONE, True, "the driver said stop: \\x1b[31m")),
    "a crash": ("raise OSError", Step(NONE, reason=COULD_NOT + "it exited with 1")),
    "go, and a crash": (says(decision="go") + "; 1 / 0", Step(NONE, reason=COULD_NOT + "it exited with 1")),
    "a signal": ("import os; os.kill(os.getpid(), 9)", Step(NONE, reason=COULD_NOT + "signal 9 ended it")),
    "nothing": ("", Step(NONE, reason=NO_DECISION + "Input data was truncated")),
    "garbage": ("print('yes')", Step(NONE, reason=NO_DECISION + "JSON is malformed: invalid character (byte 0)")),
    "a flood": ("print('x' * 70_000)", Step(NONE, reason=COULD_NOT + "it printed more than 64 KiB")),
    "no decision": ("print('{}')", Step(NONE, reason=NO_DECISION + "Object missing required field `decision`")),
    "another": (says(decision="yes"), Step(NONE, reason=NO_DECISION + "Invalid enum value 'yes' - at `$.decision`")),
    "one field more": (
        says(decision="go", effects=[]),
        Step(NONE, reason=NO_DECISION + "Object contains unknown field `effects`"),
    ),
    "what was not offered": (
        says(decision="go", only=["a", "z"]),
        Step(NONE, reason=COULD_NOT + "it chose z, which was not offered"),
    ),
    "hold some": (
        says(decision="hold", only=["a"]),
        Step(NONE, reason=COULD_NOT + "`only` goes with `go`, not with `hold`"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(tmp_path: Path, name: str) -> None:
    text, expected = ANSWERS[name]
    assert step(tmp_path, text).ask(ASKED) == expected


def test_a_slow_one_takes_no_longer_than_its_limit(tmp_path: Path) -> None:
    began = time.monotonic()
    found = step(tmp_path, says(decision="go") + "; import time; time.sleep(60)", 500).ask(ASKED)
    assert (time.monotonic() - began) * 1000 < 500 + MARGIN_MS + 600
    assert found == Step(NONE, reason=COULD_NOT + "it took longer than 0.5 s")


def test_what_it_reads(tmp_path: Path) -> None:
    specs = [spec(name, scope=(f"src/{name}/**",)) for name in "abcd"]
    story = Story(*specs, spec("later", after=(ItemId("a"),)), spec("draft", hold=Hold("draft")))
    story.do(cmd.GrantRun(ItemId("d"), BASE))
    story.append(ev.LeaseGranted("olga", ("docs/**",), LeaseMode.shared, 1 << 50))
    story.do(cmd.RecordWait(ItemId("c"), *_refused(), NOW_MS + 60_000))
    found = situation(story.state, story.now_ms, (ItemId("a"),))
    assert found == Situation(
        now_ms=NOW_MS,
        offered=("a",),
        ready=tuple(Request(name, "plan", (f"src/{name}/**",), "", "default", "patcher") for name in "ab"),
        held=(
            Waiting("c", "predicate", "item c was refused by freeze a short while ago", NOW_MS + 60_000),
            Waiting("draft", "held", "item draft is held: draft", 0),
        ),
        leases=(Held("d.1", ("src/d/**",), "exclusive"), Held(f"lease:{story.state.seq - 1}", ("docs/**",), "shared")),
        left_out=0,
    )
    keep = "import sys; open('seen', 'w').write(sys.stdin.read()); " + says(decision="go")
    assert step(tmp_path, keep).ask(found).items == {"a"}
    seen = json.loads((tmp_path / "seen").read_bytes())
    assert (seen["kind"], seen["version"], seen["offered"]) == ("ganger.reconcile", 1, ["a"])
    assert seen["held"][0]["reason"] == "item c was refused by freeze a short while ago"


def _refused() -> tuple[RefusalCode, str, str]:
    return RefusalCode.predicate, "no", "freeze"


def test_a_function_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "site" / "drives-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: drives\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ganger.reconcilers]\nfirst = drives:first\nraises = drives:raises\n")
    (tmp_path / "site" / "drives.py").write_text(
        "def first(asked): return {'decision': 'go', 'only': asked['offered'][:1]}\ndef raises(asked): raise OSError\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    invalidate_caches()

    def named(name: str) -> ReconcileStep | None:
        return of_fleet(tmp_path / "state", tmp_path, Driver((f"ganger.reconcilers:{name}",), 5_000))

    first, raises = named("first"), named("raises")
    assert first is not None and first.ask(ASKED) == Step(frozenset({ItemId("a")}))
    assert raises is not None and raises.ask(ASKED) == Step(NONE, reason=COULD_NOT + "it exited with 70")
    with pytest.raises(ConfigError, match=r"no installed package offers `ganger\.reconcilers:x`"):
        named("x")
    assert of_fleet(tmp_path, tmp_path, None) is None
