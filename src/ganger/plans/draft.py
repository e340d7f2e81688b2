"""The raw fields of a plan, whatever the format, with the lines they stand on; and how they are taken one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from msgspec import Struct

from ganger.plans.port import Faults
from ganger.plans.values import Unfit
from ganger.plans.wording import listed, shown

T = TypeVar("T")

NOT_IN_FORCE = frozenset({"review"})
"""Promised for plans, but nothing acts on them in this version: an error, so that nobody relies on them."""


class Field(Struct, frozen=True):
    """A raw value and where it stands."""

    value: object
    line: int
    locate: Callable[..., int] | None = None
    """Gives the line of a part of the value from its keys and indices; None where all stands on one line."""

    def line_of(self, *inner: str | int) -> int:
        """Give the line of an element of a list or a key of a table."""
        return self.locate(*inner) if self.locate else self.line


class Table(Struct, frozen=True):
    """The raw fields of the plan itself or of one item."""

    fields: dict[str, Field]
    line: int
    unreadable: set[str] = set()
    """Fields that are there but whose fault the reader has reported, so that they are not reported as missing."""

    def lacks(self, name: str) -> bool:
        """Whether nobody has written that field."""
        return name not in self.fields and name not in self.unreadable


class Draft(Struct, frozen=True):
    """What a source makes of a file."""

    plan: Table
    items: tuple[Table, ...]
    is_tracker: bool = False
    """Whether it is kept by a tracker and not written for ganger: an item with a fault is then left out and listed,
    while the others can be used. In a plan that is written for ganger it is an error of the whole."""
    still_open: tuple[str, ...] = ()
    """Ids of the items that the tracker calls open."""


def table_of(values: Mapping[str, object], line: int) -> Table:
    """Make a table of plain values that all stand on one line."""
    return Table({name: Field(value, line) for name, value in values.items()}, line)


class Fields:
    """Takes the fields of one table, and reports what is wrong with each where it stands."""

    def __init__(self, table: Table, where: str, faults: Faults) -> None:
        self.table = table
        self.where = where
        self.faults = faults

    def take(self, name: str, parse: Callable[[object], T], default: T) -> T:
        """Parse a field; the default where it is missing or does not fit."""
        field = self.table.fields.get(name)
        if field is None:
            return default
        try:
            return parse(field.value)
        except Unfit as unfit:
            self.faults.error(field.line, f"{self.where}: `{name}` {unfit.message}", unfit.hint)
            return default

    def required(self, name: str, parse: Callable[[object], T], default: T, hint: str) -> T:
        """Parse a field that must be there; `hint` says how to write it."""
        if self.table.lacks(name):
            self.faults.error(self.table.line, f"{self.where} has no `{name}`", hint)
        return self.take(name, parse, default)

    def refuse_unknown(self, allowed: tuple[str, ...], prefix: str = "") -> None:
        """Report every field that is not among `allowed`; `prefix` is the path of the table within the item."""
        for name, field in self.table.fields.items():
            if name in allowed:
                continue
            if prefix + name in NOT_IN_FORCE:
                message = f"`{prefix}{name}` is not in force in this version of ganger"
                self.faults.error(field.line, f"{self.where}: {message}", "take it out: nothing would act on it")
            else:
                hint = self.faults.suggest(name, allowed) or f"known: {listed(allowed, 20)}"
                self.faults.error(field.line, f"{self.where}: unknown field {shown(prefix + name)}", hint)


def nested(table: Table, name: str, index: int | None = None) -> Table | None:
    """View a field (or one element of it) that is a table; None when it is missing or something else."""
    field = table.fields.get(name)
    if field is None:
        return None
    path = () if index is None else (index,)
    value = field.value if index is None else field.value[index] if isinstance(field.value, list) else None
    if not isinstance(value, dict):
        return None
    fields = {str(key): Field(one, field.line_of(*path, key)) for key, one in value.items()}
    return Table(fields, field.line_of(*path))
