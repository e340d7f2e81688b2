"""A night of four different agent programs on sqlparse: honest ones, one that lies, hangs, is limited, or asks."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from programs import ALL
from test_night_agents import DONE, AgentNight, commit

from ganger.cli.demo.library import fetch
from ganger.testing.model_server import Case, ModelServer, Script
from ganger.testing.model_server.steps import AnyStep, Edit, Hang, Limit, Read, Say, Sh, Spent

SILENT = "budget = { attempts_max = 1, silence_max = '30s' }\n"
PRICES = {"claude": (3, 15), "codex": (1, 10), "pi": (2, 8), "opencode": (4, 20)}
"""Dollars for a million tokens; Claude Code's are its own."""
TESTS = {"unit": f"{shlex.quote(sys.executable)} -m pytest -q -p no:cacheprovider --assert=plain tests"}
ONCE = "budget = { attempts_max = 1 }\n"


class Work(NamedTuple):
    """One small thing that can be better in the library."""

    path: str
    old: str
    new: str


WORK = {
    "a": Work("sqlparse/utils.py", "if val is None:", "if not val:"),
    "b": Work(
        "sqlparse/cli.py",
        "            return _error('Failed to open {}: {}'.format(args.outfile, e))",
        "            return _error(f'Failed to open {args.outfile}: {e}')",
    ),
    "d": Work("sqlparse/lexer.py", "return tokens.Name, value", "return (tokens.Name, value)"),
    "e": Work(
        "sqlparse/tokens.py", "return item is not None and (self is item", "return item is not None and (item is self"
    ),
    "f": Work("sqlparse/formatter.py", "if truncate_strings <= 1:", "if truncate_strings < 2:"),
    "g": Work("sqlparse/sql.py", "return self.tokens and self", "return bool(self.tokens) and self"),
}


def honest(item: str) -> tuple[AnyStep, ...]:
    path, old, new = WORK[item]
    return (Read(path=path), Edit(path=path, old=old, new=new), commit(f"Change {item}"), DONE, Say(text="Done."))


def case(item: str, *steps: AnyStep) -> Case:
    return Case(steps, f"# Do {item}\n")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of sqlparse; fetched from the package index before the test has its network taken away."""
    scratch = tmp_path_factory.mktemp("scratch")
    top = scratch.with_name("library")
    fetch(top, scratch)
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.fixture
def night(tmp_path: Path, server: ModelServer, library: dict[str, bytes]):
    made = AgentNight(tmp_path / "lab", server, library)
    yield made
    left = made.fleet.close()
    assert not left, f"the test left processes: {left}"


@pytest.mark.slow
@pytest.mark.skipif(not (ALL or os.environ.get("CI")), reason="takes most of a minute: tried in CI and at night")
def test_only_honest_work_lands(night: AgentNight) -> None:
    asks = Sh(command='ganger ask "Which end?" --option left --option right')
    scripts = {
        "claude": [case("a", *honest("a")), case("g", asks, Say(text="I asked."), *honest("g"))],
        "codex": [case("b", Limit(reset_s=-60), *honest("b"))],
        "pi": [
            case("d", *[DONE, Say(text="It is done, believe me.")] * 3),
            case("f", Sh(command="true"), Hang(text="I was going"), *honest("f")),
        ],
        "opencode": [case("e", *honest("e"))],
    }
    for driver, cases in scripts.items():
        per_in, per_out = PRICES[driver]
        said = '"reported"' if driver == "claude" else f"{{ input = {per_in}, output = {per_out} }}"
        night.agent(driver, more=f"price = {said}\n")
        night.server.script(driver, Script(case=tuple(cases)))
    agents = {"a": "claude", "b": "codex", "d": "pi", "e": "opencode", "f": "pi", "g": "claude"}
    for item, agent in agents.items():
        night.fleet.item(item, agent=agent, scope=[WORK[item].path], more={"d": ONCE, "f": SILENT}.get(item, ""))
    begun = {item: night.fleet.on_main(work.path) or "" for item, work in WORK.items()}
    night.run(TESTS)
    assert night.fleet.on_main(WORK["g"].path) == begun["g"]
    assert night.fleet.ganger("answer", "q1", "right").code == 0
    night.run(TESTS)
    statuses = night.fleet.statuses()
    assert {item for item, status in statuses.items() if status == "landed"} == {"a", "b", "e", "f", "g"}, statuses
    assert sorted(night.fleet.landed_items()) == ["a", "b", "e", "f", "g"]
    for item, (path, old, new) in WORK.items():
        assert begun[item].count(old) == 1
        wanted = begun[item] if item == "d" else begun[item].replace(old, new)
        assert night.fleet.on_main(path) == wanted
    states = {driver: night.server.state(driver) for driver in scripts}
    assert not [state.unmet for state in states.values() if state.unmet]
    assert states["pi"].cut == 1
    assert states["codex"].refused == 1
    assert "right" in states["claude"].conversation, "the answer reached the model"
    for driver, state in states.items():
        runs = [run for item, agent in agents.items() if agent == driver for run in night.fleet.runs(item)]
        # What an answer took in that was cut off in the middle, pi was not told.
        taken_in, given_out = state.handed.tokens_in - state.cut * Spent().tokens_in, state.handed.tokens_out
        assert sum(run["tokens"] for run in runs) == taken_in + given_out, driver
        per_in, per_out = PRICES[driver]
        # Claude Code reckons in fractions of a dollar, each of which is rounded up to a millionth.
        rounded = sum(run["usd_micros"] for run in runs) - taken_in * per_in - given_out * per_out
        assert 0 <= rounded <= (2 if driver == "claude" else 0), driver
    night.fleet.assert_sound()
