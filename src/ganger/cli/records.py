"""`ganger journal`, `trace` and `prune`: the record itself, the story behind a name, and what of it is kept on disk."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import msgspec

from ganger.cli.main import App
from ganger.cli.output import NO, YES, clock, plural, say, say_json, tell, tell_error
from ganger.cli.reply import a_person
from ganger.core.model import Refusal
from ganger.errors import JournalCorrupt
from ganger.journal import check
from ganger.journal.clock import wall_ms
from ganger.journal.codec import decode
from ganger.journal.queries import Reader
from ganger.journal.store import Store, read_rows
from ganger.plans.values import DAY_MS, Unfit, duration
from ganger.report.safe import printable
from ganger.report.trace import Trace
from ganger.report.trace import trace as tell_story
from ganger.report.words import in_words
from ganger.service import kept, place
from ganger.service.door import kept_policy, submit
from ganger.service.fleet import Reply
from ganger.service.kept import DataClass
from ganger.service.prune import Pruning, carry_out, prunings

FOLLOW_S = 0.25


@click.group()
def journal() -> None:
    """Look at the journal: the append-only list of events that everything else is derived from."""


@contextmanager
def _store(state_dir: Path) -> Iterator[Store]:
    Reader(state_dir / place.JOURNAL).close()
    store = Store(state_dir / place.JOURNAL, kept_policy(state_dir).paths)
    try:
        yield store
    finally:
        store.close()


@journal.command()
@click.option("-n", "count", type=click.IntRange(1, 1_000_000), default=20, help="How many of the last entries.")
@click.option("--after", type=click.IntRange(min=0), help="Begin behind the entry of this number, instead of -n.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing as it grows.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each entry instead.")
@click.pass_obj
def tail(app: App, count: int, after: int | None, follow: bool, as_json: bool) -> int:
    """Print the last entries, a line each.

    Whoever followed and was cut off goes on with --after and the number of the last whole line: each entry is then
    read once.
    """
    return tail_events(app.state_dir(), count, after=after, follow=follow, as_json=as_json)


def tail_events(state_dir: Path, count: int, *, after: int | None = None, follow: bool, as_json: bool = False) -> int:
    """Print the last `count` entries, or those after a position, and, with `follow`, those that come."""
    with closing(Reader(state_dir / place.JOURNAL)) as reader:
        at = after if after is not None else max(0, reader.last_seq() - count)
        while True:
            for seq, at_ms, actor, body, checksum, digest in read_rows(reader.db, reader.path, at):
                at = seq
                if as_json:
                    _say_entry(
                        {"seq": seq, "at_ms": at_ms, "actor": actor, "crc": checksum, "hash": digest.hex()}, body
                    )
                else:
                    event = decode(seq, at_ms, actor, body, checksum).event
                    words = printable(in_words(event))
                    say(f"{seq:>7} {clock(at_ms)} {actor:<20} {type(event).__name__:<18} {words}".rstrip())
            if reader.last_seq() > at:
                continue
            if not follow:
                return YES
            sys.stdout.flush()
            time.sleep(FOLLOW_S)


def _say_entry(head: dict[str, object], body: bytes) -> None:
    say_json("ganger.journal-entry", {**head, "event": json.loads(body)})


@journal.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def verify(app: App, as_json: bool) -> int:
    """Check every entry from the first to the last: its checksum, the hash chain, and that it can be read.

    Exit status: 0 all holds; 1 it does not, and every bad entry is named.
    """
    with _store(app.state_dir()) as store:
        found = check.verify(store)
    if as_json:
        faults = msgspec.to_builtins(found.faults)
        head = {"entries": found.entries, "head": found.head, "fault": found.fault}
        say_json("ganger.journal-verify", {**head, "faults": faults})
    elif found.fault:
        for fault in found.faults:
            tell_error(fault.text)
        tell(f"the {found.entries} entries before the first of these hold")
    else:
        say(f"{found.entries} entries hold, head {found.head[:16]}")
    return NO if found.fault else YES


@journal.command()
@click.option("--check", "checking", is_flag=True, help="Compare what is stored and the manifests with the journal.")
@click.option("--rebuild", is_flag=True, help="Make the tables and their indexes anew from the journal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def replay(app: App, checking: bool, rebuild: bool, as_json: bool) -> int:
    """Fold the whole journal again.

    Exit status: 0 it can be folded and, with --check, the stored state, tables and indexes equal it, and the manifests
    of all turns say the same; 1 not.
    """
    state_dir = app.state_dir()
    faults: tuple[str, ...] = ()
    with _store(state_dir) as store:
        rules = kept_policy(state_dir).paths
        try:
            entries = check.rebuild(store, rules) if rebuild else check.refold(store, rules).seq
            if checking:
                faults = (*check.compare(store, rules), *_manifest_faults(state_dir))
        except JournalCorrupt as damage:
            entries, faults = max(damage.seq - 1, 0), (damage.message,)
    done = "entries folded" + (", tables rebuilt" if rebuild else "")
    if checking and not faults:
        done += ": state, tables and manifests are what they give"
    if as_json:
        value = {"entries": entries, "rebuilt": rebuild and not faults, "checked": checking, "faults": list(faults)}
        say_json("ganger.journal-replay", value)
        return NO if faults else YES
    for fault in faults:
        tell_error(fault)
    if faults:
        tell("\nganger journal replay --rebuild makes the tables anew; ganger journal verify looks at the entries")
        return NO
    say(f"{entries} {done}")
    return YES


def _manifest_faults(state_dir: Path) -> tuple[str, ...]:
    reader = Reader(state_dir / place.JOURNAL)
    try:
        return kept.index_faults(reader, state_dir)
    finally:
        reader.close()


@journal.command()
@click.option("--json", "as_json", is_flag=True, help="Begin each line with what it is and of which version.")
@click.pass_obj
def export(app: App, as_json: bool) -> int:
    """Print every entry as one line of JSON, with its checksum and hash.

    Without --json the event stands in its line byte for byte, so that checksum and hash can be checked anywhere.
    """
    with _store(app.state_dir()) as store:
        for line in check.export(store):
            if as_json:
                say_json("ganger.journal-entry", json.loads(line))
            else:
                sys.stdout.buffer.write(line)
    return YES


@click.command()
@click.argument("ref")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def trace(app: App, ref: str, as_json: bool) -> int:
    """Tell the whole story behind REF: an item, a run (login.2), a question (q7), a lease (lease:12) or a commit.

    From the plan to the landing, with each lease, prompt, worker, commit, check and verdict, and every act of a person,
    each at its place in the journal; and what of it is missing on disk, or is not as the journal says.

    Exit status: 0 everything is there and matches; 1 not.
    """
    state_dir = app.state_dir()
    reader = Reader(state_dir / place.JOURNAL)
    try:
        story = tell_story(reader, state_dir, ref)
    finally:
        reader.close()
    if as_json:
        say_json("ganger.trace", msgspec.to_builtins(story))
    else:
        _print_story(story)
    return NO if story.mismatches else YES


def _print_story(story: Trace) -> None:
    for line in story.lines:
        say(f"#{line.seq:<6} {clock(line.at_ms)}  {line.actor:<16} {printable(line.text)}")
        for detail in line.details:
            say(f"        {printable(detail)}")
    for gone in story.pruned:
        say(f"pruned: {gone}")
    for mismatch in story.mismatches:
        say(f"MISMATCH #{mismatch.seq}: {mismatch.text}")


@click.command()
@click.option("--older-than", default="30d", help="Only runs that ended at least so long ago (30d, 12h).")
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice([one.value for one in DataClass]),
    help="Only files of this class; can be given several times.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be pruned.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
@click.pass_obj
def prune(app: App, older_than: str, classes: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Put kept files of runs that ended long ago into the trash: prompts, output, logs of checks, conversations.

    The journal and the manifests stay. Each run is recorded, and those that nobody had decided on are told: their
    loss is a debt. A journal that does not hold prunes nothing.

    Exit status: 0 done; 1 the fleet refused some of it.
    """
    state_dir = app.state_dir()
    now_ms = wall_ms()
    wanted = [DataClass(name) for name in classes] or list(DataClass)
    due = prunings(state_dir, wanted, _duration_ms(older_than), now_ms)
    refused: list[tuple[Pruning, Refusal]] = []
    if not dry_run:
        who = a_person("Prune")
        replies: Iterator[tuple[Pruning, Reply]] = carry_out(
            state_dir, due, now_ms, lambda command: submit(state_dir, command, who)
        )
        refused = [(one, reply) for one, reply in replies if isinstance(reply, Refusal)]
    if as_json:
        _say_prunings(state_dir, due, refused, dry_run)
    else:
        _print_prunings(due, refused, dry_run)
    return NO if refused else YES


