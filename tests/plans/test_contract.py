"""Whether an item says enough, and not too much at once: warned of, or required."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ganger.core.model import Check
from ganger.core.patterns import PathRules
from ganger.plans.port import Contract, Known, Severity, read_plan

PATHS = [f"src/m{number}.py" for number in range(30)] + [f"docs/p{number}.md" for number in range(10)]
KNOWN = Known(
    checks={"unit": Check("unit", ("pytest",))}, contract=Contract.required, tracked_paths=lambda: list(PATHS)
)
BRIEF = 'brief = "Make it so, and say how."'
SAY = "(say in its `brief` what is to be done and how one sees that it is)"
NARROW = "(narrow the scope, make several items of it, or write large = true)"


def lines_of(tmp_path: Path, items: list[str], known: Known = KNOWN) -> list[str]:
    heads = (f'[[item]]\nid = "i{n}"\ntitle = "t"\n{fields}\n' for n, fields in enumerate(items))
    path = tmp_path / "p.toml"
    path.write_text('[plan]\nid = "p"\n' + "".join(heads))
    plan, faults = read_plan(path, known)
    assert (plan is None) == any(fault.severity is Severity.error for fault in faults)
    return [fault.text.removeprefix(f"{tmp_path}/") for fault in faults if "overlap" not in fault.text]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (f'{BRIEF}\nscope = ["docs/**"]\nchecks = ["unit"]', []),
        ('scope = ["docs/**"]\nchecks = ["unit"]', [f"p.toml:3: item `i0` needs clarification: no `brief` {SAY}"]),
        ('brief = " \\n "\nscope = ["docs/**"]\nchecks = ["unit"]', [
            f"p.toml:3: item `i0` needs clarification: no `brief` {SAY}",
        ]),
        ('brief = "Fix the login"\nscope = ["docs/**"]\nchecks = ["unit"]', [
            f"p.toml:3: item `i0` needs clarification: a `brief` of fewer than 5 words {SAY}",
        ]),
        (f'{BRIEF}\nscope = ["docs/**"]\nchecks = []', [
            "p.toml:3: item `i0` needs clarification: neither checks nor `acceptance` say when it is done "
            "(name a check, or say so in `acceptance`)",
        ]),
        (f'{BRIEF}\nscope = ["docs/**"]\nchecks = []\nacceptance = "It reads well."', []),
        ('scope = ["docs/**"]\nchecks = []\nhold = "draft"', []),
        (f'{BRIEF}\nscope = ["src/**"]\nchecks = ["unit"]', [
            f"p.toml:3: item `i0` is to be cut up: a scope that holds 30 of 40 tracked files {NARROW}",
        ]),
        (f'{BRIEF}\nscope = ["src/m1*.py", "**/*2*", "docs/**"]\nchecks = ["unit"]', [
            f"p.toml:3: item `i0` is to be cut up: a scope that holds 32 of 40 tracked files {NARROW}",
        ]),
        (f'{BRIEF}\nscope = ["src/m1*.py", "docs/p[1-9].md"]\nchecks = ["unit"]', []),
        (f'{BRIEF}\nscope = ["**"]\nlarge = true\nchecks = ["unit"]', []),
        (f'{BRIEF}\nscope = ["**"]\nlarge = false\nchecks = ["unit"]', [
            f"p.toml:3: item `i0` is to be cut up: a scope that holds 40 of 40 tracked files {NARROW}",
        ]),
    ],
)  # fmt: skip
def test_what_an_item_must_say(tmp_path: Path, fields: str, expected: list[str]) -> None:
    assert lines_of(tmp_path, [fields]) == expected


def test_names_that_are_the_same_count(tmp_path: Path) -> None:
    known = msgspec.structs.replace(KNOWN, rules=PathRules(fold_case=True))
    assert len(lines_of(tmp_path, [f'{BRIEF}\nscope = ["SRC/**"]\nchecks = ["unit"]'], known)) == 1


def test_small_repositories_have_no_large_scopes(tmp_path: Path) -> None:
    known = msgspec.structs.replace(KNOWN, tracked_paths=lambda: PATHS[:19])
    assert lines_of(tmp_path, [f'{BRIEF}\nscope = ["**"]\nchecks = ["unit"]'], known) == []


def test_advice_is_given_once_for_all_items(tmp_path: Path) -> None:
    silent, large = 'scope = ["docs/**"]\nchecks = ["unit"]', f'{BRIEF}\nscope = ["src/**"]\nchecks = ["unit"]'
    known = msgspec.structs.replace(KNOWN, contract=Contract.advised)
    assert lines_of(tmp_path, [silent, large, *[silent] * 9], known) == [
        "p.toml:3: warning: 10 items need clarification: no `brief`: "
        f"`i0`, `i2`, `i3`, `i4`, `i5`, `i6`, `i7`, `i8` and 2 more {SAY}",
        f"p.toml:8: warning: item `i1` is to be cut up: a scope that holds 30 of 40 tracked files {NARROW}",
    ]
    assert lines_of(tmp_path, [silent, large], msgspec.structs.replace(KNOWN, contract=Contract.off)) == []
