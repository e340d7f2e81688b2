"""`ganger admit`: would it be admitted now? On the path of scripts and prompts, so it imports little."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from ganger.cli.output import NO, USAGE, YES, hung_up, say, say_json, tell_error, way_forward
from ganger.cli.state import Seen, look
from ganger.core.admission import Admitted, Wanted, admit, admit_scope, free_lanes, permit_refusal, wanted_by
from ganger.core.ids import ItemId
from ganger.core.model import LeaseMode, Refusal, RefusalCode
from ganger.core.policy import Policy
from ganger.errors import GangerError, StateDirError
from ganger.service.place import state_dir

HELP = """Usage: ganger admit [ITEM | --lane L | --scope P...] [--shared] [--autopick] [--json]

Say whether an item could be given to a worker now, or a lane or scope to
anybody. Nothing is changed and nothing is held: `ganger lease acquire` does that.

What is admitted is printed as what to use: with --autopick that may be another
lane than the one asked for, and only that one is free.

Options:
  --lane L         Ask for this lane of ganger.toml.
  --scope P        Ask for this path pattern; repeatable.
  --shared         Others may hold it too, if theirs is shared as well.
  --autopick       Take another lane of lanes.autopick when this one is busy.
  --json           Print one JSON object instead.
  -C DIR           Work as if called in this directory.
  --state-dir DIR  Keep this fleet's state here.
  -h, --help       Show this message and exit.

Exit status: 0 admitted; 1 refused, with the reason, who holds it, what is free
instead, and when to ask again; 2 there is no such item, lane or fleet.
"""
PREDICATES = "predicates.json"
"""Held equal to `service.predicates.KEPT` by a test: most fleets have none, and need not load what asks them."""
UNKNOWN = frozenset({RefusalCode.config, RefusalCode.invalid, RefusalCode.unknown_ref})
"""Refusals of a question that makes no sense: exit status 2."""


class Asked(Struct, frozen=True):
    """The question of one command line."""

    item: str = ""
    lane: str = ""
    scope: tuple[str, ...] = ()
    shared: bool = False
    autopick: bool = False
    as_json: bool = False
    start: Path = field(default_factory=Path)
    override: str = ""
    help: bool = False


def main(args: list[str]) -> int:
    """Parse `args`, ask, and print the answer; returns the exit status."""
    # One question to a state that is thrown away: looking for cycles in ten thousand items would cost a tenth of it.
    gc.disable()
    asked = parse(args)
    if isinstance(asked, str):
        tell_error(asked, "ganger admit --help")
        return USAGE
    if asked.help:
        sys.stdout.write(HELP)
        return YES
    try:
        seen = look(state_dir(asked.start, os.environ, asked.override))
        gc.freeze()
        answer = ask_item(seen, asked) if asked.item else ask_scope(seen, asked)
        (_say_json if asked.as_json else _say_text)(answer, asked, seen)
        sys.stdout.flush()
    except BrokenPipeError:
        hung_up()
    except GangerError as error:
        tell_error(error.message, error.hint)
        return error.exit_code
    if isinstance(answer, Admitted):
        return YES
    return USAGE if answer.code in UNKNOWN else NO


def parse(args: list[str]) -> Asked | str:
    """Read the words of a command line; a text says what is wrong with them."""
    found: dict[str, Any] = {}
    flags = {"--shared": "shared", "--autopick": "autopick", "--json": "as_json", "-h": "help", "--help": "help"}
    values = {"--lane": "lane", "--scope": "scope", "-C": "start", "--state-dir": "override"}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if word in flags:
            found[flags[word]] = True
        elif name in values:
            if not has_value and not rest:
                return f"admit wants a value after {name}"
            given = value if has_value else rest.pop(0)
            converted = (
                (*found.get("scope", ()), given) if name == "--scope" else Path(given) if name == "-C" else given
            )
            found[values[name]] = converted
        elif word.startswith("-") or "item" in found:
            return f"admit does not know {word!r}"
        else:
            found["item"] = word
    asked = Asked(**found)
    if not asked.help and sum(map(bool, (asked.item, asked.lane, asked.scope))) != 1:
        return "admit wants an item, or --lane, or --scope: one of them"
    if asked.item and (asked.shared or asked.autopick):
        return "an item's plan says how it is held: --shared and --autopick are for lanes and scopes"
    return asked


def ask_scope(seen: Seen, asked: Asked) -> Admitted | Refusal:
    """Would somebody whom ganger did not start get this lane or scope?"""
    mode = LeaseMode.shared if asked.shared else LeaseMode.exclusive
    fleet_dir = state_dir(asked.start, os.environ, asked.override)
    return admitted(fleet_dir, seen, asked.lane, asked.scope, mode, autopick=asked.autopick)


def admitted(
    fleet_dir: Path, seen: Seen, lane: str, scope: tuple[str, ...], mode: LeaseMode, *, autopick: bool
) -> Admitted | Refusal:
    """What the core says of a lane or a scope, and then the fleet's scorers.

    With `autopick`, a lane that a scorer refuses is as good as busy: the next one that is free is asked about.
    """
    state, now_ms, policy = seen
    answer = admit_scope(state, lane, scope, mode, now_ms, policy, autopick=autopick)
    if isinstance(answer, Refusal) or not has_scorers(fleet_dir):
        return answer
    from ganger.service import predicates, scorers

    asked = predicates.kept(fleet_dir)
    refusal = scorers.objection(asked, scorers.weighing(state, answer.wanted))
    if refusal is None:
        return answer
    for other in free_lanes(state, lane, mode, now_ms, policy, len(policy.autopick)) if autopick else ():
        instead = admit_scope(state, other, (), mode, now_ms, policy, autopick=False)
        if isinstance(instead, Admitted) and not scorers.objection(asked, scorers.weighing(state, instead.wanted)):
            return Admitted(instead.wanted, redirected=True)
    return refusal


def ask_item(seen: Seen, asked: Asked) -> Admitted | Refusal:
    """Would this item be given to a worker?"""
    item = seen.state.items.get(ItemId(asked.item))
    if item is None:
        return Refusal(RefusalCode.unknown_ref, f"there is no item {asked.item}", "ganger plan board lists the items")
    refusal = (
        admit(seen.state, item, seen.now_ms, seen.policy)
        or permit(asked.start, seen.policy, asked.override)
        or objection(state_dir(asked.start, os.environ, asked.override), seen, item.spec.id)
    )
    if refusal is None:
        return Admitted(wanted_by(item.spec, seen.policy))
    if refusal.code not in (RefusalCode.overlap, RefusalCode.exclusive_held, RefusalCode.lane_cap):
        return refusal
    free = free_lanes(seen.state, item.spec.lane, item.spec.mode, seen.now_ms, seen.policy)
    return Refusal(refusal.code, refusal.reason, refusal.way, refusal.holder, refusal.again_ms, free)


def permit(start: Path, policy: Policy, override: str) -> Refusal | None:
    """What a start permit would say of the target; git is asked only where the policy wants that clean."""
    if not policy.require_clean:
        return None
    from ganger.git.repository import checked_out_at, is_dirty
    from ganger.service.wiring import open_here

    at = checked_out_at(open_here(start, os.environ, override), policy.target)
    return permit_refusal(policy.repo, clean=at is None or not is_dirty(at), policy=policy)


class _Kept(Struct, frozen=True):
    """As much of the kept programs as it takes to see that there are none."""

    programs: tuple[msgspec.Raw, ...] = ()
    scorers: tuple[msgspec.Raw, ...] = ()


def has_scorers(fleet_dir: Path) -> bool:
    """Whether a scorer may object to what the core admits; StateDirError when that cannot be told."""
    return bool(_kept(fleet_dir).scorers)


def _kept(fleet_dir: Path) -> _Kept:
    kept = fleet_dir / PREDICATES
    try:
        return msgspec.json.decode(kept.read_bytes(), type=_Kept) if kept.exists() else _Kept()
    except (OSError, msgspec.MsgspecError) as error:
        raise StateDirError(f"{kept} cannot be read: {error}", "ganger run writes it anew") from error


def objection(fleet_dir: Path, seen: Seen, item: ItemId) -> Refusal | None:
    """What the fleet's predicates and scorers say of a run of the item; None when there are none, or none objects."""
    kept = _kept(fleet_dir)
    if not (kept.programs or kept.scorers):
        return None
    from ganger.service import predicates, scorers

    asked, wanted = predicates.kept(fleet_dir), wanted_by(seen.state.items[item].spec, seen.policy)
    refusal = asked.ask((predicates.question_about(seen.state, item),))[0]
    return refusal or scorers.objection(asked, scorers.weighing(seen.state, wanted))


