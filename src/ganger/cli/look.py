"""Looking: what an item, a run, a question or a commit is, why a verdict is what it is, what was changed and said."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import msgspec

from ganger.cli.items import undo_text
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, clock, plain, say, say_json, span, table, tell_error
from ganger.core.fidelity import Fidelity, fidelity
from ganger.core.ids import RunId, is_question_id, is_run_id, item_of
from ganger.core.model import CheckResult, Evidence, ItemSpec, Rung, Todo, Verdict, is_agents
from ganger.core.verdict import needed_rung, weakened_text
from ganger.errors import GitFailed, UsageError
from ganger.git.command import Git
from ganger.journal.clock import wall_ms
from ganger.journal.queries import ItemRow, QuestionRow, Reader, RunRow, TurnRow
from ganger.report.ladder import closing_text, ladder, next_step
from ganger.service import kept, place, wiring
from ganger.service.claimed import claim_text, false_claims, turns_of
from ganger.service.door import kept_policy
from ganger.service.protected import is_test_file
from ganger.verifier.claims import audit, told_by


class Looking:
    """An open reader on the fleet of this command."""

    def __init__(self, app: App) -> None:
        self.state_dir = app.state_dir()
        self.reader = Reader(self.state_dir / place.JOURNAL)

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()

    def item(self, ref: str) -> ItemRow:
        """The item called `ref`, or that a run called `ref` is of."""
        found = self.reader.item(ref.rpartition(".")[0] if is_run_id(ref) else ref)
        if found is None:
            raise UsageError(f"nothing is called {ref!r}", "ganger plan board lists the items")
        return found

    def run(self, ref: str) -> RunRow:
        """The run called `ref`, or the last one of the item called so."""
        if is_run_id(ref):
            found = self.reader.run(ref)
        else:
            runs = self.reader.runs(self.item(ref).id)
            found = runs[-1] if runs else None
        if found is None:
            if is_run_id(ref):
                raise UsageError(f"there is no run {ref!r}", f"ganger show {item_of(RunId(ref))} lists those there are")
            raise UsageError(f"item {ref} has had no run yet", f"ganger why {ref} says what it waits for")
        return found


def _verdict(turn: TurnRow) -> Verdict | None:
    return msgspec.json.decode(turn.verdict, type=Verdict) if turn.verdict else None


def _evidence(turn: TurnRow) -> Evidence | None:
    return msgspec.json.decode(turn.evidence, type=Evidence) if turn.evidence else None


@click.command()
@click.argument("ref")
@as_json
@click.pass_obj
def show(app: App, ref: str, as_json: bool) -> int:
    """Show REF: an item, a run (login.2), a question (q7), or a commit that a train tested.

    Exit status: 0 there it is; 2 nothing is called so.
    """
    with Looking(app) as looking:
        if is_question_id(ref):
            return _show_question(looking, ref, as_json)
        if is_run_id(ref):
            return _show_run(looking, looking.run(ref), as_json)
        if looking.reader.item(ref) is None and len(ref) >= 7 and all(c in "0123456789abcdef" for c in ref):
            return _show_commit(looking, ref, as_json)
        return _show_item(looking, looking.item(ref), as_json)


def _show_item(looking: Looking, item: ItemRow, as_json: bool) -> int:
    runs = looking.reader.runs(item.id)
    spec = msgspec.json.decode(item.spec, type=ItemSpec)
    if as_json:
        say_json(
            "ganger.item",
            {**plain(item), "spec": msgspec.to_builtins(spec), "runs": [plain(run) for run in runs]},
        )
        return YES
    say(f"{item.id}: {item.title}")
    say(f"plan {item.plan}, {item.status}, agent {spec.agent}, priority {spec.priority}")
    say(f"scope {', '.join(spec.scope)}")
    say("checks " + (", ".join(f"{c.name} ({' '.join(c.argv)})" for c in spec.checks) or "none, on purpose"))
    if spec.after:
        say(f"after {', '.join(spec.after)}")
    if spec.spawner:
        say(f"a part of the work of {spec.spawner}")
    if item.landed:
        say(f"landed as {item.landed[:12]} at {clock(item.landed_ms)}")
        if closed := closing_text(looking.reader.ci(item.landed)):
            say(closed)
    for undo in looking.reader.undos(item.id):
        say(undo_text(undo))
    for wait in looking.reader.waits(item.id):
        say(f"waited: {wait.reason}")
    if claim := claim_text(false_claims(turns_of(looking.reader, item.id))):
        say(claim)
    if item.brief:
        say("\n" + item.brief.rstrip())
    if runs:
        say()
        table([(r.id, r.status, r.agent, span((r.ended_ms or wall_ms()) - r.granted_ms), r.reason) for r in runs])
    return YES


def _show_run(looking: Looking, run: RunRow, as_json: bool) -> int:
    turns = looking.reader.turns(run.id)
    if as_json:
        facts = plain(run)
        said = [plain(row) for row in looking.reader.messages(run.id)]
        children = [child.id for child in looking.reader.children(run.id)]
        walled = [{**plain(turn), **_walls(looking, turn)} for turn in turns]
        turned = {"turns": walled, "messages": said, "children": children}
        say_json("ganger.run", {"worker_kind": facts.pop("kind"), **facts, **turned})
        return YES
    say(f"{run.id}: {run.status}, agent {run.agent}, token {run.token}, base {run.base[:12]}")
    if run.reason:
        say(f"because {run.reason}")
    if run.spawner:
        say(f"a child of {run.spawner}")
    for child in looking.reader.children(run.id):
        say(f"its child {child.id}: {child.status}, {child.kind}")
    for turn in turns:
        ended = f"exit {turn.code}" if turn.exited_ms and turn.code is not None else ""
        ended = f"signal {turn.signal}" if turn.signal else ended or ("gone" if turn.exited_ms else "lives")
        walls = ", ".join(f"{name} {value}" for name, value in _walls(looking, turn).items() if value)
        about = f"pid {turn.pid}, {clock(turn.started_ms)}, {ended}, cpu {span(turn.cpu_ms)}"
        say(f"turn {turn.turn}: {about}{', ' if walls else ''}{walls}")
        evidence = _evidence(turn)
        for flag in evidence.claims if evidence is not None else ():
            say(f"claim: {flag}")
    todos = msgspec.json.decode(run.todos or "[]", type=tuple[Todo, ...])
    if todos:
        say(f"board: {sum(todo.state == 'completed' for todo in todos)} of {len(todos)} done")
    for todo in todos:
        say(f"    {todo.state.replace('_', ' ')}: {todo.text}")
    for row in looking.reader.messages(run.id):
        handed = f", turn {row.turn}" if row.turn else ""
        say(f"told by {row.by or 'ganger'} ({row.due}; {row.state}{handed}): {row.text}")
    for ref in msgspec.json.decode(run.kept, type=list[str]):
        say(f"kept: git --git-dir {looking.state_dir / 'hub.git'} log {ref}")
    say(f"log: ganger log {run.id}    diff: ganger diff {run.id}    why: ganger why {run.id}")
    return YES


def _walls(looking: Looking, turn: TurnRow) -> dict[str, str]:
    """How a turn's worker was contained and what of the network it could reach; empty texts where that is not kept."""
    manifest = kept.read_manifest(looking.state_dir, turn.run, turn.turn)
    found = manifest if isinstance(manifest, kept.Manifest) else None
    return {"tier": found.tier if found else "", "network": found.jail.network if found else ""}


