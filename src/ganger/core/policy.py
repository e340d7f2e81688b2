"""Every number that a decision depends on, with its unit; made from the configuration by `service.config`."""

from __future__ import annotations

from msgspec import Struct

from ganger.core.patterns import PathRules


class Policy(Struct, frozen=True):
    """The effective settings of a fleet."""

    target: str = "main"
    """Short name of the branch that landings move."""
    workers_max: int = 4
    """Most workers alive at once."""
    hours: tuple[tuple[int, int], ...] = ()
    """Minutes of the local day [from, to) in which workers may be started; empty: always."""
    utc_offset_min: int = 0
    """Minutes to add to UTC to get the local day."""
    lease_ttl_ms: int = 600_000
    """How long a lease lives without renewal; an item's `silence_max_ms` goes before it."""
    backoff_ms: int = 30_000
    """Wait after the first failed attempt; doubles with each further one."""
    backoff_max_ms: int = 1_800_000
    turns_max: int = 2
    """Tries of one run: a rejected candidate goes back to its worker, in its workspace, until they are used up."""
    linger_ms: int = 10_000
    """How long a worker's process may outlive its report before it is stopped."""
    stop_grace_ms: int = 5_000
    """Between the polite and the forced stop of a worker."""
    train_max: int = 8
    """Most candidates tested together."""
    flaky_retries: int = 1
    """How often a check that failed on a train is run again on the same tree."""
    landing_mode: str = "auto"
    """`auto`, or `ask`: each landing waits in the inbox."""
    pick_scan_max: int = 1_000
    """Most ready items looked at in one tick; the others wait for the next."""
    effects_max: int = 4
    """Most candidates and trains checked at once."""
    paths: PathRules = PathRules()
