"""The JSON schemas of what ganger reads: its configuration, plans, and the messages that programs exchange with it.

They are made from what reads: the configuration's by asking its reader what it asks for and which types it takes, the
messages' from their structs. So a schema never lags behind; where it can say less than the reader (ranges, names that
must exist), it allows more. Every object is closed: a key that is not named is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec

from ganger.core import commands as cmd
from ganger.plans import checks, items
from ganger.plans.values import Unfit
from ganger.service import config, door, predicates, reconcile_step, scorers, tables
from ganger.service.layers import Key, Layer, Layers
from ganger.service.model_prices import AMOUNTS

T = TypeVar("T")
Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME, _OTHER = "NAME", "OTHER"
"""A table's name, and a key in it that nobody knows: `[agents.NAME]` takes any."""
_SAMPLES: dict[str, object] = {
    "string": "\x7f",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": ["x"],
    "object": {"x": 1},
}
_REQUIRED = re.compile(r"has no `([a-z_]+)`")
_WRONG_TYPE = re.compile(r"^must be\b|without a unit$")
_ONE_OF = re.compile(r"one of (`[^`]+`(?:, `[^`]+`)*)")


def schemas() -> dict[str, Callable[[], Schema]]:
    """How each schema is made, by its name."""
    return {
        "config": config_schema,
        "plan": plan_schema,
        **{name: partial(_of, kind) for name, kind in MESSAGES.items()},
    }


MESSAGES: dict[str, Any] = {
    **{f"worker.{kind.__name__}": kind for kind in cmd.WorkerCommand.__args__},
    "door.Ask": door.Ask,
    "door.Tell": door.Tell,
    "predicate.question": predicates.Question,
    "scorer.question": scorers.Overlap,
    "scorer.answer": scorers.Scores,
    "driver.question": reconcile_step.Situation,
    "driver.answer": reconcile_step.Decision,
}
"""Each message's struct by the name of its schema."""


def _of(kind: Any) -> Schema:
    found: Schema = msgspec.json.schema(kind)
    for schema in [found, *found.get("$defs", {}).values()]:
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return {"$schema": DIALECT, **found}


def _closed(properties: Schema | None = None, required: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "properties": properties or {},
        "additionalProperties": False,
        **({"required": list(required)} if required else {}),
    }


_AMOUNT = {"type": "number", "minimum": 0}
_PRICE = _closed({"input": _AMOUNT, "output": _AMOUNT}, ("input", "output"))
_EXACT: dict[Key, Schema] = {
    ("agents", _NAME, "price"): {"anyOf": [{"enum": [tables.FREE, tables.REPORTED]}, _PRICE]},
    **{("prices", _NAME, *where, name): _AMOUNT for where in ((), ("long",)) for name in AMOUNTS},
}
"""What the parser of a setting takes, where trying it says less."""


class _Asked(Layers):
    """Layers without any values, that note what is asked for."""

    def __init__(self, data: dict[str, object]) -> None:
        layer = Layer("project", Path("/nonexistent"), config.CONFIG_NAME)
        layer.data = data
        super().__init__((layer,), {}, {})
        self.parsers: dict[Key, Callable[[object], object]] = {}
        self.required: set[Key] = set()

    def take(self, key: Key, parse: Callable[[object], T], default: object) -> T:
        self.parsers[key] = parse
        return super().take(key, parse, default)

    def take_limit(self, key: Key, parse: Callable[[object], T]) -> T | None:
        self.parsers[key] = parse
        return super().take_limit(key, parse)

    def take_from_files(self, key: Key, parse: Callable[[object], T]) -> T | None:
        self.parsers[key] = parse
        return super().take_from_files(key, parse)

    def error(self, keys: tuple[Key, ...], message: str, hint: str = "") -> None:
        if found := _REQUIRED.match(message):
            self.required.add((*keys[0], found[1]))

    @property
    def sections(self) -> set[Key]:
        """The sections whose tables carry names."""
        return self._sections


