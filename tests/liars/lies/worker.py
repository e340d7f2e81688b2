"""A worker of the bench: it writes and commits in a workspace, as an agent does, and knows every trick of git."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lies.repository import File, Files, Link, Program

SUBJECT = "Durations understand days"


class Worker:
    """Works in the workspace of one run."""

    def __init__(self, place: Path, base: str) -> None:
        self.place, self.base = place, base

    def git(self, *arguments: str, stdin: str = "", **env: str) -> str:
        """Run git in the workspace; returns what it printed."""
        given = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, **env}
        done = subprocess.run(
            ["git", *arguments], cwd=self.place, env=given, input=stdin, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"git {arguments} exited {done.returncode}: {done.stderr}"
        return done.stdout.strip()

    def write(self, files: Files) -> Worker:
        """Make paths what they are to be."""
        for path, content in files.items():
            _write(self.place / path, content)
        return self

    def commit(self, message: str = SUBJECT, **env: str) -> Worker:
        """Commit everything that is not ignored."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--no-verify", "--message", message, stdin="", **env)
        return self

    def does(self, *several: Files, message: str = SUBJECT) -> bool:
        """Write and commit; True, as an operator says that it applied."""
        for files in several:
            self.write(files)
        self.commit(message)
        return True


def _write(path: Path, content: File) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
    if content is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    match content:
        case Link(to):
            path.symlink_to(to)
        case Program(text):
            path.write_text(text)
            path.chmod(0o755)
        case bytes():
            path.write_bytes(content)
        case str():
            path.write_text(content)
