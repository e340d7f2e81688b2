"""What verified a candidate, as one hash: evidence is bound to it, so that it cannot stand for another verifier's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import cache

from ganger.core.model import Check
from ganger.git.changes import path_text
from ganger.verifier.footprint import Blobs
from ganger.verifier.injection import RECORDERS


def verifier_hash(
    base: Blobs, is_protected: Callable[[str], bool], checks: Iterable[Check], tier: str, linked: str = ""
) -> str:
    """Hash the protected files of the base, our recorders, the commands of the checks, and the tier they ran at.

    `linked` is the state of the folders of dependencies that check-outs have by links; empty where they have none.
    """
    digest = hashlib.sha256(_recorders())
    digest.update(tier.encode() + b"\0")
    if linked:
        digest.update(f"linked {linked}\0".encode())
    for check in checks:
        digest.update("\0".join((check.name, *check.argv, str(check.timeout_ms))).encode("utf-8", "surrogateescape"))
        digest.update(b"\0\0")
    for path in sorted(base):
        if is_protected(path_text(path)):
            mode, oid = base[path]
            digest.update(path + f"\0{mode} {oid}\0".encode("ascii"))
    return digest.hexdigest()


@cache
def _recorders() -> bytes:
    return b"".join(hashlib.sha256(path.read_bytes()).digest() for path in RECORDERS)
