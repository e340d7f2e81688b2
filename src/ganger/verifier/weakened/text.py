"""Compares files that no parser reads: by the lines that look like assertions, tests or skips, and by snapshots.

A line is taken without its white space. One that is found in any changed file of the candidate has moved, not gone.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TypeAlias

from ganger.core.model import Weakened, Weakening
from ganger.verifier.weakened.suite import likeness, one_line, was_is

LINES_MAX = 200_000
"""Lines of one file that are looked at."""
NAMED_MAX = 50
"""Lines of one file that are named."""
_LOOKED_AT = 100
_LINE_CHARS_MAX = 2_000
_ALIKE = 0.6

_Signs: TypeAlias = tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]
_CODE = (
    *(
        ".py",
        ".pyi",
        ".js",
        ".jsx",
        ".mjs",
        ".cjs",
        ".ts",
        ".tsx",
        ".mts",
        ".cts",
        ".go",
        ".rs",
        ".rb",
        ".php",
        ".java",
    ),
    *(
        ".kt",
        ".kts",
        ".scala",
        ".groovy",
        ".cs",
        ".fs",
        ".swift",
        ".c",
        ".cc",
        ".cpp",
        ".cxx",
        ".h",
        ".hpp",
        ".m",
        ".ex",
    ),
    *(
        ".exs",
        ".erl",
        ".hs",
        ".ml",
        ".clj",
        ".lua",
        ".pl",
        ".t",
        ".sh",
        ".bash",
        ".bats",
        ".dart",
        ".zig",
        ".nim",
        ".jl",
    ),
    *(".r", ".sql", ".vue", ".svelte", ".elm", ".feature"),
)
_PROSE = (".md", ".rst", ".adoc")
_ASSERTS = re.compile(
    r"""(?ix) \b(?:assert\w*|expect\w*|should\w*|must\w*|verify\w*|require|ensure|refute\w*|is_deeply|ok|CHECK\w*)\b
    \s*[\(!.{:\s'"\#]
    | ^\s*(?:\[\[?|test)\s.*(?:\]\]?|\|\||&&)
    | \b(?:panic|fail\w*|t\.error\w*|t\.fatal\w*)!?\s*\( | \bexit\s+[1-9]
    | ^\s*(?:then|and)\s | \b(?:cmp|diff|grep)\s+- """
)
_SKIPS = re.compile(
    r"""(?x) \b(?:x(?:it|test|describe|context|specify)|skip\w*|pending|todo)\s*[\(!{'":]
    | @(?:Ignore|Disabled|Skip|Pending)\b | \[(?:Ignore|Skip|Explicit)\b | \bSkip\s*= | \#\[ignore
    | \.(?:skip|todo|only)\b | ^\s*(?:skip|pending)\b | GTEST_SKIP | \bDISABLED_ | @wip\b
    | \bmarkTest(?:Skipped|Incomplete)\b """
)
_TESTS = re.compile(
    r"""(?x) ^\s*(?: (?:async\s+)?def\s+test\w* | func\s+[Tt]est\w* | (?:public\s+)?function\s+test\w* | @Test\b
    | (?:it|test|specify|scenario)\b\s*[\("' ] | @test\s | TEST(?:_F|_P|_CASE)?\s*\( | test_that\s*\(
    | \#\[test\] | \[(?:Fact|Test|Theory)\b | Scenario | \w*test\w*\s*\(\)\s*\{ )"""
)
_SHELL = (".sh", ".bash", ".bats", "")
_SHELL_ASSERTS = re.compile(r"^\s*(?!(?:fi|then|else|done|do|esac|;;|\{|\}|#|if|local|export|cd)\b)\S*\w")
_SHELL_TESTS = re.compile(r"^\s*(?:function\s+)?\w*test\w*\s*\(\)|^\s*@test\s")
_SHELL_LEAVES = re.compile(r"^\s*(?:exit|return)\s+0\b|^\s*(?:skip)\b")
_NAMED_TEST = re.compile(r"(?i:(?:^|[._/-])(?:test|spec)(?=[._-]))|[a-z](?:Test|Spec)s?\.\w+$")
_LITERAL = re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`|\b\d[\d._eE+-]*\b|\b(?:[Tt]rue|[Ff]alse|null|nil|None)\b")
_COMMENT = re.compile(r"^\s*(?://|#(?!\[)|--|;|\*|/\*)")
_SNAPSHOT = re.compile(
    r"(?i)(?:^|/)(?:__snapshots__|__image_snapshots__|snapshots?|golden|testdata|fixtures/expected|expected)/"
    r"|\.(?:snap|ambr|golden|approved|expected|snapshot|stdout|stderr)(?:\.|$)|(?:^|[/_.-])(?:expected|golden|snapshot)[_.-]"
)


def compare(base: Mapping[str, bytes], candidate: Mapping[str, bytes]) -> Iterator[Weakened]:
    """Compare test files that were not parsed, by path."""
    there = _everywhere(candidate)
    moved = {bytes(content) for path, content in candidate.items() if path not in base}
    for path in sorted(base):
        old, new = base[path], candidate.get(path)
        if new is None:
            if old not in moved or _NAMED_TEST.search(path):
                yield from _gone(path, old, candidate)
        elif _is_code(path):
            yield from _changed_code(path, old, new, there)
        else:
            yield from _changed_data(path, old, new)


def _is_code(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in _CODE or "." not in PurePosixPath(path).name


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()[:LINES_MAX]


def _even(line: str) -> str:
    return " ".join(line[:_LINE_CHARS_MAX].split())


def _everywhere(files: Mapping[str, bytes]) -> Counter[str]:
    return Counter(
        _even(line)
        for path, content in files.items()
        if _is_code(path)
        for line in _lines(content)
        if not _COMMENT.match(line[:200])
    )


def _gone(path: str, content: bytes, candidate: Mapping[str, bytes]) -> Iterator[Weakened]:
    """Name a file that is gone, unless most of it is in a file of the same kind."""
    if not content.strip() or PurePosixPath(path).suffix.lower() in _PROSE:
        return
    suffix = PurePosixPath(path).suffix
    ours = Counter(_even(line) for line in _lines(content) if line.strip())
    for other in sorted(candidate):
        if PurePosixPath(other).suffix == suffix:
            theirs = Counter(_even(line) for line in _lines(candidate[other]))
            if (ours & theirs).total() >= _ALIKE * ours.total():
                if _NAMED_TEST.search(path) and not _NAMED_TEST.search(other):
                    detail = f"not collected: it is `{one_line(other)}` now"
                    yield Weakened(other, 1, Weakening.uncollected, "", detail)
                return
    what = "the test file is gone" if _is_code(path) else "the data of tests are gone"
    yield Weakened(path, 1, Weakening.deleted, "", what)


def _changed_data(path: str, old: bytes, new: bytes) -> Iterator[Weakened]:
    """Name data that tests may compare with, and of which something changed or went; what only grew is no loss."""
    if PurePosixPath(path).suffix.lower() in _PROSE:
        return
    kind = Weakening.expected_changed
    if b"\0" in old or b"\0" in new:
        yield Weakened(path, 1, kind, "", f"binary data changed: {len(old):,} bytes, now {len(new):,}")
        return
    if path.endswith(".json") and _has_grown(old, new):
        return
    before, after = _lines(old), _lines(new)
    left = Counter(map(_even, after))
    gone = []
    for line in before:
        even = _even(line).rstrip(",")
        if not even:
            continue
        if left[even] or left[even + ","]:
            left[even if left[even] else even + ","] -= 1
        else:
            gone.append(even)
    if not gone:
        return
    known = set(map(_even, before))
    at, line = next(((nth, line) for nth, line in enumerate(after, 1) if _even(line) not in known), (0, ""))
    what = "snapshot" if _SNAPSHOT.search(path) else "data of tests"
    if not after or len(after) * 2 < len(before):
        detail = f"{what} cut from {len(before)} to {len(after)} lines, first gone `{one_line(gone[0])}`"
        yield Weakened(path, 1, Weakening.parameters_cut if what != "snapshot" else kind, "", detail)
    elif at:
        yield Weakened(path, at, kind, "", f"{what}: {was_is(gone[0], line)}")
    else:
        yield Weakened(path, 1, kind, "", f"{what}: `{one_line(gone[0])}` is gone")


def _has_grown(old: bytes, new: bytes) -> bool:
    """Tell whether all that a JSON document said is still said by the other."""
    try:
        return _contains(json.loads(new), json.loads(old))
    except (ValueError, RecursionError):
        return False


def _contains(new: object, old: object) -> bool:
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _contains(new[name], value) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        there = Counter(json.dumps(each, sort_keys=True) for each in new)
        return Counter(json.dumps(each, sort_keys=True) for each in old) <= there
    return type(old) is type(new) and old == new


def _changed_code(path: str, old: bytes, new: bytes, there: Counter[str]) -> Iterator[Weakened]:
    before, after = _lines(old), _lines(new)
    ours = Counter(map(_even, before))
    gone = _missing(before, there, _signs(path))
    fresh = [
        (nth, line) for nth, line in enumerate(after, 1) if not ours[_even(line)] and not _COMMENT.match(line[:200])
    ]
    asserts, tests, skips = _signs(path)
    for nth, line in fresh[:LINES_MAX]:
        if skips.search(line[:_LINE_CHARS_MAX]) and not _was_skip(line, before, skips):
            yield Weakened(path, nth, Weakening.skipped, "", f"`{one_line(line)}`")
        elif asserts is _SHELL_ASSERTS and line.lstrip().startswith("if "):
            yield Weakened(path, nth, Weakening.assertion_loosened, "", f"what follows is under `{one_line(line)}`")
    asserting = [(nth, line) for nth, line in fresh if asserts.search(line[:_LINE_CHARS_MAX])]
    free = asserting[:_LOOKED_AT]
    for line in gone[:NAMED_MAX]:
        if tests.search(line):
            declared = [each for each in fresh[:_LOOKED_AT] if tests.search(each[1][:_LINE_CHARS_MAX])]
            if not declared:
                yield Weakened(path, 1, Weakening.deleted, "", f"`{one_line(line)}` is gone")
            continue
        like = max(free, key=lambda each: likeness(line, each[1]), default=None)
        if like is None or likeness(line, like[1]) < _ALIKE:
            yield Weakened(path, 1, Weakening.assertion_removed, "", f"`{one_line(line)}` is gone")
            continue
        free.remove(like)
        is_same = _LITERAL.sub("…", _even(line)) == _LITERAL.sub("…", _even(like[1]))
        kind = Weakening.expected_changed if is_same else Weakening.assertion_loosened
        yield Weakened(path, like[0], kind, "", was_is(line, like[1]))


def _signs(path: str) -> _Signs:
    """Give what assertions, tests and skips look like in a file. In a shell script any command may fail it."""
    if PurePosixPath(path).suffix.lower() in _SHELL:
        return _SHELL_ASSERTS, _SHELL_TESTS, _SHELL_LEAVES
    return _ASSERTS, _TESTS, _SKIPS


def _missing(before: Iterable[str], there: Mapping[str, int], signs: _Signs) -> list[str]:
    """List the lines that look like assertions or tests, and that are nowhere in the candidate as often as here."""
    seen: defaultdict[str, int] = defaultdict(int)
    gone = []
    for line in before:
        even = _even(line)
        if not even or _COMMENT.match(line[:200]):
            continue
        if not (signs[0].search(line[:_LINE_CHARS_MAX]) or signs[1].search(line[:_LINE_CHARS_MAX])):
            continue
        seen[even] += 1
        if seen[even] > there.get(even, 0):
            gone.append(even)
    return gone


def _was_skip(line: str, before: Sequence[str], signs: re.Pattern[str]) -> bool:
    """Tell whether a line that skips is a version of one that skipped already."""
    skips = [each for each in before if signs.search(each[:_LINE_CHARS_MAX])]
    return any(likeness(line, each) >= _ALIKE for each in skips[:_LOOKED_AT])
