"""The driver for any program: the brief on standard input, the exit status the end.

What the program prints is kept and shown. With `output = "events"` in its `[agents.NAME]` table, a printed line that is
a JSON object of one of these shapes is also understood; other lines, and other keys, are passed over:

    {"event": "started", "session": "…", "model": "…"}
    {"event": "message", "text": "…"}
    {"event": "tool_call", "name": "bash", "arguments": {"command": "make test"}}
    {"event": "tool_result", "ok": true, "guarded": true}
    {"event": "usage", "tokens_in": 1200, "tokens_out": 80, "usd": 0.0042}
    {"event": "waiting_for_permission", "tool": "bash"}
    {"event": "rate_limited", "reset_at_ms": 1790000000000, "reason": "five-hour limit"}
    {"event": "turn_ended", "outcome": "completed"}

`usage` tells what came since the usage before, or, with `"whole_turn": true`, the totals of the turn; `usd` counts
where the agent's price does not say what tokens cost. `reset_at_ms` is 0 or left out when the provider does not say,
and `"overload": true` tells a busy provider, tried again soon, from a quota that is used up. The outcome is
`completed`, `failed`, `interrupted` or `limited`. `guarded` says that the program asks `GANGER_HOOK` before such a use:
one about which nobody was asked is then noticed. Only `event`, and the `name`, `text`, `ok` or `outcome` shown, are
required. With `output = "text"`, the default, no line means anything.

A program is no agent: that it ends with status 0 says `done`, whether it changed anything or not. With
`reports = "words"` its workers are to say so (`ganger done`), and one that ends without a word is reminded once.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping

import msgspec

from ganger.drivers.port import (
    REPORTS,
    Capabilities,
    DriverEvent,
    Event,
    Launch,
    Message,
    RateLimited,
    Started,
    ToolCall,
    ToolResult,
    Turn,
    TurnEnded,
    Usage,
    WaitingForPermission,
    digest_of,
)

BRIEF_ENV_BYTES_MAX = 100_000
"""Linux takes at most 128 KiB for one string of the environment."""
OUTPUTS = ("text", "events")
REPORTERS = ("exit", "words")


class CommandDriver:
    """Runs `run` of `[agents.NAME]` in the workspace: arguments split like a shell does, but without a shell."""

    name = "command"
    capabilities = Capabilities(resume=False, reports_by_exit=True)
    product = None

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say whether `run` is missing, cannot be split, or names a program that is not there; or `output` is wrong."""
        if settings.get("output", "text") not in OUTPUTS:
            return f'`output` is "text" or "events", not {settings["output"]!r}'
        if settings.get(REPORTS, "exit") not in REPORTERS:
            return f'`reports` is "exit" or "words", not {settings[REPORTS]!r}'
        run = settings.get("run", "")
        if not run.strip():
            return '`run` is missing: say which program to start, for example run = "ruff check --fix ."'
        if "\0" in run:
            return "`run` holds a NUL character"
        try:
            argv = shlex.split(run)
        except ValueError as error:
            return f"`run` cannot be split into arguments ({error}): {run}"
        if not argv or not argv[0]:
            return f"`run` names no program: {run}"
        # A relative path with a slash is meant inside the workspace, which is not there yet.
        if "/" in argv[0] and not argv[0].startswith("/"):
            return ""
        return "" if shutil.which(argv[0]) else f"`run` starts a program that is not found: {argv[0]}"

    def speaks(self, settings: Mapping[str, str]) -> None:
        """Nobody knows what a program speaks."""

    def launch(self, turn: Turn) -> Launch:
        """Give the brief on standard input, as a file `$GANGER_BRIEF_FILE`, and in `$GANGER_BRIEF`.

        `$GANGER_BRIEF` holds the text itself, or the path of that file where the text is too long for an environment.
        """
        stdin = turn.brief.encode(errors="replace")
        fits = len(stdin) <= BRIEF_ENV_BYTES_MAX and b"\0" not in stdin
        path = str(turn.brief_path)
        env = {"GANGER_BRIEF": stdin.decode() if fits else path, "GANGER_BRIEF_FILE": path}
        return Launch(tuple(shlex.split(turn.settings["run"])), env, stdin)

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line that is an event, where the settings say that there are such; any other is just output."""
        if settings.get("output") != "events" or not line.lstrip(b" \t").startswith(b"{"):
            return ()
        try:
            found = _EVENTS.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return ()
        return (ToolCall(found.name, digest_of(bytes(found.arguments))) if isinstance(found, _Call) else found,)


class _Call(Event, frozen=True, tag="tool_call"):
    """A tool call as it stands in a line: the arguments are any JSON value."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"")


_EVENTS = msgspec.json.Decoder(
    Started | Message | _Call | ToolResult | Usage | WaitingForPermission | RateLimited | TurnEnded
)