def _show_question(looking: Looking, ref: str, as_json: bool) -> int:
    question = looking.reader.question(ref)
    if question is None:
        raise UsageError(f"there is no question {ref}", "ganger inbox lists the open ones")
    if as_json:
        say_json("ganger.question", {"question": plain(question)})
    else:
        _print_question(question)
    return YES


def _print_question(question: QuestionRow) -> None:
    say(f"{question.id} ({question.state}): {question.text}")
    options = msgspec.json.decode(question.options, type=list[str])
    if options:
        say("options: " + " | ".join(options))
    if question.agent:
        say(f"agent {question.agent} is asked first, until {clock(question.until_ms)}; you can answer before it does")
    if question.passed:
        say(question.passed)
    if question.state == "answered":
        say(f"answered {question.choice!r} by {question.by} at {clock(question.closed_ms)}")
    elif question.state == "open":
        say(f"ganger answer {question.id} CHOICE")


def _show_commit(looking: Looking, ref: str, as_json: bool) -> int:
    row = looking.reader.train_like(ref)
    if row is not None and not as_json and (undo := looking.reader.undo_by(row.new)) is not None:
        say(f"{row.new}: {undo_text(undo)}")
        say(f"tree {row.tree[:12]}, tested {clock(row.at_ms)} in {span(row.took_ms)}")
        return YES
    if row is None:
        raise UsageError(f"nothing is called {ref!r}, and no train tested such a commit")
    if as_json:
        say_json("ganger.train", plain(row))
        return YES
    runs = msgspec.json.decode(row.runs, type=list[str])
    say(f"{row.new}: train of {', '.join(runs)} on {row.old[:12]}, {'passed' if row.passed else 'failed'}")
    say(f"tree {row.tree[:12]}, tested {clock(row.at_ms)} in {span(row.took_ms)}")
    say(f"landed {clock(row.landed_ms)}" if row.landed_ms else f"not landed{': ' + row.reason if row.reason else ''}")
    return YES


