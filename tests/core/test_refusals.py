"""The vocabulary of refusals: every code is given by something, and nothing else is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from ganger.core.admission import FORCEABLE
from ganger.core.model import RefusalCode
from ganger.journal import codec
from ganger.journal.codec import EntryUnreadable

SOURCE = Path(__file__).parents[2] / "src" / "ganger"


def refused_with(path: Path) -> set[str]:
    """The codes that a module builds refusals of."""
    return {
        node.args[0].attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Refusal"
        and node.args
        and isinstance(node.args[0], ast.Attribute)
        and isinstance(node.args[0].value, ast.Name)
    }


def test_every_code_is_given_by_something() -> None:
    given = {code for path in SOURCE.rglob("*.py") for code in refused_with(path)}
    assert {code.value for code in RefusalCode} - given == {"target_moved"}, "kept, since journals know its name"


def test_what_may_be_forced_leaves_scopes_tokens_and_order_alone() -> None:
    never = {
        *("overlap", "exclusive_held", "not_ready", "wrong_state", "stale_token", "lease_expired", "permit"),
        *("forbidden", "config", "invalid", "conflict", "unknown_ref", "target_moved"),
    }
    assert {code.value for code in set(RefusalCode) - FORCEABLE} == never


def test_the_vocabulary_is_closed() -> None:
    with pytest.raises(ValueError, match="'maybe' is not a valid RefusalCode"):
        RefusalCode("maybe")
    body = b'{"type":"ItemWaited","item":"login","code":"maybe","reason":"who knows"}'
    with pytest.raises(EntryUnreadable):
        codec.decode(1, 1, "supervisor", body, codec.crc(body))
