"""Starting git, safely: `Git` on repositories of ours, `UserGit` on the user's.

Arguments are lists and never reach a shell; nothing of the caller's environment is inherited but what is named here;
standard input is bytes or closed; every call has a time limit, after which its whole process group is ended.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from ganger.core.ids import Commit, is_commit
from ganger.errors import GitFailed, UsageError
from ganger.jail import rights

VERSION_MIN = (2, 38)
TIMEOUT_S = 120.0
KILL_AFTER_S = 2.0
NOTHING: Mapping[str, str] = MappingProxyType({})

_SAFE_CONFIG = (
    "protocol.allow=never",
    "protocol.file.allow=always",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "diff.ignoreSubmodules=none",
    "gc.auto=0",
    "maintenance.auto=false",
)
_USER_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.writeCommitGraph=false",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
)
_USER_KEEPS = ("HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "TMPDIR", "SSL_CERT_FILE")
_USER_GIT_KEEPS = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")


@dataclass(frozen=True)
class Finished:
    """How a git child ended."""

    code: int
    stdout: bytes
    stderr: str


class _Caller(ABC):
    """What `Git` and `UserGit` share: the ways of reading the end of a child."""

    @abstractmethod
    def call(
        self, *args: str, stdin: bytes = b"", timeout_s: float = TIMEOUT_S, env: Mapping[str, str] = NOTHING
    ) -> Finished:
        """Run git to its end whatever its exit status; GitFailed (code -1) only when time runs out."""

    def run(
        self,
        *args: str,
        input: bytes = b"",
        timeout_s: float = TIMEOUT_S,
        ok: tuple[int, ...] = (0,),
        env: Mapping[str, str] = NOTHING,
    ) -> bytes:
        """Return what git printed; GitFailed when it exits with a status that is not in `ok`."""
        done = self.call(*args, stdin=input, timeout_s=timeout_s, env=env)
        if done.code not in ok:
            raise GitFailed(args, done.code, done.stderr)
        return done.stdout

    def code(self, *args: str) -> int:
        """Return the exit status alone."""
        return self.call(*args).code

    def text(self, *args: str) -> str:
        """Return one printed value without its line end; bytes that are not UTF-8 as surrogates (`os.fsdecode`)."""
        return os.fsdecode(self.run(*args)).rstrip("\n")

    def rev_parse(self, name: str) -> Commit | None:
        """Resolve a revision to the object id it names, None when there is no such thing."""
        done = self.call("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        found = done.stdout.decode("ascii", "replace").strip()
        if done.code not in (0, 1, 128):
            raise GitFailed(("rev-parse", name), done.code, done.stderr)
        return Commit(found) if done.code == 0 and is_commit(found) else None

    def has(self, commit: Commit) -> bool:
        """Whether the object is in the repository (or in what it borrows from)."""
        return self.code("cat-file", "-e", oid(commit)) == 0

    def is_ancestor(self, a: Commit, b: Commit) -> bool:
        """Whether `a` is `b` or can be reached from it; both must exist."""
        done = self.call("merge-base", "--is-ancestor", oid(a), oid(b))
        if done.code not in (0, 1):
            raise GitFailed(("merge-base", a, b), done.code, done.stderr)
        return done.code == 0


@dataclass(frozen=True)
class Git(_Caller):
    """Git on a repository of ours: no configuration but the repository's own and what is fixed here."""

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None

    def with_index(self, index: Path, work_tree: Path) -> Git:
        """Return the same repository with another index and work tree; nothing is written."""
        return replace(self, index=index, work_tree=work_tree)

    def call(
        self, *args: str, stdin: bytes = b"", timeout_s: float = TIMEOUT_S, env: Mapping[str, str] = NOTHING
    ) -> Finished:
        """See `_Caller.call`."""
        own = {"GIT_DIR": str(self.git_dir)}
        if self.work_tree is not None:
            own["GIT_WORK_TREE"] = str(self.work_tree)
        if self.index is not None:
            own["GIT_INDEX_FILE"] = str(self.index)
        return _call(_SAFE_CONFIG, args, _safe_env() | own | dict(env), self.git_dir, stdin, timeout_s)


@dataclass(frozen=True)
class UserGit(_Caller):
    """Git in the user's repository with the user's configuration, but without hooks, prompts or maintenance.

    Only for finding out about that repository and for landing in it, which the launcher does for a process that may
    not write there (`rights`).
    """

    path: Path

    def call(
        self, *args: str, stdin: bytes = b"", timeout_s: float = TIMEOUT_S, env: Mapping[str, str] = NOTHING
    ) -> Finished:
        """See `_Caller.call`."""
        launcher = rights.launcher()
        if launcher is not None and launcher.lands(args):
            return _land_through(launcher, args, self.path, env.get("GIT_REFLOG_ACTION", ""), timeout_s)
        return _call(_USER_CONFIG, args, _user_env() | dict(env), self.path, stdin, timeout_s)


