"""`--json`: one object, that says first what it is and of which version."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from builders import Done, Fleet
from jsonschema import Draft202012Validator

from ganger.cli.schema import every_schema, shape_schema
from ganger.cli.shapes import SHAPES


@pytest.fixture
def night(fleet: Fleet) -> Fleet:
    """A fleet with an item that landed, one that was given up, and one that asks."""
    fleet.begin()
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work; ganger note 'half \x1b[31mred'")
    fleet.shell_agent("bad", "exit 3")
    fleet.shell_agent("asks", "ganger ask 'Left or right?' --option left --option right")
    fleet.configure()
    fleet.item("good")
    fleet.write({"src/good.txt": "good\n"})
    fleet.git("add", "src")
    fleet.git("commit", "--quiet", "--message", "More")
    fleet.item("bad", agent="bad", more="budget = { attempts_max = 1 }")
    fleet.item("asks", agent="asks")
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 5
    return fleet


def test_every_shape(night: Fleet, here: Callable[..., Done]) -> None:
    plan = str(night.root / "plan.toml")
    commands = {
        ("status",): "ganger.status",
        ("inbox",): "ganger.inbox",
        ("plan", "board"): "ganger.board",
        ("plan", "lint", plan): "ganger.plan-lint",
        ("show", "good"): "ganger.item",
        ("show", "good.1"): "ganger.run",
        ("show", "q1"): "ganger.question",
        ("show", night.json("show", "good")["landed"]): "ganger.train",
        ("why", "good"): "ganger.why",
        ("why", "bad"): "ganger.why",
        ("verify", "good"): "ganger.verify",
        ("verify", "bad"): "ganger.verify",
        ("doctor",): "ganger.doctor",
        ("config", "explain"): "ganger.config",
        ("exit-codes",): "ganger.exit-codes",
        ("journal", "verify"): "ganger.journal-verify",
        ("plan", "show", plan): "ganger.plan",
        ("next",): "ganger.next",
        ("gate",): "ganger.gate",
        ("fleet-plan", "--target", "2"): "ganger.fleet-plan",
        ("admit", "bad"): "ganger.admission",
        ("admit", "--scope", "docs/**"): "ganger.admission",
        ("liveness", "asks.1"): "ganger.liveness",
        ("resume-check", "asks.1"): "ganger.resume-check",
        ("rewind", "asks.1"): "ganger.checkpoints",
        ("diff", "good"): "ganger.diff",
        ("log", "asks"): "ganger.log",
        ("report",): "ganger.report",
        ("report", "--text"): "ganger.report",
        ("lease", "acquire", "--scope", "docs/**"): "ganger.lease",
        ("lease", "list"): "ganger.leases",
        ("lease", "acquire", "--scope", "docs/x"): "ganger.reply",
        ("breaker", "list"): "ganger.breakers",
        ("schedule", "list"): "ganger.schedules",
        ("retry", "asks"): "ganger.reply",
        ("undo", "bad"): "ganger.reply",
        ("pause", "plan"): "ganger.reply",
        ("answer", "q1", "left"): "ganger.reply",
        ("stop", "good"): "ganger.reply",
        ("run", plan, "--dry-run"): "ganger.dry-run",
        ("run", plan, "--quiet"): "ganger.night",
        ("down",): "ganger.down",
        ("version",): "ganger.version",
        ("schema",): "ganger.schemas",
        ("completion", "bash"): "ganger.completion",
        ("init", "--dry-run"): "ganger.init",
        ("trace", "good"): "ganger.trace",
    }
    for words, kind in commands.items():
        done = here(*words, "--json")
        assert done.out.count("\n") == 1, words
        assert done.out.isascii(), words
        value = json.loads(done.out)
        assert_documented(value)
        assert list(value)[:2] == ["kind", "version"], words
        assert (value["kind"], value["version"]) == (kind, 1), words


def assert_documented(value: dict[str, object]) -> None:
    """A shape is what its published schema says of it: no field more, no field less."""
    schema = shape_schema(str(value["kind"]))
    assert [error.message for error in Draft202012Validator(schema).iter_errors(value)] == []
    assert set(value) == {"kind", "version", *SHAPES[str(value["kind"])]}, value["kind"]


def test_every_schema_is_one_and_is_printed(here: Callable[..., Done]) -> None:
    names = here("schema").out.split()
    assert names == list(every_schema()) == json.loads(here("schema", "--json").out)["names"]
    for name, made in every_schema().items():
        printed = json.loads(here("schema", name).out)
        Draft202012Validator.check_schema(printed)
        assert printed == json.loads(here("schema", name, "--json").out) == json.loads(json.dumps(made()))
        assert printed.get("additionalProperties") is False or "$defs" in printed, name
    assert here("schema", "confi").err.endswith("did you mean `config`?\n")


def test_a_shape_without_one_of_its_fields_is_no_such_shape() -> None:
    for kind, fields in SHAPES.items():
        validator = Draft202012Validator(shape_schema(kind))
        for name in ("kind", "version", *fields):
            left = {"kind": kind, "version": 1} | dict.fromkeys(fields)
            del left[name]
            assert f"{name!r} is a required property" in [error.message for error in validator.iter_errors(left)]


def test_it_says_the_same_as_the_text(night: Fleet) -> None:
    assert night.json("status")["items"] == {"landed": 1, "given_up": 1, "asking": 1}
    assert night.json("inbox")["questions"][0]["options"] == ["left", "right"]
    assert night.json("verify", "good")["rung"] == "landed"
    assert night.json("why", "bad")["reason"] == "the worker exited with status 3"
    assert night.json("show", "q1")["question"]["text"] == "Left or right?"
    turn = night.json("show", "good.1")["turns"][0]
    assert turn["verdict"]["kind"] == "accepted"
    assert (turn["tier"], turn["network"]) == ("T1", "open")
    shown = night.json("show", "good")
    assert [run["id"] for run in shown["runs"]] == ["good.1"]
    assert shown["spec"]["scope"] == ["src/good.txt"]


def test_every_line_of_the_export_is_an_entry(night: Fleet) -> None:
    lines = [json.loads(line) for line in night.ganger("journal", "export").out.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) == night.json("status")["seq"] == night.json("journal", "verify")["entries"]
