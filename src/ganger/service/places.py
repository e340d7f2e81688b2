"""Where the files of a run lie."""

from __future__ import annotations

from pathlib import Path

RUNS = "runs"
STARTED = "started"
"""A file in a turn's folder that is there once its worker may have been started; it holds `process.slept_ms`."""


class Places:
    """A path for each thing that is kept about a run, from one pure function each."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.workspaces = state_dir / "workspaces"
        self.runs = state_dir / RUNS

    def workspace(self, run: str) -> Path:
        """The private clone of a run."""
        return self.workspaces / run

    def run(self, run: str) -> Path:
        """Everything ganger keeps about a run."""
        return self.runs / run

    def turn(self, run: str, turn: int) -> Path:
        """Brief, output, identity and exit record of one worker process."""
        return self.run(run) / f"turn-{turn}"

    def door(self, run: str) -> Path:
        """Where the workers of a run speak: its socket, and what they left when nobody listened."""
        return self.run(run) / "door"

    def agent(self, run: str) -> Path:
        """Settings and conversations of the agent program, for all turns of a run."""
        return self.run(run) / "agent"

    def brief(self, run: str, turn: int) -> Path:
        """What the worker of a turn was told."""
        return self.turn(run, turn) / f"brief.{turn}.md"

    def checks(self, run: str, turn: int) -> Path:
        """Logs of the checks on what a turn left."""
        return self.turn(run, turn) / "checks"

    def trains(self) -> Path:
        """Logs of the checks on combined trees."""
        return self.state_dir / "trains"
