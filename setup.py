"""Builds the hook client beside the package, where there is a C compiler; without one its Python twin is used."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
CLIENT = Path("ganger", "worker_api")
COMPILER = next((name for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if name and shutil.which(name)), "")
IS_BUILT = bool(COMPILER) and sys.platform.startswith("linux")


class BuildWithClient(build_py):
    """`build_py`, and then the client: static where that can be had, so that nothing is loaded before it starts."""

    def run(self) -> None:
        super().run()
        into = HERE / "src" if self.editable_mode else Path(self.build_lib)
        if IS_BUILT:
            compile_client(into / CLIENT / "ganger-hook")


def compile_client(target: Path) -> bool:
    """Compile the client; whether that worked. What was there before stays until the new one is whole."""
    source = HERE / "src" / CLIENT / "client.c"
    part = target.with_name(f".{target.name}.{os.getpid()}")
    for more in (("-static",), ()):
        done = subprocess.run([COMPILER, "-O2", *more, "-o", str(part), str(source)], capture_output=True)
        if done.returncode == 0:
            part.replace(target)
            return True
    print("the hook client was not built; its Python twin is used instead", file=sys.stderr)
    return False


class WithClient(Distribution):
    """A wheel with a program in it is one for this machine."""

    def has_ext_modules(self) -> bool:
        return IS_BUILT


setup(cmdclass={"build_py": BuildWithClient}, distclass=WithClient)
