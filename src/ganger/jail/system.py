"""What of the machine every jail shows, read-only: the system's programs, little of /etc, and the tools on PATH.

It is a list of what is let in, not of what is kept out: a home, its keys and its sockets are not on it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
ETC = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "default/locale"),
    *("environment", "fonts", "gai.conf", "group", "host.conf", "hostname", "hosts", "inputrc", "java", "ld.so.cache"),
    *("ld.so.conf", "ld.so.conf.d", "locale.alias", "locale.conf", "localtime", "mime.types", "networks", "nodejs"),
    *("nsswitch.conf", "os-release", "passwd", "perl", "pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem", "profile"),
    *("protocols", "python3", "python3.11", "resolv.conf", "rpc", "services", "shells", "ssl/cert.pem", "ssl/certs"),
    *("ssl/openssl.cnf", "terminfo", "timezone", "xattr.conf"),
)
"""Files and folders of /etc that programs need; none of them holds a secret."""
LIVE = ("hosts", "resolv.conf")
"""Those that change while a machine runs: how the network is reached."""
_PARTS = ("bin", "sbin", "shims", "lib", "lib32", "lib64", "libexec", "include", "plugins", "versions", "toolchains")
_FILES = ("pyvenv.cfg", "version", "settings.toml")
"""What of a tool's own folder is shown; `share` and the rest of a home's `.local` are not."""
_BESIDE = {".cargo": (".rustup",)}
_LINKS_MAX = 2_000
_HOMES = {"RUSTUP_HOME": ".rustup", "PYENV_ROOT": ".pyenv"}
"""Variables by which tools on PATH find their own folder, and where that is in a home when they are not set."""


def tools(path: str, closed: Iterable[Path]) -> tuple[Path, ...]:
    """List what the programs on a `PATH` and this Python need, outside the system's folders.

    Nothing that is, or holds, one of `closed` is listed: a home, the user's checkout, the state directory.
    """
    shut = [Path(os.path.realpath(place)) for place in closed]
    found: dict[Path, None] = {}
    package = Path(__file__).resolve().parents[2]
    for place in (*_of_python(), package, *_of_path(path)):
        real = Path(os.path.realpath(place))
        if any(keep.is_relative_to(real) for keep in shut):
            continue
        for one in dict.fromkeys((place, real)):
            if not _is_below(one, found) and _is_there(one) and not is_system(one):
                found[one] = None
    return tuple(sorted(place for place in found if not _is_below(place, set(found) - {place})))


def tool_homes(environ: Mapping[str, str]) -> dict[str, str]:
    """Say where tools that look for their folder in a home find it although the home is another one."""
    found = {name: environ.get(name) or str(Path.home() / folder) for name, folder in _HOMES.items()}
    return {name: place for name, place in found.items() if _is_there(Path(place))}


def is_system(path: Path) -> bool:
    """Whether every jail shows this place anyway."""
    return any(path.is_relative_to(folder) for folder in SYSTEM)


def etc() -> tuple[Path, ...]:
    """List what is shown of /etc, as far as it is there."""
    return tuple(place for name in ETC if _is_there(place := Path("/etc", name)))


def copy_etc(into: Path) -> Path:
    """Copy what is shown of /etc into a folder of its own below `into`, unless that is there already; the folder.

    One mount then shows all of it, where each file would take one: most of what a jail costs to start. Its name tells
    what /etc was like; LIVE is shown as it is at every start. OSError when the copy cannot be written.
    """
    found = into / _like_now()
    if found.exists():
        return found
    into.mkdir(mode=0o700, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=".making-", dir=into))
    for place in etc():
        copy = making / place.relative_to("/etc")
        copy.parent.mkdir(parents=True, exist_ok=True)
        # What this user cannot read is not shown either.
        with suppress(PermissionError, shutil.Error):
            if place.is_dir():
                shutil.copytree(place, copy, symlinks=True)
            else:
                shutil.copy2(place, copy)
    making.chmod(0o755)
    with suppress(OSError):
        making.rename(found)
    return found


def _like_now() -> str:
    """What is shown of /etc, in the digits of a digest: names, sizes, times, and where links lead."""
    digest = hashlib.sha256()
    for place in etc():
        for path in (place, *(sorted(place.rglob("*")) if place.is_dir() else ())):
            about = path.lstat()
            link = path.readlink() if path.is_symlink() else ""
            digest.update(
                f"{path} {about.st_mode} {about.st_size} {about.st_mtime_ns} {link}\n".encode(errors="replace")
            )
    return digest.hexdigest()[:16]


def _is_there(path: Path) -> bool:
    """Whether this user can see it; what lies in somebody else's folder is not there."""
    return os.path.exists(path)  # noqa: PTH110 - `Path.exists` raises where a folder cannot be entered


def _is_below(path: Path, places: Iterable[Path]) -> bool:
    return any(path.is_relative_to(place) for place in places)


def _of_python() -> Iterator[Path]:
    """What this interpreter, and a virtual environment around it, is made of."""
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)):
        yield from _parts(Path(prefix))


def _of_path(path: str) -> Iterator[Path]:
    for entry in dict.fromkeys(path.split(os.pathsep)):
        folder = Path(entry)
        if not entry.startswith("/") or is_system(folder) or not os.path.isdir(folder):  # noqa: PTH112
            continue
        yield folder
        yield from _parts(folder.parent)
        for link in _links(folder):
            yield from _target(link)


def _parts(root: Path) -> Iterator[Path]:
    """The parts of a tool's own folder, and of those that belong to it."""
    if root in (Path("/"), Path.home()):
        return
    for name in (*_PARTS, *_FILES):
        if _is_there(root / name):
            yield root / name
    for beside in _BESIDE.get(root.name, ()):
        yield from _parts(root.parent / beside)


def _links(folder: Path) -> Iterator[Path]:
    try:
        entries = os.scandir(folder)
    except OSError:
        return
    with entries:
        for number, entry in enumerate(entries):
            if number >= _LINKS_MAX:
                return
            if entry.is_symlink():
                yield Path(entry.path)


def _target(link: Path) -> Iterator[Path]:
    """What a program that is a link needs: the folder it lies in, or the tool's folder around that."""
    real = Path(os.path.realpath(link))
    if not _is_there(real) or is_system(real):
        return
    if real.parent.name in ("bin", "sbin"):
        yield from _parts(real.parent.parent)
    else:
        yield real.parent
