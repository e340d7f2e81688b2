"""Taking out of a tracker's items those that cannot be brought into an order, each with its reason."""

from __future__ import annotations

from ganger.core.ids import ItemId
from ganger.plans.items import Made
from ganger.plans.lint import cycles_of, order_of
from ganger.plans.port import Faults, Known
from ganger.plans.wording import listed, shown

CYCLES_MAX = 100
"""Cycles that are named; members of further ones are left out together with them."""


def leave_out_unordered(made: Made, known: Known, faults: Faults) -> Made:
    """Leave out items whose id is taken, that wait for what is not there, or that wait for each other.

    What waits for an item that is left out is left out too: it could never be ready.
    """
    left = _leave_out_doubles(made, known, faults)
    left = _leave_out_waiting(left, known, faults)
    for _ in range(CYCLES_MAX):
        members = next(cycles_of(_edges(left)), None)
        if members is None:
            return left
        ids = [left.items[number].spec.id for number in members]
        for number in members:
            message = f"item {shown(left.items[number].spec.id)} waits for itself in a cycle of {listed(ids)}"
            faults.leave_out(left.items[number].line, message, "take one dependency out")
        left = _leave_out_waiting(left.without(set(members)), known, faults)
    return _leave_out_tangled(left, faults)


def _edges(made: Made) -> list[list[int]]:
    places = {item.spec.id: number for number, item in enumerate(made.items)}
    return [[places[wanted] for wanted in item.spec.after if wanted in places] for item in made.items]


def _leave_out_doubles(made: Made, known: Known, faults: Faults) -> Made:
    """Leave out all items of an id that two have: nobody knows which is meant."""
    by_id: dict[str, list[int]] = {}
    for number, item in enumerate(made.items):
        key = item.spec.id.casefold() if known.rules.fold_case else item.spec.id
        by_id.setdefault(key, []).append(number)
    out: set[int] = set()
    for numbers in by_id.values():
        spec = made.items[numbers[0]].spec
        owner = known.other_items.get(spec.id, spec.plan)
        if owner != spec.plan:
            faults.leave_out(
                made.items[numbers[0]].line, f"item id {shown(spec.id)} is used by the plan {shown(owner)}"
            )
            out.update(numbers)
        elif len(numbers) > 1:
            lines = ", ".join(str(made.items[number].line) for number in numbers[:8])
            for number in numbers:
                one = made.items[number]
                faults.leave_out(one.line, f"item id {shown(one.spec.id)} is used more than once: lines {lines}")
            out.update(numbers)
    return made.without(out)


def _leave_out_waiting(made: Made, known: Known, faults: Faults) -> Made:
    """Leave out what waits for an item that is not there, and what waits for that."""
    places = {item.spec.id: number for number, item in enumerate(made.items)}
    dependents: dict[ItemId, list[int]] = {}
    for number, item in enumerate(made.items):
        for wanted in item.spec.after:
            dependents.setdefault(wanted, []).append(number)
    plans = {item.spec.plan for item in made.items}
    missing = [one for one in dependents if one not in places and known.other_items.get(one) in (None, *plans)]
    out: set[int] = set()
    for wanted in missing:
        for number in dependents[wanted]:
            if number not in out:
                out.add(number)
                one = made.items[number]
                is_out = wanted in places or wanted in made.left_out
                why = "was left out" if is_out else "there is not"
                faults.leave_out(one.line, f"item {shown(one.spec.id)} waits for {shown(wanted)}, which {why}")
                if one.spec.id in dependents:
                    missing.append(one.spec.id)
    return made.without(out)


def _leave_out_tangled(made: Made, faults: Faults) -> Made:
    """Leave out everything that is in a cycle or waits for one, without looking for each cycle."""
    out = set(range(len(made.items))) - set(order_of(_edges(made)))
    for number in sorted(out):
        one = made.items[number]
        faults.leave_out(one.line, f"item {shown(one.spec.id)} is in a cycle, or waits for one")
    return made.without(out)
