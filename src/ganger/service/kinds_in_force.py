"""Which kinds a supervisor works with: those it began with, and what is written while it is up.

A kind's file, or its table in a configuration, that is added or changed under a supervisor is taken over between two of
its ticks, for runs that are granted from then on: where all else is as it was, nothing is wrong with it, and a person
has agreed to what of it the repository brings. A kind with other rights than those with which one of its runs lives
waits for that run to end, and until then no other begins. What cannot be taken over leaves in force what was; of kinds
whose rights it would change, or that were not there before, no run begins. So none has rights that nobody is shown.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ganger.core.ids import RunId
from ganger.core.model import Kind
from ganger.core.policy import Policy
from ganger.core.state import State
from ganger.errors import GangerError, StateDirError
from ganger.jail.bounds import OfKind
from ganger.plans.wording import listed
from ganger.service import place
from ganger.service.config import CONFIG_NAME, Config
from ganger.service.door import keep_policy
from ganger.service.fleet import Fleet
from ganger.service.kinds import NO_RULES, RULES, Place, listed_in
from ganger.service.layers import Setting
from ganger.service.tables import Preset
from ganger.service.trust import TRUST_NAME

STANDING = "kinds.json"
_OURS = ("kinds.", "rules.")
"""What settings of kinds begin with."""
NAMED_MAX = 3


class Terms(Struct, frozen=True):
    """All that holds for the runs of a kind besides what they are told."""

    kind: Kind
    reach: OfKind = OfKind()
    preset: Preset = Preset()

    @property
    def borne(self) -> Terms:
        """Those of them that a run bears for as long as it lives: all but how many there may be."""
        return replace(self, kind=replace(self.kind, workers_max=None))


class Standing(Struct, frozen=True):
    """What a supervisor leaves word of, for those who ask which kinds are in force.

    What it says of why goes on from the name of a kind: `has changed, and a.1 began with it as it was`.
    """

    kinds: Mapping[str, Mapping[str, str]] = {}
    """The settings of each kind that is in force, as a file would say them, by their names."""
    waits: Mapping[str, str] = {}
    """Kinds of which no run begins, each with why."""
    left: Mapping[str, str] = {}
    """Kinds that are described otherwise by now and go on as they were, each with why."""

    def why(self, name: str, settings: Mapping[str, str]) -> str:
        """Why a kind with these settings, as they are written down, is not in force; empty when it is."""
        if found := self.waits.get(name) or self.left.get(name):
            return found
        is_so = name in self.kinds and self.kinds[name] == settings
        return "" if is_so else "is looked at before the next run begins"


def terms_of(config: Config) -> dict[str, Terms]:
    """What holds for each kind that a configuration describes."""
    reach, presets = config.jail.bounds.kinds, config.presets
    return {
        kind.name: Terms(kind, reach.get(kind.name, OfKind()), presets.get(kind.name, Preset()))
        for kind in config.kinds
    }


def settings_of(config: Config) -> dict[str, dict[str, str]]:
    """The settings of each kind that a configuration describes, as a file would say them, by their names."""
    found: dict[str, dict[str, str]] = {kind.name: {} for kind in config.kinds}
    for setting in config.settings:
        _, _, rest = setting.key.partition("kinds.")
        name, _, key = rest.partition(".")
        if name in found and setting.key.startswith("kinds."):
            found[name][key] = setting.value
    return found


def plain_terms(name: str) -> Terms:
    """What holds for a kind that nobody describes."""
    return Terms(Kind(name))


def with_terms(config: Config, terms: Mapping[str, Terms], before: Config, kept: Iterable[str]) -> Config:
    """A configuration in which these terms hold; the settings of `kept` kinds are those of the one `before`."""
    bounds = replace(
        config.jail.bounds, kinds={name: one.reach for name, one in terms.items() if one.reach != OfKind()}
    )
    own = tuple(f"kinds.{name}." for name in kept)
    settings = [one for one in config.settings if not one.key.startswith(own)] if own else list(config.settings)
    settings += [one for one in before.settings if own and one.key.startswith(own)]
    return replace(
        config,
        kinds=tuple(one.kind for one in terms.values()),
        presets={name: one.preset for name, one in terms.items() if one.preset != Preset()},
        jail=replace(config.jail, bounds=bounds),
        settings=tuple(sorted(settings, key=lambda setting: setting.key)),
    )


class Merged(NamedTuple):
    """What comes into force, and what of it waits."""

    config: Config
    waits: Mapping[str, str]


def merged(before: Config, found: Config, live: Mapping[str, tuple[RunId, ...]]) -> Merged:
    """Take over every kind but those whose rights changed while runs, by kind in `live`, live with what was before."""
    old, new = terms_of(before), terms_of(found)
    terms, waits = dict(new), {}
    for name in {**old, **new, **dict.fromkeys(live)}:
        was, now = old.get(name, plain_terms(name)), new.get(name, plain_terms(name))
        if was.borne == now.borne:
            continue
        if name not in new:
            waits[name] = "is described nowhere any more"
        elif runs := live.get(name):
            waits[name] = f"has changed, and {_named(runs)} began with it as it was"
        else:
            continue
        terms[name] = was
    return Merged(with_terms(found, terms, before, waits), waits)


def _named(runs: tuple[RunId, ...]) -> str:
    more = len(runs) - NAMED_MAX
    return ", ".join(runs[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def changed_besides(before: Config, found: Config) -> str:
    """Name what is not as it was besides kinds and rules; empty when nothing is."""
    if _without_kinds(before) == _without_kinds(found):
        # A gateway is started with a supervisor.
        return "" if before.jail.bounds.uses_gateway == found.jail.bounds.uses_gateway else "whether there is a gateway"
    old, new = ({one.key: one.value for one in each.settings} for each in (before, found))
    keys = sorted(key for key in old | new if old.get(key) != new.get(key) and not key.startswith(_OURS))
    return listed(keys, NAMED_MAX) or "something that settings depend on"


def _without_kinds(config: Config) -> Config:
    jail = replace(config.jail, bounds=replace(config.jail.bounds, kinds={}))
    return replace(config, kinds=(), presets={}, rulebook=NO_RULES, packages=(), settings=(), jail=jail)


def project_settings(config: Config) -> tuple[Setting, ...]:
    """The settings of kinds that the repository's configuration makes, sorted by key."""
    return tuple(one for one in config.settings if one.key.startswith("kinds.") and one.path == CONFIG_NAME)


