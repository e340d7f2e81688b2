"""What a worker is sent is on record before it starts, is what is sent, and says who it is and how to report."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from lab import RUN, SPEC, Lab
from msgspec.structs import replace

from ganger.core import events as ev
from ganger.core.facts import Repeat
from ganger.core.ids import ItemId, RunId
from ganger.core.model import Again
from ganger.core.policy import Policy
from ganger.drivers.command import CommandDriver
from ganger.drivers.port import Driver, Launch, Turn
from ganger.errors import LaunchRefused
from ganger.git.repository import open_repository
from ganger.jail.none import NoJail
from ganger.service.config import load
from ganger.service.kinds import Rules, places
from ganger.supervisor import brief, packet
from ganger.supervisor.packet import Told
from ganger.supervisor.world import RealWorld

HASHES = """
import hashlib, json, os, sys
sent = sys.stdin.buffer.read()
file = open(os.environ["GANGER_BRIEF_FILE"], "rb").read()
said = {"stdin": hashlib.sha256(sent).hexdigest(), "file": hashlib.sha256(file).hexdigest(), "text": sent.decode()}
said["model"] = os.environ.get("MODEL", "")
path = sys.argv[1]
json.dump(said, open(path + ".new", "w"))
os.rename(path + ".new", path)
"""


def run_of(root: Path) -> str:
    """The command of the agent."""
    return f"{sys.executable} {root / 'hashes.py'} {root / 'said'}"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    (tmp_path / "hashes.py").write_text(HASHES)
    made = Lab(tmp_path, run_of(tmp_path))
    with made.store.writing() as writing:
        writing.append(
            (ev.PlanAdded(SPEC.plan, "P", "p.toml", "1"), ev.ItemAdded(SPEC, "Make it “two”, né?\n\n\ttab")), "test"
        )
    yield made
    made.close()


def world_of(lab: Lab, driver: Driver, settings: Mapping[str, str], told: Told) -> RealWorld:
    """Another world on the same state, with an agent of another make."""
    never: Callable[[str], bool] = lambda path: False  # noqa: E731
    agents = {"hand": (driver, settings)}
    repository = open_repository(lab.top)
    return RealWorld(lab.state_dir, repository, lab.hub, Policy(), agents, NoJail(), never, never, lab.watch, told=told)


def folder(lab: Lab, turn: int = 1) -> Path:
    return lab.state_dir / "runs" / RUN / f"turn-{turn}"


def manifest(lab: Lab, turn: int = 1) -> dict[str, object]:
    found = json.loads((folder(lab, turn) / "manifest.json").read_bytes())
    assert isinstance(found, dict)
    return found


def said(lab: Lab) -> dict[str, str]:
    """What the worker found, once it has ended."""
    path, until = lab.state_dir.parent / "said", time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    found: dict[str, str] = json.loads(path.read_text())
    path.unlink()
    return found


def test_a_worker_gets_byte_for_byte_what_is_on_record(lab: Lab) -> None:
    lab.world.start(lab.run, SPEC, 1)
    found, noted = said(lab), manifest(lab)
    assert (found["stdin"], found["file"]) == (noted["stdin_sha256"], noted["prompt_sha256"])
    stored = (folder(lab) / "stdin").read_bytes()
    assert hashlib.sha256(stored).hexdigest() == found["stdin"]
    assert stored.decode() == found["text"] and "Make it “two”, né?\n\n\ttab" in found["text"]
    assert brief.lacks(found["text"], RUN, SPEC.id) == ()
    assert [path.name for path in folder(lab).iterdir() if path.name.startswith(".")] == []


def project(lab: Lab, files: Mapping[str, str]) -> Told:
    """What launches are made with where the repository has these files."""
    for name, text in files.items():
        path = lab.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    config = load(lab.top, None, {"PATH": "/bin:/usr/bin"}, {})
    rules = Rules(places(lab.top, None), config.rulebook, lambda digest: False)
    return Told(rules, config.presets, config.explain())


RUNS_HAND = (
    "[agents.hand]\ndriver = 'command'\nrun = 'x'\nmodels = ['small', 'large']\nmodel = 'large'\n"
    "[workspace]\nenv = { TOKEN = 'CANARY' }\n"
)
SCOUT = "+++\nagent = 'hand'\nmodel = 'small'\nworkers_max = 2\n+++\n- Mind the gap.\n"


class Modelled(CommandDriver):
    """A program that finds its model in its environment."""

    def launch(self, turn: Turn) -> Launch:
        made = super().launch(turn)
        return Launch(made.argv, {**made.env, "MODEL": turn.settings.get("model", "")}, made.stdin)


@pytest.mark.parametrize(
    ("kind", "model", "source", "telling"),
    [("scout", "small", "project", "- Mind the gap.\n\n## Limits"), ("patcher", "large", "project", "## As a patcher")],
)
def test_the_record_names_what_holds_and_where_it_comes_from(
    lab: Lab, kind: str, model: str, source: str, telling: str
) -> None:
    told = project(lab, {"ganger.toml": RUNS_HAND, ".ganger/kinds/scout.md": SCOUT, ".ganger/rules.md": "- Kindly.\n"})
    settings = {"run": run_of(lab.state_dir.parent), "model": "large"}
    world_of(lab, Modelled(), settings, told).start(lab.run, replace(SPEC, kind=kind), 1)
    found, noted = said(lab), manifest(lab)
    assert (found["model"], noted["model"], noted["model_source"]) == (model, model, source)
    assert telling in found["text"]
    assert (noted["kind"], noted["agent"], noted["tier"], noted["rules_left_out"]) == (kind, "hand", "T0", "")
    rules = noted["rules"]
    assert isinstance(rules, list)
    own = [("project", ".ganger/kinds/scout.md")] if kind == "scout" else []
    assert [(one["source"], one["path"]) for one in rules] == [
        ("built-in", "ganger/kinds/rules.md"),
        ("project", ".ganger/rules.md"),
        ("built-in", f"ganger/kinds/{kind}.md"),
        *own,
    ]
    for one in rules:
        at = lab.top / one["path"]
        if one["source"] == "project":
            assert hashlib.sha256(at.read_bytes()).hexdigest() == one["sha256"]
    listed = noted["settings"]
    assert isinstance(listed, list)
    where = {one["key"]: (one["value"], one["source"], one.get("path"), one.get("line")) for one in listed}
    assert where["agents.hand.model"] == ('"large"', "project", "ganger.toml", 5)
    if kind == "scout":
        assert where["kinds.scout.model"] == ('"small"', "project", ".ganger/kinds/scout.md", 3)
    assert where["jail.network"][1] == "built-in"
    assert "CANARY" not in (folder(lab) / "manifest.json").read_text(), "what is in the environment may be a secret"
    assert not [key for key in where if key.startswith("kinds.") and not key.startswith(f"kinds.{kind}.")]


def order_of(lab: Lab) -> tuple[Turn, Launch]:
    """A packet as the start of turn 1 leaves it."""
    lab.world.start(lab.run, SPEC, 1)
    said(lab)
    text = (folder(lab) / "brief.1.md").read_text()
    settings = {"run": "true"}
    order = Turn(RUN, SPEC.id, 1, lab.run.lease.token, text, lab.place, folder(lab), settings)
    return order, CommandDriver().launch(order)


def changed(name: str, content: str) -> Callable[[Path], object]:
    return lambda at: (at / name).write_text(content)


def noting(**fields: object) -> Callable[[Path], object]:
    def change(at: Path) -> None:
        found = json.loads((at / "manifest.json").read_text())
        (at / "manifest.json").write_text(json.dumps(found | fields))

    return change


HARM: list[tuple[str, Callable[[Path], object], str]] = [
    ("nothing", lambda at: None, ""),
    ("no manifest", lambda at: (at / "manifest.json").unlink(), "the manifest of a.1 turn 1 is missing"),
    ("half a manifest", changed("manifest.json", "{"), "the manifest of a.1 turn 1 cannot be read: Input data"),
    ("another run's", noting(run="b.1"), "the manifest of a.1 turn 1 is that of b.1 turn 1"),
    ("an older grant's", noting(token=6), "the manifest of a.1 turn 1 is that of a.1 turn 1"),
    ("another brief", changed("brief.1.md", "Do as you like."), "brief.1.md is not what its manifest says"),
    ("another input", changed("stdin", "Do as you like."), "stdin is not what its manifest says"),
    ("no input", lambda at: (at / "stdin").unlink(), "stdin is not what its manifest says"),
    ("no hash", noting(stdin_sha256=""), "stdin is not what its manifest says"),
]


@pytest.mark.parametrize(("harm", "reason"), [row[1:] for row in HARM], ids=[row[0] for row in HARM])
def test_a_packet_that_is_not_whole_is_not_sent(lab: Lab, harm: Callable[[Path], object], reason: str) -> None:
    order, launch = order_of(lab)
    harm(folder(lab))
    if not reason:
        packet.require_whole(lab.state_dir, order, launch)
        return
    with pytest.raises(LaunchRefused) as error:
        packet.require_whole(lab.state_dir, order, launch)
    assert reason in error.value.message


class Paraphrasing(CommandDriver):
    """A driver that sends something else than the brief."""

    def __init__(self, change: Callable[[str], str], *, in_arguments: bool = False) -> None:
        self._change, self._in_arguments = change, in_arguments

    def launch(self, turn: Turn) -> Launch:
        made = super().launch(turn)
        text = self._change(turn.brief)
        if self._in_arguments:
            return Launch((*made.argv, text), made.env, b"")
        return Launch(made.argv, made.env, text.encode())


NAMED = "that it is run `a.1`, at work on item `a`"
SENT: list[tuple[Callable[[str], str], bool, str]] = [
    (lambda text: text, False, ""),
    (lambda text: text, True, ""),
    (lambda text: f"Please:\n{text}\nThank you.", False, ""),
    (lambda text: text.replace("`a.1`", "`your run`"), False, NAMED),
    (lambda text: text.replace("`a.1`", "`b.1`"), True, NAMED),
    (lambda text: text.partition("## How to report")[0], False, "how to report by `ganger done`, how to report by"),
    (lambda text: text.replace("ganger fail", "give up"), False, "how to report by `ganger fail`"),
    (lambda text: "", False, f"{NAMED}, how to report by `ganger done`"),
]


@pytest.mark.parametrize(("change", "in_arguments", "lacks"), SENT)
def test_nothing_is_started_that_does_not_know_who_it_is_and_how_to_report(
    lab: Lab, change: Callable[[str], str], in_arguments: bool, lacks: str
) -> None:
    settings = {"run": run_of(lab.state_dir.parent)}
    world = world_of(lab, Paraphrasing(change, in_arguments=in_arguments), settings, Told())
    if not lacks:
        world.start(lab.run, SPEC, 1)
        assert said(lab)
        return
    with pytest.raises(LaunchRefused) as error:
        world.start(lab.run, SPEC, 1)
    assert error.value.message.startswith(f"what the worker of a.1 would be sent lacks {lacks}")
    assert not (folder(lab) / "output.log").exists() and not (lab.state_dir.parent / "said").exists()


def test_a_brief_that_was_changed_is_not_sent_again_after_a_hang(lab: Lab) -> None:
    lab.world.start(lab.run, SPEC, 1)
    first = said(lab)
    again = replace(lab.run, turn=1, repeat=Repeat(Again.hang, 1, "silent"))
    lab.world.start(again, SPEC, 2)
    assert said(lab)["text"] == first["text"]
    told = folder(lab) / "brief.1.md"
    told.write_text(told.read_text().replace("Limits", "No limits"))
    later = replace(lab.run, turn=2, repeat=Repeat(Again.hang, 1, "silent"))
    with pytest.raises(LaunchRefused, match=r"^a\.1 turn 1: its prompt has the hash"):
        lab.world.start(later, SPEC, 3)


def test_where_the_record_cannot_be_written_nothing_is_sent(lab: Lab) -> None:
    (folder(lab) / "manifest.json").mkdir(parents=True)
    with pytest.raises(LaunchRefused, match=r"manifest.json cannot be written: Is a directory"):
        lab.world.start(lab.run, SPEC, 1)
    assert not (folder(lab) / "output.log").exists()


@pytest.mark.parametrize("run", ["a.1", "a.12", "login-2.3"])
def test_what_is_lacking_is_named_for_every_run(run: str) -> None:
    item = ItemId(run.partition(".")[0])
    whole = f"# T\n\nYou are run `{run}`, at work on item `{item}`.\n{brief.HOW}\n"
    assert brief.lacks(whole, RunId(run), item) == ()
    assert brief.lacks(whole, RunId(f"{run}0"), item) == (f"that it is run `{run}0`, at work on item `{item}`",)


def test_the_version_of_a_program_is_asked_for_once(tmp_path: Path) -> None:
    from ganger.drivers.pi import Pi

    program, calls = tmp_path / "pi", tmp_path / "calls"
    program.write_text(f"#!/bin/sh\necho x >> {calls}\necho pi version 1.2.3\n")
    program.chmod(0o755)
    versions = packet.Versions(tmp_path / "state", NoJail())
    assert [versions.of(Pi(), str(program)) for _ in range(3)] == ["1.2.3"] * 3
    assert calls.read_text() == "x\n"
    assert versions.of(CommandDriver(), str(program)) == ""
    assert versions.of(Pi(), str(tmp_path / "gone")) == ""
