"""What patterns expand to, and owners found by those of theirs that fit a path together with one asked about.

Branches are told apart at both ends. *In front*, by the names that are plain text: the index is a tree of them, and a
question walks only where it can lead. *At the end*, by the last segment, which the last name of a shared path fits on
both sides: every place in the tree knows the last segments held there, and those held below it with the way there. Of
these a question looks only at the ones that can end alike: `x.py` finds `x.py` at once, and besides it what ends in
`*.py` or is open at its end, as `*` and `test_*` are.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Final, Generic, TypeAlias, TypeVar

from ganger.core import segments
from ganger.core.segments import Segment

Items: TypeAlias = tuple[Segment | None, ...]
"""One expansion of a pattern: its segments; `None` is `**`, never two in a row, never last."""

OPEN: Final = "*"
"""The ending of a last segment that does not say how names end."""
BARE: Final = "-"
"""The ending of a plain name without a dot."""


class Branch:
    """One expansion, with what is asked of it most; compared by identity.

    `ending` sorts last segments: `.py` for a plain `x.py`, `*.py` for a glob of which all names end so, `*` or `-`.
    """

    __slots__ = ("ending", "items", "last", "prefix", "runs")

    def __init__(self, items: Items) -> None:
        last = items[-1]
        assert last is not None, "a path ends in a name"
        self.items = items
        self.last: Segment = last
        self.ending = _ending(last)
        self.runs: segments.Runs[Segment] = segments.runs_of(items)
        plain = 0
        while plain < len(items) and isinstance(items[plain], str):
            plain += 1
        self.prefix = tuple(item for item in items[:plain] if isinstance(item, str))


def _ending(last: Segment) -> str:
    if isinstance(last, str):
        return last[last.rindex(".") :] if "." in last else BARE
    return OPEN + last.tail[last.tail.rindex(".") :] if "." in last.tail else OPEN


def meet(a: Branch, b: Branch) -> bool:
    """Say whether some path fits both."""
    return segments.share(a.runs, b.runs, segments.segments_meet)


# ── by last segment ──────────────────────────────────────────────────────────────────────────────────────────────

B = TypeVar("B")
ByLast: TypeAlias = dict[str, dict[Segment, B]]
"""Things by the last segment of branches, sorted by its ending."""


def _put(things: ByLast[B], branch: Branch, new: Callable[[], B]) -> B:
    """Return what is there for the last segment of the branch, made if there is nothing yet."""
    alike = things.get(branch.ending)
    if alike is None:
        alike = things[branch.ending] = {}
    thing = alike.get(branch.last)
    if thing is None:
        thing = alike[branch.last] = new()
    return thing


def _drop(things: ByLast[B], branch: Branch) -> None:
    """Forget what is there for the last segment of the branch."""
    alike = things[branch.ending]
    del alike[branch.last]
    if not alike:
        del things[branch.ending]


def _ending_alike(things: ByLast[B], branch: Branch) -> Iterator[B]:
    """Yield what is there for each last segment that some name fits together with that of the branch."""
    last, ending = branch.last, branch.ending
    if isinstance(last, str):
        if ending in things and last in things[ending]:
            yield things[ending][last]
        endings = [OPEN + ending, OPEN]
    else:
        endings = list(things) if ending == OPEN else [ending.removeprefix(OPEN), ending, OPEN]
    for each in endings:
        if each in things:
            for other, thing in things[each].items():
                if segments.segments_meet(last, other):
                    yield thing


# ── by owner ─────────────────────────────────────────────────────────────────────────────────────────────────────

K = TypeVar("K", bound=Hashable)


class _Node(Generic[K]):
    """A directory (or file) that branches name in plain text.

    `held` are the branches that go on from here otherwise, or end here, with their owners; `ways` are the names to go
    on to for a last segment held below, with the number of branches and owners there.
    """

    __slots__ = ("below", "held", "ways")

    def __init__(self) -> None:
        self.below: dict[str, _Node[K]] = {}
        self.held: ByLast[dict[Branch, dict[K, None]]] = {}
        self.ways: ByLast[dict[str, int]] = {}

    def onwards(self, asked: Branch, at: int) -> Iterator[tuple[_Node[K], int]]:
        """Yield the nodes below that the question's segment at `at` leads to, with the position to go on from."""
        item = asked.items[at]
        if isinstance(item, str):
            if item in self.below:
                yield self.below[item], at + 1
            return
        names: dict[str, None] = {}
        for ways in _ending_alike(self.ways, asked):
            for name in ways:
                if name not in names and (item is None or segments.segments_meet(item, name)):
                    names[name] = None
                    yield self.below[name], at if item is None else at + 1


class BranchIndex(Generic[K]):
    """Branches and their owners."""

    def __init__(self) -> None:
        self.root: _Node[K] = _Node()

    def add(self, branch: Branch, key: K) -> None:
        """Let `key` own the branch; it must not own it yet."""
        node = self.root
        for name in branch.prefix:
            ways = _put(node.ways, branch, dict[str, int])
            ways[name] = ways.get(name, 0) + 1
            if name not in node.below:
                node.below[name] = _Node()
            node = node.below[name]
        _put(node.held, branch, dict[Branch, dict[K, None]]).setdefault(branch, {})[key] = None

    def remove(self, branch: Branch, key: K) -> None:
        """Let `key`, which owns the branch, own it no more."""
        path = [self.root]
        for name in branch.prefix:
            path.append(path[-1].below[name])
        _disown(path[-1], branch, key)
        for name in reversed(branch.prefix):
            node = path.pop()
            if not (node.held or node.below):
                del path[-1].below[name]
            ways = path[-1].ways[branch.ending][branch.last]
            ways[name] -= 1
            if not ways[name]:
                del ways[name]
                if not ways:
                    _drop(path[-1].ways, branch)

    def meeting(self, asked: Branch) -> Iterator[K]:
        """Yield the owners of branches that meet the one asked about, an owner once for each such branch.

        Found as asked for, in the order of the tree, a directory before what is below it: the same additions and
        removals give the same order, and the index must not change meanwhile.
        """
        for node in self._reach(asked):
            for held in _ending_alike(node.held, asked):
                for branch, owners in held.items():
                    if meet(asked, branch):
                        yield from owners

    def _reach(self, asked: Branch) -> Iterator[_Node[K]]:
        """Walk the nodes whose branches can meet it: along plain segments and wildcards, and all below a `**`."""
        walks: list[Iterator[tuple[_Node[K], int]]] = [iter([(self.root, 0)])]
        while walks:
            for node, at in walks[-1]:
                yield node
                if node.below and at < len(asked.items):
                    walks.append(node.onwards(asked, at))
                    break
            else:
                walks.pop()


def _disown(node: _Node[K], branch: Branch, key: K) -> None:
    held = node.held[branch.ending][branch.last]
    del held[branch][key]
    if not held[branch]:
        del held[branch]
        if not held:
            _drop(node.held, branch)
