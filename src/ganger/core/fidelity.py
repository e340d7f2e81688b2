"""How what a run changed compares with what it was asked for: its scope, and what its kind may write at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from ganger.core.model import Kind, Writes
from ganger.core.patterns import PathRules, scope_matches

PLAN_FOLDER = "plans"
PLAN_ENDINGS = (".toml", ".md")
NAMED_MAX = 5


class Fidelity(Struct, frozen=True):
    """The paths of a change against a scope."""

    on_plan: tuple[str, ...]
    """Changed, and in the scope."""
    off_plan: tuple[str, ...]
    """Changed, and not in the scope: such a candidate never lands by itself."""
    untouched: tuple[str, ...]
    """Patterns of the scope of which nothing was changed."""


def fidelity(scope: Iterable[str], changed: Iterable[str], rules: PathRules) -> Fidelity:
    """Compare the changed paths with the scope; everything keeps the order it was given in."""
    patterns, paths = tuple(scope), tuple(changed)
    inside = {path: scope_matches(patterns, path, rules) for path in paths}
    return Fidelity(
        on_plan=tuple(path for path in paths if inside[path]),
        off_plan=tuple(path for path in paths if not inside[path]),
        untouched=tuple(one for one in patterns if not any(scope_matches((one,), path, rules) for path in paths)),
    )


def forbidden(kind: Kind, changed: Iterable[str], is_test: Callable[[str], bool]) -> tuple[str, ...]:
    """Say, in a line, which of the changed paths a worker of this kind may not write; empty when there is none."""
    allowed: dict[Writes, Callable[[str], bool]] = {
        Writes.scope: lambda _: True,
        Writes.tests: is_test,
        Writes.plans: is_plan,
        Writes.none: lambda _: False,
    }
    found = [path for path in changed if not allowed[kind.writes](path)]
    if not found:
        return ()
    more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
    what = "nothing" if kind.writes is Writes.none else f"only {kind.writes.value}"
    return (f"a {kind.name} may change {what}, but this changes {', '.join(found[:NAMED_MAX])}{more}",)


def is_plan(path: str) -> bool:
    """Whether a path is a plan file: TOML or Markdown below a `plans` folder, or called `plan` or `….plan`."""
    *folders, name = path.split("/")
    stem = next((name.removesuffix(ending) for ending in PLAN_ENDINGS if name.endswith(ending)), None)
    return stem is not None and (PLAN_FOLDER in folders or stem == "plan" or stem.endswith(".plan"))
