"""The `ganger` command: the hot verbs go straight to their code, everything else through the command tree."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
"""The standard streams, by their numbers."""


def main() -> None:
    """Run the command line of this process and exit with its verdict."""
    _fill_streams()
    args = sys.argv[1:]
    if args in (["version"], ["--version"]):
        from ganger import __version__

        print(f"ganger {__version__}")
        return
    # What goes wrong in a hot verb without a message of its own is met again, and told, by the command tree.
    with suppress(Exception):
        if args[:1] == ["status"]:
            from ganger.cli.status import main as status

            sys.exit(status(args[1:]))
        if args[:1] == ["admit"]:
            from ganger.cli.admit import main as admit

            sys.exit(admit(args[1:]))
        if args[:1] == ["verify"]:
            from ganger.cli.verify import main as verify

            sys.exit(verify(args[1:]))
    from ganger.cli.main import main as tree

    sys.exit(tree(args, alone=True))


def _fill_streams() -> None:
    """Open the null device as each standard stream that this process was started without (`ganger status >&-`).

    Otherwise the journal could be opened under its number, and a message be written into it.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - to the end


if __name__ == "__main__":
    main()
