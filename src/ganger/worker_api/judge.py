"""What a hook is answered. Sees the names of files, through links, and otherwise only its arguments.

Allowing promises nothing: what counts in the end are the paths that a candidate changed, and the jail around it. So a
doubt about what a command would write is left to those, and a fault of ours denies what writes and allows what reads.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from functools import lru_cache, partial

from ganger.core.admission import admit_write
from ganger.core.fidelity import forbidden
from ganger.core.model import Kind, Writes
from ganger.core.patterns import scope_matches
from ganger.drivers.hooks import Act, Allow, Answer, Asked, Deny, HookEvent, NotAPayload, Tell
from ganger.worker_api.guards import Guard, GuardedCall, Memory, objection
from ganger.worker_api.shell import Deed, Forbidden, How, deeds
from ganger.worker_api.views import Rules, RunView

TREE_FILES_MAX = 500
"""Files of a directory that are looked at when it is removed or moved as a whole."""
DEVICES = ("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/zero", "/dev/full")
TMP = ("/tmp", "/var/tmp", "/dev/shm", "/dev/fd")  # noqa: S108 - those of the worker's jail
HOME = "name a file inside your workspace"


def judge(
    rules: Rules, view: RunView, asked: Asked, memory: Memory, guards: tuple[tuple[str, Guard], ...], now_ms: int
) -> Answer:
    """Answer what is asked before a tool is used."""
    refusal = _before_use(rules, view, asked, now_ms)
    if not refusal:
        call = GuardedCall(view.run, asked.tool, asked.act, asked.arguments, memory.seen, memory.used)
        refusal = objection(rules, call, guards)
    return Deny(refusal) if refusal else Allow()


def _before_use(rules: Rules, view: RunView, asked: Asked, now_ms: int) -> str:
    cwd = asked.cwd or view.workspace
    if asked.act is Act.write:
        wanted: Iterator[Deed | Forbidden] = (Deed(How.file, path) for path in asked.paths)
    elif asked.act is Act.shell:
        wanted = deeds(asked.command)
    else:
        return ""
    for deed in wanted:
        reason = deed.reason if isinstance(deed, Forbidden) else write_refusal(rules, view, cwd, deed, now_ms)
        if reason:
            return reason
    return ""


def write_refusal(rules: Rules, view: RunView, cwd: str, deed: Deed, now_ms: int) -> str:
    """Say why the worker of a run may not do this; empty when it may, or when nobody can tell."""
    if not is_name(deed.path):
        return f"{deed.path[:200]!r} names no file; {HOME}"
    if not is_name(cwd):
        return f"{cwd[:200]!r} names no folder to work in; {HOME}"
    place = place_of(deed, cwd if cwd.startswith("/") else f"{view.workspace}/{cwd}")
    if place is None:
        return ""
    inside = _below(place, _top(view.workspace))
    if inside is None:
        return "" if _is_elsewhere(view, place) else f"{deed.path} lies outside your workspace; {HOME}"
    if deed.how is How.directory and inside.partition("/")[0].lower() != ".git":
        return "" if view.writes is not Writes.none else "this workspace is for reading only"
    refusals = (_refusal(rules, view, path, now_ms) for path in _files(deed.how, place, inside))
    return next(filter(None, refusals), "")


def place_of(deed: Deed, cwd: str) -> str | None:
    """The real path of what is written; `cwd` is absolute. None where nobody can tell which file of a directory it is.

    Only for what `is_name`.
    """
    full = deed.path if deed.path.startswith("/") else f"{cwd}/{deed.path}"
    place = _real(full, follow=deed.how is not How.tree)
    if deed.how is How.into and os.path.isdir(place):  # noqa: PTH112 - a Path would fold what was written
        return f"{place}/{deed.name}" if deed.name and deed.name not in (".", "..") else None
    return place


def is_name(path: str) -> bool:
    """Whether a text can be the name of a file at all: no NUL, and nothing that is no text."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _refusal(rules: Rules, view: RunView, path: str, now_ms: int) -> str:
    """Say why a file of the repository may not be written."""
    others = forbidden(Kind("worker of its kind", writes=view.writes), (path,), partial(_is_test, rules))
    if others:
        return others[0]
    refused = admit_write(view.lease, path, now_ms, rules.paths)
    if refused is not None:
        return f"{refused.reason}; {refused.way}" if refused.way else refused.reason
    if path not in view.lease.scope and is_protected(rules, path):
        return f"{path} is protected: a change of it would be refused with all the rest; leave it, or ganger ask"
    return ""


