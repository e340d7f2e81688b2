"""Every command explains itself, and what is no command or option is refused with a way to find out."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from ganger.cli.main import GROUPS, HOT, SUMMARIES, main, tree


def every_command() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands and sub-commands by their words."""
    context = click.Context(tree)
    for name in SUMMARIES:
        command = tree.get_command(context, name)
        assert command is not None
        yield (name,), command
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                yield (name, inner), command.commands[inner]


COMMANDS = dict(every_command())


def test_the_summaries_name_exactly_what_there_is() -> None:
    assert set(SUMMARIES) == {name for names in GROUPS.values() for name in names} | {*HOT, "version"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--help", "-h"):
        assert main([*words, option]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        assert shown.out.startswith(f"Usage: ganger {' '.join(words)}")
        assert len(shown.out.splitlines()) > 4 or words == ("version",)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_says_what_it_does(words: tuple[str, ...]) -> None:
    options = [one for one in COMMANDS[words].params if isinstance(one, click.Option) and not one.hidden]
    assert not [one.opts for one in options if not one.help]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_unknown_option_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--nonsense"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "--nonsense" in shown.err
    assert re.search(r"\n\n(ganger [a-z -]*--help|ganger --help)", shown.err), shown.err


def test_an_unknown_command_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["staus"]) == 2
    assert "did you mean `ganger status`?" in capsys.readouterr().err
    assert main(["xyzzy"]) == 2
    assert "there is no command 'xyzzy': ganger --help lists the commands" in capsys.readouterr().err
    assert main(["journal", "rewind"]) == 2
    assert "rewind" in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name, summary in SUMMARIES.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", shown, re.M)


@pytest.mark.parametrize("words", [("version",), ("--version",), ("version", "--help"), ("status", "--help")])
def test_the_short_ways_say_the_same(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """`ganger status` and `ganger version` skip the command tree; what they print is what the tree prints."""
    code = main(list(words))
    done = subprocess.run([sys.executable, "-m", "ganger", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, capsys.readouterr().out)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_can_speak_json(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    if words[0] in HOT:
        assert "--json" in command.get_help(click.Context(command)) or "[--json]" in help_of(words[0])
    elif words in (("hook",), ("mcp",)):
        assert "as_json" not in {one.name for one in command.params}, "it speaks the JSON of each agent, or MCP"
    elif not isinstance(command, click.Group):
        assert "as_json" in {one.name for one in command.params}


def help_of(name: str) -> str:
    """The help of a command with a parser of its own."""
    text = importlib.import_module(HOT[name]).HELP
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_says_its_exit_status(words: tuple[str, ...]) -> None:
    command = COMMANDS[words]
    told = help_of(words[0]) if words[0] in HOT else command.help or ""
    simple = words in (("version",), ("exit-codes",), ("config", "explain"), ("journal", "tail"), ("journal", "export"))
    assert "Exit status: 0" in told or isinstance(command, click.Group) or simple


def test_what_is_missing_is_said_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agents", "install"]) == 2
    said, _, hint = capsys.readouterr().err.partition("\n")
    assert said.startswith("ganger: Missing argument '{claude|codex|") and said.endswith("opencode")
    assert hint == "\nganger agents install --help\n"
