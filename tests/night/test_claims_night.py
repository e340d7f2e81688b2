"""A commit that claims what it does not do: shown, or refused where the policy says so."""

from __future__ import annotations

import pytest
from builders import Fleet


@pytest.mark.parametrize(("policy", "code", "lands"), [("flag", 0, True), ("refuse", 3, False)])
def test_a_fix_of_words_alone(fleet: Fleet, policy: str, code: int, lands: bool) -> None:
    fleet.begin({"README.md": "Hello\n"})
    fleet.shell_agent("default", "echo more >> README.md; commit 'fix: crash on empty names'")
    fleet.configure(more=f'[verify]\nclaims = "{policy}"\n')
    fleet.item("a", scope=["README.md"], more='budget = { attempts_max = 1 }\nchanges = "words"')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    why = fleet.ganger("why", "a")
    told = "(fix: crash on empty names): claims fix, but changes only documentation"
    assert done.code == code, (done, why)
    assert f"{told}\n" in why.out and told in fleet.json("why", "a")["claims"][0]
    assert (fleet.on_main("README.md") == "Hello\nmore\n") is lands
    assert ("missing: " in why.out) is not lands
