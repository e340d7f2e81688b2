"""`[hooks]` of ganger.toml: whether agents' hooks are answered, and the guards that may refuse a tool call."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from ganger.core.ids import name_fault
from ganger.drivers.hooks import LookupRule, ProvenanceRule
from ganger.plans import values
from ganger.plans.values import Unfit, flag, integer
from ganger.service.layers import Layers


class GateMode(StrEnum):
    """When a supervisor starts a gate."""

    auto = "auto"
    """When an agent is configured whose driver attaches hooks."""
    on = "on"
    """Always: programs of `driver = "command"` find the client in `GANGER_HOOK`."""
    off = "off"
    """Never."""


class Silent(StrEnum):
    """What follows when an agent uses tools about which its hooks do not ask."""

    flag = "flag"
    """A person is told."""
    stop = "stop"
    """The run is ended too, and nothing of it is judged."""


class Via(StrEnum):
    """How agents ask the gate."""

    command = "command"
    """By a program, which denies what would write when nobody answers it."""
    http = "http"
    """Over HTTP, where an agent can: quicker for it, and no answer is taken for leave."""


MCP_CALLS_MAX = 1_000
"""Calls of tools of one run that are answered: a dozen in a turn is many."""


class HookSettings(Struct, frozen=True):
    """What a fleet's hooks do."""

    gate: GateMode = GateMode.auto
    stop_refusals_max: int = 2
    silent: Silent = Silent.flag
    targets: bool = True
    """Whether the record of a tool's use says on what; otherwise only which tool it was."""
    provenance: tuple[ProvenanceRule, ...] = ()
    lookups: tuple[LookupRule, ...] = ()
    via: Via = Via.command
    mcp_calls_max: int = MCP_CALLS_MAX
    mcp: bool = True
    """Whether agents that can are given the worker protocol as tools, besides the commands of the same names."""


def read_hooks(layers: Layers) -> HookSettings:
    """Read `[hooks]` and `[hooks.guards.NAME]`."""
    provenance: list[ProvenanceRule] = []
    lookups: list[LookupRule] = []
    for name in layers.tables("hooks", "guards"):
        key = ("hooks", "guards", name)
        tool = layers.take_from_files((*key, "tool"), _tool) or ""
        known = layers.take_from_files((*key, "known"), values.texts) or ()
        after = layers.take_from_files((*key, "after"), _tool) or ""
        same = layers.take_from_files((*key, "same"), values.text) or ""
        if fault := name_fault(name):
            layers.error((key,), f"is no name: it {fault}")
        if not tool:
            layers.error((key,), "has no `tool`", 'as in tool = "mcp__tracker__close"')
        if not known and not after:
            layers.error((key,), "guards nothing: it has neither `known` nor `after`")
        if same and not after:
            layers.error(((*key, "same"),), "has no effect: there is no `after`", "leave it out")
        if known:
            provenance.append(ProvenanceRule(tool, known))
        if after:
            lookups.append(LookupRule(tool, after, same))
    return HookSettings(
        gate=GateMode(layers.take(("hooks", "gate"), values.choice(*GateMode), GateMode.auto.value)),
        stop_refusals_max=layers.take(("hooks", "stop_refusals_max"), integer(0, 100), 2),
        silent=Silent(layers.take(("hooks", "silent"), values.choice(*Silent), Silent.flag.value)),
        targets=layers.take(("hooks", "targets"), flag, True),
        provenance=tuple(provenance),
        lookups=tuple(lookups),
        via=Via(layers.take(("hooks", "via"), values.choice(*Via), Via.command.value)),
        mcp_calls_max=layers.take(("hooks", "mcp_calls_max"), integer(1, 1_000_000), MCP_CALLS_MAX),
        mcp=layers.take(("hooks", "mcp"), flag, True),
    )


def _tool(value: object) -> str:
    text = values.text(value)
    if not text.isprintable() or " " in text:
        raise Unfit("is not the name of a tool")
    return text