def user_git() -> tuple[tuple[str, ...], dict[str, str]]:
    """Return how `UserGit` starts git: the words before its command, and the environment."""
    return (git_program(), *_options(_USER_CONFIG)), _user_env()


def run_safe(cwd: Path, *args: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """Run git where there is no repository of ours yet (`init`, `clone`), as closed in as `Git` is."""
    done = _call(_SAFE_CONFIG, args, _safe_env(), cwd, b"", timeout_s)
    if done.code != 0:
        raise GitFailed(args, done.code, done.stderr)
    return done.stdout


def oid(commit: Commit) -> Commit:
    """Return `commit`; AssertionError unless it is a full object id, so that it can never be read as an option."""
    if not is_commit(commit):
        raise AssertionError(f"not an object id: {commit!r}")
    return commit


def _call(
    config: tuple[str, ...], args: tuple[str, ...], env: dict[str, str], cwd: Path, stdin: bytes, timeout_s: float
) -> Finished:
    with subprocess.Popen(
        [git_program(), *_options(config), *args],
        cwd=cwd,
        env=env,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    ) as child:
        try:
            out, err = child.communicate(stdin or None, timeout_s)
        except subprocess.TimeoutExpired:
            _end(child)
            raise GitFailed(args, -1, f"no end after {timeout_s:g} s") from None
        except BaseException:
            _end(child)
            raise
    return Finished(child.returncode, out, err.decode("utf-8", "backslashreplace"))


def _land_through(
    launcher: rights.Launcher, args: tuple[str, ...], folder: Path, reason: str, timeout_s: float
) -> Finished:
    try:
        code, out, err = launcher.git(args, folder, reason, timeout_s)
    except TimeoutError:
        raise GitFailed(args, -1, f"no end after {timeout_s:g} s") from None
    except OSError as error:
        raise GitFailed(args, 127, f"the launcher refuses: {error}") from error
    return Finished(code, out, err.decode("utf-8", "backslashreplace"))


def _options(config: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for setting in config for word in ("-c", setting))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's process group, politely first: a git that is killed leaves its lock files behind."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
            child.communicate(timeout=KILL_AFTER_S)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue


@functools.cache
def git_program() -> str:
    """Find git and check its version, once in a process; UsageError when it is missing or too old."""
    found = shutil.which("git", path=_search_path())
    if found is None:
        raise UsageError("git is not installed", "install git 2.38 or newer and have it on PATH")
    with subprocess.Popen(
        [found, "version"], env=_safe_env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd="/"
    ) as child:
        printed = child.communicate(timeout=TIMEOUT_S)[0].decode("utf-8", "replace").strip()
    fault = version_fault(printed)
    if fault:
        raise UsageError(f"{found}: {fault}", "install git 2.38 or newer and have it first on PATH")
    return found


def version_fault(printed: str) -> str:
    """Say why the git that printed this version cannot be used; `""` when it can."""
    found = re.match(r"git version (\d+)\.(\d+)", printed)
    if not found:
        return f"does not say its version as git does: {printed[:80]!r}"
    if (int(found[1]), int(found[2])) < VERSION_MIN:
        return f"{printed[:40]} is too old, ganger needs {VERSION_MIN[0]}.{VERSION_MIN[1]}"
    return ""


@functools.cache
def _search_path() -> str:
    """Return PATH without relative entries: those would name programs in somebody's repository."""
    entries = [entry for entry in os.environ.get("PATH", os.defpath).split(os.pathsep) if entry.startswith("/")]
    return os.pathsep.join(entries)


@functools.cache
def _base_env() -> Mapping[str, str]:
    return MappingProxyType(
        {
            "PATH": _search_path(),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_ALLOW_PROTOCOL": "file",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_EDITOR": "false",
            "GIT_SEQUENCE_EDITOR": "false",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_PAGER": "cat",
        }
    )


def _safe_env() -> dict[str, str]:
    nothing = {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
    }
    return dict(_base_env()) | nothing


def _user_env() -> dict[str, str]:
    keeps = (*_USER_KEEPS, *_USER_GIT_KEEPS)
    return dict(_base_env()) | {name: os.environ[name] for name in keeps if name in os.environ}
