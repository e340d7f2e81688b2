"""Kinds as files: which place says what, what workers are told, what is wrong with a file, and who agreed to it."""

# ruff: noqa: E501 - a message is one line, in the table as on the screen
from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from ganger.core.model import Budget, Kind, Writes
from ganger.core.patterns import PathRules
from ganger.errors import ConfigError
from ganger.plans.port import Plan, read_plan
from ganger.service.config import Config, load
from ganger.service.kinds import Rulebook, Rules, places
from ganger.service.trust import digest_of, what_runs

AGENTS = """\
[agents.small]
driver = "command"
run = "true"
[agents.big]
driver = "command"
run = "true"
models = ["m-1", "m-2"]
model = "m-1"
"""


class Desk:
    """A project and a user's configuration, and what is loaded from both."""

    def __init__(self, root: Path) -> None:
        self.top, self.user = root / "project", root / "config" / "ganger"
        self.top.mkdir()

    def write(self, files: Mapping[str, str]) -> Desk:
        """Write files: those of the user below `user/`, all others into the project."""
        for name, text in files.items():
            path = self.user / name.removeprefix("user/") if name.startswith("user/") else self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self

    def load(self) -> Config:
        return load(self.top, self.user / "config.toml", {"PATH": "/bin:/usr/bin"}, {})

    def rules(self, agreed: set[str]) -> Rules:
        where = places(self.top, self.user / "config.toml")
        return Rules(where, self.load().rulebook, agreed.__contains__)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def kind_of(config: Config, name: str) -> Kind:
    return next(kind for kind in config.kinds if kind.name == name)


def test_each_place_stands_over_the_one_before_key_by_key(desk: Desk) -> None:
    layers = (
        ("user/kinds/tester.md", "+++\nworkers_max = 2\nspawn = ['scout']\n+++\n"),
        ("user/config.toml", "[kinds.tester]\nworkers_max = 3\n"),
        (".ganger/kinds/tester.md", "+++\nworkers_max = 4\nspawn_max = 7\n+++\n"),
        ("ganger.toml", "[kinds.tester]\nworkers_max = 5\n"),
    )
    seen = [kind_of(desk.load(), "tester").workers_max]
    for name, text in layers:
        seen.append(kind_of(desk.write({name: text}).load(), "tester").workers_max)
    assert seen == [None, 2, 3, 4, 5]
    config = desk.load()
    assert kind_of(config, "tester") == Kind("tester", 5, Writes.tests, ("scout",), 1, 7)
    found = {one.key.removeprefix("kinds.tester."): (one.source, one.path, one.line) for one in config.explain()}
    assert found["writes"] == ("built-in", "ganger/kinds/tester.md", 3)
    assert found["spawn"] == ("user", str(desk.user / "kinds/tester.md"), 3)
    assert found["spawn_max"] == ("project", ".ganger/kinds/tester.md", 3)
    assert found["workers_max"] == ("project", "ganger.toml", 2)
    overridden = next(one.overrides for one in config.explain() if one.key == "kinds.tester.workers_max")
    assert overridden == ("user", "user", "project")


def test_a_file_can_close_a_kind_off_in_the_jail_as_the_table_does(desk: Desk) -> None:
    desk.write({".ganger/kinds/guest.md": '+++\nwrites = "none"\nnetwork = "none"\nlimits = { files_max = 9 }\n+++\n'})
    bounds = desk.load().jail.bounds
    assert (bounds.kinds["guest"].read_only, bounds.kinds["guest"].network) == (True, "none")
    assert bounds.kinds["guest"].limits.files == 9
    assert not bounds.kinds.get("patcher"), "the others are as they were"


BASE = "- Do what this text asks for and nothing besides."


def test_texts_of_all_places_are_told_and_none_takes_one_away(desk: Desk) -> None:
    built_in = desk.load().rulebook.told("scout")
    assert built_in.startswith(f"## Rules\n\n{BASE}")
    desk.write(
        {
            "user/rules.md": "- From the user.\n",
            ".ganger/rules.md": "- From the project.\n",
            "user/kinds/scout.md": "+++\nintent = 'Looks'\n+++\n- The user's scout.\n",
            ".ganger/kinds/scout.md": "- The project's scout.\n",
            ".ganger/kinds/empty.md": "",
        }
    )
    book = desk.load().rulebook
    told = book.told("scout")
    order = [BASE, "- From the user.", "- From the project.", "## As a scout", "Looks", "- You can read everything"]
    at = [told.index(text) for text in (*order, "- The user's scout.", "- The project's scout.")]
    assert at == sorted(at)
    base = built_in[: built_in.index("## As a scout")].rstrip()
    for kind in (*book.kinds, "nobody described it"):
        assert book.told(kind).startswith(base), "whatever a place says, the built-in rules are told"
    assert book.told("empty") == book.told("nobody described it")