def config_schema() -> Schema:
    """The schema of `ganger.toml`."""
    empty = _Asked({})
    config.ask_for_all(empty)
    named: dict[str, Any] = {}
    for section in sorted(empty.sections):
        at = named
        for part in section:
            at = at.setdefault(part, {})
        at[_NAME] = {_OTHER: "x"}
    asked = _Asked(named)
    config.ask_for_all(asked)
    root = _closed()
    for key, parse in sorted(asked.parsers.items()):
        _put(root, key, _EXACT.get(key) or _taken(parse), required=key in asked.required)
    for section in empty.sections:
        _put(root, (*section, _NAME), _closed(), required=False)
    return {"$schema": DIALECT, "title": config.CONFIG_NAME, **root}


def _put(root: Schema, key: Key, schema: Schema, *, required: bool) -> None:
    """Put a key's schema where it belongs; `NAME` and `OTHER` stand for any key."""
    at = root
    for part in key[:-1]:
        at = _below(at, part, _closed())
    found = _below(at, key[-1], schema)
    assert found is schema or found["type"] == "object", key
    if required:
        at.setdefault("required", []).append(key[-1])


def _below(at: Schema, part: str, schema: Schema) -> Schema:
    if part not in (_NAME, _OTHER):
        found: Schema = at["properties"].setdefault(part, schema)
        return found
    if at["additionalProperties"] is False:
        at["additionalProperties"] = schema
    any_key: Schema = at["additionalProperties"]
    return any_key


def _taken(parse: Callable[[object], object]) -> Schema:
    """Which types a parser takes, and which words: found by trying it."""
    taken = []
    for kind, sample in _SAMPLES.items():
        try:
            parse(sample)
        except Unfit as unfit:
            if words := _ONE_OF.match(unfit.hint):
                return {"enum": [word.strip("`") for word in words[1].split(", ")]}
            if _WRONG_TYPE.search(unfit.message):
                continue
        taken.append(kind)
    return {"type": taken[0] if len(taken) == 1 else taken}


_TEXT, _TEXTS, _WHOLE, _FLAG = (
    {"type": "string"},
    {"type": "array", "items": {"type": "string"}},
    {"type": "integer"},
    {"type": "boolean"},
)
_COMMAND = {"anyOf": [_TEXT, {**_TEXTS, "minItems": 1}]}


def plan_schema() -> Schema:
    """The schema of a plan in TOML."""
    check = _closed(_picked(checks.CHECK_FIELDS, {"run": _COMMAND}), ("run",))
    found = {"type": "array", "items": {"anyOf": [_TEXT, check]}}
    budget = _closed(_picked(items.BUDGET_FIELDS, {"usd_max": {"type": "number"}, "tokens_max": _WHOLE}))
    budget["properties"]["attempts_max"] = _WHOLE
    until = _closed({"until": {}}, ("until",))
    item = {
        "acceptance": {"anyOf": [_TEXT, _TEXTS]},
        "not_in_scope": {"anyOf": [_TEXT, _TEXTS]},
        "scope": _TEXTS,
        "after": _TEXTS,
        "checks": found,
        "large": _FLAG,
        "priority": _WHOLE,
        "hold": {"anyOf": [{"enum": ["draft", "operator"]}, until]},
        "rung": {"enum": [rung.label for rung in items.RUNGS]},
        "mode": {"enum": ["exclusive", "shared"]},
        "budget": budget,
    }
    one = _closed(_picked(items.ITEM_FIELDS, item), ("id", "title"))
    one["anyOf"] = [{"required": ["scope"]}, {"required": ["lane"]}]
    plan = _closed(_picked(items.PLAN_FIELDS, {"checks": found}), ("id",))
    root = _closed({"plan": plan, "item": {"type": "array", "items": one, "minItems": 1}}, ("plan", "item"))
    return {"$schema": DIALECT, "title": "a plan in TOML", **root}


def _picked(names: tuple[str, ...], known: Schema) -> Schema:
    """The fields of a table: texts, where nothing else is known."""
    return {name: known.get(name, _TEXT) for name in names}
