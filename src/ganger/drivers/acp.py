"""The driver for any agent that speaks the Agent Client Protocol: `acp_client` speaks with it, behind the same wall.

    driver = "acp"
    run = "gemini --acp"           # how the agent is started as a server of that protocol
    env = "GEMINI_MODEL=x A=b"     # what it finds in its environment besides
    key_env = "GEMINI_API_KEY"     # the variable with the key, under the same name there
    permissions = "auto"           # as with other agent programs: what it asks for is allowed, or refused

Its home is the run's own folder for all turns. What is known of its costs is what it says at the end of a turn.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping

from ganger.drivers import agent
from ganger.drivers.command import CommandDriver
from ganger.drivers.port import Capabilities, DriverEvent, Launch, McpServer, Turn

_COMMAND = CommandDriver()
_SETTINGS = frozenset({"run", "env", "key_env", "permissions"})


class Acp:
    """Runs `run` under a client of the protocol."""

    name = "acp"
    capabilities = Capabilities(resume=True, reports_by_exit=False)
    product = None

    def fault(self, settings: Mapping[str, str]) -> str:
        """Say which of the settings cannot work here."""
        unknown = sorted(set(settings) - _SETTINGS)
        if unknown:
            return f"`{unknown[0]}` is no setting of this driver; there are {', '.join(sorted(_SETTINGS))}"
        if settings.get("permissions", "auto") not in agent.PERMISSIONS:
            return f"`permissions` is {', '.join(agent.PERMISSIONS)}, not {settings['permissions']!r}"
        if fault := _COMMAND.fault({"run": settings.get("run", "")}):
            return fault
        try:
            wrong = [word for word in shlex.split(settings.get("env", "")) if not word.partition("=")[0].isidentifier()]
        except ValueError as error:
            return f"`env` cannot be split into words ({error})"
        if wrong or any(word.count("=") == 0 for word in shlex.split(settings.get("env", ""))):
            return f'`env` holds {(wrong or ["a word without ="])[0]!r}: write env = "NAME=value OTHER=value"'
        key = settings.get("key_env", "")
        return f"the variable {key} that `key_env` names is not set" if key and not os.environ.get(key) else ""

    def launch(self, turn: Turn) -> Launch:
        """Start the client, which starts the agent; what it is to do lies in a file of the run's own folder."""
        argv = shlex.split(turn.settings["run"])
        order = {
            "argv": argv,
            "cwd": str(turn.workspace),
            "session": turn.session,
            "allow": not agent.is_guarded(turn),
            "servers": [_server(one) for one in turn.mcp if one.command],
        }
        env = dict(word.split("=", 1) for word in shlex.split(turn.settings.get("env", "")))
        key = turn.settings.get("key_env", "")
        place = turn.state / "acp.json"
        client = (sys.executable, "-I", "-m", "ganger.drivers.acp_client", str(place))
        return Launch(
            argv=client,
            env=env | {"HOME": str(turn.state)},
            stdin=turn.brief.encode(errors="replace"),
            files={"acp.json": json.dumps(order).encode()},
            keys={key: key} if key else {},
            readable=agent.installed_at(shutil.which(argv[0]) or argv[0]),
        )

    def events(self, line: bytes, settings: Mapping[str, str]) -> tuple[DriverEvent, ...]:
        """Read a line that the client printed."""
        return _COMMAND.events(line, {"output": "events"})


def _server(server: McpServer) -> dict[str, object]:
    return {"name": server.name, "command": server.command[0], "args": list(server.command[1:]), "env": []}
