"""What became of the assertions of one test: which are gone, which say less, which expect something else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import TypeAlias

from msgspec import Struct

from ganger.core.model import Weakening
from ganger.verifier.weakened.suite import Assertion, likeness, was_is, words

ALIKE = 0.6
"""From this likeness on, two texts are taken for versions of one."""
REWRITTEN = 0.3
"""From this likeness of subjects on, the same expectation is taken for the same assertion, written for another name."""
PAIRS_MAX = 4_000
"""Pairs of left-over assertions that are compared by likeness; the rest is taken in order."""

_BELOW, _ABOVE = ("<", "<="), (">", ">=")
_TIGHTER = {("<=", "<"), (">=", ">"), ("contains", "starts with"), ("contains", "ends with"), ("any", "all")}
_BROAD = {"Exception", "BaseException", "object", "Error", "Throwable", ""}

Key: TypeAlias = tuple[str, ...]


class Loss(Struct, frozen=True, gc=False):
    """One assertion that says less than it did; the line is in the candidate, 0 where it is gone."""

    line: int
    kind: Weakening
    detail: str


def key(assertion: Assertion) -> Key:
    """Give what two assertions share that say the same."""
    width = "" if assertion.width is None else repr(assertion.width)
    return (assertion.subject, f"{assertion.relation} {width}", f"{assertion.expected} {assertion.extra}")


def full_key(assertion: Assertion) -> Key:
    """Give the same with local names replaced, so that it does not matter how the test names its steps."""
    return (assertion.full, *key(assertion)[1:2], assertion.extra)


def keys_of(assertion: Assertion) -> set[Key]:
    """Give the keys under which an assertion can be found that was another test's before.

    What its locals are is not the same in another test: its plain key stands for it only where they are not known.
    """
    plain = key(assertion)
    return {full_key(assertion), ("any", *plain), *([plain] if _is_plain(assertion) else [])}


def is_among(assertion: Assertion, keys: Set[Key]) -> bool:
    """Tell whether an assertion is one of those whose keys are given."""
    plain = key(assertion)
    return full_key(assertion) in keys or plain in keys or (_is_plain(assertion) and ("any", *plain) in keys)


def _is_plain(assertion: Assertion) -> bool:
    return assertion.full in ("", f"{assertion.subject} {assertion.expected}")


def losses(base: Sequence[Assertion], candidate: Sequence[Assertion], elsewhere: Set[Key]) -> tuple[Loss, ...]:
    """Compare the assertions of two versions of a test.

    `elsewhere` are the keys of what other tests newly assert: an assertion that moved there is not lost.
    """
    ours = [each for each in base if not each.void]
    theirs = [each for each in candidate if not each.void]
    void = [each for each in candidate if each.void]
    ours, theirs, found = _same(ours, theirs)
    ours, theirs = _without_equal_full(ours, theirs)
    ours, theirs, judged = _by_subject(ours, theirs)
    found += judged
    ours, theirs = _rewritten(ours, theirs)
    ours = [each for each in ours if not _is_covered(each, theirs)]
    ours = [each for each in ours if not is_among(each, elsewhere)]
    ours, judged = _voided(ours, void)
    found += judged
    ours, theirs, judged = _by_likeness(ours, theirs)
    found += judged
    tautologies = [each for each in void if each.void == "always true"]
    for was, now in zip(ours, tautologies, strict=False):
        found.append(Loss(now.line, Weakening.assertion_loosened, was_is(was.text, now.text)))
    for was in ours[len(tautologies) :]:
        found.append(Loss(0, Weakening.assertion_removed, f"`{was.text}` is gone"))
    return tuple(found)


def judge(was: Assertion, now: Assertion) -> Weakening | None:
    """Judge an assertion that replaced another about the same subject; None where it says as much or more."""
    if was.relation == "raises" and now.relation == "raises":
        return _judge_raises(was, now)
    if now.rank != was.rank:
        return Weakening.assertion_loosened if now.rank < was.rank else None
    if was.relation != now.relation:
        return None if (was.relation, now.relation) in _TIGHTER else Weakening.assertion_loosened
    if _is_wider(was.width, now.width):
        return Weakening.assertion_loosened
    if was.extra and not now.extra:
        return Weakening.assertion_loosened
    if was.expected == now.expected:
        return Weakening.expected_changed if was.extra and was.extra != now.extra else None
    if was.expected and not now.expected:
        return Weakening.assertion_loosened
    if not was.expected:
        return None
    return _judge_bound(was, now)


def _judge_bound(was: Assertion, now: Assertion) -> Weakening | None:
    """Judge another expectation: for a bound, a wider one is looser and a narrower one no loss."""
    if was.relation not in (*_BELOW, *_ABOVE):
        return Weakening.expected_changed
    before, after = _number(was.expected), _number(now.expected)
    if before is None or after is None:
        return Weakening.expected_changed
    is_wider = after > before if was.relation in _BELOW else after < before
    return Weakening.assertion_loosened if is_wider else None


def _judge_raises(was: Assertion, now: Assertion) -> Weakening | None:
    if was.expected != now.expected:
        before, after = _names(was.expected), _names(now.expected)
        if before <= _BROAD and after and not after & _BROAD:
            return None
        if before - _BROAD and (not after or after & _BROAD or before < after):
            return Weakening.assertion_loosened
        if not after < before:
            return Weakening.expected_changed
    if was.extra and not now.extra:
        return Weakening.assertion_loosened
    return Weakening.expected_changed if was.extra and was.extra != now.extra else None


def _names(text: str) -> set[str]:
    return {name.strip().rpartition(".")[2] for name in text.strip("()").split(",") if name.strip()}


def _is_wider(before: float | None, after: float | None) -> bool:
    return after is not None and (before is None or after > before)


def _number(text: str) -> float | None:
    try:
        return float(text.replace("_", "").replace(" ", ""))
    except ValueError:
        return None


def _same(base: list[Assertion], candidate: list[Assertion]) -> tuple[list[Assertion], list[Assertion], list[Loss]]:
    """Take out what both have, and name what stands under a condition that it did not stand under."""
    at: defaultdict[Key, list[Assertion]] = defaultdict(list)
    for each in candidate:
        at[key(each)].append(each)
    left: list[Assertion] = []
    found: list[Loss] = []
    taken: set[int] = set()
    for was in base:
        same = at.get(key(was))
        if not same:
            left.append(was)
            continue
        now = next((each for each in same if set(each.under) <= set(was.under)), same[0])
        same.remove(now)
        taken.add(id(now))
        added = [each for each in now.under if each not in was.under]
        if added and not was.under and not _has_other_branch(now, candidate):
            found.append(
                Loss(now.line, Weakening.assertion_loosened, f"`{was.text}` is asserted only under `{added[0]}`")
            )
    return left, [each for each in candidate if id(each) not in taken], found


def _has_other_branch(assertion: Assertion, among: Iterable[Assertion]) -> bool:
    """Tell whether something is asserted of the same subject under other conditions, too."""
    return any(
        each.subject == assertion.subject and each.under != assertion.under and each is not assertion for each in among
    )


def _without_equal_full(base: list[Assertion], candidate: list[Assertion]) -> tuple[list[Assertion], list[Assertion]]:
    there = Counter(full_key(each) for each in candidate)
    left = []
    gone: Counter[Key] = Counter()
    for was in base:
        same = full_key(was)
        if gone[same] < there[same]:
            gone[same] += 1
        else:
            left.append(was)
    rest = []
    for now in candidate:
        same = full_key(now)
        if gone[same]:
            gone[same] -= 1
        else:
            rest.append(now)
    return left, rest


def _by_subject(
    base: list[Assertion], candidate: list[Assertion]
) -> tuple[list[Assertion], list[Assertion], list[Loss]]:
    """Judge those about the same subject, in order, the same relation first."""
    at: defaultdict[str, list[Assertion]] = defaultdict(list)
    for each in candidate:
        at[each.subject].append(each)
    left: list[Assertion] = []
    found: list[Loss] = []
    taken: set[int] = set()
    for was in base:
        about = at.get(was.subject)
        if not about:
            left.append(was)
            continue
        now = _nearest(was, about)
        about.remove(now)
        taken.add(id(now))
        found += _loss(was, now)
    return left, [each for each in candidate if id(each) not in taken], found


def _nearest(was: Assertion, among: Sequence[Assertion]) -> Assertion:
    same = [each for each in among if each.relation == was.relation] or among
    if len(same) == 1:
        return same[0]
    return max(same[:20], key=lambda each: likeness(was.expected, each.expected))


def _loss(was: Assertion, now: Assertion) -> Iterator[Loss]:
    kind = judge(was, now)
    if kind is not None:
        if was.text == now.text:
            yield Loss(now.line, kind, f"`{was.text}`, expected: {was_is(was.expected, now.expected)}")
        else:
            yield Loss(now.line, kind, was_is(was.text, now.text))


def _rewritten(base: list[Assertion], candidate: list[Assertion]) -> tuple[list[Assertion], list[Assertion]]:
    """Take out those that insist on the same of something that is called otherwise."""
    at: defaultdict[tuple[str, str], list[Assertion]] = defaultdict(list)
    for each in candidate:
        at[each.expected, each.extra].append(each)
    left = []
    taken: set[int] = set()
    for was in base:
        like = [
            each
            for each in at.get((was.expected, was.extra), ())[:20]
            if id(each) not in taken and judge(was, each) is None and _is_renamed(was, each)
        ]
        if like:
            taken.add(id(max(like, key=lambda each: likeness(was.subject, each.subject))))
        else:
            left.append(was)
    return left, [each for each in candidate if id(each) not in taken]


def _is_renamed(was: Assertion, now: Assertion) -> bool:
    if was.rank <= 3:
        return likeness(was.subject, now.subject) >= ALIKE
    return likeness(was.subject, now.subject) >= REWRITTEN or likeness(was.full, now.full) >= ALIKE


def _is_covered(was: Assertion, among: Sequence[Assertion]) -> bool:
    """Tell whether one that insists as much says everything that this one said, and more."""
    ours = words(f"{was.subject} {was.expected} {was.extra}")
    return any(
        each.rank >= was.rank and ours <= words(f"{each.subject} {each.expected} {each.extra}") for each in among[:200]
    )


def _voided(base: list[Assertion], void: Sequence[Assertion]) -> tuple[list[Assertion], list[Loss]]:
    """Judge those that stand there as they did, where they can never fail."""
    at: defaultdict[Key, list[Assertion]] = defaultdict(list)
    for each in void:
        at[key(each)].append(each)
    left: list[Assertion] = []
    found: list[Loss] = []
    for was in base:
        same = at.get(key(was))
        if not same:
            left.append(was)
            continue
        now = same.pop(0)
        kind = Weakening.assertion_removed if now.void == "never reached" else Weakening.assertion_loosened
        found.append(Loss(now.line, kind, f"`{was.text}` is {now.void}"))
    return left, found


def _by_likeness(
    base: list[Assertion], candidate: list[Assertion]
) -> tuple[list[Assertion], list[Assertion], list[Loss]]:
    """Judge those about subjects that look like versions of one."""
    if len(base) * len(candidate) > PAIRS_MAX:
        return base, candidate, []
    left: list[Assertion] = []
    found: list[Loss] = []
    free = list(candidate)
    for was in base:
        alike = [each for each in free if likeness(was.subject, each.subject) >= ALIKE]
        if not alike:
            left.append(was)
            continue
        now = max(alike, key=lambda each: likeness(was.text, each.text))
        free.remove(now)
        found += _loss(was, now)
    return left, free, found
