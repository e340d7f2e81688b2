"""The lines of TOML keys, against layouts people write and against generated documents."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from ganger.plans.toml_lines import TomlLines

LAYOUTS = '''\
# a comment with [[item]] in it
[plan]
id = "p"    # [[item]]

[[item]]
id = "a"
brief = """
[[item]]
id = "not me"
""""
scope = [
  "x/**",   # [comment]
  'y/**',

  "z/**",
]
checks = ["unit", { run = "a = 1", timeout = "3m" },
          { run = "b" }]
budget = { attempts_max = 3, wall_max = "45m" }

[item.more]
deep.key = 1

  [[item]]
"id" = "b"
note = \'\'\'it's
two\'\'\'\'
dotted . name = 2026-12-01 00:00:00Z
[[item.sub]]
x = 1
[[item.sub]]
x = 2
[other."quoted \\u0041.key"]
y = 1
'''


def test_ordinary_layouts() -> None:
    data = tomllib.loads(LAYOUTS)
    assert [item["id"] for item in data["item"]] == ["a", "b"]
    lines = TomlLines(LAYOUTS)
    written = LAYOUTS.split("\n")
    expected = {
        ("plan",): "[plan]",
        ("plan", "id"): 'id = "p"    # [[item]]',
        ("item", 0, "id"): 'id = "a"',
        ("item", 0, "brief"): 'brief = """',
        ("item", 0, "scope"): "scope = [",
        ("item", 0, "scope", 0): '  "x/**",   # [comment]',
        ("item", 0, "scope", 1): "  'y/**',",
        ("item", 0, "scope", 2): '  "z/**",',
        ("item", 0, "checks", 1, "timeout"): 'checks = ["unit", { run = "a = 1", timeout = "3m" },',
        ("item", 0, "checks", 2, "run"): '          { run = "b" }]',
        ("item", 0, "budget", "wall_max"): 'budget = { attempts_max = 3, wall_max = "45m" }',
        ("item", 0, "more"): "[item.more]",
        ("item", 0, "more", "deep", "key"): "deep.key = 1",
        ("item", 1): "  [[item]]",
        ("item", 1, "id"): '"id" = "b"',
        ("item", 1, "dotted", "name"): "dotted . name = 2026-12-01 00:00:00Z",
        ("item", 1, "sub", 1): "[[item.sub]]",
        ("item", 1, "sub", 1, "x"): "x = 2",
        ("other", "quoted A.key", "y"): "y = 1",
    }
    assert {path: written[lines.of(*path) - 1] for path in expected} == expected
    assert lines.of("item", 1, "nothing") == lines.of("item", 1)
    assert lines.of("item", 0) == 5


_KEYS = st.sampled_from(["a", "b-c", "'d e'", '"f\\"#g"', "h"])
_SCALARS = st.sampled_from(
    ["1", "true", '"#no"', "'[x]'", "1979-05-27 07:32:00Z", '"""a\n"b" [[t]]\n"""', "'''\nx = 1\n'''", "-1.5e3", '"}"']
)


@st.composite
def _value(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.sampled_from(["scalar", "scalar", "list", "table"] if depth else ["scalar"]))
    if kind == "scalar":
        return draw(_SCALARS)
    if kind == "list":
        parts = draw(st.lists(_value(depth - 1), max_size=3))
        glue = draw(st.sampled_from([", ", ",\n  ", " , # ]\n"]))
        return (
            "["
            + draw(st.sampled_from(["", "\n", " # [\n "]))
            + glue.join(parts)
            + draw(st.sampled_from(["", "\n"]))
            + "]"
        )
    keys = draw(st.lists(_KEYS, max_size=3, unique=True))
    return "{ " + ", ".join(f"{key} = {draw(_value(depth - 1))}" for key in keys) + " }"


@st.composite
def _document(draw: st.DrawFn) -> tuple[str, dict[tuple[object, ...], int]]:
    """Give a document and where its statements stand."""
    out, where = "", {}
    for number in range(draw(st.integers(1, 4))):
        out += draw(st.sampled_from(["", "\n", "# [[t]]\n", "  "])) + "[[t]]\n"
        where["t", number] = out.count("\n")
        for key in draw(st.lists(_KEYS, max_size=4, unique=True)):
            out += draw(st.sampled_from(["", "\n", "\t"]))
            where["t", number, *tomllib.loads(f"{key}=1")] = out.count("\n") + 1
            out += (
                f"{key}{draw(st.sampled_from(['=', ' = ']))}{draw(_value())}{draw(st.sampled_from(['', ' # x = 1']))}\n"
            )
    return out, where


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(_document())
def test_generated_documents(document: tuple[str, dict[tuple[str | int, ...], int]]) -> None:
    text, where = document
    data = tomllib.loads(text)
    lines = TomlLines(text)
    assert {path: lines.of(*path) for path in where} == where
    assert len(data["t"]) == sum(len(path) == 2 for path in where)


@settings(max_examples=200, deadline=None, database=None, derandomize=True)
@given(st.text(alphabet="[]{}=,.\"'\\#\n a1"))
def test_other_text_is_survived(text: str) -> None:
    assert TomlLines(text).of("a", 1) >= 1
