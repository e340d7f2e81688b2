"""Find, in two versions of the same tests, what the later one does not see any more.

A test that is not where it was is looked for before it counts as deleted: by its name in another file, then by its
words, then by its assertions, which another test may have taken over.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cached_property

from ganger.core.model import Weakened, Weakening
from ganger.verifier.weakened.assertions import ALIKE, Key, is_among, key, keys_of, losses
from ganger.verifier.weakened.followers import followers
from ganger.verifier.weakened.python_asserts import METHODS
from ganger.verifier.weakened.replacing import replacing
from ganger.verifier.weakened.suite import (
    Assertion,
    Call,
    Case,
    Constant,
    Content,
    Note,
    Row,
    Suite,
    Table,
    likeness,
    one_line,
    substituted,
    was_is,
)

NAMED_ALIKE = 0.3
"""From this likeness on, a test of the same name in another file is the same test."""
SEARCHES_MAX = 20_000
"""Pairs of tests that are compared by their words, in one comparison."""
FLATTENED_MAX = 400
"""Assertions that one test is seen to have, those of its helpers among them."""
ROWS_TRIED_MAX = 100
"""Rows of a table that are put into assertions, to find them written out elsewhere."""
_DEPTH_MAX = 3
_ASSERTING = ("assert", "check", "expect", "verify", "ensure", "should", "require", "must")


class Version:
    """The tests and helpers of one version of all files, and where to find them."""

    def __init__(self, suites: Sequence[Suite]) -> None:
        self.suites = suites
        self.at: dict[tuple[str, str], Case] = {}
        self.shadowed: defaultdict[tuple[str, str], list[Case]] = defaultdict(list)
        self._named: defaultdict[str, list[Case]] = defaultdict(list)
        self._fixtures: dict[tuple[str, ...], Table] | None = None
        for case in (case for suite in suites for case in suite.cases):
            place = (case.path, case.name)
            if place in self.at and not case.is_collected:
                self.shadowed[place].append(case)
                continue
            if place in self.at:
                self.shadowed[place].append(self.at[place])
            self.at[place] = case
            if not case.is_collected:
                self._named[_last(case.name)].append(case)

    def helper(self, name: str, path: str) -> Case | None:
        """Find the helper that a call in a file means: one of that file first."""
        named = self._named.get(name, ())
        return next((case for case in named if case.path == path), named[0] if named else None)

    def fixtures(self) -> dict[tuple[str, ...], Table]:
        """Give the rows of parametrised fixtures, by the argument that gets them."""
        if self._fixtures is None:
            setups = [case for cases in self._named.values() for case in cases if case.is_setup]
            self._fixtures = {table.names: table for case in setups for table in _own(case, case.content())}
        return self._fixtures

    def assertions(self, case: Case) -> list[Assertion]:
        """List what a test asserts, by itself and by its helpers."""
        return list(self._flattened(case, case.content(), _DEPTH_MAX, frozenset({case.name})))[:FLATTENED_MAX]

    def _flattened(self, case: Case, content: Content, depth: int, seen: frozenset[str]) -> Iterator[Assertion]:
        yield from content.assertions
        for call in content.calls[:FLATTENED_MAX]:
            helper = self.helper(call.name, case.path)
            if helper is None or helper.name in seen:
                if helper is None and call.name.lstrip("_").lower().startswith(_ASSERTING):
                    yield _of_unknown(call)
            elif depth:
                inside = self._flattened(helper, helper.content(), depth - 1, seen | {helper.name})
                for nth, each in enumerate(inside):
                    if nth >= FLATTENED_MAX:
                        break
                    yield _called(each, call, dict(zip(helper.parameters, call.arguments, strict=False)))


class Comparison:
    """One comparison of two versions."""

    def __init__(self, base: Sequence[Suite], candidate: Sequence[Suite], is_runnable: Callable[[Case, Case], bool]):
        self.base, self.candidate = Version(base), Version(candidate)
        self.is_runnable = is_runnable
        self.pairs: list[tuple[Case, Case]] = []
        self.lost: list[Case] = []
        self.searches = 0

    def run(self) -> Iterator[Weakened]:
        """Give every weakening, in no order that matters."""
        yield from self._pair()
        yield from self._find_lost()
        for was, now in self.pairs:
            if was.says_as_much_as(now):
                continue
            yield from self._compare(was, now)
            yield from _skips(was, now)
        yield from self._compare_helpers()
        yield from self._notes()
        yield from self._replaced_imports()
        yield from followers(self.base.suites, self.candidate.suites, self._versions(), self.candidate.helper)
        yield from replacing(
            self.base.suites, self.candidate.suites, self.pairs, self.candidate.helper, self.base.assertions
        )

    def _versions(self) -> Iterator[tuple[Case, Case]]:
        """Give each test and helper that both versions have."""
        yield from self.pairs
        for place, now in self.candidate.at.items():
            was = self.base.at.get(place)
            if was is not None and not was.is_collected and not now.is_collected:
                yield was, now

    def _pair(self) -> Iterator[Weakened]:
        """Pair the tests that are where they were; what is not there any more is lost for now."""
        for place, was in self.base.at.items():
            if not was.is_collected:
                continue
            now = self.candidate.at.get(place)
            if now is None:
                self.lost.append(was)
                continue
            hidden = [each for each in self.candidate.shadowed[place] if each.source == was.source != now.source]
            if not now.is_collected:
                yield _uncollected(was, now, now.why_not or "its runner does not collect it")
            elif hidden:
                yield _uncollected(was, hidden[0], f"a later `{one_line(now.name)}` takes its place")
            else:
                self.pairs.append((was, now))

    def _find_lost(self) -> Iterator[Weakened]:
        unclaimed = [self._is_dead(case) for case in self.lost]
        missing = [case for case, is_dead in zip(self.lost, unclaimed, strict=True) if not is_dead]
        fresh = [case for place, case in self.candidate.at.items() if not self._was_test(place)]
        for is_collected in (True, False):
            among = [case for case in fresh if case.is_collected is is_collected]
            missing = yield from self._claim(missing, among)
        for was in missing:
            wanted = [each for each in self.base.assertions(was) if not each.void]
            if not wanted or not all(self._is_elsewhere(each) for each in wanted):
                yield Weakened(was.path, was.line, Weakening.deleted, was.name, "the test is gone")

    def _was_test(self, place: tuple[str, str]) -> bool:
        case = self.base.at.get(place)
        return case is not None and case.is_collected

    def _is_dead(self, case: Case) -> bool:
        content = case.content()
        return content.is_trivial or any(not note.conditional for note in content.skips)

    def _claim(self, missing: Sequence[Case], among: list[Case]) -> Generator[Weakened, None, list[Case]]:
        """Find lost tests among those that are new; give those that were not found as the generator's value."""
        by_name: defaultdict[str, list[Case]] = defaultdict(list)
        for case in among:
            by_name[_bare(case.name)].append(case)
        free = {id(case): case for case in among}
        left = []
        for was in missing:
            named = [case for case in by_name.get(_bare(was.name), ()) if id(case) in free]
            now = self._likest(was, named, NAMED_ALIKE)
            if now is None:
                left.append(was)
                continue
            del free[id(now)]
            yield from self._found(was, now)
        rest = []
        for was in left:
            now = self._likest(was, free.values(), ALIKE)
            if now is None:
                rest.append(was)
                continue
            del free[id(now)]
            yield from self._found(was, now)
        return rest

    def _likest(self, was: Case, among: Iterable[Case], at_least: float) -> Case | None:
        best, how_like = None, at_least
        for case in among:
            if self.searches >= SEARCHES_MAX:
                break
            self.searches += 1
            like = likeness(was.source, case.source)
            if like > how_like or (best is None and like >= how_like):
                best, how_like = case, like
        return best

    def _found(self, was: Case, now: Case) -> Iterator[Weakened]:
        if not now.is_collected:
            reason = now.why_not or f"it is `{one_line(now.name)}`, which its runner does not collect"
            yield _uncollected(was, now, reason)
        elif not self.is_runnable(was, now):
            yield _uncollected(was, now, f"it is in `{one_line(now.path)}`, which its runner does not collect")
        else:
            self.pairs.append((was, now))

    @cached_property
    def _elsewhere(self) -> set[Key]:
        """The keys of what the candidate's tests assert that they did not, rows of tables put in."""
        known = {(now.path, now.name): was for was, now in self.pairs}
        found: set[Key] = set()
        for place, now in self.candidate.at.items():
            was = known.get(place)
            if not now.is_collected or (was is not None and was.source == now.source):
                continue
            old = {key(each) for each in self.base.assertions(was)} if was is not None else set()
            for each in self._written_out(self.candidate, now):
                if not each.void and key(each) not in old:
                    found |= keys_of(each)
        return found

    def _written_out(self, version: Version, case: Case) -> Iterator[Assertion]:
        """Give what a test asserts, once as it stands and once with each row of its tables put in."""
        assertions = version.assertions(case)
        yield from assertions
        for table in case.content().tables:
            for row in table.rows[:ROWS_TRIED_MAX]:
                yield from _with_row(assertions, table, row)

    def _is_elsewhere(self, assertion: Assertion) -> bool:
        return is_among(assertion, self._elsewhere)

    def _compare(self, was: Case, now: Case) -> Iterator[Weakened]:
        before, after = was.content(), now.content()
        if any(not note.conditional for note in (*before.skips, *after.skips)):
            return
        if after.is_trivial and not before.is_trivial:
            yield Weakened(now.path, now.line, Weakening.emptied, now.name, "nothing is left in the test")
            return
        yield from self._compare_tables(was, now, before.tables, after.tables)
        ours, theirs = self.base.assertions(was), self.candidate.assertions(now)
        if not ours:
            ours, theirs = _calls(before), [*theirs, *_calls(after)]
        if [key(each) for each in ours] == [key(each) for each in theirs] and ours == theirs:
            return
        for loss in losses(ours, theirs, self._elsewhere_if_needed(ours, theirs)):
            yield Weakened(now.path, loss.line or now.line, loss.kind, now.name, loss.detail)

    def _elsewhere_if_needed(self, ours: Sequence[Assertion], theirs: Sequence[Assertion]) -> set[Key]:
        still = Counter(key(each) for each in theirs if not each.void)
        gone = Counter(key(each) for each in ours if not each.void) - still
        return self._elsewhere if gone else set()

    def _compare_tables(
        self, was: Case, now: Case, before: Sequence[Table], after: Sequence[Table]
    ) -> Iterator[Weakened]:
        free = list(after)
        for table in before:
            same = next((each for each in free if each.names == table.names), None) or (free[0] if free else None)
            if same is not None:
                free.remove(same)
            elif set(table.names) <= set(now.parameters):
                same = self.candidate.fixtures().get(table.names)
            if same is not None and same.names != table.names:
                table, same = _common(table, same)
            yield from self._compare_rows(was, now, table, same)

    def _compare_rows(self, was: Case, now: Case, table: Table, same: Table | None) -> Iterator[Weakened]:
        rows = same.rows if same is not None else ()
        line = same.line if same is not None else now.line
        there = Counter(row.text for row in rows)
        known = Counter(row.text for row in table.rows)
        fresh = [row for row in rows if row.text not in known]
        gone = []
        seen: Counter[str] = Counter()
        for row in table.rows:
            seen[row.text] += 1
            if seen[row.text] > there[row.text]:
                gone.append(row)
        by_text = {row.text: row for row in table.rows}
        for row in rows:
            old = by_text.get(row.text)
            for kind in (Weakening.skipped, Weakening.xfailed):
                mark = getattr(row, kind.value)
                if old is not None and mark and not getattr(old, kind.value):
                    detail = f"row `{one_line(row.text)}`: `{one_line(mark)}`"
                    yield Weakened(now.path, row.line, kind, now.name, detail)
        cut = []
        for row in gone:
            other = _changed_row(row, fresh)
            if other is None:
                cut.append(row)
                continue
            fresh.remove(other)
            if len(row.parts) > 1:
                detail = was_is(row.text, other.text)
                yield Weakened(now.path, other.line, Weakening.expected_changed, now.name, detail)
        cut = [row for row in cut if not self._is_written_elsewhere(was, table, row)]
        if cut:
            detail = f"{len(cut)} of {len(table.rows)} rows gone, first `{one_line(cut[0].text)}`"
            yield Weakened(now.path, line, Weakening.parameters_cut, now.name, detail)

    def _is_written_elsewhere(self, case: Case, table: Table, row: Row) -> bool:
        wanted = list(_with_row([each for each in self.base.assertions(case) if not each.void], table, row))
        return bool(wanted) and all(self._is_elsewhere(each) for each in wanted)

    def _compare_helpers(self) -> Iterator[Weakened]:
        """Compare what is no test itself: helpers that assert, and what runs around tests."""
        for place, now in self.candidate.at.items():
            if now.is_collected:
                continue
            was = self.base.at.get(place)
            if was is None:
                if "." in now.name and _last(now.name).lower() in METHODS:
                    detail = f"`{one_line(_last(now.name))}` is defined anew"
                    yield Weakened(now.path, now.line, Weakening.assertion_loosened, now.name, detail)
                if now.is_setup and any(path == now.path for path, _ in self.base.at):
                    yield from _new_notes(now, (), now.content().skips, Weakening.skipped)
                continue
            if was.is_collected or was.source == now.source:
                continue
            before, after = was.content(), now.content()
            if now.is_setup:
                yield from _new_notes(now, before.skips, after.skips, Weakening.skipped)
            if now.is_setup or before.assertions:
                yield from self._compare_tables(was, now, _own(was, before), _own(now, after))
            ours = [each for each in before.assertions if not each.void]
            if ours:
                for loss in losses(ours, after.assertions, self._elsewhere):
                    yield Weakened(now.path, loss.line or now.line, loss.kind, now.name, loss.detail)

    def _notes(self) -> Iterator[Weakened]:
        known = {(suite.path, note.text) for suite in self.base.suites for note in suite.notes}
        paths = {suite.path for suite in self.base.suites}
        for suite in self.candidate.suites:
            for note in suite.notes:
                concerns_others = suite.path in paths or suite.language != "javascript"
                if concerns_others and (suite.path, note.text) not in known:
                    yield Weakened(suite.path, note.line, Weakening.skipped, note.owner, f"`{one_line(note.text)}`")

    def _replaced_imports(self) -> Iterator[Weakened]:
        """Name what a test file took from elsewhere, and now defines itself: it tests or asserts with its own."""
        before = {(suite.path, each.name): each.text for suite in self.base.suites for each in suite.imported}
        own = {(suite.path, each.name) for suite in self.base.suites for each in suite.defined}
        for suite in self.candidate.suites:
            imported = {each.name for each in suite.imported}
            for each in suite.defined:
                yield from self._made_anew(suite.path, each)
                source = before.get((suite.path, each.name))
                is_new = each.name not in imported or (suite.path, each.name) not in own
                if source is not None and is_new:
                    detail = f"`{one_line(each.name)}` of `{one_line(source)}` is defined by the test file itself"
                    yield Weakened(suite.path, each.line, Weakening.assertion_loosened, "", detail)

    def _made_anew(self, path: str, defined: Constant) -> Iterator[Weakened]:
        """Name a helper that asserted, and is something else than a function now."""
        was = self.base.at.get((path, defined.name))
        if was is None or was.is_collected or (path, defined.name) in self.candidate.at:
            return
        if any(not each.void for each in was.content().assertions):
            detail = f"`{one_line(defined.name)}`, which asserts, is something else now"
            yield Weakened(path, defined.line, Weakening.assertion_loosened, "", detail)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _bare(name: str) -> str:
    """Give the part of a name that is left when it is hidden from a runner: `_test_x`, `check_x`, `xtest_x`."""
    bare = _last(name).lstrip("_").lower()
    for prefix in ("disabled_", "skip_", "xtest_", "no_test_", "test_", "check_", "test"):
        if bare.startswith(prefix) and bare != prefix:
            return bare[len(prefix) :].lstrip("_")
    return bare


