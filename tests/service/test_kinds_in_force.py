"""Which kinds a supervisor works with while their files change under it: what is taken over, what waits, what is said."""

# ruff: noqa: E501 - a message is one line, in the table as on the screen

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from msgspec.structs import replace

from ganger.core import commands as cmd
from ganger.core.ids import ItemId, PlanId, RunId
from ganger.core.model import EndKind, Kind, Refusal, WorkerId, Writes
from ganger.core.patterns import PathRules
from ganger.service import door, trust
from ganger.service.config import CONFIG_NAME, Config, load
from ganger.service.fleet import Fleet
from ganger.service.kinds import places
from ganger.service.kinds_in_force import KindsInForce, Standing, changed_besides, digest_of, kept, merged
from ganger.testing.builders import BASE, spec
from ganger.testing.memory_store import MemoryStore

READER = "+++\nwrites = 'none'\n+++\n- Watch the gate.\n"
WRITER = "+++\nwrites = 'scope'\n+++\n"
UNAGREED = "nobody has agreed to it yet (ganger kinds agree)"


class Office:
    """A project, a user's configuration and a fleet whose supervisor looks at both."""

    def __init__(self, root: Path) -> None:
        self.top, self.user, self.state = root / "project", root / "config" / "ganger", root / "state"
        for folder in (self.top, self.user, self.state):
            folder.mkdir(parents=True)
        self.said: list[str] = []
        self.adopted: list[Config] = []
        self.fleet: Fleet
        self.kinds: KindsInForce

    def write(self, files: Mapping[str, str | None]) -> Office:
        """Write files, or take them away: those of the user below `user/`, all others in the project."""
        for name, text in files.items():
            path = self.user / name.removeprefix("user/") if name.startswith("user/") else self.top / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                path.unlink()
            else:
                path.write_text(text)
        return self

    def load(self) -> Config:
        return load(self.top, self.user / "config.toml", {"PATH": "/bin:/usr/bin"}, {"fleet.workers_max": "8"})

    def begin(self, *items: tuple[str, str]) -> KindsInForce:
        """Begin a supervisor, over items with their kinds, each with a live run."""
        config = self.load()
        self.fleet = Fleet(MemoryStore(), config.policy(PathRules(), 0, "main"))
        for name, kind in items:
            self.grant(name, kind)
        self.kinds = KindsInForce(
            self.state,
            self.fleet,
            config,
            self.load,
            lambda found: places(self.top, self.user / "config.toml", found.packages),
            (self.top / CONFIG_NAME, self.user / "config.toml"),
            lambda digest: trust.is_trusted(self.state, digest),
            lambda found, policy: self.adopted.append(found),
            self.said.append,
        )
        assert not self.kinds.look() and not self.said, "nothing has changed yet"
        return self.kinds

    def grant(self, name: str, kind: str) -> object:
        """Add an item and begin a run of it; the refusal where there is one."""
        item = replace(spec(name, kind=kind, scope=(f"src/{name}/**",)), plan=PlanId(f"of-{name}"))
        added = self.fleet.submit(cmd.AddPlan(item.plan, "P", "", "1", ((item, ""),)), "person:dana")
        assert not isinstance(added, Refusal), added
        return self.fleet.submit(cmd.GrantRun(ItemId(name), BASE, "", True), "person:dana")

    def end(self, name: str) -> None:
        run = RunId(f"{name}.1")
        live = self.fleet.look(lambda state, _: state.runs[run])
        ended = self.fleet.submit(cmd.RecordEnd(run, live.lease.token, EndKind.failed, "it crashed"), "supervisor")
        assert not isinstance(ended, Refusal), ended

    def kind(self, name: str) -> Kind:
        return self.fleet.policy.kind(name)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_new_kind_is_in_force_from_the_next_look_on(office: Office) -> None:
    kinds = office.begin(("a", "patcher"))
    office.write({"user/kinds/guard.md": READER})
    assert kinds.look()
    assert office.kind("guard") == Kind("guard", writes=Writes.none)
    (config,) = office.adopted
    assert config.jail.bounds.kinds["guard"].read_only and "- Watch the gate." in config.rulebook.told("guard")
    assert office.said == ["kinds: in force for runs that begin from here on: `guard`"]
    assert door.kept_policy(office.state) == office.fleet.policy, "other processes decide by it too"
    assert kept(office.state) == kinds.standing and kinds.standing.kinds["guard"] == {"writes": '"none"'}
    assert not kinds.look() and not kinds.is_waited_for


