"""Reads the tracker beads: what `bd export` writes, or `.beads/issues.jsonl`; a bead in JSON on each line.

A bead that is open becomes an item of the plan `beads`. Its id stays (`beads_ids`), so that neither another title nor
another file makes it another item. Closed beads are not offered; those in any state but `open` wait for a person.
What a bead does not hold comes from labels and texts:

    scope     labels `scope:PATTERN`, or a line `Scope: …` or a section `## Scope` of its description or design
    lane      a label `lane:NAME`, or a line `Lane: …`
    checks    labels `check:NAME`; without one, all checks of ganger.toml
    agent, kind, rung, mode    a label `agent:NAME` and so on
    large     a label `large`

Dependencies of the type `blocks` (and `waits-for`) order the items. A bead with others below it (`parent-child`, or ids
like `bd-1.2`) is no item: who waits for it waits for all below it, and all below it wait for what it waits for.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field

from ganger.core.ids import ItemId
from ganger.errors import ConfigError
from ganger.plans import beads_text
from ganger.plans.beads_ids import item_id
from ganger.plans.draft import Draft, Table, table_of
from ganger.plans.port import Faults, Known
from ganger.plans.source import read_bytes
from ganger.plans.values import TITLE_CHARS_MAX, Unfit
from ganger.plans.wording import harmless, listed, shown

BEADS_BYTES_MAX = 64 * 1024 * 1024
PLAN_ID = "beads"
"""Always the same, whatever the file is called: the ids of its items are per fleet."""
DONE = frozenset({"closed", "tombstone"})
CONTAINERS = frozenset({"epic", "molecule"})
NO_WORK = frozenset({"message", "event", "gate", "merge-request", "agent", "role", "rig", "convoy", "slot"})
"""Kinds of beads that hold no change to be made."""
ORDERING = frozenset({"blocks", "waits-for"})
UNDECIDABLE = frozenset({"conditional-blocks"})
"""Waits for the other to fail, which is not for ganger to see."""
PRIORITY_BEST, PRIORITY_STEP = 60, 20
"""P0 becomes 60 and P4 140, so that P2, which beads gives to whoever says nothing, is the 100 of other plans."""
LISTED_MAX = 20
AFTER_MAX = 500
"""Most items that one waits for; an epic of more cannot be waited for."""
ABOVE_MAX = 50
"""Containers without work below them that are looked through for what one bead waits for."""
STEPS_MAX = 2_000_000
"""Steps up and down the hierarchy; beads that would take more are left out."""
_SINGLE_LABELS = ("lane", "agent", "kind", "rung", "mode")
_LIST_LABELS = {"scope": "scope", "check": "checks"}
_MESSAGE_CHARS_MAX = 160


class Dependency(Struct, frozen=True):
    """That a bead has to do with another."""

    depends_on_id: str
    type: str = "blocks"


class Bead(Struct, frozen=True):
    """What is read of a line; beads writes more."""

    id: str
    title: str = ""
    description: str | None = None
    design: str | None = None
    acceptance_criteria: str | None = None
    notes: str | None = None
    status: str = "open"
    priority: int = 2
    issue_type: str = "task"
    labels: list[str] | None = None
    dependencies: list[Dependency] | None = None
    external_ref: str | None = None
    defer_until: datetime.datetime | None = None
    is_template: bool = False
    record: str = field(name="_type", default="issue")
    line: int = field(name="ganger line", default=0)
    """Where it stands in the file, from 1."""

    @property
    def is_done(self) -> bool:
        """Whether the tracker says that nothing is left to do."""
        return self.status in DONE

    @property
    def is_work(self) -> bool:
        """Whether it is a bead that somebody could do."""
        return self.record == "issue" and self.issue_type not in NO_WORK and not self.is_template


class BeadsSource:
    """Files whose name ends in `.jsonl`."""

    name = "beads"

    def reads(self, path: Path) -> bool:
        """Decide by the ending."""
        return path.suffix == ".jsonl"

    def read(self, path: Path, known: Known, faults: Faults) -> Draft | None:
        """Read the file."""
        return read(read_bytes(path, BEADS_BYTES_MAX), known, faults)


def read(data: bytes, known: Known, faults: Faults) -> Draft | None:
    """Make a draft of the open beads; whatever cannot be one is left out, each with its reason."""
    beads = list(_lines(data, faults))
    if not beads:
        raise ConfigError("holds no beads", "write it with bd export")
    tracker = Tracker(beads)
    work = [bead for bead in beads if not bead.is_done and bead.is_work and not tracker.is_container(bead.id)]
    tables = [table for bead in work if (table := _table(bead, tracker, known, faults))]
    _tell(beads, work, tracker, faults)
    plan: dict[str, object] = {"id": PLAN_ID, "title": "Beads"}
    if known.default_checks:
        plan["checks"] = list(known.default_checks)
    still_open = tuple(item_id(bead.id) for bead in work)
    return Draft(table_of(plan, 1), tuple(tables), is_tracker=True, still_open=still_open)


def _lines(data: bytes, faults: Faults) -> Iterator[Bead]:
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            bead = msgspec.json.decode(line, type=Bead)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            message = harmless(str(error))[:_MESSAGE_CHARS_MAX]
            faults.leave_out(number, f"the line is no bead: {message}")
        else:
            yield msgspec.structs.replace(bead, line=number)


class Tracker:
    """The beads of a file and how they hang together."""

    def __init__(self, beads: Iterable[Bead]) -> None:
        self.beads: dict[str, Bead] = {}
        for bead in beads:
            self.beads.setdefault(bead.id, bead)
        self.met: list[tuple[Bead, str]] = []
        """Beads with what they wait for only until the tracker calls it closed."""
        self._steps_left = STEPS_MAX
        self._below: dict[str, list[str] | None] = {}
        self._parents: dict[str, list[str]] = {}
        self._children: dict[str, list[str]] = {}
        for bead in self.beads.values():
            for parent in self._parents_of(bead):
                self._parents.setdefault(bead.id, []).append(parent)
                self._children.setdefault(parent, []).append(bead.id)

    def is_container(self, bead: str) -> bool:
        """Whether it only holds others together."""
        return bead in self._children or self.beads[bead].issue_type in CONTAINERS

    def is_unusual_container(self, bead: str) -> bool:
        """Whether it holds others together although it is of a kind that can be done."""
        return bead in self._children and self.beads[bead].issue_type not in CONTAINERS

    def waits_for(self, bead: Bead, known: Known) -> list[str]:
        """List the ids of the items that a bead waits for; Unfit says why nobody can wait for one of them."""
        wanted: dict[str, None] = {}
        for one in self._reached(bead.id, self._parents):
            for dependency in self._open_dependencies(one):
                if dependency.type in UNDECIDABLE:
                    raise Unfit(
                        f"waits for {shown(dependency.depends_on_id)} by {shown(dependency.type)}", "only a person can"
                    )
                if dependency.type in ORDERING:
                    wanted |= dict.fromkeys(self._items_of(bead, dependency.depends_on_id, known, set()))
        _refuse_too_many(wanted)
        return list(wanted)

    def _open_dependencies(self, bead: str) -> list[Dependency]:
        one = self.beads[bead]
        return [] if one.is_done else one.dependencies or []

    def _items_of(self, bead: Bead, wanted: str, known: Known, above: set[str]) -> Iterator[str]:
        """Give the items that a bead waits for when it waits for another; `above` are containers looked into so far."""
        other = self.beads.get(wanted)
        if other is None:
            if known.other_items.get(ItemId(item_id(wanted)), PLAN_ID) == PLAN_ID:
                raise Unfit(f"waits for {shown(wanted)}, which is not in the file", "export it too, or take it out")
            yield item_id(wanted)
        elif other.is_done:
            self.met.append((bead, wanted))
        elif not other.is_work:
            raise Unfit(
                f"waits for {shown(wanted)}, which is of the kind {shown(other.issue_type)}", "only a person can"
            )
        elif not self.is_container(wanted):
            yield item_id(wanted)
        else:
            still_open = self._open_below(wanted)
            if still_open is None:
                yield from self._instead_of(bead, wanted, known, above)
                return
            _refuse_too_many(still_open)
            yield from (item_id(one) for one in still_open if one != bead.id)
            if not still_open:
                self.met.append((bead, wanted))

    def _instead_of(self, bead: Bead, container: str, known: Known, above: set[str]) -> Iterator[str]:
        """Give what a container without work below it waits for itself: many write down its parts in that way."""
        parts = [one.depends_on_id for one in self._open_dependencies(container) if one.type in ORDERING]
        if not parts or container in above or len(above) >= ABOVE_MAX:
            message = f"waits for {shown(container)}, which has no work below it"
            raise Unfit(message, "close it, or put beads below it")
        above.add(container)
        for part in parts:
            yield from self._items_of(bead, part, known, above)

    def _open_below(self, container: str) -> list[str] | None:
        """List the open work below a container; None when there never was any."""
        if container not in self._below:
            below = self._reached(container, self._children)[1:]
            work = [one for one in below if self.beads[one].is_work and not self.is_container(one)]
            self._below[container] = [one for one in work if not self.beads[one].is_done] if work else None
        return self._below[container]

    def _parents_of(self, bead: Bead) -> list[str]:
        named = [one.depends_on_id for one in bead.dependencies or () if one.type == "parent-child"]
        by_id = bead.id.rpartition(".")[0]
        return [one for one in dict.fromkeys([*named, by_id]) if one in self.beads and one != bead.id]

    def _reached(self, start: str, edges: Mapping[str, list[str]]) -> list[str]:
        """List what can be reached, the start first, each once: hierarchies of hand-made files may be circular."""
        found = {start}
        queue = [start]
        for one in queue:
            for other in edges.get(one, ()):
                if other not in found:
                    found.add(other)
                    queue.append(other)
        self._steps_left -= len(queue)
        if self._steps_left < 0:
            raise Unfit("hangs in a hierarchy that is too large to be followed", "cut it up")
        return queue


def _refuse_too_many(wanted: Collection[str]) -> None:
    if len(wanted) > AFTER_MAX:
        message = f"waits for {len(wanted):,} others, the most is {AFTER_MAX:,}"
        raise Unfit(message, "wait for fewer, or for the last of them")


def _table(bead: Bead, tracker: Tracker, known: Known, faults: Faults) -> Table | None:
    """Make the raw fields of an item; None for a bead that is left out."""
    try:
        values = {**_labels(bead), "id": item_id(bead.id), "title": _title(bead), "brief": _brief(bead)}
        values["after"] = tracker.waits_for(bead, known)
        values |= _where(bead, values)
    except Unfit as unfit:
        faults.leave_out(bead.line, f"bead {shown(bead.id)} {unfit.message}", unfit.hint)
        return None
    values["priority"] = PRIORITY_BEST + PRIORITY_STEP * bead.priority
    if bead.acceptance_criteria and bead.acceptance_criteria.strip():
        values["acceptance"] = bead.acceptance_criteria.strip()
    if bead.defer_until is not None and bead.status in ("open", "deferred"):
        values["hold"] = {"until": bead.defer_until}
    elif bead.status != "open":
        values["hold"] = "operator"
    return table_of(values, bead.line)


def _labels(bead: Bead) -> dict[str, object]:
    """Read the labels that say something to ganger; all others are the tracker's."""
    values: dict[str, object] = {}
    lists: dict[str, list[str]] = {}
    for label in bead.labels or ():
        word, _, rest = label.partition(":")
        if label == "large":
            values["large"] = True
        elif word in _LIST_LABELS and rest:
            lists.setdefault(_LIST_LABELS[word], []).append(rest.strip())
        elif word in _SINGLE_LABELS and rest:
            if values.get(word, rest.strip()) != rest.strip():
                raise Unfit(f"has two labels that begin with {shown(word + ':')}", "take one out")
            values[word] = rest.strip()
    return {**values, **lists}


