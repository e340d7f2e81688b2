"""Make the stored journals of earlier states of the project: `python tests/journal/make_corpus.py [COMMIT…]`, or
`--shape` for what the events of today are made of.

For each commit its own code writes a journal of a few hundred entries (`corpus/write.py`) and says what it takes it to
mean; both are kept under `corpus/`, named after the commit. A journal once stored is never made again: what matters is
that the bytes of then are read today. Run it for the commit before one that changes what is stored.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import get_args

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
COMMITS = ("1ffc19e", "aa9e883", "cc44c0d", "067aa92", "d18e858", "978d747", "cc97bf8")


def make(commit: str, seed: int) -> None:
    """Write `corpus/COMMIT.db.xz` and `corpus/COMMIT.json` with the code of that commit."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        packed = subprocess.run(["git", "archive", commit, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(place, filter="data")
        told = subprocess.run(
            [sys.executable, str(CORPUS / "write.py"), str(place / "journal.db"), str(seed)],
            env={**os.environ, "PYTHONPATH": str(place / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        (CORPUS / f"{commit}.db.xz").write_bytes(lzma.compress((place / "journal.db").read_bytes(), preset=9))
    (CORPUS / f"{commit}.json").write_text(json.dumps(json.loads(told), sort_keys=True, indent=1) + "\n", "utf-8")


def note_shape() -> None:
    """Write `corpus/shape.json`, which `test_records.py` holds the events against."""
    from test_records import Event, schema, shape

    found: dict[str, object] = {}
    for kind in get_args(Event):
        shape(kind, found)
    text = json.dumps({"schema": schema.VERSION, "shape": found}, indent=1)
    (CORPUS / "shape.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--shape"]:
        note_shape()
        sys.exit()
    for number, name in enumerate(sys.argv[1:] or COMMITS):
        make(name, number)
        sys.stdout.write(f"{name}: {(CORPUS / f'{name}.db.xz').stat().st_size} bytes\n")
