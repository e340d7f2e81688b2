"""What can only be seen by comparing the items of a plan: double ids, missing ones, cycles, overlapping scopes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from ganger.core.ids import ItemId
from ganger.core.model import LeaseMode
from ganger.core.patterns import PatternError, ScopeIndex, parse, scope_overlap
from ganger.plans.items import Made, item_label
from ganger.plans.port import Faults, Known
from ganger.plans.tracked import Tracked
from ganger.plans.wording import shown

ITEMS_MAX = 20_000
"""Most items of one plan; the order among them is kept as one bit per pair, 25 MB at this number."""
LISTED_MAX = 20
"""Warnings of one kind that are written out; the others are counted."""
PAIRS_MAX = 200_000
"""Overlapping pairs, ordered or not, that are looked at; in a plan with more, a warning says so."""
MEMBERS_SHOWN = 12


def check(made: Made, known: Known, tracked: Tracked, faults: Faults) -> None:
    """Record all faults between the items; those within a single item have been found when it was made."""
    items = made.items
    if len(items) > ITEMS_MAX:
        hint = "split it into several plans"
        return faults.error(0, f"the plan has {len(items):,} items, the most is {ITEMS_MAX:,}", hint)
    places = _places(made, known, faults)
    after = _resolve_after(made, places, known, faults)
    order = order_of(after)
    _report_cycles(made, after, faults)
    _warn_overlaps(made, after, order, known, faults)
    _warn_unmatched(made, known, tracked, faults)
    return None


def _line(made: Made, number: int, field: str, *inner: int) -> int:
    table = made.tables[number]
    return table.fields[field].line_of(*inner) if field in table.fields else table.line


def _places(made: Made, known: Known, faults: Faults) -> dict[ItemId, int]:
    """Map ids to positions in the plan; a second item of the same id is a fault."""
    places: dict[ItemId, int] = {}
    folded: dict[str, int] = {}
    for number, item in enumerate(made.items):
        spec, line = item.spec, _line(made, number, "id")
        if not spec.id:
            continue
        key = spec.id.casefold() if known.rules.fold_case else spec.id
        other = folded.setdefault(key, number)
        owner = known.other_items.get(spec.id, spec.plan)
        if other != number:
            first = made.items[other]
            how = "is used twice" if first.spec.id == spec.id else f"differs from {shown(first.spec.id)} only in case"
            faults.error(line, f"item id {shown(spec.id)} {how}; the first is on line {first.line}")
        elif owner != spec.plan:
            faults.error(line, f"item id {shown(spec.id)} is used by the plan {shown(owner)} too", "ids are per fleet")
        places.setdefault(spec.id, number)
    return places


def _resolve_after(made: Made, places: dict[ItemId, int], known: Known, faults: Faults) -> list[list[int]]:
    """Turn each item's `after` into positions; what names nothing is a fault, other plans' items are left out."""
    resolved = []
    for number, item in enumerate(made.items):
        found = []
        for index, wanted in enumerate(item.spec.after):
            if wanted in places:
                found.append(places[wanted])
            elif known.other_items.get(wanted, item.spec.plan) == item.spec.plan:
                others = (one for one, plan in known.other_items.items() if plan != item.spec.plan)
                hint = faults.suggest(wanted, (*places, *others))
                where = item_label(item.spec, number + 1)
                faults.error(_line(made, number, "after", index), f"{where}: after: no item {shown(wanted)}", hint)
        resolved.append(found)
    return resolved


def order_of(after: Sequence[Sequence[int]]) -> list[int]:
    """Sort the items so that each comes behind those it waits for (Kahn); members of cycles are missing."""
    waiting = [len(set(one)) for one in after]
    dependents: list[list[int]] = [[] for _ in after]
    for number, wanted in enumerate(after):
        for other in set(wanted):
            dependents[other].append(number)
    order = [number for number, count in enumerate(waiting) if not count]
    for number in order:
        for dependent in dependents[number]:
            waiting[dependent] -= 1
            if not waiting[dependent]:
                order.append(dependent)
    return order


def _report_cycles(made: Made, after: Sequence[Sequence[int]], faults: Faults) -> None:
    for members in cycles_of(after):
        ids = [made.items[number].spec.id for number in members]
        named = [shown(one) for one in (*ids, ids[0])]
        if len(ids) == 1:
            message = f"item {named[0]} waits for itself"
        elif len(ids) <= MEMBERS_SHOWN:
            message = f"{len(ids)} items wait for each other in a cycle: {' waits for '.join(named)}"
        else:
            start = " waits for ".join(named[:MEMBERS_SHOWN])
            message = f"{len(ids)} items wait for each other in a cycle: {start} and so on to {named[0]}"
        faults.error(_line(made, members[0], "after"), message, "take one `after` out")


def cycles_of(after: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Find cycles, at most 20, each beginning with its first member in the file."""
    edges = [list(dict.fromkeys(one)) for one in after]
    for _ in range(LISTED_MAX):
        left = set(range(len(edges))) - set(order_of(edges))
        if not left:
            return
        cycle = _walk(edges, left)
        yield cycle
        # Without the edge that closes it, the next search finds another.
        edges[cycle[-1]].remove(cycle[0])


