"""The gate: answers the hooks of all workers from what the supervisor pushed to it, in a process of its own.

Beside the supervisor's threads an answer would wait for them; here it waits for nobody. It keeps what it is told in
memory, reads the names of files and nothing in them, and writes only answers. When the supervisor goes, so does it.
"""

from __future__ import annotations

import hmac
import time
from collections import deque
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from ganger.core.ids import RunId, Seq
from ganger.drivers.hooks import Act, Allow, Answer, Asked, Deny, Dialect, HookEvent, NotAPayload, Tell, load_dialect
from ganger.worker_api import judge
from ganger.worker_api.guards import Guard, Memory
from ganger.worker_api.views import (
    Asking,
    AskLacks,
    AskNews,
    Down,
    DropRun,
    Header,
    Heard,
    Lacks,
    News,
    Rules,
    RunView,
    SetRules,
    SetRun,
    Settled,
    Up,
    Used,
)

NONCES_MAX = 4_096
"""Questions of one run that are known again when they are put twice."""
BEGUN_MAX = 256
"""Uses of tools that are not over yet."""
FORGED = "this call does not come from a run that is live: end the turn"
STALE = "the run is not live with this token any more: end the turn"
AGAIN = "this very call was answered before"
UNREAD = "(not understood)"
"""Stands for the tool in a question that could not be read."""


class Waiting(Struct, frozen=True):
    """The supervisor is asked what a run lacks to end its turn, or what it is to be told; the answer follows."""

    ask: int
    dialect: Dialect
    view: RunView
    event: HookEvent = HookEvent.stop
    answer: Answer = Allow()
    """What is answered where there is nothing to tell."""