def test_an_intent_and_a_text_alone_come_without_a_word(office: Office) -> None:
    kinds = office.begin(("a", "scout"))
    office.write({"user/kinds/scout.md": "+++\nintent = 'Looks far'\n+++\n- More.\n"})
    assert kinds.look() and office.said == []
    assert "Looks far" in office.adopted[-1].rulebook.told("scout")


def test_other_rights_wait_for_the_runs_that_began_with_the_old_ones(office: Office) -> None:
    office.write({"user/kinds/guard.md": WRITER})
    kinds = office.begin(("a", "guard"), ("b", "patcher"))
    office.write({"user/kinds/guard.md": READER, "user/kinds/new.md": READER})
    assert kinds.look()
    why = "has changed, and a.1 began with it as it was"
    assert office.kind("guard").writes is Writes.scope and office.kind("new").writes is Writes.none
    config = office.adopted[-1]
    assert not config.jail.bounds.kinds.get("guard"), "its live run keeps what it began with"
    assert {one.value for one in config.settings if one.key == "kinds.guard.writes"} == {'"scope"'}
    assert kinds.standing.waits == {"guard": why}
    refused = office.grant("c", "guard")
    assert isinstance(refused, Refusal) and refused.reason == f"kind guard {why}"
    assert not isinstance(office.grant("d", "patcher"), Refusal)
    assert not kinds.look(), "a.1 lives"
    office.end("a")
    assert kinds.look()
    assert office.kind("guard").writes is Writes.none and office.adopted[-1].jail.bounds.kinds["guard"].read_only
    assert not isinstance(office.fleet.submit(cmd.GrantRun(ItemId("c"), BASE, "", True), "person:dana"), Refusal)
    assert office.said == [
        "kinds: in force for runs that begin from here on: `new`",
        f"kinds: guard {why}; no run of it begins",
        "kinds: in force for runs that begin from here on: `guard`",
    ]


def test_how_many_runs_there_may_be_waits_for_none(office: Office) -> None:
    kinds = office.begin(("a", "scout"))
    office.write({"user/kinds/scout.md": "+++\nworkers_max = 1\n+++\n"})
    assert kinds.look() and not kinds.is_waited_for
    refused = office.grant("b", "scout")
    assert isinstance(refused, Refusal) and refused.reason == "1 of 1 workers of kind scout are busy"


@pytest.mark.parametrize("settings", ["network = 'none'", "limits = { files_max = 9 }", "spawn = ['scout']"])
def test_every_right_of_a_live_run_stays_with_it(office: Office, settings: str) -> None:
    kinds = office.begin(("a", "tester"))
    before = office.fleet.policy
    office.write({"user/kinds/tester.md": f"+++\n{settings}\n+++\n"})
    assert kinds.look()
    assert list(kinds.standing.waits) == ["tester"]
    assert replace(office.fleet.policy, kinds_waiting=()) == before
    assert kinds.config.jail == office.adopted[0].jail and not kinds.config.jail.bounds.kinds.get("tester")


def test_a_kind_that_is_described_for_the_first_time_waits_for_runs_that_began_without(office: Office) -> None:
    kinds = office.begin(("a", "guard"))
    office.write({"user/kinds/guard.md": READER})
    assert kinds.look() and list(kinds.standing.waits) == ["guard"]
    office.end("a")
    assert kinds.look() and office.kind("guard").writes is Writes.none


