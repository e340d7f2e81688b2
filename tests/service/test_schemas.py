"""The published schemas: closed, in step with what reads, and what a required field's absence is told by."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator as Validator
from test_config import EVERYTHING

from ganger.core.model import Check, Lane
from ganger.errors import ConfigError
from ganger.plans import items
from ganger.plans.port import Known, read_plan
from ganger.service import config, door
from ganger.service.schemas import MESSAGES, schemas

Place = tuple[str | int, ...]
AUTH = Lane("auth", ("src/auth/**",))
LEASES = [{"holder": "docs.1", "scope": ["docs/**"], "mode": "shared"}]
REQUEST = {"item": "a", "plan": "p", "scope": ["a"], "lane": "", "agent": "fixer", "kind": "patcher"}
RUN = {"run": "a.1", "token": 7}
DONE = {"type": "ReportDone", **RUN, "outcome": "completed", "summary": "s", "evidence": ["e"], "recommended": ["r"]}
PLAN: dict[str, Any] = {
    "plan": {"id": "auth", "title": "Sign-in", "checks": ["unit"]},
    "item": [
        {
            "id": "login",
            "title": "Log in",
            "brief": "Make it so that one can log in.",
            "scope": ["src/auth/**"],
            "large": False,
            "acceptance": ["one can"],
            "not_in_scope": "logging out",
            "after": [],
            "checks": ["unit", {"run": "mypy src", "timeout": "3m", "name": "types"}],
            "kind": "patcher",
            "agent": "fixer",
            "priority": 1,
            "hold": "draft",
            "rung": "checked",
            "mode": "shared",
            "budget": {"usd_max": 1.5, "tokens_max": 5, "attempts_max": 3, "wall_max": "45m", "silence_max": "10m"},
        },
        {"id": "out", "title": "Log out", "lane": "auth"},
    ],
}
FULL: dict[str, Any] = {
    "config": tomllib.loads(EVERYTHING),
    "plan": PLAN,
    "worker.ReportDone": {**DONE, "scope_confidence": "clear"},
    "worker.ReportFail": {"type": "ReportFail", **RUN, "reason": "r"},
    "worker.AskQuestion": {
        **{"type": "AskQuestion", **RUN, "text": "t", "options": ["a"], "recommend": "a", "risk": "high"},
    },
    "worker.AddNote": {"type": "AddNote", **RUN, "text": "t", "fact": True, "about": ["src/**"]},
    "worker.SetTodos": {"type": "SetTodos", **RUN, "todos": [{"text": "t", "state": "pending"}]},
    "worker.SpawnChild": {"type": "SpawnChild", **RUN, "kind": "scout", "title": "t", "brief": "b"},
    "worker.ParkRun": {"type": "ParkRun", **RUN},
    "worker.FileFollowUp": {"type": "FileFollowUp", **RUN, "title": "t", "brief": "b", "scope": ["s"]},
    "door.Ask": {"type": "Ask", "command": DONE, "actor": "worker:a.1", "key": "k"},
    "door.Tell": {"type": "Tell", "what": "down", "now": True},
    "predicate.question": {"kind": "ganger.predicate", "version": 1, "request": REQUEST, "leases": LEASES},
    "scorer.question": {
        "kind": "ganger.overlap",
        "version": 1,
        "wanted": {"name": "item a", "scope": ["a"], "mode": "exclusive"},
        "held": LEASES,
    },
    "scorer.answer": {"scores": [0.5, 1]},
    "driver.question": {
        "kind": "ganger.reconcile",
        "version": 1,
        "now_ms": 1,
        "offered": ["a"],
        "ready": [REQUEST],
        "held": [{"item": "b", "code": "held", "reason": "r", "again_ms": 0}],
        "leases": LEASES,
        "left_out": 0,
    },
    "driver.answer": {"decision": "go", "only": ["a"], "reason": "r"},
}
"""An example of each, with every field that can stand beside the others."""


def toml(value: object) -> str:
    """A value of a TOML file, on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def told_of_config(value: Any, root: Path) -> str:
    text = "\n".join(f"{key} = {toml(one)}" for key, one in value.items())
    (root / config.CONFIG_NAME).write_text(text)
    try:
        config.load(root, None, {}, {})
    except ConfigError as error:
        return error.message
    return ""


def told_of_plan(value: Any, root: Path) -> str:
    tables = [("[plan]", value["plan"])] if "plan" in value else []
    tables += [("[[item]]", one) for one in value.get("item", ())]
    lines = [f"{key} = {toml(one)}" for key, one in value.items() if key not in ("plan", "item")]
    lines += [line for header, one in tables for line in (header, *(f"{key} = {toml(v)}" for key, v in one.items()))]
    (root / "plan.toml").write_text("\n".join(lines))
    known = Known({"unit": Check("unit", ("true",))}, frozenset({"fixer"}), "fixer", lanes={"auth": AUTH})
    _, faults = read_plan(root / "plan.toml", known)
    return "\n".join(fault.text for fault in faults if fault.severity.value == "error")


def told_of(kind: Any) -> Callable[[Any, Path], str]:
    def told(value: Any, root: Path) -> str:
        try:
            msgspec.json.decode(json.dumps(value), type=kind)
        except msgspec.MsgspecError as error:
            return str(error)
        return ""

    return told


def told_of_command(value: Any, root: Path) -> str:
    """What the supervisor's socket says of a worker's command."""
    return told_of(door.Message)({"type": "Ask", "command": value, "actor": "worker:a.1"}, root)


