"""`ganger hook`: answers an agent's hook where no gate does. What agents call is the client; this is its slow path."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ganger.cli.main import App
from ganger.drivers.hooks import DIALECTS, PAYLOAD_BYTES_MAX, HookEvent, load_dialect
from ganger.journal.clock import wall_ms


@click.command()
@click.argument("event", type=click.Choice([event.value for event in HookEvent]))
@click.option("--agent", required=True, type=click.Choice(DIALECTS), help="Whose words are spoken.")
@click.pass_obj
def hook(app: App, event: str, agent: str) -> int:
    """Answer a hook of an agent: its payload on stdin, the answer on stdout, both as that agent has them.

    Agents that ganger starts are told to call the client, which asks the gate of the running supervisor and comes here
    only when there is none. What may not be written is denied in the answer; so is all that writes when nobody can say.

    Exit status: 0 it is answered.
    """
    from ganger.worker_api.slow import answer

    dialect, kind = load_dialect(agent), HookEvent(event)
    # There is none where the agent closed it, and nothing is no question.
    payload = sys.stdin.buffer.read(PAYLOAD_BYTES_MAX + 1) if hasattr(sys.stdin, "buffer") else b""
    start = app.start if app.start.is_absolute() else Path.cwd()
    sys.stdout.buffer.write(answer(os.environ, kind, dialect, payload, start, wall_ms()))
    sys.stdout.buffer.flush()
    return 0
