"""Verifying a bundle, offline: with nothing but its bytes, and, where there is one, a clone of the repository.

Each fault says where in the file it is. What is damaged is found by digests, whatever it held; what was put together
by somebody else is found because the parts must tell one story: the entries follow each other in the hash chain, the
record is made from them again, every file is the one that was recorded, and the landing is a tested one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from struct import error as NumberTooLarge
from typing import Any

import msgspec
from msgspec import Struct

from ganger.core import events as ev
from ganger.core.ids import Commit
from ganger.core.model import CheckState, Rung, VerdictKind
from ganger.errors import JournalCorrupt
from ganger.git.command import UserGit
from ganger.journal import codec
from ganger.service.bundle import (
    MAGIC,
    EntryLine,
    Index,
    Record,
    Unfounded,
    encoded,
    every_check,
    kept_of,
    record_of,
)
from ganger.service.kept import Manifest
from ganger.service.signing import is_signed
from ganger.verifier import listed
from ganger.verifier.listed import TESTS_END

_SEAL = re.compile(rf"({re.escape(MAGIC)} ([0-9a-f]{{64}})) (ed25519:[0-9a-f]{{64}}) ([0-9a-f]{{128}})".encode())
_LINE_MAX = 1 << 26
"""Longest first or second line that is read."""


class Fault(Struct, frozen=True):
    """What is wrong, in which part of the file, and the bytes of it: from `first` on, up to but not with `end`."""

    part: str
    first: int
    end: int
    text: str


class Checked(Struct, frozen=True):
    """What a look at a bundle found."""

    faults: tuple[Fault, ...]
    """Empty when everything holds."""
    key: str = ""
    """The public key that signed it; empty when that cannot be told."""
    record: Record | None = None
    """What it says; None where that cannot be believed."""
    gone: tuple[str, ...] = ()
    """Files that were not kept any more when it was made."""


class _Piece(Struct, frozen=True):
    """A part as it lies in the file."""

    name: str
    first: int
    data: bytes

    def fault(self, text: str) -> Fault:
        return Fault(self.name, self.first, self.first + len(self.data), text)


def check(data: bytes, trusted: str = "") -> Checked:
    """Look at the bytes of a bundle; `trusted` is the public key that must have signed it, empty for any."""
    first = data.find(b"\n", 0, _LINE_MAX) + 1
    found = _SEAL.fullmatch(data[: first - 1]) if first else None
    if found is None:
        return Checked((Fault("seal", 0, first or len(data), f"the first line is not that of a {MAGIC}"),))
    signed, digest, public, signature = (text.decode() for text in found.groups())
    if not is_signed(public, bytes.fromhex(signature), signed.encode()):
        return Checked((Fault("seal", 0, first, "the signature is not that of this key on this bundle"),))
    if trusted and public != trusted:
        return Checked((Fault("seal", 0, first, f"it is signed by another key: {public}"),), public)
    second = data.find(b"\n", first, first + _LINE_MAX) + 1
    index_line = data[first : second or len(data)]
    if hashlib.sha256(index_line).hexdigest() != digest:
        text = "the list of the parts is not the one that was signed"
        return Checked((Fault("index", first, first + len(index_line), text),), public)
    index = _canonical(index_line, Index)
    if index is None:
        return Checked((Fault("index", first, second, "the list of the parts cannot be read"),), public)
    pieces, faults = _pieces(data, second, index)
    if faults:
        return Checked(tuple(faults), public)
    record, faults = _story(pieces, index.gone)
    return Checked(tuple(faults), public, record, index.gone)


def _pieces(data: bytes, at: int, index: Index) -> tuple[list[_Piece], list[Fault]]:
    """Cut a bundle into its parts, and say which are not as they were signed."""
    pieces: list[_Piece] = []
    faults: list[Fault] = []
    for part in index.parts:
        piece = _Piece(part.name, at, data[at : at + part.bytes])
        if len(piece.data) < part.bytes:
            faults.append(piece.fault(f"it ends after {len(piece.data)} of {part.bytes} bytes"))
        elif hashlib.sha256(piece.data).hexdigest() != part.sha256:
            faults.append(piece.fault("it is not what was signed"))
        pieces.append(piece)
        at += part.bytes
    if at < len(data):
        faults.append(Fault("end", at, len(data), f"{len(data) - at} bytes follow that are no part of it"))
    return pieces, faults


def _canonical(line: bytes, kind: type[Any]) -> Any:
    """Read a line as exactly what ganger would write for it; None when it is not that."""
    try:
        found = msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return found if encoded(found) == line else None


def _story(pieces: Sequence[_Piece], gone: tuple[str, ...]) -> tuple[Record | None, list[Fault]]:
    """Hold the parts of a bundle against each other."""
    files = {one.name: one for one in pieces if one.name.startswith("file ")}
    lines = [one for one in pieces if one.name.startswith("entry ")]
    if not pieces or pieces[0].name != "record" or [pieces[0], *lines, *files.values()] != list(pieces):
        whole = Fault("index", 0, pieces[0].first if pieces else 0, "its parts are not those of a bundle")
        return None, [whole]
    entries, faults = _entries(lines)
    if faults:
        return None, faults
    try:
        record = record_of(entries)
    except Unfounded as error:
        return None, [Fault("entries", lines[0].first if lines else 0, pieces[-1].first, str(error))]
    if encoded(record) != pieces[0].data:
        return None, [pieces[0].fault("it says something else than the entries say")]
    faults = [*_files(record, files, gone, int(entries[1].seq)), *(pieces[0].fault(text) for text in unproven(record))]
    return record, faults


def _entries(lines: Sequence[_Piece]) -> tuple[tuple[ev.Entry, ...], list[Fault]]:
    """Read the entries: two stretches, the second of which begins with the grant, each without a gap."""
    entries: list[ev.Entry] = []
    previous: EntryLine | None = None
    for number, piece in enumerate(lines):
        line: EntryLine | None = _canonical(piece.data, EntryLine)
        if line is None or piece.name != f"entry {line.seq}":
            return (), [piece.fault("it cannot be read as an entry")]
        begins = number < 2
        if begins != bool(line.follows) or not (begins or previous is None or line.seq == previous.seq + 1):
            return (), [piece.fault("it does not follow the entry before it")]
        before = line.follows or (previous.hash if previous is not None else "")
        body = bytes(line.event)
        try:
            digest = codec.link(bytes.fromhex(before), line.seq, line.at_ms, line.actor, body).hex()
            if digest != line.hash:
                return (), [piece.fault("its hash is not that of its content after the entry before it")]
            entries.append(codec.decode(line.seq, line.at_ms, line.actor, body, line.crc))
        except (JournalCorrupt, ValueError, NumberTooLarge) as error:
            return (), [piece.fault(f"it cannot be read: {error}")]
        previous = line
    return tuple(entries), []


def _files(record: Record, files: Mapping[str, _Piece], gone: tuple[str, ...], token: int) -> Iterator[Fault]:
    """Hold the kept files against the record: each is there, or was said to be gone, and is the one recorded."""
    known = {f"file {name}": digest for one in every_check(record) for name, digest in kept_of(one)}
    for name, digest in known.items():
        piece = files.get(name)
        if piece is None:
            if name.removeprefix("file ") not in gone:
                yield Fault("index", 0, 0, f"{name.removeprefix('file ')} is missing")
        elif hashlib.sha256(piece.data).hexdigest() != digest:
            what = "the list of tests" if name.endswith(TESTS_END) else "the output"
            yield piece.fault(f"it is not {what} that was recorded")
    yield from _test_lists(record, files)
    for name, piece in files.items():
        if name in known:
            continue
        if not re.fullmatch(rf"file runs/{re.escape(record.run)}/turn-[1-9][0-9]*/manifest\.json", name):
            yield piece.fault("nothing in the record speaks of it")
            continue
        try:
            found = msgspec.json.decode(piece.data, type=Manifest)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            yield piece.fault("it is no manifest")
            continue
        if (found.run, found.token) != (record.run, token):
            yield piece.fault(f"it is the manifest of {found.run} with token {found.token}")


def _test_lists(record: Record, files: Mapping[str, _Piece]) -> Iterator[Fault]:
    """Hold the lists of executed tests against themselves, and against the numbers that were recorded."""
    for one in every_check(record):
        piece = files.get(f"file {one.tests}")
        if piece is None:
            continue
        found = listed.decoded(piece.data)
        text = "it is no list of tests" if found is None else listed.fault(found, one.executed)
        if text:
            yield piece.fault(text)


def unproven(record: Record) -> tuple[str, ...]:
    """Say why what a record tells of is no proof, however well it is signed."""
    ran = every_check(record) if Rung.parse(record.rung) >= Rung.checked else record.train_checks
    bad = [one.name for one in ran if one.state != CheckState.passed.value]
    reasons = [f"check {name} did not pass" for name in dict.fromkeys(bad)]
    if record.verdict != VerdictKind.accepted.value:
        reasons.append(f"the verdict on the candidate is {record.verdict}")
    if not record.train_passed:
        reasons.append("what landed had not passed as a whole")
    return tuple(reasons)


def compare(record: Record, clone: UserGit) -> tuple[str, ...]:
    """Hold a record against a clone: is the landed commit in a branch, does it hold the tested tree and the candidate?

    Returns what does not hold, a line each.
    """
    landed, candidate = Commit(record.landed), Commit(record.candidate)
    if not clone.has(landed):
        return (f"the landed commit {landed[:12]} is not in the clone",)
    faults = []
    tree = clone.rev_parse(f"{landed}^{{tree}}")
    if tree != record.landed_tree:
        faults.append(f"{landed[:12]} holds the tree {(tree or 'none')[:12]}, tested was {record.landed_tree[:12]}")
    branches = ("refs/heads", "refs/remotes")
    if not clone.run("for-each-ref", "--count=1", f"--contains={landed}", *branches):
        faults.append(f"no branch of the clone contains {landed[:12]}")
    if not clone.has(candidate) or not clone.is_ancestor(candidate, landed):
        faults.append(f"{landed[:12]} does not contain the candidate {candidate[:12]}")
    elif clone.rev_parse(f"{candidate}^{{tree}}") != record.tree:
        faults.append(f"the candidate {candidate[:12]} does not hold the tree {record.tree[:12]}")
    if not clone.is_ancestor(Commit(record.landed_from), landed):
        faults.append(f"{landed[:12]} does not follow {record.landed_from[:12]}, on which it was tested")
    return tuple(faults)
