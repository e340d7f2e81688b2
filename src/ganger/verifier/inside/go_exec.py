"""Runs one Go test binary for `go test -exec`, from outside of its process, and records which tests it executed.

A binary that ends before its tests do prints what it likes and exits with 0. So it is asked for a profile too, which
the test framework writes when the last test is over; without that there was no end. See `sitecustomize.py` for how a
record is sealed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

from sitecustomize import FOLDER, claim  # type: ignore[import-not-found]  # it lies beside this script

_TEST = re.compile(rb"^\s*--- (PASS|FAIL|SKIP): (\S+) \([\d.]+s\)\s*$")
_OUTCOMES = {b"PASS": "passed", b"FAIL": "failed", b"SKIP": "skipped"}
_PROFILE = "-test.memprofile="
_PROFILE_BYTES_MIN = 64


def run(tree: str, profiles: str, argv: list[str]) -> int:
    """Run a test binary, pass its output on, and return the exit status of it."""
    recorder = claim("go")
    package = os.path.relpath(os.getcwd(), tree)
    profile = os.path.join(profiles, os.urandom(8).hex())
    asked = [part for part in argv[1:] if part.startswith(_PROFILE)]
    flags = ["-test.v=true", *([] if asked else [_PROFILE + profile])]
    child = subprocess.Popen([argv[0], *argv[1:], *flags], stdout=subprocess.PIPE)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    assert child.stdout is not None
    failed = False
    for line in child.stdout:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
        found = _TEST.match(line)
        if found and recorder is not None:
            failed = failed or found[1] == b"FAIL"
            recorder.test(package + "." + found[2].decode("utf-8", "backslashreplace"), _OUTCOMES[found[1]])
    code = child.wait()
    if recorder is not None and (asked or _is_profile(profile)):
        recorder.end(code, "", [])
    return code if code >= 0 else 128 - code


def _is_profile(path: str) -> bool:
    """Whether the test framework came to write its profile: gzip, and more than a header."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    return content.startswith(b"\x1f\x8b") and len(content) >= _PROFILE_BYTES_MIN


if __name__ == "__main__":
    os.environ.setdefault(FOLDER, "")
    sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
