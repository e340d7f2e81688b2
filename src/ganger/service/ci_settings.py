"""`[ci]` of ganger.toml: where to ask what continuous integration says of a commit."""

from __future__ import annotations

import re

from msgspec import Struct

from ganger.core.closing import CLOSED
from ganger.plans import values
from ganger.plans.values import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Unfit, duration, flag
from ganger.plans.wording import shown
from ganger.service.layers import Layers

API = "https://api.github.com"
LANDED = "landed"
EVERY_MAX_MS = 10 * MINUTE_MS
"""The longest pause between two times that a night asks about one commit, unless the first is longer."""
NONE, GITHUB, FILE, COMMAND = "none", "github", "file", "command"
_REPO = re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,100}")
_HERE = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?(/.*)?")
_NEEDS = {GITHUB: "repo", FILE: "path", COMMAND: "run"}


class CiSettings(Struct, frozen=True):
    """Which source is asked, and how."""

    source: str = NONE
    """`none`, `github`, `file`, `command`, or the name of an entry point of `ganger.ci`."""
    required: bool = False
    """Whether an item counts as done only when CI is green on the commit with which it landed."""
    dependents: str = LANDED
    """With `required`: what comes after an item may begin when it has `landed`, or when it is `closed`."""
    every_ms: int = 30_000
    """With `required`: between the first two times that a night asks; doubles, up to `EVERY_MAX_MS` at least."""
    patience_ms: int = HOUR_MS
    """With `required`: how long a night waits for an answer after a landing."""
    needed: tuple[str, ...] = ()
    """Checks that must have run and passed."""
    repo: str = ""
    """With `github`: `owner/name`."""
    api: str = API
    token_env: str = ""
    """With `github`: the environment variable that holds the token; empty: none is sent."""
    path: str = ""
    """With `file`: relative to the top of the work tree."""
    argv: tuple[str, ...] = ()
    """With `command`: gets the commit as its last argument."""
    timeout_ms: int = 10_000


def read_ci(layers: Layers) -> CiSettings:
    """Read `[ci]`; what a source lacks, or what no source uses, is recorded as a fault."""
    take = layers.take
    found = CiSettings(
        source=take(("ci", "source"), values.name, NONE),
        required=take(("ci", "required"), flag, False),
        dependents=take(("ci", "dependents"), values.choice(LANDED, CLOSED), LANDED),
        every_ms=take(("ci", "every"), duration(SECOND_MS, HOUR_MS), "30s"),
        patience_ms=take(("ci", "patience"), duration(0, DAY_MS), "1h"),
        needed=layers.take_from_files(("ci", "needed"), values.texts) or (),
        repo=take(("ci", "repo"), _repo, ""),
        api=take(("ci", "api"), _api, API),
        token_env=take(("ci", "token_env"), _variable, ""),
        path=take(("ci", "path"), values.text, ""),
        argv=layers.take_from_files(("ci", "run"), values.command) or (),
        timeout_ms=take(("ci", "timeout"), duration(SECOND_MS, MINUTE_MS), "10s"),
    )
    given = {"repo": found.repo, "path": found.path, "run": found.argv}
    wanted = _NEEDS.get(found.source)
    if wanted is not None and not given[wanted]:
        layers.error((("ci", "source"),), f"is {found.source}, which needs `ci.{wanted}`", "")
    for name, value in given.items():
        if value and name != wanted:
            layers.error((("ci", name),), f"has no effect: the source is {found.source}", "leave it out")
    if found.required and found.source == NONE:
        layers.error((("ci", "required"),), "can never hold: there is no `ci.source`", "name one, or leave it out")
    if not found.required:
        _refuse_waiting(layers, found)
    return found


def _refuse_waiting(layers: Layers, found: CiSettings) -> None:
    """Refuse what says how to wait for CI where nothing does."""
    plain = CiSettings()
    given = {
        "dependents": found.dependents != plain.dependents,
        "every": found.every_ms != plain.every_ms,
        "patience": found.patience_ms != plain.patience_ms,
    }
    for name in (name for name, is_given in given.items() if is_given):
        layers.error((("ci", name),), "has no effect: nothing waits for CI", "set ci.required, or leave it out")


def _optional(value: object, pattern: re.Pattern[str], what: str) -> str:
    text = values.text(value) if value else ""
    if text and not pattern.fullmatch(text):
        raise Unfit(f"is not {what}: {shown(text)}")
    return text


def _repo(value: object) -> str:
    return _optional(value, _REPO, "a repository as in owner/name")


def _variable(value: object) -> str:
    return _optional(value, _VARIABLE, "the name of an environment variable")


def _api(value: object) -> str:
    """Take the address of a forge: a token is sent to it, so only to this machine without encryption."""
    text = values.text(value)
    if not text.startswith("https://") and not _HERE.fullmatch(text):
        raise Unfit(f"must begin with https://, not {shown(text)}")
    return text
