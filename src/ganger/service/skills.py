"""Skills: short texts that teach an agent to work under ganger, plan for it, review for it and supervise it.

They lie in `skills/NAME/SKILL.md`, in the form that agents share (front matter with `name` and `description`). One that
is installed ends with a mark, a comment that holds the hash of what stands above it: a file is ours, to replace or to
take away, only for as long as it is, byte by byte, what some version of ganger wrote.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from ganger.errors import UsageError

FILE = "SKILL.md"
FOREIGN = "ganger did not write it"
BYTES_MAX = 64 * 1024
_PACKAGED = Path(__file__).parents[1] / "skills"
_MARK = re.compile(r"<!-- ganger skill, sha256 ([0-9a-f]{64}) -->\n\Z")
_HEAD = re.compile(r"---\nname: ([a-z0-9-]{1,64})\ndescription: (.{1,1024})\n---\n")
_HOMES = {
    "claude": ("CLAUDE_CONFIG_DIR", ".claude"),
    "codex": ("CODEX_HOME", ".codex"),
    "opencode": ("XDG_CONFIG_HOME", ".config/opencode"),
    "pi": ("PI_CODING_AGENT_DIR", ".pi/agent"),
}
"""For each agent: the variable that says where its settings lie, and where below the home they lie without it."""


class Skill(Struct, frozen=True):
    """One skill as it ships."""

    name: str
    description: str
    """When an agent is to read it."""
    text: str


class Change(Struct, frozen=True):
    """What becomes of one file."""

    skill: str
    path: Path
    before: str
    """Empty where there is no file."""
    after: str
    """Empty where there is to be none; what stands there already where nothing changes."""
    kept: str = ""
    """Why a file that is not as wanted stays as it is; empty for all others."""

    @property
    def changes(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after


def agents() -> tuple[str, ...]:
    """The agents whose place for skills is known."""
    return tuple(_HOMES)


def packaged() -> tuple[Skill, ...]:
    """The skills that ship with this version, by name."""
    return tuple(map(_read, sorted(_PACKAGED.glob(f"*/{FILE}"))))


def _read(path: Path) -> Skill:
    text = path.read_text(encoding="utf-8")
    head = _HEAD.match(text)
    assert head is not None and head[1] == path.parent.name, path
    return Skill(head[1], head[2], text)


def home_of(agent: str, environ: Mapping[str, str]) -> Path:
    """The folder of a person's own settings of an agent; UsageError where nobody knows where home is."""
    variable, folder = _HOMES[agent]
    if named := environ.get(variable, ""):
        return Path(named, "opencode") if agent == "opencode" else Path(named)
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        raise UsageError("HOME does not say where your settings are", "set it, or name a folder")
    return Path(home, folder)


def folder_of(target: str, environ: Mapping[str, str]) -> Path:
    """Where skills go: below the settings of the agent of that name, or else the folder itself."""
    return home_of(target, environ) / "skills" if target in _HOMES else Path(target)


def marked(text: str) -> str:
    """A skill as it is installed."""
    return f"{text}<!-- ganger skill, sha256 {_digest(text)} -->\n"


def is_ours(text: str) -> bool:
    """Whether a file is what ganger wrote, of this version or another, and nobody has changed it since."""
    mark = _MARK.search(text)
    return mark is not None and mark[1] == _digest(text[: mark.start()])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def changes(folder: Path, uninstall: bool) -> Iterator[Change]:
    """What would become of each skill in a folder; nothing is written here."""
    for skill in packaged():
        path = folder / skill.name / FILE
        wanted = "" if uninstall else marked(skill.text)
        if path.is_symlink() or path.parent.is_symlink():
            yield Change(skill.name, path, "", "", "it is a link")
            continue
        before, fault = _content(path)
        if not before and not fault:
            yield Change(skill.name, path, before, wanted)
        elif fault or not is_ours(before):
            changed = "somebody has changed it since ganger wrote it" if _MARK.search(before) else FOREIGN
            yield Change(skill.name, path, before, before, fault or changed)
        else:
            yield Change(skill.name, path, before, wanted)


def _content(path: Path) -> tuple[str, str]:
    """What stands in a file, empty where there is none; and why that cannot be said."""
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        return "", ""
    except OSError as error:
        return "", f"it cannot be read: {error.strerror}"
    if len(content) > BYTES_MAX:
        return "", FOREIGN
    return (content.decode(errors="replace"), "") if content else ("", FOREIGN)