@click.command()
@click.argument("ref")
@as_json
@click.pass_obj
def why(app: App, ref: str, as_json: bool) -> int:
    """Show the verdict on an item or run: the rung it reached, the evidence, and what is missing for the next.

    Exit status: 0 accepted or landed; 1 not.
    """
    with Looking(app) as looking:
        item = looking.item(ref)
        if not looking.reader.runs(item.id):
            return _why_not_yet(looking, item, as_json)
        run = looking.run(ref)
        turns = [turn for turn in looking.reader.turns(run.id) if turn.verdict]
        spec = msgspec.json.decode(item.spec, type=ItemSpec)
        verdict = _verdict(turns[-1]) if turns else None
        evidence = _evidence(turns[-1]) if turns else None
        landed = bool(run.landed)
        if as_json:
            against = _fidelity(looking.state_dir, run, evidence) if evidence is not None else None
            flags = _claims(looking, evidence) if evidence is not None else ()
            _why_json(run, _needs(looking, spec), verdict, evidence, against, flags)
        else:
            _why_text(looking, run, spec, verdict, evidence)
        accepted = verdict is not None and verdict.kind == "accepted" and run.status != "undone"
        return YES if landed or accepted else NO


def _why_not_yet(looking: Looking, item: ItemRow, as_json: bool) -> int:
    """Say why an item has had no run."""
    spec = msgspec.json.decode(item.spec, type=ItemSpec)
    open_before = [before for before in spec.after if (row := looking.reader.item(before)) and not row.landed]
    waits = looking.reader.waits(item.id)
    reason = f"{item.status}: no run yet"
    if open_before:
        reason = f"waits for {', '.join(open_before)}"
    elif waits:
        reason = waits[-1].reason
    if as_json:
        nothing = {"run": "", "rung": "", "verdict": None, "evidence": None, "fidelity": None, "landed": item.landed}
        empty: dict[str, list[str]] = {"claims": [], "rungs": []}
        told = {"item": item.id, "status": item.status, "needs": _needs(looking, spec), "reason": reason}
        say_json("ganger.why", {**told, **nothing, **empty})
    else:
        say(f"{item.id}: {reason}")
    return NO


def _why_json(
    run: RunRow,
    needs: str,
    verdict: Verdict | None,
    evidence: Evidence | None,
    against: Fidelity | None,
    claims: tuple[str, ...],
) -> None:
    rung = Rung.landed if run.landed else verdict.rung if verdict else Rung.reported
    say_json(
        "ganger.why",
        {
            "item": run.item,
            "run": run.id,
            "status": run.status,
            "rung": rung.label,
            "needs": needs,
            "verdict": msgspec.to_builtins(verdict),
            "evidence": msgspec.to_builtins(evidence),
            "fidelity": msgspec.to_builtins(against),
            "claims": list(claims),
            "rungs": msgspec.to_builtins(ladder(evidence, verdict, run.landed)),
            "landed": run.landed,
            "reason": run.reason,
        },
    )


def _needs(looking: Looking, spec: ItemSpec) -> str:
    """The label of the rung that an item must reach under the policy in force."""
    return needed_rung(spec, kept_policy(looking.state_dir).witness).label


def _fidelity(state_dir: Path, run: RunRow, evidence: Evidence) -> Fidelity:
    """What the run changed, against the scope of its own lease."""
    scope = msgspec.json.decode(run.scope, type=tuple[str, ...])
    return fidelity(scope, evidence.changed, kept_policy(state_dir).paths)


def _claims(looking: Looking, evidence: Evidence) -> tuple[str, ...]:
    """Which commits of a candidate claim what they do not do.

    Where the evidence does not say, the commits are asked; nothing when the hub does not have them any more.
    """
    if evidence.claims:
        return evidence.claims
    hub, rules = looking.state_dir / "hub.git", kept_policy(looking.state_dir).paths
    try:
        told = told_by(Git(hub), evidence.base, evidence.commit) if hub.is_dir() else ()
    except GitFailed:
        return ()
    return audit(told, lambda path: is_test_file(path, rules))