def _say_text(answer: Admitted | Refusal, asked: Asked, seen: Seen) -> None:
    if isinstance(answer, Admitted):
        instead = f" instead of lane {asked.lane}" if answer.redirected else ""
        say(f"admitted: use {_used(answer.wanted)}{instead}")
        return
    tell_error(f"refused ({answer.code}): {answer.reason}", way_forward(answer))


def _used(wanted: Wanted) -> str:
    scope = ", ".join(wanted.scope)
    what = f"lane {wanted.lane} ({scope})" if wanted.lane else f"scope {scope}"
    return what + (", shared" if wanted.mode is LeaseMode.shared else "") + (", alone" if wanted.alone else "")


def _say_json(answer: Admitted | Refusal, asked: Asked, seen: Seen) -> None:
    use = refusal = None
    if isinstance(answer, Admitted):
        wanted = answer.wanted
        use = {"lane": wanted.lane, "scope": list(wanted.scope), "mode": wanted.mode.value, "alone": wanted.alone}
    else:
        refusal = {name: getattr(answer, name) for name in ("code", "reason", "way", "holder", "again_ms")}
        refusal["free"] = list(answer.free)
    say_json(
        "ganger.admission",
        {
            "admitted": use is not None,
            "asked": {"item": asked.item, "lane": asked.lane, "scope": list(asked.scope), "shared": asked.shared},
            "use": use,
            "redirected": isinstance(answer, Admitted) and answer.redirected,
            "refusal": refusal,
            "seq": seen.state.seq,
        },
    )
