"""`ganger attach`: the conversation of a worker, for a person who looks on or takes over."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from ganger.cli.log import last_lines
from ganger.cli.log import log as log_command
from ganger.cli.look import Looking
from ganger.cli.main import App
from ganger.cli.output import NO, YES, say, say_json, tell, way_forward
from ganger.cli.reply import a_person, ask, asker, name_of
from ganger.cli.state import look
from ganger.core import commands as cmd
from ganger.core.facts import Run
from ganger.core.ids import QuestionId, RunId
from ganger.core.model import EndKind, ItemSpec, Question, Refusal
from ganger.core.state import State
from ganger.drivers import process
from ganger.drivers.background import run_in_front
from ganger.errors import UsageError
from ganger.jail import at_terminal
from ganger.service import place, wiring
from ganger.service.places import Places
from ganger.supervisor.attaching import NotAttachable, Way, prepared, way_to
from ganger.supervisor.launching import fleet_mark

GO_ON, STOP, WAIT = "go on", "stop", "wait"
TAKEN = "took this run over: how does it go on?"
LAST_LINES = 40
WAIT_S, LOOK_S = 120.0, 0.2
LOCK = "attached"


@click.command()
@click.argument("ref", metavar="RUN_OR_ITEM")
@click.option("--take-over", "take_over", is_flag=True, help="Stop a turn that is under way first, and keep its work.")
@click.option("--here", is_flag=True, help="Open it in this terminal, without tmux.")
@click.option("--print", "only_print", is_flag=True, help="Only print what would be opened, and how.")
@click.option("--json", "as_json", is_flag=True, help="Print that as one JSON object.")
@click.pass_context
def attach(context: click.Context, ref: str, take_over: bool, here: bool, only_print: bool, as_json: bool) -> int:
    """Open the conversation of a live run's worker for you: its agent, in its workspace, behind its wall.

    A turn that is under way is shown and not disturbed. With --take-over it is stopped, and the run waits for you; when
    you leave the conversation you say whether the run goes on, stops, or waits. A run that waits for an answer is
    opened as it is. Of a run that has ended the last it printed is shown. With tmux the conversation stays open when
    you leave the terminal, and `ganger attach` comes back to it.

    Exit status: 0 it was opened, or shown while the run was live; 1 the run has ended, or cannot be opened.
    """
    app: App = context.obj
    with Looking(app) as looking:
        name = looking.run(ref).id
        state = look(app.state_dir()).state
        run = state.runs.get(RunId(name))
        if run is None:
            return _show_the_end(app, looking, name, opens=only_print or as_json)
    if as_json:
        return _say_way(app, _way(app, state, run))
    if only_print:
        return _print_way(app, _way(app, state, run))
    if run.has_worker and not run.question and not take_over:
        tell(f"{name} is at work: this is what it prints; ganger attach {name} --take-over stops its turn for you")
        return int(context.invoke(log_command, ref=name, follow=True))
    a_person("Attach")
    way = _way(app, state, run)
    tmux = shutil.which("tmux")
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or (tmux is None and not here):
        why = "this is no terminal" if tmux is not None or here else "tmux is not installed"
        tell(f"{why}; nothing was changed. In a terminal:\n")
        _print_way(app, way)
        return NO
    run = _parked(app, run)
    if tmux is None or here:
        return _open_here(app, run)
    return _open_in_tmux(app, run, tmux)


def _show_the_end(app: App, looking: Looking, name: str, *, opens: bool) -> int:
    """Show the last screen of a worker whose run is over; NotAttachable where it was asked how that `opens`."""
    row = looking.reader.run(name)
    assert row is not None, name
    gone = "its workspace is gone" if not Places(looking.state_dir).workspace(name).exists() else "it is not live"
    if opens:
        raise NotAttachable(f"{name} has ended ({row.status}), and {gone}", f"ganger log {name}")
    last = last_lines(app, looking, name, LAST_LINES)
    tell(f"{name} has ended ({row.status}), and {gone}" + ("; the last it printed:\n" if last else ""))
    for line in last:
        say(line)
    landed = row.status == "landed"
    left = f"ganger diff {name} what it changed" if landed else f"ganger salvage show {name} what it left"
    tell(f"\nganger log {name} shows all of it, {left}" + ("" if landed else f"; ganger retry {row.item}"))
    return NO


def _way(app: App, state: State, run: Run) -> Way:
    """How a run's conversation is opened; NotAttachable where it cannot be, now or ever."""
    return way_to(_parts(app), run, _spec(state, run))


def _parts(app: App) -> wiring.Parts:
    return wiring.gather(app.start, os.environ, app.state_override, {})


def _spec(state: State, run: Run) -> ItemSpec:
    return state.items[run.item].spec


def _print_way(app: App, way: Way) -> int:
    """Print how the conversation is opened without tmux, and what is started then."""
    say(shlex.join(_again(app, way.run.id, "--here")))
    say()
    say(f"what that starts, behind the wall of its worker ({way.turn.tier}):")
    for line in way.shown.splitlines():
        say(f"  {line}")
    return YES


def _say_way(app: App, way: Way) -> int:
    """The same as a value."""
    about = {"run": way.run.id, "turn": way.turn.turn, "tier": way.turn.tier, "workspace": str(way.turn.workspace)}
    opened = {"command": list(_again(app, way.run.id, "--here")), "argv": list(way.launch.argv)}
    say_json("ganger.attach", {**about, **opened, "env": way.launch.env, "keys": sorted(way.launch.keys)})
    return YES


def _again(app: App, run: str, *more: str) -> tuple[str, ...]:
    """This command for another process."""
    start = ("-C", str(app.start), "--state-dir", str(app.state_dir()))
    return (sys.executable, "-P", "-m", "ganger", *start, "attach", run, *more)


