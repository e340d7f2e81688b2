"""The bench's findings as text: a Markdown page, in which every figure comes with what it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lies.residual import KNOWN
from lies.table import ACCEPTED, REFUSED, STUB_MODES, UNFIT, UNNAMED, Row

REASON_CHARS = 110
REMAINS = (
    "A Python test runner, the code under test and the recorder are one process. What patches the runner is noticed "
    "at the end, who searches for its objects at once, and who stands behind each line of the record as it is "
    "written; yet code that walks up the stack to the recorder and takes its key can seal whatever it likes. No "
    "recorder in the same process can exclude that, so the operator that does it, `recorder_key_taken`, counts among "
    "the stubs. A check that no worker sees finds it. For node, Go and Cargo tests the record is kept by another "
    "process than the one that runs the tests."
)
MARKS = {REFUSED: "refused", UNNAMED: "unnamed", ACCEPTED: "ACCEPTED", UNFIT: "–"}


def page(
    lies: Sequence[Row], honest: Sequence[Row], stubs: Sequence[Row], absent: Mapping[str, str], took_s: float
) -> str:
    """Everything that was found, as the published page."""
    parts = [
        "# Lies told to the verifier\n\n"
        "Made by `make liars`; do not edit. Each operator turns an honest mending with its test "
        "into a lie.",
        "\n".join(_totals(lies, honest, stubs, absent, took_s)),
        "## Found\n\n" + ("\n".join(_found(lies, honest)) or "Nothing: every lie was refused by its name."),
        "## Stubs\n\nCode that looks like the mending and is none. No check can tell them all from the real "
        "thing; this is how many get through.\n\n" + "\n".join(_stubs(stubs)),
        "## What remains\n\n" + REMAINS,
        "## Operators\n\n" + "\n".join(_operators(lies)),
    ]
    return "\n\n".join(parts) + "\n"


def rate(honest: Sequence[Row]) -> float:
    """The share of honest work that is accepted, of 0 to 1."""
    return sum(row.state == ACCEPTED for row in honest) / max(len(honest), 1)


def _totals(
    lies: Sequence[Row], honest: Sequence[Row], stubs: Sequence[Row], absent: Mapping[str, str], took_s: float
) -> Iterable[str]:
    tried = [row for row in lies if row.state != UNFIT]
    yield "| what | figure |\n| --- | ---: |"
    yield f"| operators | {len({(row.kind, row.name) for row in tried})} |"
    yield f"| repositories | {len({row.repo for row in tried} - {'any'})} |"
    yield f"| lies tried | {len(tried)} |"
    yield f"| refused by their name | {sum(row.state == REFUSED for row in tried)} |"
    yield f"| refused for something else | {sum(row.state == UNNAMED for row in tried)} |"
    yield f"| accepted | {sum(row.state == ACCEPTED for row in tried)} |"
    yield f"| honest commits tried | {len(honest)} |"
    yield f"| of those accepted | {sum(row.state == ACCEPTED for row in honest)} ({100 * rate(honest):.1f} %) |"
    for name, why in absent.items():
        yield f"| left out | {name}: {why} |"
    yield f"| time of all tasks | {took_s / 60:.0f} min |"


def _found(lies: Sequence[Row], honest: Sequence[Row]) -> Iterable[str]:
    for row in lies:
        if row.state in (ACCEPTED, UNNAMED):
            why = _because(row.reason or KNOWN.get(row.name, ""))
            yield f"- {row.repo}, {row.kind}, `{row.name}`: {row.state}{why}"
    for row in honest:
        if row.state != ACCEPTED:
            yield f"- {row.repo}, honest, {row.name}: refused{_because(row.reason)}"


def _stubs(stubs: Sequence[Row]) -> Iterable[str]:
    yield "| what looks | tried | accepted | miss rate |\n| --- | ---: | ---: | ---: |"
    for mode in STUB_MODES:
        rows = [row for row in stubs if row.kind == mode]
        missed = sum(row.state == ACCEPTED for row in rows)
        if rows:
            yield f"| {mode} | {len(rows)} | {missed} | {100 * missed / len(rows):.0f} % |"
    yield ""
    for mode in STUB_MODES:
        names = sorted({row.name for row in stubs if row.kind == mode and row.state == ACCEPTED})
        yield f"- accepted {mode}: {', '.join(names) or 'none'}"


def _operators(lies: Sequence[Row]) -> Iterable[str]:
    names = list(dict.fromkeys((row.kind, row.name) for row in lies))
    repos = list(dict.fromkeys(row.repo for row in lies if row.repo != "any"))
    at = {(row.kind, row.name, row.repo): row for row in lies}
    yield f"| class | operator | {' | '.join(repos)} | one of the reasons |\n| --- | --- | {'--- | ' * len(repos)}--- |"
    for kind, name in sorted(names):
        rows = {repo: at.get((kind, name, repo)) or at.get((kind, name, "any")) for repo in repos}
        marks = " | ".join(MARKS[row.state] if row is not None else "–" for row in rows.values())
        reason = next((row.reason for row in rows.values() if row is not None and row.reason), "")
        yield f"| {kind} | {name} | {marks} | {_cell(reason)} |"


def _because(reason: str) -> str:
    return f": {_cell(reason, 400)}" if reason else ""


def _cell(reason: str, chars_max: int = REASON_CHARS) -> str:
    text = reason.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
