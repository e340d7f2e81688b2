"""The driver for any program, and how drivers are found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganger.core.ids import ItemId, RunId, Token
from ganger.drivers import process
from ganger.drivers.command import CommandDriver
from ganger.drivers.port import (
    Driver,
    Message,
    RateLimited,
    Started,
    ToolCall,
    ToolResult,
    Turn,
    TurnEnded,
    TurnOutcome,
    Usage,
    WaitingForPermission,
    digest_of,
    driver_names,
    load_driver,
    must_speak,
)
from ganger.drivers.process import ProcessSpec
from ganger.errors import ConfigError
from ganger.jail.none import NoJail
from ganger.jail.port import Jail

DRIVER: Driver = CommandDriver()
JAIL: Jail = NoJail()


def turn(tmp_path, brief, run):
    return Turn(RunId("login.2"), ItemId("login"), 1, Token(17), brief, tmp_path, tmp_path, {"run": run})


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"run": "sh -c 'echo hi'"}, ""),
        ({"run": "/bin/sh"}, ""),
        ({"run": "./tools/fix --all"}, ""),
        ({}, '`run` is missing: say which program to start, for example run = "ruff check --fix ."'),
        ({"run": "  "}, '`run` is missing: say which program to start, for example run = "ruff check --fix ."'),
        ({"run": "sh 'oops"}, "`run` cannot be split into arguments (No closing quotation): sh 'oops"),
        ({"run": "no-such-agent -x"}, "`run` starts a program that is not found: no-such-agent"),
        ({"run": "/no/such/agent"}, "`run` starts a program that is not found: /no/such/agent"),
        ({"run": "'' x"}, "`run` names no program: '' x"),
        ({"run": "sh a\0b"}, "`run` holds a NUL character"),
        ({"run": "sh", "output": "events"}, ""),
        ({"run": "sh", "output": "json"}, '`output` is "text" or "events", not \'json\''),
    ],
)
def test_faults(settings, fault):
    assert DRIVER.fault(settings) == fault


def test_arguments_are_split_without_a_shell(tmp_path):
    launch = DRIVER.launch(turn(tmp_path, "brief", "fix --msg='a b; rm x' $HOME `id` *"))
    assert launch.argv == ("fix", "--msg=a b; rm x", "$HOME", "`id`", "*")


@pytest.mark.parametrize(
    ("brief", "inline"),
    [
        ("Do it: é\n", True),
        ("", True),
        ("x" * 100_000, True),
        ("x" * 100_001, False),
        ("é" * 50_001, False),
        ("a\0b", False),
        ("odd \udcff \ud800", None),
    ],
)
def test_the_brief_reaches_a_real_program(brief, inline, tmp_path):
    given = turn(tmp_path, brief, 'sh -c \'cat; printf %s "$GANGER_BRIEF" >env; cat "$GANGER_BRIEF_FILE" >file\'')
    launch = DRIVER.launch(given)
    given.brief_path.write_bytes(launch.stdin)
    spec = ProcessSpec(
        argv=launch.argv,
        env={"PATH": os.environ["PATH"], **launch.env},
        cwd=tmp_path,
        output_path=tmp_path / "output",
        exit_path=tmp_path / "exit.json",
        marker="login.2:17",
        stdin_path=given.brief_path,
    )
    assert process.wait(process.start(spec, JAIL), 10_000)
    assert process.exit_of(spec.exit_path).code == 0
    expected = brief.encode(errors="replace")
    assert (tmp_path / "output").read_bytes() == (tmp_path / "file").read_bytes() == launch.stdin == expected
    if inline is False:
        assert (tmp_path / "env").read_text() == str(given.brief_path)
    else:
        assert (tmp_path / "env").read_bytes() == expected


EVENTS = {"run": "x", "output": "events"}


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (b'{"event": "started", "session": "s", "model": "m"}\n', Started("s", "m")),
        (b'  {"event": "started"}\r\n', Started()),
        (b'{"event": "message", "text": "\xc3\xa9"}', Message("é")),
        (b'{"event": "tool_call", "name": "bash", "arguments": {"a": 1}}', ToolCall("bash", digest_of(b'{"a": 1}'))),
        (b'{"event": "tool_call", "name": "ls"}', ToolCall("ls", digest_of(b""))),
        (b'{"event": "tool_result", "ok": false}', ToolResult(False)),
        (b'{"event": "usage", "tokens_in": 1200, "tokens_out": 80, "usd": 0.0042}', Usage(1200, 80, 0.0042)),
        (b'{"event": "usage", "tokens_in": 7, "whole_turn": true}', Usage(7, whole_turn=True)),
        (b'{"event": "waiting_for_permission", "tool": "bash"}', WaitingForPermission("bash")),
        (b'{"event": "rate_limited", "reset_at_ms": 1790000000000, "reason": "r"}', RateLimited(1790000000000, "r")),
        (b'{"event": "rate_limited"}', RateLimited()),
        (b'{"event": "turn_ended", "outcome": "limited"}', TurnEnded(TurnOutcome.limited)),
        (b'{"event": "turn_ended", "outcome": "failed", "of": "tomorrow"}', TurnEnded(TurnOutcome.failed)),
    ],
)
def test_a_line_is_an_event(line, event):
    assert DRIVER.events(line, EVENTS) == (event,)
    assert DRIVER.events(line, {"run": "x"}) == DRIVER.events(line, {"run": "x", "output": "text"}) == ()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"hello",
        b"{",
        b"\xff{}",
        b'{"event": "message", "text": "\xff"}',
        b'{"event": "usage", "tokens_in": -1}',
        b'{"event": "usage", "tokens_in": 1e400}',
        b'{"event": "usage", "usd": -0.1}',
        b'{"event": "usage", "usd": 1e300}',
        b'{"event": "usage", "usd": NaN}',
        b'{"event": "usage", "tokens_in": ' + b"9" * 5_000 + b"}",
        b'{"event": "rate_limited", "reset_at_ms": -5}',
        b'{"event": "turn_ended", "outcome": "great"}',
        b'{"event": "tool_call"}',
        b'{"event": "other"}',
        b'{"text": "no event"}',
        b'[{"event": "started"}]',
        b'{"event": "started", "x": ' + b"[" * 500_000,
        b'{"event": "started", "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b'{"event": "started", "session": "' + b"x" * 10 + b"\x00" + b'"}',
    ],
)
def test_other_lines_are_just_output(line):
    assert DRIVER.events(line, EVENTS) == ()


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda end: b'{"event": "usage", ' + end)))
def test_no_bytes_make_it_fail(line):
    assert len(DRIVER.events(line, EVENTS)) <= 1


def test_what_it_can_do():
    assert not DRIVER.capabilities.resume
    assert DRIVER.capabilities.reports_by_exit


def test_the_driver_is_found_by_its_name_without_installing_anything():
    driver = load_driver("command")
    assert isinstance(driver, CommandDriver) and driver.name == "command"


def test_an_unknown_driver_is_an_error_that_names_the_known():
    with pytest.raises(ConfigError, match="there is no driver 'claud'") as caught:
        load_driver("claud")
    assert "command" in caught.value.hint


def test_a_driver_of_another_package_is_found(tmp_path):
    plant(tmp_path, "ours = ganger.drivers.command:CommandDriver\nbroken = no_such_module:Driver\n")
    code = "from ganger.drivers.port import load_driver; import sys; print(load_driver(sys.argv[1]).name)"
    assert in_other_python(tmp_path, code, "ours") == "command"
    assert "the driver 'broken' (no_such_module:Driver) cannot be loaded" in in_other_python(tmp_path, code, "broken")


def test_the_built_in_driver_costs_no_search(tmp_path):
    code = "from ganger.drivers import port; port.metadata.entry_points = None; print(port.load_driver('command').name)"
    assert in_other_python(tmp_path, code) == "command"


def plant(tmp_path, points):
    info = tmp_path / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[ganger.drivers]\n{points}")


def in_other_python(tmp_path, code, *arguments):
    import ganger

    env = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(ganger.__file__).parents[1]}"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=env, check=False
    )
    return (done.stdout or done.stderr).strip()


@pytest.mark.parametrize(("reports", "speaks"), [(None, False), ("exit", False), ("words", True)])
def test_whether_its_workers_are_to_speak_is_a_setting(reports: str | None, speaks: bool) -> None:
    settings = {"run": "true", **({"reports": reports} if reports else {})}
    assert DRIVER.fault(settings) == ""
    assert must_speak(DRIVER, settings) is speaks


def test_other_words_for_that_are_a_fault() -> None:
    assert DRIVER.fault({"run": "true", "reports": "loudly"}) == '`reports` is "exit" or "words", not \'loudly\''


@pytest.mark.parametrize("name", [name for name in driver_names() if name != "command"])
def test_agent_programs_are_to_speak(name: str) -> None:
    assert must_speak(load_driver(name), {})
