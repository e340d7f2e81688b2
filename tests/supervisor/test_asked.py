"""Questions of hooks are counted by turn, and only of turns that one gate has seen from their beginning."""

from __future__ import annotations

from ganger.core.effects import Silence
from ganger.core.ids import RunId, Token
from ganger.supervisor.asked import Asked
from ganger.worker_api.views import Asking

RUN, OTHER = RunId("a.1"), RunId("b.1")


def asked(times: int, turn: int = 1, gate: int = 1) -> Asked:
    found = Asked()
    found.begin(RUN, turn, gate)
    for _ in range(times):
        found.add(Asking(RUN, Token(7), turn))
    return found


def test_a_use_without_a_question_is_lacking() -> None:
    found = asked(2)
    assert found.lacking({RUN: (1, 2)}, 1) == {}
    assert found.lacking({RUN: (1, 3)}, 1) == {RUN: Silence(1, 3, 2)}


def test_each_turn_is_counted_by_itself() -> None:
    found = asked(2)
    found.begin(RUN, 2, 1)
    found.add(Asking(RUN, Token(7), 1))
    assert found.lacking({RUN: (2, 1)}, 1) == {RUN: Silence(2, 1, 0)}
    assert found.lacking({RUN: (1, 5)}, 1) == {}


def test_what_was_asked_while_nobody_counted_is_not_known() -> None:
    found = asked(0)
    assert found.lacking({RUN: (1, 5)}, 2) == {}, "another gate was started meanwhile"
    found.add(Asking(OTHER, Token(9), 1))
    assert found.lacking({OTHER: (1, 5)}, 1) == {}, "an earlier supervisor has started it"


def test_runs_that_are_over_are_forgotten() -> None:
    found = asked(0)
    found.forget({OTHER})
    assert found.lacking({RUN: (1, 5)}, 1) == {}