def is_protected(rules: Rules, path: str) -> bool:
    """Whether the checks take a file from the base."""
    return _protected(_Alike(rules), path)


def _is_test(rules: Rules, path: str) -> bool:
    return scope_matches(rules.tests, path, rules.paths)


class _Alike:
    """Rules by what they protect, quickly compared: the gate asks by the same ones again and again."""

    __slots__ = ("rules",)

    def __init__(self, rules: Rules) -> None:
        self.rules = rules

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alike) and (self.rules is other.rules or self.rules == other.rules)

    def __hash__(self) -> int:
        return len(self.rules.protected)


@lru_cache(maxsize=1 << 14)
def _protected(alike: _Alike, path: str) -> bool:
    return scope_matches(alike.rules.protected, path, alike.rules.paths)


def _files(how: How, place: str, inside: str) -> Iterator[str]:
    """The files that change; a directory that is taken away stands for those in it."""
    if how is not How.tree or not is_directory(place):
        yield inside
    elif not inside:
        yield "."
    else:
        yield from (inside + path[len(place) :] for path in files_in(place))


def files_in(folder: str) -> Iterator[str]:
    """The files in a directory and below it, but for git's own; no more than are looked at."""
    seen = 0
    for below, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in names:
            seen += 1
            if seen > TREE_FILES_MAX:
                return
            yield f"{below}/{name}"


def is_directory(place: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(place).st_mode)
    except (OSError, ValueError):
        return False


def _real(path: str, *, follow: bool) -> str:
    """The file that a name leads to, through every link; with `follow` off the last name is that of the link itself."""
    trimmed = path.rstrip("/") or "/"
    if follow:
        return os.path.realpath(trimmed)
    folder, _, name = trimmed.rpartition("/")
    if name in ("", ".", ".."):
        return os.path.realpath(trimmed)
    return os.path.realpath(folder or "/").rstrip("/") + "/" + name


@lru_cache(maxsize=1 << 12)
def _top(workspace: str) -> str:
    """The real path of a workspace; it is made once and never moves."""
    return os.path.realpath(workspace)


def _below(path: str, top: str) -> str | None:
    """The path as seen from a folder; empty for the folder itself, None when it is not in there."""
    if path == top:
        return ""
    return path[len(top) + 1 :] if path.startswith(top + "/") else None


def _is_elsewhere(view: RunView, path: str) -> bool:
    """Whether a file outside the workspace is the worker's own business."""
    if path in DEVICES:
        return True
    own = (*TMP, *map(_top, view.places))
    # A workspace can itself lie below /tmp; then what is beside it is somebody else's.
    top = os.path.dirname(_top(view.workspace))  # noqa: PTH120
    return any(_below(path, place) is not None and (_below(top, place) is None or place in own[4:]) for place in own)


def context(view: RunView, event: HookEvent, told: set[str]) -> Answer:
    """What a conversation is told at its start, and with each prompt what is new since."""
    news = [notice for notice in view.notices if notice not in told]
    told.update(news)
    texts = ([view.context] if event is HookEvent.session_start and view.context else []) + news
    return Tell("\n".join(texts)) if texts else Allow()


def stop_answer(view: RunView, lacks: tuple[str, ...], refused: int, rules: Rules) -> Answer:
    """Whether a turn may end; `refused` is how often it has been kept from it."""
    if not lacks or refused >= rules.stop_refusals_max:
        return Allow()
    return Deny(f"The turn is not over: {' '.join(lacks)}")


def may_end(view: RunView) -> bool:
    """Whether nothing that a run could lack would keep its turn from ending."""
    return view.report in ("failed", "asked", "findings", "proposal", "no_evidence") or (
        not view.changes and (bool(view.report) or not view.must_report)
    )


def broken(asked_event: HookEvent, is_read: bool, why: str) -> Answer:
    """The answer when nobody can say: what writes is denied, what reads is not, and nothing else is held up."""
    if asked_event is not HookEvent.pre_tool or is_read:
        return Allow()
    return Deny(f"ganger cannot say whether this may be done ({why}); reading goes on, what writes is denied")


def unreadable(event: HookEvent, error: NotAPayload) -> Answer:
    """The answer to what is no question."""
    return broken(event, is_read=False, why=f"the call was not understood: {error}")
