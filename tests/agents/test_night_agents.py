"""Nights of real agent programs: what they are told by a scripted model, they do; what is honest lands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from builders import Done, Fleet, quoted
from programs import need

from ganger.testing.model_server import ModelServer, Tokens
from ganger.testing.model_server.steps import AnyStep, Call, Edit, Limit, Read, Say, Sh, Spent

PATIENT = 'backoff = "0s"\nbackoff_max = "0s"\nlinger = "60s"\nstop_grace = "1s"\n'
"""`[recovery]` of a test: what an agent used is often told in its last line, after its report."""
KEY = "sk-of-the-host-1234567890"
DONE = Sh(command='ganger done --summary "It is done."')


def commit(message: str) -> Sh:
    return Sh(command=f"git -c user.name=a -c user.email=a@b.invalid commit -qam '{message}'")


class AgentNight:
    """A fleet whose agents are real programs that ask a scripted model."""

    def __init__(self, root: Path, server: ModelServer, files: Mapping[str, bytes] | None = None) -> None:
        self.fleet, self.server = Fleet(root), server
        self.tables: list[str] = []
        self.fleet.begin(files)

    def agent(self, driver: str, *steps: AnyStep, more: str = "") -> None:
        """An agent of that driver, with the steps that its model takes in the order of its requests."""
        url = self.server.play(driver, *steps)
        base = url if driver in ("claude", "gemini") else f"{url}/v1"
        self.tables.append(
            f'[agents.{driver}]\ndriver = "{driver}"\nprogram = {quoted(str(need(driver)))}\n'
            f'base_url = "{base}"\nmodel = "{MODELS.get(driver, "fake-model")}"\nkey_env = "MODEL_KEY"\n{more}'
        )

    def run(self, checks: Mapping[str, str] | None = None) -> Done:
        self.fleet.configure(checks=checks, recovery=PATIENT, more="\n".join(self.tables))
        plan = self.fleet.plan()
        return self.fleet.ganger("run", str(plan), "--trust", "--quiet", env={"MODEL_KEY": KEY})

    def output(self, run: str, turn: int = 1) -> str:
        return (self.fleet.state / "runs" / run / f"turn-{turn}" / "output.log").read_text()


MODELS = {"claude": "claude-sonnet-4-5", "codex": "gpt-5", "gemini": "gemini-2.5-pro"}


@pytest.fixture
def night(tmp_path: Path, server: ModelServer):
    made = AgentNight(tmp_path / "lab", server)
    yield made
    left = made.fleet.close()
    assert not left, f"the test left processes: {left}"


def test_two_real_agents_do_an_item_each(night: AgentNight) -> None:
    spent = Spent(tokens_in=1_000, tokens_out=30)
    night.agent(
        "claude",
        Read(path="src/a.txt", usage=spent),
        Edit(path="src/a.txt", old="a", new="a by claude", usage=spent),
        commit("Change a"),
        DONE,
        Say(text="Done."),
        more='price = "reported"\n',
    )
    night.agent(
        "codex",
        Read(path="src/b.txt", usage=spent),
        Edit(path="src/b.txt", old="b", new="b by codex", usage=spent),
        commit("Change b"),
        DONE,
        Say(text="Done."),
        more="price = { input = 1.0, output = 10.0 }\n",
    )
    night.fleet.item("a", agent="claude")
    night.fleet.item("b", agent="codex")
    done = night.run()
    assert done.code == 0, (done, night.output("a.1"), night.output("b.1"), night.server.states())
    assert night.fleet.on_main("src/a.txt") == "a by claude\n"
    assert night.fleet.on_main("src/b.txt") == "b by codex\n"
    assert sorted(night.fleet.landed_items()) == ["a", "b"]
    night.fleet.assert_sound()
    for driver in ("claude", "codex"):
        state = night.server.state(driver)
        assert not state.unmet
        assert (state.handed, state.keys) == (Tokens(2_300, 90), [KEY])
    claude, codex = (night.fleet.json("show", name)["runs"][0] for name in ("a", "b"))
    assert claude["tokens"] == codex["tokens"] == 2_390
    assert codex["usd_micros"] == 2_300 * 1 + 90 * 10
    assert claude["usd_micros"] == 2_300 * 3 + 90 * 15


def test_what_is_not_in_the_lease_is_denied_by_its_own_hook(night: AgentNight) -> None:
    night.agent(
        "claude",
        Read(path="src/b.txt"),
        Edit(path="src/b.txt", old="b", new="not mine"),
        Read(path="src/a.txt", expect="src/b.txt"),
        Edit(path="src/a.txt", old="a", new="a by claude"),
        commit("Change a"),
        DONE,
        Say(text="Done."),
    )
    night.agent(
        "codex",
        Edit(path="src/d.txt", old="d", new="not mine"),
        Edit(path="src/c.txt", old="c", new="c by codex", expect="src/d.txt"),
        commit("Change c"),
        DONE,
        Say(text="Done."),
    )
    night.fleet.item("a", agent="claude")
    night.fleet.item("c", agent="codex")
    done = night.run()
    assert done.code == 0, (done, night.output("a.1"), night.output("c.1"), night.server.states())
    assert night.fleet.on_main("src/a.txt") == "a by claude\n"
    assert night.fleet.on_main("src/c.txt") == "c by codex\n"
    assert (night.fleet.on_main("src/b.txt"), night.fleet.on_main("src/d.txt")) == ("b\n", "d\n")
    for driver, denied in (("claude", "src/b.txt"), ("codex", "src/d.txt")):
        state = night.server.state(driver)
        assert not state.unmet, state.unmet
        assert any("lease" in text or "scope" in text for text in state.newest if denied in text)


def test_a_limit_is_waited_for_and_the_conversation_goes_on(night: AgentNight) -> None:
    spent = Spent(tokens_in=500, tokens_out=50)
    night.agent(
        "codex",
        Read(path="src/b.txt", usage=spent),
        Edit(path="src/b.txt", old="b", new="b by codex", usage=spent),
        Limit(reset_s=-60),
        commit("Change b"),
        DONE,
        Say(text="Done."),
        more="price = { input = 1.0, output = 10.0 }\n",
    )
    night.fleet.item("b", agent="codex")
    done = night.run()
    assert done.code == 0, (done, night.output("b.1"), night.server.states())
    assert night.fleet.on_main("src/b.txt") == "b by codex\n"
    state = night.server.state("codex")
    assert (state.steps_left, state.over, state.refused) == (0, 0, 1)
    run = night.fleet.json("show", "b")["runs"][0]
    assert (run["id"], run["turn"]) == ("b.1", 2)
    assert "b by codex" in state.conversation, "the second turn remembers the first"
    assert run["tokens"] == state.handed.tokens_in + state.handed.tokens_out


def test_behind_the_gateway_the_key_stays_outside_and_the_budget_binds(night: AgentNight) -> None:
    spent = Spent(tokens_in=900, tokens_out=40)
    night.agent(
        "claude",
        Sh(command="env; cat /proc/*/environ | tr '\\0' '\\n'", usage=spent),
        Read(path="src/a.txt", usage=spent),
        Edit(path="src/a.txt", old="a", new="a by claude", usage=spent),
        commit("Change a"),
        DONE,
        Say(text="Done."),
    )
    night.agent("codex", *[Sh(command=f"echo {number}", usage=spent) for number in range(40)])
    night.tables.append(
        '[prices."claude-*"]\ninput = 3.0\noutput = 15.0\ncontext = 200_000\n'
        '[prices."gpt-*"]\ninput = 1.0\noutput = 10.0\ncontext = 200_000\noutput_max = 1_000\n'
        '[budget.run]\nusd_max = 0.5\n[jail]\nnetwork = "gateway"\n'
    )
    night.fleet.item("a", agent="claude")
    night.fleet.item("b", agent="codex")
    done = night.run()
    assert night.fleet.on_main("src/a.txt") == "a by claude\n", (done, night.output("a.1"), night.server.states())
    assert night.fleet.landed_items() == ["a"]
    claude, codex = (night.server.state(driver) for driver in ("claude", "codex"))
    assert claude.keys == codex.keys == [KEY]
    assert "ANTHROPIC_API_KEY=ganger~a.1~1~" in claude.conversation
    assert KEY not in claude.conversation
    run = night.fleet.json("show", "a")["runs"][0]
    assert run["tokens"] == claude.handed.tokens_in + claude.handed.tokens_out
    assert run["usd_micros"] == claude.handed.tokens_in * 3 + claude.handed.tokens_out * 15
    refused = night.fleet.json("show", "b")["runs"][0]
    assert refused["usd_micros"] <= 500_000
    assert KEY not in "".join(
        path.read_text(errors="replace") for path in night.fleet.state.rglob("*") if path.is_file()
    )


def test_the_worker_protocol_as_tools(night: AgentNight) -> None:
    for driver, name, item in (("claude", "mcp__ganger__", "a"), ("codex", "", "b")):
        night.agent(
            driver,
            Call(tool=f"{name}my_work"),
            Read(path=f"src/{item}.txt", expect=f"src/{item}.txt"),
            Edit(path=f"src/{item}.txt", old=item, new=f"{item} by {driver}"),
            commit(f"Change {item}"),
            Call(tool=f"{name}note", arguments={"text": f"A word of {driver}."}),
            Call(tool=f"{name}done", arguments={"summary": "It is done."}, expect="Noted."),
            Say(text="Done.", expect="Reported. End your turn now."),
        )
        night.fleet.item(item, agent=driver)
    done = night.run()
    assert done.code == 0, (done, night.output("a.1"), night.output("b.1"), night.server.states())
    for driver in ("claude", "codex"):
        assert not night.server.state(driver).unmet, night.server.state(driver).unmet
    assert sorted(night.fleet.landed_items()) == ["a", "b"]
    night.fleet.assert_sound()
