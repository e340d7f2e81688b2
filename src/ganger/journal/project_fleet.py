"""What entries about the fleet as a whole write into the tables: held leases, breakers, providers, supervisors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apsw

from ganger.core import events as ev
from ganger.core.ids import lease_id
from ganger.journal.project_plans import text


def _lease_granted(db: apsw.Connection, entry: ev.Entry, event: ev.LeaseGranted) -> None:
    db.execute(
        "INSERT INTO leases (id,holder,lane,scope,mode,alone,token,granted_ms,expires_ms,forced_by)"
        " VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            *(lease_id(entry.seq), event.holder, event.lane, text(event.scope), event.mode.value, event.alone),
            *(entry.seq, entry.at_ms, event.expires_ms, event.forced_by),
        ),
    )


def _lease_extended(db: apsw.Connection, entry: ev.Entry, event: ev.LeaseExtended) -> None:
    db.execute("UPDATE leases SET expires_ms=? WHERE id=?", (event.expires_ms, event.lease))


def _lease_ended(db: apsw.Connection, entry: ev.Entry, event: ev.LeaseEnded) -> None:
    db.execute("UPDATE leases SET ended_ms=?, reason=? WHERE id=?", (entry.at_ms, event.reason, event.lease))


def _breaker_opened(db: apsw.Connection, entry: ev.Entry, event: ev.BreakerOpened) -> None:
    db.execute(
        "INSERT OR REPLACE INTO breakers (key,reason,opened_ms,until_ms,launch) VALUES (?,?,?,?,?)",
        (event.key, event.reason, entry.at_ms, event.until_ms, event.launch),
    )


def _breaker_closed(db: apsw.Connection, entry: ev.Entry, event: ev.BreakerClosed) -> None:
    db.execute("UPDATE breakers SET closed_ms=? WHERE key=?", (entry.at_ms, event.key))


def _provider_limited(db: apsw.Connection, entry: ev.Entry, event: ev.ProviderLimited) -> None:
    """Keep the window that closes last, as the state does."""
    db.execute(
        "INSERT INTO windows VALUES (?,?,?,?,?) ON CONFLICT (provider) DO UPDATE SET until_ms=excluded.until_ms,"
        " reason=excluded.reason, run=excluded.run, at_ms=excluded.at_ms WHERE excluded.until_ms > until_ms",
        (event.provider, event.until_ms, event.reason, event.run, entry.at_ms),
    )


def _forbade(db: apsw.Connection, entry: ev.Entry, event: ev.Forbade) -> None:
    db.execute(
        "INSERT INTO forbidden VALUES (?,?,?,?,?,?)",
        (entry.seq, entry.at_ms, event.actor, event.what, event.reason, event.run),
    )


def _supervisor_started(db: apsw.Connection, entry: ev.Entry, event: ev.SupervisorStarted) -> None:
    db.execute(
        "INSERT INTO supervisors (seq,pid,host,version,started_ms) VALUES (?,?,?,?,?)",
        (entry.seq, event.pid, event.host, event.version, entry.at_ms),
    )


def _supervisor_stopped(db: apsw.Connection, entry: ev.Entry, event: ev.SupervisorStopped) -> None:
    db.execute(
        "UPDATE supervisors SET stopped_ms=?, reason=?"
        " WHERE seq=(SELECT max(seq) FROM supervisors WHERE pid=? AND stopped_ms=0)",
        (entry.at_ms, event.reason, event.pid),
    )


PROJECT: dict[type, Callable[[apsw.Connection, ev.Entry, Any], None]] = {
    ev.LeaseGranted: _lease_granted,
    ev.LeaseExtended: _lease_extended,
    ev.LeaseEnded: _lease_ended,
    ev.BreakerOpened: _breaker_opened,
    ev.BreakerClosed: _breaker_closed,
    ev.ProviderLimited: _provider_limited,
    ev.Forbade: _forbade,
    ev.SupervisorStarted: _supervisor_started,
    ev.SupervisorStopped: _supervisor_stopped,
}
