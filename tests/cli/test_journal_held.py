"""A journal that another program keeps to itself, and one that lies where nothing may be written."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest
from builders import GANGER, Done, Fleet

from ganger.core import commands as cmd
from ganger.core.policy import Policy
from ganger.errors import JournalBusy
from ganger.journal.queries import Reader
from ganger.journal.store import Store
from ganger.service.fleet import Accepted
from ganger.service.fleet import Fleet as Fleets


@contextmanager
def held(journal: Path, how: str) -> Iterator[None]:
    """Keep a journal as a program that is not ganger does: a backup, a browser of databases."""
    with closing(apsw.Connection(str(journal))) as other:
        if how == "alone":
            other.pragma("locking_mode", "exclusive")
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def lease(number: int) -> cmd.AcquireLease:
    return cmd.AcquireLease("editor", scope=(f"e{number}/**",))


def test_a_held_journal_is_no_damage(tmp_path: Path) -> None:
    """The store of a process that was kept out goes on as soon as it is let in, and nothing is lost or doubled."""
    path = tmp_path / "journal.db"
    with closing(Fleets(Store(path), Policy())) as fleets:
        assert isinstance(fleets.store, Store)
        fleets.store.db.set_busy_timeout(20)
        assert isinstance(fleets.submit(lease(1), "person:dana"), Accepted)
        with held(path, "for writing"), pytest.raises(JournalBusy, match="another process holds"):
            fleets.submit(lease(2), "person:dana")
        assert isinstance(fleets.submit(lease(3), "person:dana"), Accepted)
        assert [entry.seq for entry in fleets.store.entries()] == [1, 2]


def test_one_line_and_status_six(fleet: Fleet) -> None:
    """What only reads is answered meanwhile."""
    fleet.begin()
    fleet.configure()
    assert fleet.ganger("lease", "acquire", "--scope", "docs/**").code == 0
    journal = fleet.state / "journal.db"
    with held(journal, "for writing"):
        writer = fleet.start("lease", "acquire", "--scope", "src/**")
        assert fleet.ganger("status").code == 0
        assert len(fleet.ganger("journal", "tail").out.splitlines()) == 1
        out, err = writer.communicate(timeout=60)
    assert (writer.returncode, out) == (6, b"")
    assert err.decode() == (
        f"ganger: another process holds {journal}, so nothing was changed\n\n"
        f"fuser -v {journal} names it; ask again when it ends\n"
    )
    assert fleet.ganger("lease", "acquire", "--scope", "src/**").code == 0
    fleet.assert_sound()


def test_a_journal_that_somebody_keeps_from_readers_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal.db"
    Store(path).close()
    monkeypatch.setattr("ganger.journal.queries.BUSY_MS", 20)
    with held(path, "alone"), pytest.raises(JournalBusy):
        Reader(path).items()


@pytest.fixture
def landed(fleet: Fleet) -> Iterator[Fleet]:
    """A fleet whose one item has landed; what of its state was made unwritable is made writable again."""
    fleet.begin()
    fleet.shell_agent("default", "echo printed; echo x >> src/$item.txt; commit work")
    fleet.configure()
    fleet.item("a")
    assert fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet").code == 0
    yield fleet
    _set_writable(fleet.state, True)


def _set_writable(top: Path, writable: bool) -> None:
    for folder, _, names in os.walk(top):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            mode = stat.S_IMODE(path.lstat().st_mode)
            if not path.is_symlink():
                path.chmod(mode | 0o200 if writable else mode & ~0o222)


def without_rights(fleet: Fleet, *words: str) -> Done:
    """Run a command as somebody whom the modes of files bind, also where the tests run as root."""
    bound: tuple[str, ...] = ()
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("modes of files do not bind root, and setpriv is not there")
        bound = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    found = subprocess.run(
        [*bound, *GANGER, *words], cwd=fleet.repo, env=fleet.env, capture_output=True, check=False, timeout=60
    )
    return Done(found.returncode, found.stdout.decode(), found.stderr.decode())


def leave(fleet: Fleet, *, log: str) -> None:
    """Leave the journal as a supervisor that ended does (`none`), with SQLite's files, or with a log alone."""
    journal = fleet.state / "journal.db"
    beside = [journal.with_name(f"journal.db-{name}") for name in ("wal", "shm")]
    kept = {path: path.read_bytes() for path in (journal, *beside) if path.exists()}
    if log == "full":
        with closing(apsw.Connection(str(journal))) as db:
            db.execute("CREATE TABLE more (x)")
            kept = {path: path.read_bytes() for path in (journal, beside[0])}
    for path in beside:
        path.unlink(missing_ok=True)
    if log != "none":
        for path, content in kept.items():
            path.write_bytes(content)
    _set_writable(fleet.state, False)


READERS = (
    *("status", "show a", "why a", "log a", "log", "next", "gate", "inbox", "plan board", "trace a"),
    *("journal tail", "report --text", "schedule list", "lease list"),
)


@pytest.mark.parametrize("log", ["none", "empty"])
def test_what_only_reads_is_answered_where_nothing_may_be_written(landed: Fleet, log: str) -> None:
    expected = {words: landed.ganger(*words.split()) for words in READERS}
    leave(landed, log=log)
    for words, before in expected.items():
        assert without_rights(landed, *words.split()) == before, words


@pytest.mark.parametrize(
    ("log", "words"), [("full", "status"), ("full", "journal tail"), ("none", "pause plan"), ("none", "journal verify")]
)
def test_what_cannot_be_had_there_is_said_with_a_way_forward(landed: Fleet, log: str, words: str) -> None:
    """A log that only a writer can read, and what needs to write: no fault of ganger, nor of SQLite's wording alone."""
    leave(landed, log=log)
    done = without_rights(landed, *words.split())
    assert (done.code, done.out) == (2, ""), done
    assert "fault" not in done.err
    assert "--state-dir COPY" in done.err
    copy = landed.root / "copy"
    shutil.copytree(landed.state, copy, ignore=shutil.ignore_patterns("hub.git", "trash"))
    _set_writable(copy, True)
    assert landed.ganger("--state-dir", str(copy), *words.split()).code in (0, 1)
