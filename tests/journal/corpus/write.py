"""Write a small journal with the code of some commit, and say what that code takes it to mean.

Run by `make_corpus.py` with the `src` of the commit on PYTHONPATH, so it uses only what every commit had: the fleet's
door, its commands, and the derived statuses.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

import msgspec

from ganger.core import commands as cmd
from ganger.core import lifecycle
from ganger.core.ids import Commit, ItemId, PlanId
from ganger.core.model import Check, CheckResult, CheckState, EndKind, Evidence, Hold, ItemSpec, Todo, WorkerId
from ganger.core.policy import Policy
from ganger.journal.store import Store
from ganger.service.fleet import Fleet

BASE, TIP, TREE = (Commit(digit * 40) for digit in "bde")
SCOPES = (("src/**",), ("docs/**",), ("src/a.py",), ("tests/**", "docs/x.md"))
STEPS = 420


class Clock:
    now_ms = 1_790_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def write(path: Path, seed: int) -> dict[str, object]:
    """Ask a fleet for all sorts of things; returns what its code says of the end."""
    rng, clock = Random(seed), Clock()
    fleet = Fleet(Store(path, clock=clock), Policy(landing_mode=rng.choice(("auto", "ask")), workers_max=3))
    for number in range(STEPS):
        clock.now_ms += rng.randrange(20_000)
        command = next_command(fleet, rng, number)
        if command is not None:
            fleet.submit(command, rng.choice(("person:olga", "supervisor", "worker:x")))
        if number == STEPS // 2:
            fleet.store._store_snapshot(fleet.store.catch_up())
    state, now_ms = fleet.store.catch_up(), clock.now_ms
    told = {
        "seq": state.seq,
        "head": fleet.store._hash.hex(),
        "now_ms": now_ms,
        "items": {item.spec.id: lifecycle.item_status(state, item, now_ms).value for item in state.items.values()},
        "runs": {run.id: lifecycle.run_status(state, run).value for run in state.runs.values()},
        "snapshot": msgspec.to_builtins(state.snapshot()),
    }
    fleet.store.db.pragma("wal_checkpoint(TRUNCATE)")
    fleet.close()
    return told


def next_command(fleet: Fleet, rng: Random, number: int) -> cmd.Command | None:
    state = fleet.store.catch_up()
    if number == 0 or rng.random() < 0.05:
        items = tuple((item(f"i{n}", rng), "Do it.") for n in range(rng.randrange(3, 7)))
        return cmd.AddPlan(PlanId("plan"), "A plan", "plans/plan.toml", str(number), items)
    if state.landing is not None and rng.random() < 0.5:
        return cmd.RecordLanding(
            state.landing.new, rng.choice(("landed", "landed", "moved", "dirty")), BASE, ("a.txt",)
        )
    if state.questions and rng.random() < 0.3:
        question = state.questions[rng.choice(sorted(state.questions))]
        return cmd.AnswerQuestion(question.id, rng.choice(question.options or ("yes",)), "olga")
    if not state.runs or rng.random() < 0.2:
        return rng.choice(
            [
                cmd.GrantRun(ItemId(f"i{rng.randrange(6)}"), BASE),
                cmd.RetryItem(ItemId(f"i{rng.randrange(6)}")),
                cmd.RecordSupervisor(number, "host", "1", rng.choice(("", "the night is over"))),
            ]
        )
    return about_a_run(state, rng, number)


def item(name: str, rng: Random) -> ItemSpec:
    return ItemSpec(
        id=ItemId(name),
        plan=PlanId("plan"),
        title=name.title(),
        scope=rng.choice(SCOPES),
        checks=(Check("unit", ("true",)),),
        hold=Hold("draft") if rng.random() < 0.05 else None,
        priority=rng.randrange(3),
    )


def about_a_run(state: object, rng: Random, number: int) -> cmd.Command:
    run = state.runs[rng.choice(sorted(state.runs))]
    token = run.lease.token
    passed = CheckResult(name="unit", argv=("true",), state=CheckState.passed, exit_code=0, took_ms=7)
    seen = Evidence(
        base=BASE,
        commit=Commit(f"{number:040x}"),
        tree=TREE,
        checked_tree=TREE,
        changed=(rng.choice(("src/a.py", "docs/x.md", "tests/t.py")),),
        checks=(passed,),
    )
    accepted = [r for r in state.runs.values() if r.accepted_seq and r.stop is None]
    if accepted and rng.random() < 0.7:
        members = tuple((r.id, r.lease.token, r.evidence.commit) for r in accepted if r.evidence is not None)
        runs = tuple(member[0] for member in members)
        return cmd.RecordTrain(members, runs, BASE, Commit(f"{number:x}".rjust(40, "d")), TREE, rng.random() < 0.7)
    return rng.choice(
        [
            *[cmd.RecordStart(run.id, token, run.turn + 1, WorkerId(number + 1, number))] * 3,
            *[cmd.RecordEvidence(run.id, token, run.turn, seen)] * 2,
            *[cmd.RecordExit(run.id, token, run.turn, rng.choice((0, 0, 1, None)), cpu_ms=number)] * 2,
            cmd.ReportDone(run.id, token, summary=f"done \u202e {number}"),
            cmd.AskQuestion(run.id, token, "which?", ("x", "y"), "x"),
            cmd.AddNote(run.id, token, f"note {number}"),
            cmd.SetTodos(run.id, token, (Todo("a", "pending"),)),
            cmd.RenewLeases(((run.id, run.lease.expires_ms + 1_000),)),
            cmd.RecordWait(run.item, cmd.RefusalCode.overlap, "busy", run.id),
            cmd.StopRun(run.id, rng.choice((EndKind.stopped, EndKind.stalled)), "enough"),
            cmd.RecordEnd(run.id, token, EndKind.failed if run.stop is None else run.stop.end, "over", ("refs/k",)),
        ]
    )


if __name__ == "__main__":
    json.dump(write(Path(sys.argv[1]), int(sys.argv[2])), sys.stdout, sort_keys=True)
