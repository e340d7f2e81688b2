"""What a commit claims must fit what it changes: a table of claims, and the commits of a real repository."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ganger.core.ids import Commit
from ganger.core.patterns import PathRules
from ganger.git.command import Git
from ganger.service.protected import is_test_file
from ganger.verifier.claims import Claim, Told, audit, claim_of, misfit, told_by


def is_test(path: str) -> bool:
    return is_test_file(path, PathRules())


CLAIMS: dict[str, Claim | None] = {
    "fix: empty names": Claim.fix,
    "fix(login)!: empty names": Claim.fix,
    "FIX: empty names": Claim.fix,
    "bugfix: x": Claim.fix,
    "Fixes the log-in": Claim.fix,
    "Fixed a race": Claim.fix,
    "Fixing a race": Claim.fix,
    "Corrected the sum": Claim.fix,
    "feat: log in": Claim.feat,
    "Implement log-in": Claim.feat,
    "docs: say more": Claim.docs,
    "Document the API": Claim.docs,
    "Add docs for the API": Claim.docs,
    "Add tests for log-in": Claim.test,
    "Add missing tests.": Claim.test,
    "test: log-in": Claim.test,
    "Refactored the parser": Claim.refactor,
    "ci: newer runner": Claim.ci,
    "Revert something": Claim.revert,
    "Add log-in": None,
    "Prefix all names": None,
    "Log in": None,
    "note: this": None,
    "": None,
    "…": None,
}


@pytest.mark.parametrize("subject", CLAIMS)
def test_what_a_first_line_claims(subject: str) -> None:
    assert claim_of(subject) is CLAIMS[subject]


CODE, TEST, DOCS, CI, BUILD = "src/a.py", "tests/test_a.py", "docs/a.md", ".github/workflows/x.yml", "pyproject.toml"
FITS: list[tuple[str, tuple[str, ...], str]] = [
    ("fix: empty names", (CODE,), ""),
    ("fix: empty names", (CODE, TEST, DOCS), ""),
    ("fix: empty names", (DOCS,), "claims fix, but changes only documentation"),
    ("fix: empty names", ("README.md", "CHANGELOG"), "claims fix, but changes only documentation"),
    ("fix: empty names", (TEST,), "claims fix, but changes only tests"),
    ("fix: empty names", (TEST, DOCS), "claims fix, but changes only tests and documentation"),
    ("fix: flaky test", (TEST,), ""),
    ("fix: typo", (DOCS,), ""),
    ("fix: broken links in the guide", (DOCS,), ""),
    ("fix: the build", (BUILD,), ""),
    ("fix: empty names", (), "claims fix, but changes nothing"),
    ("Ship it", (), "changes nothing"),
    ("Ship it", (CODE,), ""),
    ("feat: log in", (CODE,), ""),
    ("feat: log in", (TEST,), "claims feat, but changes only tests"),
    ("feat: log in, with tests", (TEST,), "claims feat, but changes only tests"),
    ("perf: faster", (DOCS,), "claims perf, but changes only documentation"),
    ("refactor: parts", (TEST,), ""),
    ("refactor: parts", (DOCS,), "claims refactor, but changes only documentation"),
    ("docs: say more", (DOCS,), ""),
    ("docs: say more", (DOCS, CODE), "claims docs, but changes src/a.py"),
    ("docs: say more", tuple("abcde"), "claims docs, but changes a, b, c and 2 more"),
    ("test: names", (TEST,), ""),
    ("test: names", (TEST, CODE), "claims test, but changes src/a.py"),
    ("Add tests for names", (CODE,), "claims test, but changes src/a.py"),
    ("test: names", (DOCS,), "claims test, but changes no test"),
    ("ci: runner", (CI,), ""),
    ("ci: runner", (CI, CODE), "claims ci, but changes src/a.py"),
    ("build: newer", (BUILD,), ""),
    ("build: newer", (CODE,), "claims build, but changes no file of the build"),
    ("chore: tidy", (CODE,), ""),
    ("style: tidy", (CODE,), ""),
    ("Revert x", (DOCS,), ""),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "changed", "told"), FITS, ids=str)
def test_a_claim_must_fit_the_files(subject: str, changed: tuple[str, ...], told: str) -> None:
    assert misfit(subject, changed, is_test) == told


def test_the_commits_of_a_candidate(tmp_path: Path) -> None:
    def git(*args: str) -> str:
        identity = ("-c", "user.name=D", "-c", "user.email=d@example.org")
        done = subprocess.run(["git", *identity, *args], cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(message: str, *paths: str) -> str:
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            with (tmp_path / path).open("a") as file:
                file.write("x\n")
        git("add", "--all")
        git("commit", "--quiet", "--allow-empty", "--message", message)
        return git("rev-parse", "HEAD")

    git("init", "--quiet")
    base = commit("Begin", "src/a.py")
    fixed = commit("fix: names\n\nfix: more", "docs/a.md", "docs/b\nc.md")
    fine = commit("Do it", "src/a.py", ":odd.py")
    empty = commit("Ship it")
    found = told_by(Git(tmp_path / ".git"), Commit(base), Commit(empty))
    assert found == (
        Told(fixed, "fix: names", ("docs/a.md", "docs/b\nc.md")),
        Told(fine, "Do it", (":odd.py", "src/a.py")),
        Told(empty, "Ship it", ()),
    )
    assert audit(found, is_test) == (
        f"{fixed[:12]} (fix: names): claims fix, but changes only documentation",
        f"{empty[:12]} (Ship it): changes nothing",
    )