TRIES = (
    "+++\nrules = ''\n+++\n",
    "+++\nbase = false\n+++\n",
    "+++\n[rules]\nreplace = true\n+++\n",
)


@pytest.mark.parametrize("text", TRIES)
def test_no_setting_of_a_kind_stands_for_the_base_rules(desk: Desk, text: str) -> None:
    desk.write({".ganger/kinds/scout.md": text})
    with pytest.raises(ConfigError, match=r"unknown key `kinds\.scout\."):
        desk.load()


PLACE = ".ganger/kinds/scout.md"
FAULTS = [
    (PLACE, "+++\nwrites = 'all'\n+++\n", f"{PLACE}:2: `kinds.scout.writes` cannot be `all` (one of `scope`, `tests`, `plans`, `none`)"),
    (PLACE, "+++\n\nwrits = 'none'\n+++\n", f"{PLACE}:3: unknown key `kinds.scout.writs` (did you mean `writes`?)"),
    (PLACE, "+++\nwrites = \n+++\n", f"{PLACE}:2: is not TOML: Invalid value"),
    (PLACE, "+++\nwrites = 'none'\n", f"{PLACE}:1: opens its settings with `+++` and does not close them (end them with `+++`)"),
    (PLACE, "---\nwrites: none\n---\n", f"{PLACE}:1: begins with `---` (settings are TOML, between two lines of `+++`)"),
    (PLACE, "one\ntwo \u202e three\n", f"{PLACE}:2: holds U+202E, which does not show (take it out)"),
    (PLACE, "x" * 70_000, f"{PLACE}: is larger than 64 KiB"),
    (PLACE, "+++\nlimits = { files_max = 0 }\n+++\n", f"{PLACE}:2: `kinds.scout.limits.files_max` is `0`, must be 1 to 4,194,304"),
    (PLACE, "+++\nspawn = ['scuot']\n+++\n", f"{PLACE}:2: `kinds.scout.spawn` names no kind: `scuot` (did you mean `scout`?)"),
    (PLACE, "+++\nspawn_max = 2\n+++\n", f"{PLACE}:2: `kinds.scout.spawn_max` has no effect: `spawn` names no kind (take it out, or name one)"),
    (PLACE, "+++\nagent = 'smal'\n+++\n", f"{PLACE}:2: `kinds.scout.agent` names no agent: `smal` (did you mean `small`?)"),
    (PLACE, "+++\nmodel = 'm-1'\n+++\n", f"{PLACE}:2: `kinds.scout.model` is of no agent (name it too: kinds.scout.agent)"),
    (PLACE, "+++\nagent = 'big'\nmodel = 'm-3'\n+++\n", f"{PLACE}:3: `kinds.scout.model` is `m-3`, and `agents.big.models` has `m-1`, `m-2` (name one of them)"),
    (PLACE, "+++\nseeding = 'inherit'\n+++\n", f"{PLACE}:2: `kinds.scout.seeding` needs an agent that can (name it: kinds.scout.agent)"),
    (".ganger/rules.md", "+++\nwrites = 'none'\n+++\n", ".ganger/rules.md:1: holds settings, and these rules are for every kind (put them into a kind's file)"),
    (".ganger/kinds/rules.md", "- Be good.\n", ".ganger/kinds/rules.md: is the name of no kind (rules for every kind lie beside the folder `kinds`)"),
    (".ganger/kinds/a b.md", "+++\nwrites = 'none'\n+++\n", ".ganger/kinds/a b.md:1: `kinds.a b` is no name: it may hold only letters, digits, `_` and `-`, and begins with a letter or digit"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "said"), FAULTS, ids=[said for _, _, said in FAULTS])
def test_what_is_wrong_with_a_file_is_said_with_its_line(desk: Desk, name: str, text: str, said: str) -> None:
    desk.write({"ganger.toml": AGENTS, name: text})
    with pytest.raises(ConfigError) as error:
        desk.load()
    assert error.value.message.splitlines() == [said]
    assert error.value.exit_code == 2


