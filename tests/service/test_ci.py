"""What CI says: a table of judgements, a forge that is a real HTTP server with recorded answers, a file, a program."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ganger.core.patterns import PathRules
from ganger.errors import ConfigError, UsageError
from ganger.service import config
from ganger.service.ci import KEPT, CheckRun, Ci, CiState, GitHub, Unavailable, judge, state_of, where
from ganger.service.ci_settings import CiSettings

COMMIT = "c" * 40
OK, BAD = "success", "failure"


def run(name: str, conclusion: str | None = OK, attempt: int = 1, status: str = "completed") -> CheckRun:
    return CheckRun(name, status, conclusion, attempt)


JUDGED: dict[str, tuple[list[CheckRun], tuple[str, ...], CiState, str]] = {
    "all passed": ([run("b"), run("a")], (), CiState.green, "passed: a, b"),
    "one skipped": ([run("a"), run("b", "skipped")], (), CiState.green, "passed: a"),
    "one failed": ([run("a"), run("b", BAD)], (), CiState.blocked, "failed: b (failure)"),
    "one was cancelled": ([run("a", "cancelled")], (), CiState.blocked, "failed: a (cancelled)"),
    "a word nobody knows": ([run("a", "splendid")], (), CiState.blocked, "failed: a (splendid)"),
    "failed, and one runs": ([run("a", BAD), run("b", None, 1, "queued")], (), CiState.blocked, "failed: a (failure)"),
    "one runs": ([run("a"), run("b", None, status="in_progress")], (), CiState.unknown, "not ended: b"),
    "ended without a word": ([run("a", None)], (), CiState.unknown, "not ended: a"),
    "nothing ran": ([], (), CiState.unknown, "no check ran on this commit"),
    "all skipped": ([run("a", "skipped")], (), CiState.unknown, "every check was skipped"),
    "one is missing": ([run("a")], ("a", "b"), CiState.unknown, "did not run: b"),
    "a needed one was skipped": ([run("a"), run("b", "skipped")], ("b",), CiState.unknown, "did not run: b"),
    "repaired": ([run("a", OK, 2), run("a", BAD, 1), run("b")], (), CiState.repaired_green, "passed when run again: a"),
    "broken again": ([run("a", OK, 1), run("a", BAD, 2)], (), CiState.blocked, "failed: a (failure)"),
    "runs again": ([run("a", BAD, 1), run("a", None, 2, "queued")], (), CiState.unknown, "not ended: a"),
}  # fmt: skip


@pytest.mark.parametrize("name", JUDGED)
def test_what_follows_from_the_checks(name: str) -> None:
    runs, needed, state, text = JUDGED[name]
    assert judge(runs, needed) == Ci(state, text)


class Forge:
    """A forge on this machine: answers by path, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        forge = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                forge.asked.append((self.path, dict(self.headers)))
                code, headers, body = forge.answers.get(self.path.partition("?")[0], (404, {}, b"{}"))
                if code == 200 and headers.get("ETag") and self.headers.get("If-None-Match") == headers["ETag"]:
                    code, body = 304, b""
                self.send_response(code)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def says(self, runs: list[dict[str, Any]], statuses: list[dict[str, Any]] | None = None, **headers: str) -> None:
        at = f"/repos/o/n/commits/{COMMIT}"
        checks = json.dumps({"total_count": len(runs), "check_runs": runs}).encode()
        self.answers[f"{at}/check-runs"] = (200, headers, checks)
        whole = json.dumps({"state": "success", "statuses": statuses or []}).encode()
        self.answers[f"{at}/status"] = (200, headers, whole)

    def refuses(self, code: int, body: bytes = b"{}", **headers: str) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers[f"/repos/o/n/commits/{COMMIT}/check-runs"] = (code, names, body)


@pytest.fixture
def forge() -> Iterator[Forge]:
    made = Forge()
    yield made
    made.server.shutdown()
    made.server.server_close()
    made.thread.join()


def check_run(name: str, conclusion: str | None = OK, number: int = 1, status: str = "completed") -> dict[str, Any]:
    """As the REST interface has it, among much else."""
    return {"id": number, "name": name, "status": status, "conclusion": conclusion, "app": {"slug": "github-actions"}}


def github(forge: Forge, tmp_path: Path, token: str = "", **more: Any) -> Ci:
    settings = CiSettings(source="github", repo="o/n", api=forge.url, token_env="T", timeout_ms=1_000, **more)
    return state_of(settings, COMMIT, tmp_path, tmp_path, {"T": token})


