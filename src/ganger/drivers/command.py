"""The driver for any program: the brief on standard input, each printed line a message, the exit status the end."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping

from ganger.drivers.port import Capabilities, DriverEvent, Launch, Message, Turn

BRIEF_ENV_BYTES_MAX = 100_000
"""Linux takes at most 128 KiB for one string of the environment."""
MESSAGE_BYTES_MAX = 16_384
"""More of a line is for the transcript, not for an event."""


class CommandDriver:
    """Runs `run` of `[agents.NAME]` in the workspace: arguments split like a shell does, but without a shell."""

    name = "command"
    capabilities = Capabilities(resume=False, reports_by_exit=True)

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say whether `run` is missing, cannot be split, or names a program that is not there."""
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

    def launch(self, turn: Turn) -> Launch:
        """Give the brief on standard input, as a file `$GANGER_BRIEF_FILE`, and in `$GANGER_BRIEF`.

        `$GANGER_BRIEF` holds the text itself, or the path of that file where the text is too long for an environment.
        """
        stdin = turn.brief.encode(errors="replace")
        fits = len(stdin) <= BRIEF_ENV_BYTES_MAX and b"\0" not in stdin
        path = str(turn.brief_path)
        env = {"GANGER_BRIEF": stdin.decode() if fits else path, "GANGER_BRIEF_FILE": path}
        return Launch(tuple(shlex.split(turn.settings["run"])), env, stdin)

    def read(self, line: bytes) -> tuple[DriverEvent, ...]:
        """Take the line as a message; an empty one says nothing."""
        text = line[:MESSAGE_BYTES_MAX].decode(errors="replace").strip("\r\n")
        return (Message(text),) if text.strip() else ()