def _why_text(
    looking: Looking, run: RunRow, spec: ItemSpec, verdict: Verdict | None, evidence: Evidence | None
) -> None:
    rung = Rung.landed if run.landed else verdict.rung if verdict else Rung.reported
    say(f"{run.id}: {run.status}, at rung {rung.label}; landing needs {_needs(looking, spec)}")
    if run.reason:
        say(f"ended because {run.reason}")
    if evidence is None:
        say("no evidence yet: nothing was looked at" if verdict is None else "; ".join(verdict.reasons))
        return
    say(f"candidate {evidence.commit[:12]} on base {evidence.base[:12]}, tree {evidence.tree[:12]}")
    if evidence.auto_committed:
        say("the worker left changes uncommitted; ganger committed them")
    say(f"changed {', '.join(evidence.changed) or 'nothing'}")
    against = _fidelity(looking.state_dir, run, evidence)
    if against.off_plan:
        say(f"off plan: {', '.join(against.off_plan)}")
    if against.untouched:
        say(f"untouched of its scope: {', '.join(against.untouched)}")
    for check in evidence.checks:
        _why_check(looking, check, "check")
    for check in evidence.base_checks:
        _why_check(looking, check, "with the base's tests, check")
    if evidence.witness is not None:
        tests = f": {', '.join(evidence.witness.tests)}" if evidence.witness.tests else ""
        say(f"witness: {evidence.witness.kind.value}{tests}")
    for weak in evidence.weakened:
        say(weakened_text(weak))
    if evidence.verifier:
        say(f"verifier {evidence.verifier[:12]}, contained at {evidence.tier}")
    for flag in _claims(looking, evidence):
        say(f"claim: {flag}")
    for asked in looking.reader.questions(run.id):
        if is_agents(asked.by):
            say(f"{asked.id} was answered by {asked.by.replace(':', ' ')}, no person: {asked.choice}")
    if verdict and verdict.by:
        say(f"allowed by {verdict.by}, for exactly this commit")
    for reason in verdict.reasons if verdict else ():
        say(f"missing: {reason}")
    missing = next_step(ladder(evidence, verdict, run.landed))
    if missing is not None and not (verdict and verdict.reasons):
        say(f"missing for {missing.rung}: {missing.text}")
    if run.landed:
        row = looking.reader.train_of(run.landed)
        say(f"landed as {run.landed[:12]}" + (f", tested as a whole at {clock(row.at_ms)}" if row else ""))
        if closed := closing_text(looking.reader.ci(run.landed)):
            say(closed)


def _why_check(looking: Looking, check: CheckResult, what: str) -> None:
    tests = "" if check.executed is None else f", {check.executed} tests by {check.runner}"
    say(f"{what} {check.name}: {check.state.value}, exit {check.exit_code}, {span(check.took_ms)}{tests}")
    say(f"    {looking.state_dir / check.log}")


@click.command()
@click.argument("ref")
@as_json
@click.pass_obj
def diff(app: App, ref: str, as_json: bool) -> int:
    """Show what a run, or the last run of an item, changed: raw when piped, so that git apply reads it.

    Exit status: 0 there is a candidate; 1 there is none yet.
    """
    parts = wiring.gather(app.start, os.environ, app.state_override, {})
    with Looking(app) as looking:
        run = looking.run(ref)
        turns = [turn for turn in looking.reader.turns(run.id) if turn.evidence]
        evidence = _evidence(turns[-1]) if turns else None
    if evidence is None:
        tell_error(f"{run.id} has no candidate yet")
        return NO
    patch = wiring.open_hub(parts).diff(evidence.base, evidence.commit)
    if as_json:
        commits = {"run": run.id, "base": evidence.base, "commit": evidence.commit}
        text = patch.decode("utf-8", "backslashreplace")
        say_json("ganger.diff", {**commits, "changed": list(evidence.changed), "patch": text})
    elif sys.stdout.isatty():
        say(patch.decode("utf-8", "backslashreplace"))
    else:
        sys.stdout.buffer.write(patch)
    return YES


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the page here instead of into the state directory.")
@click.option("--text", "as_text", is_flag=True, help="Print the report instead of writing the page.")
@click.option(
    "--since", "since_h", type=click.FloatRange(0, 1_000_000), default=0.0, help="Only the last so many hours."
)
@as_json
@click.pass_obj
def report(app: App, out: Path | None, as_text: bool, since_h: float, as_json: bool) -> int:
    """Write the morning report as one self-contained page, and print where it is.

    Exit status: 0 it is written; 2 it cannot be written there.
    """
    from ganger.report.data import collect
    from ganger.report.html import write
    from ganger.report.text import render_text

    with Looking(app) as looking:
        now_ms = wall_ms()
        since_ms = now_ms - int(since_h * 3_600_000) if since_h else 0
        if as_text:
            data = collect(looking.reader, looking.state_dir, since_ms=since_ms, now_ms=now_ms)
            text = render_text(data, _width())
            if as_json:
                say_json("ganger.report", {"path": "", "text": text})
            else:
                say(text)
            return YES
        path = out or looking.state_dir / "reports" / "report.html"
        try:
            written = write(looking.reader, looking.state_dir, path, since_ms=since_ms)
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}", "name another place with --out") from error
        if as_json:
            say_json("ganger.report", {"path": str(written), "text": ""})
        else:
            say(str(written))
    return YES


def _width() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns
    except OSError:
        return 100
