"""Names of things: item and run ids, tokens, commits; each checked once, where it enters."""

from __future__ import annotations

import re
from typing import NewType

PlanId = NewType("PlanId", str)
ItemId = NewType("ItemId", str)
RunId = NewType("RunId", str)
QuestionId = NewType("QuestionId", str)
LeaseId = NewType("LeaseId", str)
"""A lease that belongs to no run: `lease:7`, after the position of its grant."""
Commit = NewType("Commit", str)
"""A full object id in lower-case hexadecimal (40 or 64 digits); `""` where there is none yet."""
Token = NewType("Token", int)
"""Fencing token: the journal position (≥ 1) of the grant, so it only grows."""
Seq = NewType("Seq", int)
"""Position in the journal, from 1."""

NAME_CHARS_MAX = 64
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_LEASE = re.compile(r"lease:[1-9][0-9]*")
_QUESTION = re.compile(r"q[0-9]+")
_RUN = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)\.([0-9]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


def name_fault(text: str) -> str:
    """Say why `text` cannot be the id of a plan, item, check or agent; `""` when it can.

    An id is 1 to 64 letters, digits, `_` or `-`, begins with a letter or digit, and does not look like a
    question (`q7`), so that a bare word always names one thing, and never reaches a shell, a path or an option.
    """
    if not text:
        return "is empty"
    if len(text) > NAME_CHARS_MAX:
        return f"has {len(text)} characters, the most is {NAME_CHARS_MAX}"
    if not _NAME.fullmatch(text):
        return "may hold only letters, digits, `_` and `-`, and begins with a letter or digit"
    if _QUESTION.fullmatch(text):
        return "looks like a question's id (q and a number)"
    return ""


def is_question_id(text: str) -> bool:
    """Whether `text` has the form of a question id, `q7`."""
    return bool(_QUESTION.fullmatch(text))


def is_run_id(text: str) -> bool:
    """Whether `text` has the form of a run id, `login.2`."""
    return bool(_RUN.fullmatch(text))


def is_commit(text: str) -> bool:
    """Whether `text` is a full object id."""
    return bool(_COMMIT.fullmatch(text))


def run_id(item: ItemId, attempt: int) -> RunId:
    """Derive the id of the `attempt`-th run (from 1) of `item`: `login.2`."""
    return RunId(f"{item}.{attempt}")


def item_of(run: RunId) -> ItemId:
    """Name the item a run belongs to."""
    return ItemId(run.rpartition(".")[0])


def question_id(number: int) -> QuestionId:
    """Derive the id of the `number`-th question of the fleet (from 1): `q7`."""
    return QuestionId(f"q{number}")


def lease_id(seq: Seq) -> LeaseId:
    """Derive the id of a lease from the position of its grant: `lease:7`."""
    return LeaseId(f"lease:{seq}")


def is_lease_id(text: str) -> bool:
    """Whether `text` has the form of a lease's id, `lease:7`."""
    return bool(_LEASE.fullmatch(text))
