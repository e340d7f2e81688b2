"""`ganger lease`: hold a lane or a scope without being a worker of ganger's: a script, a person, an agent of theirs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click
from msgspec.structs import replace

from ganger.cli.admit import admitted, has_scorers
from ganger.cli.main import App
from ganger.cli.options import Duration, as_json
from ganger.cli.output import NO, RACE, YES, clock, plain, say, say_json, span, table, tell
from ganger.cli.reply import answered, ask, asker, name_of, of_reply
from ganger.cli.state import look
from ganger.core import commands as cmd
from ganger.core.events import LeaseGranted
from ganger.core.ids import LeaseId, Token, is_lease_id
from ganger.core.leases import TTL_MAX_MS, TTL_MIN_MS
from ganger.core.model import LeaseMode, Refusal, RefusalCode
from ganger.errors import RepositoryError, UsageError
from ganger.git.naming import STANDIN
from ganger.journal.clock import wall_ms
from ganger.journal.queries import LeaseRow, Reader
from ganger.service import place, wiring
from ganger.service.door import POLICY
from ganger.service.fleet import Reply

TTL_MS = 600_000
TRIES_MAX = 4
"""How often scorers are asked about one lease, when others are granted theirs meanwhile."""
_ttl = click.option(
    "--ttl",
    "ttl_ms",
    type=Duration(TTL_MIN_MS, TTL_MAX_MS),
    default=TTL_MS,
    show_default="10m",
    help="How long it lives unless it is renewed.",
)


@click.group()
def lease() -> None:
    """Hold a lane or a scope without being a worker that ganger started.

    No worker is given what such a lease holds. It is over at its time unless it is renewed; after that its token is
    refused, whatever its holder believes.
    """


@lease.command()
@click.option("--lane", default="", help="The lane of ganger.toml to hold.")
@click.option("--scope", multiple=True, help="A path pattern to hold; repeatable.")
@click.option("--shared", is_flag=True, help="Let others hold it too, if theirs is shared as well.")
@click.option("--holder", default="", help="The name that others are shown; yours if left out.")
@click.option("--autopick", is_flag=True, help="Take another lane of lanes.autopick when this one is busy.")
@click.option("--force", is_flag=True, help="Take it although a limit refuses, by your name; never over a holder.")
@_ttl
@as_json
@click.pass_obj
def acquire(
    app: App,
    lane: str,
    scope: tuple[str, ...],
    shared: bool,
    holder: str,
    autopick: bool,
    force: bool,
    ttl_ms: int,
    as_json: bool,
) -> int:
    """Hold a lane or a scope, and print its id and token, and what to use: with --autopick maybe another lane.

    Works before any plan was run, and whether or not a supervisor is running.

    Exit status: 0 it is yours; 1 refused; 2 there is no such lane, or the scope is none.
    """
    if bool(lane) == bool(scope):
        raise click.UsageError("name a lane with --lane, or a scope with --scope")
    who = name_of(asker())
    command = cmd.AcquireLease(
        holder=holder or who,
        lane=lane,
        scope=scope,
        mode=LeaseMode.shared if shared else LeaseMode.exclusive,
        ttl_ms=ttl_ms,
        autopick=autopick,
        force=who if force else "",
    )
    reply = _acquired(fleet_dir(app), command)
    granted = _granted(reply)
    if granted is None:
        return answered(reply, "", as_json=as_json)
    token, given = granted
    if as_json:
        held = {"id": f"lease:{token}", "token": token, "lane": given.lane, "scope": list(given.scope)}
        say_json("ganger.lease", {**of_reply(reply), **held, "expires_ms": given.expires_ms})
        return YES
    say(f"lease:{token} token {token}")
    what = f"lane {given.lane} ({', '.join(given.scope)})" if given.lane else f"scope {', '.join(given.scope)}"
    say(f"use {what}" + (f" instead of lane {lane}" if given.lane != lane else ""))
    say(f"until {clock(given.expires_ms)}; ganger lease renew lease:{token} {token}")
    return YES


def _acquired(state_dir: Path, command: cmd.AcquireLease) -> Reply:
    """Submit the command; where the fleet has scorers, what they let pass, or what a person forces by name.

    When somebody was granted a lease while they were asked, they are asked again, a few times.
    """
    if not has_scorers(state_dir):
        return ask(state_dir, command)
    for _ in range(TRIES_MAX):
        seen = look(state_dir)
        answer = admitted(state_dir, seen, command.lane, command.scope, command.mode, autopick=command.autopick)
        if command.force:
            return ask(state_dir, replace(command, overruled=isinstance(answer, Refusal)))
        if isinstance(answer, Refusal):
            return answer
        lane = answer.wanted.lane
        reply = ask(state_dir, replace(command, lane=lane, autopick=False, weighed=seen.state.seq))
        if not isinstance(reply, Refusal) or reply.code is not RefusalCode.conflict:
            break
    return reply


def _granted(reply: Reply) -> tuple[int, LeaseGranted] | None:
    """The token and the lease of a reply that gave one; it is the last of the reply's events."""
    if isinstance(reply, Refusal) or not reply.events:
        return None
    last = reply.events[-1]
    return (reply.seq, last) if isinstance(last, LeaseGranted) else None


