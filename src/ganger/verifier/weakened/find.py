"""The comparison as a whole: which reader takes which file, and what comes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import PurePosixPath
from typing import TypeAlias

from msgspec.structs import replace

from ganger.core.model import Weakened
from ganger.verifier.weakened import golang, javascript, python, rust, text, thresholds
from ganger.verifier.weakened.compare import Comparison
from ganger.verifier.weakened.suite import Case, Content, Suite

FOUND_MAX = 500
"""Weakenings of one candidate that are named; whoever makes more has made the point."""
PARSED_BYTES_MAX = 256 * 1024
"""Of one file; a longer one is compared by its lines."""
PARSED_ALL_BYTES_MAX = 64 * 1024 * 1024
"""Of all files of one version; what comes after is compared by its lines."""

Files: TypeAlias = Mapping[str, bytes]
Reader: TypeAlias = Callable[[str, bytes], Suite]

_READERS: Mapping[str, Reader] = {
    **dict.fromkeys((".py", ".pyi"), python.read),
    **dict.fromkeys((".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts"), javascript.read),
    ".go": golang.read,
    ".rs": rust.read,
}
_TEST_FOLDERS = ("test", "tests", "testing", "__tests__", "spec", "specs", "e2e", "unit", "integration")
_GO_IGNORED = re.compile(
    r"(?:^|/)(?:testdata|[_.][^/]*)/|(?:^|/)[_.][^/]*$"
    r"|_(?:windows|darwin|linux|freebsd|netbsd|openbsd|plan9|solaris|js|wasip1|aix|android|ios|illumos|dragonfly"
    r"|386|amd64|arm|arm64|wasm|ppc64|ppc64le|riscv64|s390x|mips\w*|loong64)_test\.go$"
)
"""What `go test` passes over: folders and files it ignores by their names, files for one system only."""
_TESTS = re.compile(rb"(?i)test|assert|expect|describe\(|\bit\(")
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def find_weakened(base: Files, candidate: Files, is_test: Callable[[str], bool]) -> tuple[Weakened, ...]:
    """Compare the files that differ between a base and a candidate, by path; a path that one lacks is not there.

    `is_test` says of a path whether the file belongs to the tests. Returns at most `FOUND_MAX` weakenings, by path,
    line, kind and test; the same for the same files, whatever their order. Raises nothing.
    """
    changed = sorted(path for path in {*base, *candidate} if base.get(path) != candidate.get(path))
    read, unread = _read(changed, base, candidate, is_test)
    comparison = Comparison(
        [old for old, _ in read if old is not None],
        [new for _, new in read if new is not None],
        lambda was, now: _is_runnable(was, now, is_test),
    )
    try:
        found = {*comparison.run()}
    except RecursionError:
        found = set()
        unread = [path for path in changed if is_test(path)]
    found |= {*text.compare(_of(base, unread), _of(candidate, unread))}
    found |= {*thresholds.compare(_of(base, changed), _of(candidate, changed), is_test)}
    ordered = sorted(found, key=lambda each: (each.path, each.line, each.kind.value, each.test, each.detail))
    return tuple(ordered[:FOUND_MAX])


def _of(files: Files, paths: Iterable[str]) -> dict[str, bytes]:
    return {path: files[path] for path in paths if path in files}


def _read(
    changed: Iterable[str], base: Files, candidate: Files, is_test: Callable[[str], bool]
) -> tuple[list[tuple[Suite | None, Suite | None]], list[str]]:
    """Read both versions of every file that holds tests; give also the paths of those to be compared by their lines."""
    read: list[tuple[Suite | None, Suite | None]] = []
    unread = []
    left = PARSED_ALL_BYTES_MAX
    for path in changed:
        reader = _reader(path)
        if not _holds_tests(path, base, candidate, is_test):
            continue
        left -= len(base.get(path, b"")) + len(candidate.get(path, b""))
        versions = _versions(reader, path, base, candidate) if reader is not None and left > 0 else None
        if versions is not None:
            read.append(_slim(*versions))
        elif is_test(path):
            unread.append(path)
    return read, unread


def _slim(old: Suite | None, new: Suite | None) -> tuple[Suite | None, Suite | None]:
    """Forget the syntax trees of tests that are the same in both versions: nobody will look into them."""
    if old is None or new is None:
        return old, new
    before, after = ({each.name: each.text for each in suite.constants} for suite in (old, new))
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    if changed:
        old, new = _with_constants(old, changed, before), _with_constants(new, changed, after)
    at = {case.name: case for case in new.cases}
    same = {case.name for case in old.cases if case.name in at and case.says_as_much_as(at[case.name])}
    return _without(old, same), _without(new, same)


def _with_constants(suite: Suite, changed: Iterable[str], values: Mapping[str, str]) -> Suite:
    """Add the constants that differ to the tests that name them."""
    word = re.compile(rf"\b(?:{'|'.join(map(re.escape, changed))})\b")
    cases = []
    for case in suite.cases:
        used = sorted({*word.findall(case.source)})
        said = "".join(f"\n{name} = {values.get(name, '')}" for name in used)
        cases.append(replace(case, source=case.source + said) if used else case)
    return replace(suite, cases=tuple(cases))


def _without(suite: Suite, same: Set[str]) -> Suite:
    cases = (
        replace(each, content=Content) if each.is_collected and each.name in same else each for each in suite.cases
    )
    return replace(suite, cases=tuple(cases))


def _versions(reader: Reader, path: str, base: Files, candidate: Files) -> tuple[Suite | None, Suite | None] | None:
    """Read both versions; None where one cannot be read."""
    try:
        return _version(reader, path, base), _version(reader, path, candidate)
    except _UNREADABLE:
        return None


def _version(reader: Reader, path: str, files: Files) -> Suite | None:
    content = files.get(path)
    if content is None:
        return None
    if len(content) > PARSED_BYTES_MAX:
        raise ValueError(path)
    return reader(path, content)


def _reader(path: str) -> Reader | None:
    return _READERS.get(PurePosixPath(path).suffix.lower())


def _holds_tests(path: str, base: Files, candidate: Files, is_test: Callable[[str], bool]) -> bool:
    """Tell whether a file is looked into: tests, and new code that speaks of tests, since one may have moved there."""
    if is_test(path) or path.endswith((".rs", "conftest.py")):
        return True
    return path not in base and _reader(path) is not None and _TESTS.search(candidate[path]) is not None


def _is_runnable(was: Case, now: Case, is_test: Callable[[str], bool]) -> bool:
    """Tell whether a test that moved to another file is still found there by its runner."""
    if was.path == now.path:
        return True
    if not is_test(now.path) or (_is_marked(was.path) and not _is_marked(now.path)):
        return False
    before, after = PurePosixPath(was.path), PurePosixPath(now.path)
    if before.suffix == ".go" and (_GO_IGNORED.search(now.path) and not _GO_IGNORED.search(was.path)):
        return False
    has_left = any(name in _TEST_FOLDERS for name in before.parts) and before.parts[0] != after.parts[0]
    return not has_left or any(name in _TEST_FOLDERS for name in after.parts)


def _is_marked(path: str) -> bool:
    """Tell whether a runner takes a file for tests because of its name."""
    name = PurePosixPath(path).name
    stem = name.split(".")[0]
    if name.endswith(".py"):
        return stem.startswith("test") or stem.endswith("_test")
    if name.endswith(".go"):
        return stem.endswith("_test")
    if name.endswith(".rs"):
        return True
    return any(mark in name for mark in (".test.", ".spec.")) or "__tests__/" in path or stem.startswith("test")
