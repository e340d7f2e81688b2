"""The drivers of agent programs, without the programs: the suite that every driver passes, and recorded streams."""

from __future__ import annotations

import os
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from ganger.drivers import codex as codex_driver
from ganger.drivers.port import (
    Driver,
    Message,
    RateLimited,
    ToolCall,
    ToolResult,
    TurnEnded,
    TurnOutcome,
    Usage,
    WaitingForPermission,
    driver_names,
    load_driver,
)
from ganger.supervisor.stream import Told, tell
from ganger.testing.driver_suite import DriverSuite

STREAMS = Path(__file__).with_name("streams")
PINS = Path(__file__).parents[1] / "agents" / "pins.toml"
AGENTS = ("claude", "codex", "copilot", "gemini", "opencode", "pi", "qwen")


class AgentSuite(DriverSuite):
    agent: str

    def driver(self) -> Driver:
        return load_driver(self.agent)

    def settings(self) -> dict[str, str]:
        return {
            "program": sys.executable,
            "model": "some/model",
            "base_url": "http://127.0.0.1:9/s/x",
            "key_env": "CANARY_KEY",
        }

    def recorded(self):
        return sorted((STREAMS / self.agent).glob("*.jsonl"))


class TestClaude(AgentSuite):
    agent = "claude"


class TestCodex(AgentSuite):
    agent = "codex"


class TestCopilot(AgentSuite):
    agent = "copilot"


class TestGemini(AgentSuite):
    agent = "gemini"


class TestQwen(AgentSuite):
    agent = "qwen"


class TestOpenCode(AgentSuite):
    agent = "opencode"


class TestPi(AgentSuite):
    agent = "pi"

    def has_guard(self) -> bool:
        return False

    def takes_servers(self) -> bool:
        return False


def events(agent: str, name: str):
    driver = load_driver(agent)
    lines = (STREAMS / agent / f"{name}.out.jsonl").read_bytes().splitlines()
    return [event for line in lines for event in driver.events(line, {})]


def told(agent: str, name: str) -> Told:
    found = Told()
    for event in events(agent, name):
        found = tell(found, event, (1.0, 1.0))
    return found


@pytest.mark.parametrize(
    ("agent", "tokens", "tools"),
    [
        ("claude", 6_100, ["Bash", "Read", "Edit", "Bash"]),
        ("codex", 6_100, ["command_execution"] * 4),
        ("copilot", 0, ["bash", "view", "edit", "bash"]),
        ("gemini", 6_100, ["run_shell_command", "read_file", "replace", "run_shell_command"]),
        ("opencode", 6_100, ["bash", "read", "edit", "bash"]),
        ("pi", 6_100, ["bash", "read", "edit", "bash"]),
        ("qwen", 6_100, ["run_shell_command", "read_file", "edit", "run_shell_command"]),
    ],
)
def test_a_turn_that_went_well(agent: str, tokens: int, tools: list[str]) -> None:
    found = events(agent, "basic")
    assert [event.name for event in found if isinstance(event, ToolCall)] == tools
    assert [event.ok for event in found if isinstance(event, ToolResult)] == [True] * 4
    guarded = [event.guarded for event in found if isinstance(event, ToolResult)]
    assert guarded == [agent not in ("copilot", "gemini")] * 4, "hooks are asked about all of them"
    assert "ALL-DONE: work.txt is committed." in "".join(event.text for event in found if isinstance(event, Message))
    assert [event for event in found if isinstance(event, TurnEnded)] == [TurnEnded(TurnOutcome.completed)]
    assert told(agent, "basic").usage.tokens == tokens
    assert told(agent, "basic").limit is None


@pytest.mark.parametrize("agent", AGENTS)
def test_an_error_of_the_api_is_no_success_whatever_the_status(agent: str) -> None:
    found = events(agent, "error")
    assert [event for event in found if isinstance(event, TurnEnded)] == [TurnEnded(TurnOutcome.failed)]
    assert not [event for event in found if isinstance(event, RateLimited)], "a wrong key is no limit"


def test_claude_says_what_it_was_not_allowed() -> None:
    assert WaitingForPermission("Bash") in events("claude", "permission")


