"""A bundle: everything that speaks for one landed item, in one signed file that is verified without the fleet.

    ganger.bundle/1 SHA256-OF-INDEX ed25519:PUBLIC-KEY SIGNATURE
    {"parts":[{"name":"record","bytes":…,"sha256":"…"},…],"gone":[…]}
    the parts, one after the other, without anything between

The signature is over the first line up to the digest of the index, the index holds the digest of each part: a byte
that is not as it was is in exactly one of them. Parts are the record (what was found, in short), the entries of the
journal from the grant of the run to its landing, which follow each other in the hash chain, the entry with the item's
spec, the manifests of its turns, the output of each check, and the list of the tests that it executed. The record says
nothing that the entries do not say: it is made from them, and made again by whoever verifies it.

The same journal and files always make the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from ganger.core import events as ev
from ganger.core.model import CheckResult, Evidence, Verdict
from ganger.core.verdict import weakened_text
from ganger.errors import JournalCorrupt, UsageError
from ganger.journal import codec
from ganger.journal.queries import Reader, RunRow
from ganger.journal.store import EntryRow, read_rows
from ganger.service import place
from ganger.service.kept import turns_on_disk
from ganger.service.places import Places
from ganger.service.signing import FleetKey

MAGIC = "ganger.bundle/1"
_SPECS = ("ItemAdded", "ItemRevised")


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """One part of a bundle: its name, its length, and the SHA-256 of its bytes in hexadecimal."""

    name: str
    bytes: int
    sha256: str


class Index(Struct, frozen=True, forbid_unknown_fields=True):
    """The parts in their order, and the files that the record speaks of and that were not kept any more."""

    parts: tuple[Part, ...]
    gone: tuple[str, ...]


class EntryLine(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An entry of the journal as it is stored; the hash is `sha256(previous ‖ seq ‖ at_ms ‖ actor ‖ event)`."""

    seq: int
    at_ms: int
    actor: str
    crc: int
    hash: str
    event: msgspec.Raw
    follows: str = ""
    """Hash of the entry before it, where that is not in the bundle."""