def _uncollected(was: Case, now: Case, reason: str) -> Weakened:
    return Weakened(now.path, now.line, Weakening.uncollected, was.name, f"not collected: {reason}")


def _skips(was: Case, now: Case) -> Iterator[Weakened]:
    """Name what newly skips a test, or lets it fail."""
    before, after = was.content(), now.content()
    if any(not note.conditional for note in before.skips):
        return
    yield from _new_notes(now, before.skips, after.skips, Weakening.skipped)
    yield from _new_notes(now, before.xfails, after.xfails, Weakening.xfailed)


def _new_notes(now: Case, before: Sequence[Note], after: Sequence[Note], kind: Weakening) -> Iterator[Weakened]:
    known = {note.text for note in before}
    for note in after:
        if note.text in known:
            continue
        detail = f"`{one_line(note.text)}`"
        if len(before) == len(after) == 1:
            detail = was_is(before[0].text, note.text)
        yield Weakened(now.path, note.line, kind, note.owner, detail)


def _own(case: Case, content: Content) -> tuple[Table, ...]:
    """Give the tables of a helper that are worth a comparison: of a fixture not its loops, which assert nothing."""
    if not case.is_setup or content.assertions:
        return content.tables
    return tuple(table for table in content.tables if len(table.names) == 1 and table.line <= case.line)


