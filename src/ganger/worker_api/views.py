"""What the supervisor tells its gate, what the gate tells back, and how a client's question is framed."""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec
from msgspec import Struct

from ganger.core.ids import RunId, Seq, Token
from ganger.core.model import Lease, Writes
from ganger.core.patterns import PathRules
from ganger.drivers.hooks import DIALECTS, HookEvent, LookupRule, ProvenanceRule

SOCKET = "gate"
"""In the folder of a run's door: another name of the one socket on which the gate answers."""
VIEW = "gate.json"
"""In the folder of a run: its view without its secret, for hooks that the gate cannot answer."""
RULES = "gate-rules.json"
"""Beside it: the rules; one file, with a name in the folder of every run."""
HEADER_BYTES_MAX = 1_024
_HEADER = re.compile(
    rb"ganger-hook 1 (?P<event>[a-z-]{1,20}) (?P<agent>[a-z]{1,20}) (?P<run>[\x21-\x7e]{1,200}) "
    rb"(?P<token>[0-9]{1,19}) (?P<secret>[0-9a-f]{1,128}) (?P<nonce>[0-9a-f]{32}) (?P<length>[0-9]{1,12})\n"
)


_EVENTS = frozenset(event.value for event in HookEvent)


class Rules(Struct, frozen=True):
    """What holds for all runs of a fleet."""

    paths: PathRules = PathRules()
    protected: tuple[str, ...] = ()
    stop_refusals_max: int = 2
    """How often one turn is kept from ending without evidence."""
    provenance: tuple[ProvenanceRule, ...] = ()
    lookups: tuple[LookupRule, ...] = ()
    tests: tuple[str, ...] = ()
    """Patterns of test files."""


class RunView(Struct, frozen=True):
    """What the gate knows of one live run."""

    run: RunId
    token: Token
    secret: str
    workspace: str
    lease: Lease
    turn: int = 0
    places: tuple[str, ...] = ()
    """Where else its worker may write: its home, its temporary files."""
    changes: bool = True
    """Whether it is asked for a change, which must be committed."""
    writes: Writes = Writes.scope
    """What of its scope it may write."""
    must_report: bool = True
    """Whether a word is expected of it besides its exit status."""
    report: str = ""
    """What it has said: an outcome, `failed`, `asked`; empty for nothing yet."""
    context: str = ""
    """What a conversation of it is told at its start."""
    notices: tuple[str, ...] = ()
    """News, each told once."""
    known: str = ""
    """What it was told: its brief."""
    mail: Seq = Seq(0)
    """The number of the newest message that it is to be told while it works; 0 for none."""


# ── supervisor to gate ───────────────────────────────────────────────────────────────────────────────────────────


class SetRules(Struct, frozen=True, tag=True):
    """These rules hold from here on."""

    rules: Rules


class SetRun(Struct, frozen=True, tag=True):
    """A run is as this says."""

    view: RunView


class DropRun(Struct, frozen=True, tag=True):
    """A run is live no more."""

    run: RunId


class Lacks(Struct, frozen=True, tag=True):
    """What a run lacks to end its turn, a sentence each; none: it may."""

    ask: int
    lacks: tuple[str, ...]


class News(Struct, frozen=True, tag=True):
    """What a worker is to be told, claimed for it; empty: nothing."""

    ask: int
    run: RunId
    text: str = ""
    messages: tuple[Seq, ...] = ()


class Settled(Struct, frozen=True, tag=True):
    """Asks for a `Settled` back: everything sent before holds then."""

    number: int


Down: TypeAlias = SetRules | SetRun | DropRun | Lacks | News | Settled

# ── gate to supervisor ───────────────────────────────────────────────────────────────────────────────────────────


class Used(Struct, frozen=True, tag=True):
    """A tool was used, or denied."""

    run: RunId
    token: Token
    tool: str
    target: str = ""
    took_ms: int = 0
    failed: bool = False
    denied: str = ""
    """Why it was; empty when it was not."""


class Asking(Struct, frozen=True, tag=True):
    """The hooks of a turn asked whether a tool may be used, whatever they were answered."""

    run: RunId
    token: Token
    turn: int


class AskLacks(Struct, frozen=True, tag=True):
    """What does a run lack to end its turn?"""

    ask: int
    run: RunId


class AskNews(Struct, frozen=True, tag=True):
    """The worker of a turn can be told something now: what waits for it?"""

    ask: int
    run: RunId
    token: Token
    turn: int


class Heard(Struct, frozen=True, tag=True):
    """A worker went on after it had been told these."""

    run: RunId
    token: Token
    messages: tuple[Seq, ...]


Up: TypeAlias = Used | Asking | AskLacks | AskNews | Heard | Settled

encode = msgspec.json.Encoder().encode
decode_down = msgspec.json.Decoder(Down).decode
decode_up = msgspec.json.Decoder(Up).decode
decode_view = msgspec.json.Decoder(RunView).decode
decode_rules = msgspec.json.Decoder(Rules).decode

# ── client to gate ───────────────────────────────────────────────────────────────────────────────────────────────


class Header(Struct, frozen=True):
    """The first line of a question; the payload follows, as many bytes as it says."""

    event: HookEvent
    agent: str
    run: str
    token: int
    secret: str
    nonce: str
    length: int


def read_header(line: bytes) -> Header | None:
    """Read a first line with its end; None when it is none."""
    found = _HEADER.fullmatch(line)
    if found is None:
        return None
    text = {name: value.decode() for name, value in found.groupdict().items()}
    if text["event"] not in _EVENTS or text["agent"] not in DIALECTS:
        return None
    return Header(
        HookEvent(text["event"]),
        text["agent"],
        text["run"],
        int(text["token"]),
        text["secret"],
        text["nonce"],
        int(text["length"]),
    )


def write_header(header: Header) -> bytes:
    """Write a first line."""
    words = (header.event, header.agent, header.run, header.token, header.secret, header.nonce, header.length)
    return f"ganger-hook 1 {' '.join(map(str, words))}\n".encode()


def frame_answer(text: bytes) -> bytes:
    """An answer on the wire: its length on a line, so that a client knows a whole one from a part."""
    return b"%d\n%b" % (len(text), text)
