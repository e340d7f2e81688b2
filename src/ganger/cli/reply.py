"""Asking the fleet for a change in the name of whoever calls, and saying what it answered."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganger.cli.output import NO, USAGE, YES, say, say_json, tell_error, way_forward
from ganger.core.commands import Command
from ganger.core.ids import is_run_id
from ganger.core.model import Refusal, RefusalCode
from ganger.errors import GangerError

if TYPE_CHECKING:
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
    # What a worker says does not come this way, and need not wait until all of that is loaded.
    from ganger.service.door import submit

    return submit(state_dir, command, asker())


def answered(reply: Reply, done: str, *, as_json: bool, unchanged: str = "") -> int:
    """Print what came of a command, `done` when it changed something; returns the exit status.

    `unchanged` is said instead when everything was so already.
    """
    if isinstance(reply, Refusal):
        return said(reply, 0, False, done, as_json=as_json)
    return said(None, reply.seq, bool(reply.events), done, as_json=as_json, unchanged=unchanged)


def said(refusal: Refusal | None, seq: int, changed: bool, done: str, *, as_json: bool, unchanged: str = "") -> int:
    """Print what came of a command from its parts, as `answered` does; returns the exit status."""
    if as_json:
        say_json("ganger.reply", _values(refusal, seq, changed))
    elif refusal is not None:
        tell_error(f"refused ({refusal.code}): {refusal.reason}", way_forward(refusal))
    else:
        say(done if changed else unchanged or f"{done} (it was so already)")
    return _exit_of(refusal)


def exit_of(reply: Reply) -> int:
    """The exit status for a reply."""
    return _exit_of(reply if isinstance(reply, Refusal) else None)


def _exit_of(refusal: Refusal | None) -> int:
    if refusal is None:
        return YES
    return USAGE if refusal.code in SENSELESS else NO


def of_reply(reply: Reply) -> dict[str, Any]:
    """A reply as values for `say_json`."""
    if isinstance(reply, Refusal):
        return _values(reply, 0, False)
    return _values(None, reply.seq, bool(reply.events))


def _values(refusal: Refusal | None, seq: int, changed: bool) -> dict[str, Any]:
    return {"accepted": refusal is None, "changed": changed, "seq": seq, "refusal": of_refusal(refusal)}


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
