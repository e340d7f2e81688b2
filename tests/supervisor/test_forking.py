"""How a child begins: when with its spawner's conversation, and whose file of it is believed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from lab import SPEC
from msgspec.structs import replace

from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId, Token
from ganger.core.model import ItemSpec, Lease, LeaseMode
from ganger.drivers.agent import session_of
from ganger.drivers.command import CommandDriver
from ganger.drivers.opencode import DATABASE, LOG
from ganger.drivers.pi import Pi
from ganger.drivers.port import Driver, Fork, Launch, Started, Turn, load_driver
from ganger.service.tables import Preset
from ganger.supervisor.forking import BYTES_MAX, fork_of, seeding_of

SPAWNER = RunId("par.1")
CHILD = replace(SPEC, spawner=SPAWNER)
INHERITS = Preset(agent="hand", seeding="inherit")


@pytest.mark.parametrize(
    ("spec", "preset", "found"),
    [
        (CHILD, Preset(), "fresh"),
        (CHILD, INHERITS, "inherit"),
        (replace(CHILD, seeding="inherit"), Preset(), "inherit"),
        (replace(CHILD, seeding="fresh"), INHERITS, "fresh"),
        (SPEC, INHERITS, "fresh"),
        (replace(SPEC, seeding="inherit"), INHERITS, "fresh"),
    ],
)
def test_what_is_said_stands_over_the_kind_and_nobodys_child_is_fresh(
    spec: ItemSpec, preset: Preset, found: str
) -> None:
    assert seeding_of(spec, preset) == found


class Spawner:
    """A state directory with a run of pi that had a conversation."""

    def __init__(self, root: Path) -> None:
        self.state = root / "state"
        self.run = self.state / "runs" / SPAWNER
        self.sessions = self.run / "agent" / "pi" / "sessions" / "--at--"
        self.sessions.mkdir(parents=True)
        self.turn(1, "s-1")
        self.transcript = self.sessions / "2026_s-1.jsonl"
        self.transcript.write_text("of s-1\n")

    def turn(self, number: int, session: str, agent: str = "hand") -> None:
        folder = self.run / f"turn-{number}"
        folder.mkdir(exist_ok=True)
        record = {"run": SPAWNER, "turn": number, "token": 3, "base": "b", "agent": agent}
        (folder / "manifest.json").write_text(json.dumps(record))
        (folder / "output.log").write_text(json.dumps({"type": "session", "id": session}) + "\n")

    def keep(self, path: str, content: bytes) -> None:
        """Have a file in the agent's folder."""
        place = self.run / "agent" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)

    def fork(
        self,
        turn: int = 1,
        spec: ItemSpec = CHILD,
        driver: Driver = Pi(),  # noqa: B008
        told: str | None = None,
    ) -> Fork | None:
        """What a child begins with; `told` is the session that is read from each line, instead of what it says."""
        lease = Lease(Token(7), SPEC.scope, LeaseMode.shared, 1 << 50)
        run = Run(RunId("par-c1.1"), spec.id, 1, Commit("c" * 40), "hand", lease, 0)
        return fork_of(
            self.state,
            run,
            spec,
            turn,
            driver,
            INHERITS,
            lambda line: driver.events(line, {}) if told is None else (Started(told),),
        )


def outside(spawner: Spawner) -> None:
    """A link in the place of the transcript, to something of the host's."""
    secret = spawner.state.parent / "secret"
    secret.write_text("of the host")
    spawner.transcript.unlink()
    spawner.transcript.symlink_to(secret)


def folder_outside(spawner: Spawner) -> None:
    away = spawner.state.parent / "away"
    spawner.sessions.rename(away)
    spawner.sessions.symlink_to(away)


def named_as_an_option(spawner: Spawner) -> None:
    spawner.turn(1, "--help")
    spawner.transcript.rename(spawner.sessions / "x_--help.jsonl")


