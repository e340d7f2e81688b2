"""When an item may begin that comes after others: as it says itself, or as the fleet says for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganger.core.model import Check
from ganger.plans.port import Known, read_plan

CHECKS = {"unit": Check("unit", ("pytest",))}
TOML = '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "A"\nscope = ["a"]\nchecks = ["unit"]\n{item}\n'
MARKDOWN = "---\nid: p\n---\n\n## a: A\n\n- scope: `a`\n- checks: unit\n{item}\n\nThe brief of it.\n"


@pytest.mark.parametrize(
    ("name", "text", "of_all", "expected"),
    [
        ("p.toml", TOML.format(item=""), "landed", "landed"),
        ("p.toml", TOML.format(item=""), "accepted", "accepted"),
        ("p.toml", TOML.format(item='start_on = "landed"'), "accepted", "landed"),
        ("p.toml", TOML.format(item='start_on = "accepted"'), "landed", "accepted"),
        ("p.md", MARKDOWN.format(item="- start_on: accepted"), "landed", "accepted"),
    ],
)
def test_who_says_when(tmp_path: Path, name: str, text: str, of_all: str, expected: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    plan, faults = read_plan(path, Known(checks=CHECKS, start_on=of_all))
    assert plan is not None, faults
    assert plan.items[0].spec.start_on == expected


def test_nothing_else_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(TOML.format(item='start_on = "reported"'))
    plan, faults = read_plan(path, Known(checks=CHECKS))
    assert plan is None and "`start_on`" in faults[0].text and "accepted" in faults[0].text
