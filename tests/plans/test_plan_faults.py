"""Everything that can be wrong in a plan: each with its line, its exact words and a way forward, all at once."""

# ruff: noqa: E501 - a message is one line, in the table as on the screen
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Budget, Check, Lane
from ganger.core.patterns import PathRules
from ganger.plans.port import PLAN_BYTES_MAX, Fault, Known, Severity, read_plan

KNOWN = Known(
    checks={"unit": Check("unit", ("pytest",)), "lint": Check("lint", ("ruff",))},
    agents=frozenset({"claude", "fixer"}),
    default_checks=("unit",),
    other_items={ItemId("taken"): PlanId("base"), ItemId("mine"): PlanId("p")},
    lanes={"auth": Lane("auth", ("src/auth/**", "tests/{auth,a/b}/**"))},
    fleet_budget=Budget(2_500_000, 1_000),
    program_exists=lambda program: program not in ("mypi", "CI=1"),
)
HEAD = '[plan]\nid = "p"\n[[item]]\n'
ITEM = 'id = "a"\ntitle = "t"\nscope = ["a/**"]\nchecks = []\n'


def faults_of(tmp_path: Path, text: str | bytes, known: Known = KNOWN, name: str = "p.toml") -> tuple[Fault, ...]:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    plan, faults = read_plan(path, known)
    assert (plan is None) == any(fault.severity is Severity.error for fault in faults)
    assert all(fault.path == str(path) and fault.text.isprintable() for fault in faults)
    return faults


def lines_of(tmp_path: Path, text: str | bytes, known: Known = KNOWN, name: str = "p.toml") -> list[str]:
    return [fault.text.removeprefix(str(tmp_path) + "/") for fault in faults_of(tmp_path, text, known, name)]


def with_field(line: str, item: str = ITEM) -> str:
    """Write the item with one line instead of the line of the same key, or behind them."""
    key = line.partition(" =")[0]
    kept = [one for one in item.splitlines() if one.partition(" =")[0] != key]
    return HEAD + "\n".join([*kept, line]) + "\n"


