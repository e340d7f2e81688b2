"""What every driver must do, and how a real turn of one is run: a class of tests to inherit, and a workshop."""

from __future__ import annotations

import os
import random
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from ganger.core.ids import ItemId, RunId, Token
from ganger.core.model import WorkerId
from ganger.drivers import port, process
from ganger.drivers.port import Driver, Hooks, Launch, McpServer, Turn
from ganger.git.command import Git
from ganger.jail.bounds import FROZEN
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.jail.port import Jail, Reach
from ganger.supervisor.launching import keys_of, opened, prepare_state, write_settings
from ganger.supervisor.stream import Told, read_out, tell

SECRET = "sk-canary-7c1f-of-the-host"  # noqa: S105 - a canary
CUTS = 200
"""Recorded lines that are cut and spoiled, for each driver."""


class DriverSuite:
    """The conformance suite: `driver` gives the driver, `settings` a table that works, `recorded` what it reads."""

    @abstractmethod
    def driver(self) -> Driver:
        """The driver of the test."""

    @abstractmethod
    def settings(self) -> dict[str, str]:
        """Settings without a fault; `key_env` is `CANARY_KEY`."""

    @abstractmethod
    def recorded(self) -> Iterable[Path]:
        """Recorded outputs of the real program."""

    @pytest.fixture(autouse=True)
    def key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The key that the settings name."""
        monkeypatch.setenv("CANARY_KEY", SECRET)

    def turn(self, place: Path, **more: object) -> Turn:
        """A turn in a folder of its own."""
        fields = {
            "run": RunId("login.2"),
            "item": ItemId("login"),
            "turn": 1,
            "token": Token(17),
            "brief": '# Mend the login\n"quoted" $HOME `x` \x1b[31m ünï',
            "workspace": place / "work",
            "run_dir": place / "turn-1",
            "settings": self.settings(),
            "state": place / "agent",
            "tier": "T1",
        }
        return Turn(**(fields | more))  # type: ignore[arg-type]  # the fields of a turn, some replaced

    def test_its_settings_have_no_fault_and_wrong_ones_have(self) -> None:
        driver, settings = self.driver(), self.settings()
        assert driver.fault(settings) == ""
        for name, value in (
            ("no_such_setting", "x"),
            ("permissions", "sometimes"),
            ("program", "/no/such/program"),
            ("program", "no-such-program"),
            ("key_env", "NO_SUCH_VARIABLE"),
            ("base_url", "ftp://example.org"),
            ("model", "two\nlines"),
        ):
            assert driver.fault(settings | {name: value}), name

    def test_no_secret_and_no_brief_stands_in_what_others_can_read(self, tmp_path: Path) -> None:
        launch = self.driver().launch(self.turn(tmp_path))
        shown = " ".join((*launch.argv, *launch.env.values())) + repr(dict(launch.files))
        assert SECRET not in shown
        assert "CANARY_KEY" in launch.keys.values()
        assert "Mend the login" in launch.stdin.decode()

    def test_settings_lie_in_the_runs_own_folder(self, tmp_path: Path) -> None:
        turn = self.turn(tmp_path)
        launch = self.driver().launch(turn)
        for name in launch.files:
            place = (turn.state / name).resolve()
            assert place.is_relative_to(turn.state.resolve()), name
        assert any(str(turn.state) in value for value in launch.env.values())

    def test_the_same_turn_is_the_same_launch(self, tmp_path: Path) -> None:
        driver, turn = self.driver(), self.turn(tmp_path)
        assert driver.launch(turn) == driver.launch(turn)

    def test_a_conversation_is_gone_on_with(self, tmp_path: Path) -> None:
        driver = self.driver()
        if driver.capabilities.resume:
            launch = driver.launch(self.turn(tmp_path, turn=2, session="3f0c-session"))
            assert any("3f0c-session" in argument for argument in launch.argv)
            assert driver.launch(self.turn(tmp_path)) != launch

    def test_a_wall_lets_it_work_unasked_and_none_does_not(self, tmp_path: Path) -> None:
        driver = self.driver()
        walled, open_to_all = driver.launch(self.turn(tmp_path)), driver.launch(self.turn(tmp_path, tier="T0"))
        asked = driver.launch(self.turn(tmp_path, settings=self.settings() | {"permissions": "guarded"}))
        assert asked == open_to_all
        assert (walled != open_to_all) is self.has_guard()

    def has_guard(self) -> bool:
        """Whether the program has a guard of its own."""
        return True

    def test_hooks_and_servers_are_attached(self, tmp_path: Path) -> None:
        hooks = Hooks("/opt/ganger/hook-client", ("/opt/ganger/slow",))
        mcp = (McpServer("ganger", url="http://127.0.0.1:1/mcp", token_env="GANGER_SECRET"),)  # noqa: S106
        driver = self.driver()
        plain = driver.launch(self.turn(tmp_path))
        both = driver.launch(self.turn(tmp_path, hooks=hooks, mcp=mcp))
        added = repr(dict(both.files)).replace(repr(dict(plain.files)), "") + " ".join(both.argv)
        assert "/opt/ganger/hook-client" in added
        assert ("http://127.0.0.1:1/mcp" in added) is self.takes_servers()

    def takes_servers(self) -> bool:
        """Whether the program is a client of tool servers."""
        return True

    def test_every_recorded_line_is_read(self) -> None:
        driver, settings = self.driver(), self.settings()
        for path in self.recorded():
            told = Told()
            ended = []
            for line in path.read_bytes().splitlines():
                for event in driver.events(line, settings):
                    assert msgspec.json.decode(msgspec.json.encode(event), type=port.DriverEvent) == event
                    told = tell(told, event, (1.0, 1.0))
                    ended += [event] if isinstance(event, port.TurnEnded) else []
            assert ended, f"{path}: no end was seen"
            assert told.session, f"{path}: no conversation was seen"

    def test_whatever_it_prints_gives_events_or_none(self) -> None:
        driver, settings, chance = self.driver(), self.settings(), random.Random(7)  # noqa: S311
        lines = [line for path in self.recorded() for line in path.read_bytes().splitlines()]
        for _ in range(CUTS):
            line = bytearray(chance.choice(lines))
            for _ in range(chance.randrange(1, 6)):
                if line:
                    line[chance.randrange(len(line))] = chance.randrange(256)
            for spoiled in (bytes(line), bytes(line[: chance.randrange(len(line) + 1)]), b"{" * 50_000):
                for event in driver.events(spoiled, settings):
                    assert isinstance(event, port.DriverEvent.__args__)

    def test_values_of_other_types_do_no_harm(self) -> None:
        driver, settings = self.driver(), self.settings()
        others: tuple[object, ...] = (None, 7, -1, 1e400, "x", [], [None], {}, True, 10**15)
        for value in self._kinds_of_lines():
            for other in others:
                for spoiled in _with_each_replaced(value, other):
                    driver.events(msgspec.json.encode(spoiled), settings)

    def _kinds_of_lines(self) -> list[object]:
        """One line of each kind that was recorded."""
        found: dict[tuple[object, object], object] = {}
        for path in self.recorded():
            for line in path.read_bytes().splitlines():
                # Some recorded lines were cut.
                with suppress(msgspec.DecodeError):
                    value = msgspec.json.decode(line, type=dict[str, object])
                    found[value.get("type"), value.get("subtype")] = value
        return list(found.values())


def _with_each_replaced(value: object, other: object, depth: int = 4) -> Iterable[object]:
    """The value with one of its parts replaced, for each part of the upper levels."""
    yield other
    if isinstance(value, dict) and depth:
        for key, one in value.items():
            for spoiled in _with_each_replaced(one, other, depth - 1):
                yield {**value, key: spoiled}
    elif isinstance(value, list) and value and depth:
        for spoiled in _with_each_replaced(value[0], other, depth - 1):
            yield [spoiled, *value[1:]]


class Workshop:
    """A repository and a run's folders, in which real turns of a driver are run behind a real wall."""

    def __init__(self, place: Path, driver: Driver, settings: Mapping[str, str], path: str) -> None:
        """`path` is the PATH that the agent gets, without its own program; the place is new."""
        self.driver, self.settings, self._path = driver, dict(settings), path
        self.place, self.workspace = place, place / "work"
        self.hooks: Hooks | None = None
        self.git = Git(self.workspace / ".git", self.workspace)
        for folder in (self.workspace / ".git", place / "run", place / "tmp"):
            folder.mkdir(parents=True)
        self.git.run("init", "--quiet", "--initial-branch=main")
        for name, value in (("user.name", "worker"), ("user.email", "worker@example.invalid")):
            self.git.run("config", name, value)
        (self.workspace / "work.txt").write_text("hello\n")
        self.git.run("add", "--all")
        self.git.run("commit", "--quiet", "--message", "Begin")
        self.jail: Jail = choose(Mechanism.auto, "T0", tools_for(path, (place,)))

    def launch(self, brief: str, turn: int = 1, session: str = "") -> tuple[Turn, Launch]:
        """What a turn is started with; its settings are written."""
        folder = self.folder(turn)
        (folder / "home").mkdir(parents=True)
        order = Turn(
            run=RunId("login.1"),
            item=ItemId("login"),
            turn=turn,
            token=Token(17),
            brief=brief,
            workspace=self.workspace,
            run_dir=folder,
            settings=self.settings,
            state=prepare_state(self.place / "run" / "agent"),
            session=session,
            tier=self.jail.tier,
            hooks=self.hooks,
        )
        launch = self.driver.launch(order)
        write_settings(order.state, launch.files)
        (folder / "stdin").write_bytes(launch.stdin)
        return order, launch

    def start(self, brief: str, turn: int = 1, session: str = "", timeout_ms: int = 60_000) -> WorkerId:
        """Start a turn as the supervisor does: behind a wall, with an environment made from nothing."""
        order, launch = self.launch(brief, turn, session)
        folder = self.folder(turn)
        writable = (self.workspace, self.workspace / ".git", folder / "home", self.place / "tmp")
        frozen = tuple(self.workspace / name for name in FROZEN)
        reach = opened(Reach(writable, (self.place / "run",), frozen), order.state, launch)
        env = {"PATH": self._path, "HOME": str(folder / "home"), "TMPDIR": str(self.place / "tmp"), "TERM": "dumb"}
        env |= {"GIT_CONFIG_NOSYSTEM": "1", "GANGER_SECRET": "of-the-run"}
        spec = process.ProcessSpec(
            argv=launch.argv,
            env=env | launch.env | keys_of(launch, os.environ),
            cwd=self.workspace,
            output_path=folder / "output.log",
            exit_path=folder / "exit.json",
            marker=f"workshop:{self.place}:{turn}",
            stdin_path=folder / "stdin",
            grace_ms=2_000,
            timeout_ms=timeout_ms,
            reach=reach,
        )
        return process.start(spec, self.jail)

    def run(self, brief: str, turn: int = 1, session: str = "", timeout_ms: int = 60_000) -> process.Exit:
        """Run a turn to its end."""
        worker = self.start(brief, turn, session, timeout_ms)
        process.wait(worker, timeout_ms + 20_000)
        return self.ended(turn)

    def ended(self, turn: int = 1) -> process.Exit:
        """How a turn ended."""
        found = process.exit_of(self.folder(turn) / "exit.json")
        assert found is not None, f"turn {turn} has not ended"
        return found

    def folder(self, turn: int) -> Path:
        """What is kept of a turn."""
        return self.place / "run" / f"turn-{turn}"

    def output(self, turn: int = 1) -> str:
        """What a turn printed."""
        return (self.folder(turn) / "output.log").read_text(errors="replace")

    def events(self, turn: int = 1) -> list[port.DriverEvent]:
        """What its lines mean."""
        lines = (self.folder(turn) / "output.log").read_bytes().splitlines()
        return [event for line in lines for event in self.driver.events(line, self.settings)]

    def told(self, turn: int = 1, price: tuple[float, float] | None = None) -> Told:
        """What a turn comes to."""
        return read_out(self.folder(turn), lambda line: self.driver.events(line, self.settings), price)
