"""The skills pack: every command and key that it names exists, and installing it touches nothing but its own files."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from builders import Fleet

from ganger.cli.main import App, tree
from ganger.service.skills import FILE, is_ours, marked, packaged

SKILLS = {skill.name: skill for skill in packaged()}
QUOTED = re.compile(r"`([^`\n]+)`")
KEY = re.compile(r"(agents|budget|checks|fleet|jail|lanes|recovery|verify)(\.[A-Za-z_]+)+")
FIXED = re.compile(r"\b(src|tests|docs)/|ganger\.toml|\.ganger\b|~/|/home/|\bmain\b|journal\.db")
"""Names and places that are different in every repository."""
LINES_MAX = 120


def quoted(text: str) -> Iterator[str]:
    """What stands in back-quotes, or alone on a line of a code block."""
    yield from QUOTED.findall(text)
    for number, block in enumerate(text.split("```")):
        if number % 2:
            yield from block.splitlines()


def fault(line: str) -> str:
    """What is wrong with a line of ours, by the command tree itself; empty for nothing."""
    words = shlex.split(line)[1:]
    command: click.Command = tree
    context = click.Context(tree, info_name="ganger", obj=App(Path(), ""), resilient_parsing=True)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        if found is None:
            return f"there is no {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, context, info_name=command.name, resilient_parsing=True)
    wanted = [one for one in command.params if isinstance(one, click.Argument)]
    context.resilient_parsing = False
    parser = command.make_parser(context)
    parser.interspersed_args = True
    try:
        given, rest, _ = parser.parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    missing = [one.name for one in command.params if one.required and not is_given(given.get(str(one.name)))]
    many = any(one.nargs == -1 for one in wanted)
    return "" if not missing and (many or not rest) else f"arguments do not fit: {missing}, {rest}"


def is_given(value: object) -> bool:
    return isinstance(value, (str, list, tuple)) and bool(value)


LINES = [(name, line) for name, skill in SKILLS.items() for line in quoted(skill.text) if line.startswith("ganger ")]


@pytest.mark.parametrize(("name", "line"), LINES)
def test_every_command_of_a_skill_exists(name: str, line: str) -> None:
    assert fault(line) == ""


def test_enough_was_looked_at() -> None:
    assert len(LINES) > 60 and {name for name, _ in LINES} == set(SKILLS)


@pytest.mark.parametrize(
    "line",
    [
        "ganger dispatch",
        "ganger plan fix FILE",
        "ganger log RUN --tail",
        "ganger log RUN -n",
        "ganger stop",
        "ganger skills install a b",
        "ganger follow-up --title x",
        "ganger status --all",
        "ganger config explain --yaml",
    ],
)
def test_a_command_that_there_is_not_would_be_seen(line: str) -> None:
    assert fault(line)


@pytest.mark.parametrize("name", SKILLS)
def test_a_skill_is_short_and_knows_no_repository(name: str) -> None:
    skill = SKILLS[name]
    assert len(skill.text.splitlines()) <= LINES_MAX
    assert 40 < len(skill.description) <= 1024 and "Use when" in skill.description
    assert "ganger config explain --json" in skill.text
    assert not FIXED.search(skill.text)


LAYOUTS = {
    "plain": '[checks.unit]\nrun = "true"\n[agents.default]\ndriver = "command"\nrun = "true"\n',
    "else": (
        '[fleet]\nworkers_max = 5\n[checks.all]\nrun = "true"\n[lanes.ui]\npaths = ["web/**"]\n'
        '[agents.fast]\ndriver = "command"\nrun = "true"\nprice = "free"\n'
        '[budget]\nusd_max = 3\n[budget.item]\nwall_max = "3m"\n'
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_key_that_a_skill_names_is_explained(fleet: Fleet, layout: str) -> None:
    """The same text in two repositories with other names: what it looks for is there in both."""
    fleet.begin()
    (fleet.repo / "ganger.toml").write_text(LAYOUTS[layout])
    done = fleet.ganger("config", "explain", "--json")
    assert done.code == 0, done
    told = {one["key"] for one in json.loads(done.out)["settings"]}
    known = {re.sub(r"^(agents|checks|lanes)\.[^.]+\.", r"\1.NAME.", key) for key in told}
    named = {line for skill in SKILLS.values() for line in quoted(skill.text) if KEY.fullmatch(line)}
    assert len(named) > 8
    optional = set() if layout == "else" else {"lanes.NAME.paths"}
    assert named - known - optional == set()


def installed(fleet: Fleet) -> dict[str, str]:
    home = Path(fleet.env["HOME"])
    return {str(path.relative_to(home)): path.read_text() for path in sorted(home.rglob(f"ganger-*/{FILE}"))}


PLACES = {"claude": ".claude", "codex": ".codex", "opencode": ".config/opencode", "pi": ".pi/agent"}


@pytest.mark.parametrize("agent", PLACES)
def test_twice_is_once_and_taken_away_leaves_nothing(fleet: Fleet, agent: str) -> None:
    fleet.repo.mkdir(exist_ok=True)
    home = Path(fleet.env["HOME"])
    before = sorted(home.rglob("*"))
    (home / PLACES[agent]).mkdir(parents=True)
    shown = fleet.ganger("skills", "install", "--dry-run")
    assert shown.code == 0 and shown.out.count("+++ ") == len(SKILLS) and installed(fleet) == {}
    assert fleet.ganger("skills", "install").out == shown.out, "what was shown is what is done"
    found = installed(fleet)
    assert found == {f"{PLACES[agent]}/skills/{name}/{FILE}": marked(one.text) for name, one in SKILLS.items()}
    again = fleet.ganger("skills", "install", agent)
    assert (again.code, again.out, installed(fleet)) == (0, "", found)
    listed = json.loads(fleet.ganger("skills", "list", "--json").out)["skills"]
    assert [one["installed"] for one in listed] == [[agent]] * len(SKILLS)
    gone = fleet.ganger("skills", "install", agent, "--uninstall")
    assert gone.code == 0 and gone.out.count("--- ") >= len(SKILLS)
    assert fleet.ganger("skills", "install", agent, "--uninstall").out == ""
    assert not (home / PLACES[agent] / "skills").exists()
    for folder in (home / PLACES[agent], *(home / PLACES[agent]).parents):
        if folder not in (home, *home.parents):
            folder.rmdir()
    assert sorted(home.rglob("*")) == before


def test_what_is_not_ours_stays(fleet: Fleet, tmp_path: Path) -> None:
    fleet.repo.mkdir(exist_ok=True)
    folder = tmp_path / "skills"
    for name in SKILLS:
        (folder / name).mkdir(parents=True)
    plan, review, supervise, work = (folder / name / FILE for name in sorted(SKILLS))
    plan.write_text("---\nname: ganger-plan\ndescription: mine\n---\nMine.\n")
    review.write_text(marked(SKILLS["ganger-review"].text).replace("You change nothing.", "Be kind."))
    (tmp_path / "target").write_text(marked("linked\n"))
    supervise.symlink_to(tmp_path / "target")
    work.write_text(marked("An older text of ours.\n"))
    before = [path.read_text() for path in (plan, review, supervise)]
    done = fleet.ganger("skills", "install", str(folder))
    assert done.code == 1
    assert f"{plan} stays as it is: ganger did not write it" in done.err
    assert f"{review} stays as it is: somebody has changed it since ganger wrote it" in done.err
    assert f"{supervise} stays as it is: it is a link" in done.err
    assert work.read_text() == marked(SKILLS["ganger-work"].text), "an older one of ours is replaced"
    assert fleet.ganger("skills", "install", str(folder), "--uninstall").code == 1
    assert [path.read_text() for path in (plan, review, supervise)] == before
    assert not work.parent.exists() and (tmp_path / "target").exists()


def test_ours_is_known_by_its_content() -> None:
    text = SKILLS["ganger-work"].text
    assert is_ours(marked(text)) and is_ours(marked("older\n"))
    assert not is_ours(text)
    assert not is_ours(marked(text).replace("worker", "Worker", 1))
    assert not is_ours(marked(text) + "more\n")


def test_whom_it_is_for_must_be_known(fleet: Fleet) -> None:
    fleet.repo.mkdir(exist_ok=True)
    assert fleet.ganger("skills", "install").code == 2
    done = fleet.ganger("skills", "install", "cluade")
    assert done.code == 2 and "./cluade" in done.err
    assert fleet.ganger("skills", "install", "").code == 2, "a variable that is not set is not this folder"
    assert not list(fleet.repo.glob("ganger-*"))
    worker = fleet.ganger("skills", "install", "claude", env={"GANGER_RUN": "a.1"})
    assert worker.code == 1 and "may not" in worker.err
