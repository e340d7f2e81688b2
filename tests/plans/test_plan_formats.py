"""Both formats of a plan, and that they mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Check, Hold, ItemSpec, Lane, LeaseMode, Rung
from ganger.core.verdict import needed_rung
from ganger.plans.items import ITEM_FIELDS
from ganger.plans.port import Known, Plan, read_plan

KNOWN = Known(
    checks={"unit": Check("unit", ("python", "-m", "pytest", "-q")), "lint": Check("lint", ("ruff", "check"), 60_000)},
    agents=frozenset({"claude", "fixer"}),
    default_agent="fixer",
    other_items={ItemId("elsewhere"): PlanId("base")},
)

TOML = '''\
[plan]
id = "auth"
title = "Sign-in"
checks = ["unit"]

[[item]]
id = "schema"
title = "Add the users table"
scope = ["db/{up,down}/**"]

[[item]]
id = "login"
title = "Log in: with a password"
brief = """Look at `src/auth`.

## not an item
"""
scope = ["src/auth/**", "tests/auth/**"]
after = ["schema", "elsewhere"]
checks = ["lint", { run = "mypy 'src/auth x'", timeout = "3m" }, { run = "mypy tests", name = "types" }]
kind = "scout"
agent = "claude"
priority = 1
hold = { until = 2026-12-01T02:00:00+02:00 }
rung = "in-scope"
mode = "shared"
budget = { attempts_max = 2, wall_max = "30m", silence_max = "90s" }

[[item]]
id = "docs"
title = "Write it down"
brief = "Short."
scope = ["docs/**"]
checks = []
hold = "draft"
'''

MARKDOWN = """\
---
id: auth
title: Sign-in
checks: unit
---

# Sign-in

For people.

<!--
## hidden: Not an item
-->

