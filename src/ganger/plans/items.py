"""From the raw fields of a plan, in whichever format it was written, to its items."""

from __future__ import annotations

import datetime
import hashlib

import msgspec
from msgspec import Struct

from ganger.core.ids import ItemId, PlanId
from ganger.core.model import Hold, ItemSpec, LeaseMode, Rung
from ganger.core.patterns import scope_fault
from ganger.plans import values
from ganger.plans.checks import NOTHING, ChecksReader
from ganger.plans.draft import Draft, Fields, Table, nested
from ganger.plans.port import Faults, Known, Plan, PlanItem
from ganger.plans.values import HOUR_MS, SECOND_MS, Unfit
from ganger.plans.wording import listed, shown

PLAN_FIELDS = ("id", "title", "checks")
ITEM_FIELDS = (
    *("id", "title", "brief", "scope", "after", "checks", "kind", "agent"),
    *("priority", "hold", "rung", "mode", "budget"),
)
BUDGET_FIELDS = ("attempts_max", "wall_max", "silence_max")

RUNGS = (Rung.committed, Rung.in_scope, Rung.checked)
"""What an item may ask for."""
ATTEMPTS = (1, 100)
WALL_MS = (SECOND_MS, 7 * 24 * HOUR_MS)
SILENCE_MS = (SECOND_MS, 24 * HOUR_MS)
PRIORITY = (-1_000_000, 1_000_000)


class Made(Struct, frozen=True):
    """The items of a draft, as far as they could be made, with what lint needs to point at them."""

    plan: Plan
    tables: tuple[Table, ...]
    """Of each item of the plan, in the same order."""


def build(draft: Draft, known: Known, faults: Faults) -> Made:
    """Make the plan that a draft describes; a field with a fault is replaced by its default."""
    head = Fields(draft.plan, "plan", faults)
    head.refuse_unknown(PLAN_FIELDS)
    plan_id = PlanId(head.required("id", values.name, "", 'as in id = "auth"'))
    title = head.take("title", values.title, str(plan_id))
    checks = ChecksReader(known, faults)
    checks.default = checks.read(draft.plan, "plan") if "checks" in draft.plan.fields else None
    items = tuple(_item(n, table, plan_id, checks, known, faults) for n, table in enumerate(draft.items, 1))
    if not items:
        faults.error(draft.plan.line, "the plan has no items")
    digest = _digest(plan_id, title, items)
    return Made(Plan(plan_id, title, faults.path, items, digest), draft.items)


def item_label(spec: ItemSpec, number: int) -> str:
    """Name an item in a message: by its id, or by its number when it has none."""
    return f"item {shown(spec.id)}" if spec.id else f"item {number}"


def _item(number: int, table: Table, plan: PlanId, checks: ChecksReader, known: Known, faults: Faults) -> PlanItem:
    raw_id = table.fields["id"].value if "id" in table.fields else ""
    where = f"item {shown(raw_id)}" if isinstance(raw_id, str) and raw_id else f"item {number}"
    take = Fields(table, where, faults)
    take.refuse_unknown(ITEM_FIELDS)
    spec = ItemSpec(
        id=ItemId(take.required("id", values.name, "", "an item needs one, of letters, digits, `-` and `_`")),
        plan=plan,
        title=take.required("title", values.title, "", "one line that says what is wanted"),
        scope=_scope(take, known),
        after=tuple(ItemId(name) for name in take.take("after", values.texts, NOTHING)),
        checks=checks.of_item(table, where),
        agent=_agent(take, known),
        kind=take.take("kind", values.name, "patcher"),
        priority=take.take("priority", values.integer(*PRIORITY), 100),
        rung=take.take("rung", rung, known.rung),
        mode=LeaseMode(take.take("mode", values.choice(*LeaseMode), LeaseMode.exclusive.value)),
        hold=take.take("hold", _hold, None),
        **_budget(take, known),
    )
    return PlanItem(spec, take.take("brief", values.passable, ""), table.line)


def rung(value: object) -> Rung:
    """Take the label of a rung that an item may ask for."""
    label = values.text(value)
    try:
        asked = Rung.parse(label)
    except ValueError:
        values.choice(*(one.label for one in RUNGS))(label)
        raise
    if asked in (Rung.witnessed, Rung.reviewed):
        raise Unfit(f"{shown(label)} is not in force in this version of ganger", f"the highest is `{RUNGS[-1].label}`")
    if asked not in RUNGS:
        raise Unfit(f"cannot be {shown(label)}", f"one of {listed(one.label for one in RUNGS)}")
    return asked


def _scope(take: Fields, known: Known) -> tuple[str, ...]:
    hint = 'name the files it may change, as in scope = ["src/auth/**"]; ["**"] is everything'
    scope = take.required("scope", values.texts, NOTHING, hint)
    field = take.table.fields.get("scope")
    if field is None:
        return scope
    if field.value == []:
        take.faults.error(field.line, f"{take.where}: `scope` is empty, so no change could be accepted", hint)
    for index, pattern in enumerate(scope):
        if fault := scope_fault(pattern, known.rules):
            take.faults.error(field.line_of(index), f"{take.where}: scope: {fault}")
    return scope


def _agent(take: Fields, known: Known) -> str:
    agent = take.take("agent", values.name, known.default_agent)
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


def _budget(take: Fields, known: Known) -> dict[str, int]:
    budget = nested(take.table, "budget")
    if budget is None:
        take.take("budget", _table, None)
        budget = Table({}, take.table.line)
    inner = Fields(budget, f"{take.where}: budget", take.faults)
    inner.refuse_unknown(BUDGET_FIELDS, "budget.")
    return {
        "attempts_max": inner.take("attempts_max", values.integer(*ATTEMPTS), known.attempts_max),
        "wall_max_ms": inner.take("wall_max", values.duration(*WALL_MS), known.wall_max_ms),
        "silence_max_ms": inner.take("silence_max", values.duration(*SILENCE_MS), known.silence_max_ms),
    }


def _table(value: object) -> None:
    """Refuse what is no table."""
    if not isinstance(value, dict):
        raise Unfit(f"must be a table, not {shown(value)}", 'as in { attempts_max = 3, wall_max = "45m" }')


def _digest(plan: PlanId, title: str, items: tuple[PlanItem, ...]) -> str:
    meaning = msgspec.json.encode([plan, title, [[item.spec, item.brief] for item in items]])
    return hashlib.sha256(meaning).hexdigest()