def _parked(app: App, run: Run) -> Run:
    """The run once it waits for a person and no worker of it lives; NotAttachable where that does not come to be."""
    if run.stop is not None or run.turn_due or not (run.has_worker or run.question):
        raise NotAttachable(
            f"{run.id} is between two turns, or what it made is being judged: there is nothing to take over",
            f"ganger show {run.id} says how far it is; try again when it is at work or waits for you",
        )
    if run.has_worker and not place.is_supervised(app.state_dir()):
        raise NotAttachable(f"nobody is there to stop the worker of {run.id}", "ganger up")
    if not run.question:
        text = f"{name_of(asker())} {TAKEN}"
        reply = ask(app.state_dir(), cmd.AskQuestion(run.id, run.lease.token, text, (GO_ON,), GO_ON))
        if isinstance(reply, Refusal):
            raise NotAttachable(f"{run.id} cannot be taken over: {reply.reason}", way_forward(reply))
        tell(f"{run.id} waits for you from here on; its worker is being stopped")
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        found = look(app.state_dir()).state.runs.get(run.id)
        if found is None or not _waits(found):
            raise NotAttachable(f"{run.id} did not wait for you", f"ganger show {run.id}")
        if not found.has_worker:
            return found
        time.sleep(LOOK_S)
    raise NotAttachable(f"the worker of {run.id} was not stopped within {WAIT_S:g} s", "ganger status")


def _waits(run: Run) -> bool:
    """Whether a run stays where it is until somebody answers."""
    return bool(run.question) and run.stop is None and not run.turn_due and not run.rewind


def _open_in_tmux(app: App, run: Run, tmux: str) -> int:
    """Open it in a tmux of its own, or come back to it; tell afterwards what is left to do."""
    server = server_of(app.state_dir(), run.id)
    inner = shlex.join(_again(app, run.id, "--here"))
    env = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")}
    code = run_in_front((tmux, "-L", server, "new-session", "-A", "-s", "ganger", inner), env)
    if code:
        raise NotAttachable(f"tmux ended with {code}", f"ganger attach {run.id} --here opens it without")
    found = look(app.state_dir()).state.runs.get(run.id)
    if found is not None and _waits(found):
        tell(f"{run.id} waits for you: ganger attach {run.id}, or ganger answer {found.question} TEXT lets it go on")
    return YES


def server_of(state_dir: Path, run: str) -> str:
    """What the tmux of a run is called: other runs, and other fleets, have others."""
    return f"ganger-{fleet_mark(state_dir)[:8]}-{run.replace('.', '-')}"


def _open_here(app: App, run: Run) -> int:
    """Open it in this terminal, and when the person leaves it, ask how the run goes on."""
    state = look(app.state_dir()).state
    parts = _parts(app)
    # Agents are left with Ctrl-C, one of them or a few: those that come too late mean nothing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with _alone(app, run):
        opening = prepared(parts, way_to(parts, run, _spec(state, run)))

        def is_wanted() -> bool:
            found = look(app.state_dir()).state.runs.get(run.id)
            return found is not None and _waits(found)

        try:
            code = at_terminal.run(opening.program, opening.confined, opening.env, opening.cwd, is_wanted)
        finally:
            process.sweep(opening.mark)
        if code:
            tell(f"\nthe agent ended with {code}")
        return _ask_how(app, run.id)


@contextmanager
def _alone(app: App, run: Run) -> Iterator[None]:
    """Hold a run's conversation; NotAttachable while somebody else does."""
    path = Places(app.state_dir()).run(run.id) / LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NotAttachable(f"somebody has the conversation of {run.id} open", f"ganger log {run.id}") from None
        yield
    finally:
        os.close(handle)


def _ask_how(app: App, name: RunId) -> int:
    """Have the person say how the run goes on, if it still waits and waits because it was taken over."""
    state = look(app.state_dir()).state
    run = state.runs.get(name)
    if run is None or not _waits(run):
        tell(f"{name} went on or ended meanwhile: ganger show {name}")
        return YES
    question = state.questions[run.question]
    if not is_taken(question):
        tell(f"{name} still waits for its answer: ganger answer {question.id} TEXT")
        return YES
    tell(f"\n{name} waits for you. Enter: it goes on; `{STOP}`: the run ends and its work is kept; `{WAIT}`: it waits.")
    tell("Anything else is said to its worker, which goes on with it.")
    return _carry_out(app, name, question.id, _word())


def _word() -> str:
    """What the person types; the end of the input leaves it waiting."""
    try:
        return input("> ").strip()
    except EOFError:
        return WAIT


def is_taken(question: Question) -> bool:
    """Whether a question is one that keeps a run for a person who took it over."""
    return question.options == (GO_ON,) and question.text.endswith(TAKEN)


def _carry_out(app: App, name: RunId, question: QuestionId, word: str) -> int:
    """Do what the person said."""
    state_dir: Path = app.state_dir()
    if word == WAIT:
        tell(f"{name} waits: ganger attach {name}, or ganger answer {question} '{GO_ON}'")
        return YES
    if word == STOP:
        reply = ask(state_dir, cmd.StopRun(name, EndKind.stopped, f"stopped by {name_of(asker())}, who took it over"))
    else:
        said = word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        reply = ask(state_dir, cmd.AnswerQuestion(question, said or GO_ON, asker()))
    if isinstance(reply, Refusal):
        raise UsageError(f"refused ({reply.code}): {reply.reason}", way_forward(reply))
    tell(f"{name} will be stopped; its work is kept" if word == STOP else f"{name} goes on")
    if not place.is_supervised(state_dir):
        tell("nobody supervises this fleet by now: ganger up")
    return YES
