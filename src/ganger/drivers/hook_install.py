"""Where agents look for hooks of a person's own sessions, and what stands there with ours and without them.

Only texts go in and out; nothing is written here. Ours are known by the slow path in their command. Asked about is only
what is to be written: a person's own session has no run, so nothing else could be said about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct

from ganger.drivers.hook_opencode import plugin
from ganger.drivers.hooks import HookEvent, load_dialect
from ganger.errors import ConfigError

OURS = " -m ganger hook"
"""Stands in every command of ours."""
CORRECT = "make it plain JSON without comments, then try again; nothing was changed"
Command: TypeAlias = Callable[[HookEvent], str]
Edit: TypeAlias = Callable[[str, "Command | None"], str]
_COMMANDS = re.compile(r"^const COMMANDS = .*$", re.M)


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


def switched_off(text: str) -> str:
    """Which setting there keeps the agent from asking anybody; empty for none, and for what is no table."""
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    if settings.get("disableAllHooks") is True:
        return "disableAllHooks"
    config = settings.get("hooksConfig")
    return "hooksConfig.enabled" if isinstance(config, dict) and config.get("enabled") is False else ""


def _in_settings(agent: str, more: Mapping[str, object] | None = None) -> Edit:
    """Hooks as a table among a person's other settings, in the form of Claude Code."""

    def edit(text: str, command: Command | None) -> str:
        settings = _read(text)
        dialect = load_dialect(agent)
        hooks = settings.get("hooks", {})
        event = dialect.events[HookEvent.pre_tool]
        if not isinstance(hooks, dict) or not isinstance(hooks.get(event, []), list):
            raise ConfigError(f"`hooks`, or `{event}` in it, is not what it should be there", CORRECT)
        kept = {name: others for name, one in hooks.items() if (others := _without(one)) or others == one}
        if command is not None:
            handler = {"type": "command", "command": command(HookEvent.pre_tool), "timeout": dialect.timeout}
            ours = {"matcher": "*", "hooks": [handler]}
            there = ours in hooks.get(event, []) and (len(hooks[event]) == len(kept.get(event, [])) + 1)
            kept[event] = hooks[event] if there else [*kept.get(event, []), ours]
            for name, value in (more or {}).items():
                settings.setdefault(name, value)
        elif not kept and "hooks" in settings:
            # Of no use without a hook; nobody can tell any more who wrote it.
            for name in [name for name, value in (more or {}).items() if settings.get(name) == value]:
                del settings[name]
        if kept:
            settings["hooks"] = kept
        elif kept != hooks:
            del settings["hooks"]
        return text if settings == _read(text) else _written(settings, text)

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
        if len(others) == len(handlers):
            found.append(entry)
        elif others:
            found.append({**entry, "hooks": others})
    return found


def _read(text: str) -> dict[str, Any]:
    """The settings; ConfigError for all that would not be written again as it stands, comments among it."""
    try:
        found = json.loads(text.strip() or "{}", object_pairs_hook=_object, parse_constant=_no_number)
        json.dumps(found, allow_nan=False)
    except ValueError as error:
        raise ConfigError(f"it is not plain JSON: {error}", CORRECT) from error
    except RecursionError:
        raise ConfigError("it is nested too deeply", CORRECT) from None
    if not isinstance(found, dict):
        raise ConfigError("it is not a JSON object", CORRECT)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
    return made


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _written(settings: dict[str, Any], before: str) -> str:
    """The settings as text, in the manner of what stood there; empty when there is nothing to say."""
    if not settings:
        return ""
    old = _read(before)
    for indent in (2, 4, "\t", 1, 3, 8):
        for is_ascii in (False, True):
            for end in ("\n", ""):
                if json.dumps(old, indent=indent, ensure_ascii=is_ascii) + end == before:
                    return json.dumps(settings, indent=indent, ensure_ascii=is_ascii) + end
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    # Half a character can only be written as an escape.
    return (text if text.isascii() or text == text.encode(errors="replace").decode() else json.dumps(settings)) + "\n"


def _own_json(text: str, command: Command | None) -> str:
    """A file of our own, in the form of Copilot; a person may have put other hooks in it."""
    settings = _read(text) or {"version": 1}
    hooks = settings.get("hooks", {})
    if not isinstance(hooks, dict) or not isinstance(hooks.get("preToolUse", []), list):
        raise ConfigError("`hooks`, or `preToolUse` in it, is not what it should be there", CORRECT)
    before = hooks.get("preToolUse", [])
    kept = [one for one in before if not (isinstance(one, dict) and OURS in str(one.get("bash", "")))]
    if command is not None:
        kept.append({"type": "command", "bash": command(HookEvent.pre_tool), "timeoutSec": 30})
    if kept == before:
        return text
    after = {name: entries for name, entries in {**hooks, "preToolUse": kept}.items() if entries}
    return _written({**settings, "hooks": after} if after else {}, text)


def _own_plugin(text: str, command: Command | None) -> str:
    """A file of our own that is no table: what somebody else wrote into it cannot be told from ours."""
    if command is None and OURS not in text:
        return text
    if text and _COMMANDS.sub("", text, count=1) != _COMMANDS.sub("", plugin("", ""), count=1):
        raise ConfigError("it is not as ganger wrote it", "move it to another place, then try again")
    return "" if command is None else plugin(command(HookEvent.pre_tool), "true")


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
