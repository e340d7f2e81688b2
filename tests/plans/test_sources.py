"""Sources of plans: several styles side by side in one repository, and those that installed packages offer."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path
from textwrap import dedent

import pytest

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Check
from ganger.plans.port import Known, Plan, Severity, read_plan

KNOWN = Known(checks={"unit": Check("unit", ("pytest",))}, default_checks=("unit",), tracked_paths=lambda: ["a/b"])


def read(path: Path, known: Known = KNOWN, limit_s: float = 10.0) -> tuple[Plan | None, list[str]]:
    plan, faults = read_plan(path, known, limit_s)
    assert (plan is None) == any(fault.severity is Severity.error for fault in faults)
    return plan, [fault.text.removeprefix(f"{path.parent}/") for fault in faults]


def test_three_styles_in_one_repository(tmp_path: Path) -> None:
    """Each gives items or a row that says why not; ids survive renamed titles and files."""
    toml = tmp_path / "auth.toml"
    toml.write_text('[plan]\nid = "auth"\n[[item]]\nid = "login"\ntitle = "Log in"\nscope = ["a/login"]\nchecks = []\n')
    markdown = tmp_path / "docs.md"
    markdown.write_text(
        "---\nid: docs\nchecks: unit\n---\n## guide: Write it\n- scope: a/guide\n- after: login, bd-1\n"
    )
    beads = tmp_path / ".beads" / "issues.jsonl"
    beads.parent.mkdir()
    lines = [
        {"id": "bd-1", "title": "Sort", "labels": ["scope:a/sort"], "dependencies": []},
        {"id": "bd-2", "title": "No scope"},
        {"id": "bd-3", "title": "Next", "labels": ["scope:a/b"], "dependencies": [{"depends_on_id": "login"}]},
    ]
    beads.write_text("\n".join(map(json.dumps, lines)))

    def everything(paths: list[Path]) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
        others: dict[ItemId, PlanId] = {ItemId("login"): PlanId("auth"), ItemId("bd-1"): PlanId("beads")}
        found: dict[str, list[str]] = {}
        rows: list[tuple[str, str]] = []
        for path in paths:
            plan, faults = read(path, Known(KNOWN.checks, default_checks=("unit",), other_items=others))
            assert plan is not None, faults
            found |= {item.spec.id: list(item.spec.after) for item in plan.items}
            rows += plan.unreadable
        return found, rows

    items, rows = everything([toml, markdown, beads])
    assert items == {"login": [], "guide": ["login", "bd-1"], "bd-1": [], "bd-3": ["login"]}
    assert [where for where, _ in rows] == ["issues.jsonl:2"]
    assert rows[0][1].startswith("bead `bd-2` has no scope (")
    renamed = []
    for path, old, new in ((toml, "Log in", "Enter"), (markdown, "Write it", "Tell it"), (beads, "Sort", "Order")):
        renamed.append(tmp_path / f"other{path.suffix}")
        renamed[-1].write_text(path.read_text().replace(old, new))
    assert everything(renamed) == (items, [("other.jsonl:2", rows[0][1])])


PLUGIN = """
    import os, sys, time
    from ganger.plans.draft import Draft, table_of

    class Source:
        name = "sheet"

        def reads(self, path):
            return path.suffix == ".sheet"

        def read(self, path, known, faults):
            rows = [line.split(";") for line in path.read_text().splitlines()]
            items = [
                table_of({"id": name, "title": title, "scope": [scope], "checks": ["unit"]}, line)
                for line, (name, title, scope) in enumerate(rows, 1)
            ]
            return Draft(table_of({"id": "sheet"}, 1), tuple(items), is_tracker=True, still_open=("a", "gone"))
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A directory that packages are installed into."""
    path = tmp_path / "site"
    path.mkdir()
    sys.path.insert(0, str(path))
    yield path
    sys.path.remove(str(path))
    for name in [name for name in sys.modules if name.startswith("plugin_")]:
        del sys.modules[name]
    invalidate_caches()


def install(site: Path, name: str, code: str, target: str = "Source") -> None:
    """Install a package with one plan source, as pip would leave it."""
    (site / f"plugin_{name}.py").write_text(dedent(code))
    info = site / f"plugin_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ganger.plan_sources]\n{name} = plugin_{name}:{target}\n")
    invalidate_caches()


def test_a_source_of_a_package(tmp_path: Path, site: Path) -> None:
    install(site, "sheet", PLUGIN)
    path = tmp_path / "plan.sheet"
    path.write_text("a;Do it;a/**\nb;;b/**\nc;More;../x\n")
    plan, faults = read(path)
    assert plan is not None, faults
    assert ([item.spec.id for item in plan.items], plan.still_open) == (["a"], ("a",))
    assert [where for where, _ in plan.unreadable] == ["plan.sheet:2", "plan.sheet:3"]
    assert faults[0] == "plan.sheet:2: warning: left out: item `b`: `title` is empty"
    assert read(tmp_path / "plan.txt")[1] == [
        "plan.txt: is not a plan (a plan's name ends in .toml, .md or .jsonl; sources of packages: `sheet`)"
    ]


NOTHING = "failed: TypeError: it gave neither a plan nor a reason why not"


def test_the_example_of_the_manual(tmp_path: Path, site: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "plans.md").read_text()
    install(site, "manual", manual.partition("```python\n")[2].partition("```")[0], "Sheet")
    (tmp_path / "plan.sheet").write_text("a;Do it;a/**\nb;;b/**\n")
    plan, _ = read(tmp_path / "plan.sheet")
    assert plan is not None
    assert ([item.spec.id for item in plan.items], len(plan.unreadable)) == (["a"], 1)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("raise RuntimeError('at import')", "failed: RuntimeError: at import"),
        ("Source = 3", "failed: TypeError: 'int' object is not callable"),
        ("class Source: pass", "failed: AttributeError: 'Source' object has no attribute 'reads'"),
        (PLUGIN.replace("rows = [", "1 / 0 or ["), "failed: ZeroDivisionError: division by zero"),
        (PLUGIN.replace("return Draft(", "sys.exit("), "failed: TypeError: sys.exit() takes no keyword arguments"),
        (PLUGIN.replace("rows = [", "sys.exit('\x1b[2J'); ["), "failed: SystemExit: \\x1b[2J"),
        (PLUGIN.replace("return Draft(", "return dict("), "failed: TypeError: dict expected at most 1 argument, got 2"),
        (PLUGIN.replace("return Draft(", "return ("), None),
        (PLUGIN.replace("rows = [", "return None; ["), NOTHING),
        (PLUGIN.replace("import os, sys, time", "import time; time.sleep(1.5)"), "took longer than 0.5 s"),
        (PLUGIN.replace("rows = [", "time.sleep(1.5); ["), "took longer than 0.5 s"),
    ],
)  # fmt: skip
def test_a_source_that_crashes_or_hangs_is_named(tmp_path: Path, site: Path, code: str, expected: str | None) -> None:
    install(site, "bad", code)
    (tmp_path / "plan.sheet").write_text("a;Do it;a/**\n")
    began = time.monotonic()
    plan, faults = read(tmp_path / "plan.sheet", limit_s=0.5)
    assert plan is None
    assert time.monotonic() - began < 3
    (line,) = [fault.partition(" (")[0] for fault in faults]
    if expected is None:
        assert line.startswith("plan.sheet: the plan source `bad` failed: ")
    else:
        assert line == f"plan.sheet: the plan source `bad` {expected}"


def test_what_is_built_in_and_what_is_clear_comes_first(tmp_path: Path, site: Path) -> None:
    greedy = PLUGIN.replace('path.suffix == ".sheet"', "True")
    install(site, "greedy", greedy)
    (tmp_path / "p.toml").write_text('[plan]\nid = "p"\n[[item]]\nid = "x"\ntitle = "t"\nscope = ["a"]\nchecks = []\n')
    plan, _ = read(tmp_path / "p.toml")
    assert plan is not None
    assert plan.id == "p"
    install(site, "sheet", PLUGIN)
    (tmp_path / "p.sheet").write_text("a;Do it;a/**\n")
    assert read(tmp_path / "p.sheet")[1] == [
        "p.sheet: is wanted by several plan sources: `greedy`, `sheet` (uninstall one, or rename the file)"
    ]
