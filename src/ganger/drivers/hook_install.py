"""Where agents look for hooks of a person's own sessions, and what stands there with ours and without them.

Only texts go in and out; nothing is written here. Ours are known by the slow path in their command. Asked about is only
what is to be written: a person's own session has no run, so nothing else could be said about it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from ganger.drivers.hook_opencode import plugin
from ganger.drivers.hooks import HookEvent, load_dialect
from ganger.errors import ConfigError

OURS = " -m ganger hook"
"""Stands in every command of ours."""
Command: TypeAlias = Callable[[HookEvent], str]
Edit: TypeAlias = Callable[[str, "Command | None"], str]


class Place(Struct, frozen=True):
    """The file of one agent."""

    path: Path
    edit: Edit
    """What the file holds with our hooks, or with None for the command without them; empty: it need not be there."""
    hint: str = ""
    """What a person has to do besides."""


def place_of(agent: str, environ: Mapping[str, str]) -> Place:
    """Where the hooks of an agent go; ConfigError when they go nowhere, or nobody knows where home is."""
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise ConfigError("HOME does not say where your settings are", "set it")
    found = _PLACES.get(agent)
    if found is None:
        raise ConfigError(f"ganger cannot install hooks for {agent}", f"it can for {', '.join(_PLACES)}")
    variable, folder, name, edit, hint = found
    base = Path(environ.get(variable, "") or Path(home, folder)) if variable else Path(home, folder)
    if variable == "XDG_CONFIG_HOME" and environ.get(variable):
        base /= "opencode"
    return Place(base / name, edit, hint)


def agents() -> tuple[str, ...]:
    """The agents for whose own sessions hooks can be installed."""
    return tuple(_PLACES)


def _in_settings(agent: str, more: Mapping[str, object] | None = None) -> Edit:
    """Hooks as a table among a person's other settings, in the form of Claude Code."""

    def edit(text: str, command: Command | None) -> str:
        settings = _read(text)
        dialect = load_dialect(agent)
        hooks = settings.get("hooks", {})
        if not isinstance(hooks, dict):
            raise ConfigError("`hooks` is no table there", "correct it, then try again")
        kept = {event: entries for event, entries in ((name, _without(one)) for name, one in hooks.items()) if entries}
        if command is not None:
            line = command(HookEvent.pre_tool)
            handler = {"type": "command", "command": line, "timeout": dialect.timeout}
            before = kept.get(dialect.events[HookEvent.pre_tool], [])
            kept[dialect.events[HookEvent.pre_tool]] = [*before, {"matcher": "*", "hooks": [handler]}]
            for name, value in (more or {}).items():
                settings.setdefault(name, value)
        elif not kept and "hooks" in settings:
            # Of no use without a hook; nobody can tell any more who wrote it.
            for name in [name for name, value in (more or {}).items() if settings.get(name) == value]:
                del settings[name]
        settings.pop("hooks", None)
        if kept:
            settings["hooks"] = kept
        return _written(settings, text)

    return edit


def _without(entries: Any) -> Any:
    """The entries of one event that are not ours."""
    if not isinstance(entries, list):
        return entries
    found = []
    for entry in entries:
        handlers = entry.get("hooks") if isinstance(entry, dict) else None
        if not isinstance(handlers, list):
            found.append(entry)
            continue
        others = [one for one in handlers if not (isinstance(one, dict) and OURS in str(one.get("command", "")))]
        if others:
            found.append({**entry, "hooks": others} if len(others) < len(handlers) else entry)
    return found


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise ConfigError(f"it is not JSON: {error}", "correct it, then try again; nothing was changed") from error
    if not isinstance(found, dict):
        raise ConfigError("it is not a JSON object", "correct it, then try again; nothing was changed")
    return found


def _written(settings: dict[str, Any], before: str) -> str:
    """The settings as text, in the manner of what stood there; empty when there is nothing to say."""
    if not settings:
        return ""
    old = _read(before)
    for indent in (2, 4, "\t", 1, 3, 8):
        for end in ("\n", ""):
            if json.dumps(old, indent=indent, ensure_ascii=False) + end == before:
                return json.dumps(settings, indent=indent, ensure_ascii=False) + end
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def _own_json(text: str, command: Command | None) -> str:
    """A file of our own, in the form of Copilot."""
    if command is None:
        return "" if OURS in text else text
    line = {"type": "command", "bash": command(HookEvent.pre_tool), "timeoutSec": 30}
    return json.dumps({"version": 1, "hooks": {"preToolUse": [line]}}, indent=2) + "\n"


def _own_plugin(text: str, command: Command | None) -> str:
    if command is None:
        return "" if OURS in text else text
    return plugin(command(HookEvent.pre_tool), "true")


_PLACES: dict[str, tuple[str, str, str, Edit, str]] = {
    "claude": ("CLAUDE_CONFIG_DIR", ".claude", "settings.json", _in_settings("claude"), ""),
    "codex": (
        *("CODEX_HOME", ".codex", "hooks.json", _in_settings("codex")),
        "codex skips a hook that nobody trusted: agree to it when codex asks, at its next start",
    ),
    "gemini": ("", ".gemini", "settings.json", _in_settings("gemini", {"hooksConfig": {"enabled": True}}), ""),
    "qwen": ("", ".qwen", "settings.json", _in_settings("qwen"), ""),
    "copilot": ("COPILOT_HOME", ".copilot", "hooks/ganger.json", _own_json, ""),
    "opencode": (
        *("XDG_CONFIG_HOME", ".config/opencode", "plugin/ganger.js", _own_plugin),
        "opencode installs @opencode-ai/plugin at its next start, which needs the package registry",
    ),
}