def _where(bead: Bead, labelled: Mapping[str, object]) -> dict[str, object]:
    """Find scope and lane in the texts, where no label names them."""
    if "scope" in labelled or "lane" in labelled:
        return {}
    text = f"{bead.description or ''}\n\n{bead.design or ''}"
    found: dict[str, object] = {}
    if scope := beads_text.said(text, "scope"):
        prose = next((one for one in scope if " " in one and f"`{one}`" not in text), "")
        if prose:
            raise Unfit(f"has a scope that is no pattern: {shown(prose)}", "write patterns, in back-quotes")
        found["scope"] = scope
    if lanes := beads_text.said(text, "lane"):
        found["lane"] = lanes[0]
    if not found:
        hint = "add a label scope:PATTERN or lane:NAME, or a line `Scope: PATTERN, …` to its description"
        raise Unfit("has no scope", hint)
    return found


def _title(bead: Bead) -> str:
    title = " ".join(bead.title.split())
    return title if len(title) <= TITLE_CHARS_MAX else title[: TITLE_CHARS_MAX - 1] + "…"


def _brief(bead: Bead) -> str:
    """Give its texts, and at the end what the tracker calls it; empty when it has none."""
    texts = [bead.description or "", *(f"## {title}\n\n{text}" if text else "" for title, text in _sections(bead))]
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        return ""
    origin = f"Bead {bead.id}" + (f", {bead.external_ref}" if bead.external_ref else "")
    return "\n\n".join([*texts, f"({origin})"])


