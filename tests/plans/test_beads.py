"""Plans from the tracker beads: what becomes of each kind of bead, and that nothing is dropped in silence."""

# ruff: noqa: E501 - a message is one line, in the table as on the screen
from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganger.core.ids import ItemId, PlanId, name_fault
from ganger.core.model import Check, Hold, Lane
from ganger.plans import beads_text
from ganger.plans.beads_ids import bead_id, item_id
from ganger.plans.port import Contract, Known, Plan, Severity, read_plan

UNIT, LINT = Check("unit", ("pytest",)), Check("lint", ("ruff",))
KNOWN = Known(
    checks={"unit": UNIT, "lint": LINT},
    default_checks=("unit", "lint"),
    agents=frozenset({"claude", "fixer"}),
    default_agent="fixer",
    lanes={"auth": Lane("auth", ("src/auth/**",))},
    other_items={ItemId("schema"): PlanId("base"), ItemId("bd-old"): PlanId("beads")},
    program_exists=lambda program: program != "gone",
)


def bead(name: str, /, *, blocks: str = "", parent: str = "", edges: str = "", **fields: Any) -> dict[str, Any]:
    """Write a bead as `bd export` does; its own directory is its scope unless labels are given."""
    edges_of = [(other, "blocks") for other in blocks.split()] + ([(parent, "parent-child")] if parent else [])
    edges_of += [tuple(one.rsplit("=", 1)) for one in edges.split()]  # type: ignore[misc]
    return {
        "id": name,
        "title": f"Do {name}",
        "description": "Do it as it was said.",
        "status": "open",
        "priority": 2,
        "issue_type": "task",
        "created_at": "2026-01-09T12:00:00Z",
        "labels": [f"scope:{name}/**"],
        "dependencies": [
            {"issue_id": name, "depends_on_id": other, "type": kind, "created_by": "me"} for other, kind in edges_of
        ],
    } | fields


def read(
    tmp_path: Path, beads: list[dict[str, Any] | str], known: Known = KNOWN, name: str = "issues.jsonl"
) -> tuple[Plan, list[str]]:
    path = tmp_path / name
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in beads))
    plan, faults = read_plan(path, known)
    assert plan is not None, faults
    assert all(fault.severity is Severity.warning and fault.text.isprintable() for fault in faults)
    left_out = [fault.text for fault in faults if ": left out: " in fault.text]
    shown = [line.removeprefix(f"{tmp_path}/").replace("warning: left out: ", "") for line in left_out]
    assert shown == [
        f"{where}: {why}" for where, why in sorted(plan.unreadable, key=lambda row: int(row[0].partition(":")[2]))
    ]
    return plan, [fault.message for fault in faults if ": left out: " not in fault.text]


def ids(plan: Plan) -> list[str]:
    return [item.spec.id for item in plan.items]


def after(plan: Plan) -> dict[str, list[str]]:
    return {item.spec.id: list(item.spec.after) for item in plan.items}


def rows(plan: Plan) -> list[str]:
    return [f"{where.removeprefix('issues.jsonl:')}: {why}" for where, why in plan.unreadable]


def test_a_bead_becomes_an_item(tmp_path: Path) -> None:
    one = bead(
        "bd-a3f8", title="  Log in\nwith a password ", priority=0, acceptance_criteria="It lets me in.\n", notes="Soon.",
        design="Use bcrypt.", external_ref="gh-9", labels=["urgent", "scope:src/auth/**", "scope:docs/a.md", "check:unit", "agent:claude", "kind:scout", "rung:in-scope", "mode:shared", "large"],
    )  # fmt: skip
    plan, warnings = read(tmp_path, [one])
    assert warnings == []
    assert (plan.id, plan.title, plan.unreadable, plan.still_open) == ("beads", "Beads", (), ("bd-a3f8",))
    spec = plan.items[0].spec
    assert (spec.id, spec.title, spec.scope) == ("bd-a3f8", "Log in with a password", ("src/auth/**", "docs/a.md"))
    assert (spec.checks, spec.agent, spec.kind, spec.priority) == ((UNIT,), "claude", "scout", 60)
    assert (spec.rung.label, spec.mode.value, spec.hold) == ("in-scope", "shared", None)
    assert plan.items[0].brief == (
        "Do it as it was said.\n\n## Design\n\nUse bcrypt.\n\n## Notes\n\nSoon.\n\n(Bead bd-a3f8, gh-9)\n\n"
        "Accepted when:\n\nIt lets me in."
    )


