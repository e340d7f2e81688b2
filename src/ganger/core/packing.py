"""How many of the wanted scopes can be held at once: a largest set of pairwise disjoint ones.

That is a maximum independent set of the graph of conflicts. Graphs of scopes fall apart into small groups, and each
group is decided on its own: exactly, by branch and bound, up to a number of scopes that any graph of that size is quick
for; a larger one after what can be decided without a search has been, then by a greedy choice improved by exchanges.
No set is larger than the number of cliques that cover the graph, since it holds at most one scope of each.

A set of scopes, or of those in conflict with one, is the bits of a number, one for each index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from ganger.core.patterns import PathRules, ScopeIndex

EXACT_MAX = 40
"""Scopes in one group that are always decided exactly."""


class Packing(Struct, frozen=True):
    """Scopes that can be held at once."""

    chosen: tuple[int, ...]
    """Their indexes, ascending."""
    most: int
    """No more can be."""

    @property
    def exact(self) -> bool:
        """Whether that is proven to be the most."""
        return len(self.chosen) == self.most


def conflict_masks(scopes: Sequence[tuple[str, ...]], shared: Sequence[bool], rules: PathRules) -> list[int]:
    """Return for each scope the set of those that it cannot be held with: they overlap, and not both are shared."""
    index: ScopeIndex[int] = ScopeIndex(rules)
    masks = [0] * len(scopes)
    for i, (scope, is_shared) in enumerate(zip(scopes, shared, strict=True)):
        for j in index.overlapping(scope, shared=is_shared):
            masks[i] |= 1 << j
            masks[j] |= 1 << i
        index.add(i, scope, shared=is_shared)
    return masks


def largest(conflicts: Sequence[int], exact_max: int = EXACT_MAX) -> Packing:
    """Choose as many indexes as can be without a conflict; `conflicts` is symmetric, and none is in its own.

    Each group of up to `exact_max` that conflicts connect is exact, and of its largest sets the first one in the order
    of indexes is chosen: one that has the smallest index in which two differ. A larger group is exact where it happens
    to be: where it falls into such groups once the obvious is decided, or the bound is met.
    """
    chosen = most = 0
    for group in _groups(conflicts, (1 << len(conflicts)) - 1):
        if group.bit_count() <= exact_max:
            found = _first_of_largest(conflicts, group)
            bound = found.bit_count()
        else:
            found, bound = _good(conflicts, group, exact_max)
        chosen |= found
        most += bound
    return Packing(tuple(_indexes(chosen)), most)


def _indexes(some: int) -> Iterator[int]:
    """Yield the indexes in a set, ascending."""
    while some:
        lowest = some & -some
        yield lowest.bit_length() - 1
        some ^= lowest


def _groups(conflicts: Sequence[int], among: int) -> Iterator[int]:
    """Yield the sets that conflicts connect, by their lowest index."""
    while among:
        group = _connected(conflicts, among)
        yield group
        among ^= group


def _connected(conflicts: Sequence[int], among: int) -> int:
    """Return what conflicts connect with the lowest index."""
    group = edge = among & -among
    while edge:
        reached = 0
        for i in _indexes(edge):
            reached |= conflicts[i]
        edge = reached & among & ~group
        group |= edge
    return group


def _cliques(conflicts: Sequence[int], among: int, seeds: int = 0) -> int:
    """Count cliques that cover the set, grown greedily, those of the seeds first: no more than that can be chosen."""
    count = 0
    while among:
        first = among & seeds or among
        clique = first & -first
        candidates = among & conflicts[clique.bit_length() - 1]
        while candidates:
            lowest = candidates & -candidates
            clique |= lowest
            candidates &= conflicts[lowest.bit_length() - 1]
        among ^= clique
        count += 1
    return count


# ── exactly ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _first_of_largest(conflicts: Sequence[int], among: int) -> int:
    """Return the first, in the order of indexes, of the largest sets without a conflict.

    An index is in it if it is in some largest set together with what is kept so far.
    """
    found = _more_than(conflicts, among, -1) or 0
    kept = 0
    for i in _indexes(among):
        bit = 1 << i
        if not among & bit:
            continue
        rest = among & ~(conflicts[i] | bit)
        if not found & bit:
            instead = _more_than(conflicts, rest, (found & among).bit_count() - 2)
            if instead is None:
                among ^= bit
                continue
            found = instead
        kept |= bit
        among = rest
    return kept


def _more_than(conflicts: Sequence[int], among: int, floor: int) -> int | None:
    """Return a largest set without a conflict if it holds more than `floor`, else None."""
    sure, among, pivot = _settle(conflicts, among)
    floor -= sure.bit_count()
    if not among:
        return sure if floor < 0 else None
    if _cliques(conflicts, among) <= floor:
        return None
    group = _connected(conflicts, among)
    if group == among:
        found = _branch(conflicts, among, pivot, floor)
    else:
        found = _together(conflicts, group, among ^ group, floor)
    return None if found is None else sure | found


def _settle(conflicts: Sequence[int], among: int) -> tuple[int, int, int]:
    """Decide what needs no search: return what is chosen, what is left, and what of that has the most conflicts.

    Some largest set holds any index whose conflicts are all in conflict with each other. Where nothing is shared, and
    scopes are directories, which hold one another or are disjoint, that decides everything.
    """
    sure = before = pivot = 0
    while before != among:
        before, most = among, 0
        for i in _indexes(before):
            if among >> i & 1:
                near = conflicts[i] & among
                if _is_clique(conflicts, near):
                    sure |= 1 << i
                    among &= ~(near | 1 << i)
                elif near.bit_count() > most:
                    most, pivot = near.bit_count(), i
    return sure, among, pivot


def _is_clique(conflicts: Sequence[int], some: int) -> bool:
    while some:
        lowest = some & -some
        some ^= lowest
        if some & ~conflicts[lowest.bit_length() - 1]:
            return False
    return True


def _together(conflicts: Sequence[int], group: int, others: int, floor: int) -> int | None:
    """Do as `_more_than` for a group and others that have no conflict with it."""
    found = _more_than(conflicts, group, floor - _cliques(conflicts, others))
    if found is None:
        return None
    rest = _more_than(conflicts, others, floor - found.bit_count())
    return None if rest is None else found | rest


def _branch(conflicts: Sequence[int], among: int, pivot: int, floor: int) -> int | None:
    """Do as `_more_than` by choosing the pivot or not; every index has two conflicts or more, the pivot the most."""
    bit = 1 << pivot
    near = conflicts[pivot] & among
    found = None
    if near.bit_count() > 2 and not _is_dominated(conflicts, among, near, bit):
        found = _more_than(conflicts, among & ~(near | bit), floor - 1)
    if found is not None:
        found |= bit
        floor = found.bit_count()
    instead = _more_than(conflicts, among ^ bit, floor)
    return found if instead is None else instead


def _is_dominated(conflicts: Sequence[int], among: int, near: int, bit: int) -> bool:
    """Whether one of the conflicts has no conflict besides that index and its conflicts: it can be chosen instead."""
    beyond = among & ~(near | bit)
    return any(not conflicts[i] & beyond for i in _indexes(near))


# ── well enough ──────────────────────────────────────────────────────────────────────────────────────────────────


def _good(conflicts: Sequence[int], group: int, exact_max: int) -> tuple[int, int]:
    """Return a large set without a conflict in a group that is too large for a search, and how many it could be."""
    chosen, rest, _ = _settle(conflicts, group)
    most = chosen.bit_count()
    for piece in _groups(conflicts, rest):
        if piece.bit_count() <= exact_max:
            found = _first_of_largest(conflicts, piece)
            bound = found.bit_count()
        else:
            found = _improve(conflicts, piece, _greedy(conflicts, piece))
            bound = min(_cliques(conflicts, piece), _cliques(conflicts, piece, found))
        chosen |= found
        most += bound
    return chosen, most


def _greedy(conflicts: Sequence[int], among: int) -> int:
    """Choose what has the fewest conflicts, the lowest index of those, again and again."""
    chosen = 0
    while among:
        _, i = min(((conflicts[i] & among).bit_count(), i) for i in _indexes(among))
        chosen |= 1 << i
        among &= ~(conflicts[i] | 1 << i)
    return chosen


def _improve(conflicts: Sequence[int], group: int, chosen: int) -> int:
    """Exchange one that is chosen for several as long as that can be done; `chosen` leaves nothing free."""
    while True:
        for bit, instead in _in_the_way(conflicts, group, chosen).items():
            several = _greedy(conflicts, instead)
            if several & (several - 1):
                chosen ^= bit | several
                break
        else:
            return chosen


def _in_the_way(conflicts: Sequence[int], group: int, chosen: int) -> dict[int, int]:
    """Return, for what is chosen (as a bit), all that conflicts with nothing else that is."""
    freed: dict[int, int] = {}
    for i in _indexes(group & ~chosen):
        bit = conflicts[i] & chosen
        if not bit & (bit - 1):
            freed[bit] = freed.get(bit, 0) | 1 << i
    return freed
