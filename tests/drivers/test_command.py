"""The driver for any program, and how drivers are found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganger.core.ids import ItemId, RunId, Token
from ganger.drivers import process
from ganger.drivers.command import CommandDriver
from ganger.drivers.port import Driver, Message, Turn, load_driver
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


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"hello\n", "hello"),
        (b"  indented\r\n", "  indented"),
        (b"\xff\xfe", "��"),
        (b'{"type": "result"}', '{"type": "result"}'),
        (b"x" * 1_000_000, "x" * 16_384),
        ("é".encode() * 10_000, "é" * 8_192),
    ],
)
def test_a_line_is_a_message(line, text):
    assert DRIVER.read(line) == (Message(text),)


@pytest.mark.parametrize("line", [b"", b"\n", b"  \r\n"])
def test_an_empty_line_says_nothing(line):
    assert DRIVER.read(line) == ()


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
