"""A plan, or an item, that is meant for one branch is refused by a fleet that lands on another."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganger.core.model import Check
from ganger.plans.port import Known, read_plan

KNOWN = Known(checks={"unit": Check("unit", ("pytest",))}, target="main")
HINT = "(a fleet has one target: say --target, or give that branch a fleet of its own with --state-dir)"
TOML = '[plan]\nid = "p"\n{head}\n[[item]]\nid = "a"\ntitle = "A"\nscope = ["a"]\nchecks = ["unit"]\n{item}\n'
MARKDOWN = "---\nid: p\n{head}\n---\n\n## a: A\n\n- scope: `a`\n- checks: unit\n{item}\n\nThe brief of it.\n"
OTHER = f"`target` is `release`, and this fleet lands on `main` {HINT}"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.toml", TOML.format(head='target = "main"', item='target = "main"'), []),
        ("p.toml", TOML.format(head='target = "release"', item=""), [f"p.toml:3: plan: {OTHER}"]),
        ("p.toml", TOML.format(head="", item='target = "release"'), [f"p.toml:9: item `a`: {OTHER}"]),
        ("p.md", MARKDOWN.format(head="target: main", item="- target: main"), []),
        ("p.md", MARKDOWN.format(head="target: release", item=""), [f"p.md:3: plan: {OTHER}"]),
        ("p.md", MARKDOWN.format(head="", item="- target: release"), [f"p.md:10: item `a`: {OTHER}"]),
    ],
)
def test_which_branch_it_is_for(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    path = tmp_path / name
    path.write_text(text)
    plan, faults = read_plan(path, KNOWN)
    assert [fault.text.removeprefix(f"{tmp_path}/") for fault in faults] == expected
    assert (plan is None) == bool(expected)


def test_whoever_knows_no_target_takes_any(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(TOML.format(head='target = "release"', item=""))
    plan, faults = read_plan(path, Known(checks=KNOWN.checks))
    assert plan is not None
    assert not faults
