"""What can be seen of a living worker in one short look, by somebody who is not its supervisor.

Times come from the change times of files, which a worker cannot set, and from processor time used during the look.
What takes a longer look (the same call again and again) only the supervisor sees; it records that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from ganger.core.effects import Clocks
from ganger.core.facts import Run
from ganger.core.ids import RunId
from ganger.drivers import process
from ganger.drivers.process_table import cpu_ms
from ganger.git.workspace import ref_files
from ganger.service.places import Places
from ganger.supervisor.artefacts import ENTRIES_MAX, PASSED_OVER

LOOK_S = 0.3
"""How long the look at processor time takes."""


def clocks_of(state_dir: Path, runs: Iterable[Run], now_ms: int) -> dict[RunId, Clocks]:
    """The clocks of the workers among these runs that live; the others are missing."""
    alive = [run for run in runs if run.has_worker and run.worker is not None and process.is_alive(run.worker)]
    before = {run.id: _cpu_ms(run) for run in alive}
    if alive:
        time.sleep(LOOK_S)
    places = Places(state_dir)
    return {
        run.id: Clocks(
            heartbeat_ms=now_ms if _cpu_ms(run) != before[run.id] else 0,
            output_ms=_output_ms(places.turn(run.id, run.turn) / "output.log"),
            artefact_ms=min(_changed_ms(places.workspace(run.id), run), now_ms),
            age_ms=now_ms - run.started_ms,
        )
        for run in alive
    }


def _cpu_ms(run: Run) -> int:
    return cpu_ms(run.worker) if run.worker is not None else 0


def _output_ms(file: Path) -> int:
    """When a worker last printed something; 0 for never."""
    try:
        found = file.lstat()
    except OSError:
        return 0
    return found.st_ctime_ns // 1_000_000 if found.st_size else 0


def _changed_ms(workspace: Path, run: Run) -> int:
    """When a file of the workspace, or its branch, last changed after the worker was started; 0 for not since."""
    newest = max(_ctime_ms(folder) for folder in ref_files(workspace, run.id))
    seen = 0
    for folder, folders, files in os.walk(workspace):
        folders[:] = [name for name in folders if name not in PASSED_OVER]
        newest = max(newest, _ctime_ms(Path(folder)), *(_ctime_ms(Path(folder, name)) for name in files))
        seen += len(files)
        if seen > ENTRIES_MAX:
            break
    return newest if newest > run.started_ms else 0


def _ctime_ms(file: Path) -> int:
    try:
        return file.lstat().st_ctime_ns // 1_000_000
    except OSError:
        return 0
