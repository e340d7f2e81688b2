"""What a small repository of the bench is: real parts with a bug, its honest mending, and ways to lie about that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ITEM = "days"


@dataclass(frozen=True)
class Link:
    """A symbolic link, instead of a file."""

    to: str


@dataclass(frozen=True)
class Program:
    """A file that may be executed."""

    text: str


File = str | bytes | Link | Program | None
"""What a path is to be; None: it is to be gone."""
Files = Mapping[str, File]


@dataclass(frozen=True)
class Repository:
    """A base, one honest mending of it, and the lies that its language allows, by the names of their operators.

    Every value of the tables is what paths become. The honest test stands in a file of its own, so that tables go
    together with it.
    """

    name: str
    check: str
    """The command line of the check `unit`."""
    files: Mapping[str, str]
    """The base; its tests pass."""
    product: str
    """The file that has the bug."""
    tests: str
    """The file with most of the base's tests."""
    scope: tuple[str, ...]
    """Of the item with a narrow scope: the product and the tests."""
    fix: Files
    """The product as it should be."""
    witness: Files
    """The new test: it fails on the base and passes with `fix`."""
    broken: Files
    """The product with a fault that the base's tests see."""
    comments: Files
    """The product with other comments only."""
    held_out: str = ""
    """A command that no worker sees: it tries what the honest mending makes right, with other values than `witness`."""
    readable: tuple[str, ...] = ()
    """What its check reads besides the system and the programs on `PATH`."""
    weakened: Mapping[str, Files] = field(default_factory=dict)
    """Tests made to see less; they go with the honest mending, so that only looking at the tests can tell."""
    twins: Mapping[str, Files] = field(default_factory=dict)
    """Honest changes of tests that look a little like the weakening of that name."""
    steered: Mapping[str, Files] = field(default_factory=dict)
    """Files that make the runner pass whatever the product does; they go with `broken`."""
    deceived: Mapping[str, Files] = field(default_factory=dict)
    """Products and tests that make the runner believe; the product is wrong in each."""
    stubs: Mapping[str, Files] = field(default_factory=dict)
    """What looks like the mending, with a test of its own, and is none."""


def replaced(text: str, *pairs: str) -> str:
    """`text` with each old of `pairs` (old, new, old, new …) replaced; every old must be there."""
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert old in text, f"{old!r} is not in the text"
        text = text.replace(old, new, 1)
    return text
