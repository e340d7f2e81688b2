"""What counts as a change of a workspace, and that looking for one is cheap and goes nowhere else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ganger.supervisor.artefacts import DEPTH_MAX, ENTRIES_MAX, Survey, walk


def seen(workspace: Path) -> int:
    return [found for found in walk(workspace) if found is not None][-1]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path / "workspace"
    for name in ("src", ".git/objects", "__pycache__", "src/node_modules", "src/__pycache__"):
        (place / name).mkdir(parents=True)
    for name in ("a", "src/b", ".git/index", "__pycache__/a.pyc", "src/node_modules/m"):
        (place / name).write_text("one")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").write_text("one")
    (place / "link").symlink_to(tmp_path / "outside")
    return place


def odd_type(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def retarget(link: Path) -> None:
    link.unlink()
    link.symlink_to("/")


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda place: None, False),
        (lambda place: (place / "a").write_text("two"), True),
        (lambda place: (place / "src" / "b").write_text("longer"), True),
        (lambda place: (place / "src" / "new").touch(), True),
        (lambda place: (place / "empty").mkdir(), True),
        (lambda place: (place / "a").unlink(), True),
        (lambda place: (place / "a").rename(place / "c"), True),
        (lambda place: (place / "a").chmod(0o755), True),
        (lambda place: odd_type(place / "a"), True),
        (lambda place: (place / "src").rename(place / "lib"), True),
        (lambda place: retarget(place / "link"), True),
        (lambda place: (place / ".git" / "index").write_text("other"), False),
        (lambda place: (place / ".git" / "new").write_text("other"), False),
        (lambda place: (place / "__pycache__" / "a.pyc").write_text("other"), False),
        (lambda place: (place / "src" / "__pycache__" / "b.pyc").touch(), False),
        (lambda place: (place / "src" / "node_modules" / "m").write_text("other"), False),
        (lambda place: (place / "link" / "x").write_text("other"), False),
        (lambda place: (place / "link" / "y").touch(), False),
    ],
)
def test_changes(workspace: Path, change: Callable[[Path], object], counts: bool) -> None:
    before = seen(workspace)
    change(workspace)
    assert (seen(workspace) != before) is counts


def test_a_workspace_that_is_gone_or_a_link_is_empty(tmp_path: Path, workspace: Path) -> None:
    (tmp_path / "to").symlink_to(workspace)
    assert seen(tmp_path / "none") == seen(tmp_path / "to") != seen(workspace)


def test_depth_is_bounded(tmp_path: Path) -> None:
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(DEPTH_MAX + 200):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    before = seen(tmp_path)
    os.mkdir("deep", dir_fd=at)
    os.close(at)
    assert seen(tmp_path) == before


def test_survey_tells_of_a_change_once_and_begins_no_sooner_than_asked(workspace: Path) -> None:
    survey = Survey(workspace)
    assert not survey.look(0, 1_000, 1.0)
    (workspace / "a").write_text("two")
    assert not survey.look(999, 1_000, 1.0)
    assert survey.look(1_000, 1_000, 1.0)
    assert not survey.look(2_000, 1_000, 1.0)
    (workspace / "a").write_text("one")
    assert survey.look(9_000, 1_000, 1.0)


def test_survey_goes_on_where_its_time_was_up(tmp_path: Path) -> None:
    for number in range(1_000):
        (tmp_path / f"f{number}").touch()
    survey = Survey(tmp_path)
    first = sum(1 for _ in walk(tmp_path))
    looks = 1
    while survey._walk is not None or looks == 1:
        survey.look(0, 10_000, 0.0)
        looks += 1
    assert looks >= first
    (tmp_path / "f500").write_text("x")
    assert [survey.look(10_000 + n, 10_000, 0.0) for n in range(first)].count(True) == 1


def test_ten_thousand_files_cost_little(tmp_path: Path) -> None:
    """A bound far above what is measured (about 35 ms of processor time), so that only another order is a failure."""
    for folder in range(100):
        (tmp_path / f"d{folder}").mkdir()
        for number in range(100):
            os.close(os.open(tmp_path / f"d{folder}" / f"f{number}", os.O_CREAT | os.O_WRONLY))
    before = time.process_time()
    seen(tmp_path)
    assert time.process_time() - before < 1.0
    assert ENTRIES_MAX >= 100_000