def fleet_dir(app: App) -> Path:
    """The state directory of this repository's fleet, which is founded if there is none yet."""
    state_dir = app.state_dir()
    if not ((state_dir / POLICY).exists() and (state_dir / place.JOURNAL).exists()):
        wiring.open_fleet(wiring.gather(app.start, os.environ, app.state_override, {})).close()
    else:
        with suppress(RepositoryError):  # a script may stand anywhere, but not in another fleet's repository
            place.check(state_dir, _standing_in(state_dir) or place.find_common_dir(app.start))
    return state_dir


def _standing_in(state_dir: Path) -> Path | None:
    """The git directory of ours that a fleet works in whose files nobody committed; None for other fleets."""
    found = state_dir / STANDIN / ".git"
    return found if found.is_dir() else None


@lease.command()
@click.argument("lease_id", metavar="ID")
@click.argument("token", type=click.IntRange(1))
@_ttl
@as_json
@click.pass_obj
def renew(app: App, lease_id: str, token: int, ttl_ms: int, as_json: bool) -> int:
    """Hold lease ID for longer, counted from now.

    Exit status: 0 it is still yours; 6 it ran out, ended or was taken away: acquire it anew.
    """
    reply = ask(_known_dir(app), cmd.RenewLease(_lease_id(lease_id), Token(token), ttl_ms))
    until = "" if isinstance(reply, Refusal) else f"{lease_id} is yours for {span(ttl_ms)}"
    code = answered(reply, until, as_json=as_json, unchanged=f"{lease_id} is yours for longer than that already")
    return _raced(reply, code)


@lease.command()
@click.argument("lease_id", metavar="ID")
@click.argument("token", type=click.IntRange(1), required=False)
@click.option("--force", is_flag=True, help="Take away somebody else's, by your name; no token is needed.")
@as_json
@click.pass_obj
def release(app: App, lease_id: str, token: int | None, force: bool, as_json: bool) -> int:
    """Give lease ID back. One that is over already is no error.

    Exit status: 0 it is free; 1 you may not; 6 there never was such a lease, or it is not yours: the token is another.
    """
    if token is None and not force:
        raise click.UsageError("say by which TOKEN you hold it; --force takes away somebody else's")
    state_dir = _known_dir(app)
    command = cmd.ReleaseLease(_lease_id(lease_id), Token(token or 0), name_of(asker()) if force else "")
    reply = ask(state_dir, command)
    code = answered(reply, f"{lease_id} is free", as_json=as_json, unchanged=f"{lease_id} was over already")
    return _raced(reply, code)


LOST = frozenset({RefusalCode.unknown_ref, RefusalCode.stale_token, RefusalCode.lease_expired})


def _raced(reply: Reply, code: int) -> int:
    """The exit status: a lease that is not the caller's any more was lost to time or to somebody else."""
    return RACE if isinstance(reply, Refusal) and reply.code in LOST else code


def _known_dir(app: App) -> Path:
    state_dir = app.state_dir()
    Reader(state_dir / place.JOURNAL).close()
    return state_dir


def _lease_id(text: str) -> LeaseId:
    if not is_lease_id(text):
        raise UsageError(f"{text!r} is not a lease: they are called lease:7, lease:12, …", "ganger lease list")
    return LeaseId(text)


@lease.command("list")
@as_json
@click.pass_obj
def list_(app: App, as_json: bool) -> int:
    """List the leases of those whom ganger did not start, oldest first.

    Exit status: 0 there are some; 1 there are none.
    """
    now_ms = wall_ms()
    reader = Reader(app.state_dir() / place.JOURNAL)
    try:
        rows = reader.leases(now_ms)
    finally:
        reader.close()
    if as_json:
        say_json("ganger.leases", {"leases": [plain(row) for row in rows]})
    elif rows:
        shown = [(row.id, row.holder, row.mode, span(row.expires_ms - now_ms), lease_what(row)) for row in rows]
        table(shown, ("LEASE", "HOLDER", "MODE", "FOR", "HOLDS"))
    else:
        tell("no lease is held but by workers")
    return YES if rows else NO


def lease_what(row: LeaseRow) -> str:
    """What a lease holds, in words."""
    scope = ", ".join(plain(row)["scope"])
    return f"lane {row.lane} ({scope})" if row.lane else scope
