"""The one door to the fleet: every change goes through `Fleet.submit`, whoever asks for it.

Threads of one process share one write transaction where they can (group commit): the first that gets the lock
carries out everything that is queued by then, and all of it is on disk when any of them returns.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from msgspec import Struct

from ganger.core.authority import authority_refusal, forbade
from ganger.core.commands import AskQuestion, Command, GrantRun, RecordSupervisor, SpawnChild
from ganger.core.decide import decide
from ganger.core.events import Event
from ganger.core.ids import Seq
from ganger.core.model import Refusal
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.journal.port import Journal, Transaction

T = TypeVar("T")
BEARING = (GrantRun, SpawnChild, AskQuestion)
"""The commands that can begin a run; a question does where an agent is asked."""


class Accepted(Struct, frozen=True, tag=True):
    """The command was carried out, and its events are on disk."""

    seq: Seq
    """Position of its last event; of the journal's end when it changed nothing."""
    events: tuple[Event, ...] = ()
    """What it changed; empty when it was so already."""


Reply: TypeAlias = Accepted | Refusal


class _Waiting:
    """A command in the queue of its process."""

    def __init__(self, command: Command, actor: str, key: str) -> None:
        self.command, self.actor, self.key = command, actor, key
        self.reply: Reply | None = None
        self.error: BaseException | None = None


class Fleet:
    """A fleet's journal with the policy under which it decides. Safe for threads."""

    def __init__(self, store: Journal, policy: Policy) -> None:
        self.store = store
        self.policy = policy
        self.on_growth: Callable[[], None] = lambda: None
        """Called after a transaction of this process added events, on the thread that committed."""
        self.before_birth: Callable[[], object] = lambda: None
        """Called before a command that can begin a run is decided, on the thread that submits it, without the lock."""
        self.acts_as = "supervisor"
        """The actor of the supervisor of this process, once it has taken over with its epoch."""
        self._lock = threading.RLock()
        self._queue: deque[_Waiting] = deque()

    def submit(self, command: Command, actor: str, key: str = "") -> Reply:
        """Decide `command` on the newest state and make what follows durable.

        `actor` is `person:NAME`, `worker:RUN` or `supervisor:EPOCH`, see `core.authority`. `key`, where given, makes a
        repetition harmless: the second submission with the same key is accepted and changes nothing. JournalFailed if
        the disk fails.
        """
        if isinstance(command, BEARING):
            self.before_birth()
        waiting = _Waiting(command, actor, key)
        self._queue.append(waiting)
        with self._lock:
            if waiting.reply is None and waiting.error is None:
                self._commit_queued()
        if waiting.error is not None:
            raise waiting.error
        if waiting.reply is None:
            raise AssertionError("a queued command was neither carried out nor refused")
        return waiting.reply

    def take_over(self, pid: int, host: str, version: str) -> Reply:
        """Become the fleet's supervisor: whatever an earlier one still submits is refused from here on."""
        reply = self.submit(RecordSupervisor(pid, host, version), "supervisor")
        if isinstance(reply, Accepted):
            self.acts_as = f"supervisor:{reply.seq}"
        return reply

    def adopt(self, choose: Callable[[State], Policy]) -> None:
        """Decide under another policy from here on; `choose` makes it from the newest state, while nobody decides."""
        with self._lock:
            self.policy = choose(self.store.catch_up())

    def look(self, question: Callable[[State, int], T]) -> T:
        """Ask something of the newest state; gets the state and the store's clock (ms), and must not keep the state."""
        with self._lock:
            state = self.store.catch_up()
            return question(state, self.store.now_ms())

    def now_ms(self) -> int:
        """The store's clock."""
        return self.look(lambda state, now_ms: now_ms)

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            self.store.close()

    def _commit_queued(self) -> None:
        """Carry out everything that is queued in one transaction; called with the lock held."""
        batch: list[_Waiting] = []
        while self._queue:
            batch.append(self._queue.popleft())
        grew = False
        try:
            with self.store.writing() as writing:
                for waiting in batch:
                    waiting.reply = self._decide(writing, waiting)
                    grew = grew or (isinstance(waiting.reply, Accepted) and bool(waiting.reply.events))
        except BaseException as error:
            for waiting in batch:
                waiting.reply, waiting.error = None, error
            raise
        if grew:
            self.on_growth()

    def _decide(self, writing: Transaction, waiting: _Waiting) -> Reply:
        if waiting.key and writing.has(waiting.key):
            return Accepted(writing.state.seq)
        forbidden = authority_refusal(writing.state, waiting.command, waiting.actor)
        if forbidden is not None:
            writing.append(forbade(writing.state, waiting.command, waiting.actor, forbidden), waiting.actor)
            return forbidden
        decision = decide(writing.state, waiting.command, writing.now_ms, self.policy)
        if isinstance(decision, Refusal):
            return decision
        writing.append(decision, waiting.actor, waiting.key)
        return Accepted(writing.state.seq, decision)