def test_what_a_bead_does_not_say_comes_from_the_configuration(tmp_path: Path) -> None:
    plan, _ = read(tmp_path, [bead("bd-1", labels=["lane:auth"], description=None)])
    spec = plan.items[0].spec
    assert (spec.lane, spec.scope, spec.checks, spec.agent) == ("auth", ("src/auth/**",), (UNIT, LINT), "fixer")
    assert (spec.priority, plan.items[0].brief) == (100, "")


def test_an_item_stays_itself_under_another_title_and_in_another_file(tmp_path: Path) -> None:
    one, two = bead("bd-1"), bead("bd-2", blocks="bd-1")
    before, _ = read(tmp_path, [one, two])
    renamed, _ = read(
        tmp_path, [two | {"updated_at": "2026-02-01T00:00:00Z"}, one | {"title": "Other"}], name="b.jsonl"
    )
    assert (renamed.id, sorted(ids(renamed)), after(renamed)) == (before.id, ids(before), after(before))
    assert read(tmp_path, [one, two], name="c.jsonl")[0].digest == before.digest != renamed.digest


@pytest.mark.parametrize(
    ("fields", "hold"),
    [
        ({"status": "open"}, None),
        ({"status": "in_progress"}, Hold("operator")),
        ({"status": "blocked"}, Hold("operator")),
        ({"status": "reviewing"}, Hold("operator")),
        ({"status": "deferred"}, Hold("operator")),
        ({"status": "deferred", "defer_until": "2026-12-01T00:00:00Z"}, Hold("until", 1_796_083_200_000)),
        ({"status": "open", "defer_until": "2026-12-01T02:00:00+02:00"}, Hold("until", 1_796_083_200_000)),
        ({"status": "in_progress", "defer_until": "2026-12-01T00:00:00Z"}, Hold("operator")),
    ],
)
def test_only_open_beads_are_offered(tmp_path: Path, fields: dict[str, Any], hold: Hold | None) -> None:
    plan, _ = read(tmp_path, [bead("bd-1", **fields)])
    assert (plan.items[0].spec.hold, plan.still_open) == (hold, ("bd-1",))


def test_closed_beads_are_no_items_and_count_as_met(tmp_path: Path) -> None:
    done = [bead("bd-1", status="closed", blocks="bd-9"), bead("bd-2", status="tombstone", labels=[])]
    plan, warnings = read(tmp_path, [*done, bead("bd-3", blocks="bd-1 bd-2")])
    assert (after(plan), plan.still_open, rows(plan)) == ({"bd-3": []}, ("bd-3",), [])
    assert warnings == [
        "bead `bd-3` waits for `bd-1`, which counts as met by the tracker's word only",
        "bead `bd-3` waits for `bd-2`, which counts as met by the tracker's word only",
    ]
    only_done, _ = read(tmp_path, list(done))
    assert (only_done.items, only_done.still_open) == ((), ())


def test_only_blocking_dependencies_order(tmp_path: Path) -> None:
    others = [bead(f"bd-{n}") for n in range(1, 5)]
    edges = "bd-1=related bd-2=discovered-from bd-3=waits-for bd-4=team-made"
    plan, _ = read(tmp_path, [*others, bead("bd-5", blocks="schema", edges=edges)])
    assert after(plan)["bd-5"] == ["schema", "bd-3"]


def test_epics_are_no_items_and_stand_for_what_is_below_them(tmp_path: Path) -> None:
    beads = [
        bead("bd-e", issue_type="epic", blocks="bd-0", labels=[]),
        bead("bd-e.1"),
        bead("bd-x", parent="bd-e"),
        bead("bd-y", parent="bd-e", status="closed"),
        bead("bd-x.1", blocks="bd-e.1"),
        bead("bd-last", blocks="bd-e"),
        bead("bd-0"),
        bead("bd-child", parent="bd-e", blocks="bd-e", status="open"),
    ]
    plan, warnings = read(tmp_path, list(beads))
    assert after(plan) == {
        "bd-e--1": ["bd-0"],
        "bd-x--1": ["bd-e--1", "bd-0"],
        "bd-last": ["bd-e--1", "bd-child", "bd-x--1"],
        "bd-0": [],
        "bd-child": ["bd-e--1", "bd-x--1", "bd-0"],
    }
    assert warnings == [
        "written otherwise here: `bd-e.1 → bd-e--1`, `bd-x.1 → bd-x--1`",
        "not made an item, others are below it: `bd-x`",
    ]
    assert plan.still_open == ("bd-e--1", "bd-x--1", "bd-last", "bd-0", "bd-child")