WHOLE = Fork(SPAWNER, "s-1", b"of s-1\n")
ROWS: list[tuple[str, Callable[[Spawner], object], Fork | None]] = [
    ("as it is", lambda spawner: None, WHOLE),
    ("the newest turn's", lambda spawner: spawner.turn(2, "s-1"), WHOLE),
    ("a turn without one", lambda spawner: spawner.turn(2, ""), WHOLE),
    ("another agent's since", lambda spawner: spawner.turn(2, "s-1", "other"), None),
    ("no file", lambda spawner: spawner.transcript.unlink(), None),
    ("another's file", lambda spawner: spawner.transcript.rename(spawner.sessions / "x_s-2.jsonl"), None),
    ("a link", outside, None),
    ("a folder that is a link", folder_outside, None),
    ("a name for a command line", named_as_an_option, None),
    ("a way out", lambda spawner: spawner.turn(1, "../s-1"), None),
    ("half a line", lambda spawner: spawner.keep("pi/sessions/--at--/2026_s-1.jsonl", b"of s-1\nand m"), WHOLE),
    ("a shorter one", lambda spawner: spawner.keep("pi/sessions/later/2027_s-1.jsonl", b"of\n"), WHOLE),
    ("somewhere else", lambda spawner: spawner.keep("pi/sessions/at/2027/x_s-1.jsonl", b"of another thing\n"), WHOLE),
    ("too long", lambda spawner: os.truncate(spawner.transcript, BYTES_MAX + 1), None),
    ("no manifest", lambda spawner: (spawner.run / "turn-1/manifest.json").unlink(), None),
]


@pytest.mark.parametrize(("change", "found"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_only_the_spawners_own_file_is_taken(
    tmp_path: Path, change: Callable[[Spawner], object], found: Fork | None
) -> None:
    spawner = Spawner(tmp_path)
    change(spawner)
    assert spawner.fork() == found


def test_later_turns_and_agents_that_cannot_have_none(tmp_path: Path) -> None:
    spawner = Spawner(tmp_path)
    assert spawner.fork(turn=2) is None
    assert spawner.fork(driver=CommandDriver(), told="s-1") is None
    assert spawner.fork(spec=replace(CHILD, seeding="fresh")) is None


SESSION = "20b87a30-f16b-5126-a0fc-2db469815b74"
PLACES = [
    ("claude", f"claude/projects/-a-b/{SESSION}.jsonl"),
    ("codex", f"codex/sessions/2026/11/21/rollout-2026-11-21T20-36-50-{SESSION}.jsonl"),
    ("copilot", f"copilot/session-state/{SESSION}/events.jsonl"),
    ("gemini", f".gemini/tmp/work/chats/session-2026-11-21T20-37-{SESSION[:8]}.jsonl"),
    ("opencode", DATABASE),
    ("pi", f"pi/sessions/--at--/2026_{SESSION}.jsonl"),
    ("qwen", f".qwen/projects/-a-b/chats/{SESSION}.jsonl"),
]


@pytest.mark.parametrize(("agent", "path"), PLACES)
def test_each_agent_keeps_it_in_a_place_of_its_own(tmp_path: Path, agent: str, path: str) -> None:
    spawner, driver = Spawner(tmp_path), load_driver(agent)
    assert spawner.fork(driver=driver, told=SESSION) is None
    spawner.keep(path, b"{}\n")
    assert spawner.fork(driver=driver, told=SESSION) == Fork(SPAWNER, SESSION, b"{}\n")
    other = spawner.fork(driver=driver, told=f"x{SESSION}")
    assert (other is None) is (agent != "opencode"), "a database holds every conversation"


@pytest.mark.parametrize("agent", ["copilot", "claude"])
def test_only_who_tells_its_name_late_is_believed_to_have_the_one_it_was_given(tmp_path: Path, agent: str) -> None:
    spawner, given = Spawner(tmp_path), session_of(SPAWNER, 1, 3)
    for _, path in PLACES:
        spawner.keep(path.replace(SESSION, given), b"{}\n")
    found = spawner.fork(driver=load_driver(agent), told="")
    assert found == (Fork(SPAWNER, given, b"{}\n") if agent == "copilot" else None)


WRITER = """
import sqlite3, sys
own = sqlite3.connect(sys.argv[1], isolation_level=None)
own.execute("pragma synchronous = off")
own.execute("pragma journal_mode = wal")
own.execute("create table page (held int, filling blob)")
own.execute("begin")
own.executemany("insert into page values (0, ?)", [(bytes(4000),)] * 300)
own.execute("commit")
print("begun", flush=True)
for _ in range(400):
    own.execute("update page set held = held + 1")
    own.execute("pragma wal_checkpoint(restart)")
own.close()
"""
"""Every transaction changes every page of a database, and its log begins anew after each."""


def is_whole(copy: Fork, place: Path) -> bool:
    """Whether every page of a copied database is of the same transaction."""
    place.write_bytes(copy.transcript)
    place.with_name(f"{place.name}-wal").write_bytes(copy.log)
    place.with_name(f"{place.name}-shm").unlink(missing_ok=True)
    with closing(sqlite3.connect(place)) as found:
        told = found.execute("select count(*), max(held) - min(held) from page").fetchall()
        return bool(told == [(300, 0)])


def test_a_database_at_work_is_copied_as_it_was_at_one_moment(tmp_path: Path) -> None:
    spawner, driver = Spawner(tmp_path), load_driver("opencode")
    path = spawner.run / "agent" / DATABASE
    path.parent.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None and writer.stdout.readline() == b"begun\n"
        while writer.poll() is None:
            copy = spawner.fork(driver=driver, told="ses_1")
            assert copy is None or is_whole(copy, tmp_path / "copy")
    last = spawner.fork(driver=driver, told="ses_1")
    assert last is not None and is_whole(last, tmp_path / "copy")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda log: None, b"log"),
        (Path.unlink, b""),
        (lambda log: os.truncate(log, BYTES_MAX + 1), None),
        (lambda log: (log.rename(log.with_name("x")), log.symlink_to("x")), None),
    ],
    ids=["as it is", "none", "too long", "a link"],
)
def test_a_database_is_not_taken_without_its_log(
    tmp_path: Path, change: Callable[[Path], object], found: bytes | None
) -> None:
    spawner = Spawner(tmp_path)
    spawner.keep(DATABASE, b"database")
    spawner.keep(LOG, b"log")
    change(spawner.run / "agent" / LOG)
    copy = spawner.fork(driver=load_driver("opencode"), told="ses_1")
    assert copy == (None if found is None else Fork(SPAWNER, "ses_1", b"database", found))


