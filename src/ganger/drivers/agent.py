"""What the drivers of agent programs have in common: their settings, where they are installed, and reading JSON lines.

The `[agents.NAME]` table of each of them:

    driver = "claude"            # claude | codex | gemini | opencode | pi | qwen | copilot
    program = "/opt/bin/claude"  # left out: the program of that name on PATH
    model = "claude-sonnet-4-5"  # left out: the program's own choice
    base_url = "http://…"        # of the model's API; left out: the provider's
    key_env = "ANTHROPIC_API_KEY"  # the variable of ganger's environment that holds the key
    permissions = "auto"         # auto | bypass | guarded: may it do things without being asked?

With `auto` an agent does everything unasked where a wall stands around it (tier T1 or better), and only what its own
guard lets it do where there is none.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ganger.drivers.hooks import HookEvent, hook_command, load_dialect, target_of
from ganger.drivers.port import TOKENS_MAX, Hooks, Launch, RateLimited, ToolCall, Turn, Usage, digest_of

COMMON = frozenset({"program", "model", "base_url", "key_env", "permissions"})
PERMISSIONS = ("auto", "bypass", "guarded")
TERM = "xterm-256color"
"""What a person's terminal is taken for, tmux's among them."""
NO_KEY = "none"
"""Stands for a key where an own server is asked that needs none."""
_OF_RUNS = uuid.UUID("6f1d3a52-3a0e-5d0f-8f7b-0d5b0c1f7a11")
OVERLOADED = frozenset({500, 502, 503, 529})
REASON_CHARS_MAX = 200
_STATUS = re.compile(r"\b(429|500|502|503|529)\b")
_QUOTA = re.compile(r"(?i)usage.?limit|rate.?limit|quota|too many requests|resource_exhausted")
_BUSY = re.compile(r"(?i)overloaded|high demand|unavailable|try again later")
_RESET_AT = re.compile(r"resets_at\W{1,4}(\d{10})\b")
_RETRY_AFTER = re.compile(r"(?i)retry.{0,3}after\W{1,3}(\d{1,7})\s?s")
Settings = Mapping[str, str]


def fault_of(program: str, settings: Settings, key_env: str, more: frozenset[str] = frozenset()) -> str:
    """Say what of the common settings is wrong, or missing on this machine; `""` if nothing is."""
    unknown = sorted(set(settings) - COMMON - more)
    if unknown:
        return f"`{unknown[0]}` is no setting of this driver; there are {', '.join(sorted(COMMON | more))}"
    if settings.get("permissions", "auto") not in PERMISSIONS:
        return f"`permissions` is {', '.join(PERMISSIONS)}, not {settings['permissions']!r}"
    if any("\0" in value or "\n" in value for value in settings.values()):
        return "a setting holds a line end or a NUL character"
    if not settings.get("base_url", "http://").startswith(("http://", "https://")):
        return f"`base_url` is no address: {settings['base_url']}"
    named = settings.get("program", program)
    if shutil.which(named) is None:
        where = f"{named} is not there" if "/" in named else f"{named} is not on PATH"
        return f'{where}: install it, or say where it is: program = "/…/{program}"'
    key = settings.get("key_env", "")
    if not key and "base_url" not in settings:
        return f'`key_env` is missing: name the variable that holds the key, for example key_env = "{key_env}"'
    if key and not os.environ.get(key):
        return f"the variable {key} that `key_env` names is not set"
    return ""


def program_of(program: str, settings: Settings) -> str:
    """The absolute path of the program; its name where it is not found."""
    return shutil.which(settings.get("program", program)) or program


def installed_at(program: str) -> tuple[Path, ...]:
    """The folders that a program needs to be seen: where it lies, where a link leads, and the packages around that."""
    folder = Path(program).parent
    found: dict[Path, None] = {folder: None}
    if folder.name == "bin":
        found[folder.parent / "lib"] = None
    real = Path(os.path.realpath(program))
    packages = [folder for folder in real.parents if folder.name == "node_modules"]
    found[packages[-1] if packages else real.parent] = None
    return tuple(found)


def is_guarded(turn: Turn) -> bool:
    """Whether the agent's own guard stays on."""
    asked = turn.settings.get("permissions", "auto")
    return asked == "guarded" or (asked == "auto" and turn.tier == "T0")


