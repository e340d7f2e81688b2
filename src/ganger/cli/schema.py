"""`ganger schema`: the JSON schema of what ganger reads, and of what `--json` prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from ganger.cli.options import as_json
from ganger.cli.output import JSON_COLUMNS, YES, say, say_json
from ganger.cli.shapes import REPLY, ROWS, SHAPES
from ganger.errors import UsageError
from ganger.plans.wording import nearest
from ganger.service.schemas import DIALECT, Schema, schemas

_ANY: Schema = {}
_TYPES = {"str": {"type": "string"}, "int": {"type": "integer"}, "int | None": {"type": ["integer", "null"]}}
_OF_REPLY: Schema = {
    "accepted": {"type": "boolean"},
    "changed": {"type": "boolean"},
    "seq": {"type": "integer"},
    "refusal": {"type": ["object", "null"]},
}


@click.command()
@click.argument("name", default="")
@as_json
def schema(name: str, as_json: bool) -> int:
    """Print the JSON schema called NAME, or without one the names there are.

    There is one for ganger.toml, one for plans in TOML, one for each message that a worker, a predicate, a scorer, a
    driver or the supervisor's socket takes or gives, and one for each object that --json prints, by its kind.

    Exit status: 0 there it is; 2 there is none of that name.
    """
    known = every_schema()
    if not name:
        if as_json:
            say_json("ganger.schemas", {"names": list(known)})
        else:
            say("\n".join(known))
        return YES
    if name not in known:
        raise UsageError(f"there is no schema {name!r}", nearest(name, known) or "ganger schema lists them")
    say(json.dumps(known[name](), indent=None if as_json else 2))
    return YES


def every_schema() -> dict[str, Callable[[], Schema]]:
    """How each schema is made, by its name."""
    return schemas() | {kind: partial(shape_schema, kind) for kind in SHAPES}


def shape_schema(kind: str) -> Schema:
    """The schema of an object that `--json` prints; closed, and of its fields those are typed whose rows are known."""
    fields = {name: _field(kind, name) for name in SHAPES[kind]}
    told = {"kind": {"const": kind}, "version": {"const": 1}}
    return {
        "$schema": DIALECT,
        "title": kind,
        "type": "object",
        "properties": told | fields,
        "required": [*told, *fields],
        "additionalProperties": False,
    }


def _field(kind: str, name: str) -> Any:
    row = ROWS.get(kind)
    if row is not None and name not in JSON_COLUMNS:
        return _TYPES.get(str(row.__annotations__.get(name, "")), _ANY)
    return _OF_REPLY.get(name, _ANY) if SHAPES[kind][: len(REPLY)] == REPLY else _ANY
