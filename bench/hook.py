"""What one hook costs an agent, as a whole process through `sh -c`, while the supervisor is busy.

The gate holds 10,000 live runs. It never opens a journal, so how long one is makes no difference to it; the slow path,
where there is no gate, asks one of a million entries only for its own run.
"""

from __future__ import annotations

import json
import os
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
from typing import TypeAlias

import ganger.worker_api
from bench.table import ms, percentile, rows
from ganger.core.ids import RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.service.places import Places
from ganger.service.protected import PROTECTED, TESTS
from ganger.worker_api.gatekeeper import Gatekeeper
from ganger.worker_api.views import Rules, RunView

RUNS, ASKED, PARALLEL = 10_000, 800, 8
SECRET = "5e" * 32
SOURCE = Path(ganger.worker_api.__file__).parent
PAYLOAD = {"hook_event_name": "PreToolUse", "tool_name": "Write", "tool_input": {"file_path": "src/7/a.py"}}
Taken: TypeAlias = tuple[list[float], list[float]]
BUSY = "while True: sum(range(10_000))"


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        root = Path(folder)
        state = root / "state"
        views = {view.run: view for view in (_view(state, number) for number in range(RUNS))}
        keeper = Gatekeeper(state, Rules(protected=PROTECTED, tests=TESTS), lambda run: (), lambda used: None)
        try:
            began = time.perf_counter()
            keeper.serve(views)
            keeper.settle()
            pushed = time.perf_counter() - began
            rows("Hooks", [*_asked(root, state), _pushed(pushed)])
        finally:
            keeper.close()


def _pushed(took: float) -> tuple[str, str, str, str]:
    return f"telling a new gate of {RUNS:,} runs", ms(took), "", ""


def _asked(root: Path, state: Path) -> Iterator[tuple[str, str, str, str]]:
    compiled, nothing = _compiled(root, SOURCE / "client.c"), root / "nothing"
    (root / "nothing.c").write_text("int main(void) { return 0; }\n")
    nothing = _compiled(root, root / "nothing.c")
    python = f"{shlex.quote(sys.executable)} -I -S {shlex.quote(str(SOURCE / 'client.py'))}"
    door = Places(state).door("item-7.1")
    env = {"GANGER_DOOR": str(door), "GANGER_RUN": "item-7.1", "GANGER_TOKEN": "8", "GANGER_SECRET": SECRET}
    (root / "payload").write_text(json.dumps(PAYLOAD))
    ask = "pre-tool claude Read,Grep"
    lines = {
        "a program that does nothing": str(nothing),
        "the client in C": f"{compiled} {ask}",
        "`python -c pass`": f"{shlex.quote(sys.executable)} -c pass",
        "its twin in Python": f"{python} {ask}",
    }
    for title, parallel, busy in (("alone", 1, False), (f"{PARALLEL} at once, supervisor busy", PARALLEL, True)):
        with _supervisor(busy):
            taken = {name: _processes(line, env, root / "payload", parallel) for name, line in lines.items()}
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


def _view(state: Path, number: int) -> RunView:
    run = RunId(f"item-{number}.1")
    lease = Lease(Token(number + 1), (f"src/{number}/**",), LeaseMode.exclusive, 1 << 52)
    return RunView(run, lease.token, SECRET, str(state / "workspaces" / run), lease, turn=1)


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


def _processes(line: str, env: dict[str, str], payload: Path, parallel: int) -> Taken:
    """Seconds from the start of each process to its end, and of the processor that it used; sorted."""
    taken: list[float] = []
    spent: list[float] = []

    def go() -> None:
        for _ in range(ASKED // parallel // (1 if parallel > 1 else 4)):
            with payload.open("rb") as file:
                began = time.perf_counter()
                actions = [(os.POSIX_SPAWN_DUP2, file.fileno(), 0)]
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
