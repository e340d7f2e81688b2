"""Making a workspace with all that it is to have, whole or not at all: files, dependencies, setup, ports.

A workspace that was made to the end has a record, which also holds its ports; one without was cut off, no worker has
seen it, and it is made anew. What is linked comes from a cache that the setup command filled once, or from the user's
checkout, and is read-only in the jail.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import socket
import threading
import time
import uuid
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ganger.core.ids import Commit, RunId
from ganger.drivers.process import clean_env, run_check
from ganger.errors import GangerError, WorldFailed
from ganger.git import trash, workspace
from ganger.git.combining import lay_over
from ganger.git.hub import Hub
from ganger.git.merge import checkout_tree
from ganger.jail.bounds import NO_BOUNDS, Bounds
from ganger.jail.port import Jail, Reach
from ganger.jail.system import tool_homes
from ganger.service.place import replace_file
from ganger.service.places import Places
from ganger.service.provisioning import Provisioning
from ganger.supervisor import sharing
from ganger.supervisor.linked import Linked, in_the_way, link, refuse_copies
from ganger.verifier.contents import blobs_of

ROOT = "provision"
PORT_FIRST, PORT_LAST = 20_000, 32_000
AGAIN_S = 60.0
"""How long a setup that failed is not tried again."""
LAYOUT = 2
"""Of the cache: one that was filled in another way is filled anew."""
_TAIL_CHARS = 300


class _Record(Struct, frozen=True):
    """That a workspace was made to the end."""

    ports: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()
    """The folders that its links lead to; what they lead to later is the worker's word."""
    begin: Commit = Commit("")
    """The commit of the checkout that it shares; empty where it has its own."""


