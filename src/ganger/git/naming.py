"""How a repository's fleet is called in file names."""

from __future__ import annotations

import os
import re
from pathlib import Path

STANDIN = "standin"
"""A folder of the state directory: the repository for files that nobody has committed, see `standin`."""


def repo_id(common_dir: Path) -> str:
    """Derive the name of a repository's state directory from the real path of its git directory."""
    import hashlib  # it loads OpenSSL, which commands that are told the state directory do without

    named_by = common_dir.parent.name if common_dir.name == ".git" else common_dir.name.removesuffix(".git")
    slug = re.sub(r"[^A-Za-z0-9_]+", "-", named_by).strip("-")[:40] or "repo"
    return f"{slug}-{hashlib.sha256(os.fsencode(common_dir)).hexdigest()[:10]}"