def _duration_ms(text: str) -> int:
    try:
        return duration(0, 3_650 * DAY_MS)(text)
    except Unfit as error:
        raise click.UsageError(f"--older-than {error.message}" + (f": {error.hint}" if error.hint else "")) from error


def _say_prunings(
    state_dir: Path, due: tuple[Pruning, ...], refused: list[tuple[Pruning, Refusal]], dry_run: bool
) -> None:
    reasons = {one.run: refusal.reason for one, refusal in refused}
    runs = [
        {
            "run": one.run,
            "classes": [name.value for name in one.classes],
            "paths": [str(path.relative_to(state_dir)) for path in one.paths],
            "bytes": one.size,
            "unreviewed": one.unreviewed,
            "refused": reasons.get(one.run, ""),
        }
        for one in due
    ]
    say_json("ganger.prune", {"dry_run": dry_run, "runs": runs, "unseen": sum(one.unreviewed for one in due)})


def _print_prunings(due: tuple[Pruning, ...], refused: list[tuple[Pruning, Refusal]], dry_run: bool) -> None:
    for one in due:
        debt = "  (nobody has decided on it)" if one.unreviewed else ""
        say(f"{one.run}  {', '.join(one.classes)}  {one.size:,} bytes{debt}")
    for one, refusal in refused:
        tell_error(f"{one.run} is pruned, but that was not recorded ({refusal.code}): {refusal.reason}", refusal.way)
    verb = "would be pruned" if dry_run else "pruned"
    unseen = sum(one.unreviewed for one in due)
    tell(f"{plural(len(due), 'run')} {verb}" + (f", {unseen} of them unseen by anybody" if unseen else ""))