def test_a_container_that_waits_for_its_parts_stands_for_them(tmp_path: Path) -> None:
    """Many trackers hold no `parent-child`: the container waits for its parts by `blocks`."""
    outer, inner = (
        bead("bd-o", issue_type="epic", blocks="bd-i bd-1"),
        bead("bd-i", issue_type="epic", blocks="bd-2 bd-3"),
    )
    parts = [bead("bd-1"), bead("bd-2"), bead("bd-3", status="closed")]
    plan, _ = read(tmp_path, [outer, inner, *parts, bead("bd-last", blocks="bd-o"), bead("bd-2x", blocks="bd-i")])
    assert after(plan) == {"bd-1": [], "bd-2": [], "bd-last": ["bd-2", "bd-1"], "bd-2x": ["bd-2"]}
    loop = [bead("bd-o", issue_type="epic", blocks="bd-i"), bead("bd-i", issue_type="epic", blocks="bd-o")]
    plan, _ = read(tmp_path, [*loop, bead("bd-1", blocks="bd-o")])
    assert rows(plan) == [
        "3: bead `bd-1` waits for `bd-o`, which has no work below it (close it, or put beads below it)"
    ]
    chain = [bead(f"bd-e{n}", issue_type="epic", blocks=f"bd-e{n + 1}") for n in range(3_000)]
    plan, _ = read(tmp_path, [*chain, bead("bd-1", blocks="bd-e0")])
    assert (len(plan.unreadable), ids(plan)) == (1, [])


def test_what_is_above_binds_only_while_it_is_open(tmp_path: Path) -> None:
    closed = bead("bd-e", issue_type="epic", blocks="bd-0", status="closed")
    plan, _ = read(tmp_path, [closed, bead("bd-0"), bead("bd-1", parent="bd-e")])
    assert after(plan) == {"bd-0": [], "bd-1": []}


def test_hierarchies_of_hand_made_files_may_be_circular(tmp_path: Path) -> None:
    plan, warnings = read(
        tmp_path, [bead("bd-1", parent="bd-2"), bead("bd-2", parent="bd-1"), bead("bd-3", blocks="bd-2")]
    )
    assert (ids(plan), warnings) == ([], ["not made an item, others are below it: `bd-1`, `bd-2`"])
    assert rows(plan) == [
        "3: bead `bd-3` waits for `bd-2`, which has no work below it (close it, or put beads below it)"
    ]


def test_nobody_waits_for_more_than_five_hundred(tmp_path: Path) -> None:
    below = [bead(f"bd-{n}", parent="bd-e") for n in range(501)]
    plan, _ = read(tmp_path, [bead("bd-e", issue_type="epic"), *below, bead("bd-last", blocks="bd-e")])
    assert len(plan.items) == 501
    assert rows(plan) == [
        "503: bead `bd-last` waits for 501 others, the most is 500 (wait for fewer, or for the last of them)"
    ]


def test_a_finished_epic_counts_as_met_and_an_empty_one_cannot_be_waited_for(tmp_path: Path) -> None:
    epic, child = bead("bd-e", issue_type="epic"), bead("bd-c", parent="bd-e", status="closed")
    plan, warnings = read(tmp_path, [epic, child, bead("bd-1", blocks="bd-e")])
    assert after(plan) == {"bd-1": []}
    assert warnings == ["bead `bd-1` waits for `bd-e`, which counts as met by the tracker's word only"]
    plan, _ = read(tmp_path, [epic, bead("bd-1", blocks="bd-e")])
    assert rows(plan) == [
        "2: bead `bd-1` waits for `bd-e`, which has no work below it (close it, or put beads below it)"
    ]