class Provisioner:
    """Makes workspaces as `[workspace]` wants them; safe to use from several threads."""

    def __init__(
        self,
        state_dir: Path,
        hub: Hub,
        jail: Jail,
        bounds: Bounds = NO_BOUNDS,
        wanted: Provisioning = Provisioning(),  # noqa: B008 - a frozen value
    ) -> None:
        self._state_dir, self._hub, self._jail, self._bounds, self._wanted = state_dir, hub, jail, bounds, wanted
        self._places = Places(state_dir)
        self._root = state_dir / ROOT
        self._lock = threading.Lock()
        self._filling = threading.Lock()
        self._failed: dict[str, tuple[float, WorldFailed]] = {}

    def is_made(self, run: RunId) -> bool:
        """Whether the workspace of a run is there and was made to the end."""
        return self._places.workspace(run).exists() and (self._plain or self._record_of(run).exists())

    def is_shared(self, run: RunId) -> bool:
        """Whether the run has no workspace of its own, but reads a checkout that others may read too."""
        return sharing.is_shared(self._state_dir, self._places.workspace(run))

    def begins_at(self, run: RunId) -> Commit | None:
        """The commit of the checkout that a run shares; None where it does not, or nobody knows."""
        return self._recorded(self._record_of(run)).begin or None if self.is_shared(run) else None

    def make(
        self, run: RunId, begin: Commit, base: Commit, *, shared: bool = False, files: Commit | None = None
    ) -> None:
        """Make the workspace of a run at a commit; WorldFailed, and nothing of it is there, when any step fails.

        `base` says what is linked: no commit of a worker's may, since what its setup makes is shared with others.
        `shared`: whoever works there can write nothing, so one checkout does for all who begin at that commit.
        `files` are what lies there, if not those of `begin`; a setup sees those of `begin`, in which nothing is marked.
        """
        place = self._places.workspace(run)
        if self._plain and not shared:
            workspace.create(self._hub, place, run, begin, files)
            return
        with self._lock:
            if workspace.exists(place):
                raise WorldFailed(f"there is already something at {place}", "salvage it and move it to the trash first")
            folders = self.linked(base)
            # One of an earlier workspace of the run, put away since, would vouch for this one while it is made.
            trash.discard_below(self._root, self._record_of(run))
            try:
                if shared:
                    self._share(place, begin, folders)
                else:
                    workspace.create(self._hub, place, run, begin)
                    self._furnish(place, begin, folders, self._log(run.replace(".", "-")))
                    if files is not None:
                        lay_over(self._hub, place, begin, files)
                ports, paths = self._free_ports(), tuple(str(one.source) for one in folders)
                self._record_of(run).parent.mkdir(parents=True, exist_ok=True)
                record = _Record(ports, paths, begin if shared else Commit(""))
                replace_file(self._record_of(run), msgspec.json.encode(record))
            except (GangerError, OSError) as error:
                self._undo(run)
                if isinstance(error, OSError):
                    raise WorldFailed(f"the workspace of {run} cannot be made: {error}") from error
                raise

    def environment(self, run: RunId) -> dict[str, str]:
        """What the worker of a run finds in its environment besides."""
        ports = self._recorded(self._record_of(run)).ports
        return dict(self._wanted.env) | {f"GANGER_PORT_{number}": str(port) for number, port in enumerate(ports)}

    def within(self, reach: Reach, run: RunId) -> Reach:
        """Extend what a worker may reach by what the linked folders of its workspace were made to lead to."""
        sources = self._recorded(self._record_of(run)).sources
        # A program that begins in a link is where the link leads to.
        checkout = (self._places.workspace(run).readlink(),) if self.is_shared(run) else ()
        return replace(reach, readable=(*reach.readable, *map(Path, sources), *checkout))

    def release(self, run: RunId) -> None:
        """Take away the link of a run to the checkout that it shared, and that too when nobody else reads it."""
        with self._lock:
            assert self.is_shared(run), run
            trash.discard_below(self._places.workspaces, self._places.workspace(run))
            trash.discard_below(self._root, self._record_of(run))
            sharing.drop_unused(self._state_dir)

    def _share(self, place: Path, begin: Commit, folders: tuple[Linked, ...]) -> None:
        """Let a workspace lead to the checkout of a commit, which is made if nobody reads it yet.

        What is there after those that nobody reads are gone has a link, and was whole before that was made.
        """
        sharing.drop_unused(self._state_dir)
        about = msgspec.json.encode((begin, self._wanted.setup, [(one.name, str(one.source)) for one in folders]))
        name = hashlib.sha256(about).hexdigest()[:32]
        checkout = sharing.checkout_of(self._state_dir, name)
        if not checkout.exists():
            workspace.create_to_read(self._hub, checkout, begin)
            self._furnish(checkout, begin, folders, self._log(name))
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.symlink_to(checkout)

    def _furnish(self, place: Path, begin: Commit, folders: tuple[Linked, ...], log: Path) -> None:
        """Give a workspace its linked folders, or run the setup in it where there are none."""
        self._link(place, begin, folders)
        if self._wanted.setup and not self._wanted.linked:
            self._set_up(place, log)

    @property
    def _plain(self) -> bool:
        return not (self._wanted.setup or self._wanted.linked or self._wanted.ports)

    def linked(self, base: Commit) -> tuple[Linked, ...]:
        """The folders that are linked into trees on a base; the cache is filled first where there is a setup.

        WorldFailed when one is not there, or holds what would be used instead of the code that is worked on.
        """
        return tuple(self._linked(name, base) for name in self._wanted.linked)

    def _linked(self, name: str, base: Commit) -> Linked:
        tree = self._cache(base) if self._wanted.setup else self._hub.repo.top
        if not (tree / name).is_dir():
            where = f"`{shlex.join(self._wanted.setup)}` made" if self._wanted.setup else f"{tree} has"
            raise WorldFailed(f"{where} no folder {name}, which workspaces are to be linked to", "see [workspace]")
        found = Linked(name, tree / name, tree)
        refuse_copies(found)
        return found

    def _cache(self, base: Commit) -> Path:
        """Return the folder in which the setup was run for these key files, running it if it was not yet.

        It is made where it stays, because environments know where they are; a mark beside it says that it is whole.
        """
        with self._filling:
            key = self._key(base)
            cached = self._root / "cache" / key
            tree, made = cached / "tree", cached / "made"
            if made.exists():
                return tree
            at, failure = self._failed.get(key, (0.0, None))
            if failure is not None and time.monotonic() - at < AGAIN_S:
                raise failure
            trash.discard_below(self._root, cached)
            try:
                checkout_tree(self._hub, base, tree)
                self._set_up(tree, self._log(key))
                made.write_bytes(b"")
            except WorldFailed as error:
                self._failed[key] = (time.monotonic(), error)
                trash.discard_below(self._root, cached)
                raise
            return tree

    def _key(self, begin: Commit) -> str:
        tree = self._hub.tree_of(begin)
        names = self._wanted.setup_key
        listed = (
            self._hub.git.run("--literal-pathspecs", "ls-tree", "-z", tree, "--", *names) if names else tree.encode()
        )
        about = msgspec.json.encode((LAYOUT, self._wanted.setup, self._wanted.linked))
        return hashlib.sha256(about + b"\0" + listed).hexdigest()[:32]

    def _set_up(self, tree: Path, log: Path) -> None:
        """Run the setup command in a tree; WorldFailed with its last words when it does not succeed."""
        home = self._state_dir / trash.SCRATCH / uuid.uuid4().hex
        for name in ("home", "tmp"):
            (home / name).mkdir(parents=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        env = (
            clean_env(os.environ)
            | tool_homes(os.environ)
            | {"HOME": str(home / "home"), "TMPDIR": str(home / "tmp"), "CI": "1"}
        )
        reach = replace(
            self._bounds.of_check((tree, home / "home", home / "tmp"), (self._hub.objects,)),
            network=self._bounds.network,
        )
        try:
            ended = run_check(
                self._wanted.setup, env | dict(self._wanted.env), tree, self._wanted.setup_timeout_ms, log, self._jail,
                reach,
            )  # fmt: skip
        finally:
            trash.discard_scratch(self._state_dir, home)
        if ended.timed_out or ended.code != 0:
            how = "ran out of time" if ended.timed_out else f"exited with {ended.code}"
            said = log.read_bytes()[-_TAIL_CHARS:].decode("utf-8", "backslashreplace").strip()
            raise WorldFailed(f"the setup `{shlex.join(self._wanted.setup)}` {how}: {said}", f"its output is in {log}")

    def _log(self, name: str) -> Path:
        return self._root / "logs" / f"{name}.log"

    def _link(self, place: Path, begin: Commit, folders: tuple[Linked, ...]) -> None:
        """Give a workspace the linked folders; WorldFailed where the repository has one, or git would take it."""
        if not folders:
            return
        for name in in_the_way([one.name for one in folders], blobs_of(self._hub, begin)):
            raise WorldFailed(f"{name} is to be linked, but the repository has it", "take it out of [workspace]")
        for one in folders:
            link(place, one)
        self._refuse_unignored(place, tuple(one.name for one in folders))

    def _refuse_unignored(self, place: Path, names: tuple[str, ...]) -> None:
        """WorldFailed when git would take the links for files of the worker's."""
        with self._hub.scratch() as scratch:
            listed = self._hub.git.with_index(scratch / "index", place).run(
                "--literal-pathspecs", "ls-files", "-z", "-o", "--exclude-per-directory=.gitignore", "--",
                *(str(place / name) for name in names),
            )  # fmt: skip
        if listed:
            first = os.fsdecode(listed.split(b"\0")[0])
            raise WorldFailed(f"{first} is to be linked, but no .gitignore of the target leaves it out", "add it there")

    def _free_ports(self) -> tuple[int, ...]:
        """Find as many ports in a row as are wanted, that no living workspace has and nobody listens on."""
        count = self._wanted.ports
        if not count:
            return ()
        taken = self._taken_ports()
        offset = int.from_bytes(hashlib.sha256(os.fsencode(self._state_dir)).digest()[:2]) % 100
        for number in range((PORT_LAST - PORT_FIRST) // count):
            first = PORT_FIRST + (number + offset) % ((PORT_LAST - PORT_FIRST) // count) * count
            block = tuple(range(first, first + count))
            if taken.isdisjoint(block) and all(map(_is_free, block)):
                return block
        raise WorldFailed(f"there are no {count} free ports in a row between {PORT_FIRST} and {PORT_LAST}")

    def _taken_ports(self) -> set[int]:
        """The ports of workspaces that are there; records of others are taken away."""
        taken: set[int] = set()
        records = self._root / "runs"
        for record in sorted(records.iterdir()) if records.is_dir() else ():
            if self._places.workspace(record.name).exists():
                taken |= set(self._recorded(record).ports)
            else:
                trash.discard_below(self._root, record)
        return taken

    def _recorded(self, record: Path) -> _Record:
        try:
            return msgspec.json.decode(record.read_bytes(), type=_Record)
        except (FileNotFoundError, msgspec.MsgspecError):
            return _Record()

    def _record_of(self, run: RunId) -> Path:
        return self._root / "runs" / run

    def _undo(self, run: RunId) -> None:
        """Take away what there is of a workspace that nobody has seen."""
        trash.discard_below(self._root, self._record_of(run))
        trash.discard_below(self._places.workspaces, self._places.workspace(run))
        sharing.drop_unused(self._state_dir)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
