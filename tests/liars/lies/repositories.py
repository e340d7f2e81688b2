"""The repositories of the bench."""

from __future__ import annotations

import shutil

from lies.repo_cargo import CARGO
from lies.repo_go import GO
from lies.repo_make import MAKE
from lies.repo_node import NODE
from lies.repo_pytest import PYTEST
from lies.repo_unittest import UNITTEST
from lies.repository import Repository

ALL: dict[str, Repository] = {repo.name: repo for repo in (PYTEST, UNITTEST, NODE, GO, MAKE, CARGO)}
NEEDS = {"node": "npm", "go": "go", "make": "make", "cargo": "cargo"}
"""The program that a repository's check cannot do without; it is left out, and said so, where that is not there."""


def missing(name: str) -> str:
    """The program that is missing here for a repository; empty when nothing is."""
    program = NEEDS.get(name, "")
    return program if program and shutil.which(program) is None else ""