ROWS = [
    ("{", "the line is no bead: Input data was truncated"),
    ("<<<<<<< HEAD", "the line is no bead: JSON is malformed: invalid character (byte 0)"),
    ("[1]", "the line is no bead: Expected `object`, got `array`"),
    ('{"title": "x"}', "the line is no bead: Object missing required field `id`"),
    (bead("bd-1", priority="high"), "the line is no bead: Expected `int`, got `str` - at `$.priority`"),
    (bead("bd-1", labels=[]), "bead `bd-1` has no scope (add a label scope:PATTERN or lane:NAME, or a line `Scope: PATTERN, …` to its description)"),
    (bead("bd-1", labels=[], description="Scope: the login page"), "bead `bd-1` has a scope that is no pattern: `the login page` (write patterns, in back-quotes)"),
    (bead("bd-1", labels=["scope:../x"]), "item `bd-1`: scope: pattern '../x': it has a segment '..'; write the path without it, relative to the repository"),
    (bead("bd-1", labels=["lane:atuh"]), "item `bd-1`: there is no lane `atuh` in ganger.toml (did you mean `auth`?)"),
    (bead("bd-1", labels=["lane:auth", "lane:docs"]), "bead `bd-1` has two labels that begin with `lane:` (take one out)"),
    (bead("bd-1", labels=["lane:auth", "scope:docs/**"]), "item `bd-1`: scope `docs/**` reaches out of the lane `auth` (its paths are `src/auth/**`)"),
    (bead("bd-1", labels=["scope:x", "check:rm -rf x"]), "item `bd-1`: there is no check `rm -rf x` in ganger.toml (known: `unit`, `lint`)"),
    (bead("bd-1", labels=["scope:x", "agent:nobody"]), "item `bd-1`: there is no agent `nobody` in ganger.toml (known: `claude`, `fixer`)"),
    (bead("bd-1", title=" "), "item `bd-1`: `title` is empty"),
    (bead("bd-1", description="a\0b"), "item `bd-1`: `brief` holds a NUL character, which cannot be handed to a program"),
    (bead("-x"), "item `-x`: `id` `-x` may hold only letters, digits, `_` and `-`, and begins with a letter or digit"),
    (bead("schema"), "item id `schema` is used by the plan `base`"),
    (bead("bd-1", blocks="bd-9"), "bead `bd-1` waits for `bd-9`, which is not in the file (export it too, or take it out)"),
    (bead("bd-1", blocks="bd-old"), "bead `bd-1` waits for `bd-old`, which is not in the file (export it too, or take it out)"),
    (bead("bd-1", edges="bd-0=conditional-blocks"), "bead `bd-1` waits for `bd-0` by `conditional-blocks` (only a person can)"),
    (bead("bd-1", blocks="bd-g"), "bead `bd-1` waits for `bd-g`, which is of the kind `gate` (only a person can)"),
    (bead("bd-1", blocks="bd-1"), "item `bd-1` waits for itself in a cycle of `bd-1` (take one dependency out)"),
    (bead("bd-1", defer_until="2026-12-01T00:00:00"), "item `bd-1`: `hold` `until` must be a date and time with its offset (write { until = 2026-12-01T00:00:00Z })"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), ROWS, ids=[expected for _, expected in ROWS])
def test_what_cannot_be_an_item_is_a_row_and_the_rest_works(
    tmp_path: Path, line: dict[str, Any] | str, expected: str
) -> None:
    plan, _ = read(tmp_path, [bead("bd-0"), line, bead("bd-g", issue_type="gate", labels=[])])
    assert rows(plan) == [f"2: {expected}"]
    assert ids(plan) == ["bd-0"]


def test_what_waits_for_a_row_is_a_row_too(tmp_path: Path) -> None:
    chain = [bead("bd-1", title=""), bead("bd-2", blocks="bd-1"), bead("bd-3", blocks="bd-2"), bead("bd-4")]
    plan, _ = read(tmp_path, list(chain))
    assert ids(plan) == ["bd-4"]
    assert rows(plan) == [
        "1: item `bd-1`: `title` is empty",
        "2: item `bd-2` waits for `bd-1`, which was left out",
        "3: item `bd-3` waits for `bd-2`, which was left out",
    ]


def test_cycles_are_rows_and_so_is_what_waits_for_them(tmp_path: Path) -> None:
    beads = [bead("bd-1", blocks="bd-2"), bead("bd-2", blocks="bd-1"), bead("bd-3", blocks="bd-2"), bead("bd-4")]
    plan, _ = read(tmp_path, list(beads))
    assert ids(plan) == ["bd-4"]
    assert rows(plan) == [
        "1: item `bd-1` waits for itself in a cycle of `bd-1`, `bd-2` (take one dependency out)",
        "2: item `bd-2` waits for itself in a cycle of `bd-1`, `bd-2` (take one dependency out)",
        "3: item `bd-3` waits for `bd-2`, which was left out",
    ]


