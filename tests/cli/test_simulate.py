"""`ganger simulate`: the answer as text, as JSON and as a picture, its exit status, and what it says to bad input."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from builders import Fleet

from ganger.cli.main import main

LANES = '[lanes.db]\npaths = ["db/**"]\nworkers_max = 1\n'


@pytest.fixture
def plan(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A chain of two, two in one lane, and a draft."""
    for name, value in fleet.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(fleet.repo)
    fleet.begin()
    fleet.shell_agent("default", "true")
    fleet.configure(fleet="workers_max = 3\n", more=LANES)
    brief = 'brief = "Do what the title says, please."\n'
    fleet.item("a", more=brief)
    fleet.item("b", more=brief + 'after = ["a"]')
    for name in ("c", "d"):
        fleet.items.append(f'[[item]]\nid = "{name}"\ntitle = "{name}"\nlane = "db"\n{brief}')
    fleet.item("e", more=brief + 'hold = "draft"')
    return fleet.plan()


def test_the_answer(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--plan", str(plan), "--hours", "1"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "4 of 5 items land in 44 min 04 s with 3 workers: busy 61% of the time, at most 2 at once.",
        "Not less than 42 min 04 s: 1 h 20 min of work is 26 min 40 s for each worker,"
        " and the critical path takes 42 min 04 s.",
        "Critical path, 2 items: a and b.",
        "The scopes let 3 work at once, whatever comes after what.",
        "",
        "WORKERS  TAKES        BUSY  A WORKER MORE SAVES",
        "1        1 h 22 min   98%   -",
        "2        44 min 04 s  91%   37 min 58 s",
        "3 *      44 min 04 s  61%   nothing",
        "4        44 min 04 s  45%   nothing",
        "5        44 min 04 s  36%   nothing",
        "6        44 min 04 s  30%   nothing",
        "",
        "waited while a worker was free:",
        "  lane db kept 1 item waiting for 22 min 02 s in all",
        "",
        "held: e: item e is held: draft",
        "",
        "It fits into 1 h, with 15 min 56 s to spare.",
    ]


def test_it_does_not_fit(plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--plan", str(plan), "--hours", "0.5", "--workers", "1"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "It does not fit into 30 min: it takes 52 min 02 s longer."
    assert main(["simulate", "--plan", str(plan), "--minutes", "60"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "4 items would not land."


def test_the_same_seed_gives_the_same_bytes(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(seed: int) -> tuple[str, str]:
        words = ("--spread", "2", "--fail", "0.3", "--seed", str(seed), "--json", "--picture", str(tmp_path / "p.svg"))
        main(["simulate", "--plan", str(plan), *words])
        return capsys.readouterr().out, (tmp_path / "p.svg").read_text()

    assert said(1) == said(1)
    assert said(1) != said(2)
    value = json.loads(said(1)[0])
    assert list(value)[:2] == ["kind", "version"]
    assert (value["kind"], value["plan"], value["workers"], value["items"]) == ("ganger.simulate", "plan", 3, 5)
    assert [row["workers"] for row in value["rows"]] == [1, 2, 3, 4, 5, 6]


def test_the_picture_is_drawn(plan: Path, tmp_path: Path) -> None:
    picture = tmp_path / "capacity.svg"
    assert main(["simulate", "--plan", str(plan), "--picture", str(picture)]) == 0
    root = ElementTree.parse(picture).getroot()
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert {"a.1", "b.1", "c.1", "d.1", "3 workers", "44 min 04 s, busy 61%"} <= set(texts)
    assert "lane db: 1 item, 22 min 02 s in all" in texts
    assert "a.1: accepted, 20 min, on the critical path" in titles


def test_what_has_landed_is_not_done_again(plan: Path, fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.shell_agent("default", "echo x >> src/$item.txt; commit work")
    fleet.items = [fleet.items[0]]
    fleet.configure(fleet="workers_max = 3\n", more=LANES)
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 0
    assert main(["simulate", "--plan", str(fleet.plan())]) == 0
    assert capsys.readouterr().out == "Nothing of plan plan is left to be done.\n"


MISTAKES = {
    ("--plan", "no.toml"): "ganger: there is no plan no.toml\n",
    ("--plan", "PLAN", "--workers", "0"): "ganger: Invalid value for '--workers': 0 is not in the range 1<=x<=1000.\n",
    (
        "--plan",
        "PLAN",
        "--hours",
        "eight",
    ): "ganger: Invalid value for '--hours': 'eight' is no number: as in 8 or 1.5\n",
    ("--plan", "PLAN", "--hours", "nan"): "ganger: Invalid value for '--hours': nan must be 0.01 to 87600\n",
    ("--plan", "PLAN", "--fail", "1.5"): "ganger: Invalid value for '--fail': 1.5 must be 0 to 1\n",
    ("--plan", "PLAN", "--picture", "no/p.svg"): "ganger: no/p.svg cannot be written: No such file or directory\n",
    (): "ganger: Missing option '--plan'.\n",
}


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_mistakes_are_one_message(words: tuple[str, ...], plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", *(str(plan) if word == "PLAN" else word for word in words)]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.partition("\n\n")[0].rstrip("\n") + "\n") == ("", MISTAKES[words])