LONG = "x" * 4000
ONE_FAULT = [
    ('ttle = "x"', "p.toml:8: item `a`: unknown field `ttle` (did you mean `title`?)"),
    ("zzz = 1", "p.toml:8: item `a`: unknown field `zzz` (known: `id`, `title`, `brief`, `acceptance`, "
     "`not_in_scope`, `scope`, `lane`, `large`, `after`, `checks`, `kind`, `agent`, `priority`, `hold`, `rung`, `mode`, `budget`, `target`, `witness`, `tests` and 2 more)"),
    ("title = 3", "p.toml:7: item `a`: `title` must be text in quotes, not a number"),
    ('title = "a\\nb"', "p.toml:7: item `a`: `title` holds the control character U+000A (a title is one line of plain text)"),
    ("brief = []", "p.toml:8: item `a`: `brief` must be text in quotes, not a list"),
    ('brief = "\\u0000"', "p.toml:8: item `a`: `brief` holds a NUL character, which cannot be handed to a program"),
    ('scope = "a/**"', "p.toml:7: item `a`: `scope` must be a list, not text (write it as [\"…\"])"),
    ("scope = [1]", "p.toml:7: item `a`: `scope` must hold only texts; number 1 is a number"),
    ("scope = []", "p.toml:7: item `a`: `scope` is empty, so no change could be accepted "
     '(name the files it may change, as in scope = ["src/auth/**"]; ["**"] is everything)'),
    ('after = ["b"]', "p.toml:8: item `a`: after: no item `b`"),
    ('after = ["takn"]', "p.toml:8: item `a`: after: no item `takn` (did you mean `taken`?)"),
    ('after = ["mine"]', "p.toml:8: item `a`: after: no item `mine`"),
    ('after = ["a"]', "p.toml:8: item `a` waits for itself (take one `after` out)"),
    ('checks = "unit"', 'p.toml:7: item `a`: `checks` must be a list (as in ["unit", { run = "mypy src", timeout = "3m" }])'),
    ('checks = ["untit"]', "p.toml:7: item `a`: there is no check `untit` in ganger.toml (did you mean `unit`?)"),
    ('checks = ["zzz"]', "p.toml:7: item `a`: there is no check `zzz` in ganger.toml (known: `unit`, `lint`)"),
    ('checks = ["unit", "unit"]', "p.toml:7: item `a`: the check `unit` is listed twice"),
    ("checks = [1]", "p.toml:7: item `a`: checks: `1` is neither a name nor a table"),
    ("checks = [{}]", 'p.toml:7: item `a`: checks has no `run` (as in { run = "mypy src" })'),
    ('checks = [{ run = "mypi x" }]', "p.toml:7: item `a`: check `mypi`: there is no program `mypi` "
     "(install it, or correct the command)"),
    ('checks = [{ run = "CI=1 x" }]', "p.toml:7: item `a`: check `CI-1`: there is no program `CI=1` "
     "(no shell runs it: write env NAME=value …)"),
    ('checks = [{ run = "a && b" }]', "p.toml:7: item `a`: checks: `run` holds `&&`, but no shell runs it "
     "(put it into a script, or write sh -c '…')"),
    ('checks = [{ run = "a", timeout = "3" }]', "p.toml:7: item `a`: checks: `timeout` is no duration: `3` "
     '(write "3s" for seconds; units are ms, s, m, h, d)'),
    ('checks = [{ run = "a", timeot = "3s" }]', "p.toml:7: item `a`: checks: unknown field `timeot` (did you mean `timeout`?)"),
    ('checks = [{ run = "a", name = "a b" }]', "p.toml:7: item `a`: checks: `name` `a b` may hold only letters, digits, "
     "`_` and `-`, and begins with a letter or digit"),
    ('kind = "../x"', "p.toml:8: item `a`: `kind` `../x` may hold only letters, digits, `_` and `-`, "
     "and begins with a letter or digit"),
    ('agent = "claud"', "p.toml:8: item `a`: there is no agent `claud` in ganger.toml (did you mean `claude`?)"),
    ("agent = 1", "p.toml:8: item `a`: `agent` must be text in quotes, not a number"),
    ("priority = 1.5", "p.toml:8: item `a`: `priority` must be a whole number, not a number"),
    ("priority = true", "p.toml:8: item `a`: `priority` must be a whole number, not true or false"),
    (f"priority = 0x{'f' * 5000}", "p.toml:8: item `a`: `priority` is `a very long number`, must be -1,000,000 to 1,000,000"),
    ('hold = "darft"', "p.toml:8: item `a`: `hold` cannot be `darft` (did you mean `draft`?)"),
    ("hold = { until = 2026-12-01T00:00:00 }", "p.toml:8: item `a`: `hold` `until` must be a date and time with its offset "
     "(write { until = 2026-12-01T00:00:00Z })"),
    ('hold = { untill = "x" }', "p.toml:8: item `a`: `hold` cannot be a table with `untill` "
     "(write { until = 2026-12-01T00:00:00Z })"),
    ('rung = "chekced"', "p.toml:8: item `a`: `rung` cannot be `chekced` (did you mean `checked`?)"),
    ('rung = "landed"', "p.toml:8: item `a`: `rung` cannot be `landed` (one of `committed`, `in-scope`, `checked`, `witnessed`)"),
    ('rung = "reviewed"', "p.toml:8: item `a`: `rung` `reviewed` is not in force in this version of ganger "
     "(the highest is `witnessed`)"),
    ('mode = "exclusiv"', "p.toml:8: item `a`: `mode` cannot be `exclusiv` (did you mean `exclusive`?)"),
    ("budget = 3", 'p.toml:8: item `a`: `budget` must be a table, not `3` (as in { attempts_max = 3, wall_max = "45m" })'),
    ("budget = { attempts_max = 0 }", "p.toml:8: item `a`: budget: `attempts_max` is `0`, must be 1 to 100"),
    ("budget = { wall_max = 45 }", "p.toml:8: item `a`: budget: `wall_max` is `45` without a unit "
     '(as in "90s", "10m", "1h30m"; units are ms, s, m, h, d)'),
    ('budget = { silence_mx = "9s" }', "p.toml:8: item `a`: budget: unknown field `budget.silence_mx` "
     "(did you mean `silence_max`?)"),
    ("budget = { usd_max = true }", "p.toml:8: item `a`: budget: `usd_max` must be an amount in US dollars, not true or false "
     "(as in 20 or 2.5)"),
    ("budget = { usd_max = 3 }", "p.toml:8: warning: item `a`: budget: `usd_max` (3) has no effect: `budget.usd_max` (2.5) is reached "
     "first (lower it, or raise the other in ganger.toml)"),
    ("budget = { tokens_max = 2000 }", "p.toml:8: warning: item `a`: budget: `tokens_max` (2,000) has no effect: `budget.tokens_max` "
     "(1,000) is reached first (lower it, or raise the other in ganger.toml)"),
    ('lane = "atuh"', "p.toml:8: item `a`: there is no lane `atuh` in ganger.toml (did you mean `auth`?)"),
    ('lane = "zzz"', "p.toml:8: item `a`: there is no lane `zzz` in ganger.toml (known: `auth`)"),
    ('lane = "auth"', "p.toml:6: item `a`: scope `a/**` reaches out of the lane `auth` (its paths are `src/auth/**`, `tests/{auth,a/b}/**`)"),
    ("lane = 3", "p.toml:8: item `a`: `lane` must be text in quotes, not a number"),
    ("large = 1", "p.toml:8: item `a`: `large` must be true or false, not a number"),
    ("acceptance = 1", "p.toml:8: item `a`: `acceptance` must be text in quotes, not a number"),
    ("acceptance = []", "p.toml:8: item `a`: `acceptance` is empty"),
    ('not_in_scope = ["a", 1]', "p.toml:8: item `a`: `not_in_scope` must hold only texts; number 2 is a number"),
    ("witness = 1", "p.toml:8: item `a`: `witness` must be true or false, not a number"),
    ('tests = "gone"', "p.toml:8: item `a`: `tests` cannot be `gone` (one of `kept`, `may_change`)"),
    ('changes = "wrds"', "p.toml:8: item `a`: `changes` cannot be `wrds` (did you mean `words`?)"),
    ("review = { quorum = 2 }", "p.toml:8: item `a`: `review` is not in force in this version of ganger "
     "(take it out: nothing would act on it)"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), ONE_FAULT, ids=[line for line, _ in ONE_FAULT])