## schema: Add the users table
- scope: db/{up,down}/**

## Log in: with a password {#login}

- scope: `src/auth/**`, tests/auth/**
- after: schema, elsewhere
- checks: ["lint", { run = "mypy 'src/auth x'", timeout = "3m" },
    { run = "mypy tests", name = "types" }]
- kind: scout
- agent: claude
- priority: 1
- hold: { until = 2026-12-01T02:00:00+02:00 }
- rung: in-scope
- mode: shared
- budget: { attempts_max = 2, wall_max = "30m", silence_max = "90s" }

Look at `src/auth`.

```
## not an item
```

## docs: Write it down
* scope: docs/**
* checks: []
* hold: draft

Short.
"""


def read(tmp_path: Path, name: str, text: str, known: Known = KNOWN) -> Plan:
    path = tmp_path / name
    path.write_text(text)
    plan, faults = read_plan(path, known)
    assert [fault.text for fault in faults] == []
    assert plan is not None
    return plan


def test_toml(tmp_path: Path) -> None:
    plan = read(tmp_path, "auth.toml", TOML)
    assert (plan.id, plan.title, plan.path) == ("auth", "Sign-in", str(tmp_path / "auth.toml"))
    schema, login, docs = plan.items
    assert schema.spec == ItemSpec(
        id=ItemId("schema"),
        plan=PlanId("auth"),
        title="Add the users table",
        scope=("db/{up,down}/**",),
        checks=(KNOWN.checks["unit"],),
        agent="fixer",
    )
    assert (schema.brief, schema.line, login.line, docs.line) == ("", 6, 11, 29)
    assert login.spec == ItemSpec(
        id=ItemId("login"),
        plan=PlanId("auth"),
        title="Log in: with a password",
        scope=("src/auth/**", "tests/auth/**"),
        after=(ItemId("schema"), ItemId("elsewhere")),
        checks=(
            KNOWN.checks["lint"],
            Check("mypy", ("mypy", "src/auth x"), 180_000),
            Check("types", ("mypy", "tests"), 600_000),
        ),
        agent="claude",
        kind="scout",
        priority=1,
        rung=Rung.in_scope,
        mode=LeaseMode.shared,
        hold=Hold("until", 1_796_083_200_000),
        attempts_max=2,
        wall_max_ms=1_800_000,
        silence_max_ms=90_000,
    )
    assert login.brief == "Look at `src/auth`.\n\n## not an item\n"
    assert (docs.spec.checks, docs.spec.hold) == ((), Hold("draft"))


def test_both_formats_give_the_same_items(tmp_path: Path) -> None:
    brief = 'brief = """Look at `src/auth`.\n\n```\n## not an item\n```"""'
    toml = TOML[: TOML.index("brief")] + brief + TOML[TOML.index('"""\nscope') + 3 :]
    one, two = read(tmp_path, "auth.toml", toml), read(tmp_path, "auth.md", MARKDOWN)
    assert [(item.spec, item.brief) for item in one.items] == [(item.spec, item.brief) for item in two.items]
    assert (one.id, one.title, one.digest) == (two.id, two.title, two.digest)
    assert [MARKDOWN.split("\n")[item.line - 1][:3] for item in two.items] == ["## "] * 3


def test_front_matter_in_toml(tmp_path: Path) -> None:
    front = '---\nid = "auth"\ntitle = "Sign-in"\nchecks = [\n  "unit",\n]\n---\n'
    plan = read(tmp_path, "auth.md", front + MARKDOWN[MARKDOWN.index("# Sign-in") :])
    assert plan.digest == read(tmp_path, "auth.toml.md", MARKDOWN).digest


def test_the_digest_follows_what_the_items_mean(tmp_path: Path) -> None:
    digest = read(tmp_path, "a.toml", TOML).digest
    assert read(tmp_path, "b.toml", "# comment\r\n" + TOML.replace("\n", "\r\n")).digest == digest
    assert read(tmp_path, "c.toml", "\ufeff" + TOML).digest == digest
    assert read(tmp_path, "d.toml", TOML.replace("Short.", "Short!")).digest != digest
    assert read(tmp_path, "e.toml", TOML.replace('"docs/**"', '"doc/**"')).digest != digest
    other = {**KNOWN.checks, "unit": Check("unit", ("true",))}
    known = Known(other, KNOWN.agents, "fixer", other_items=KNOWN.other_items)
    assert read(tmp_path, "f.toml", TOML, known).digest != digest


def test_defaults_come_from_the_configuration(tmp_path: Path) -> None:
    known = Known(rung=Rung.committed, attempts_max=7, wall_max_ms=1, silence_max_ms=2, default_agent="x")
    text = '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nscope = ["a"]\nchecks = []\n'
    spec = read(tmp_path, "p.toml", text, known).items[0].spec
    assert (spec.rung, spec.attempts_max, spec.wall_max_ms, spec.silence_max_ms) == (Rung.committed, 7, 1, 2)
    assert (spec.agent, spec.kind, spec.priority, spec.mode) == ("x", "patcher", 100, LeaseMode.exclusive)


@pytest.mark.parametrize(
    ("said", "of_all", "witness"),
    [
        ("", Rung.checked, False),
        ("witness = true", Rung.checked, True),
        ('rung = "witnessed"', Rung.checked, True),
        ("", Rung.witnessed, True),
        ('rung = "checked"', Rung.witnessed, False),
    ],
)
def test_who_wants_a_witness(tmp_path: Path, said: str, of_all: Rung, witness: bool) -> None:
    known = Known(checks={"unit": Check("unit", ("true",))}, rung=of_all, default_agent="x")
    item = f'[[item]]\nid = "a"\ntitle = "t"\nscope = ["a"]\nchecks = ["unit"]\n{said}\n'
    spec = read(tmp_path, "p.toml", f'[plan]\nid = "p"\n{item}', known).items[0].spec
    assert spec.witness is witness
    assert (needed_rung(spec) is Rung.witnessed) is witness


@pytest.mark.parametrize(
    ("run", "name"),
    [
        ("mypy src", "mypy"),
        ("./scripts/check all.sh", "check"),
        ("./scripts/x.sh", "x-sh"),
        ("q7", "check-q7"),
        ("'+'", "check"),
    ],
)
def test_a_check_of_its_own_is_named_after_its_program(tmp_path: Path, run: str, name: str) -> None:
    head = '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nscope = ["a"]\n'
    text = head + f'checks = [{{ run = "{run}" }}, {{ run = "{run} again" }}]\n'
    checks = read(tmp_path, "p.toml", text).items[0].spec.checks
    assert [check.name for check in checks] == [name, f"{name}-2"]


def test_a_brief_is_kept_byte_for_byte(tmp_path: Path) -> None:
    head = '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nscope = ["a"]\nchecks = []\n'
    text = head + 'brief = "  \\u001b[31m\\n\\t "\n'
    assert read(tmp_path, "p.toml", text).items[0].brief == "  \x1b[31m\n\t "
    markdown = "---\nid: p\n---\n## a: t\n- scope: a\n- checks: []\n\n  indented \x1b[31m\n\n\ttab\n\n"
    assert read(tmp_path, "p.md", markdown).items[0].brief == "  indented \x1b[31m\n\n\ttab"


def test_markdown_values(tmp_path: Path) -> None:
    front = "---\n# a comment\nid: p\ntitle: \"a: b\"\nchecks: 'unit', 'lint'\n---\n"
    item = "## a: t\n- scope: {a,b}/*.py, [xy]*, `c,d/**`\n- after: []\n- priority: -3\n"
    spec = read(tmp_path, "p.md", front + item).items[0].spec
    assert spec.scope == ("{a,b}/*.py", "[xy]*", "c,d/**")
    assert [check.name for check in spec.checks] == ["unit", "lint"]
    assert (spec.after, spec.priority) == ((), -3)


SAID = {
    "acceptance": ('acceptance = "It works."', "acceptance: It works."),
    "not_in_scope": ('not_in_scope = "the page"', "not_in_scope: the page"),
    "scope": ('scope = ["a/**", "b"]', "scope: `a/**`, b"),
    "lane": ('lane = "docs"', "lane: docs"),
    "large": ("large = true", "large: true"),
    "after": ('after = ["z"]', "after: z"),
    "checks": ('checks = ["unit"]', "checks: unit"),
    "kind": ('kind = "tester"', "kind: tester"),
    "agent": ('agent = "x"', "agent: x"),
    "priority": ("priority = -3", "priority: -3"),
    "hold": ('hold = "draft"', "hold: draft"),
    "rung": ('rung = "in-scope"', "rung: in-scope"),
    "mode": ('mode = "shared"', "mode: shared"),
    "budget": ("budget = { attempts_max = 2 }", "budget: { attempts_max = 2 }"),
    "target": ('target = "main"', "target: main"),
    "witness": ("witness = true", "witness: true"),
    "tests": ('tests = "may_change"', "tests: may_change"),
    "changes": ('changes = "words"', "changes: words"),
    "start_on": ('start_on = "accepted"', "start_on: accepted"),
}


@pytest.mark.parametrize("field", ITEM_FIELDS)
def test_every_field_can_be_said_in_both_formats(tmp_path: Path, field: str) -> None:
    if field in ("id", "title", "brief"):
        return
    known = Known(
        checks={"unit": Check("unit", ("true",))},
        agents=frozenset({"x", "y"}),
        default_agent="y",
        lanes={"docs": Lane("docs", ("a/**", "b", "q"))},
        other_items={ItemId("z"): PlanId("other")},
        target="main",
    )
    toml, markdown = SAID[field]
    needed = {"scope": ('scope = ["q"]', "scope: q"), "checks": ("checks = []", "checks: []")}
    others = [both for name, both in needed.items() if name != field]
    head = '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nbrief = "B."\n'
    one = read(tmp_path, "p.toml", head + "\n".join([toml, *(both[0] for both in others)]), known)
    lines = "\n".join(f"- {text}" for text in [markdown, *(both[1] for both in others)])
    two = read(tmp_path, "p.md", f"---\nid: p\n---\n\n## a: t\n\n{lines}\n\nB.\n", known)
    bare = head + "\n".join(both[0] for both in needed.values())
    assert one.items[0].spec == two.items[0].spec and one.items[0].brief == two.items[0].brief
    if field not in ("large", "target"):
        plain = read(tmp_path, "bare.toml", bare, known)
        assert (one.items[0].spec, one.items[0].brief) != (plain.items[0].spec, plain.items[0].brief)
