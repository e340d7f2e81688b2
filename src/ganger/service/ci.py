"""What continuous integration says of a commit: green, repaired, blocked by what, not to be had and why, or unknown.

A source gives the checks that ran on exactly that commit; `judge` says what follows. Silence is `unknown`, which closes
nothing; a source that cannot be asked is `unavailable` with what was seen, which is never shown as green.

Sources: `github` (the REST interface, version 2022-11-28: check runs and commit statuses), `file` (JSON on this
machine), `command` (a program that prints the same JSON), and what packages offer under the entry points `ganger.ci`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from ganger.core.model import CiState
from ganger.errors import ConfigError, UsageError
from ganger.plans.source import read_bytes
from ganger.service import programs
from ganger.service.ci_settings import CiSettings
from ganger.service.place import replace_file

ENTRY_POINTS = "ganger.ci"
ANSWER_BYTES_MAX = 8 << 20
PAGES_MAX = 10
NAMED_MAX = 5
KEPT = "ci"
WAIT_S = 60
"""How long a source that refuses without a time is left alone."""


class Ci(Struct, frozen=True):
    """A state with what it rests on."""

    state: CiState
    text: str
    """The checks, the cause, or what was seen instead of an answer; in one line."""


class CheckRun(Struct, frozen=True):
    """One try of one check on a commit."""

    name: str
    status: str = "completed"
    """`completed`, or how far it is."""
    conclusion: str | None = None
    """With `completed`: `success`, `failure`, `cancelled`, …"""
    attempt: int = 1
    """The larger, the later."""


class Unavailable(Exception):
    """A source could not be asked; the message says what was seen."""


_PASSED = ("success", "neutral", "skipped")


def judge(runs: Iterable[CheckRun], needed: Iterable[str] = ()) -> Ci:
    """Say what follows from the checks that ran on a commit; those of `needed` must be among them and pass."""
    tries: dict[str, list[CheckRun]] = {}
    for run in sorted(runs, key=lambda one: one.attempt):
        tries.setdefault(run.name, []).append(run)
    last = {name: found[-1] for name, found in sorted(tries.items())}
    failed = [
        f"{name} ({run.conclusion})" for name, run in last.items() if _ended(run) and run.conclusion not in _PASSED
    ]
    if failed:
        return Ci(CiState.blocked, f"failed: {_names(failed)}")
    open_ = [name for name, run in last.items() if not _ended(run)]
    missing = [name for name in needed if name not in last or last[name].conclusion != "success"]
    if open_:
        return Ci(CiState.unknown, f"not ended: {_names(open_)}")
    if missing:
        return Ci(CiState.unknown, f"did not run: {_names(missing)}")
    passed = [name for name, run in last.items() if run.conclusion == "success"]
    if not passed:
        return Ci(CiState.unknown, "no check ran on this commit" if not last else "every check was skipped")
    before = [name for name, found in tries.items() if any(one.conclusion not in _PASSED for one in found[:-1])]
    if before:
        return Ci(CiState.repaired_green, f"passed when run again: {_names(sorted(before))}")
    return Ci(CiState.green, f"passed: {_names(passed)}")


def _ended(run: CheckRun) -> bool:
    return run.status == "completed" and run.conclusion is not None


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
    return ", ".join(names[:NAMED_MAX]) + more


Source: TypeAlias = Callable[[str], tuple[CheckRun, ...]]
"""Gives the checks that ran on a commit; raises Unavailable when it cannot be asked."""


def state_of(settings: CiSettings, commit: str, place: Path, state_dir: Path, environ: Mapping[str, str]) -> Ci:
    """Ask the source about a commit. `place` is the top of the work tree; answers are kept in the state directory.

    UsageError when there is no such source.
    """
    source = source_of(settings, place, state_dir, environ)
    try:
        return judge(source(commit), settings.needed)
    except Unavailable as seen:
        return Ci(CiState.unavailable, str(seen))


def where(settings: CiSettings, commit: str) -> str:
    """Where a source is asked about a commit: an address, a file, a command, or the name of a package's source."""
    match settings.source:
        case "github":
            return _address(settings, commit)
        case "file":
            return settings.path
        case "command":
            return " ".join((*settings.argv, commit))
        case name:
            return name


def _address(settings: CiSettings, commit: str) -> str:
    return f"{settings.api.rstrip('/')}/repos/{urllib.parse.quote(settings.repo)}/commits/{commit}"


def source_of(settings: CiSettings, place: Path, state_dir: Path, environ: Mapping[str, str]) -> Source:
    """The source of a configuration; UsageError when there is none of that name."""
    match settings.source:
        case "github":
            token = environ.get(settings.token_env, "") if settings.token_env else ""
            return GitHub(settings, state_dir / KEPT, token)
        case "file":
            return lambda commit: read_file(place / settings.path, commit)
        case "command":
            return lambda commit: ask_command(settings, commit, place, state_dir)
        case name:
            for found in entry_points(group=ENTRY_POINTS, name=name):
                return _guarded(name, found.load())
            known = ", ".join(("github", "file", "command", *entry_points(group=ENTRY_POINTS).names))
            raise UsageError(f"there is no source of CI called {name!r}", f"ci.source can be {known}")


def _guarded(name: str, ask: Callable[[str], Iterable[Mapping[str, Any]]]) -> Source:
    """A package's source: whatever it raises, or gives that is no list of checks, is no answer."""

    def asked(commit: str) -> tuple[CheckRun, ...]:
        try:
            return msgspec.convert(tuple(ask(commit)), tuple[CheckRun, ...])
        except Exception as error:
            raise Unavailable(f"{name} could not be asked: {type(error).__name__}: {error}") from error

    return asked


