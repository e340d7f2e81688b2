"""From the raw fields of a plan, in whichever format it was written, to its items."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from typing import TypedDict

import msgspec
from msgspec import Struct

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Budget, Hold, ItemSpec, Lane, LeaseMode, Rung
from ganger.core.patterns import Pattern, covers, parse, scope_fault
from ganger.plans import values
from ganger.plans.checks import NOTHING, ChecksReader
from ganger.plans.draft import Draft, Fields, Table, nested
from ganger.plans.port import Fault, Faults, Known, Plan, PlanItem, Severity
from ganger.plans.values import HOUR_MS, SECOND_MS, USD_MICROS, Unfit, usd_text
from ganger.plans.wording import listed, shown

PLAN_FIELDS = ("id", "title", "checks", "target")
ITEM_FIELDS = (
    *("id", "title", "brief", "acceptance", "not_in_scope", "scope", "lane", "large", "after", "checks", "kind"),
    *("agent", "priority", "hold", "rung", "mode", "budget", "target", "witness", "tests", "changes"),
    "start_on",
)
BUDGET_FIELDS = ("usd_max", "tokens_max", "attempts_max", "wall_max", "silence_max")

RUNGS = (Rung.committed, Rung.in_scope, Rung.checked, Rung.witnessed)
"""What an item may ask for."""
ATTEMPTS = (1, 100)
WALL_MS = (SECOND_MS, 7 * 24 * HOUR_MS)
SILENCE_MS = (SECOND_MS, 24 * HOUR_MS)
PRIORITY = (-1_000_000, 1_000_000)
TOKENS = (1, 10**15)
USD_MICROS_MIN = USD_MICROS // 100
"""The smallest amount that can be a limit: a cent."""


class Made(Struct, frozen=True):
    """The items of a draft, as far as they could be made, with what the judgements need to point at them."""

    id: PlanId
    title: str
    items: tuple[PlanItem, ...]
    tables: tuple[Table, ...]
    """Of each item, in the same order."""
    is_tracker: bool = False
    left_out: frozenset[str] = frozenset()
    """Ids of items of a tracker that could not be made."""

    def without(self, numbers: set[int]) -> Made:
        """Leave out the items at these positions."""
        kept = [number for number in range(len(self.items)) if number not in numbers]
        items, tables = (tuple(one[number] for number in kept) for one in (self.items, self.tables))
        out = self.left_out | {self.items[number].spec.id for number in numbers}
        return msgspec.structs.replace(self, items=items, tables=tables, left_out=out)


def build(draft: Draft, known: Known, faults: Faults) -> Made:
    """Make the items that a draft describes; a field with a fault is replaced by its default.

    An item of a tracker that has a fault is left out instead.
    """
    head = Fields(draft.plan, "plan", faults)
    head.refuse_unknown(PLAN_FIELDS)
    plan_id = PlanId(head.required("id", values.name, "", 'as in id = "auth"'))
    title = head.take("title", values.title, str(plan_id))
    _refuse_other_target(head, known)
    checks = ChecksReader(known, faults, draft.is_tracker)
    checks.default = checks.read(draft.plan, "plan") if "checks" in draft.plan.fields else None
    if not draft.items and not draft.is_tracker:
        faults.error(draft.plan.line, "the plan has no items")
    out: set[int] = set()
    items = []
    for number, table in enumerate(draft.items):
        before = len(faults.found)
        items.append(_item(number + 1, table, plan_id, checks, known, faults))
        if draft.is_tracker and _leave_out(faults, before):
            out.add(number)
    return Made(plan_id, title, tuple(items), draft.items, draft.is_tracker).without(out)


def _leave_out(faults: Faults, before: int) -> bool:
    """Turn the faults of an item, those behind the first `before`, into reasons to leave it out; False without any."""
    own: list[Fault] = faults.found[before:]
    errors = [fault for fault in own if fault.severity is Severity.error]
    if errors:
        del faults.found[before:]
        for fault in errors:
            faults.leave_out(fault.line, fault.message, fault.hint)
    return bool(errors)


def plan_of(made: Made, draft: Draft, faults: Faults) -> Plan:
    """Make the plan of the items that are left."""
    still_open = set(draft.still_open)
    open_items = tuple(item.spec.id for item in made.items if item.spec.id in still_open)
    rows = faults.listed_rows()
    meaning: list[object] = [made.id, made.title, [[item.spec, item.brief] for item in made.items]]
    if rows or open_items:
        meaning += [rows, open_items]
    digest = hashlib.sha256(msgspec.json.encode(meaning)).hexdigest()
    return Plan(made.id, made.title, faults.path, made.items, digest, rows, open_items)


def item_label(spec: ItemSpec, number: int) -> str:
    """Name an item in a message: by its id, or by its number when it has none."""
    return f"item {shown(spec.id)}" if spec.id else f"item {number}"


def _item(number: int, table: Table, plan: PlanId, checks: ChecksReader, known: Known, faults: Faults) -> PlanItem:
    raw_id = table.fields["id"].value if "id" in table.fields else ""
    where = f"item {shown(raw_id)}" if isinstance(raw_id, str) and raw_id else f"item {number}"
    take = Fields(table, where, faults)
    take.refuse_unknown(ITEM_FIELDS)
    lane, kind = _lane(take, known), take.take("kind", values.name, "patcher")
    reads = kind in known.reading
    mode = LeaseMode.shared if reads else LeaseMode.exclusive
    asked = take.take("rung", rung, known.rung)
    spec = ItemSpec(
        id=ItemId(take.required("id", values.name, "", "an item needs one, of letters, digits, `-` and `_`")),
        plan=plan,
        title=take.required("title", values.title, "", "one line that says what is wanted"),
        scope=_scope(take, lane, known),
        after=tuple(ItemId(name) for name in take.take("after", values.texts, NOTHING)),
        checks=checks.of_item(table, where),
        agent=_agent(take, known, kind),
        kind=kind,
        priority=take.take("priority", values.integer(*PRIORITY), 100),
        rung=asked,
        mode=LeaseMode(take.take("mode", values.choice(*LeaseMode), mode.value)),
        hold=take.take("hold", _hold, None),
        witness=take.take("witness", values.flag, False) or asked is Rung.witnessed,
        tests=take.take("tests", values.choice("kept", "may_change"), "kept"),
        start_on=take.take("start_on", values.choice("landed", "accepted"), known.start_on),
        changes=take.take("changes", values.choice("behaviour", "words"), "behaviour"),
        lane=lane.name if lane else "",
        reads=reads,
        **_limits(take, known, known.budgets.get(kind, Budget())),
    )
    take.take("large", values.flag, False)
    _refuse_other_target(take, known)
    return PlanItem(spec, _brief(take), table.line)


def _refuse_other_target(take: Fields, known: Known) -> None:
    """Refuse what is meant for another branch than the one that this fleet's landings move."""
    wanted = take.take("target", values.text, "")
    if wanted and known.target and wanted != known.target:
        message = f"{take.where}: `target` is {shown(wanted)}, and this fleet lands on {shown(known.target)}"
        hint = "a fleet has one target: say --target, or give that branch a fleet of its own with --state-dir"
        take.faults.error(take.table.fields["target"].line, message, hint)