@pytest.mark.parametrize(
    ("agent", "line", "expected"),
    [
        (
            "claude",
            '{"type":"result","subtype":"success","is_error":true,"api_error_status":429,"result":"API Error: 429"}',
            RateLimited(0, "API Error: 429"),
        ),
        (
            "claude",
            '{"type":"rate_limit_event","rate_limit_info":{"status":"rejected","resetsAt":1795272575,'
            '"rateLimitType":"five_hour"}}',
            RateLimited(1_795_272_575_000, "five_hour"),
        ),
        ("claude", '{"type":"rate_limit_event","rate_limit_info":{"status":"allowed","resetsAt":1795272575}}', None),
        (
            "claude",
            '{"type":"system","subtype":"api_retry","error_status":529,"error":"overloaded"}',
            RateLimited(0, "overloaded", overload=True),
        ),
        (
            "codex",
            '{"type":"error","message":"We’re currently experiencing high demand, which may cause temporary errors."}',
            RateLimited(
                0, "We’re currently experiencing high demand, which may cause temporary errors.", overload=True
            ),
        ),
        (
            "gemini",
            '{"type":"result","timestamp":"2026-11-21T13:52:34.433Z","status":"error","error":{"type":"unknown",'
            '"message":"[API Error: You exceeded your quota\\nSuggested retry after 3600s.]"}}',
            RateLimited(1_795_272_754_433, "[API Error: You exceeded your quota\nSuggested retry after 3600s.]"),
        ),
        (
            "opencode",
            'timestamp=2026-11-21T13:54:40.400Z level=ERROR run=f6 message="stream error" providerID=p session.id=s '
            'error.error="AI_APICallError: Rate limit reached"',
            RateLimited(0, "AI_APICallError: Rate limit reached"),
        ),
        (
            "opencode",
            '{"type":"error","timestamp":1795269094369,"error":{"data":{"message":"slow down","statusCode":429,'
            '"responseHeaders":{"retry-after":"60"}}}}',
            RateLimited(1_795_269_154_369, "slow down (retry-after: 60 s)"),
        ),
        (
            "pi",
            '{"type":"message_end","message":{"role":"assistant","stopReason":"error","errorMessage":'
            '"429: {\\"type\\":\\"usage_limit_reached\\",\\"resets_at\\":1795272575}"}}',
            RateLimited(1_795_272_575_000, '429: {"type":"usage_limit_reached","resets_at":1795272575}'),
        ),
        (
            "copilot",
            '{"type":"session.error","data":{"errorType":"rate_limit","message":"429 slow","statusCode":429}}',
            RateLimited(0, "429 slow"),
        ),
        (
            "qwen",
            '{"type":"result","subtype":"error_during_execution","is_error":true,'
            '"error":{"message":"[API Error: 503 Service Unavailable]"}}',
            RateLimited(0, "[API Error: 503 Service Unavailable]", overload=True),
        ),
    ],
)
def test_limits(agent: str, line: str, expected: RateLimited | None) -> None:
    found = [event for event in load_driver(agent).events(line.encode(), {}) if isinstance(event, RateLimited)]
    assert found == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("You’ve hit your usage limit. Try again at 2:43 PM.", "2026-11-21 14:44"),
        ("You’ve hit your usage limit. Try again at 11:50 PM.", "2026-11-20 23:51"),
        ("You’ve hit your usage limit. Try again at 12:05 AM.", "2026-11-21 00:06"),
        ("You've hit your usage limit. Try again at Nov 25th, 2026 9:05 AM.", "2026-11-25 09:06"),
        ("You've hit your usage limit. Try again at Xyz 25th, 2026 9:05 AM.", ""),
        ("You've hit your usage limit.", ""),
    ],
)
def test_codex_says_when_for_a_person(message: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    now_s = 1_795_253_400.0  # 2026-11-21 09:30 UTC
    reset_s = codex_driver._reset_ms(message, now_s) // 1_000
    assert (time.strftime("%Y-%m-%d %H:%M", time.gmtime(reset_s)) if reset_s else "") == expected
    monkeypatch.undo()
    time.tzset()


def test_what_a_resumed_conversation_had_used_before_is_not_counted_again() -> None:
    lines = [b'{"type":"thread.started","thread_id":"t1"}', b'{"type":"turn.completed","usage":{"input_tokens":700}}']
    found = Told()
    for event in (event for line in lines for event in load_driver("codex").events(line, {})):
        found = tell(found, event, (1.0, 1.0), lambda session: Told(Told().usage.plus(USED)).usage)
    assert (found.usage.tokens, found.conversation.tokens, found.session) == (200, 700, "t1")


def test_that_a_limit_is_told_again_without_its_end_does_not_take_the_end_away() -> None:
    found = tell(Told(), RateLimited(5_000, "five_hour"), None)
    found = tell(found, RateLimited(0, "HTTP 429"), None)
    assert found.limit is not None
    assert found.limit.until_ms == 5_000
    found = tell(found, RateLimited(0, "busy", overload=True), None)
    assert found.limit is not None
    assert (found.limit.until_ms, found.limit.overload) == (0, True)


USED = tell(Told(), Usage(tokens_in=500), (1.0, 1.0)).usage


def test_claude_is_metered_while_it_writes() -> None:
    start = b'{"type":"stream_event","event":{"type":"message_start","message":{"usage":{"input_tokens":9,'
    start += b'"cache_read_input_tokens":5,"output_tokens":1}}}}'
    delta = b'{"type":"stream_event","event":{"type":"message_delta","usage":{"output_tokens":7}}}'
    driver = load_driver("claude")
    assert driver.events(start, {}) == (Usage(tokens_in=14),)
    assert driver.events(delta, {}) == (Usage(tokens_out=7),)


def test_what_is_pinned_is_what_was_tested() -> None:
    with PINS.open("rb") as file:
        pins = tomllib.load(file)
    for agent in AGENTS:
        product = load_driver(agent).product
        assert product is not None
        pinned = pins[agent]["packages"][0].rpartition("@")[2]
        assert pinned in product.tested, agent
        assert product.program in pins[agent]["programs"]


def test_all_are_found_by_their_names() -> None:
    assert set(AGENTS) <= set(driver_names())
    assert Counter(driver_names()).most_common(1)[0][1] == 1
    for name in driver_names():
        assert load_driver(name).name == name


@pytest.mark.parametrize("agent", AGENTS)
def test_the_key_is_named_and_not_guessed(agent: str) -> None:
    settings = {"program": sys.executable, "model": "m"}
    assert "`key_env` is missing: name the variable that holds the key" in load_driver(agent).fault(settings)
    assert load_driver(agent).fault(settings | {"base_url": "http://127.0.0.1:9"}) == ""
    os.environ.pop("NOT_SET_AT_ALL", None)
    wrong = load_driver(agent).fault(settings | {"key_env": "NOT_SET_AT_ALL"})
    assert wrong == "the variable NOT_SET_AT_ALL that `key_env` names is not set"