def test_a_forge_is_asked_for_check_runs_and_statuses(forge: Forge, tmp_path: Path) -> None:
    forge.says(
        [check_run("unit"), check_run("lint", BAD, 2), check_run("lint", OK, 3)],
        [{"id": 9, "context": "old-ci", "state": "success"}],
    )
    assert github(forge, tmp_path, "s3cret") == Ci(CiState.repaired_green, "passed when run again: lint")
    paths = [path for path, _ in forge.asked]
    at = f"/repos/o/n/commits/{COMMIT}"
    assert paths == [f"{at}/check-runs?filter=all&per_page=100&page=1", f"{at}/status?per_page=100"]
    sent = {name.lower(): value for name, value in forge.asked[0][1].items()}
    assert (sent["authorization"], sent["x-github-api-version"]) == ("Bearer s3cret", "2022-11-28")
    forge.says([check_run("unit")], [{"id": 9, "context": "old-ci", "state": "pending"}])
    assert github(forge, tmp_path) == Ci(CiState.unknown, "not ended: old-ci")
    forge.says([check_run("unit")], [{"id": 9, "context": "old-ci", "state": "error"}])
    assert github(forge, tmp_path) == Ci(CiState.blocked, "failed: old-ci (error)")


def test_all_pages_are_read(forge: Forge, tmp_path: Path) -> None:
    """A forge that always gives the same page of two, of five that it says there are."""
    forge.says([check_run("unit"), check_run("lint")])
    at = f"/repos/o/n/commits/{COMMIT}/check-runs"
    code, headers, body = forge.answers[at]
    forge.answers[at] = (code, headers, body.replace(b'"total_count": 2', b'"total_count": 5'))
    assert github(forge, tmp_path).state is CiState.green
    assert [path.rpartition("=")[2] for path, _ in forge.asked if "check-runs" in path] == ["1", "2", "3"]


def test_an_answer_that_has_not_changed_is_not_sent_again(forge: Forge, tmp_path: Path) -> None:
    forge.says([check_run("unit")], ETag='"7"')
    assert github(forge, tmp_path) == github(forge, tmp_path) == Ci(CiState.green, "passed: unit")
    assert [headers.get("If-None-Match", headers.get("If-none-match")) for _, headers in forge.asked] == [
        None,
        None,
        '"7"',
        '"7"',
    ]


SEEN: dict[str, tuple[int, bytes, dict[str, str], str]] = {
    "not there": (404, b"{}", {}, "answered with HTTP status 404"),
    "not allowed": (401, b"{}", {}, "answered with HTTP status 401"),
    "its own fault": (500, b"green!", {}, "answered with HTTP status 500"),
    "elsewhere": (302, b"", {"Location": "http://127.0.0.1:1/"}, "answered with HTTP status 302"),
    "no JSON": (200, b"<html>green</html>", {}, "answered something else than checks: JSONDecodeError"),
    "other JSON": (200, b'{"state": "success"}', {}, "answered something else than checks: KeyError"),
    "a list": (200, b"[]", {}, "answered something else than checks: TypeError"),
    "no text": (200, b"\xff\xfe\xfd", {}, "answered something else than checks: UnicodeDecodeError"),
}


@pytest.mark.parametrize("name", SEEN)
def test_what_is_no_answer_is_unavailable_with_what_was_seen(forge: Forge, tmp_path: Path, name: str) -> None:
    code, body, headers, text = SEEN[name]
    forge.says([check_run("unit")])
    forge.refuses(code, body, **headers)
    found = github(forge, tmp_path, "s3cret")
    assert found.state is CiState.unavailable and text in found.text
    assert "s3cret" not in found.text
    kept = tmp_path / KEPT
    assert not [path for path in kept.rglob("*") if b"s3cret" in path.read_bytes()] if kept.exists() else True


def test_a_forge_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    settings = CiSettings(source="github", repo="o/n", api="http://127.0.0.1:1", timeout_ms=1_000)
    found = state_of(settings, COMMIT, tmp_path, tmp_path, {})
    assert found.state is CiState.unavailable and "could not be asked" in found.text


def test_a_forge_that_wants_to_be_left_alone_is(forge: Forge, tmp_path: Path) -> None:
    now = [1_000_000.0]
    settings = CiSettings(source="github", repo="o/n", api=forge.url, timeout_ms=1_000)
    ask = GitHub(settings, tmp_path / KEPT, "", lambda: now[0])
    forge.says([check_run("unit")])
    forge.refuses(429, Retry_After="30")
    with pytest.raises(Unavailable, match="HTTP status 429"):
        ask(COMMIT)
    forge.says([check_run("unit")])
    with pytest.raises(Unavailable, match="asked to be left alone for 30 s more"):
        ask(COMMIT)
    assert len(forge.asked) == 1
    now[0] += 30
    assert judge(ask(COMMIT)).state is CiState.green
    forge.refuses(403, X_RateLimit_Reset=str(int(now[0]) + 86_400))
    with pytest.raises(Unavailable, match="HTTP status 403"):
        ask(COMMIT)
    with pytest.raises(Unavailable, match="asked to be left alone for 3600 s more"):
        ask(COMMIT)