def launched(agent: str, tmp_path: Path, fork: Fork) -> tuple[Launch, Turn]:
    """How an agent is started with a copy."""
    turn = Turn(
        run=RunId("par-c1.1"),
        item=SPEC.id,
        turn=1,
        token=Token(7),
        brief="Look.",
        workspace=tmp_path / "work",
        run_dir=tmp_path / "turn-1",
        settings={"program": "/bin/true", "model": "m"},
        state=tmp_path / "agent",
        fork=fork,
    )
    return load_driver(agent).launch(turn), turn


def test_qwen_is_given_a_conversation_about_its_own_folder(tmp_path: Path) -> None:
    said = b'{"cwd":"/a/\xc3\xbc","text":"in \\"cwd\\":\\"/a/\xc3\xbc\\""}\n{"cwd":"/a/\xc3\xbc"}\n{"cwd":"/other"}\n'
    launch, turn = launched("qwen", tmp_path, Fork(SPAWNER, SESSION, said))
    (moved,) = [content for name, content in launch.files.items() if name.endswith(f"/chats/{SESSION}.jsonl")]
    at = str(turn.workspace)
    assert [json.loads(line)["cwd"] for line in moved.splitlines()] == [at, at, "/other"]
    assert json.loads(moved.splitlines()[0])["text"] == 'in "cwd":"/a/ü"'
    assert launch.argv[-3:] == ("--resume", SESSION, "--fork-session")


def test_copilot_is_given_a_conversation_under_its_own_name(tmp_path: Path) -> None:
    launch, turn = launched("copilot", tmp_path, Fork(SPAWNER, SESSION, b'{"sessionId":"%b"}\n' % SESSION.encode()))
    own = session_of(turn.run, 1, 7)
    assert launch.argv[-1] == f"--resume={own}"
    assert launch.files == {f"copilot/session-state/{own}/events.jsonl": b'{"sessionId":"%b"}\n' % own.encode()}


def test_codex_is_given_nothing_of_what_its_source_used(tmp_path: Path) -> None:
    kept = b'{"type":"response_item","payload":{"text":"\\"type\\":\\"token_count\\""}}\n'
    used = b'{"type":"event_msg","payload":{"type":"token_count"}}\n{"type":"token_usage_record","payload":{}}\n'
    launch, _ = launched("codex", tmp_path, Fork(SPAWNER, SESSION, used + kept + used))
    assert [content for name, content in launch.files.items() if SESSION in name] == [kept]
    assert launch.argv[-3:] == ("fork", SESSION, "-")


def test_opencode_has_a_conversation_moved_before_it_goes_on_with_it(tmp_path: Path) -> None:
    launch, turn = launched("opencode", tmp_path, Fork(SPAWNER, "ses_1", b"database", b"log"))
    assert (launch.files[DATABASE], launch.files[LOG]) == (b"database", b"log")
    assert json.loads(launch.files["move.json"])["info"]["id"] == "ses_1"
    assert launch.argv[3:6] == ("/bin/true", str(turn.state / "move.json"), "run") and launch.program == "/bin/true"
