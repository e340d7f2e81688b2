"""Compares the numbers in configuration below which a check fails: coverage, scores, and the like."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath

from ganger.core.model import Weakened, Weakening
from ganger.verifier.weakened.suite import one_line, was_is

BYTES_MAX = 1024 * 1024
"""Of a file that is looked into; longer ones are no configuration."""
_LINE_CHARS_MAX = 2_000
_NUMBER = r"[\"'\s:=]*(-?\d+(?:\.\d+)?)"
_KEYS = re.compile(
    rf"""(?ix) (?<![\w-]) (?:--)? (?P<key>
      (?:cov[-_.])? fail[-_]?under (?:[-_](?:line|lines|functions|regions))? | min(?:imum)?[-_]coverage(?:_by_file)?
    | coverage[-_]min(?:imum)? | min[-_](?:covered[-_])?msi | mutation[-_]score
    | minimum | branches | functions | lines | statements | threshold | target | min
    ) {_NUMBER}"""
)
_ONLY_IN = {"target": ("codecov", ".codecov"), "threshold": ("stryker", "codecov"), "min": ("coverage",)}
_COUNTS = ("branches", "functions", "lines", "statements", "minimum")
_COUNTS_NEAR = re.compile(
    r"(?i)threshold|check-coverage|--lines|--branches|--functions|--statements|nyc|c8|coverage|jacoco"
)
_NAMES = (
    *(
        "makefile",
        "gnumakefile",
        "justfile",
        "rakefile",
        "taskfile",
        "noxfile.py",
        "tox.ini",
        "setup.cfg",
        ".coveragerc",
    ),
    *("spec_helper.rb", "test_helper.rb", "rails_helper.rb", ".simplecov"),
)
_SUFFIXES = (
    *(".toml", ".cfg", ".ini", ".json", ".yml", ".yaml", ".mk", ".sh", ".xml", ".gradle", ".kts", ".nycrc", ".c8rc"),
    *(".config.js", ".config.ts", ".config.mjs", ".config.cjs", ".config.mts", ".conf.js", ".conf.json"),
)
_COMMENT = re.compile(r"^\s*(?:#|;|//)")


def is_configuration(path: str) -> bool:
    """Tell whether a file may hold a threshold."""
    name = PurePosixPath(path).name.lower()
    return name in _NAMES or name.endswith(_SUFFIXES)


def compare(
    base: Mapping[str, bytes], candidate: Mapping[str, bytes], is_test: Callable[[str], bool]
) -> Iterator[Weakened]:
    """Name thresholds that are lower, or gone from all the files that changed."""
    files = [path for path in sorted(base) if is_configuration(path) and not is_test(path)]
    if not files:
        return
    highest = _highest(candidate)
    for path in files:
        was = _thresholds(path, base[path])
        now = _thresholds(path, candidate[path]) if path in candidate else {}
        for key, found in was.items():
            yield from _lowered(path, key, found, now.get(key, []), path in candidate, highest)


def _lowered(
    path: str,
    key: str,
    was: list[tuple[float, int, str]],
    now: list[tuple[float, int, str]],
    is_there: bool,
    highest: Mapping[str, float],
) -> Iterator[Weakened]:
    for before, after in zip(was, now, strict=False):
        if after[0] < before[0]:
            yield Weakened(path, after[1], Weakening.threshold_lowered, "", was_is(before[2], after[2]))
    for number, line, text in was[len(now) :]:
        if number > 0 and highest.get(key, 0.0) < number:
            at = 1 if is_there else line
            yield Weakened(path, at, Weakening.threshold_lowered, "", f"`{one_line(text)}` is gone")


def _highest(files: Mapping[str, bytes]) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for path, content in files.items():
        if is_configuration(path):
            for key, numbers in _thresholds(path, content).items():
                found[key] = max(found[key], *(number for number, _, _ in numbers))
    return found


def _thresholds(path: str, content: bytes) -> dict[str, list[tuple[float, int, str]]]:
    """Give the thresholds of a file by their key, in order: the number, its line, the text around it."""
    found: defaultdict[str, list[tuple[float, int, str]]] = defaultdict(list)
    if len(content) > BYTES_MAX:
        return found
    text = content.decode("utf-8", "replace")
    counts_near = _COUNTS_NEAR.search(text) is not None
    name = PurePosixPath(path).name.lower()
    for nth, line in enumerate(text.splitlines(), 1):
        if _COMMENT.match(line[:100]):
            continue
        for match in _KEYS.finditer(line[:_LINE_CHARS_MAX]):
            key = _same(match["key"].lower())
            if key in _COUNTS and not counts_near:
                continue
            if key in _ONLY_IN and not name.startswith(_ONLY_IN[key]):
                continue
            found[key].append((float(match[2]), nth, match[0].strip(" \"'")))
    return found


def _same(key: str) -> str:
    """Give one name to the ways of writing the same threshold, so that it may move between files."""
    bare = key.replace("_", "-")
    return "fail-under" if bare in ("cov-fail-under", "fail-under", "cov.fail-under", "failunder") else bare
