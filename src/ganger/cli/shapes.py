"""What each JSON object of the command line holds besides `kind` and `version`: its fields, by kind.

All are of version 1. A field that changes its meaning, or goes, makes it version 2; a new field does not. Times are
milliseconds since the epoch (`…_ms`); a row's fields are those of its struct in `journal.queries`.
"""

from __future__ import annotations

from ganger.journal.queries import ItemRow, RunRow, TrainRow

REPLY = ("accepted", "changed", "seq", "refusal")

SHAPES: dict[str, tuple[str, ...]] = {
    "ganger.admission": ("admitted", "asked", "use", "redirected", "refusal", "seq"),
    "ganger.agents": ("agents",),
    "ganger.agents-install": ("agent", "path", "installed", "changed", "dry"),
    "ganger.attach": ("run", "turn", "tier", "workspace", "command", "argv", "env", "keys"),
    "ganger.board": ("items",),
    "ganger.breakers": ("breakers",),
    "ganger.broadcast": ("recipients", "told", "seq", "refusal"),
    "ganger.bundle": ("item", "run", "landed", "path", "bytes", "sha256", "key", "gone"),
    "ganger.checkpoints": ("run", "checkpoints"),
    "ganger.ci": ("commit", "state", "text"),
    "ganger.completion": ("shell", "script"),
    "ganger.config": ("settings",),
    "ganger.demo": ("folder", "faults", "took_ms"),
    "ganger.diff": ("run", "base", "commit", "changed", "patch"),
    "ganger.doctor": ("well", "findings"),
    "ganger.down": ("was_up", "workers_stopped"),
    "ganger.dry-run": ("plan", "items"),
    "ganger.exit-codes": ("codes",),
    "ganger.facts": ("facts",),
    "ganger.fleet-plan": ("verdict", "target", "live", "most", "exact", "start", "stop", "hold", "flag"),
    "ganger.gate": ("gate", "reason", "plan", "seq"),
    "ganger.inbox": ("questions", "unheard"),
    "ganger.init": ("written", "path", "checks", "agents", "text"),
    "ganger.item": (*ItemRow._fields, "runs"),
    "ganger.journal-entry": ("seq", "at_ms", "actor", "crc", "hash", "event"),
    "ganger.journal-replay": ("entries", "rebuilt", "checked", "faults"),
    "ganger.journal-verify": ("entries", "head", "fault", "faults"),
    "ganger.key": ("key",),
    "ganger.kind": (
        *("name", "workers_max", "writes", "spawn", "spawn_depth", "spawn_max", "agent", "model", "intent", "from"),
        *("settings", "files", "told", "waits"),
    ),
    "ganger.kinds": ("kinds", "waiting"),
    "ganger.kinds-agree": ("digest", "files"),
    "ganger.lease": (*REPLY, "id", "token", "lane", "scope", "expires_ms"),
    "ganger.leases": ("leases",),
    "ganger.liveness": (
        *("run", "liveness", "reason", "source", "heartbeat_ms", "output_ms", "artefact_ms", "started_ms", "now_ms"),
    ),
    "ganger.log": ("run", "turn", "at", "text", "events"),
    "ganger.my-work": ("run", "brief", "said"),
    "ganger.next": ("offerable", "items"),
    "ganger.night": ("plan", "reason", "means", "exit", "items", "questions", "report"),
    "ganger.plan": ("id", "title", "digest", "items"),
    "ganger.plan-lint": ("usable", "faults"),
    "ganger.prune": ("dry_run", "runs", "unseen"),
    "ganger.question": ("question",),
    "ganger.reply": REPLY,
    "ganger.report": ("path", "text"),
    "ganger.residual": ("plan", "left", "items"),
    "ganger.resume-check": ("run", "recovery", "reason"),
    "ganger.run": (
        *("worker_kind" if name == "kind" else name for name in RunRow._fields),
        *("turns", "messages", "children"),
    ),
    "ganger.salvage": ("run", "refs", "commits", "staged", "changed", "untracked", "left_out", "trash"),
    "ganger.salvage-restore": ("run", "path", "branch", "commit"),
    "ganger.salvages": ("salvages",),
    "ganger.schedules": ("schedules",),
    "ganger.schemas": ("names",),
    "ganger.skills": ("skills",),
    "ganger.skills-install": ("installed", "dry", "files"),
    "ganger.status": (
        *("supervised", "containment", "items", "questions", "seq", "runs", "leases", "breakers", "windows", "undos"),
        *("ci", "plans", "kinds"),
    ),
    "ganger.trace": ("ref", "what", "runs", "lines", "mismatches", "pruned"),
    "ganger.train": TrainRow._fields,
    "ganger.undo": (*REPLY, "undo"),
    "ganger.up": ("up", "started", "pid", "by", "log", "plans"),
    "ganger.verify-bundle": ("holds", "path", "item", "run", "landed", "checks", "key", "repo", "gone", "faults"),
    "ganger.verify": ("item", "landed", "commit", "rung", "why", "enough"),
    "ganger.version": ("ganger",),
    "ganger.why": (
        *("item", "run", "status", "rung", "needs", "verdict", "evidence", "fidelity", "claims", "rungs", "landed"),
        "reason",
    ),
}

ROWS: dict[str, type[ItemRow | RunRow | TrainRow]] = {
    "ganger.item": ItemRow,
    "ganger.run": RunRow,
    "ganger.train": TrainRow,
}
"""The rows that some of them are."""
