"""Runs one Rust test binary for Cargo, from outside of its process, and records which tests it executed.

The binary is first asked which tests it would run; then it has to write each result into a file that is only named to
it, so what the tests print is no matter. It came to its own end when that file has a line for each of them. A binary
that is none of Rust's own test harness (`cargo run`, a documentation test, another harness) is run as it is, and
nothing of it is recorded. See `sitecustomize.py` for how a record is sealed.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys

from sitecustomize import FOLDER, claim  # type: ignore[import-not-found]  # it lies beside this script

_LISTED = re.compile(r"^(.+): (test|benchmark)$")
_HASHED = re.compile(r"^(.+)-[0-9a-f]{16}$")
_OUTCOMES = {"ok": "passed", "failed": "failed", "bench": "passed"}
_ENDINGS = (0, 101)
"""What a test binary exits with when all passed, and when some failed."""
_ASKING_S = 60
_LOG_BYTES_MAX = 64 << 20


def run(tree: str, logs: str, argv: list[str]) -> int:
    """Run a binary, and return its exit status."""
    wanted = _tests_of(argv)
    recorder = claim("cargo") if wanted is not None else None
    if wanted is None or recorder is None:
        return _ended(subprocess.Popen(argv))
    for name in [name for name in os.environ if name.startswith("CARGO_TARGET_") and name.endswith("_RUNNER")]:
        del os.environ[name]
    log = os.path.join(logs, os.urandom(8).hex() + ".log")
    code = _ended(subprocess.Popen([argv[0], *argv[1:], "--logfile", log]))
    # The harness warns of that option without ending the line, on which Cargo would go on.
    sys.stderr.write("\n")
    prefix = _prefix(tree, argv[0])
    found = _results(_content(log), wanted)
    for name in wanted:
        recorder.test(prefix + name, found.get(name, "unknown"))
    if code in _ENDINGS and found.keys() >= set(wanted):
        recorder.end(code, "", [])
    return code


def _ended(child: subprocess.Popen[bytes]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    return code if code >= 0 else 128 - code


def _tests_of(argv: list[str]) -> list[str] | None:
    """The tests that a binary would run, given these arguments; None when it is no test binary that we can follow."""
    named = _HASHED.match(os.path.basename(argv[0]))
    if named is None or os.path.basename(os.path.dirname(argv[0])) != "deps" or "--list" in argv:
        return None
    if "--logfile" not in (_asked([argv[0], "--help"]) or ""):
        return None
    listed = _asked([*argv, "--list", "--format", "terse"])
    if listed is None:
        return None
    matches = [_LISTED.match(line) for line in listed.splitlines() if line.strip()]
    return [match[1] for match in matches if match] if all(matches) else None


def _asked(argv: list[str]) -> str | None:
    """What a program prints; None when it fails, or takes too long. It does not learn where records are."""
    env = {name: value for name, value in os.environ.items() if name != FOLDER}
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=env,
            timeout=_ASKING_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "backslashreplace") if done.returncode == 0 else None


def _prefix(tree: str, program: str) -> str:
    """What stands before the names of a binary's tests: the package's folder, where that is not the top, and its name.

    Without the hash that Cargo puts behind it, which is of the place where the tree lies.
    """
    package = os.path.relpath(os.environ.get("CARGO_MANIFEST_DIR", os.getcwd()), tree)
    name = os.path.basename(program).rpartition("-")[0]
    return name + "::" if package == "." else package + "/" + name + "::"


def _content(path: str) -> str:
    """A file that the tests could have put something else in the place of."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return file.read(_LOG_BYTES_MAX).decode("utf-8", "backslashreplace")


def _results(log: str, wanted: list[str]) -> dict[str, str]:
    """How each test ended, by the lines `ok NAME`, `failed NAME` and `ignored: A REASON NAME`; a failure stays one."""
    known = set(wanted)
    found: dict[str, str] = {}
    for line in log.splitlines():
        word, _, rest = line.partition(" ")
        if word in _OUTCOMES and rest in known:
            outcome, name = _OUTCOMES[word], rest
        else:
            outcome, name = "skipped" if word.startswith("ignored") else "failed", line.rpartition(" ")[2]
        if name in known and found.get(name) != "failed":
            found[name] = outcome
    return found


if __name__ == "__main__":
    os.environ.setdefault(FOLDER, "")
    sys.exit(run(sys.argv[1], sys.argv[2], sys.argv[3:]))