def test_two_beads_of_one_id_are_both_rows(tmp_path: Path) -> None:
    beads: list[dict[str, Any] | str] = [
        "<<<<<<< ours",
        bead("bd-1"),
        "=======",
        bead("bd-1", title="Other"),
        ">>>>>>> theirs",
        bead("bd-2"),
    ]
    plan, _ = read(tmp_path, beads)
    assert ids(plan) == ["bd-2"]
    assert [row for row in rows(plan) if "no bead" not in row] == [
        "2: item id `bd-1` is used more than once: lines 2, 4",
        "4: item id `bd-1` is used more than once: lines 2, 4",
    ]
    assert len(plan.unreadable) == 5


def test_what_holds_no_work_is_told_of_once(tmp_path: Path) -> None:
    beads = [
        bead("bd-1"),
        bead("m-1", issue_type="message"),
        bead("t-1", is_template=True),
        {"_type": "memory", "id": "k"},
    ]
    plan, warnings = read(tmp_path, list(beads))
    assert (ids(plan), rows(plan)) == (["bd-1"], [])
    assert warnings == ["not made an item, it holds no work: `m-1`, `t-1`, `k`"]


def test_every_item_whose_check_cannot_start_is_a_row(tmp_path: Path) -> None:
    known = msgspec.structs.replace(KNOWN, checks={**KNOWN.checks, "types": Check("types", ("gone",))})
    labels = ["scope:x", "check:types"]
    plan, _ = read(tmp_path, [bead("bd-1", labels=labels), bead("bd-2", labels=labels), bead("bd-3")], known)
    assert ids(plan) == ["bd-3"]
    assert len(plan.unreadable) == 2


def test_without_checks_nothing_can_be_an_item(tmp_path: Path) -> None:
    plan, _ = read(tmp_path, [bead("bd-1")], Known())
    assert rows(plan) == [
        '1: item `bd-1` has no checks (write checks = [{ run = "…" }], or checks = [] to accept its work without any)'
    ]


def test_a_required_contract_leaves_out_what_does_not_keep_it(tmp_path: Path) -> None:
    known = msgspec.structs.replace(KNOWN, contract=Contract.required)
    plan, _ = read(tmp_path, [bead("bd-1", description=""), bead("bd-2"), bead("bd-3", blocks="bd-1")], known)
    assert ids(plan) == ["bd-2"]
    assert rows(plan) == [
        "1: item `bd-1` needs clarification: no `brief` (say in its `brief` what is to be done and how one sees that it is)",
        "3: item `bd-3` waits for `bd-1`, which was left out",
    ]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"{}\n{}", b"\xff\xfe\n", b"x" * 100])
def test_a_file_without_any_bead_is_an_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_bytes(data)
    plan, faults = read_plan(path, KNOWN)
    assert plan is None
    assert [fault.text for fault in faults if fault.severity is Severity.error] == [
        f"{path}: holds no beads (write it with bd export)"
    ]


def test_rows_without_end_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_text(json.dumps(bead("bd-1")) + "\n" + "x\n" * 1_500)
    plan, faults = read_plan(path, KNOWN)
    assert plan is not None
    assert (len(plan.unreadable), len(faults)) == (1_001, 1_000)
    assert plan.unreadable[-1] == ("issues.jsonl", "500 more could not be made items")


@pytest.mark.parametrize(
    ("text", "scope", "lane"),
    [
        ("Scope: src/auth/**, tests/{a,b}/**", ["src/auth/**", "tests/{a,b}/**"], []),
        ("**Scope:** `src/a.py` and the tests, `tests/a b.py`", ["src/a.py", "tests/a b.py"], []),
        ("**Scope**: src/a.py\n\nlane: auth", ["src/a.py"], ["auth"]),
        ("- scope: src/a.py", ["src/a.py"], []),
        ("Scope:\n- src/a.py\n- `src/b.py` for the rest\n\n- not this", ["src/a.py", "src/b.py"], []),
        ("Text.\n\n## Scope\n\n- src/a.py\n\n## Other\n- x", ["src/a.py"], []),
        ("### Scope:\n`a`, `b`\nmore", ["a", "b"], []),
        ("## Scope\n\n## Lane\nauth", [], ["auth"]),
        ("```yaml\nscope: global\n```\nScope: a", ["a"], []),
        ("The scope: is wide. Telescope: x", [], []),
        ("Scope:", [], []),
        ("", [], []),
    ],
)
def test_scopes_in_texts(text: str, scope: list[str], lane: list[str]) -> None:
    assert (beads_text.said(text, "scope"), beads_text.said(text, "lane")) == (scope, lane)


