"""How many hooks the gate decides a second, in process, for 10,000 live runs."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

from bench.table import percentile, rows, us
from ganger.core.ids import RunId, Token
from ganger.core.model import Lease, LeaseMode
from ganger.drivers.hooks import HookEvent
from ganger.service.protected import PROTECTED, TESTS
from ganger.worker_api.gate import Gate
from ganger.worker_api.views import Header, Rules, RunView, SetRules, SetRun

RUNS, ASKED = 10_000, 20_000
SECRET = "5e" * 32


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="ganger-bench-") as folder:
        root = Path(folder)
        gate = Gate()
        gate.take(SetRules(Rules(protected=PROTECTED, tests=TESTS)))
        for number in range(RUNS):
            gate.take(SetRun(_view(root, number)))
        plain, _ = _decisions(Gate(), root, "Read", {"file_path": "x"})
        kinds = {
            "write in the lease": ("Write", {"file_path": "src/7/deep/file.py"}),
            "write outside": ("Write", {"file_path": "docs/x.md"}),
            "shell command": ("Bash", {"command": "cd src && make test 2>&1 | tee src/7/log && git add -A"}),
            "read": ("Read", {"file_path": "src/7/x"}),
        }
        found = []
        for what, (tool, arguments) in kinds.items():
            taken, spent = _decisions(gate, root, tool, arguments)
            rate = f"{len(taken) / spent:,.0f} a second of processor"
            figure = f"{rate}, p50 {us(percentile(taken, 0.5))}, p99 {us(percentile(taken, 0.99))}"
            base = percentile(taken, 0.5) / percentile(plain, 0.5)
            found.append((f"{what}, {RUNS:,} live runs", figure, f"{base:.1f} × refusing a forged call", "≥ 5,000/s"))
        rows("Gate, in process", found)


def _view(root: Path, number: int) -> RunView:
    lease = Lease(Token(number + 1), (f"src/{number}/**", f"tests/{number}/**"), LeaseMode.exclusive, 1 << 52)
    return RunView(RunId(f"item-{number}.1"), lease.token, SECRET, str(root / str(number % 50)), lease, turn=1)


def _decisions(gate: Gate, root: Path, tool: str, arguments: dict[str, str]) -> tuple[list[float], float]:
    """Seconds of each decision, sorted, and of the processor for all; the same file is not asked about twice."""
    taken = []
    spent = 0.0
    for number in range(ASKED):
        named = {key: value.replace("x.md", f"{number}.md") for key, value in arguments.items()}
        payload = json.dumps({"cwd": str(root / "7"), "tool_name": tool, "tool_input": named}).encode()
        header = Header(HookEvent.pre_tool, "claude", "item-7.1", 8, SECRET, f"{number:032x}", len(payload))
        began, began_cpu = time.perf_counter(), time.process_time()
        gate.question(header, payload, 1_000)
        taken.append(time.perf_counter() - began)
        spent += time.process_time() - began_cpu
        gate.out.clear()
    return sorted(taken), spent


if __name__ == "__main__":
    main()