def test_one_field(tmp_path: Path, line: str, expected: str) -> None:
    assert lines_of(tmp_path, with_field(line)) == [expected]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("$(reboot)", "`$(reboot)` may hold only"),
        ("a; rm -rf ~", "`a; rm -rf ~` may hold only"),
        ("--force", "`--force` may hold only"),
        ("a\\nb", "`a\\nb` may hold only"),
        ("\\u001b]0;x\\u0007", "`\\x1b]0;x\\x07` may hold only"),
        ("../a", "`../a` may hold only"),
        (LONG, f"`{'x' * 39}…` has 4000 characters, the most is 64"),
        ("q7", "`q7` looks like a question's id"),
        ("é", "`é` may hold only"),
    ],
)
def test_hostile_ids(tmp_path: Path, raw: str, shown: str) -> None:
    (line,) = lines_of(tmp_path, HEAD + ITEM.replace('"a"', f'"{raw}"'))
    assert line.startswith("p.toml:4: item ")
    assert f": `id` {shown}" in line
    assert len(line) < 260


@pytest.mark.parametrize("pattern", ["../x", "/etc//passwd", "a/../b", "~/x", "a**b", "", "[a", "x\\u0000"])
def test_scopes_that_escape_or_cannot_be_read(tmp_path: Path, pattern: str) -> None:
    (line,) = lines_of(tmp_path, with_field(f'scope = [\n  "ok",\n  "{pattern}",\n]'))
    assert line.startswith("p.toml:9: item `a`: scope: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"\xff\xfe", ["p.toml: is not UTF-8: byte 0xff on line 1"]),
        (b"[plan]\nid = '\xc3('\n", ["p.toml: is not UTF-8: byte 0xc3 on line 2"]),
        ("[plan]\nid = \n", ["p.toml:2: is not TOML: Invalid value"]),
        ("[plan]\nid = 'p", ["p.toml:2: is not TOML: Expected \"'\""]),
        ("a = " + "[" * 100_000, ["p.toml: is nested too deeply"]),
        ("a = " + "1" * 5000, None),
        ("", ["p.toml:1: plan has no `id` (as in id = \"auth\")", "p.toml:1: the plan has no items"]),
        ('plan = 1\nitem = 2\n', [
            "p.toml:1: `plan` must be a table (write [plan] on a line of its own)",
            "p.toml:1: plan has no `id` (as in id = \"auth\")",
            "p.toml:1: the plan has no items",
            "p.toml:2: `item` must be a list of tables (write [[item]] with two brackets)",
        ]),
        ('[plan]\nid = "p"\n[item]\nid = "a"\n', [
            "p.toml:1: the plan has no items",
            "p.toml:3: `item` must be a list of tables (write [[item]] with two brackets)",
        ]),
        ('item = [1]\n[plan]\nid = "p"\n[[items]]\n', [
            "p.toml:1: item 1 must be a table (write [[item]])",
            "p.toml:2: the plan has no items",
            "p.toml:4: unknown field `items` beside [plan] and [[item]] (did you mean `item`?)",
        ]),
        ('[plan]\nid = "p"\nowner = "me"\nchecks = ["x"]\n[[item]]\nid = "a"\ntitle = "t"\nscope = ["a"]\n', [
            "p.toml:3: plan: unknown field `owner` (known: `id`, `title`, `checks`, `target`)",
            "p.toml:4: plan: there is no check `x` in ganger.toml (known: `unit`, `lint`)",
        ]),
    ],
)  # fmt: skip
def test_whole_files(tmp_path: Path, text: str | bytes, expected: list[str] | None) -> None:
    lines = lines_of(tmp_path, text)
    assert lines == expected if expected is not None else lines[0].startswith("p.toml: is not TOML: Exceeds the limit")