@pytest.mark.parametrize(
    ("bead_name", "item_name"),
    [
        ("bd-a3f8", "bd-a3f8"),
        ("my_app-1", "my_app-1"),
        ("bd-a3f8.1.2", "bd-a3f8--1--2"),
        ("bd--1", "bd_x2d-1"),
        ("a-.b", "a_x2d--b"),
        ("a_xb", "a_x5fxb"),
        ("a b/é", "a_x20b_x2f_xc3_xa9"),
        ("q7", "q_x37"),
    ],
)
def test_ids(bead_name: str, item_name: str) -> None:
    assert (item_id(bead_name), bead_id(item_name)) == (item_name, bead_name)


@settings(max_examples=2_000, deadline=None, database=None, derandomize=True)
@given(st.one_of(st.text("ab.-_x2d/q7", max_size=8), st.text(max_size=4)))
@example("q12")
def test_no_two_beads_share_an_item(name: str) -> None:
    assert bead_id(item_id(name)) == name
    if name and re.fullmatch(r"[A-Za-z0-9]", name[0]) and len(item_id(name)) <= 64:
        assert name_fault(item_id(name)) == ""


LINES = [json.dumps(bead("bd-1", blocks="bd-2")), json.dumps(bead("bd-2", parent="bd-3")), json.dumps(bead("bd-3"))]
NASTY = st.sampled_from(
    [b"\xff", b"\x00", b"\\ud800", b"\\u0000", b'"', b"{", b"[" * 3000, b"null", b"1e999", b"9" * 400, b"\n", b"\r", b"bd-1",
     b"\\u202e", b"epic", b"closed", b"`", b"Scope:", b"scope:", b"-", b".", b"}\n{", b"true", "ÿ".encode(), b"2026-12-01T00:00:00Z"]
)  # fmt: skip


@st.composite
def _mangled(draw: st.DrawFn) -> bytes:
    data = "\n".join(LINES).encode()
    for _ in range(draw(st.integers(1, 6))):
        begin = draw(st.integers(0, len(data)))
        end = draw(st.integers(begin, min(len(data), begin + 12)))
        data = data[:begin] + draw(NASTY) + data[end:]
    return data


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(st.one_of(st.binary(max_size=200), _mangled()))
@example(b'{"id": "a", "labels": ["scope:x"], "title": "\\ud800"}')
@example(b'{"id": "\\ud800", "labels": ["scope:x"], "title": "t"}')
@example(b"[" * 100_000)
def test_any_bytes_are_read(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "issues.jsonl"
        path.write_bytes(data)
        plan, faults = read_plan(path, msgspec.structs.replace(KNOWN, tracked_paths=lambda: ["a/b"]))
        assert (plan is None) == any(fault.severity is Severity.error for fault in faults)
        assert all(fault.text.isprintable() and len(fault.text) < 700 for fault in faults)
        assert all(0 <= fault.line <= data.count(b"\n") + 1 for fault in faults)
        if plan is not None:
            msgspec.json.encode(plan)
            named = {item.spec.id for item in plan.items}
            assert all(one in named or one == "schema" for item in plan.items for one in item.spec.after)


def chains(count: int) -> list[dict[str, Any]]:
    return [bead(f"bd-{n}", blocks=f"bd-{n - 1}" if n else "") for n in range(count)]


def nested(count: int) -> list[dict[str, Any]]:
    return [bead(f"bd-{n}", parent=f"bd-{n - 1}" if n else "", blocks="bd-0") for n in range(count)]


def cycles(count: int) -> list[dict[str, Any]]:
    return [bead(f"bd-{n}", blocks=f"bd-{n ^ 1}") for n in range(count)]


def epics(count: int) -> list[dict[str, Any]]:
    below = [bead(f"bd-e.{n}") for n in range(count)]
    return [bead("bd-e", issue_type="epic"), *below, *(bead(f"bd-{n}", blocks="bd-e") for n in range(count))]


@pytest.mark.parametrize("shape", [chains, nested, cycles, epics])
def test_large_trackers_are_read_soon(tmp_path: Path, shape: Callable[[int], list[dict[str, Any]]]) -> None:
    path = tmp_path / "issues.jsonl"
    path.write_text("\n".join(map(json.dumps, shape(1_500))))
    began = time.process_time()
    plan, _ = read_plan(path, KNOWN)
    print(f"\n{shape.__name__}: {time.process_time() - began:.1f} s")
    assert plan is not None
    assert time.process_time() - began < 20
