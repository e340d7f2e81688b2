"""What no module may do, held by reading the source: start programs, or remove files, but in the places named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ganger

SOURCE = Path(ganger.__file__).parent

STARTS_PROGRAMS = {
    "git/command.py": "git",
    "drivers/process.py": "workers and checks",
    "drivers/background.py": "the supervisor of `ganger up`",
    "drivers/acp_client.py": "it runs in the place of a worker, behind its wall, and starts the agent it speaks with",
    "testing/scripted_agent.py": "it is an agent itself, not part of the supervisor",
    "verifier/inside/go_exec.py": "a test binary in the place of go, inside a check",
    "verifier/inside/cargo_run.py": "a test binary in the place of Cargo, inside a check",
    "worker_api/client.py": "the slow path of a hook, in its own place",
}
STARTS_PROGRAMS_BELOW = ("jail/",)

REMOVES = {
    "git/trash.py": "the one module that removes things",
    "service/door.py": "its own socket",
    "service/worker_door.py": "its own sockets, and its own file before it is complete",
    "service/place.py": "its own file before it is complete",
    "report/html.py": "its own page before it is complete",
    "cli/agents_install.py": "the settings of an agent that hold nothing but what it put there itself",
    "cli/skills.py": "folders that are empty once its own files are taken away",
    "cli/start.py": "the file that `init` wrote a moment before and that does not load",
    "testing/scripted_agent.py": "it is an agent itself",
    "worker_api/gate_server.py": "its own sockets",
}

_OS_STARTS = ("fork", "forkpty", "system", "popen", "startfile")
_OS_STARTS_LIKE = ("exec", "spawn", "posix_spawn")
_MODULES_THAT_START = ("subprocess", "pty", "multiprocessing", "sh", "pexpect")
_REMOVING = ("unlink", "rmdir", "rmtree", "removedirs")
_REMOVING_OF_MODULES = ("remove",)
_REMOVING_TYPES = ("TemporaryDirectory",)
"""It removes a whole tree. A `NamedTemporaryFile` takes away one nameless file of its own, which is no danger."""


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (module, name) for what an import statement brings in; the name is empty for a whole module."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((node.module or "", alias.name) for alias in node.names)


def _starts(name: str) -> bool:
    return name in _OS_STARTS or name.startswith(_OS_STARTS_LIKE)


def starts_programs(source: str) -> list[str]:
    """List what in a source text could start a program."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for module, name in _imported(node):
            if module.split(".")[0] in _MODULES_THAT_START or (module == "os" and _starts(name)):
                found.append(f"{node.lineno}: import of {module} {name}".rstrip())
            if name == "ProcessPoolExecutor":
                found.append(f"{node.lineno}: {name}")
        if isinstance(node, ast.Attribute):
            of_os = isinstance(node.value, ast.Name) and node.value.id in ("os", "posix")
            if (of_os and _starts(node.attr)) or node.attr.startswith("create_subprocess"):
                found.append(f"{node.lineno}: {node.attr}")
        if isinstance(node, ast.keyword) and node.arg == "shell":
            found.append(f"{node.value.lineno}: shell=")
    return found


def removes(source: str) -> list[str]:
    """List what in a source text could remove a file or directory."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for module, name in _imported(node):
            if module in ("os", "shutil") and name in (*_REMOVING, *_REMOVING_OF_MODULES):
                found.append(f"{node.lineno}: import of {module}.{name}")
            if module == "tempfile" and name in _REMOVING_TYPES:
                found.append(f"{node.lineno}: {name}")
        if isinstance(node, ast.Attribute):
            of_module = isinstance(node.value, ast.Name) and node.value.id in ("os", "shutil", "posix")
            if node.attr in (*_REMOVING, *_REMOVING_TYPES) or (of_module and node.attr in _REMOVING_OF_MODULES):
                found.append(f"{node.lineno}: {node.attr}")
    return found


def _sources() -> dict[str, str]:
    return {str(file.relative_to(SOURCE)): file.read_text("utf-8") for file in sorted(SOURCE.rglob("*.py"))}


def test_programs_are_started_only_where_it_is_named() -> None:
    allowed = {name for name in _sources() if name in STARTS_PROGRAMS or name.startswith(STARTS_PROGRAMS_BELOW)}
    faults = {name: starts_programs(text) for name, text in _sources().items() if name not in allowed}
    assert {name: found for name, found in faults.items() if found} == {}


def test_things_are_removed_only_where_it_is_named() -> None:
    faults = {name: removes(text) for name, text in _sources().items() if name not in REMOVES}
    assert {name: found for name, found in faults.items() if found} == {}


def test_no_shell_anywhere() -> None:
    found = {name: [line for line in starts_programs(text) if "shell" in line] for name, text in _sources().items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import subprocess",
        "from subprocess import run",
        "import os\nos.fork()",
        "import os\nos.execve('a', [], {})",
        "from os import posix_spawn",
        "import os\nos.system('x')",
        "import asyncio\nasyncio.create_subprocess_exec('x')",
        "from concurrent.futures import ProcessPoolExecutor",
        "import multiprocessing.pool",
        "run('x', shell=True)",
    ],
)
def test_the_lint_sees_each_way_of_starting(source: str) -> None:
    assert starts_programs(source)
    assert not removes(source)


@pytest.mark.parametrize(
    "source",
    [
        "import shutil\nshutil.rmtree('x')",
        "from shutil import rmtree",
        "import os\nos.remove('x')",
        "import os\nos.unlink('x')",
        "from os import remove",
        "from pathlib import Path\nPath('x').unlink()",
        "path.rmdir()",
        "import tempfile\nwith tempfile.TemporaryDirectory() as d: pass",
        "remover = path.unlink",
    ],
)
def test_the_lint_sees_each_way_of_removing(source: str) -> None:
    assert removes(source)
    assert not starts_programs(source)


def test_harmless_code_passes() -> None:
    source = "import os\nindex.remove(key)\nnames.discard(1)\nos.replace('a', 'b')\nspawned = executor.submit(f)"
    assert starts_programs(source) == removes(source) == []