def test_a_file(tmp_path: Path) -> None:
    settings = CiSettings(source="file", path="ci.json")

    def asked() -> Ci:
        return state_of(settings, COMMIT, tmp_path, tmp_path, {})

    assert asked().state is CiState.unavailable
    (tmp_path / "ci.json").write_text(json.dumps({COMMIT: [{"name": "unit", "conclusion": "success"}]}))
    assert asked() == Ci(CiState.green, "passed: unit")
    (tmp_path / "ci.json").write_text(json.dumps({"d" * 40: [{"name": "unit", "conclusion": "success"}]}))
    assert asked() == Ci(CiState.unknown, "no check ran on this commit")
    for damaged in ("", "[]", "green", json.dumps({COMMIT: "green"})):
        (tmp_path / "ci.json").write_text(damaged)
        assert asked().state is CiState.unavailable
    (tmp_path / "ci.json").unlink()
    os.mkfifo(tmp_path / "ci.json")
    assert asked() == Ci(CiState.unavailable, f"{tmp_path / 'ci.json'} is not a regular file")


@pytest.mark.parametrize(
    ("script", "state", "text"),
    [
        ('print(\'[{"name": "\'+sys.argv[1][:3]+\'", "conclusion": "success"}]\')', CiState.green, "passed: ccc"),
        ("print('[]')", CiState.unknown, "no check ran on this commit"),
        ("print('green')", CiState.unavailable, "printed no list of checks"),
        ("sys.exit(1)", CiState.unavailable, "could not be asked: it exited with 1"),
        ("import time; time.sleep(9)", CiState.unavailable, "could not be asked: it took longer than 1 s"),
    ],
)
def test_a_program(tmp_path: Path, script: str, state: CiState, text: str) -> None:
    argv = (sys.executable, "-c", f"import sys; {script}")
    settings = CiSettings(source="command", argv=argv, timeout_ms=1_000)
    found = state_of(settings, COMMIT, tmp_path, tmp_path, {})
    assert found.state is state and text in found.text


def test_a_source_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no source of CI called 'jenkins'"):
        state_of(CiSettings(source="jenkins"), COMMIT, tmp_path, tmp_path, {})


IDLE = "has no effect: nothing waits for CI (set ci.required, or leave it out)"
WRONG = {
    'source = "github"': "2: `ci.source` is github, which needs `ci.repo`",
    'source = "file"': "2: `ci.source` is file, which needs `ci.path`",
    'source = "command"': "2: `ci.source` is command, which needs `ci.run`",
    "required = true": "2: `ci.required` can never hold: there is no `ci.source` (name one, or leave it out)",
    'path = "x"': "2: `ci.path` has no effect: the source is none (leave it out)",
    'source = "github"\nrepo = "x"': "3: `ci.repo` is not a repository as in owner/name: `x`",
    'api = "http://example.org"': "2: `ci.api` must begin with https://, not `http://example.org`",
    'token_env = "a b"': "2: `ci.token_env` is not the name of an environment variable: `a b`",
    'dependents = "closed"': f"2: `ci.dependents` {IDLE}",
    'every = "1m"': f"2: `ci.every` {IDLE}",
    'patience = "1m"': f"2: `ci.patience` {IDLE}",
    "token = 1": "2: unknown key `ci.token` (did you mean `token_env`?)",
}


@pytest.mark.parametrize("text", WRONG)
def test_settings_that_cannot_be(tmp_path: Path, text: str) -> None:
    (tmp_path / "ganger.toml").write_text(f"[ci]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path, None, {"PATH": "/bin"}, {})
    assert f"ganger.toml:{WRONG[text]}" in caught.value.message.splitlines()


def test_settings(tmp_path: Path) -> None:
    (tmp_path / "ganger.toml").write_text(
        '[ci]\nsource = "command"\nrun = "scripts/ci --json"\nneeded = ["unit"]\nrequired = true\n'
    )
    loaded = config.load(tmp_path, None, {"PATH": "/bin"}, {})
    wanted = CiSettings(source="command", argv=("scripts/ci", "--json"), needed=("unit",), required=True)
    assert loaded.ci == replace(wanted)


def test_how_a_night_waits(tmp_path: Path) -> None:
    text = '[ci]\nsource = "file"\npath = "x"\nrequired = true\n'
    (tmp_path / "ganger.toml").write_text(f'{text}dependents = "closed"\nevery = "20m"\npatience = "2h"\n')
    policy = config.load(tmp_path, None, {"PATH": "/bin"}, {}).policy(PathRules(), 0)
    assert (policy.ci_required, policy.ci_dependents) == (True, "closed")
    assert (policy.ci_every_ms, policy.ci_every_max_ms, policy.ci_patience_ms) == (1_200_000, 1_200_000, 7_200_000)
    (tmp_path / "ganger.toml").write_text(text)
    policy = config.load(tmp_path, None, {"PATH": "/bin"}, {}).policy(PathRules(), 0)
    assert (policy.ci_dependents, policy.ci_every_ms, policy.ci_every_max_ms) == ("landed", 30_000, 600_000)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (CiSettings(source="github", repo="o/r"), f"https://api.github.com/repos/o/r/commits/{COMMIT}"),
        (CiSettings(source="file", path="ci.json"), "ci.json"),
        (CiSettings(source="command", argv=("ask", "ci")), f"ask ci {COMMIT}"),
        (CiSettings(source="jenkins"), "jenkins"),
    ],
)
def test_where_it_is_asked(settings: CiSettings, expected: str) -> None:
    assert where(settings, COMMIT) == expected