def key_by_name(settings: Settings, variable: str) -> tuple[dict[str, str], dict[str, str]]:
    """The key of a program that knows many providers: `variable` for an address of its own, otherwise its own name."""
    named = settings.get("key_env", "")
    return key_for(variable, settings) if "base_url" in settings else ({}, {named: named})


def key_for(variable: str, settings: Settings) -> tuple[dict[str, str], dict[str, str]]:
    """How `variable` of the worker gets its key: a plain value where no key is needed, or the name it is taken from."""
    named = settings.get("key_env", "")
    return ({}, {variable: named}) if named else ({variable: NO_KEY}, {})


def for_a_person(launch: Launch, headless: tuple[str, ...], instead: tuple[str, ...] = ()) -> Launch:
    """The launch of a turn with other arguments in the place of those that make it one without a person."""
    at = next(at for at in range(len(launch.argv)) if launch.argv[at : at + len(headless)] == headless)
    argv = (*launch.argv[:at], *instead, *launch.argv[at + len(headless) :])
    return replace(launch, argv=argv, env={**launch.env, "TERM": TERM}, stdin=b"")


def session_id(turn: Turn) -> str:
    """A conversation's identity: the same for the same turn of a run, and no other's."""
    return session_of(turn.run, turn.turn, turn.token)


def session_of(run: str, turn: int, token: int) -> str:
    """The same, of a turn of which only so much is known."""
    return str(uuid.uuid5(_OF_RUNS, f"{run}/{turn}/{token}"))


def hook_line(hooks: Hooks, dialect: str, event: HookEvent) -> str:
    """The command that an agent's settings name for an event."""
    return hook_command(hooks.client, load_dialect(dialect), event, hooks.slow)


def object_of(line: bytes) -> Mapping[str, object]:
    """A line that is a JSON object; an empty one for every other line."""
    if not line.lstrip(b" \t").startswith(b"{"):
        return {}
    try:
        found = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def inner(value: object, *names: str) -> Mapping[str, object]:
    """The object at a path of names; an empty one where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A text as it is; empty for anything else."""
    return value if isinstance(value, str) else ""


def count(value: object, most: int) -> int:
    """A number of tokens or the like, within bounds; 0 for anything else."""
    return min(max(value, 0), most) if isinstance(value, int) and not isinstance(value, bool) else 0


def objects(value: object) -> list[Mapping[str, object]]:
    """The objects of a list; none for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def call(name: object, arguments: object) -> ToolCall:
    """A use of a tool; arguments of the same meaning are the same, however they are written."""
    digest = digest_of(msgspec.json.encode(arguments, order="sorted"))
    return ToolCall(text(name), digest, target_of(arguments) if isinstance(arguments, dict) else "")


def usage(taken_in: tuple[object, ...], given_out: tuple[object, ...], usd: object = None) -> Usage:
    """What an answer cost; a price of nothing is one that the program does not know."""
    known = float(usd) if isinstance(usd, int | float) and 0 < usd <= 10**6 else None
    return Usage(
        min(sum(count(one, TOKENS_MAX) for one in taken_in), TOKENS_MAX),
        min(sum(count(one, TOKENS_MAX) for one in given_out), TOKENS_MAX),
        known,
    )


def refused(status: object, why: str, at_ms: int = 0) -> Iterator[RateLimited]:
    """Whether an error is one of limits, by its status or, where that is no number, by its words.

    `at_ms` is when it was told: a time to wait counts from there.
    """
    found = _STATUS.search(why)
    code = status if isinstance(status, int) else int(found[1]) if found else 0
    reason = why[:REASON_CHARS_MAX] or f"HTTP {code}"
    if code == 429 or (not code and _QUOTA.search(why)):
        yield RateLimited(_reset_ms(why, at_ms), reason)
    elif code in OVERLOADED or (not code and _BUSY.search(why)):
        yield RateLimited(reason=reason, overload=True)


def _reset_ms(why: str, at_ms: int) -> int:
    reset, wait = _RESET_AT.search(why), _RETRY_AFTER.search(why)
    if reset:
        return int(reset[1]) * 1_000
    return at_ms + int(wait[1]) * 1_000 if wait and at_ms else 0


def moment_ms(value: object) -> int:
    """A time in the form of ISO 8601, in milliseconds since the epoch; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(text(value)).timestamp() * 1_000)
    except (ValueError, OverflowError, OSError):
        return 0