def _walk(edges: Sequence[Sequence[int]], left: set[int]) -> list[int]:
    """Follow items that wait until one comes again; each of `left` waits for another of them, so one does."""
    trail: dict[int, int] = {}
    at = min(left)
    while at not in trail:
        trail[at] = len(trail)
        at = next(other for other in edges[at] if other in left)
    cycle = list(trail)[trail[at] :]
    first = cycle.index(min(cycle))
    return cycle[first:] + cycle[:first]


def _warn_overlaps(
    made: Made, after: Sequence[Sequence[int]], order: Sequence[int], known: Known, faults: Faults
) -> None:
    """Warn of pairs that no `after` orders and whose scopes overlap: they cannot be worked on at the same time."""
    pairs, complete = _overlapping(made, after, order, known)
    line = 0
    for number, other in pairs[:LISTED_MAX]:
        one, two = made.items[other].spec, made.items[number].spec
        pair = scope_overlap(one.scope, two.scope, known.rules)
        where = " and ".join(dict.fromkeys(map(shown, pair))) if pair else "their scopes"
        message = f"items {shown(one.id)} and {shown(two.id)} overlap in {where}: one will wait for the other"
        line = _line(made, number, "scope")
        faults.warning(line, message, "order them with `after`, or narrow a scope")
    if len(pairs) > LISTED_MAX:
        faults.warning(line, f"and {len(pairs) - LISTED_MAX:,} more pairs of items with overlapping scopes")
    if not complete:
        faults.warning(line, f"only the first {PAIRS_MAX:,} pairs of items with overlapping scopes were looked at")


def _overlapping(
    made: Made, after: Sequence[Sequence[int]], order: Sequence[int], known: Known
) -> tuple[list[tuple[int, int]], bool]:
    """Give the pairs, the later item first, and whether these are all."""
    before = _ancestors(after, order)
    index: ScopeIndex[int] = ScopeIndex(known.rules)
    pairs: list[tuple[int, int]] = []
    looked_at = 0
    for number, item in enumerate(made.items):
        if number not in before:
            continue
        try:
            others = list(islice(index.overlapping(item.spec.scope), PAIRS_MAX - looked_at + 1))
            index.add(number, item.spec.scope)
        except PatternError:
            # Reported when the item was made.
            continue
        looked_at += len(others)
        if looked_at > PAIRS_MAX:
            return pairs, False
        for other in others:
            theirs = made.items[other].spec
            shared = item.spec.mode is theirs.mode is LeaseMode.shared
            # That items of one lane take turns is what the lane is for.
            one_lane = item.spec.lane != "" and item.spec.lane == theirs.lane
            if not shared and not one_lane and not (before[number] >> other) & 1 and not (before[other] >> number) & 1:
                pairs.append((number, other))
    return pairs, True


def _ancestors(after: Sequence[Sequence[int]], order: Sequence[int]) -> dict[int, int]:
    """Give for each item, as a bit set, all that it waits for directly or through others."""
    before: dict[int, int] = {}
    for number in order:
        bits = 0
        for other in after[number]:
            bits |= before[other] | 1 << other
        before[number] = bits
    return before


def _warn_unmatched(made: Made, known: Known, tracked: Tracked, faults: Faults) -> None:
    """Warn of patterns that match no tracked file: either misspelled, or for files that the item will create."""
    if not tracked.is_known:
        return
    found = line = 0
    for number, item in enumerate(made.items):
        for index, text in enumerate(item.spec.scope):
            if _is_matched(text, tracked, known):
                continue
            found += 1
            if found <= LISTED_MAX:
                line = _line(made, number, "scope", index)
                where = item_label(item.spec, number + 1)
                message = f"{where}: scope {shown(text)} matches no tracked file"
                faults.warning(line, message, "right if the item creates it")
    if found > LISTED_MAX:
        faults.warning(line, f"and {found - LISTED_MAX:,} more scopes that match no tracked file")


def _is_matched(text: str, tracked: Tracked, known: Known) -> bool:
    try:
        return tracked.has_match(parse(text, known.rules))
    except PatternError:
        # Reported when the item was made.
        return True
