"""Every exception of ganger, as a tree cut by what a caller does differently.

    GangerError
    ├── UsageError            the person asked for something that cannot be (exit 2)
    │   ├── ConfigError       ganger.toml, a plan or an environment variable is wrong
    │   ├── RepositoryError   the repository is not one ganger can work on
    │   └── StateDirError     the state directory is unusable or of a newer version
    ├── GitFailed             git exited non-zero or ran out of time
    ├── JournalBusy           another process keeps the journal to itself; nothing was changed, ask again (exit 6)
    ├── JournalFailed         a write or sync failed; this process must not acknowledge anything more
    │   └── JournalCorrupt    what was read is not what was written
    ├── LauncherGone          what starts programs for the supervisor has ended; it must end too
    └── WorldFailed           an effect could not be carried out; the next tick tries again
        └── LaunchRefused     what a worker would be sent is not whole or not on record; its run ends

An expected "no" is not here: a refusal is a value, `core.model.Refusal`.
"""

from __future__ import annotations

from pathlib import Path


class GangerError(Exception):
    """Base of all: `message` says what is wrong and where, `hint` what to do about it (may be empty)."""

    exit_code = 70

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(GangerError):
    """The person asked for something that cannot be done; nothing was changed."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration or plan file is wrong; the message carries file and line."""


class RepositoryError(UsageError):
    """The repository is missing, bare, shallow, empty, or lacks the target branch."""


class StateDirError(UsageError):
    """The state directory cannot be used: not writable, full, or written by a newer ganger."""


class GitFailed(GangerError):
    """Git exited non-zero or ran out of time; `code` is its exit status, -1 for a timeout."""

    def __init__(self, argv: tuple[str, ...], code: int, stderr: str) -> None:
        super().__init__(f"git {' '.join(argv[:4])} exited {code}: {_what_git_says(stderr)}")
        self.argv = argv
        self.code = code
        self.stderr = stderr


def _what_git_says(stderr: str) -> str:
    """The lines in which git says what is wrong, without its advice, which may be to remove something."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    faults = [line for line in lines if line.startswith(("error:", "fatal:"))]
    return "; ".join(faults or lines[-3:])[:400]


class JournalBusy(GangerError):
    """Another process has kept the journal to itself for too long; nothing was changed."""

    exit_code = 6

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another process holds {path}, so nothing was changed", f"fuser -v {path} names it; ask again when it ends"
        )


class JournalFailed(GangerError):
    """A write or a sync of the journal failed: nothing more may be acknowledged by this process."""


class JournalCorrupt(JournalFailed):
    """The journal's checksums or its hash chain do not hold; `seq` is the first bad entry."""

    def __init__(self, message: str, seq: int, hint: str = "") -> None:
        super().__init__(message, hint)
        self.seq = seq


class LauncherGone(GangerError):
    """The process through which a supervisor starts programs has ended: nothing more can be started."""


class WorldFailed(GangerError):
    """An effect could not be carried out; nothing was recorded and the next tick tries again."""


class LaunchRefused(WorldFailed):
    """What a worker would be sent is not whole, or not on record: trying again would send the same."""
