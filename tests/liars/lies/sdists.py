"""Source distributions of real libraries, with their own tests, from the package index by its ordinary client."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Library:
    """A library whose source distribution holds its tests."""

    name: str
    versions: tuple[str, ...]
    """Consecutive releases, oldest first; faults are seeded into the last."""
    product: str
    """The folder of the product."""
    tests: str
    """The folder of the tests, or their only file."""
    root: str = ""
    """Where imports begin, below the top."""
    leave_out: tuple[str, ...] = ()
    """Tests of something else than the product."""


LIBRARIES = (
    Library(
        "cachetools",
        ("5.0.0", "5.1.0", "5.2.0", "5.2.1", "5.3.0", "5.3.1", "5.3.2", "5.3.3", "5.4.0", "5.5.0", "5.5.1", "5.5.2"),
        *("src/cachetools", "tests", "src"),
    ),
    Library("idna", ("3.6", "3.7", "3.8", "3.9", "3.10"), "idna", "tests"),
    Library("inflection", ("0.5.0", "0.5.1"), "inflection", "test_inflection.py"),
    Library("toolz", ("0.12.0", "0.12.1", "1.0.0"), "toolz", "toolz/tests", leave_out=("toolz/tests/test_tlz.py",)),
)


def fetch(library: Library, version: str, into: Path) -> dict[str, str]:
    """Give the files of one release that matter, by path; what was fetched before is not fetched again.

    CalledProcessError when the index does not give it.
    """
    into.mkdir(parents=True, exist_ok=True)
    archive = _archive(library, version, into)
    if archive is None:
        wanted = f"{library.name}=={version}"
        # With isolation: the index's client builds the metadata of a source distribution before it keeps it.
        command = (
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            str(into),
        )
        subprocess.run([*command, wanted], check=True, capture_output=True, timeout=300)
        archive = _archive(library, version, into)
    assert archive is not None, f"{library.name} {version} came under another name"
    return _read(library, archive)


def _archive(library: Library, version: str, into: Path) -> Path | None:
    names = (f"{name}-{version}.tar.gz" for name in (library.name, library.name.replace("-", "_")))
    return next((into / name for name in names if (into / name).exists()), None)


def _read(library: Library, archive: Path) -> dict[str, str]:
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = str(PurePosixPath(*PurePosixPath(member.name).parts[1:]))
            wanted = path.startswith((f"{library.product}/", f"{library.tests}/")) or path == library.tests
            if member.isfile() and wanted and path not in library.leave_out and not path.endswith((".pyc", ".so")):
                file = tar.extractfile(member)
                assert file is not None
                try:
                    found[path] = file.read().decode().replace("\r\n", "\n")
                except UnicodeDecodeError:
                    continue
    if library.root:
        found["conftest.py"] = (
            "import sys\nfrom pathlib import Path\n\n"
            f"sys.path.insert(0, str(Path(__file__).parent / {library.root!r}))\n"
        )
    return found
