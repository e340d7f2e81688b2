"""The fleet's own key: what it signs can be told from what anybody else has written, on any machine and offline.

Ed25519 (RFC 8032), so the same content always gets the same signature. The private half never leaves the state
directory; the public half is written `ed25519:` and 64 hexadecimal digits.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ganger.errors import ConfigError, StateDirError, UsageError
from ganger.plans.source import read_text

KEY = "key.ed25519"
SEED_BYTES = 32
PUBLIC_BYTES_MAX = 1_000
"""More than a file with a public key holds."""
_PUBLIC = re.compile(r"ed25519:[0-9a-f]{64}")


class FleetKey:
    """The private key of a fleet."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @property
    def public(self) -> str:
        """Its public half, as text."""
        return f"ed25519:{self._key.public_key().public_bytes_raw().hex()}"

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature."""
        return self._key.sign(message)


def is_signed(public: str, signature: bytes, message: bytes) -> bool:
    """Whether exactly this message was signed with the private half of `public`."""
    try:
        raw = bytes.fromhex(public.removeprefix("ed25519:"))
        Ed25519PublicKey.from_public_bytes(raw).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def read_public(text: str) -> str:
    """The public key that a person gave: itself, or the file that holds it; UsageError when it is neither."""
    if _PUBLIC.fullmatch(text):
        return text
    try:
        found = read_text(Path(text), PUBLIC_BYTES_MAX).strip()
    except ConfigError:
        found = ""
    if not _PUBLIC.fullmatch(found):
        raise UsageError(f"{text!r} is no public key, nor a file with one", "as in ed25519:… of `ganger key`")
    return found


def fleet_key(state_dir: Path) -> FleetKey:
    """The fleet's key, made the first time it is asked for; StateDirError when it cannot be read or believed."""
    path = state_dir / KEY
    try:
        if not path.exists():
            _make(state_dir)
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(handle, "rb") as file:
            about, seed = os.fstat(handle), file.read()
    except OSError as error:
        raise StateDirError(f"{path} cannot be used: {error.strerror}", "check its owner and mode") from error
    if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
        raise StateDirError(f"{path} may be read by others, so what it signs proves nothing", "chmod 600 it")
    if len(seed) != SEED_BYTES:
        raise StateDirError(f"{path} holds no key: {len(seed)} bytes", "put back its copy")
    return FleetKey(seed)


def _make(state_dir: Path) -> None:
    """Make the key beside its place and move it there; of two processes that try at once, one finds it made."""
    folder = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        path, fresh = state_dir / KEY, state_dir / f".{KEY}"
        if path.exists():
            return
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(Ed25519PrivateKey.generate().private_bytes_raw())
            file.flush()
            os.fsync(handle)
        fresh.replace(path)
        os.fsync(folder)
    finally:
        os.close(folder)
