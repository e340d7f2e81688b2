"""Serve scripts until it is stopped."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import msgspec

from ganger.testing.model_server.server import ModelServer
from ganger.testing.model_server.steps import load

ENDING = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Print the address on a line of its own and serve."""
    reader = argparse.ArgumentParser(prog="python -m ganger.testing.model_server")
    reader.add_argument("--port", type=int, default=0)
    reader.add_argument("--script", action="append", default=[], metavar="NAME=FILE")
    asked = reader.parse_args()
    scripts = {}
    for given in asked.script:
        name, _, path = given.partition("=")
        if not name or not path:
            reader.error(f"--script {given}: give it as NAME=FILE")
        try:
            scripts[name] = load(Path(path))
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            reader.error(f"--script {given}: {error}")
    # Before any thread begins: a signal that a thread does not hold back would end the process at once.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    with ModelServer(asked.port) as server:
        for name, script in scripts.items():
            server.script(name, script)
        print(server.address, flush=True)
        signal.sigwait(ENDING)


if __name__ == "__main__":
    main()
