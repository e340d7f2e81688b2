"""What is left of a plan when only evidence counts: each item verified, said to be done but not, or open.

What a worker said, and even what the journal recorded, takes nothing off the list: the target is read, and where the
configuration wants that, CI is asked about the commit that landed.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from msgspec import Struct

from ganger.journal.queries import ItemRow, Reader
from ganger.service.claimed import claim_text, claims, false_claims, turns_of
from ganger.service.shipped import RUNGS, Shipped


class Standing(StrEnum):
    """How an item stands."""

    verified = "verified"
    """The target contains what landed it, tested as a whole, and CI says so too where that is required."""
    quiet_incomplete = "quiet_incomplete"
    """Somebody said that it is done, or it was recorded as landed, and it is not there."""
    open = "open"
    """Nobody said so."""


class Left(Struct, frozen=True):
    """An item with how it stands."""

    item: str
    title: str
    status: str
    """In the fleet."""
    standing: Standing
    text: str
    """By what it is verified, or what is missing, in a line."""
    claims: int = 0
    """How often a worker said that it is done."""
    false_claims: int = 0
    """How often that was refused by the evidence."""


Closing = Callable[[str], str]
"""Says why CI does not close what landed with a commit; empty when it does."""


def residual(reader: Reader, plan: str, ask: Callable[[str], Shipped], closing: Closing) -> tuple[Left, ...]:
    """How each item of a plan, or of all, stands; `ask` says of an item whether the target contains it."""
    return tuple(_stands(reader, item, ask, closing) for item in reader.items(plan))


def left_of(items: tuple[Left, ...]) -> tuple[Left, ...]:
    """The residual: a plan is complete only when it is empty."""
    return tuple(one for one in items if one.standing is not Standing.verified)


def _stands(reader: Reader, item: ItemRow, ask: Callable[[str], Shipped], closing: Closing) -> Left:
    turns = turns_of(reader, item.id)
    said, false = claims(turns), false_claims(turns)

    def stands(standing: Standing, text: str) -> Left:
        return Left(item.id, item.title, item.status, standing, text, said, len(false))

    if item.status == "finished":
        return stands(Standing.verified, "it was asked for no change, and its worker has reported")
    found = ask(item.id)
    if found.rung == RUNGS[-1]:
        against = closing(found.commit)
        return stands(Standing.quiet_incomplete if against else Standing.verified, against or found.why)
    if item.landed or said:
        return stands(Standing.quiet_incomplete, "; ".join(text for text in (found.why, claim_text(false)) if text))
    return stands(Standing.open, found.why)
