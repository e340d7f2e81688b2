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

Each step is one of the classes below; its `do` is the class's name in snake case, its other keys the class's fields.
A step that cannot be done ends the agent with status 1, a script that cannot be read with status 2, both with the
reason on standard error; a script without a report ends it with status 0 and without a word.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct, field

from ganger.core.model import Outcome, Todo

_FENCE = re.compile(r"^```script[ \t]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_AGENT = "Scripted agent"
_FOREVER_S = 86_400.0


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


class ScriptError(Exception):
    """The script, or one of its steps, makes no sense or cannot be done."""


class Step(Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag=_snake):
    """Something the agent does."""


class Write(Step, frozen=True):
    """Write a file, with the directories above it."""

    path: str
    text: str


class Append(Step, frozen=True):
    """Add to the end of a file."""

    path: str
    text: str


class Replace(Step, frozen=True):
    """Replace the only occurrence of a text in a file."""

    path: str
    old: str
    new: str


class Delete(Step, frozen=True):
    """Delete a file."""

    path: str


class Run(Step, frozen=True):
    """Run a program and wait for it; `expect` is the exit status it must have, null for any."""

    argv: tuple[str, ...]
    expect: int | None = 0


class Commit(Step, frozen=True):
    """Commit everything in the workspace."""

    message: str


class EmptyCommit(Step, frozen=True):
    """Make a commit without a change: a lie that a subject line cannot show."""

    message: str


class Say(Step, frozen=True):
    """Print a line."""

    text: str


class Done(Step, frozen=True):
    """Report that the item is done."""

    summary: str = ""
    outcome: Outcome = Outcome.completed
    evidence: tuple[str, ...] = ()


class Fail(Step, frozen=True):
    """Report that the worker gives up."""

    reason: str


class Ask(Step, frozen=True):
    """Ask a person; the turn ends, whatever steps follow."""

    question: str
    options: tuple[str, ...] = ()
    recommend: str = ""


class Note(Step, frozen=True):
    """Tell something that nobody acts on."""

    text: str


class Todos(Step, frozen=True):
    """Replace the board."""

    items: tuple[Todo, ...]


class Sleep(Step, frozen=True):
    """Do nothing for some seconds."""

    seconds: float


class Hang(Step, frozen=True):
    """Do nothing any more: no output, no CPU time."""


class Spin(Step, frozen=True):
    """Use CPU time for some seconds, and change nothing."""

    seconds: float


class Crash(Step, frozen=True):
    """Die of a signal."""

    signal: int = int(signal.SIGKILL)


class Exit(Step, frozen=True):
    """End at once with a status, whatever steps follow."""

    code: int = 0


class Fork(Step, frozen=True):
    """Leave processes behind that outlive the agent, each an orphan in a session of its own."""

    count: int = 1
    seconds: float = _FOREVER_S
    ignore_sigterm: bool = False


class IgnoreSigterm(Step, frozen=True):
    """Do not end when asked to."""


class Flood(Step, frozen=True):
    """Print that many bytes."""

    bytes: int


class Attempt(Step, frozen=True):
    """Take these steps only in the attempt of this number (from 1, the one that `$GANGER_RUN` ends with)."""

    number: int
    steps: tuple[AnyStep, ...]


class Turn(Step, frozen=True):
    """Take these steps only in the turn of this number (from 1, `$GANGER_TURN`)."""

    number: int
    steps: tuple[AnyStep, ...]


class Once(Step, frozen=True):
    """Take these steps only the first time in this workspace; `name` tells one such group from another."""

    name: str
    steps: tuple[AnyStep, ...]


AnyStep: TypeAlias = (
    Write
    | Append
    | Replace
    | Delete
    | Run
    | Commit
    | EmptyCommit
    | Say
    | Done
    | Fail
    | Ask
    | Note
    | Todos
    | Sleep
    | Hang
    | Spin
    | Crash
    | Exit
    | Fork
    | IgnoreSigterm
    | Flood
    | Attempt
    | Turn
    | Once
)


class Script(Struct, frozen=True, forbid_unknown_fields=True):
    """What the agent does, in order."""

    step: tuple[AnyStep, ...] = field(default=())


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


def parse(text: str) -> Script:
    """Read a script, TOML or JSON; ScriptError says which step is wrong, and how."""
    try:
        if text.lstrip().startswith("{"):
            return msgspec.json.decode(text.encode(), type=Script)
        return msgspec.toml.decode(text, type=Script)
    except msgspec.ValidationError as error:
        raise ScriptError(f"the script does not fit: {_placed(str(error))}") from error
    except msgspec.DecodeError as error:
        raise ScriptError(f"the script cannot be read: {error}") from error


def _placed(message: str) -> str:
    """Say "step 2, text: what" for msgspec's "what - at `$.step[1].text`"."""
    what, _, where = message.partition(" - at ")
    found = re.fullmatch(r"`\$\.step\[(\d+)\]\.?(.*)`", where)
    if found is None:
        return message
    return f"step {int(found[1]) + 1}{f', {found[2]}' if found[2] else ''}: {what}"


def fenced_script(brief: str) -> str:
    """Cut the script out of a brief: what stands between a line "```script" and a line "```"."""
    found = _FENCE.search(brief)
    if found is None:
        raise ScriptError("the brief holds no script: it begins with a line ```script and ends with a line ```")
    return found[1]


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


def _behave(step: Say | Sleep | Hang | Spin | Crash | Exit | Fork | IgnoreSigterm | Flood) -> None:
    sys.stdout.flush()
    match step:
        case Say():
            print(step.text, flush=True)
        case Sleep():
            time.sleep(step.seconds)
        case Hang():
            while True:
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
