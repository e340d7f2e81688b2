"""`ganger completion`: what a shell needs to complete commands, options and the names of what is in the fleet.

A shell asks by starting `ganger` with `_GANGER_COMPLETE` set, at each press of a key: whatever goes wrong then, the
answer is that there is nothing to complete.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from ganger.cli.options import as_json
from ganger.cli.output import YES, say, say_json

VARIABLE = "_GANGER_COMPLETE"
SHELLS = ("bash", "zsh", "fish")
NAMES_MAX = 200
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")
"""What may be handed to a shell."""

_ITEMS, _RUNS, _PLANS, _ANY = ("items",), ("runs",), ("plans",), ("items", "runs", "questions")
NAMED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("show", "why", "diff", "log", "trace"), _ANY),
    **dict.fromkeys(("verify", "retry", "undo", "admit"), _ITEMS),
    **dict.fromkeys(("rewind", "liveness", "resume-check"), _RUNS),
    **dict.fromkeys(("pause", "resume", "steer", "next", "gate"), _PLANS),
    **dict.fromkeys(("plan board", "plan stop", "plan replan"), _PLANS),
    **dict.fromkeys(("stop", "tell", "attach"), ("runs", "items")),
    "answer": ("questions",),
}
"""By the words of a command: the tables whose names its first argument takes."""
_NEWEST = {
    "items": "SELECT id FROM items WHERE substr(id, 1, ?1) = ?2 ORDER BY seq DESC LIMIT ?3",
    "runs": "SELECT id FROM runs WHERE substr(id, 1, ?1) = ?2 ORDER BY token DESC LIMIT ?3",
    "plans": "SELECT id FROM plans WHERE substr(id, 1, ?1) = ?2 ORDER BY id LIMIT ?3",
    "questions": "SELECT id FROM questions WHERE substr(id, 1, ?1) = ?2 AND state = 'open' ORDER BY id LIMIT ?3",
}


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@as_json
def completion(shell: str, as_json: bool) -> int:
    """Print a script that has SHELL complete the command line of ganger.

    For bash: `eval "$(ganger completion bash)"` in ~/.bashrc; for zsh the same in ~/.zshrc; for fish:
    `ganger completion fish > ~/.config/fish/completions/ganger.fish`.

    Exit status: 0 always.
    """
    # That of the class itself, and not of bash's, which starts a bash to see how old it is.
    script = ShellComplete.source(_asked(shell))
    if as_json:
        say_json("ganger.completion", {"shell": shell, "script": script})
    else:
        say(script)
    return YES


def completed() -> int:
    """Answer a shell that asks what its command line could go on with; nothing when that cannot be told."""
    shell, _, what = os.environ.get(VARIABLE, "").partition("_")
    with suppress(Exception):
        if what == "complete" and shell in SHELLS:
            sys.stdout.write(_answer(_asked(shell)) + "\n")
            sys.stdout.flush()
    return YES


def _answer(asked: ShellComplete) -> str:
    """What could come next, as the shell wants it."""
    words, incomplete = asked.get_completion_args()
    tables = NAMED.get(" ".join(words))
    if tables is None or incomplete.startswith("-"):
        return asked.complete()
    # The command itself is not loaded for that: some take several tenths of a second.
    return "\n".join(asked.format_completion(CompletionItem(name)) for name in names(tables, {}, incomplete))


def _asked(shell: str) -> ShellComplete:
    from ganger.cli.main import tree

    found = get_completion_class(shell)
    assert found is not None, shell
    return found(tree, {}, "ganger", VARIABLE)


def taught(command: click.Command, words: str) -> click.Command:
    """A command, and all below it, whose arguments know the names of what is in the fleet."""
    for name, below in command.commands.items() if isinstance(command, click.Group) else ():
        taught(below, f"{words} {name}")
    first = next((param for param in command.params if isinstance(param, click.Argument)), None)
    if words in NAMED and first is not None:
        first.type = _Name(NAMED[words])
    return command


class _Name(click.types.StringParamType):
    """The name of something in the fleet."""

    def __init__(self, tables: tuple[str, ...]) -> None:
        self._tables = tables

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        root = ctx.find_root().params
        return [CompletionItem(name) for name in names(self._tables, root, incomplete)]


def names(tables: tuple[str, ...], root: dict[str, Any], prefix: str) -> list[str]:
    """The names in some tables of the fleet's journal that begin with `prefix`, newest first; none without a fleet.

    `root` has the values of the options before the command: which directory, and which state.
    """
    from ganger.journal.queries import Reader
    from ganger.service.place import JOURNAL, state_dir

    reader = Reader(state_dir(root.get("start") or Path(), os.environ, root.get("state_override") or "") / JOURNAL)
    try:
        found = [
            cast(str, name)
            for table in tables
            for (name,) in reader.db.execute(_NEWEST[table], (len(prefix), prefix, NAMES_MAX))
        ]
    finally:
        reader.close()
    return [name for name in found if _PLAIN.fullmatch(name)]