def digest_of(config: Config) -> str:
    """What a person agrees to under a supervisor: SHA-256 over what of kinds the repository brings, in hexadecimal."""
    lines = "".join(f"{one.key} = {one.value}\n" for one in project_settings(config))
    return hashlib.sha256(f"kinds:\n{config.rulebook.digest}\n{lines}".encode(errors="backslashreplace")).hexdigest()


class KindsInForce:
    """The kinds of a supervisor that is up, compared with what is written down before any run begins."""

    def __init__(
        self,
        state_dir: Path,
        fleet: Fleet,
        begun: Config,
        read: Callable[[], Config],
        where: Callable[[Config], tuple[Place, ...]],
        files: tuple[Path, ...],
        is_agreed: Callable[[str], bool],
        adopt: Callable[[Config, Policy], None],
        say: Callable[[str], None],
    ) -> None:
        """`begun` is the configuration in force, `read` reads the one on disk, with GangerError for what is wrong.

        `where` are the places of a configuration's kinds, `files` its own files. `adopt` has all else work by what is
        taken over, and `say` tells a person.
        """
        self._state_dir, self._fleet, self.config, self._read, self._where = state_dir, fleet, begun, read, where
        self._files, self._is_agreed, self._adopt, self._say = files, is_agreed, adopt, say
        self._agreed = {digest_of(begun)}
        self._mark: tuple[object, ...] | None = None
        self._found = begun
        self._why = ""
        self._said: tuple[str, ...] = ()
        self.standing = Standing(settings_of(begun))
        self._lock = threading.Lock()
        self._keep()
        fleet.before_birth = self.look

    @property
    def is_waited_for(self) -> bool:
        """Whether something that is written down is not in force."""
        return bool(self._why or self.standing.waits)

    def look(self) -> bool:
        """Take over what can be; whether that changed anything for runs that begin from here on. From any thread."""
        with self._lock:
            return self._look()

    def _look(self) -> bool:
        mark = self._look_at_files()
        if mark != self._mark:
            self._mark = mark
            self._found, self._why = self._judged()
        elif self._why or not self.standing.waits:
            return False
        before, terms = (self.config, self.standing), terms_of(self.config)
        self._fleet.adopt(self._choose)
        changed = (self.config, self.standing) != before
        if changed:
            self._adopt(self.config, self._fleet.policy)
            self._keep()
        self._tell(sorted(name for name, one in terms_of(self.config).items() if terms.get(name) != one))
        return changed

    def _look_at_files(self) -> tuple[object, ...]:
        """What changes whenever a file does on which kinds depend, or what is agreed to."""
        paths = [*self._files, self._state_dir / TRUST_NAME]
        for at in self._where(self._found):
            paths += [at.rules, *listed_in(at.folder)]
        return tuple((path, _stamp(path)) for path in paths)

    def _judged(self) -> tuple[Config, str]:
        """What is written down, and why it cannot be taken over; empty when it can be."""
        try:
            found = self._read()
            if besides := changed_besides(self.config, found):
                return found, f"{besides} changed too, which waits for the next supervisor"
            digest = digest_of(found)
            if digest not in self._agreed and not self._is_agreed(digest):
                return found, "nobody has agreed to it yet (ganger kinds agree)"
        except GangerError as error:
            return self.config, error.message.splitlines()[0]
        self._agreed.add(digest)
        return found, ""

    def _choose(self, state: State) -> Policy:
        """Settle what is in force for runs that begin from here on, and under which policy."""
        if self._why:
            self.standing = self._left_alone()
        else:
            self.config, waits = merged(self.config, self._found, _live(state))
            self.standing = Standing(settings_of(self.config), waits)
        return _policy(self._fleet.policy, self.config, self.standing.waits)

    def _left_alone(self) -> Standing:
        """Leave in force what was; kinds that were not there before wait, and those that would have other rights."""
        old, new = terms_of(self.config), terms_of(self._found)
        on_disk = {path.stem for at in self._where(self._found) for path in listed_in(at.folder)}
        waits, left = {}, {}
        for name in sorted({*old, *new, *on_disk} - {RULES}):
            was, now = old.get(name), new.get(name, plain_terms(name))
            if was is None or was.borne != now.borne:
                waits[name] = f"is not in force as it is written: {self._why}"
            elif was != now:
                left[name] = f"goes on as it was: {self._why}"
        return Standing(settings_of(self.config), waits, left)

    def _tell(self, taken: list[str]) -> None:
        """Say what is in force now, and once what is not and why."""
        held = tuple(lines(self.standing)) or ((f"as they were: {self._why}",) if self._why else ())
        news = [f"in force for runs that begin from here on: {listed(taken, 20)}"] if taken else []
        for line in (*news, *(line for line in held if line not in self._said)):
            self._say(f"kinds: {line}")
        self._said = held

    def _keep(self) -> None:
        """Leave word of it all for other processes, which may decide too; a full disk is told of, and stops nothing."""
        try:
            keep_policy(self._state_dir, self._fleet.policy)
            place.replace_file(self._state_dir / STANDING, msgspec.json.encode(self.standing))
        except StateDirError as error:
            self._say(f"kinds: {error.message}")


def lines(standing: Standing) -> Iterator[str]:
    """What is not in force as it is written down, a line each."""
    for name, why in standing.waits.items():
        yield f"{name} {why}; no run of it begins"
    for name, why in standing.left.items():
        yield f"{name} {why}"


def kept(state_dir: Path) -> Standing | None:
    """What the last supervisor left word of; None when there was none, or it cannot be read."""
    try:
        return msgspec.json.decode((state_dir / STANDING).read_bytes(), type=Standing)
    except (OSError, msgspec.MsgspecError):
        return None


def _policy(policy: Policy, config: Config, waits: Mapping[str, str]) -> Policy:
    agents_of = tuple((name, preset.agent) for name, preset in config.presets.items() if preset.agent)
    return replace(policy, kinds=config.kinds, agents_of=agents_of, kinds_waiting=tuple(sorted(waits.items())))


def _live(state: State) -> dict[str, tuple[RunId, ...]]:
    live: dict[str, tuple[RunId, ...]] = {}
    for run in state.runs.values():
        live[run.kind] = (*live.get(run.kind, ()), run.id)
    return live


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        about = path.stat()
    except OSError:
        return ()
    return about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino
