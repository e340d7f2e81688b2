"""Saying something to the workers of all live runs whom it concerns, once a person has said that these are they."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from ganger.cli.control import fleet_at
from ganger.cli.main import App
from ganger.cli.options import as_json
from ganger.cli.output import NO, YES, say, say_json, table, tell, tell_error, way_forward
from ganger.cli.reply import answered, ask, asker, exit_of, name_of, of_refusal
from ganger.cli.state import look
from ganger.cli.tell import as_text, live_run
from ganger.core import commands as cmd
from ganger.core import events as ev
from ganger.core.broadcast import Notice, Recipient, Relation, Worker, recipients
from ganger.core.facts import Run
from ganger.core.ids import PlanId, RunId
from ganger.core.model import Refusal, RefusalCode
from ganger.core.patterns import scope_fault
from ganger.core.state import State
from ganger.errors import GangerError, UsageError
from ganger.git import looking
from ganger.git.changes import changed_paths
from ganger.git.hub import Hub
from ganger.git.refs import seeded_ref
from ganger.journal.queries import Reader
from ganger.report.safe import printable
from ganger.service import wiring
from ganger.service.place import JOURNAL
from ganger.service.places import Places
from ganger.supervisor.forecast import AT_ONCE


@click.command()
@click.argument("text")
@click.option("--about", multiple=True, metavar="PATTERN", help="Paths it is about; repeatable.")
@click.option("--plan", "plans", multiple=True, help="A plan whose runs it may concern; repeatable.")
@click.option("--to", multiple=True, metavar="RUN", help="Tell exactly this run, or item's live run; repeatable.")
@click.option("--yes", is_flag=True, help="Tell those that are marked, without a question.")
@as_json
@click.pass_obj
def broadcast(
    app: App, text: str, about: tuple[str, ...], plans: tuple[str, ...], to: tuple[str, ...], yes: bool, as_json: bool
) -> int:
    """Tell TEXT to the workers of all live runs whom it concerns, once you have said that these are they.

    Live runs are listed with what speaks for them: their scope, what they have changed, the plan, words. Those that
    touch a path of it, or are named, are marked; those that nothing speaks for are left out. It is told at work or
    with the next turn, gives nobody a turn, and answers no question. What all workers should know from now on is
    better put on record: ganger facts add.

    Exit status: 0 somebody is told; 1 nobody is, as where it concerns nobody or is not confirmed.
    """
    state_dir = fleet_at(app)
    seen = look(state_dir)
    if not text.strip():
        raise UsageError("the notice is empty", "ganger broadcast --help")
    for pattern in about:
        if fault := scope_fault(pattern, seen.policy.paths):
            raise UsageError(fault, "as in --about 'src/**'")
    runs = [run for run in seen.state.runs.values() if run.stop is None]
    notice = Notice(as_text(text), about, tuple(map(PlanId, plans)))
    named = _named(seen.state, to)
    if isinstance(named, Refusal):
        return answered(named, "", as_json=as_json)
    changed = {} if to else _changed(app, state_dir, runs)
    found = recipients(notice, _workers(state_dir, seen.state, runs, changed), seen.policy.paths)
    shown = [one for one in found if one.run in named or (one.relation is not Relation.unrelated and not to)]
    chosen = named if to else _affected(shown)
    if not to and not yes:
        chosen = _confirmed(shown, len(found), chosen, asked=not as_json)
    reply = ask(state_dir, cmd.Broadcast(chosen, notice.text, name_of(asker()))) if chosen else None
    events = () if reply is None or isinstance(reply, Refusal) else reply.events
    told = [event.run for event in events if isinstance(event, ev.MessageSent)]
    refusal = reply if isinstance(reply, Refusal) else None
    if as_json:
        rows = [_values(one, one.run in chosen) for one in shown]
        seq = 0 if reply is None or isinstance(reply, Refusal) else reply.seq
        say_json("ganger.broadcast", {"recipients": rows, "told": told, "seq": seq, "refusal": of_refusal(refusal)})
    elif refusal is not None:
        tell_error(f"refused ({refusal.code}): {refusal.reason}", way_forward(refusal))
    elif reply is not None:
        _say_told(told, [run for run in chosen if run not in told])
    return exit_of(refusal) if refusal is not None else YES if told else NO


def _workers(
    state_dir: Path, state: State, runs: Iterable[Run], changed: Mapping[RunId, tuple[str, ...]]
) -> list[Worker]:
    """What there is to know of live runs."""
    reader = Reader(state_dir / JOURNAL)
    try:
        found = []
        for run in runs:
            item, row = state.items[run.item], reader.item(run.item)
            brief = row.brief if row is not None else ""
            found.append(
                Worker(
                    run=run.id,
                    item=run.item,
                    plan=item.spec.plan,
                    scope=run.lease.scope,
                    title=item.spec.title,
                    brief=brief,
                    changed=changed.get(run.id, ()),
                )
            )
        return found
    finally:
        reader.close()


def _changed(app: App, state_dir: Path, runs: Iterable[Run]) -> dict[RunId, tuple[str, ...]]:
    """The files that runs have changed so far; a workspace that cannot be looked at says nothing."""
    hub = wiring.open_hub(wiring.gather(app.start, os.environ, app.state_override, {}))
    places = Places(state_dir)
    seen = [(run, places.workspace(run.id)) for run in runs]
    own = [(run, place) for run, place in seen if place.exists() and not place.is_symlink()]
    looking.fetch_together(hub, [(place, run.id) for run, place in own])
    with ThreadPoolExecutor(AT_ONCE, "broadcast") as pool:
        looks = list(pool.map(lambda one: _look(hub, *one), own))
    found = {}
    for (run, _), paths in zip(own, looks, strict=True):
        if isinstance(paths, GangerError):
            tell(printable(f"{run.id} could not be looked at: {paths.message}"))
        else:
            found[run.id] = paths
    return found


def _look(hub: Hub, run: Run, place: Path) -> tuple[str, ...] | GangerError:
    try:
        commit, _ = looking.look(hub, place, run.id, run.base, None)
        base = hub.ref(seeded_ref(run.id)) or run.base
        return tuple(change.path for change in changed_paths(hub, base, commit))
    except GangerError as error:
        return error


def _named(state: State, names: Iterable[str]) -> tuple[RunId, ...] | Refusal:
    found = []
    for name in names:
        run = live_run(state, name)
        if run is None:
            reason = f"{name} is no live run, and no item that has one"
            return Refusal(RefusalCode.unknown_ref, reason, "ganger status lists them")
        found.append(run.id)
    return tuple(found)


def _affected(shown: Iterable[Recipient]) -> tuple[RunId, ...]:
    return tuple(one.run for one in shown if one.relation is Relation.affected)


def _confirmed(shown: Sequence[Recipient], live: int, marked: tuple[RunId, ...], *, asked: bool) -> tuple[RunId, ...]:
    """Show whom it concerns, and have a person on a terminal say who is told; nobody where there is none."""
    if not asked:
        return ()
    if not shown:
        tell(f"it concerns none of {live} live runs: ganger facts add keeps it for those to come, --to RUN tells one")
        return ()
    rows = [("*" if one.run in marked else "", one.run, str(one.score), "; ".join(one.reasons)) for one in shown]
    table([tuple(map(printable, row)) for row in rows], ("", "RUN", "SCORE", "WHY"))
    if not sys.stdin.isatty():
        tell("nobody was told: --yes tells those that are marked, --to RUN exactly these")
        return ()
    answer = click.prompt("\nTell those that are marked? (y, n, or the runs to tell)", default="n", err=True)
    return picked(str(answer), shown, marked)


def picked(answer: str, shown: Iterable[Recipient], marked: tuple[RunId, ...]) -> tuple[RunId, ...]:
    """Whom a person's answer means; UsageError where it means a run that was not shown."""
    words = answer.replace(",", " ").split()
    if [word.lower() for word in words] in (["y"], ["yes"]):
        return marked
    if not words or [word.lower() for word in words] in (["n"], ["no"]):
        return ()
    known = {one.run for one in shown}
    strange = [word for word in words if word not in known]
    if strange:
        raise UsageError(f"{printable(strange[0])} is none of these runs; nobody was told", "--to RUN tells any run")
    return tuple(map(RunId, dict.fromkeys(words)))


def _say_told(told: Sequence[RunId], passed_over: Sequence[RunId]) -> None:
    if told:
        say(f"{', '.join(told)} will be told: ganger show RUN")
    if passed_over:
        say(f"{', '.join(passed_over)} was told the same a short while ago, or has ended")


def _values(one: Recipient, chosen: bool) -> dict[str, object]:
    known = {"run": one.run, "relation": one.relation.value, "score": one.score, "reasons": list(one.reasons)}
    return {**known, "chosen": chosen}
