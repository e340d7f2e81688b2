"""What an agent is told that is to answer a question in a person's place: the question, the item, the candidate."""

from __future__ import annotations

from pathlib import Path

from ganger.core.model import ItemSpec
from ganger.core.policy import Policy
from ganger.journal.queries import Reader
from ganger.service.places import Places

HOW_TO_ANSWER = """
## How to answer

You change nothing, and approve nothing: your answer is told to the worker that asks, as the answer of an agent. What
needs leave, such as more than its scope, a weaker test or more money, it does not get by your answer. Say it once:

- `ganger done --summary "your answer"`; where there are options, the first line is one of them, letter by letter, and
  your reasons come below it;
- `ganger done --outcome no_evidence --summary "why"` when a person should decide, or when you do not know: that is a
  good answer too;
- `ganger fail "reason"` when you cannot even look.

`ganger ask "…"` is refused: who is asked asks nobody. You have little time; then a person is asked. `ganger my-work`
prints this text again."""


def may_ask(policy: Policy) -> list[str]:
    """That a question can go to an agent first; nothing where there is none for that."""
    if not policy.consult_agent:
        return []
    return [
        "\nA question about how to do it can go to an agent first (`ganger ask … --audience consult`), who is quicker.",
        "What needs leave, or is a matter of what somebody wants, needs a person.",
    ]


def place_of(reader: Reader, spec: ItemSpec, places: Places) -> Path | None:
    """The workspace of the run that asks; None where there is none any more, or nobody asks."""
    question = reader.question(spec.question) if spec.question else None
    place = places.workspace(question.run) if question is not None and question.run else None
    return place if place is not None and place.exists() else None


def told(reader: Reader, spec: ItemSpec, place: Path | None) -> list[str]:
    """Who asks, for what item, and where its work lies."""
    if not spec.question:
        return []
    question, asking = reader.question(spec.question), reader.item(spec.parent)
    run = question.run if question is not None else spec.parent
    lines = ["\n## Who asks\n", f"The worker of run `{run}`, at work on item `{spec.parent}`. It waits for the answer."]
    if place is not None:
        lines.append(f"Its files lie in `{place}`, as it left them, commits and all: read them there.")
    if asking is not None:
        lines += [f"\n## What it was asked to do: {asking.title}\n", asking.brief.rstrip() or "(no further text)"]
    return lines