class _Known:
    """What the gate remembers of one run."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self.memory = Memory()
        self.memory.tell(view.known)
        self.told: set[str] = set()
        self.refused: dict[int, int] = {}
        """Refused stops by turn."""
        self.mail: Seq = Seq(0)
        """The newest message of which the supervisor was asked."""
        self.handed: tuple[Seq, ...] = ()
        """What its worker was told, and has not gone on since."""
        self._begun: dict[tuple[str, str], int] = {}
        self._nonces: deque[str] = deque()
        self._seen: set[str] = set()

    def begin(self, asked: Asked, now_ms: int) -> None:
        """Note that a tool may be used from now on."""
        if len(self._begun) >= BEGUN_MAX:
            del self._begun[next(iter(self._begun))]
        self._begun[asked.tool, asked.target] = now_ms

    def took_ms(self, asked: Asked, now_ms: int) -> int:
        """How long a use took that is over: as its agent says, or else since it was asked about; 0 for not known."""
        began_ms = self._begun.pop((asked.tool, asked.target), now_ms)
        return asked.took_ms or max(now_ms - began_ms, 0)

    def is_new(self, nonce: str) -> bool:
        """Note a question; False when it was put before."""
        if nonce in self._seen:
            return False
        if len(self._nonces) == NONCES_MAX:
            self._seen.discard(self._nonces.popleft())
        self._nonces.append(nonce)
        self._seen.add(nonce)
        return True


class Gate:
    """All that is decided here, without sockets."""

    def __init__(self, guards: tuple[tuple[str, Guard], ...] = ()) -> None:
        self._guards = guards
        self._rules = Rules()
        self._runs: dict[RunId, _Known] = {}
        self._asks = 0
        self.out: list[Up] = []
        """What the supervisor is to be told."""

    def take(self, message: Down) -> None:
        """Take over what the supervisor says."""
        if isinstance(message, SetRules):
            self._rules = message.rules
        elif isinstance(message, SetRun):
            known = self._runs.get(message.view.run)
            if known is None or known.view.token != message.view.token:
                self._runs[message.view.run] = _Known(message.view)
            else:
                known.view = message.view
                known.memory.tell(message.view.known)
        elif isinstance(message, DropRun):
            self._runs.pop(message.run, None)
        elif isinstance(message, Settled):
            self.out.append(message)

    def question(self, header: Header, payload: bytes, now_ms: int) -> bytes | Waiting:
        """Answer a client, whatever it sends."""
        dialect = dialect_of(header.agent)
        known = self._who(header)
        if known is None:
            return dialect.answer(header.event, _refused(header.event, FORGED))
        try:
            asked = dialect.read(header.event, payload)
        except NotAPayload as error:
            return self.unread(header, error)
        is_read = asked.act is Act.read
        if known.view.token != header.token or not known.is_new(header.nonce):
            why = AGAIN if known.view.token == header.token else STALE
            answer = Allow() if is_read else _refused(header.event, why)
            if isinstance(answer, Deny):
                self.out.append(_used(known.view, asked, answer.reason))
            return dialect.answer(header.event, answer)
        self._count(known, header.event)
        if known.handed:
            self.out.append(Heard(known.view.run, known.view.token, known.handed))
            known.handed = ()
        try:
            found = self._decide(known, dialect, asked, now_ms)
        except Exception as error:
            found = judge.broken(header.event, is_read, f"a fault of ganger: {type(error).__name__}")
        return found if isinstance(found, Waiting) else dialect.answer(header.event, found)

    def unread(self, header: Header, error: NotAPayload) -> bytes:
        """Answer a client whose payload is none, or too long to be looked at."""
        answer, known = judge.unreadable(header.event, error), self._who(header)
        if known is not None:
            if known.view.token == header.token and known.is_new(header.nonce):
                self._count(known, header.event)
                if header.event is HookEvent.post_tool:
                    self.out.append(Used(known.view.run, known.view.token, UNREAD))
            if isinstance(answer, Deny):
                self.out.append(Used(known.view.run, known.view.token, UNREAD, denied=_text(answer.reason)))
        return dialect_of(header.agent).answer(header.event, answer)

    def _who(self, header: Header) -> _Known | None:
        """The run that a client speaks for; None when it does not know that one's secret."""
        known = self._runs.get(RunId(header.run))
        return known if known is not None and hmac.compare_digest(known.view.secret, header.secret) else None

    def _count(self, known: _Known, event: HookEvent) -> None:
        if event is HookEvent.pre_tool:
            self.out.append(Asking(known.view.run, known.view.token, known.view.turn))

    def _decide(self, known: _Known, dialect: Dialect, asked: Asked, now_ms: int) -> Answer | Waiting:
        view = known.view
        if asked.event is HookEvent.pre_tool:
            answer = judge.judge(self._rules, view, asked, known.memory, self._guards, now_ms)
            if isinstance(answer, Deny):
                self.out.append(_used(view, asked, answer.reason))
            else:
                known.begin(asked, now_ms)
            return answer
        if asked.event is HookEvent.post_tool:
            known.memory.use(asked)
            self.out.append(_used(view, replace(asked, took_ms=known.took_ms(asked, now_ms))))
            return self._with_news(known, dialect, asked.event, Allow())
        if asked.event is not HookEvent.stop:
            return self._with_news(known, dialect, asked.event, judge.context(view, asked.event, known.told))
        if judge.may_end(view) or known.refused.get(view.turn, 0) >= self._rules.stop_refusals_max:
            return Allow()
        self._asks += 1
        self.out.append(AskLacks(self._asks, view.run))
        return Waiting(self._asks, dialect, view)

    def _with_news(self, known: _Known, dialect: Dialect, event: HookEvent, answer: Answer) -> Answer | Waiting:
        """Ask what is said to the run, where something is that its worker can be told now."""
        view = known.view
        if view.mail <= known.mail or event not in dialect.hears:
            return answer
        known.mail = view.mail
        self._asks += 1
        self.out.append(AskNews(self._asks, view.run, view.token, view.turn))
        return Waiting(self._asks, dialect, view, event, answer)

    def hand(self, waiting: Waiting, news: News) -> bytes:
        """Answer an agent, with what is said to its run; what another gate before this one asked for is not for it."""
        known = self._runs.get(waiting.view.run)
        is_its = known is not None and known.view.token == waiting.view.token and news.run == waiting.view.run
        if known is None or not is_its or not news.messages or waiting.event is HookEvent.stop:
            return self.settle(waiting, ())
        known.handed = (*known.handed, *news.messages)
        before = f"{waiting.answer.text}\n" if isinstance(waiting.answer, Tell) else ""
        return waiting.dialect.answer(waiting.event, Tell(before + news.text))

    def settle(self, waiting: Waiting, lacks: tuple[str, ...]) -> bytes:
        """Answer an agent that wants to stop, once it is known what it lacks; or one that is told nothing after all."""
        if waiting.event is not HookEvent.stop:
            return waiting.dialect.answer(waiting.event, waiting.answer)
        known = self._runs.get(waiting.view.run)
        if known is None or known.view.token != waiting.view.token:
            return waiting.dialect.answer(HookEvent.stop, Allow())
        turn = waiting.view.turn
        answer = judge.stop_answer(known.view, lacks, known.refused.get(turn, 0), self._rules)
        if isinstance(answer, Deny):
            known.refused[turn] = known.refused.get(turn, 0) + 1
            self.out.append(Used(known.view.run, known.view.token, "stop", denied=answer.reason))
        return waiting.dialect.answer(HookEvent.stop, answer)


def _used(view: RunView, asked: Asked, denied: str = "") -> Used:
    """For the record; what is no text becomes visible in it."""
    tool, target, why = (_text(one) for one in (asked.tool[:120], asked.target, denied))
    return Used(view.run, view.token, tool, target, asked.took_ms, asked.failed, why)


def _text(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


def _refused(event: HookEvent, reason: str) -> Answer:
    return Deny(reason) if event is HookEvent.pre_tool else Allow()


dialect_of = lru_cache(maxsize=64)(load_dialect)


def wall_ms() -> int:
    """This machine's clock, which leases are measured by."""
    return time.time_ns() // 1_000_000


__all__ = ["Gate", "Lacks", "Waiting", "dialect_of", "wall_ms"]
