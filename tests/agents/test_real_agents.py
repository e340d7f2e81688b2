"""Turns of the real agent programs, behind a real wall, against a scripted model: what they do and how they end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import install
import pytest
from programs import ALL, BIN, need

from ganger.drivers import process
from ganger.drivers.hooks import Deny, HookEvent, load_dialect
from ganger.drivers.port import Hooks, RateLimited, Started, ToolCall, ToolResult, TurnEnded, TurnOutcome, load_driver
from ganger.jail.choice import TIERS
from ganger.supervisor.launching import prepare_state, write_settings
from ganger.testing.driver_suite import SECRET, Workshop
from ganger.testing.model_server import Case, ModelServer, Script, Tokens
from ganger.testing.model_server.steps import AnyStep, Edit, Error, Hang, Limit, Read, Say, Sh

AGENTS = ("claude", "codex", "opencode", "pi", "gemini", "qwen", "copilot")
BASE = {"claude": "", "gemini": ""}
"""What stands after the address of a session; `/v1` where nothing is said."""
MODELS = {"claude": "claude-sonnet-4-5", "gemini": "gemini-2.5-pro"}
AFTER_401 = {"pi": [(0, None)], "gemini": [(145, None), (None, 17)]}
"""Exit status and signal after the status 401 of HTTP, where it is not 1; bubblewrap tells 145 as a signal."""
AFTER_TERM = {"gemini": [(0, None)], "copilot": [(0, None)]}
"""Exit status and signal after SIGTERM, where they are not what everybody has."""
PROGRAMS = ("claude", "codex", "copilot", "node", "opencode")
"""What their processes run."""
TIMEOUT_MS = 90_000
SLEEP = "import time; time.sleep(321)"
LEAVE = f"python3 -c '{SLEEP}' & python3 -c '{SLEEP}'"
"""Claude Code refuses to run `sleep` by that name."""

PATH = f"{BIN}:{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"

Make = Callable[[str], Workshop]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> Iterator[Make]:
    """Makes a workshop for an agent whose model is the session of its name; nothing of it is left afterwards."""
    monkeypatch.setenv("CANARY_KEY", SECRET)
    made: list[Workshop] = []

    def make_one(agent: str) -> Workshop:
        base = server.url(agent) + BASE.get(agent, "/v1")
        settings = {"program": str(need(agent)), "base_url": base, "model": MODELS.get(agent, "m")}
        made.append(Workshop(tmp_path / "shop", load_driver(agent), settings | {"key_env": "CANARY_KEY"}, PATH))
        return made[-1]

    yield make_one
    for shop in made:
        for turn in (1, 2):
            process.sweep(f"workshop:{shop.place}:{turn}")


def of(*agents: str) -> pytest.MarkDecorator:
    """For these agents, or all; those that a change has to pass with, and at night the others too."""
    wanted = agents or AGENTS
    return pytest.mark.parametrize("agent", [one for one in wanted if install.pins()[one]["ci"] or ALL])


def test_there_is_no_way_out(no_way_out: bool) -> None:
    if not no_way_out:
        pytest.skip("this machine gives no network namespaces")
    assert [name for _, name in socket.if_nameindex()] == ["lo"]
    with pytest.raises(OSError):
        socket.create_connection(("192.0.2.1", 9), timeout=0.2)


@of()
def test_it_works(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    server.play(
        agent,
        Sh(command="echo begun > begun.txt; echo of-a-shell"),
        Read(path="work.txt", expect="of-a-shell"),
        Edit(path="work.txt", old="hello", new="hello world"),
        Sh(command="git add --all && git commit -qm 'Mend it' && git log --format=%s -1"),
        Say(text="It is done.", expect="Mend it"),
    )
    ended = shop.run("# Mend the login")
    assert (ended.code, ended.left) == (0, 0), shop.output()
    assert shop.git.run("show", "main:work.txt") == b"hello world\n"
    assert shop.git.run("status", "--porcelain") == b""
    state = server.state(agent)
    assert (state.steps_left, state.over, state.unmet) == (0, 0, []), state
    assert state.keys == [SECRET], "the key came from the environment"
    events = shop.events()
    assert any(isinstance(event, Started) and event.session for event in events)
    assert sum(isinstance(event, ToolCall) for event in events) == 4
    assert [event for event in events if isinstance(event, TurnEnded)] == [TurnEnded(TurnOutcome.completed)]
    if agent != "copilot":
        assert (state.side, shop.told().usage.tokens) == (Tokens(), 5 * 110), "what was handed out is what was told"
    assert SECRET not in shop.output()
    assert not [path for path in (shop.place / "run").rglob("*") if path.is_file() and holds_secret(path)]


def holds_secret(path: Path) -> bool:
    return SECRET.encode() in path.read_bytes()


@of("claude", "codex", "opencode", "pi", "gemini", "qwen")
def test_it_goes_on_after_kill_9(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    script = Script(case=(Case((Say(text="I remember."),), when="SECOND-TOLD"), Case(hang(), when="FIRST-TOLD")))
    server.script(agent, script)
    worker = shop.start("# FIRST-TOLD")
    wait_until(lambda: server.state(agent).cut == 1, shop)
    wait_until(lambda: any(isinstance(event, Started) and event.session for event in shop.events()), shop)
    for pid in tree_of(f"workshop:{shop.place}:1"):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.sweep(f"workshop:{shop.place}:1")
    assert not process.is_alive(worker)
    session = shop.told().session
    ended = shop.run("# SECOND-TOLD", 2, session)
    assert ended.code == 0, shop.output(2)
    state = server.state(agent)
    assert (state.steps_left, state.over) == (0, 0)
    assert "SECOND-TOLD" in state.newest[-1]
    assert "FIRST-TOLD" in state.conversation, "the model sees what was told before"
    assert shop.told(2).usage.tokens == 110 or agent == "codex", "only what the turn itself used is its usage"


def hang() -> tuple[AnyStep, ...]:
    return (Sh(command="echo one"), Hang(text="I was going to say"))


def tree_of(marker: str) -> list[int]:
    """Every process of a turn, its shim first."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            if f"GANGER_MARK={marker}\0".encode() in Path(f"/proc/{int(name)}/environ").read_bytes():
                found.append(int(name))
    return sorted(found)