def read_file(path: Path, commit: str) -> tuple[CheckRun, ...]:
    """Checks of a commit in a file: `{"COMMIT": [{"name": …, "conclusion": "success"}]}`; none when it is not there."""
    try:
        content = read_bytes(path, ANSWER_BYTES_MAX)
        return msgspec.json.decode(content, type=dict[str, tuple[CheckRun, ...]]).get(commit, ())
    except ConfigError as error:
        raise Unavailable(f"{path} {error.message}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Unavailable(f"{path} cannot be read: {error}") from error


def ask_command(settings: CiSettings, commit: str, place: Path, state_dir: Path) -> tuple[CheckRun, ...]:
    """Checks as a program prints them: a JSON list of the same objects."""
    call = programs.Call((*settings.argv, commit), settings.timeout_ms, b"")
    (answer,) = programs.ask(state_dir, place, (call,))
    if answer.fault:
        raise Unavailable(f"{settings.argv[0]} could not be asked: {answer.fault}")
    try:
        return msgspec.json.decode(answer.text, type=tuple[CheckRun, ...])
    except msgspec.MsgspecError as error:
        raise Unavailable(f"{settings.argv[0]} printed no list of checks: {error}") from error


class _Kept(Struct):
    """The last answer to a question, and until when it may not be asked again."""

    etag: str = ""
    body: str = ""
    not_before_s: int = 0


def _request(url: str, headers: dict[str, str]) -> urllib.request.Request:
    return urllib.request.Request(url, headers=headers)  # noqa: S310 - `ci_settings` takes no other scheme than http


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token must not follow a redirection to another place."""

    def redirect_request(self, *args: Any, **more: Any) -> None:
        return None


class GitHub:
    """Check runs and commit statuses over the REST interface of GitHub, or of what speaks as it does.

    An answer is kept with its ETag, so that asking again costs the forge nothing; when it asks to be left alone, it is,
    until then. The token is in no error text and in nothing that is kept.
    """

    def __init__(
        self, settings: CiSettings, folder: Path, token: str, clock_s: Callable[[], float] = time.time
    ) -> None:
        self._settings, self._folder, self._token, self._clock_s = settings, folder, token, clock_s
        self._open = urllib.request.build_opener(_NoRedirect).open

    def __call__(self, commit: str) -> tuple[CheckRun, ...]:
        """The checks of a commit; Unavailable with what was seen."""
        at = _address(self._settings, commit)
        try:
            return (*self._check_runs(at), *self._statuses(at))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Unavailable(f"{at} answered something else than checks: {type(error).__name__}") from error

    def _check_runs(self, at: str) -> Iterable[CheckRun]:
        found: list[CheckRun] = []
        for page in range(1, PAGES_MAX + 1):
            answer = self._get(f"{at}/check-runs?filter=all&per_page=100&page={page}")
            rows = answer["check_runs"]
            found += [CheckRun(str(row["name"]), str(row["status"]), row["conclusion"], int(row["id"])) for row in rows]
            if len(found) >= int(answer["total_count"]) or not rows:
                return found
        raise Unavailable(f"{at} has more than {PAGES_MAX * 100} check runs")

    def _statuses(self, at: str) -> Iterable[CheckRun]:
        for row in self._get(f"{at}/status?per_page=100")["statuses"]:
            state = str(row["state"])
            ended = "in_progress" if state == "pending" else "completed"
            yield CheckRun(str(row["context"]), ended, None if state == "pending" else state, int(row["id"]))

    def _get(self, url: str) -> Any:
        """The answer to one question, from the forge or, if it says that nothing changed, from what is kept."""
        path = self._folder / f"{hashlib.sha256(url.encode()).hexdigest()}.json"
        kept = self._read(path)
        if kept.not_before_s > self._clock_s():
            raise Unavailable(f"{url} asked to be left alone for {kept.not_before_s - int(self._clock_s())} s more")
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        headers |= {"User-Agent": "ganger"} | ({"If-None-Match": kept.etag} if kept.etag else {})
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            with self._open(_request(url, headers), None, self._settings.timeout_ms / 1000) as answer:
                body = answer.read(ANSWER_BYTES_MAX + 1)
                etag = str(answer.headers.get("ETag", ""))
        except urllib.error.HTTPError as refused:
            if refused.code == 304 and kept.body:
                return json.loads(kept.body)
            self._leave_alone(path, kept, refused)
            raise Unavailable(f"{url} answered with HTTP status {refused.code}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise Unavailable(f"{url} could not be asked: {reason}") from None
        if len(body) > ANSWER_BYTES_MAX:
            raise Unavailable(f"{url} answered with more than {ANSWER_BYTES_MAX >> 20} MiB")
        found = json.loads(body)
        self._write(path, _Kept(etag, body.decode()))
        return found

    def _leave_alone(self, path: Path, kept: _Kept, refused: urllib.error.HTTPError) -> None:
        """Note until when a forge that refuses for being asked too often is not asked again."""
        if refused.code not in (403, 429, 503):
            return
        after, reset = refused.headers.get("Retry-After", ""), refused.headers.get("X-RateLimit-Reset", "")
        now_s = int(self._clock_s())
        until_s = now_s + int(after) if after.isdigit() else int(reset) if reset.isdigit() else now_s + WAIT_S
        self._write(path, _Kept(kept.etag, kept.body, min(until_s, now_s + 3_600)))

    def _read(self, path: Path) -> _Kept:
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Kept)
        except (OSError, msgspec.MsgspecError):
            return _Kept()

    def _write(self, path: Path, kept: _Kept) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(kept))