def _common(table: Table, other: Table) -> tuple[Table, Table]:
    """Leave in two tables the columns that both have, where their names tell."""
    names = [name for name in table.names if name in other.names]
    if not names:
        return table, other
    return _columns(table, names), _columns(other, names)


def _columns(table: Table, names: Sequence[str]) -> Table:
    rows = []
    for row in table.rows:
        if len(row.parts) != len(table.names):
            return table
        parts = tuple(row.parts[table.names.index(name)] for name in names)
        rows.append(Row(row.line, f"({', '.join(parts)})", parts, row.skipped, row.xfailed))
    return Table(table.line, tuple(names), tuple(rows))


def _changed_row(row: Row, among: Sequence[Row]) -> Row | None:
    """Find the row that this one became: half of its parts the same, or words mostly the same."""
    best, how_like = None, 0.5
    for each in among[:50]:
        if len(row.parts) > 1:
            shared = (Counter(row.parts) & Counter(each.parts)).total() / len(row.parts)
            like = shared if shared else likeness(row.text, each.text) - 0.3
        else:
            like = likeness(row.text, each.text)
        if like > how_like or (best is None and like >= how_like):
            best, how_like = each, like
    return best


def _with_row(assertions: Iterable[Assertion], table: Table, row: Row) -> Iterator[Assertion]:
    values = dict(zip(table.names, row.parts or (row.text,), strict=False))
    for each in assertions:
        yield _replaced(each, values, each.line, each.void)


def _called(assertion: Assertion, call: Call, values: dict[str, str]) -> Assertion:
    return _replaced(assertion, values, call.line, assertion.void or call.void)


def _replaced(assertion: Assertion, values: dict[str, str], line: int, void: str) -> Assertion:
    return Assertion(
        line=line,
        text=one_line(substituted(assertion.text, values)),
        subject=substituted(assertion.subject, values),
        relation=assertion.relation,
        expected=substituted(assertion.expected, values),
        rank=assertion.rank,
        width=assertion.width,
        extra=substituted(assertion.extra, values),
        under=assertion.under,
        void=void,
        full=substituted(assertion.full, values),
    )


def _calls(content: Content) -> list[Assertion]:
    """Take all calls for assertions, for a test that has no others: it leaves them to what it calls."""
    return [_of_unknown(call) for call in content.calls]


def _of_unknown(call: Call) -> Assertion:
    """Take a call of something whose name says that it asserts, and that is defined elsewhere."""
    subject, *rest = call.arguments or ("",)
    text = f"{call.name}({', '.join(call.arguments)})"
    expected = ", ".join(rest)
    return Assertion(
        call.line, one_line(text), subject, call.name, expected, 5, void=call.void, full=f"{call.name} {text}"
    )