class CheckLine(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a command ended that ganger ran."""

    name: str
    argv: tuple[str, ...]
    state: str
    exit_code: int | None
    executed: int | None
    """Tests that were executed, where the runner is known."""
    runner: str
    flaky: bool
    log: str
    """Path of its output, as the part `file PATH` has it."""
    log_sha256: str
    tests: str = ""
    """Path of the list of its tests, as the part `file PATH` has it; empty where no runner was seen."""
    tests_sha256: str = ""


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """What a bundle says, in short."""

    item: str
    title: str
    run: str
    base: str
    candidate: str
    tree: str
    """Of the candidate."""
    checked_tree: str
    """The candidate's tree with protected files and, where its plan wants that, tests of the base."""
    changed: tuple[str, ...]
    protected: tuple[str, ...]
    """Protected files that it changes."""
    tier: str
    """How checks were contained."""
    verifier: str
    """Hash of what verified it."""
    checks: tuple[CheckLine, ...]
    base_checks: tuple[CheckLine, ...]
    """The same with the base's tests."""
    witness: str
    """What its new tests say; empty where nobody asked."""
    witness_tests: tuple[str, ...]
    weakened: tuple[str, ...]
    verdict: str
    rung: str
    reasons: tuple[str, ...]
    landed_from: str
    """Where the target was."""
    landed: str
    """The commit of the target that contains it."""
    landed_tree: str
    """The tree that was tested as a whole."""
    landed_with: tuple[str, ...]
    """The runs that landed with that commit."""
    landed_ms: int
    train_passed: bool
    train_checks: tuple[CheckLine, ...]
    entries: tuple[int, int]
    """First and last position of the entries from the grant to the landing."""


class Unfounded(ValueError):
    """The entries do not tell of a landing from its grant on; the message says what is missing."""


class Made(Struct, frozen=True):
    """A bundle and what it holds."""

    data: bytes
    record: Record
    gone: tuple[str, ...]


def make(state_dir: Path, item: str, key: FleetKey) -> Made:
    """Bundle what speaks for a landed item.

    UsageError when there is no such item, or it has not landed; JournalCorrupt when the entries, or a kept file, are
    not what was recorded: nothing is signed then.
    """
    with closing(Reader(state_dir / place.JOURNAL)) as reader, reader.at_one_time():
        run = _landed_run(reader, item)
        lines = tuple(_lines(reader, run))
    try:
        record = record_of(tuple(_decoded(lines)))
    except Unfounded as error:
        raise JournalCorrupt(f"the journal does not tell of the landing of {run.id}: {error}", run.token) from error
    files, gone = _files(state_dir, run, record)
    parts = [("record", encoded(record)), *((f"entry {line.seq}", encoded(line)) for line in lines), *files]
    index = Index(tuple(Part(name, len(data), _sha256(data)) for name, data in parts), gone)
    return Made(seal(index, key) + b"".join(data for _, data in parts), record, gone)


def seal(index: Index, key: FleetKey) -> bytes:
    """The first two lines of a bundle."""
    second = encoded(index)
    signed = f"{MAGIC} {_sha256(second)}"
    return f"{signed} {key.public} {key.sign(signed.encode()).hex()}\n".encode() + second


def encoded(value: Struct) -> bytes:
    """A value as a bundle has it: one line of JSON, with its line end."""
    return msgspec.json.encode(value) + b"\n"


def record_of(entries: Sequence[ev.Entry]) -> Record:
    """Say what the entries of a bundle say: the item's spec, and its run from the grant to the landing.

    Unfounded when they are not such entries, or others.
    """
    if len(entries) < 2:
        raise Unfounded("there are no entries")
    spec, granted, last = entries[0].event, entries[1].event, entries[-1]
    if not isinstance(spec, (ev.ItemAdded, ev.ItemRevised)) or not isinstance(granted, ev.RunGranted):
        raise Unfounded("they do not begin with the item and the grant of its run")
    landed = last.event
    if not isinstance(landed, ev.RunLanded) or landed.run != granted.run or granted.item != spec.spec.id:
        raise Unfounded(f"they do not end with the landing of {granted.run}")
    evidence, verdict = _judged(entries, granted.run)
    train, started = _tested(entries, landed)
    return Record(
        item=spec.spec.id,
        title=spec.spec.title,
        run=granted.run,
        base=evidence.base,
        candidate=evidence.commit,
        tree=evidence.tree,
        checked_tree=evidence.checked_tree,
        changed=evidence.changed,
        protected=evidence.protected,
        tier=evidence.tier,
        verifier=evidence.verifier,
        checks=_check_lines(evidence.checks),
        base_checks=_check_lines(evidence.base_checks),
        witness=evidence.witness.kind.value if evidence.witness is not None else "",
        witness_tests=evidence.witness.tests if evidence.witness is not None else (),
        weakened=tuple(weakened_text(one) for one in evidence.weakened),
        verdict=verdict.kind.value,
        rung=verdict.rung.label,
        reasons=verdict.reasons,
        landed_from=started.old,
        landed=landed.commit,
        landed_tree=started.tree,
        landed_with=started.runs,
        landed_ms=last.at_ms,
        train_passed=train.passed,
        train_checks=_check_lines(train.checks),
        entries=(entries[1].seq, last.seq),
    )


def _judged(entries: Sequence[ev.Entry], run: str) -> tuple[Evidence, Verdict]:
    """The last evidence about a run, and the verdict on it."""
    evidence: Evidence | None = None
    verdict: Verdict | None = None
    for entry in entries:
        event = entry.event
        if isinstance(event, ev.EvidenceRecorded) and event.run == run:
            evidence, verdict = event.evidence, None
        if isinstance(event, ev.VerdictGiven) and event.run == run:
            verdict = event.verdict
    if evidence is None or verdict is None:
        raise Unfounded(f"there is no verdict on {run}")
    return evidence, verdict


def _tested(entries: Sequence[ev.Entry], landed: ev.RunLanded) -> tuple[ev.TrainTested, ev.LandingStarted]:
    """The last test of the landed commit, and the start of its landing."""
    train = started = None
    for entry in entries:
        event = entry.event
        if isinstance(event, ev.TrainTested) and event.commit == landed.commit:
            train = event
        if isinstance(event, ev.LandingStarted) and event.new == landed.commit and landed.run in event.runs:
            started = event
    if train is None or started is None:
        raise Unfounded(f"nothing tells of a test of {landed.commit[:12]} before it landed")
    if train.tree != started.tree:
        raise Unfounded(f"the tree that landed, {started.tree[:12]}, is not the one that was tested")
    return train, started


def _check_lines(results: Iterable[CheckResult]) -> tuple[CheckLine, ...]:
    return tuple(
        CheckLine(
            *(one.name, one.argv, one.state.value, one.exit_code, one.executed, one.runner),
            *(one.flaky, one.log, one.log_sha256, one.tests, one.tests_sha256),
        )
        for one in results
    )


def every_check(record: Record) -> tuple[CheckLine, ...]:
    """All commands that a record tells of."""
    return (*record.checks, *record.base_checks, *record.train_checks)


def kept_of(check: CheckLine) -> tuple[tuple[str, str], ...]:
    """The files that were kept of a command, each with its SHA-256: its output, and the list of its tests."""
    return tuple(
        (name, digest) for name, digest in ((check.log, check.log_sha256), (check.tests, check.tests_sha256)) if name
    )


def _landed_run(reader: Reader, item: str) -> RunRow:
    if reader.item(item) is None:
        raise UsageError(f"nothing is called {item!r}", "ganger plan board lists the items")
    landed = [run for run in reader.runs(item) if run.landed]
    if not landed:
        raise UsageError(
            f"{item} has not landed, so there is nothing to bundle", f"ganger why {item} says what is missing"
        )
    return landed[-1]


def _lines(reader: Reader, run: RunRow) -> Iterator[EntryLine]:
    """The entry with the item's spec as it was when the run was granted, and those from the grant to the landing."""
    about = reader.entries_about(run.item)
    specs = [row.seq for row in about if row.type in _SPECS and row.seq < run.token]
    if not specs:
        raise JournalCorrupt(f"no entry tells of {run.item} before it was given to {run.id}", run.token)
    yield from _stretch(reader, specs[-1], specs[-1])
    yield from _stretch(reader, run.token, run.ended_seq)


def _stretch(reader: Reader, first: int, last: int) -> Iterator[EntryLine]:
    """The entries of a stretch of the journal, each checked; the first one says what it follows."""
    rows = _rows(reader, first, last)
    previous = codec.GENESIS if first == 1 else next(rows)[5]
    expected, follows = first, previous.hex()
    for seq, at_ms, actor, body, checksum, digest in rows:
        if seq != expected or codec.crc(body) != checksum or codec.link(previous, seq, at_ms, actor, body) != digest:
            raise JournalCorrupt(f"entry {expected} of the journal does not hold", expected, "ganger journal verify")
        yield EntryLine(seq, at_ms, actor, checksum, digest.hex(), msgspec.Raw(body), follows)
        expected, previous, follows = seq + 1, digest, ""
    if expected != last + 1:
        raise JournalCorrupt(f"entry {expected} of the journal is missing", expected, "ganger journal verify")


def _rows(reader: Reader, first: int, last: int) -> Iterator[EntryRow]:
    """The rows of a stretch, with the one before it, where there is one."""
    after = max(first - 2, 0)
    while after < last and (rows := read_rows(reader.db, reader.path, after, limit=min(last - after, 1_000))):
        yield from rows
        after = rows[-1][0]


def _decoded(lines: Iterable[EntryLine]) -> Iterator[ev.Entry]:
    for line in lines:
        yield codec.decode(line.seq, line.at_ms, line.actor, bytes(line.event), line.crc)


def _files(state_dir: Path, run: RunRow, record: Record) -> tuple[list[tuple[str, bytes]], tuple[str, ...]]:
    """The parts made of kept files, and the names of those that are not kept any more."""
    wanted = {name: digest for one in every_check(record) for name, digest in kept_of(one)}
    places = Places(state_dir)
    manifests = [places.turn(run.id, turn) / "manifest.json" for turn in turns_on_disk(state_dir, run.id)]
    wanted |= {str(path.relative_to(state_dir)): "" for path in manifests}
    found, gone = [], []
    for name in sorted(wanted):
        data = _read(state_dir, name)
        if data is None:
            gone.append(name)
        elif wanted[name] and _sha256(data) != wanted[name]:
            raise JournalCorrupt(f"{name} is not what was recorded: it was changed since", record.entries[0])
        else:
            found.append((f"file {name}", data))
    return found, tuple(gone)


def _read(state_dir: Path, name: str) -> bytes | None:
    """A kept file; None when it is not there, or lies outside the state directory."""
    if ".." in PurePosixPath(name).parts:
        return None
    try:
        return (state_dir / name).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
