"""Faults between items: cycles, overlapping scopes, scopes that match nothing; and that big plans stay fast."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ganger.core.patterns import PathRules
from ganger.plans.port import Fault, Known, Severity, read_plan


def item(name: str, scope: Iterable[str], after: Iterable[str] = (), more: str = "") -> str:
    lists = f"scope = {list(scope)}\nafter = {list(after)}".replace("'", '"')
    return f'[[item]]\nid = "{name}"\ntitle = "t"\nchecks = []\n{lists}\n{more}\n'


def faults_of(tmp_path: Path, items: Iterable[str], known: Known = Known()) -> tuple[Fault, ...]:  # noqa: B008
    path = tmp_path / "p.toml"
    path.write_text('[plan]\nid = "p"\n' + "".join(items))
    return read_plan(path, known)[1]


def messages(faults: Iterable[Fault]) -> list[str]:
    return [fault.message for fault in faults]


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ({"a": "b", "b": "c", "c": ""}, []),
        ({"a": "b", "b": "a"}, ["2 items wait for each other in a cycle: `a` waits for `b` waits for `a`"]),
        (
            {"x": "b", "a": "b", "b": "c", "c": "d", "d": "b", "z": "x"},
            ["3 items wait for each other in a cycle: `b` waits for `c` waits for `d` waits for `b`"],
        ),
        (
            {"a": "ab", "b": "", "c": "da", "d": "c"},
            ["item `a` waits for itself", "2 items wait for each other in a cycle: `c` waits for `d` waits for `c`"],
        ),
        (
            {"a": "bc", "b": "a", "c": "a"},
            [
                "2 items wait for each other in a cycle: `a` waits for `b` waits for `a`",
                "2 items wait for each other in a cycle: `a` waits for `c` waits for `a`",
            ],
        ),
    ],
)
def test_cycles_name_their_members_in_order(tmp_path: Path, edges: dict[str, str], expected: list[str]) -> None:
    faults = faults_of(tmp_path, (item(name, [f"{name}/**"], after) for name, after in edges.items()))
    assert messages(faults) == expected
    assert all(fault.severity is Severity.error for fault in faults)


def test_a_long_cycle_is_cut(tmp_path: Path) -> None:
    names = [f"i{number}" for number in range(1000)]
    faults = faults_of(tmp_path, (item(n, [n], [names[at - 1]]) for at, n in enumerate(names)))
    (fault,) = faults
    assert fault.message.startswith("1000 items wait for each other in a cycle: `i0` waits for `i999` waits for `i998`")
    assert fault.message.endswith(" and so on to `i0`")
    assert len(fault.message) < 400
    assert fault.line == 8


def test_overlaps_are_warned_of_unless_ordered(tmp_path: Path) -> None:
    faults = faults_of(
        tmp_path,
        [
            item("a", ["src/auth/**"]),
            item("b", ["docs/**", "src/*/login.py"]),
            item("c", ["src/auth/x.py"], ["a"]),
            item("d", ["src/auth/x.py"], ["c"]),
            item("e", ["lib/auth/**"]),
            item("f", ["web/**"], ["h"]),
            item("g", ["../x", "docs/**"]),
            item("h", ["web/x"]),
        ],
    )
    assert [fault.text.partition(": ")[2] for fault in faults if fault.severity is Severity.warning] == [
        "warning: items `a` and `b` overlap in `src/auth/**` and `src/*/login.py`: one will wait for the other "
        "(order them with `after`, or narrow a scope)"
    ]
    assert faults[0].line == 14


def test_shared_scopes_do_not_wait_for_each_other(tmp_path: Path) -> None:
    shared = 'mode = "shared"'
    items = [item("a", ["x"], more=shared), item("b", ["x"], more=shared), item("c", ["x"])]
    assert [message[:18] for message in messages(faults_of(tmp_path, items))] == [
        "items `a` and `c` ",
        "items `b` and `c` ",
    ]


def test_overlaps_follow_the_names_of_the_file_system(tmp_path: Path) -> None:
    items = [item("a", ["SRC/x"]), item("b", ["src/X"])]
    assert faults_of(tmp_path, items) == ()
    assert len(faults_of(tmp_path, items, Known(rules=PathRules(fold_case=True)))) == 1


def test_at_most_twenty_overlaps_are_listed(tmp_path: Path) -> None:
    faults = faults_of(tmp_path, (item(f"i{n}", ["**"]) for n in range(10)))
    assert len(faults) == 21
    assert faults[-1].message == "and 25 more pairs of items with overlapping scopes"


def test_scopes_that_match_nothing(tmp_path: Path) -> None:
    tree = ["src/auth/login.py", "src/a.py", "README.md", "src/auth/Übung.txt"]
    items = [item("a", ["src/auth/**", "src/auht/**", "*.md", "**/*.rs", "src/auth/login.p?", "src/auth", "src/a.py"])]
    faults = faults_of(tmp_path, items, Known(tracked_paths=lambda: tree))
    assert messages(faults) == [
        "item `a`: scope `src/auht/**` matches no tracked file",
        "item `a`: scope `**/*.rs` matches no tracked file",
        "item `a`: scope `src/auth` matches no tracked file",
    ]
    assert {fault.severity for fault in faults} == {Severity.warning}
    folding = Known(tracked_paths=lambda: tree, rules=PathRules(fold_case=True))
    assert faults_of(tmp_path, [item("a", ["SRC/AUTH/üBUNG.txt"])], folding) == ()
    many = faults_of(tmp_path, [item("a", [f"none{n}/**" for n in range(30)])], Known(tracked_paths=lambda: tree))
    assert len(many) == 21
    assert many[-1].message == "and 10 more scopes that match no tracked file"


SHAPES = {
    "apart": lambda n: item(f"i{n}", [f"src/mod{n}/**", f"tests/mod{n}/test_*.py"], [f"i{n - 1}"] if n % 10 else []),
    "all in one chain": lambda n: item(f"i{n}", ["**"], [f"i{n - 1}"] if n else []),
    "all overlapping": lambda n: item(f"i{n}", ["src/**"]),
    "half of them by suffix": lambda n: item(f"i{n}", [f"src/mod{n}/**" if n % 2 else f"**/mod{n}.py"]),
    "nothing named": lambda n: item(f"i{n}", [f"m{n}/**"], [f"nobody{n}"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_thousand_items(tmp_path: Path, shape: str) -> None:
    paths = [f"src/mod{number}/file{part}.py" for number in range(10_000) for part in range(3)]
    texts = [SHAPES[shape](number) for number in range(10_000)]
    began = time.process_time()
    faults = faults_of(tmp_path, texts, Known(tracked_paths=lambda: paths))
    took_s = time.process_time() - began
    print(f"\n{shape}: {took_s:.1f} s, {len(faults)} faults")
    # A quadratic comparison takes minutes; the bound leaves room for a slow machine.
    assert took_s < 40


def test_too_many_items(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, (item(f"i{n}", ["x"]) for n in range(20_001)))
    assert fault.message == "the plan has 20,001 items, the most is 20,000"
