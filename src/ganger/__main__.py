"""The `ganger` command: the hot verbs go straight to their code, everything else through the command tree."""

from __future__ import annotations

import sys
from contextlib import suppress


def main() -> None:
    """Run the command line of this process and exit with its verdict."""
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


if __name__ == "__main__":
    main()
