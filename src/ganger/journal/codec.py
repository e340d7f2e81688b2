"""How an event becomes bytes and a link of the chain, and how bytes of any earlier ganger become an event of today.

The body is JSON with the event's name in `type` and, from its second version on, the version in `v`. Each entry carries
the CRC-32 of its body, and the SHA-256 over the hash of the entry before it and everything in it:
`sha256(previous ‖ seq ‖ at_ms ‖ len(actor) ‖ actor ‖ body)`, numbers as 8 bytes, most significant first.

An event whose meaning changes declares `VERSION: ClassVar[int] = 2`, and `UPGRADES` says how a body of the version
before becomes one of that. What a newer ganger wrote is refused by name, never read as something else.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from struct import Struct as Packing
from typing import Any, TypeAlias, get_args

import msgspec

from ganger.core.events import Entry, Event
from ganger.core.facts import Snapshot
from ganger.core.ids import Seq
from ganger.errors import JournalCorrupt

GENESIS = bytes(32)
"""The hash that the first entry follows."""
SNAPSHOT_VERSION = 3
"""Raised whenever a stored state can no longer be read as one; older snapshots are then ignored, never misread."""

Body: TypeAlias = dict[str, Any]
"""A decoded body, with `type` and without `v`."""
Upgrade: TypeAlias = Callable[[Body], Body]

UPGRADES: Mapping[str, tuple[Upgrade, ...]] = {}
"""For each event that had earlier versions: how version 1 becomes 2, 2 becomes 3, and so on."""

_HEAD = Packing(">qqq")
_encode_snapshot = msgspec.msgpack.Encoder().encode
_decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode


class EntryUnreadable(JournalCorrupt):
    """An entry is whole, but of a type or version, or with content, that this ganger does not know."""

    def __init__(self, message: str, seq: int, kind: str, version: int, known: int) -> None:
        super().__init__(f"{message}: a newer ganger wrote it", seq, "use that ganger; nothing was changed")
        self.kind = kind
        """The type that the entry names."""
        self.version = version
        """The version that the entry declares."""
        self.known = known
        """The newest version of that type this ganger knows; 0 when it does not know the type."""


class _Declared(msgspec.Struct, frozen=True, gc=False):
    """What a body says of itself."""

    type: str
    v: int = 1


_declared = msgspec.json.Decoder(_Declared).decode


class Records:
    """Writes events at their newest version, and reads them at every version there ever was."""

    def __init__(self, union: Any, upgrades: Mapping[str, tuple[Upgrade, ...]]) -> None:
        self.versions: dict[str, int] = {kind.__name__: getattr(kind, "VERSION", 1) for kind in get_args(union)}
        self._upgrades = {name: upgrades.get(name, ()) for name in self.versions}
        for kind in get_args(union):
            assert not {"type", "v"} & set(kind.__struct_fields__), f"{kind.__name__} has a field of the envelope"
        for name, version in self.versions.items():
            assert len(self._upgrades[name]) == version - 1, f"{name} lacks an upgrade for one of its versions"
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(union).decode
        self._union = union

    def encode(self, event: msgspec.Struct) -> bytes:
        """Write an event as JSON."""
        body = self._encode(event)
        version = self.versions[type(event).__name__]
        return body if version == 1 else b'%b,"v":%d}' % (body[:-1], version)

    def decode(self, seq: int, body: bytes) -> Any:
        """Read a body; JournalCorrupt when it is none, EntryUnreadable when a newer ganger wrote it."""
        try:
            declared = _declared(body)
        except msgspec.MsgspecError as error:
            raise JournalCorrupt(f"entry {seq} of the journal cannot be read: {error}", seq) from error
        kind, version, known = declared.type, declared.v, self.versions.get(declared.type, 0)
        if not known:
            raise EntryUnreadable(
                f"entry {seq} is of the type {kind} (version {version}), which this ganger does not know",
                *(seq, kind, version, known),
            )
        if not 1 <= version <= known:
            raise EntryUnreadable(
                f"entry {seq} is a {kind} of version {version}, this ganger knows up to version {known}",
                *(seq, kind, version, known),
            )
        try:
            return self._decode(body) if version == known else self._upgraded(kind, version, body)
        except msgspec.MsgspecError as error:
            raise EntryUnreadable(
                f"entry {seq}, a {kind} of version {version}, holds what this ganger does not know ({error})",
                *(seq, kind, version, known),
            ) from error

    def _upgraded(self, kind: str, version: int, body: bytes) -> Any:
        read: Body = msgspec.json.decode(body)
        read.pop("v", None)
        for upgrade in self._upgrades[kind][version - 1 :]:
            read = upgrade(read)
        return msgspec.convert(read, self._union)


RECORDS = Records(Event, UPGRADES)


def encode(event: Event) -> bytes:
    """Write an event as JSON."""
    return RECORDS.encode(event)


def crc(body: bytes) -> int:
    """The checksum stored beside a body."""
    return zlib.crc32(body)


def link(previous: bytes, seq: int, at_ms: int, actor: str, body: bytes) -> bytes:
    """The hash of an entry that follows the entry with hash `previous`."""
    name = actor.encode()
    return hashlib.sha256(previous + _HEAD.pack(seq, at_ms, len(name)) + name + body).digest()


def decode(seq: int, at_ms: int, actor: str, body: bytes, checksum: int) -> Entry:
    """Read an entry; JournalCorrupt if its bytes are not those that were written, EntryUnreadable if not known."""
    if zlib.crc32(body) != checksum:
        raise JournalCorrupt(f"entry {seq} of the journal has a wrong checksum", seq)
    return Entry(Seq(seq), at_ms, actor, RECORDS.decode(seq, body))


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Write a state's stored form, followed by its checksum."""
    body = _encode_snapshot(snapshot)
    return body + zlib.crc32(body).to_bytes(4, "big")


def decode_snapshot(stored: bytes) -> Snapshot | None:
    """Read a stored state; None when it is damaged, which costs time and loses nothing."""
    body, checksum = stored[:-4], stored[-4:]
    if zlib.crc32(body).to_bytes(4, "big") != checksum:
        return None
    try:
        return _decode_snapshot(body)
    except msgspec.MsgspecError:
        return None