def test_a_kind_that_is_taken_away_begins_no_run_with_the_rights_of_one_that_nobody_describes(office: Office) -> None:
    office.write({"user/kinds/guard.md": READER, "user/kinds/plain.md": "- Be quick.\n"})
    kinds = office.begin()
    office.write({"user/kinds/guard.md": None, "user/kinds/plain.md": None})
    assert kinds.look()
    refused = office.grant("a", "guard")
    assert isinstance(refused, Refusal) and refused.reason == "kind guard is described nowhere any more"
    assert office.kind("guard").writes is Writes.none
    assert not isinstance(office.grant("b", "plain"), Refusal), "its rights are those of any other"
    office.write({"user/kinds/guard.md": READER})
    assert kinds.look() and not kinds.is_waited_for


def test_nobody_begins_a_run_between_a_change_and_the_next_look(office: Office) -> None:
    office.write({"user/kinds/patcher.md": "+++\nspawn = ['scout']\n+++\n"})
    office.begin(("a", "patcher"))
    run = office.fleet.look(lambda state, _: state.runs[RunId("a.1")])
    office.fleet.submit(cmd.RecordStart(run.id, run.lease.token, 1, WorkerId(1, 1, "b")), "supervisor")
    child = cmd.SpawnChild(run.id, run.lease.token, "scout", "Look", "Look at it.")
    office.write({"ganger.toml": "[kinds.scout]\nwrites = 'tests'\n", "user/kinds/guard.md": READER})
    refused = office.fleet.submit(child, "worker:a.1")
    assert isinstance(refused, Refusal), "by a worker"
    assert refused.reason == f"kind scout is not in force as it is written: {UNAGREED}"
    assert isinstance(office.grant("b", "guard"), Refusal), "by hand"
    office.write({"ganger.toml": ""})
    assert not isinstance(office.fleet.submit(child, "worker:a.1"), Refusal)
    assert office.kind("guard").writes is Writes.none


REFUSED = [
    ("all else is as it was", {"user/config.toml": "[recovery]\nturns_max = 7\n"}, "`recovery.turns_max` changed too, which waits for the next supervisor"),
    ("nothing is wrong", {".ganger/kinds/b.md": "+++\nwrits = 1\n+++\n"}, ".ganger/kinds/b.md:2: unknown key `kinds.b.writs` (did you mean `writes`?)"),
    ("somebody agreed to files", {".ganger/rules.md": "- Ours.\n"}, UNAGREED),
    ("somebody agreed to settings", {"ganger.toml": "[kinds.scout]\nworkers_max = 2\n"}, UNAGREED),
    ("there is a gateway", {"user/kinds/far.md": "+++\nnetwork = 'gateway'\n+++\n"}, "whether there is a gateway changed too, which waits for the next supervisor"),
]  # fmt: skip


@pytest.mark.parametrize(("holds", "files", "why"), REFUSED, ids=[holds for holds, _, _ in REFUSED])
def test_only_where(office: Office, holds: str, files: dict[str, str], why: str) -> None:
    kinds = office.begin()
    before = office.fleet.policy
    office.write({"user/kinds/guard.md": READER, **files})
    assert kinds.look()
    assert replace(office.fleet.policy, kinds_waiting=()) == before
    refused = office.grant("a", "guard")
    assert isinstance(refused, Refusal)
    assert refused.reason == f"kind guard is not in force as it is written: {why}"
    assert not isinstance(office.grant("b", "patcher"), Refusal), "what was in force still is"
    told = f"kinds: guard is not in force as it is written: {why}; no run of it begins"
    assert office.said.count(told) == 1 and not kinds.look(), "what is said is said once"
    office.write(dict.fromkeys(files))
    assert kinds.look() and office.kind("guard").writes is Writes.none
    assert not kinds.standing.waits


def test_a_known_kind_with_other_rights_waits_too_and_one_with_another_number_goes_on(office: Office) -> None:
    kinds = office.begin()
    office.write({"ganger.toml": "[kinds.scout]\nwrites = 'scope'\n[kinds.tester]\nworkers_max = 2\n"})
    assert kinds.look()
    assert kinds.standing == Standing(
        kinds.standing.kinds,
        {"scout": f"is not in force as it is written: {UNAGREED}"},
        {"tester": f"goes on as it was: {UNAGREED}"},
    )
    assert isinstance(office.grant("a", "scout"), Refusal) and not isinstance(office.grant("b", "tester"), Refusal)
    trust.trust(office.state, digest_of(office.load()), "person:dana")
    assert kinds.look() and not kinds.is_waited_for
    assert (office.kind("scout").writes, office.kind("tester").workers_max) == (Writes.scope, 2)


