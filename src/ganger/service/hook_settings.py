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


class HookSettings(Struct, frozen=True):
    """What a fleet's hooks do."""

    gate: GateMode = GateMode.auto
    stop_refusals_max: int = 2
    targets: bool = True
    """Whether the record of a tool's use says on what; otherwise only which tool it was."""
    provenance: tuple[ProvenanceRule, ...] = ()
    lookups: tuple[LookupRule, ...] = ()
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
        targets=layers.take(("hooks", "targets"), flag, True),
        provenance=tuple(provenance),
        lookups=tuple(lookups),
        mcp=layers.take(("hooks", "mcp"), flag, True),
    )


def _tool(value: object) -> str:
    text = values.text(value)
    if not text.isprintable() or " " in text:
        raise Unfit("is not the name of a tool")
    return text
