"""Whatever a plan or a configuration holds, reading it ends, soon, with faults that are safe to print."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganger.core.model import Check
from ganger.errors import ConfigError
from ganger.plans.port import Known, Severity, read_plan
from ganger.service.config import load

TOML = """\
[plan]
id = "p"
[[item]]
id = "a"
title = "t"
brief = \"\"\"x\"\"\"
scope = ["a/**"]
after = ["b"]
checks = ["unit", { run = "x" }]
hold = { until = 2026-12-01T00:00:00Z }
[item.budget]
wall_max = "3m"
usd_max = 0.5
[fleet]
target = "main"
[checks.unit]
run = "pytest"
[agents.a]
driver = "x"
price = { input = 3.0, output = 15 }
[lanes]
autopick = ["b"]
[lanes.b]
paths = ["x/**"]
exclusive = false
[budget]
usd_max = 20.0
[budget.plans.p]
usd_max = 1
[predicates.c]
run = "y"
"""
MARKDOWN = "---\nid: p\nchecks: unit\n---\n## a: t\n- scope: a/**\n- after: b\n- hold: { until = 1 }\n\nbrief\n"
NASTY = st.sampled_from(
    (
        *(
            '"',
            "'",
            '"""',
            "[",
            "]",
            "{",
            "}",
            "\n",
            "\r",
            "\x1b[31m",
            "\u202e",
            "\\u001b",
            "\\u0000",
            "..",
            "=",
            ",",
            "#",
        ),
        *(
            "[[item]]",
            "[item]",
            '"x" = 1',
            "x.y = [1, {}]",
            "`",
            "##",
            "---",
            "{#",
            "9" * 5000,
            "ÿ",
            "\\",
            ":",
            "  ",
            "<!--",
        ),
    )
)
KNOWN = Known(checks={"unit": Check("unit", ("x",))}, tracked_paths=lambda: ["a/b"])


@st.composite
def _mangled(draw: st.DrawFn, text: str) -> str:
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(text)))
        end = draw(st.integers(begin, min(len(text), begin + 12)))
        text = text[:begin] + draw(NASTY) + text[end:]
    return text


def read(text: str, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / f"p{suffix}"
        path.write_text(text)
        plan, faults = read_plan(path, KNOWN)
        assert (plan is None) == any(fault.severity is Severity.error for fault in faults)
        assert all(fault.text.isprintable() and len(fault.text) < 700 for fault in faults)
        lines = text.count("\n") + 1
        assert all(0 <= fault.line <= lines for fault in faults)
        (Path(directory) / "ganger.toml").write_text(text)
        try:
            load(Path(directory), None, {}, {})
        except ConfigError as error:
            assert error.message.replace("\n", "").isprintable()


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(_mangled(TOML))
def test_mangled_toml(text: str) -> None:
    read(text, ".toml")


@settings(max_examples=400, deadline=None, database=None, derandomize=True)
@given(_mangled(MARKDOWN))
def test_mangled_markdown(text: str) -> None:
    read(text, ".md")


N = 400_000
HEAD = '[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nchecks = []\n'
COSTLY = {
    "dotted key": ("a." * N + "a = 1", ".toml"),
    "dotted keys in tables": ("x = {" + '"a b" . ' * N + "a = 1}", ".toml"),
    "many dotted keys": ("\n".join(f"{'a.' * 99}k{n} = 1" for n in range(N // 200)), ".toml"),
    "brackets": ("a = " + "[" * N, ".toml"),
    "headers": ("[" * N, ".toml"),
    "quotes": ('a = """' + '\\"' * N, ".toml"),
    "long id": (HEAD.replace('"a"', '"' + "x" * N + '"'), ".toml"),
    "long title": (HEAD.replace('"t"', '"' + " " * N + '"'), ".toml"),
    "long command": (HEAD.replace("[]", '[{ run = "' + "x " * N + '" }]'), ".toml"),
    "long scope": (HEAD + 'scope = ["' + "{a,b}" * N + '"]', ".toml"),
    "many scopes": (HEAD + "scope = [" + '"*a*a*a*b",' * (N // 10) + "]", ".toml"),
    "unknown keys": (HEAD + "\n".join(f"k{n} = 1" for n in range(N // 10)), ".toml"),
    "heading of spaces": ("---\nid: p\n---\n## a: x" + " " * N + "y", ".md"),
    "heading of braces": ("---\nid: p\n---\n## x" + "{#" * N, ".md"),
    "fences": ("---\nid: p\n---\n" + "```\n" * N, ".md"),
    "list": ("---\nid: p\n---\n## a: t\n- scope: " + "{," * N, ".md"),
    "front matter": ("---\n" + "a " * N, ".md"),
    "comments": ("---\nid: p\n---\n" + "<!--\n" * N, ".md"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_costly_files_end_soon(name: str) -> None:
    began = time.process_time()
    read(*COSTLY[name])
    assert time.process_time() - began < 15
