"""What one hook costs an agent, as a whole process through `sh -c`, while the supervisor is busy.

The fleet has 10,000 live runs and a journal of 10^6 entries. The gate is told of the runs by the supervisor and never
opens the journal; the slow path, where there is no gate, asks the journal's tables: as a worker that sees them, for its
own run, and as a person's session, for whoever holds the file.

Eight agents ask in two ways: one call behind the other without a pause, which no agent does, so that four wait for each
core, and with a pause of 50 to 150 ms between calls, which is several times as often as agents use tools.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from msgspec.structs import replace

import ganger.worker_api
from bench import fleets
from bench.table import ms, percentile, rows
from ganger.core.facts import Run
from ganger.core.ids import RunId
from ganger.service.places import Places
from ganger.service.protected import PROTECTED, TESTS
from ganger.worker_api.gatekeeper import Gatekeeper
from ganger.worker_api.views import Rules, RunView

REST_S = 0.1
EVENTS, RUNS, ASKED, SLOW_ASKED, PARALLEL = 1_000_000, 10_000, 800, 80, 8
ASKING = RunId("item-7.1")
SECRET = "5e" * 32
SOURCE = Path(ganger.worker_api.__file__).parent
PAYLOAD = {"hook_event_name": "PreToolUse", "tool_name": "Write", "tool_input": {"file_path": "src/mod7/a.py"}}
Taken: TypeAlias = tuple[list[float], list[float]]
BUSY = "while True: sum(range(10_000))"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        root = Path(folder)
        state = root / "state"
        store = fleets.build(state, EVENTS, live=RUNS)
        views = {run.id: _view(state, run) for run in store.catch_up().runs.values()}
        store.close()
        keeper = Gatekeeper(state, Rules(protected=PROTECTED, tests=TESTS), lambda run: (), lambda used: None)
        try:
            began = time.perf_counter()
            keeper.serve(views)
            keeper.settle(60.0)
            pushed = time.perf_counter() - began
            title = f"Hooks, {RUNS:,} live runs, a journal of {EVENTS:,} entries"
            rows(title, [*_asked(root, state, views), *_told(keeper, views, pushed), *_slowly(root, state, views)])
        finally:
            keeper.close()


def _told(keeper: Gatekeeper, views: dict[RunId, RunView], pushed: float) -> Iterator[tuple[str, str, str, str]]:
    """How long it takes to tell the gate what holds."""
    yield f"telling a new gate of {RUNS:,} runs", ms(pushed), "", ""
    taken = []
    for turn in range(2, 52):
        views = {**views, ASKING: replace(views[ASKING], turn=turn)}
        began = time.perf_counter()
        keeper.serve(views)
        assert keeper.settle()
        taken.append(time.perf_counter() - began)
    yield "telling it of one that changed, until it holds", f"p50 {ms(percentile(sorted(taken), 0.5))}", "", ""


def _slowly(root: Path, state: Path, views: dict[RunId, RunView]) -> Iterator[tuple[str, str, str, str]]:
    """Whole processes of the slow path, by the journal's tables."""
    subprocess.run(["git", "init", "-q", str(root / "repo")], check=True)
    door = Places(state).door(ASKING)
    worker = {"GANGER_DOOR": str(door), "GANGER_RUN": ASKING, "GANGER_TOKEN": str(views[ASKING].token)}
    person = {"GANGER_STATE": str(state), "HOME": str(root), "PATH": os.environ["PATH"]}
    payload = root / "payload-of-person"
    payload.write_text(json.dumps({**PAYLOAD, "cwd": str(root / "repo")}))
    python = shlex.quote(sys.executable)
    bare, _ = _processes(f"{python} -c pass", {}, payload, 1, SLOW_ASKED)
    for who, env, about in (("a worker", worker, root / "payload"), ("a person's session", person, payload)):
        line = f"{python} -P -m ganger hook pre-tool --agent claude"
        taken, _ = _processes(line, env, about, 1, SLOW_ASKED)
        figure = f"p50 {ms(percentile(taken, 0.5))}, max {ms(taken[-1])}"
        ratio = f"{percentile(taken, 0.5) / percentile(bare, 0.5):.1f} × `python -c pass`"
        yield f"the slow path, {who}", figure, ratio, ""