def _brief(take: Fields) -> str:
    """Give the brief, byte for byte, with what is said beside it behind it."""
    brief = take.take("brief", values.passable, "")
    acceptance, excluded = take.take("acceptance", _points, ""), take.take("not_in_scope", _points, "")
    sections = (("Accepted when:", acceptance), ("Not to be done here:", excluded))
    return "\n\n".join([*([brief] if brief else []), *(f"{title}\n\n{text}" for title, text in sections if text)])


def _points(value: object) -> str:
    """Take a text, or a list of texts as a list in Markdown."""
    points = [f"- {one}" for one in values.texts(value)] if isinstance(value, list) else [values.text(value)]
    text = values.passable("\n".join(points))
    if not text.strip():
        raise Unfit("is empty")
    return text


def rung(value: object) -> Rung:
    """Take the label of a rung that an item may ask for."""
    label = values.text(value)
    try:
        asked = Rung.parse(label)
    except ValueError:
        values.choice(*(one.label for one in RUNGS))(label)
        raise
    if asked is Rung.reviewed:
        raise Unfit(f"{shown(label)} is not in force in this version of ganger", f"the highest is `{RUNGS[-1].label}`")
    if asked not in RUNGS:
        raise Unfit(f"cannot be {shown(label)}", f"one of {listed(one.label for one in RUNGS)}")
    return asked


def _lane(take: Fields, known: Known) -> Lane | None:
    name = take.take("lane", values.name, "")
    if name and name not in known.lanes:
        hint = take.faults.suggest(name, known.lanes) or f"known: {listed(known.lanes) or 'none'}"
        line = take.table.fields["lane"].line
        take.faults.error(line, f"{take.where}: there is no lane {shown(name)} in ganger.toml", hint)
    return known.lanes.get(name)