READERS: dict[str, Callable[[Any, Path], str]] = {
    "config": told_of_config,
    "plan": told_of_plan,
    **{name: told_of_command for name in MESSAGES if name.startswith("worker.")},
    **{name: told_of(door.Message) for name in MESSAGES if name.startswith("door.")},
    **{name: told_of(MESSAGES[name]) for name in MESSAGES if name.endswith(".answer")},
}
"""What reads each, as it is read; questions are only ever written by ganger."""


def resolved(schema: Any, root: Any) -> Any:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def variant(schema: Any, value: Any, root: Any) -> Any:
    """The alternative of a schema that a value is one of."""
    found = resolved(schema, root)
    for one in found.get("anyOf", ()) if "properties" not in found else ():
        inner = resolved(one, root)
        if Validator({**inner, "$defs": root.get("$defs", {})}).is_valid(value):
            return variant(inner, value, root)
    return found


def required(schema: Any, value: Any, root: Any, at: Place = ()) -> Iterator[Place]:
    """The paths of all fields in `value` that must be there."""
    schema = variant(schema, value, root)
    if isinstance(value, dict):
        names = [*schema.get("required", ()), *(n for one in schema.get("anyOf", ()) for n in one.get("required", ()))]
        yield from ((*at, name) for name in names if name in value)
        for key, one in value.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if isinstance(inner, dict):
                yield from required(inner, one, root, (*at, key))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for number, one in enumerate(value):
            yield from required(schema["items"], one, root, (*at, number))


def without(value: Any, path: Place) -> Any:
    left = deepcopy(value)
    table = left
    for part in path[:-1]:
        table = table[part]
    del table[path[-1]]
    return left


MADE = {name: make() for name, make in schemas().items()}
CASES = [(name, path) for name, value in FULL.items() for path in required(MADE[name], value, MADE[name])]


OF_PLAN = {
    "plan": "plan has no `id`",
    "item": "the plan has no items",
    "plan.id": "plan has no `id`",
    "item.0.id": "item 1 has no `id`",
    "item.0.title": "item `login` has no `title`",
    "item.0.scope": "item `login` has no `scope`",
    "item.0.checks.1.run": "item `login`: checks has no `run`",
    "item.1.id": "item 2 has no `id`",
    "item.1.title": "item `out` has no `title`",
    "item.1.lane": "item `out` has no `scope`",
}
"""A plan's faults are told by the names that its author gave, not by numbers."""


def place(name: str, path: Place) -> str:
    """What must stand in the error about a field that is not there."""
    dotted = ".".join(map(str, path))
    if name == "plan":
        return OF_PLAN[dotted]
    if name == "config" and path[-2] == "price":
        return f"`{'.'.join(map(str, path[:-1]))}` cannot be"
    if name == "config":
        return f"`{'.'.join(map(str, path[:-1]))}` has no `{path[-1]}`"
    outer = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path[:-1])
    at = f"$.command{outer}" if name.startswith("worker.") else f"${outer}"
    return f"missing required field `{path[-1]}`" + (f" - at `{at}`" if at != "$" else "")


def test_there_is_an_example_of_each() -> None:
    assert set(FULL) == set(MADE)
    assert {name for name in FULL if not name.endswith(".question")} == set(READERS)
    assert {".".join(map(str, path)) for name, path in CASES if name == "plan"} == set(OF_PLAN)


@pytest.mark.parametrize("name", FULL)
def test_a_full_example_is_valid_for_the_schema_and_for_what_reads_it(name: str, tmp_path: Path) -> None:
    Validator.check_schema(MADE[name])
    assert [error.message for error in Validator(MADE[name]).iter_errors(FULL[name])] == []
    if name in READERS:
        assert READERS[name](FULL[name], tmp_path) == ""


def test_a_required_field_that_is_missing_is_named_with_its_place(tmp_path: Path) -> None:
    assert len(CASES) > 80
    for name, path in CASES:
        left = without(FULL[name], path)
        places = [list(fault.absolute_path) for fault in Validator(MADE[name]).iter_errors(left)]
        assert places and all(list(path[: len(at)]) == at for at in places), (name, path)
        if name in READERS:
            assert place(name, path) in READERS[name](left, tmp_path), (name, path)


def test_no_example_may_hold_a_key_that_nobody_knows(tmp_path: Path) -> None:
    """A message is closed as a whole; what stands in its lists is stored, and read as an older ganger wrote it."""
    for name, value in FULL.items():
        for path in tables(value):
            more = deepcopy(value)
            table = more
            for part in path:
                table = table[part]
            table["nonsense"] = 1
            assert list(Validator(MADE[name]).iter_errors(more)), (name, path)
            if name in READERS and (name in ("config", "plan") or not path):
                assert READERS[name](more, tmp_path), (name, path)


def tables(value: Any, at: Place = ()) -> Iterator[Place]:
    """The paths of all objects in a value."""
    if isinstance(value, dict):
        yield at
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in parts:
        yield from tables(one, (*at, key))


def test_the_schemas_know_what_the_readers_ask_for() -> None:
    plan = MADE["plan"]["properties"]
    assert set(plan["plan"]["properties"]) == set(items.PLAN_FIELDS)
    assert set(plan["item"]["items"]["properties"]) == set(items.ITEM_FIELDS)
    assert MADE["config"]["properties"]["landing"]["properties"]["mode"] == {"enum": ["auto", "ask"]}
    assert MADE["config"]["properties"]["recovery"]["properties"]["linger"] == {"type": "string"}
    assert MADE["config"]["properties"]["agents"]["additionalProperties"]["additionalProperties"] == {"type": "string"}
