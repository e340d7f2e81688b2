"""Does a commit do what its first line claims? A "fix" that touches only documentation, or changes nothing, does not.

What a commit claims is its type by the rules of Conventional Commits 1.0 (`fix(login): …`), or else its first verb. A
claim that does not fit is a flag for a person, not a proof of bad faith: the policy says whether it refuses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from msgspec import Struct

from ganger.core.ids import Commit
from ganger.git.changes import path_text
from ganger.git.command import Git, oid

NAMED_MAX = 3
SUBJECT_CHARS_MAX = 72


class Claim(StrEnum):
    """What a commit says that it does."""

    fix = "fix"
    feat = "feat"
    perf = "perf"
    refactor = "refactor"
    test = "test"
    docs = "docs"
    style = "style"
    build = "build"
    ci = "ci"
    chore = "chore"
    revert = "revert"


class FileKind(StrEnum):
    """What a file is for."""

    code = "code"
    test = "test"
    docs = "docs"
    build = "build"
    ci = "ci"


class Told(Struct, frozen=True):
    """A commit: what it says, and the paths that it changes."""

    commit: str
    subject: str
    changed: tuple[str, ...]


_TYPES = {one.value: one for one in Claim} | {
    "bug": Claim.fix,
    "bugfix": Claim.fix,
    "hotfix": Claim.fix,
    "feature": Claim.feat,
    "doc": Claim.docs,
    "tests": Claim.test,
}
_VERBS = {
    "fix": Claim.fix,
    "repair": Claim.fix,
    "correct": Claim.fix,
    "implement": Claim.feat,
    "introduce": Claim.feat,
    "speed": Claim.perf,
    "optimize": Claim.perf,
    "optimise": Claim.perf,
    "refactor": Claim.refactor,
    "restructure": Claim.refactor,
    "simplify": Claim.refactor,
    "test": Claim.test,
    "document": Claim.docs,
    "reformat": Claim.style,
    "format": Claim.style,
    "revert": Claim.revert,
}
_TYPE = re.compile(r"([A-Za-z]+)(?:\([^()]*\))?!?:\s")
_WORD = re.compile(r"[A-Za-z]+")
_OF_TESTS = re.compile(r"\b(tests?|testing|specs?|fixtures?|coverage)\b", re.IGNORECASE)
_OF_DOCS = re.compile(
    r"\b(docs?|documentation|readme|changelog|typos?|comments?|docstrings?|guide|tutorial|links?|wording|spelling)\b",
    re.IGNORECASE,
)
_DOCS = ("*.md", "*.rst", "*.adoc", "docs/*", "doc/*", "*/docs/*", "README*", "CHANGELOG*", "LICENSE*", "AUTHORS*")
_CI = (".github/workflows/*", ".gitlab-ci.yml", ".circleci/*", ".ci/*", "Jenkinsfile", "azure-pipelines.yml")
_BUILD = ("pyproject.toml", "setup.*", "package.json", "Makefile", "*.lock", "go.mod", "go.sum", "Cargo.toml")
_BUILD_TOO = ("package-lock.json", "Dockerfile*", "CMakeLists.txt", "requirements*.txt", ".gitignore", "tox.ini")


def claim_of(subject: str) -> Claim | None:
    """What a first line claims; None when it names no kind of work that is known."""
    found = _TYPE.match(subject)
    if found and found[1].lower() in _TYPES:
        return _TYPES[found[1].lower()]
    first = _WORD.match(subject)
    if first is None:
        return None
    verb = first[0].lower()
    if verb in ("add", "adds", "added", "extend", "update", "improve"):
        rest = subject[first.end() :].split()[:3]
        if any(_OF_TESTS.fullmatch(word.strip(".,")) for word in rest):
            return Claim.test
        return Claim.docs if any(_OF_DOCS.fullmatch(word.strip(".,")) for word in rest) else None
    for ending in ("", "es", "ed", "s", "d", "ing"):
        if verb.endswith(ending) and (stem := verb.removesuffix(ending)) in _VERBS:
            return _VERBS[stem]
    return None


def file_kind(path: str, is_test: Callable[[str], bool]) -> FileKind:
    """What a file is for, by its name."""
    name = PurePosixPath(path).name
    if any(fnmatchcase(path, pattern) for pattern in _CI):
        return FileKind.ci
    if is_test(path):
        return FileKind.test
    if any(fnmatchcase(path, pattern) or fnmatchcase(name, pattern) for pattern in _DOCS):
        return FileKind.docs
    if any(fnmatchcase(name, pattern) for pattern in (*_BUILD, *_BUILD_TOO)):
        return FileKind.build
    return FileKind.code


def misfit(subject: str, changed: Iterable[str], is_test: Callable[[str], bool]) -> str:
    """Say in one line how the changed files contradict what the first line claims; empty when they do not."""
    paths = tuple(changed)
    claim = claim_of(subject)
    if not paths:
        return f"claims {claim.value}, but changes nothing" if claim else "changes nothing"
    if claim is None:
        return ""
    kinds = {path: file_kind(path, is_test) for path in paths}
    there = set(kinds.values())
    works = there - {FileKind.docs, FileKind.test}
    match claim:
        case Claim.fix | Claim.feat | Claim.perf | Claim.refactor:
            allowed = claim is not Claim.feat and claim is not Claim.perf
            if works or (allowed and FileKind.test in there and _OF_TESTS.search(subject)):
                return ""
            if claim is not Claim.perf and FileKind.docs in there and _OF_DOCS.search(subject):
                return ""
            if claim is Claim.refactor and FileKind.test in there:
                return ""
            only = "documentation" if there == {FileKind.docs} else "tests" if there == {FileKind.test} else "words"
            return f"claims {claim.value}, but changes only {'tests and documentation' if only == 'words' else only}"
        case Claim.docs:
            return _beyond(claim, kinds, (FileKind.docs,))
        case Claim.test:
            return _beyond(claim, kinds, (FileKind.test, FileKind.docs, FileKind.build, FileKind.ci))
        case Claim.ci:
            return _beyond(claim, kinds, (FileKind.ci, FileKind.build, FileKind.docs))
        case Claim.build:
            return "" if there & {FileKind.build, FileKind.ci} else "claims build, but changes no file of the build"
        case Claim.style | Claim.chore | Claim.revert:
            return ""


def _beyond(claim: Claim, kinds: dict[str, FileKind], allowed: tuple[FileKind, ...]) -> str:
    """Name what a claim does not cover."""
    other = [path for path, kind in kinds.items() if kind not in allowed]
    if not other:
        if claim is Claim.test and FileKind.test not in kinds.values():
            return "claims test, but changes no test"
        return ""
    more = f" and {len(other) - NAMED_MAX} more" if len(other) > NAMED_MAX else ""
    return f"claims {claim.value}, but changes {', '.join(other[:NAMED_MAX])}{more}"


def audit(commits: Iterable[Told], is_test: Callable[[str], bool]) -> tuple[str, ...]:
    """Say of each commit whose claim does not fit how it does not, a line each."""
    found = ((one, misfit(one.subject, one.changed, is_test)) for one in commits)
    return tuple(f"{one.commit[:12]} ({one.subject[:SUBJECT_CHARS_MAX]}): {text}" for one, text in found if text)


def told_by(git: Git, base: Commit, commit: Commit) -> tuple[Told, ...]:
    """The commits of `base..commit` without merges, oldest first, with what they say and change."""
    printed = git.run(
        *("log", "-z", "--reverse", "--no-merges", "--no-show-signature", "--no-renames", "--raw", "--no-abbrev"),
        *("--format=%x1e%H%x1f%s", f"{oid(base)}..{oid(commit)}", "--"),
    )
    found = []
    for block in printed.split(b"\x1e")[1:]:
        head, *fields = block.split(b"\0")
        name, _, subject = head.partition(b"\x1f")
        paths = [path_text(path) for path in [field for field in fields if field.strip(b"\n")][1::2]]
        found.append(Told(name.decode(), subject.decode("utf-8", "backslashreplace"), tuple(paths)))
    return tuple(found)