def _scope(take: Fields, lane: Lane | None, known: Known) -> tuple[str, ...]:
    hint = 'name the files it may change, as in scope = ["src/auth/**"]; ["**"] is everything'
    if "lane" in take.table.fields and take.table.lacks("scope"):
        return lane.paths if lane else NOTHING
    scope = take.required("scope", values.texts, NOTHING, hint)
    field = take.table.fields.get("scope")
    if field is None:
        return scope
    if field.value == []:
        take.faults.error(field.line, f"{take.where}: `scope` is empty, so no change could be accepted", hint)
    for index, pattern in enumerate(scope):
        if fault := scope_fault(pattern, known.rules):
            take.faults.error(field.line_of(index), f"{take.where}: scope: {fault}")
        elif lane and not _is_within(pattern, lane, known):
            message = f"{take.where}: scope {shown(pattern)} reaches out of the lane {shown(lane.name)}"
            take.faults.error(field.line_of(index), message, f"its paths are {listed(lane.paths)}")
    return scope


def _is_within(pattern: str, lane: Lane, known: Known) -> bool:
    """Whether every path of a pattern is one of the lane's."""
    paths = [parse(text, known.rules) for text in lane.paths]
    # No pattern holds a line break, so no other pattern has this text.
    whole = Pattern("\n".join(lane.paths), known.rules, tuple(branch for path in paths for branch in path.branches))
    return covers(whole, parse(pattern, known.rules))


def _agent(take: Fields, known: Known, kind: str) -> str:
    agent = take.take("agent", values.name, known.agents_of.get(kind, known.default_agent))
    field = take.table.fields.get("agent")
    if field is not None and field.value == agent and agent not in known.agents:
        hint = take.faults.suggest(agent, known.agents) or f"known: {listed(sorted(known.agents)) or 'none'}"
        take.faults.error(field.line, f"{take.where}: there is no agent {shown(agent)} in ganger.toml", hint)
    return agent


def _hold(value: object) -> Hold | None:
    if not isinstance(value, dict):
        return Hold(values.choice("draft", "operator")(value))
    if set(value) != {"until"}:
        raise Unfit(f"cannot be a table with {listed(value) or 'nothing'}", "write { until = 2026-12-01T00:00:00Z }")
    until = value["until"]
    if not isinstance(until, datetime.datetime) or until.tzinfo is None:
        raise Unfit("`until` must be a date and time with its offset", "write { until = 2026-12-01T00:00:00Z }")
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return Hold("until", max(0, (until - epoch) // datetime.timedelta(milliseconds=1)))


class _Limits(TypedDict):
    budget: Budget
    attempts_max: int
    wall_max_ms: int
    silence_max_ms: int


def _limits(take: Fields, known: Known, of_kind: Budget) -> _Limits:
    table = nested(take.table, "budget")
    if table is None:
        take.take("budget", _table, None)
        table = Table({}, take.table.line)
    inner = Fields(table, f"{take.where}: budget", take.faults)
    inner.refuse_unknown(BUDGET_FIELDS, "budget.")
    usd_micros = inner.take("usd_max", values.usd(USD_MICROS_MIN), _first(of_kind.usd_micros, known.budget.usd_micros))
    tokens = inner.take("tokens_max", values.integer(*TOKENS), _first(of_kind.tokens, known.budget.tokens))
    _warn_dead(inner, "usd_max", usd_micros, known.fleet_budget.usd_micros, usd_text)
    _warn_dead(inner, "tokens_max", tokens, known.fleet_budget.tokens, "{:,}".format)
    return {
        "budget": Budget(usd_micros, tokens),
        "attempts_max": inner.take("attempts_max", values.integer(*ATTEMPTS), known.attempts_max),
        "wall_max_ms": inner.take("wall_max", values.duration(*WALL_MS), known.wall_max_ms),
        "silence_max_ms": inner.take("silence_max", values.duration(*SILENCE_MS), known.silence_max_ms),
    }


def _first(own: int | None, otherwise: int | None) -> int | None:
    return otherwise if own is None else own


def _warn_dead(take: Fields, name: str, own: int | None, fleet: int | None, text: Callable[[int], str]) -> None:
    """Warn of an item's limit that the fleet's is reached before."""
    field = take.table.fields.get(name)
    if field is not None and own is not None and fleet is not None and own > fleet:
        message = (
            f"{take.where}: `{name}` ({text(own)}) has no effect: `budget.{name}` ({text(fleet)}) is reached first"
        )
        take.faults.warning(field.line, message, "lower it, or raise the other in ganger.toml")


def _table(value: object) -> None:
    """Refuse what is no table."""
    if not isinstance(value, dict):
        raise Unfit(f"must be a table, not {shown(value)}", 'as in { attempts_max = 3, wall_max = "45m" }')
