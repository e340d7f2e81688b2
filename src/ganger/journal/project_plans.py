"""What entries about plans, items and schedules write into the tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw
import msgspec

from ganger.core import events as ev

_json = msgspec.json.Encoder().encode


def text(value: Any) -> str:
    """A value as a column of JSON holds it."""
    return _json(value).decode()


def _plan_added(db: apsw.Connection, entry: ev.Entry, event: ev.PlanAdded) -> None:
    db.execute(
        "INSERT INTO plans (id,title,path,digest,unreadable,still_open) VALUES (?,?,?,?,?,?)"
        " ON CONFLICT (id) DO UPDATE SET title=excluded.title, path=excluded.path, digest=excluded.digest,"
        " unreadable=excluded.unreadable, still_open=excluded.still_open",
        (event.plan, event.title, event.path, event.digest, text(event.unreadable), text(event.still_open)),
    )


def _item_added(db: apsw.Connection, entry: ev.Entry, event: ev.ItemAdded | ev.ItemRevised) -> None:
    spec = event.spec
    db.execute(
        "INSERT INTO items (id,plan,seq,title,brief,spec,priority,parent) VALUES (?,?,?,?,?,?,?,?)"
        " ON CONFLICT (id) DO UPDATE SET plan=excluded.plan, title=excluded.title, brief=excluded.brief,"
        " spec=excluded.spec, priority=excluded.priority, parent=excluded.parent",
        (spec.id, spec.plan, entry.seq, spec.title, event.brief, text(spec), spec.priority, spec.parent),
    )


def _item_waited(db: apsw.Connection, entry: ev.Entry, event: ev.ItemWaited) -> None:
    db.execute(
        "INSERT INTO waits VALUES (?,?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.item, event.code.value, event.reason, event.holder, event.again_ms),
    )


def _schedule_set(db: apsw.Connection, entry: ev.Entry, event: ev.ScheduleSet) -> None:
    db.execute(
        "INSERT INTO schedules (name,path,every_ms,next_ms) VALUES (?,?,?,?) ON CONFLICT (name) DO UPDATE SET"
        " path=excluded.path, every_ms=excluded.every_ms, next_ms=excluded.next_ms, dropped_ms=0",
        (event.name, event.path, event.every_ms, event.next_ms),
    )


def _schedule_fired(db: apsw.Connection, entry: ev.Entry, event: ev.ScheduleFired) -> None:
    """Note a firing; one without a next time was the last."""
    dropped_ms = 0 if event.next_ms else entry.at_ms
    db.execute(
        "UPDATE schedules SET fired_ms=?, outcome=?, next_ms=?, dropped_ms=? WHERE name=?",
        (entry.at_ms, event.outcome, event.next_ms, dropped_ms, event.name),
    )


def _schedule_dropped(db: apsw.Connection, entry: ev.Entry, event: ev.ScheduleDropped) -> None:
    db.execute("DELETE FROM schedules WHERE name=? AND next_ms=0", (event.name,))
    db.execute("UPDATE schedules SET dropped_ms=? WHERE name=?", (entry.at_ms, event.name))


PROJECT: dict[type, Callable[[apsw.Connection, ev.Entry, Any], None]] = {
    ev.PlanAdded: _plan_added,
    ev.ItemAdded: _item_added,
    ev.ItemRevised: _item_added,
    ev.ItemWaited: _item_waited,
    ev.ScheduleSet: _schedule_set,
    ev.ScheduleFired: _schedule_fired,
    ev.ScheduleDropped: _schedule_dropped,
}
