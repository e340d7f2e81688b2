"""Which tool of an agent does a neutral step, and with which arguments: found by the names and schemas it offers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ganger.testing.model_server.steps import AnyStep, Call, Edit, Read, Sh, Write

SHELLS = ("exec_command", "Bash", "run_shell_command", "bash", "terminal", "shell_command", "shell")
EDITORS = ("Edit", "replace", "edit", "str_replace_editor", "file_editor")
WRITERS = ("Write", "write_file", "write", "create", "file_editor")
READERS = ("Read", "read_file", "read", "view", "file_editor")
_PATHS = ("file_path", "filePath", "path", "absolute_path")
_OLD, _NEW = ("old_string", "oldString", "old_str"), ("new_string", "newString", "new_str")
_CONTENT = ("content", "file_text", "contents")
_COMMAND = ("command", "cmd")
_CWD = (
    re.compile(r"<cwd>\s*([^<\s]+)\s*</cwd>"),
    re.compile(r"(?i)working directory(?: is|:)\**\s*`?(/[^\s`\"\\]+)"),
    re.compile(r"(?i)in the directory:? `?(/[^\s`\"\\]+)"),
)
"""How agents tell their model where it works."""


class Offered(Struct, frozen=True):
    """A tool of a request."""

    name: str
    schema: Mapping[str, Any]
    space: str = ""
    """Its namespace, where the API has such."""


class Called(Struct, frozen=True):
    """A call of a tool."""

    name: str
    arguments: dict[str, Any]
    space: str = ""


class NoSuchTool(Exception):
    """The request offers nothing that could do the step."""


def call_for(step: AnyStep, offered: Mapping[str, Offered], conversation: str) -> Called:
    """Say which call does a step; NoSuchTool when nothing that is offered does."""
    match step:
        case Sh():
            return _shell(step.command, offered)
        case Read():
            return _on_file(READERS, step.path, {}, "view", offered, conversation, f"cat {shlex.quote(step.path)}")
        case Write():
            written = f"cat > {shlex.quote(step.path)} <<'SCRIPTED'\n{step.content.removesuffix(chr(10))}\nSCRIPTED"
            content = dict.fromkeys(_CONTENT, step.content)
            return _on_file(WRITERS, step.path, content, "create", offered, conversation, written)
        case Edit():
            given: dict[str, Any] = dict.fromkeys(_OLD, step.old) | dict.fromkeys(_NEW, step.new)
            given["edits"] = [{"oldText": step.old, "newText": step.new}]
            return _on_file(EDITORS, step.path, given, "str_replace", offered, conversation, _patch(step))
        case Call():
            return _named(step, offered)
    raise NoSuchTool(f"{type(step).__name__} is no call of a tool")


def _named(step: Call, offered: Mapping[str, Offered]) -> Called:
    for tool in offered.values():
        if re.split(r"__|[-_.](?=[a-z-]+$)", tool.name)[-1] == step.tool or tool.name.endswith(step.tool):
            return Called(tool.name, _filled(step.arguments, tool), tool.space)
    raise NoSuchTool(f"there is no tool {step.tool} among {', '.join(offered)}")


def _shell(command: str, offered: Mapping[str, Offered]) -> Called:
    tool = _first(SHELLS, offered)
    if tool is None:
        raise NoSuchTool(f"there is no shell among {', '.join(offered)}")
    return Called(tool.name, _filled(_known(dict.fromkeys(_COMMAND, command), tool), tool))


def _on_file(
    names: tuple[str, ...],
    path: str,
    given: dict[str, Any],
    verb: str,
    offered: Mapping[str, Offered],
    conversation: str,
    by_shell: str,
) -> Called:
    tool = _first(names, offered)
    if tool is None:
        return _shell(by_shell, offered)
    place = path if path.startswith("/") else f"{_directory(conversation)}{path}"
    arguments = _known(given | dict.fromkeys(_PATHS, place), tool)
    if "command" in tool.schema.get("properties", {}):
        arguments["command"] = verb
    return Called(tool.name, _filled(arguments, tool))


def _first(names: tuple[str, ...], offered: Mapping[str, Offered]) -> Offered | None:
    return next((offered[name] for name in names if name in offered), None)


def _known(given: dict[str, Any], tool: Offered) -> dict[str, Any]:
    """Of the arguments, those that the tool has."""
    return {name: value for name, value in given.items() if name in tool.schema.get("properties", {})}


def _filled(given: dict[str, Any], tool: Offered) -> dict[str, Any]:
    """The arguments, with something for each that the tool insists on."""
    properties = tool.schema.get("properties", {})
    missing = [name for name in tool.schema.get("required", ()) if name not in given]
    return given | {name: _anything(properties.get(name, {})) for name in missing}


def _anything(schema: Mapping[str, Any]) -> Any:
    if schema.get("enum"):
        return schema["enum"][0]
    kinds: dict[str, Any] = {"boolean": False, "integer": 1, "number": 1, "array": [], "object": {}}
    kind = schema.get("type")
    return kinds.get(kind, "scripted") if isinstance(kind, str) else "scripted"


def _directory(conversation: str) -> str:
    """Where the agent says that it works, with a slash at its end; empty when it does not say."""
    for pattern in _CWD:
        found = pattern.search(conversation)
        if found:
            return found[1].rstrip("/.") + "/"
    return ""


def _patch(step: Edit) -> str:
    """The edit in the form that Codex takes as a change of a file, and not as a command."""
    lines = [f"-{line}" for line in step.old.splitlines()] + [f"+{line}" for line in step.new.splitlines()]
    body = "\n".join(["*** Begin Patch", f"*** Update File: {step.path}", "@@", *lines, "*** End Patch"])
    return f"apply_patch <<'SCRIPTED'\n{body}\nSCRIPTED"
