"""Run every benchmark: `python -m bench [NAME…]`, named as the modules."""

from __future__ import annotations

import importlib
import sys

ALL = (
    *("patterns", "packing", "admission", "tick", "simulator", "questions"),
    *("leases", "journal", "verify", "jail", "gate", "hook", "done", "night", "train", "forecast"),
)


def main() -> None:
    """Run those named on the command line, or all."""
    for name in sys.argv[1:] or ALL:
        importlib.import_module(f"bench.{name}").main()


if __name__ == "__main__":
    main()
