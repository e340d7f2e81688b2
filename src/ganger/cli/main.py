"""The command tree: each group of commands is imported only when one of its commands is called."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from ganger import __version__
from ganger.cli.output import FAULT, INTERRUPTED, USAGE, hung_up, say_json, tell, tell_error
from ganger.errors import GangerError, StateDirError, UsageError, WorldFailed

FOR_WORKERS = "a worker sees nothing of its fleet: for it are ganger my-work, may-write, todos, note, ask, done, fail"
"""In the place of a hint that tells a person to begin a fleet: a worker would do so, where it is at work."""
GROUPS: dict[str, tuple[str, ...]] = {
    "start": ("init", "doctor", "demo"),
    "plan": ("plan",),
    "simulate": ("simulate",),
    "night": ("run", "up", "down"),
    "control": ("pause", "resume", "steer", "schedule", "breaker", "rewind"),
    "look": ("show", "why", "diff", "report"),
    "log": ("log",),
    "act": ("inbox", "answer", "stop", "retry"),
    "undo": ("undo",),
    "tell": ("tell",),
    "broadcast": ("broadcast",),
    "facts": ("facts",),
    "lease": ("lease",),
    "kernel": ("next", "gate", "fleet-plan", "liveness", "resume-check"),
    "conflicts": ("conflicts",),
    "records": ("journal", "trace", "prune"),
    "bundles": ("bundle", "verify-bundle", "key"),
    "outside": ("residual", "ci"),
    "salvage": ("salvage",),
    "worker": ("my-work", "done", "ask", "fail", "note", "todos", "follow-up", "spawn", "wait", "may-write", "mcp"),
    "hook": ("hook",),
    "agents": ("agents",),
    "kinds": ("kinds",),
    "skills": ("skills",),
    "attach": ("attach",),
    "other": ("config", "exit-codes"),
    "completion": ("completion",),
    "schema": ("schema",),
}
ATTRIBUTE_OF = {
    **{"next": "next_", "gate": "gate_", "fleet-plan": "fleet_plan_", "liveness": "liveness_"},
    "tell": "tell_run",
}
"""Commands whose function has another name, because a function that it uses has theirs."""
HOT = {"status": "ganger.cli.status", "admit": "ganger.cli.admit", "verify": "ganger.cli.verify"}
"""Commands with a parser of their own, which loads faster."""
ALONE = object()
"""Says that a process is there for one command only."""
MODULE_OF = {command: module for module, commands in GROUPS.items() for command in commands}
SUMMARIES = {
    "init": "Detect what this repository has and write ganger.toml.",
    "doctor": "Check the machine, repository and fleet, with remedies.",
    "demo": "Run a whole night on a real library, without a model.",
    "plan": "Lint, show and stop plans, and the board of items.",
    "simulate": "Say how long a plan would take, and what limits it.",
    "run": "Work through a plan until nothing more can be done.",
    "up": "Start a supervisor in the background.",
    "down": "End the supervisor; workers go on unless --now.",
    "pause": "Start no more workers for a plan.",
    "resume": "Offer the items of a paused or stopped plan again.",
    "steer": "Tell all later turns of a plan's workers something.",
    "tell": "Tell the worker of a live run something.",
    "broadcast": "Tell all workers whom something concerns.",
    "facts": "Keep what all workers should know.",
    "schedule": "Have plan files read again at set times.",
    "status": "Show what runs, what waits and what is done.",
    "show": "Show an item, a run, a question or a commit.",
    "why": "Show the verdict on an item or run, with its evidence.",
    "verify": "Say whether it is on the target, and how well proven.",
    "diff": "Show what a run changed.",
    "log": "Show what a run printed, or what happened in the fleet.",
    "attach": "Open a worker's conversation, for you.",
    "report": "Write the morning report.",
    "inbox": "List what needs you.",
    "answer": "Answer a question.",
    "stop": "Stop a run; its work is kept.",
    "retry": "Offer an item again, or give it to a worker now.",
    "undo": "Undo a landing, as a new tested commit.",
    "rewind": "Put a run's workspace back to a checkpoint.",
    "breaker": "List and close circuit breakers.",
    "admit": "Say whether an item, lane or scope would be admitted now.",
    "lease": "Hold a lane or scope for somebody ganger did not start.",
    "next": "Say what would be picked now, and why not the others.",
    "gate": "Say in one word what is left of the backlog.",
    "fleet-plan": "Say what a fleet of a given size would need.",
    "liveness": "Say whether a run's worker gets anywhere.",
    "conflicts": "Say which runs' changes meet, before they land.",
    "resume-check": "Say whether a run could go on without its worker.",
    "trace": "Tell the whole story behind a name.",
    "journal": "Tail, verify, replay or export the journal.",
    "prune": "Put kept files of old runs into the trash.",
    "residual": "Say what is left when only evidence counts.",
    "ci": "Ask what CI says of a commit.",
    "bundle": "Put what speaks for a landed item into one signed file.",
    "verify-bundle": "Verify a bundle, offline.",
    "key": "Print the public key that signs this fleet's bundles.",
    "salvage": "List, show and restore the work of ended runs.",
    "my-work": "For workers: print the brief again.",
    "done": "For workers: say that the item is done.",
    "ask": "For workers: ask a person, and end the turn.",
    "fail": "For workers: give up on the item.",
    "note": "For workers: say something to be shown.",
    "todos": "For workers: replace the progress board.",
    "follow-up": "For workers: file work you came upon as an item.",
    "spawn": "For workers: hand a part of your work to a child.",
    "wait": "For workers: end your turn until your children have ended.",
    "may-write": "For workers: ask whether a file lies in your scope.",
    "mcp": "For workers: the same as tools, over MCP.",
    "hook": "Answer an agent's hook where no gate does.",
    "agents": "List the agent programs, and which work here.",
    "skills": "Teach your own agents to work with ganger.",
    "kinds": "List the kinds of workers, and what they are told.",
    "config": "Explain where each setting comes from.",
    "exit-codes": "Print what the exit codes mean.",
    "schema": "Print the JSON schema of a file or message.",
    "completion": "Print what a shell needs to complete commands.",
    "version": "Print the version.",
}


class Tree(click.Group):
    """Finds commands by name and imports only the module that has them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name == "version":
            return click.Command("version", callback=_version, params=[_json_option()], help=SUMMARIES["version"])
        if name in HOT:
            params = _hot_params(name) if ctx.resilient_parsing else None
            return _taught(ctx, name, _Hot(name, params=params, help=SUMMARIES[name], add_help_option=False))
        module = MODULE_OF.get(name)
        if module is None:
            return None
        found = getattr(importlib.import_module(f"ganger.cli.{module}"), ATTRIBUTE_OF.get(name, name.replace("-", "_")))
        assert isinstance(found, click.Command), name
        return _taught(ctx, name, found)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[Any, Any, list[str]]:
        if args and args[0] not in SUMMARIES:
            import difflib

            near = difflib.get_close_matches(args[0], SUMMARIES, n=1)
            hint = f"did you mean `ganger {near[0]}`?" if near else "ganger --help lists the commands"
            raise click.UsageError(f"there is no command {args[0]!r}: {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            found = super().invoke(ctx)
        except BrokenPipeError:  # click itself would exit with 1, which means no
            return hung_up()
        try:
            # What is written only when the process ends can fail where nobody is left to say so.
            sys.stdout.flush()
        except OSError as error:
            hung_up()
            if not isinstance(error, BrokenPipeError):
                raise WorldFailed(f"the output cannot be written: {error.strerror}") from error
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


class _Hot(click.Command):
    """Hands its arguments on unparsed to a command with a parser of its own."""

    ignore_unknown_options = True
    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = args
        return args

    def invoke(self, ctx: click.Context) -> int:
        app = ctx.find_object(App)
        before = ["-C", str(app.start)] if app is not None else []
        before += ["--state-dir", app.state_override] if app is not None and app.state_override else []
        found = importlib.import_module(HOT[str(self.name)]).main([*before, *ctx.args])
        assert isinstance(found, int), self.name
        return found


def _taught(ctx: click.Context, name: str, command: click.Command) -> click.Command:
    """The command; where a shell wants to complete a line, with arguments that know the fleet's names."""
    if not ctx.resilient_parsing:
        return command
    from ganger.cli.completion import taught

    return taught(command, name)


def _hot_params(name: str) -> list[click.Parameter]:
    """What a hot command takes, for a shell that wants to complete it."""
    if name == "status":
        return [_json_option()]
    if name == "verify":
        return [click.Argument(["item"], required=False), click.Option(["--rung"]), _json_option()]
    flags = [click.Option([flag], is_flag=True) for flag in ("--shared", "--autopick")]
    values = [click.Option([option]) for option in ("--lane", "--scope")]
    return [click.Argument(["item"], required=False), *flags, *values, _json_option()]


def _json_option() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON object instead.")


def _version(as_json: bool) -> None:
    if as_json:
        say_json("ganger.version", {"ganger": __version__})
    else:
        click.echo(f"ganger {__version__}")


class App:
    """What every command knows: where it was called, and which state directory was asked for."""

    def __init__(self, start: Path, state_override: str, alone: bool = False) -> None:
        self.start = start
        self.state_override = state_override
        self.alone = alone
        """Whether this process is there for the command only, and may give up its rights for good."""

    def state_dir(self) -> Path:
        """The state directory of this repository's fleet."""
        from ganger.service.place import state_dir

        return state_dir(self.start, os.environ, self.state_override)


@click.group(
    cls=Tree,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option("-C", "start", type=click.Path(path_type=Path), default=".", help="Work as if called in this directory.")
@click.option("--state-dir", "state_override", default="", help="Keep this fleet's state here.")
@click.version_option(__version__, "--version", message="ganger %(version)s")
@click.pass_context
def tree(ctx: click.Context, start: Path, state_override: str) -> None:
    """Run a gang of coding agents on a git repository, unattended, and believe nothing they say.

    Without a command: what runs and what needs you.
    """
    ctx.obj = App(_absolute(start), state_override, alone=ctx.obj is ALONE)
    if ctx.invoked_subcommand is None:
        from ganger.cli.act import overview

        ctx.exit(overview(ctx.obj))


def _absolute(start: Path) -> Path:
    """The directory to work in, by the name that messages are to give it; UsageError when ours was removed."""
    try:
        return start.absolute()
    except OSError as error:
        raise UsageError(f"the current directory is gone: {error.strerror}", "go to one that is there") from error


def main(args: list[str], *, alone: bool = False) -> int:
    """Run one command line; returns its exit status, and prints every expected error as one message.

    `alone`: this process does nothing else before or after.
    """
    if "_GANGER_COMPLETE" in os.environ:
        from ganger.cli.completion import completed

        return completed()
    try:
        result = tree.main(args=args, prog_name="ganger", standalone_mode=False, obj=ALONE if alone else None)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        tell(error.format_message())
        return USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "ganger"
        tell_error(" ".join(error.format_message().split()), f"{where} --help")
        return USAGE
    except click.ClickException as error:
        tell_error(error.format_message())
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        tell_error("interrupted")
        return INTERRUPTED
    except StateDirError as error:
        tell_error(error.message, FOR_WORKERS if os.environ.get("GANGER_RUN") else error.hint)
        return error.exit_code
    except GangerError as error:
        tell_error(error.message, error.hint)
        return error.exit_code
    except RecursionError:
        tell_error("the input is nested too deeply")
        return USAGE
    except Exception as error:
        if wrong := _wrong_argument(error, args):
            tell_error(wrong)
            return USAGE
        return _fault(error)
    return result if isinstance(result, int) else 0


def _wrong_argument(error: Exception, args: list[str]) -> str:
    """Say why no argument can be like that, where an error comes from one; empty where it does not."""
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "an argument is too long for the name of a file"
    if isinstance(error, UnicodeEncodeError) and any("\ud800" <= char <= "\udfff" for arg in args for char in arg):
        return "an argument holds bytes that are no text"
    return ""


def _fault(error: Exception) -> int:
    """A fault of ganger: say so in one line, and keep the traceback where it can be sent from."""
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="ganger-fault-", suffix=".txt", delete=False) as file:
        file.write(traceback.format_exc())
    tell_error(f"this is a fault of ganger: {type(error).__name__}: {error}", f"the traceback is in {file.name}")
    return FAULT