def _sections(bead: Bead) -> tuple[tuple[str, str], ...]:
    return (("Design", (bead.design or "").strip()), ("Notes", (bead.notes or "").strip()))


def _tell(beads: list[Bead], work: list[Bead], tracker: Tracker, faults: Faults) -> None:
    """Warn of what was decided for the user, so that nothing of the file is dropped in silence."""
    for bead, wanted in tracker.met[:LISTED_MAX]:
        message = f"bead {shown(bead.id)} waits for {shown(wanted)}, which counts as met by the tracker's word only"
        faults.warning(bead.line, message)
    if len(tracker.met) > LISTED_MAX:
        more = f"and {len(tracker.met) - LISTED_MAX:,} more dependencies that count as met by the tracker's word"
        faults.warning(tracker.met[LISTED_MAX][0].line, more)
    left = [bead for bead in beads if not bead.is_done]
    _tell_all([one for one in left if not one.is_work], "not made an item, it holds no work", faults)
    parents = [one for one in left if one.is_work and tracker.is_unusual_container(one.id)]
    _tell_all(parents, "not made an item, others are below it", faults)
    _tell_all([one for one in work if item_id(one.id) != one.id], "written otherwise here", faults)


def _tell_all(beads: list[Bead], what: str, faults: Faults) -> None:
    if beads:
        names = listed(bead.id if item_id(bead.id) == bead.id else f"{bead.id} → {item_id(bead.id)}" for bead in beads)
        faults.warning(beads[0].line, f"{what}: {names}")
