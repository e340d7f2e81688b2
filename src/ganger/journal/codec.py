"""How an event becomes bytes and a link of the chain.

The body is JSON with the event's name in `type`. Each entry carries the CRC-32 of its body, and the SHA-256 over the
hash of the entry before it and everything in it: `sha256(previous ‖ seq ‖ at_ms ‖ len(actor) ‖ actor ‖ body)`, numbers
as 8 bytes, most significant first.
"""

from __future__ import annotations

import hashlib
import zlib
from struct import Struct as Packing

import msgspec

from ganger.core.events import Entry, Event
from ganger.core.ids import Seq
from ganger.core.state import Snapshot
from ganger.errors import JournalCorrupt

GENESIS = bytes(32)
"""The hash that the first entry follows."""
SNAPSHOT_VERSION = 1
"""Raised whenever a stored state can no longer be read as one; older snapshots are then ignored, never misread."""

_HEAD = Packing(">qqq")
_encode_event = msgspec.json.Encoder().encode
_decode_event = msgspec.json.Decoder(Event).decode
_encode_snapshot = msgspec.msgpack.Encoder().encode
_decode_snapshot = msgspec.msgpack.Decoder(Snapshot).decode


def encode(event: Event) -> bytes:
    """Write an event as JSON."""
    return _encode_event(event)


def crc(body: bytes) -> int:
    """The checksum stored beside a body."""
    return zlib.crc32(body)


def link(previous: bytes, seq: int, at_ms: int, actor: str, body: bytes) -> bytes:
    """The hash of an entry that follows the entry with hash `previous`."""
    name = actor.encode()
    return hashlib.sha256(previous + _HEAD.pack(seq, at_ms, len(name)) + name + body).digest()


def decode(seq: int, at_ms: int, actor: str, body: bytes, checksum: int) -> Entry:
    """Read an entry; JournalCorrupt if its bytes are not those that were written or not an event we know."""
    if zlib.crc32(body) != checksum:
        raise JournalCorrupt(f"entry {seq} of the journal has a wrong checksum", seq)
    try:
        return Entry(Seq(seq), at_ms, actor, _decode_event(body))
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"entry {seq} of the journal cannot be read: {error}", seq) from error


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