def wait_until(holds: Callable[[], bool], shop: Workshop, seconds: float = 45) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, shop.output()
        time.sleep(0.05)


@of("claude", "codex", "pi", "gemini", "copilot")
def test_a_limit_is_told_with_its_end_where_the_program_tells_it(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    server.play(agent, Limit(reset_s=3_600, times=50))
    before = time.time()
    shop.run("# Mend the login", timeout_ms=TIMEOUT_MS)
    limit = shop.told().limit
    assert limit is not None, shop.output()
    assert not limit.overload
    if agent in ("codex", "pi", "gemini"):
        assert abs(limit.until_ms / 1_000 - (before + 3_600)) < 90
    assert TurnEnded(TurnOutcome.completed) not in shop.events()


def test_a_subscription_says_when_its_limit_ends(make: Make, server: ModelServer, monkeypatch) -> None:
    monkeypatch.setenv("CLAUDE_CODE_OAUTH_TOKEN", SECRET)
    shop = make("claude")
    shop.settings |= {"key_env": "CLAUDE_CODE_OAUTH_TOKEN"}
    server.play("claude", Sh(command="true"), Limit(reset_s=3_600, times=50))
    before = time.time()
    shop.run("# Mend the login", timeout_ms=TIMEOUT_MS)
    limit = shop.told().limit
    assert limit is not None
    assert abs(limit.until_ms / 1_000 - (before + 3_600)) < 90
    assert server.state("claude").keys == [SECRET]


@of("opencode")
def test_one_that_waits_for_a_limit_without_a_word_tells_it_in_its_log(
    agent: str, make: Make, server: ModelServer
) -> None:
    shop = make(agent)
    server.play(agent, Limit(text="Rate limit reached", reset_s=3_600, times=50))
    worker = shop.start("# Mend the login")
    wait_until(lambda: any(isinstance(event, RateLimited) for event in shop.events()), shop)
    assert process.is_alive(worker), "it would wait for an hour"
    process.stop(worker, 1_000, f"workshop:{shop.place}:1")


@of()
def test_a_wrong_key_is_a_failure_whatever_the_status(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    server.play(agent, Error(status=401, text="wrong key", times=50))
    ended = shop.run("# Mend the login", timeout_ms=TIMEOUT_MS)
    assert (ended.code, ended.signal) in AFTER_401.get(agent, [(1, None)]), shop.output()
    assert {event.outcome for event in shop.events() if isinstance(event, TurnEnded)} == {TurnOutcome.failed}
    assert shop.told().limit is None


@of()
def test_what_it_leaves_behind_is_ended_with_it(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    server.play(agent, Sh(command=LEAVE), Say(text="unreached"))
    worker = shop.start("# Mend the login")
    wait_until(lambda: len(sleepers(shop)) >= 2, shop)
    process.stop(worker, 2_000, f"workshop:{shop.place}:1")
    assert not tree_of(f"workshop:{shop.place}:1")
    assert not sleepers(shop)
    assert shop.ended().stopped


def sleepers(shop: Workshop) -> list[int]:
    """What the shell of a workshop's agent left running, wherever it hangs."""
    found = []
    for name in os.listdir("/proc"):
        with suppress(OSError, ValueError):
            if Path(f"/proc/{int(name)}/cmdline").read_bytes().endswith(f"\0-c\0{SLEEP}\0".encode()):
                cwd = os.readlink(f"/proc/{name}/cwd")
                found += [int(name)] if cwd == str(shop.workspace) else []
    return found


@of()
def test_whoever_ends_it_with_a_signal_it_did_not_come_to_its_end(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    server.play(agent, Sh(command="echo begun > begun.txt; exec python3 -c '" + SLEEP + "'"), Say(text="Done."))
    worker = shop.start("# Mend the login")
    wait_until(lambda: bool(sleepers(shop)), shop)
    for pid in tree_of(f"workshop:{shop.place}:1"):
        with suppress(OSError):
            if Path(os.readlink(f"/proc/{pid}/exe")).name in PROGRAMS:
                os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not process.is_alive(worker), shop)
    ended = shop.ended()
    assert (ended.code, ended.signal) in AFTER_TERM.get(agent, [(143, None), (None, 15)]), ended
    assert TurnEnded(TurnOutcome.completed) not in shop.events()


@of("claude", "codex", "pi")
def test_a_hang_in_mid_stream_is_ended(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    server.play(agent, Hang(text="I was going to say something long"))
    worker = shop.start("# Mend the login")
    wait_until(lambda: server.state(agent).cut == 1, shop)
    assert process.is_alive(worker), "it waits for the rest"
    process.stop(worker, 1_000, f"workshop:{shop.place}:1")
    assert (shop.ended().stopped, shop.ended().left) == (True, 0)
    assert not tree_of(f"workshop:{shop.place}:1")


OFF = {
    ".claude/settings.json": '{"disableAllHooks": true}',
    ".claude/settings.local.json": '{"disableAllHooks": true}',
    ".codex/config.toml": "[features]\nhooks = false\n",
    ".gemini/settings.json": '{"hooksConfig": {"enabled": false}}',
    ".qwen/settings.json": '{"disableAllHooks": true}',
    "opencode.json": '{"plugin": []}',
}
"""What a worker, or the repository, could say to have no hooks. For a folder `.opencode` opencode fetches a package."""


@of("claude", "codex", "opencode", "pi", "qwen", "copilot")
def test_a_hook_denies_whatever_the_repository_says_of_hooks(agent: str, make: Make, server: ModelServer) -> None:
    shop = make(agent)
    for name, text in OFF.items():
        (shop.workspace / name).parent.mkdir(exist_ok=True)
        (shop.workspace / name).write_text(text)
    answer = load_dialect(agent).answer(HookEvent.pre_tool, Deny("NOT-THIS-FILE")).decode()
    client, log = shop.place / "run" / "client", shop.place / "tmp" / "hooks.log"
    client.write_text(f"""#!/bin/sh
echo "$1 $2" >> {log}
case "$1 $(cat)" in pre-tool*forbidden*) printf '%s' '{answer}';; esac
""")
    client.chmod(0o755)
    shop.hooks = Hooks(str(client), ("/bin/false",))
    server.play(agent, Sh(command="echo x > forbidden.txt"), Sh(command="echo y > allowed.txt"), Say(text="Done."))
    assert shop.run("# Mend the login").code == 0, shop.output()
    asked = log.read_text().splitlines() if log.exists() else []
    assert f"pre-tool {agent}" in asked, "the hook was not asked"
    assert not (shop.workspace / "forbidden.txt").exists()
    assert (shop.workspace / "allowed.txt").exists()
    assert any("NOT-THIS-FILE" in told for told in server.state(agent).newest), "the model hears why"


@pytest.mark.skipif(not ALL, reason="tried at night")
def test_one_that_speaks_the_agent_client_protocol(
    tmp_path: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", SECRET)
    env = f"GOOGLE_GEMINI_BASE_URL={server.url('acp')} GEMINI_CLI_TRUST_WORKSPACE=true NO_BROWSER=1"
    settings = {"run": f"{need('gemini')} --acp", "env": env, "key_env": "GEMINI_API_KEY"}
    shop = Workshop(tmp_path / "shop", load_driver("acp"), settings, PATH)
    order = prepare_state(shop.place / "run" / "agent")
    auth = {"security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}}
    # Without a model it asks one which to take, before anything else.
    auth |= {"model": {"name": "gemini-2.5-pro"}}
    write_settings(order, {".gemini/settings.json": json.dumps(auth).encode()})
    server.script("acp", Script(case=(Case((Say(text="I remember."),), "SECOND-TOLD"), Case(ACP_STEPS, "FIRST-TOLD"))))
    ended = shop.run("# FIRST-TOLD")
    assert (ended.code, ended.left) == (0, 0), shop.output()
    assert shop.git.run("show", "main:work.txt") == b"hello world\n"
    told = shop.told()
    assert told.session
    assert TurnEnded(TurnOutcome.completed) in shop.events()
    assert sum(isinstance(event, ToolResult) for event in shop.events()) == 3
    assert sum(isinstance(event, ToolCall) for event in shop.events()) == 3
    assert told.usage.tokens == 4 * 110
    # It does not find a conversation of the same minute again.
    time.sleep(61)
    assert shop.run("# SECOND-TOLD", 2, told.session).code == 0, shop.output(2)
    assert "FIRST-TOLD" in server.state("acp").conversation


ACP_STEPS = (
    Read(path="work.txt"),
    Edit(path="work.txt", old="hello", new="hello world"),
    Sh(command="git add --all && git commit -qm 'Mend it'"),
    Say(text="Done."),
)


def test_the_wall_is_one(tmp_path: Path, make: Make, server: ModelServer) -> None:
    shop = make("codex")
    if shop.jail.tier == TIERS[0]:
        pytest.skip("this machine has no wall")
    outside = tmp_path / "outside.txt"
    server.play("codex", Sh(command=f"echo x > {outside}; cat {tmp_path}/secret"), Say(text="Tried."))
    (tmp_path / "secret").write_text("of the host")
    assert shop.run("# Get out").code == 0, shop.output()
    assert not outside.exists()
    assert "of the host" not in shop.output()
    assert any(isinstance(event, ToolResult) and not event.ok for event in shop.events())