def test_faults_of_all_files_are_said_at_once(desk: Desk) -> None:
    desk.write({"user/kinds/x.md": "+++\na = 1\n+++\n", ".ganger/kinds/x.md": "+++\nb = 1\n+++\n"})
    desk.write({"ganger.toml": "[kinds.x]\nc = 1\n", ".ganger/kinds/y.md": "+++\n"})
    with pytest.raises(ConfigError) as error:
        desk.load()
    said = [line.partition(" (")[0] for line in error.value.message.splitlines()]
    assert said == [
        f"{desk.user}/kinds/x.md:2: unknown key `kinds.x.a`",
        ".ganger/kinds/x.md:2: unknown key `kinds.x.b`",
        ".ganger/kinds/y.md:1: opens its settings with `+++` and does not close them",
        "ganger.toml:2: unknown key `kinds.x.c`",
    ]


def test_what_is_no_plain_file_is_a_fault_and_no_wait(desk: Desk) -> None:
    folder = desk.top / ".ganger" / "kinds"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.md")
    (folder / "gone.md").symlink_to("nowhere")
    (folder / "dir.md").mkdir()
    (folder / ".#scout.md").symlink_to("an editor's lock")
    (folder / "notes.txt").write_text("+++\nno kind\n")
    with pytest.raises(ConfigError) as error:
        desk.load()
    assert error.value.message.splitlines() == [
        ".ganger/kinds/dir.md: is not a regular file",
        ".ganger/kinds/gone.md: cannot be read: No such file or directory",
        ".ganger/kinds/pipe.md: is not a regular file",
    ]


def plan_of(desk: Desk, config: Config, more: str) -> Plan:
    path = desk.top / "p.toml"
    path.write_text(f'[plan]\nid = "p"\n[[item]]\nid = "a"\ntitle = "t"\nscope = ["x"]\nchecks = []\n{more}')
    plan, faults = read_plan(path, config.known(PathRules()))
    assert plan is not None, faults
    return plan


def test_items_take_from_their_kind_what_they_do_not_say(desk: Desk) -> None:
    desk.write(
        {
            "ganger.toml": f"{AGENTS}[budget.item]\nusd_max = 3\ntokens_max = 900\n[agents.default]\ndriver = 'command'\nprice = 'free'\n"
        }
    )
    desk.write({".ganger/kinds/scout.md": "+++\nagent = 'small'\nbudget = { usd_max = 0.5 }\n+++\n"})
    config = desk.load()
    for more, agent, budget in (
        ("", "default", Budget(3_000_000, 900)),
        ('kind = "scout"', "small", Budget(500_000, 900)),
        ('kind = "scout"\nagent = "big"\nbudget = { usd_max = 1 }', "big", Budget(1_000_000, 900)),
    ):
        spec = plan_of(desk, config, more).items[0].spec
        assert (spec.agent, spec.budget) == (agent, budget), more


def test_a_kinds_budget_that_can_never_be_spent_is_a_fault(desk: Desk) -> None:
    desk.write({"ganger.toml": "[budget]\ntokens_max = 10\n", PLACE: "+++\nbudget = { tokens_max = 11 }\n+++\n"})
    with pytest.raises(ConfigError, match=r"scout.md:2: `kinds.scout.budget.tokens_max` \(11\) has no effect"):
        desk.load()


@pytest.mark.parametrize(
    ("user", "project", "said"),
    [
        ("", 'models = ["a"]\nmodel = "a"', ""),
        ("", 'model = "anything"', ""),
        ("", 'models = ["a"]\nmodel = "b"', "`agents.x.model` is `b`, and `agents.x.models` has `a` (name one of them as its `model`)"),
        ("", 'models = ["a"]', "`agents.x.models` is left to the program, and `agents.x.models` has `a` (name one of them as its `model`)"),
        ('models = ["a"]', 'models = ["a", "b"]\nmodel = "b"', "`agents.x.model` is `b`, and `agents.x.models` has `a` (name one of them as its `model`)"),
        ('models = ["a", "b"]', 'models = ["b"]\nmodel = "b"', ""),
        ('models = ["a"]', 'models = ["b"]\nmodel = "b"', "`agents.x.model` is `b`, and `agents.x.models` has none (name one of them as its `model`)"),
    ],
)  # fmt: skip
def test_only_models_on_the_list_and_a_project_cannot_lengthen_it(
    desk: Desk, user: str, project: str, said: str
) -> None:
    desk.write({"user/config.toml": f"[agents.x]\n{user}\n", "ganger.toml": f"[agents.x]\ndriver = 'pi'\n{project}\n"})
    if not said:
        assert desk.load().agents["x"].driver == "pi"
        return
    with pytest.raises(ConfigError) as error:
        desk.load()
    assert [line.split(": ", 1)[1] for line in error.value.message.splitlines()] == [said]


