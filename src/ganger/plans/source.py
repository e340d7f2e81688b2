"""Reading a file that people or repositories wrote, without trusting what is found at its path."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ganger.errors import ConfigError


def read_text(path: Path, bytes_max: int) -> str:
    """Read a UTF-8 file, with or without a byte order mark; line ends become `\\n`.

    ConfigError, whose message lacks the path, when it is missing, unreadable, not a regular file, larger than
    `bytes_max`, or not UTF-8.
    """
    data = read_bytes(path, bytes_max)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"is not UTF-8: byte 0x{data[error.start]:02x} on line {line}") from None
    return text.replace("\r\n", "\n")


def read_bytes(path: Path, bytes_max: int) -> bytes:
    """Read a file; ConfigError as for `read_text`."""
    try:
        # O_NONBLOCK: opening a named pipe must not wait for its other end.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot be read: {reason}") from None
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode):
            raise ConfigError("is not a regular file")
        # Opening a directory's descriptor as a file would fail, so this comes second.
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(bytes_max + 1) if about.st_size <= bytes_max else b""
    finally:
        os.close(fd)
    if max(len(data), about.st_size) > bytes_max:
        raise ConfigError(f"is larger than {bytes_max // 1024} KiB")
    return data
