"""Asking the fleet for a change in the name of whoever calls, and saying what it answered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ganger.cli.output import NO, USAGE, YES, say, say_json, tell_error, way_forward
from ganger.core.commands import Command
from ganger.core.ids import is_run_id
from ganger.core.model import Refusal, RefusalCode
from ganger.errors import GangerError
from ganger.service.door import submit
from ganger.service.fleet import Reply

SENSELESS = frozenset({RefusalCode.invalid, RefusalCode.config})
"""Refusals of a command that makes no sense as it was given: exit status 2; all others: 1."""


def asker() -> str:
    """Who asks: the worker whose environment this is, or else the person."""
    run = os.environ.get("GANGER_RUN", "")
    if is_run_id(run):
        return f"worker:{run}"
    # What workers say comes this way too, and need not wait until all of that is loaded.
    from ganger.service.wiring import person

    return person()


def a_person(what: str) -> str:
    """The person who asks for what is not put to the fleet as a command; Forbidden when it is a worker."""
    who = asker()
    if who.startswith("worker:"):
        reason = f"the worker of {name_of(who)} may not ask for {what}"
        raise Forbidden(f"refused ({RefusalCode.forbidden}): {reason}", "report, or ask a question")
    return who


class Forbidden(GangerError):
    """A worker asked for what only a person may do."""

    exit_code = NO


def name_of(actor: str) -> str:
    """The name in an actor: `olga` of `person:olga`."""
    return actor.partition(":")[2]


def ask(state_dir: Path, command: Command) -> Reply:
    """Submit a command in the caller's name."""
    return submit(state_dir, command, asker())


def answered(reply: Reply, done: str, *, as_json: bool, unchanged: str = "") -> int:
    """Print what came of a command, `done` when it changed something; returns the exit status.

    `unchanged` is said instead when everything was so already.
    """
    if as_json:
        say_json("ganger.reply", of_reply(reply))
    elif isinstance(reply, Refusal):
        tell_error(f"refused ({reply.code}): {reply.reason}", way_forward(reply))
    elif reply.events:
        say(done)
    else:
        say(unchanged or f"{done} (it was so already)")
    return exit_of(reply)


def exit_of(reply: Reply) -> int:
    """The exit status for a reply."""
    if not isinstance(reply, Refusal):
        return YES
    return USAGE if reply.code in SENSELESS else NO


def of_reply(reply: Reply) -> dict[str, Any]:
    """A reply as values for `say_json`."""
    if isinstance(reply, Refusal):
        return {"accepted": False, "changed": False, "seq": 0, "refusal": of_refusal(reply)}
    return {"accepted": True, "changed": bool(reply.events), "seq": reply.seq, "refusal": None}


def of_refusal(refusal: Refusal | None) -> dict[str, Any] | None:
    """A refusal as values for `say_json`; None for none."""
    if refusal is None:
        return None
    return {
        "code": refusal.code.value,
        "reason": refusal.reason,
        "way": refusal.way,
        "holder": refusal.holder,
        "again_ms": refusal.again_ms,
        "free": list(refusal.free),
    }
