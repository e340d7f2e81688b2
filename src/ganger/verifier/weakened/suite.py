"""What a test file says, the same for every language: its tests, what each asserts, over which rows, and what skips it.

Texts are source code with its white space made even, so that two of them are equal when they mean the same to a reader.
None of the structs can be part of a cycle, so the garbage collector need not look at the many there are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct

DETAIL_CHARS_MAX = 240
"""Of a detail; what was and what is get about half each."""
_SUBSTITUTED_CHARS_MAX = 2_000
_WORD = re.compile(r"\w+|[^\w\s]")
_NAME = re.compile(r"(?<![\w.])[A-Za-z_$][\w$]*")


class Note(Struct, frozen=True, gc=False):
    """What keeps tests from running, or turns a failure of theirs into a success."""

    line: int
    text: str
    owner: str = ""
    """The test, the class or the block it stands at; empty for a whole file."""
    conditional: bool = False


class Assertion(Struct, frozen=True, gc=False):
    """One thing that a test insists on."""

    line: int
    text: str
    subject: str
    """What is looked at: `len(found)`."""
    relation: str
    """How it is compared: `==`, `contains`, `raises`."""
    expected: str = ""
    """What it is compared with, names of constants replaced by their values."""
    rank: int = 1
    """How much the relation says: equality most, bare truth little. Only ranks of one subject are compared."""
    width: float | None = None
    """How far off it may be; None where nothing is said of that."""
    extra: str = ""
    """What it insists on besides, such as the pattern of a message."""
    under: tuple[str, ...] = ()
    """The conditions it stands under."""
    void: str = ""
    """Why it can never fail: `always true`, `never reached`, `swallowed`. Empty where it can."""
    full: str = ""
    """Subject and expectation with local names replaced by what they were assigned."""


class Row(Struct, frozen=True, gc=False):
    """One set of values that a test runs with."""

    line: int
    text: str
    parts: tuple[str, ...] = ()
    skipped: str = ""
    xfailed: str = ""


class Table(Struct, frozen=True, gc=False):
    """The rows of one parametrisation, or of one loop over literal values."""

    line: int
    names: tuple[str, ...]
    rows: tuple[Row, ...]


class Call(Struct, frozen=True, gc=False):
    """A call of what may be a helper of the tests."""

    line: int
    name: str
    arguments: tuple[str, ...]
    void: str = ""


class Given(Struct, frozen=True, gc=False):
    """A name that test code gives a value: a constant, an attribute, a parameter, what a fixture or helper returns."""

    line: int
    name: str
    text: str
    said: tuple[str, ...] = ()
    """The constants that it says itself."""
    kept: tuple[str, ...] = ()
    """The same, and those that it hands to what it asks for."""
    asked: tuple[str, ...] = ()
    """The calls in it that may reach the product."""
    owner: str = ""
    """The function it stands in, where that is not known otherwise."""


class Side(Struct, frozen=True, gc=False):
    """One side of a comparison."""

    names: frozenset[str]
    calls: bool
    """Whether something is called in it that may reach the product."""


UNKNOWN = Side(frozenset(), True)


class Uses(Struct, frozen=True, gc=False):
    """What a file does with names."""

    compared: tuple[tuple[Side, Side], ...] = ()
    mentioned: frozenset[str] = frozenset()


class Content(Struct, frozen=True, gc=False):
    """What stands inside one test or helper."""

    assertions: tuple[Assertion, ...] = ()
    tables: tuple[Table, ...] = ()
    calls: tuple[Call, ...] = ()
    skips: tuple[Note, ...] = ()
    xfails: tuple[Note, ...] = ()
    is_trivial: bool = False
    """Whether it does nothing at all."""
    given: tuple[Given, ...] = ()
    patched: tuple[Note, ...] = ()
    """What it puts something else in the place of; the text of a note is the name of that."""


class Case(Struct, frozen=True, gc=False):
    """A function of a test file: a test where its runner collects it, otherwise a helper."""

    path: str
    name: str
    line: int
    source: str
    """As it stands; with the constants it uses, where they are not the same in both versions."""
    is_collected: bool
    content: Callable[[], Content]
    why_not: str = ""
    """Why a test is not collected, where it looks like one."""
    parameters: tuple[str, ...] = ()
    is_setup: bool = False
    """Whether the runner calls it around tests, so that what skips it skips them."""
    outer: tuple[Note, ...] = ()
    """What stands around it and concerns it: marks of its class and file, build constraints."""

    def says_as_much_as(self, other: Case) -> bool:
        """Tell whether another version of it is the same to the letter, and what stands around it, too."""
        is_same = self.path == other.path and self.source == other.source and self.is_collected == other.is_collected
        return is_same and [note.text for note in self.outer] == [note.text for note in other.outer]


class Constant(Struct, frozen=True, gc=False):
    """A name that a file gives to literal values."""

    line: int
    name: str
    text: str


class Suite(Struct, frozen=True, gc=False):
    """One version of one file."""

    path: str
    language: str
    cases: tuple[Case, ...]
    constants: tuple[Constant, ...] = ()
    imported: tuple[Constant, ...] = ()
    """Names that come from elsewhere, with where from."""
    defined: tuple[Constant, ...] = ()
    """Names that the file gives to something of its own."""
    notes: tuple[Note, ...] = ()
    """What keeps other tests of the file from running, such as `test.only`."""
    given: Callable[[], tuple[Given, ...]] = tuple
    """What its constants are, and the attributes of its classes."""
    uses: Callable[[], Uses] = Uses
    patched: Callable[[], tuple[Note, ...]] = tuple
    """What it puts something else in the place of while it is imported; the text of a note is the name of that."""


T = TypeVar("T")


def once(make: Callable[[], T]) -> Callable[[], T]:
    """Keep the first answer: what a test holds is asked for several times, of most tests never."""
    made: list[T] = []

    def answer() -> T:
        if not made:
            made.append(make())
        return made[0]

    return answer


def one_line(text: str, chars_max: int = DETAIL_CHARS_MAX // 2) -> str:
    """Put a text on one line without control characters, at most so many characters long."""
    even = " ".join(text[: chars_max * 8].split())
    even = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in even)
    return even if len(even) <= chars_max else even[: chars_max - 1].rstrip() + "…"


def was_is(was: str, now: str) -> str:
    """Say what was and what is."""
    return f"was `{one_line(was)}`, is `{one_line(now)}`"


@lru_cache(maxsize=4096)
def words(text: str) -> Counter[str]:
    """Count the words and signs of a source text; only its first 20,000 characters are looked at."""
    return Counter(_WORD.findall(text[:20_000]))


def likeness(one: str, other: str) -> float:
    """Tell how much of two texts' words is the same: 0 to 1, 1 for the same words in any order."""
    if one == other:
        return 1.0
    ours, theirs = words(one), words(other)
    total = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / total if total else 1.0


def substituted(text: str, values: Mapping[str, str]) -> str:
    """Replace names by texts, once, as far as the result stays short."""
    if not values:
        return text
    found = _NAME.sub(lambda match: values.get(match.group(), match.group()), text)
    return found if len(found) <= _SUBSTITUTED_CHARS_MAX else text