def test_files_that_are_not_there_or_not_files(tmp_path: Path) -> None:
    (tmp_path / "dir.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (PLAN_BYTES_MAX + 1))
    (tmp_path / "plan.yaml").write_text("")
    (tmp_path / "line\nbreak.toml").write_text("x")
    found = {}
    for name in ("none.toml", "dir.toml", "pipe.toml", "big.toml", "plan.yaml", "line\nbreak.toml"):
        plan, faults = read_plan(tmp_path / name, KNOWN)
        assert plan is None
        (found[name],) = [fault.text.removeprefix(f"{tmp_path}/") for fault in faults]
    assert found == {
        "none.toml": "none.toml: cannot be read: No such file or directory",
        "dir.toml": "dir.toml: is not a regular file",
        "pipe.toml": "pipe.toml: is not a regular file",
        "big.toml": "big.toml: is larger than 8192 KiB",
        "plan.yaml": "plan.yaml: is not a plan (a plan's name ends in .toml, .md or .jsonl)",
        "line\nbreak.toml": "line\\nbreak.toml:1: is not TOML: Expected '=' after a key in a key/value pair",
    }


def test_silence_about_checks_is_an_error(tmp_path: Path) -> None:
    silent = HEAD + ITEM.replace("checks = []\n", "")
    way = "or checks = [] to accept its work without any)"
    assert lines_of(tmp_path, silent) == [f'p.toml:3: item `a` has no checks (write checks = ["unit"], {way}']
    none = Known()
    assert lines_of(tmp_path, silent, none) == [
        f'p.toml:3: item `a` has no checks (write checks = [{{ run = "…" }}], {way}'
    ]
    assert lines_of(tmp_path, silent.replace("[[item]]", 'checks = ["unit"]\n[[item]]')) == []
    assert lines_of(tmp_path, silent.replace("[[item]]", "checks = []\n[[item]]")) == []


def test_all_faults_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
[plan]
id = "p"
colour = "red"

[[item]]
id = "a"
titel = "t"
scope = ["../x",
  "ok/**",
  "a//b"]
after = ["b",
  "nobody"]
checks = ["unit",
  { run = "mypi", timeout = "soon" }]


[item.budget]
attempts_max = 3
wall_max = "forever"

[[item]]
id = "a"
title = "again"
scope = ["c"]
checks = []

[[item]]
title = "no id"
scope = ["ok/x"]
checks = []
rung = "reviewed"
"""
    lines = lines_of(tmp_path, text)
    assert [line.partition(" (")[0] for line in lines] == [
        "p.toml:3: plan: unknown field `colour`",
        "p.toml:5: item `a` has no `title`",
        "p.toml:7: item `a`: unknown field `titel`",
        lines[3].partition(" (")[0],
        lines[4].partition(" (")[0],
        "p.toml:11: item `a`: after: no item `b`",
        "p.toml:12: item `a`: after: no item `nobody`",
        "p.toml:14: item `a`: checks: `timeout` is no duration: `soon`",
        "p.toml:14: item `a`: check `mypi`: there is no program `mypi`",
        "p.toml:19: item `a`: budget: `wall_max` is no duration: `forever`",
        "p.toml:22: item id `a` is used twice; the first is on line 5",
        "p.toml:27: item 3 has no `id`",
        "p.toml:31: item 3: `rung` `reviewed` is not in force in this version of ganger",
    ]
    assert lines[3].startswith("p.toml:8: item `a`: scope: ")
    assert lines[4].startswith("p.toml:10: item `a`: scope: ")


def test_ids_are_unique_in_the_fleet(tmp_path: Path) -> None:
    expected = ["p.toml:4: item id `taken` is used by the plan `base` too (ids are per fleet)"]
    assert lines_of(tmp_path, HEAD + ITEM.replace('"a"', '"taken"')) == expected
    assert lines_of(tmp_path, HEAD + ITEM.replace('"a"', '"mine"')) == []
    both = HEAD + ITEM + "[[item]]\n" + ITEM.replace('"a"', '"A"').replace("a/**", "b")
    assert lines_of(tmp_path, both) == []
    folding = Known(rules=PathRules(fold_case=True))
    expected = ["p.toml:9: item id `A` differs from `a` only in case; the first is on line 3"]
    assert lines_of(tmp_path, both, folding) == expected


def test_a_lane_is_instead_of_a_scope_or_around_it(tmp_path: Path) -> None:
    item = 'id = "a"\ntitle = "t"\nchecks = []\nlane = "auth"\n'
    plans = {}
    for scope in ("", 'scope = ["src/auth/x.py", "tests/a/b/*.py", "{src,tests}/auth/**"]\n'):
        (tmp_path / "p.toml").write_text(HEAD + item + scope)
        plan, faults = read_plan(tmp_path / "p.toml", KNOWN)
        assert (plan is not None, faults) == (True, ())
        assert plan is not None
        plans[scope[:5]] = plan.items[0].spec
    assert (plans[""].lane, plans[""].scope) == ("auth", KNOWN.lanes["auth"].paths)
    assert (plans["scope"].lane, len(plans["scope"].scope)) == ("auth", 3)
    both = HEAD + item + "[[item]]\n" + item.replace('"a"', '"b"')
    assert lines_of(tmp_path, both) == []


def test_what_stands_beside_the_brief_comes_behind_it(tmp_path: Path) -> None:
    more = 'brief = "Do it.\\n"\nacceptance = ["it works", "it is fast"]\nnot_in_scope = "the rest"\nbudget = { usd_max = 0.1 }\n'
    (tmp_path / "p.toml").write_text(HEAD + ITEM + more)
    plan, _ = read_plan(tmp_path / "p.toml", KNOWN)
    assert plan is not None
    assert (
        plan.items[0].brief
        == "Do it.\n\n\nAccepted when:\n\n- it works\n- it is fast\n\nNot to be done here:\n\nthe rest"
    )
    assert plan.items[0].spec.budget == Budget(100_000)
    markdown = (
        MARKDOWN_HEAD + MARKDOWN_ITEM + '- large: true\n- acceptance: it works, and fast\n- not_in_scope: ["a", "b"]\n'
    )
    (tmp_path / "p.md").write_text(markdown)
    plan, _ = read_plan(tmp_path / "p.md", KNOWN)
    assert plan is not None
    assert plan.items[0].brief == "Accepted when:\n\nit works, and fast\n\nNot to be done here:\n\n- a\n- b"


MARKDOWN_HEAD = "---\nid: p\n---\n"
MARKDOWN_ITEM = "## a: t\n- scope: a/**\n- checks: []\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nid: p\n## a: t\n", ["p.md:1: the front matter is not closed (end it with a line of three dashes, ---)"]),
        ("---\nid = 1 2\n---\n", ["p.md:2: is not TOML: Expected newline or end of document after a statement"]),
        ("---\nid: p\nid: r\nwhat\n---\n" + MARKDOWN_ITEM, [
            "p.md:3: plan: `id` is given twice",
            "p.md:4: plan: `what` is not a field (write - key: value; the brief begins behind a blank line)",
        ]),
        (MARKDOWN_ITEM, ['p.md:1: plan has no `id` (as in id = "auth")']),
        (MARKDOWN_HEAD + MARKDOWN_ITEM + "\n## Notes\n- x\n", [
            "p.md:8: the heading `Notes` names no item (write ## id: title, or ## title {#id}; use ### inside a brief)",
        ]),
        (MARKDOWN_HEAD + "## a:\n", [
            "p.md:1: the plan has no items",
            "p.md:4: the heading `a:` names no item (write ## id: title, or ## title {#id}; use ### inside a brief)",
        ]),
        (MARKDOWN_HEAD + MARKDOWN_ITEM + "- title: x\n- [ ] todo\n- brief: x\n- after:\n- scop: x\n- hold: { x\n", [
            "p.md:7: item `a`: `title` is given twice",
            "p.md:8: item `a`: `[ ] todo` is not a field (write - key: value; the brief begins behind a blank line)",
            "p.md:9: item `a`: `brief` is the text below the fields",
            "p.md:10: item `a`: `after` has no value (write [] for an empty list)",
            "p.md:11: item `a`: unknown field `scop` (did you mean `scope`?)",
            "p.md:12: item `a`: `hold` is not TOML: Expected '=' after a key in a key/value pair",
        ]),
        (MARKDOWN_HEAD + "## a b: t\n## Title {#a b}\n- scope:\n- checks: unit, lnt\n- priority: high\n", [
            "p.md:4: the heading `a b: t` names no item (write ## id: title, or ## title {#id}; use ### inside a brief)",
            "p.md:5: item `a b`: `id` `a b` may hold only letters, digits, `_` and `-`, and begins with a letter or digit",
            "p.md:6: item `a b`: `scope` has no value (write [] for an empty list)",
            "p.md:7: item `a b`: there is no check `lnt` in ganger.toml (did you mean `lint`?)",
            "p.md:8: item `a b`: `priority` must be a whole number, not text",
        ]),
        (MARKDOWN_HEAD + "## a: t\n- scope: [\"a\", 'b'\n- checks: [] x = 1\n", None),
    ],
)  # fmt: skip
def test_markdown(tmp_path: Path, text: str, expected: list[str] | None) -> None:
    lines = lines_of(tmp_path, text, name="p.md")
    assert lines == expected if expected is not None else [line[:7] for line in lines] == ["p.md:5:", "p.md:6:"]
