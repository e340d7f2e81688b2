"""What the tests of `ganger.git` share: plain git, files, listings and fingerprints."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import ganger
from ganger.core.ids import Commit, RunId
from ganger.git.hub import Hub

RUN = RunId("login.1")


def sh(cwd: Path, *args: str, stdin: bytes = b"", check: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Run plain git, as a user or an agent would, and return what it printed."""
    own = {"GIT_AUTHOR_NAME": "U", "GIT_AUTHOR_EMAIL": "u@example.org", "GIT_COMMITTER_NAME": "U"}
    own |= {"GIT_COMMITTER_EMAIL": "u@example.org", "PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    own |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "file:ext"}
    done = subprocess.run(["git", *args], cwd=cwd, input=stdin, capture_output=True, env=own | dict(env or {}))
    if check and done.returncode != 0:
        raise AssertionError(f"git {args}: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def write(root: Path, files: Mapping[str, str]) -> None:
    """Write text files below a directory."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def commit(root: Path, files: Mapping[str, str], message: str = "change") -> Commit:
    """Write files and commit everything there is; return the commit."""
    write(root, files)
    sh(root, "add", "-A")
    sh(root, "commit", "-q", "--allow-empty", "-m", message)
    return Commit(sh(root, "rev-parse", "HEAD"))


def show(hub: Hub, commit_or_tree: Commit, path: str) -> str:
    """Return the content of a file in a tree of the hub."""
    return hub.git.run("cat-file", "-p", f"{commit_or_tree}:{path}").decode("utf-8", "surrogateescape")


def listing(hub: Hub, commit_or_tree: Commit) -> set[str]:
    """List all paths of a tree of the hub."""
    printed = hub.git.run("ls-tree", "-r", "-z", "--name-only", commit_or_tree)
    return {os.fsdecode(raw) for raw in printed.split(b"\0") if raw}


def fingerprint(root: Path, skip: Callable[[str], bool] = lambda _: False) -> dict[str, tuple[object, ...]]:
    """Describe every entry below a directory: mode, inode, modification time and content."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            key = str(path.relative_to(root))
            if skip(key):
                continue
            about = path.lstat()
            content = ""
            if stat.S_ISREG(about.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            elif stat.S_ISLNK(about.st_mode):
                content = str(path.readlink())
            found[key] = (about.st_mode, about.st_ino, about.st_mtime_ns, content)
    return found


def without_rights(script: str) -> str:
    """Run a Python script as somebody for whom file modes count, also when the tests run as root."""
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]
    return python(script, drop if os.geteuid() == 0 else [])


def python(script: str, prefix: list[str] | None = None) -> str:
    """Run a Python script in a process of its own, return what it printed; AssertionError when it fails."""
    done = subprocess.run([*(prefix or []), sys.executable, "-c", script], env=env(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def env() -> dict[str, str]:
    """Return a small environment in which ganger can be imported."""
    places = [str(Path(ganger.__file__).parents[1]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(filter(None, places)), "HOME": os.environ["HOME"]}