def test_a_person_agrees_to_what_the_project_has_told_and_not_to_what_is_their_own(desk: Desk) -> None:
    plain = desk.load()
    assert (what_runs(plain), plain.rulebook.of_project) == ((), ())
    own = desk.write({"user/rules.md": "- Mine.\n", "user/kinds/scout.md": "- Mine.\n"}).load()
    assert digest_of(own) == digest_of(plain)
    digests = {digest_of(plain)}
    changes = (
        {".ganger/rules.md": "- A.\n"},
        {".ganger/rules.md": "- B.\n"},
        {".ganger/kinds/scout.md": "- B.\n"},
        {".ganger/kinds/scout.md": "+++\nworkers_max = 1\n+++\n- B.\n"},
        {".ganger/kinds/scout.md": "+++\nworkers_max = 2\n+++\n- B.\n"},
    )
    for count, files in enumerate(changes, 2):
        config = desk.write(files).load()
        digests.add(digest_of(config))
        assert len(digests) == count, files
    assert [line.partition(" sha256=")[0] for line in what_runs(config)] == [
        "told to workers: .ganger/kinds/scout.md",
        "told to workers: .ganger/rules.md",
    ]


def test_a_changed_rule_is_in_force_at_the_next_start_once_it_is_agreed_to(desk: Desk) -> None:
    desk.write({".ganger/rules.md": "- First.\n"})
    agreed: set[str] = set()
    rules = desk.rules(agreed)
    assert "- First." in rules.now().rulebook.told("patcher")
    desk.write({".ganger/rules.md": "- Second.\n", ".ganger/kinds/scout.md": "- New.\n", "user/rules.md": "- Mine.\n"})
    found = rules.now()
    assert "- First." in found.rulebook.told("patcher") and "- Second." not in found.rulebook.told("patcher")
    assert found.left_out == "nobody has agreed to .ganger/kinds/scout.md, .ganger/rules.md as it is now"
    agreed.add(desk.load().rulebook.digest)
    found = rules.now()
    assert found.left_out == "" and "- Second." in found.rulebook.told("patcher")
    assert "- Mine." in found.rulebook.told("patcher")
    (desk.top / ".ganger/rules.md").unlink()
    assert "- Second." in rules.now().rulebook.told("patcher"), "taking a rule away is a change like any other"
    assert rules.now().left_out == "nobody has agreed to .ganger/rules.md as it is now"


def test_the_users_own_rules_need_nobodys_word(desk: Desk) -> None:
    rules = desk.rules(set())
    desk.write({"user/rules.md": "- Mine.\n"})
    assert "- Mine." in rules.now().rulebook.told("patcher")


def test_a_broken_file_leaves_in_force_what_was(desk: Desk) -> None:
    desk.write({"user/kinds/scout.md": "- Whole.\n"})
    rules = desk.rules(set())
    desk.write({"user/kinds/scout.md": "+++\n- Broken.\n"})
    found = rules.now()
    assert "- Whole." in found.rulebook.told("scout")
    assert found.left_out.startswith(f"{desk.user}/kinds/scout.md:1: opens its settings")


def test_texts_that_are_read_anew_leave_settings_as_they_were_and_the_intent_with_them(desk: Desk) -> None:
    rules = desk.rules(set())
    before = rules.now().rulebook
    desk.write({"user/kinds/scout.md": "+++\nintent = 'Another'\n+++\n- More.\n"})
    after = rules.now().rulebook
    assert after.intents == before.intents and "- More." in after.told("scout")
    assert desk.load().rulebook.intents["scout"] == "Another"


def test_a_book_without_anything_tells_nothing() -> None:
    assert Rulebook().told("scout") == ""
    assert Rulebook(intents={"scout": "Looks"}).told("scout") == "## As a scout\n\nLooks"


@pytest.mark.parametrize(
    ("kind", "more", "reads", "mode"),
    [
        ("patcher", "", False, "exclusive"),
        ("scout", "", True, "shared"),
        ("scout", 'mode = "exclusive"', True, "exclusive"),
        ("tester", "", False, "exclusive"),
        ("own", "", True, "shared"),
        ("unheard-of", "", False, "exclusive"),
    ],
)
def test_an_item_of_a_kind_that_writes_nothing_asks_for_no_change(
    desk: Desk, kind: str, more: str, reads: bool, mode: str
) -> None:
    desk.write(
        {
            ".ganger/kinds/own.md": "+++\nwrites = 'none'\n+++\n",
            "ganger.toml": AGENTS + "[agents.default]\ndriver = 'command'\n",
        }
    )
    spec = plan_of(desk, desk.load(), f'kind = "{kind}"\n{more}').items[0].spec
    assert (spec.reads, spec.mode.value) == (reads, mode)