def _asked(root: Path, state: Path, views: dict[RunId, RunView]) -> Iterator[tuple[str, str, str, str]]:
    compiled, nothing = _compiled(root, SOURCE / "client.c"), root / "nothing"
    (root / "nothing.c").write_text("int main(void) { return 0; }\n")
    nothing = _compiled(root, root / "nothing.c")
    python = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(SOURCE / 'client.py'))}"
    env = {"GANGER_DOOR": str(Places(state).door(ASKING)), "GANGER_RUN": ASKING, "GANGER_SECRET": SECRET}
    env["GANGER_TOKEN"] = str(views[ASKING].token)
    (root / "payload").write_text(json.dumps(PAYLOAD))
    ask = "pre-tool claude Read,Grep"
    lines = {
        "a program that does nothing": str(nothing),
        "the client in C": f"{compiled} {ask}",
        "`python -c pass`": f"{shlex.quote(sys.executable)} -c pass",
        "its twin in Python": f"{python} {ask}",
    }
    ways = (
        ("alone", 1, False, 0.0),
        (f"{PARALLEL} agents, supervisor busy", PARALLEL, True, REST_S),
        (f"{PARALLEL} at once without a pause, supervisor busy", PARALLEL, True, 0.0),
    )
    for title, parallel, busy, rest_s in ways:
        with _supervisor(busy):
            taken = {
                name: _processes(line, env, root / "payload", parallel, rest_s=rest_s) for name, line in lines.items()
            }
        half = {name: percentile(found, 0.5) for name, (found, _) in taken.items()}
        for name, (found, spent) in taken.items():
            base = "`python -c pass`" if "Python" in name else "a program that does nothing"
            bound = "p50 ≤ 2 ms, p99 ≤ 10 ms" if "C" in name else "≤ 2.5 ×" if "Python" in name else ""
            figure = f"p50 {ms(half[name])}, p99 {ms(percentile(found, 0.99))}, processor {ms(percentile(spent, 0.5))}"
            ratio = f"{half[name] / half[base]:.1f} × {base}" if name != base else ""
            yield f"{name}, {title}", figure, ratio, bound


def _compiled(root: Path, source: Path) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler is not None, "a C compiler is needed"
    program = root / source.stem
    subprocess.run([compiler, "-O2", "-static", "-o", str(program), str(source)], check=True)
    return program


def _view(state: Path, run: Run) -> RunView:
    return RunView(run.id, run.lease.token, SECRET, str(state / "workspaces" / run.id), run.lease, turn=1)


@contextmanager
def _supervisor(busy: bool) -> Iterator[None]:
    """Another Python that uses a whole core, as a supervisor that folds a long journal does."""
    process = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        yield
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _processes(
    line: str, env: dict[str, str], payload: Path, parallel: int, asked: int = ASKED, rest_s: float = 0.0
) -> Taken:
    """Seconds from the start of each process to its end, and of the processor that it used; sorted.

    Between two of them each asker rests half to one and a half of `rest_s` seconds.
    """
    taken: list[float] = []
    spent: list[float] = []

    def go() -> None:
        with Path(os.devnull).open("wb") as nowhere:
            ask(nowhere)

    def ask(nowhere: BinaryIO) -> None:
        for _ in range(asked // parallel // (1 if parallel > 1 else 4)):
            time.sleep(rest_s * random.uniform(0.5, 1.5))
            with payload.open("rb") as file:
                began = time.perf_counter()
                actions = [(os.POSIX_SPAWN_DUP2, file.fileno(), 0), (os.POSIX_SPAWN_DUP2, nowhere.fileno(), 1)]
                pid = os.posix_spawn("/bin/sh", ["sh", "-c", line], env, file_actions=actions)
                _, status, usage = os.wait4(pid, 0)
                taken.append(time.perf_counter() - began)
                spent.append(usage.ru_utime + usage.ru_stime)
                assert status == 0, line

    askers = [threading.Thread(target=go) for _ in range(parallel)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    return sorted(taken), sorted(spent)


if __name__ == "__main__":
    main()
