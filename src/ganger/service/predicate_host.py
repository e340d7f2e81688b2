"""The process of one function that a package offers: `python -P -m ganger.service.predicate_host MODULE:NAME FOLDER`.

A predicate is a function of the question (`service.predicates.Question`, as plain values) that returns the reason for
a refusal, or None. With a third argument, `value`, it is a scorer or a driver, which returns its answer, as plain
values too. Whatever else comes of it, an exception above all, is an exit status that refuses.
"""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import redirect_stdout

NO_OBJECTION, OBJECTION, BROKEN = 0, 1, 70
VALUE = "value"
"""The mode of a function whose answer is a value."""


def main(target: str, folder: str, mode: str = "") -> int:
    """Answer the question on standard input; returns the exit status."""
    if folder not in sys.path:
        sys.path.append(folder)
    module, _, attribute = target.partition(":")
    # What the function prints is not its answer.
    with redirect_stdout(sys.stderr):
        answer = getattr(importlib.import_module(module), attribute)(json.load(sys.stdin.buffer))
    if mode == VALUE:
        print(json.dumps(answer))
        return 0
    if answer is None:
        return NO_OBJECTION
    if not isinstance(answer, str):
        return BROKEN
    print(answer.encode(errors="backslashreplace").decode())
    return OBJECTION


if __name__ == "__main__":
    try:
        status = main(*sys.argv[1:])
    except BaseException:
        # Even SystemExit: what stops in the middle has not answered.
        status = BROKEN
    sys.exit(status)
