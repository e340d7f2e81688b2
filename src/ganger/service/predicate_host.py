"""The process of one predicate that a package offers: `python -P -m ganger.service.predicate_host MODULE:NAME FOLDER`.

What it offers is a function of the question (`service.predicates.Question`, as plain values) that returns the reason
for a refusal, or None. Whatever else comes of it, an exception above all, is an exit status that refuses.
"""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import redirect_stdout

NO_OBJECTION, OBJECTION, BROKEN = 0, 1, 70


def main(target: str, folder: str) -> int:
    """Answer the question on standard input; returns the exit status."""
    if folder not in sys.path:
        sys.path.append(folder)
    module, _, attribute = target.partition(":")
    # What the function prints is not its answer.
    with redirect_stdout(sys.stderr):
        reason = getattr(importlib.import_module(module), attribute)(json.load(sys.stdin.buffer))
    if reason is None:
        return NO_OBJECTION
    if not isinstance(reason, str):
        return BROKEN
    print(reason.encode(errors="backslashreplace").decode())
    return OBJECTION


if __name__ == "__main__":
    try:
        status = main(*sys.argv[1:])
    except BaseException:
        # Even SystemExit: what stops in the middle has not answered.
        status = BROKEN
    sys.exit(status)
