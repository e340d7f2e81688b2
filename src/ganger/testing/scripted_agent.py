"""An agent that does what a script says: for tests, and for a demo without a model.

    python -m ganger.testing.scripted_agent SCRIPT       the script is a file, TOML or JSON
    python -m ganger.testing.scripted_agent              the script is in the brief, between ```script and ```

It works in the current directory and reports with the `ganger` command, like any agent. A script is a list of steps:

    [[step]]
    do = "write"
    path = "src/greeting.txt"
    text = "hello\\n"

    [[step]]
    do = "attempt"              # only in the first attempt at the item; its own steps are tables too
    number = 1
    steps = [{ do = "crash" }]

    [[step]]
    do = "commit"
    message = "Say hello"

    [[step]]
    do = "done"
    summary = "It says hello."

The steps are those of `testing.script`. Its events are for a driver that reads them: `output = "events"` of `command`.
A step that cannot be done ends the agent with status 1, a script that cannot be read with status 2, both with the
reason on standard error; a script without a report ends it with status 0 and without a word.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from ganger.testing.script import (
    AnyStep,
    Append,
    Ask,
    Attempt,
    Call,
    Churn,
    Commit,
    Crash,
    Delete,
    Done,
    EmptyCommit,
    Exit,
    Fail,
    Flood,
    Fork,
    Hang,
    IgnoreSigterm,
    Limited,
    Note,
    Once,
    Replace,
    Run,
    Say,
    ScriptError,
    Sleep,
    Spin,
    Todos,
    Turn,
    Use,
    Write,
    fenced_script,
    parse,
)

_AGENT = "Scripted agent"


def main(arguments: list[str]) -> int:
    """Find the script, carry it out, and return the exit status."""
    try:
        text = Path(arguments[0]).read_text(encoding="utf-8") if arguments else fenced_script(_brief())
        script = parse(text)
    except (ScriptError, OSError, UnicodeDecodeError) as error:
        print(f"scripted agent: {error}", file=sys.stderr)
        return 2
    try:
        take_all(script.step)
    except (ScriptError, OSError) as error:
        print(f"scripted agent: {error}", file=sys.stderr)
        return 1
    return 0


def _brief() -> str:
    path = os.environ.get("GANGER_BRIEF_FILE")
    return Path(path).read_text(encoding="utf-8") if path else sys.stdin.read()


def take_all(steps: Iterable[AnyStep]) -> None:
    """Take steps in order."""
    for step in steps:
        take(step)


def take(step: AnyStep) -> None:
    """Take one step; ScriptError when it cannot be done, SystemExit when it is the last."""
    match step:
        case Write() | Append() | Replace() | Delete():
            _edit(step)
        case Churn():
            _churn(step)
        case Use() | Limited() | Call():
            _tell(step)
        case Run() | Commit() | EmptyCommit():
            _work(step)
        case Done() | Fail() | Ask() | Note() | Todos():
            _call([sys.executable, "-m", "ganger", *report_arguments(step)], expect=0)
            if isinstance(step, Ask):
                raise SystemExit(0)
        case Attempt() | Turn() | Once():
            if _is_time_for(step):
                take_all(step.steps)
        case _:
            _behave(step)


def report_arguments(step: Done | Fail | Ask | Note | Todos) -> list[str]:
    """Say the report in the words of the `ganger` command; free text never begins an option."""
    match step:
        case Done():
            evidence = [f"--evidence={text}" for text in step.evidence]
            return ["done", f"--outcome={step.outcome.value}", f"--summary={step.summary}", *evidence]
        case Ask():
            recommend = [f"--recommend={step.recommend}"] if step.recommend else []
            return ["ask", *(f"--option={text}" for text in step.options), *recommend, "--", step.question]
        case Fail():
            return ["fail", "--", step.reason]
        case Note():
            return ["note", "--", step.text]
        case Todos():
            return ["todos", "--", msgspec.json.encode(step.items).decode()]


def _edit(step: Write | Append | Replace | Delete) -> None:
    path = Path(step.path)
    match step:
        case Delete():
            path.unlink()
        case Replace():
            text = path.read_text(encoding="utf-8")
            if text.count(step.old) != 1:
                raise ScriptError(f"{step.path} holds {text.count(step.old)} times, not once: {step.old!r}")
            path.write_text(text.replace(step.old, step.new), encoding="utf-8")
        case Write() | Append():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a" if isinstance(step, Append) else "w", encoding="utf-8") as file:
                file.write(step.text)


def _work(step: Run | Commit | EmptyCommit) -> None:
    match step:
        case Run():
            _call(list(step.argv), step.expect)
        case Commit():
            _call(["git", "add", "--all"], expect=0)
            _commit(step.message)
        case EmptyCommit():
            _commit(step.message, "--allow-empty")


def _commit(message: str, *options: str) -> None:
    # The environment of a worker has no git identity, and a workspace need not have one.
    identity = ["-c", f"user.name={_AGENT}", "-c", "user.email=agent@invalid", "-c", "commit.gpgsign=false"]
    _call(["git", *identity, "commit", "--quiet", *options, f"--message={message}"], expect=0)


def _call(argv: list[str], expect: int | None) -> None:
    sys.stdout.flush()
    try:
        code = subprocess.run(argv, check=False, stdin=subprocess.DEVNULL).returncode
    except (OSError, ValueError) as error:
        raise ScriptError(f"cannot run {argv!r}: {error}") from error
    if expect is not None and code != expect:
        raise ScriptError(f"{argv!r} ended with {code}, not {expect}")


def _is_time_for(step: Attempt | Turn | Once) -> bool:
    match step:
        case Attempt():
            return os.environ.get("GANGER_RUN", ".1").rpartition(".")[2] == str(step.number)
        case Turn():
            return os.environ.get("GANGER_TURN", "1") == str(step.number)
        case Once():
            # In the git directory, where it is kept from turn to turn and never committed.
            keep = Path(".git") if Path(".git").is_dir() else Path()
            try:
                (keep / f"scripted-agent-once-{step.name}").touch(exist_ok=False)
            except FileExistsError:
                return False
            return True


def _tell(step: Use | Limited | Call) -> None:
    match step:
        case Use():
            fields = {name: getattr(step, name) for name in ("tokens_in", "tokens_out", "usd", "whole_turn")}
            _event("usage", fields)
        case Limited():
            reset_ms = 0 if step.reset_in_s is None else int((time.time() + step.reset_in_s) * 1000)
            _event("rate_limited", {"reset_at_ms": reset_ms, "reason": step.reason, "overload": step.overload})
        case Call():
            for _ in range(step.times):
                _event("tool_call", {"name": step.name, "arguments": step.arguments})
                time.sleep(step.every_s)


def _event(name: str, fields: Mapping[str, object]) -> None:
    print(msgspec.json.encode({"event": name, **fields}).decode(), flush=True)


def _churn(step: Churn) -> None:
    path = Path(step.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(step.times):
        path.write_text(f"{time.time_ns()} {number}\n", encoding="utf-8")
        time.sleep(step.every_s)


def _behave(step: Say | Sleep | Hang | Spin | Crash | Exit | Fork | IgnoreSigterm | Flood) -> None:
    sys.stdout.flush()
    match step:
        case Say():
            print(step.text, flush=True)
        case Sleep():
            time.sleep(step.seconds)
        case Hang():
            while True:
                if not step.busy:
                    signal.pause()
        case Spin():
            until = time.monotonic() + step.seconds
            while time.monotonic() < until:
                pass
        case Crash():
            _die_of(step.signal)
        case Exit():
            raise SystemExit(step.code)
        case Fork():
            _leave_behind(step)
        case IgnoreSigterm():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case Flood():
            _flood(step.bytes)


def _die_of(number: int) -> None:
    with suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    # A signal that does not end a process by default is no way to crash.
    raise ScriptError(f"still alive after signal {number}")


def _leave_behind(step: Fork) -> None:
    for _ in range(step.count):
        middle = os.fork()
        if middle == 0:
            os.setsid()
            if os.fork() == 0:
                if step.ignore_sigterm:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(step.seconds)
            os._exit(0)
        os.waitpid(middle, 0)


def _flood(count: int) -> None:
    chunk = b"0123456789abcdef" * 4096
    while count > 0:
        count -= os.write(1, chunk[:count])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