def test_what_a_supervisor_began_with_or_took_over_needs_no_other_word(office: Office) -> None:
    office.write({".ganger/kinds/guard.md": READER})
    kinds = office.begin()
    office.write({".ganger/kinds/guard.md": WRITER})
    trust.trust(office.state, digest_of(office.load()), "person:dana")
    assert kinds.look() and office.kind("guard").writes is Writes.scope
    for text, writes in ((READER, Writes.none), (WRITER, Writes.scope)):
        office.write({".ganger/kinds/guard.md": text})
        assert kinds.look() and office.kind("guard").writes is writes
    office.write({".ganger/kinds/guard.md": READER + "- And more.\n"})
    assert kinds.look() and office.kind("guard").writes is Writes.scope
    assert kinds.standing.waits["guard"].endswith(UNAGREED)


def test_a_broken_file_of_a_kind_that_was_not_there_keeps_its_items_waiting(office: Office) -> None:
    kinds = office.begin()
    office.write({"user/kinds/guard.md": "+++\nwrites = 'none\n+++\n"})
    assert kinds.look()
    refused = office.grant("a", "guard")
    assert isinstance(refused, Refusal) and "guard.md:2: is not TOML" in refused.reason
    assert not isinstance(office.grant("b", "of-nobody"), Refusal), "a kind that nobody describes has no file"


def test_merging_is_what_each_kind_says_by_itself(office: Office) -> None:
    """Against the slow way: each kind looked at alone, over all ways to change, take away and add three kinds."""
    texts = (None, WRITER, READER)
    names = ("a", "b")
    for was in ((one, other) for one in texts for other in texts):
        before = _loaded(office, names, was)
        for now in ((one, other) for one in texts for other in texts):
            found = _loaded(office, names, now)
            for live in ({}, {"a": (RunId("x.1"),)}, {"b": (RunId("y.1"),)}):
                taken = merged(before, found, live)
                writes = {kind.name: kind.writes for kind in taken.config.kinds}
                for name, old, new in zip(names, was, now, strict=True):
                    differs = (old == READER) != (new == READER)
                    stays = differs and (name in live or new is None)
                    assert (name in taken.waits) == stays
                    right = old if stays else new
                    assert (writes.get(name, Writes.scope) is Writes.none) == (right == READER)
                    bound = taken.config.jail.bounds.kinds.get(name)
                    assert (bound is not None and bound.read_only) == (right == READER)


def _loaded(office: Office, names: tuple[str, ...], texts: tuple[str | None, ...]) -> Config:
    for name, text in zip(names, texts, strict=True):
        (office.user / f"kinds/{name}.md").unlink(missing_ok=True)
        if text is not None:
            office.write({f"user/kinds/{name}.md": text})
    return office.load()


def test_every_setting_but_those_of_kinds_counts_as_another_change(office: Office) -> None:
    before = office.load()
    for text, said in (
        ("[kinds.scout]\nworkers_max = 2\nnetwork = 'none'\nintent = 'x'\n", ""),
        ("[fleet]\nlease_ttl = '5m'\n", "`fleet.lease_ttl`"),
        ("[jail]\nnetwork = 'none'\n", "`jail.network`"),
        ("[checks.unit]\nrun = 'true'\n", "`checks.unit.run`"),
        ("[agents.x]\ndriver = 'command'\nrun = 'true'\n", "`agents.x.driver`, `agents.x.run`"),
        ("[verify]\nprotected = ['x']\n[hooks]\nsilent = 'stop'\n", "`hooks.silent`, `verify.protected`"),
    ):
        assert changed_besides(before, office.write({"ganger.toml": text}).load()) == said
