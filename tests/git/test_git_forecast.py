"""How closely changes of two commits touch, with exact fixtures."""

from __future__ import annotations

import random
import subprocess
from itertools import combinations
from pathlib import Path

import pytest

from ganger.core.ids import Commit
from ganger.git import forecast
from ganger.git.forecast import Grade, Touch, changed_lines, common, may_meet, span_grade, touches
from ganger.git.hub import Hub
from ganger.git.repository import open_repository

LINES = [f"line {n}" for n in range(1, 31)]


class Lab:
    """A repository whose branches are commits on the first one, all of them in a hub."""

    def __init__(self, root: Path) -> None:
        self.top = root / "repo"
        self.git_at(root, "init", "-q", "-b", "main", str(self.top))
        self.write({"f.txt": LINES, "g.txt": LINES})
        (self.top / "b.bin").write_bytes(b"\0\1\2" * 50)
        self.base = self.commit()
        self.hub = Hub.open(root / "hub.git", open_repository(self.top), "main")

    def git_at(self, place: Path, *args: str) -> str:
        argv = ["git", "-C", str(place), "-c", "user.name=t", "-c", "user.email=t@localhost", *args]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, files: dict[str, list[str]]) -> None:
        for name, lines in files.items():
            (self.top / name).write_text("".join(f"{line}\n" for line in lines))

    def commit(self) -> Commit:
        self.git_at(self.top, "add", "-A")
        self.git_at(self.top, "commit", "-q", "-m", "x")
        return Commit(self.git_at(self.top, "rev-parse", "HEAD"))

    def made(self, name: str, **changes: str) -> Commit:
        """A commit on the base: `f="5=x 9-10= 12+y"` changes line 5, removes 9 to 10 and adds after 12."""
        self.git_at(self.top, "checkout", "-q", "-b", name, str(self.base))
        for stem, edits in changes.items():
            if stem == "binary":
                (self.top / "b.bin").write_bytes(edits.encode() + b"\0")
            elif stem == "rename":
                self.git_at(self.top, "mv", "f.txt", edits)
            elif stem == "new":
                (self.top / edits).write_text(f"{name}\n")
            else:
                self.write({f"{stem}.txt": edited(edits)})
        commit = self.commit()
        self.hub.fetch(self.top / ".git", (f"+refs/heads/{name}:refs/ganger/candidate/{name}.1",))
        return commit


def edited(edits: str) -> list[str]:
    lines: list[list[str]] = [[line] for line in ["", *LINES]]
    for edit in edits.split():
        if "+" in edit:
            after, text = edit.split("+")
            lines[int(after)].append(text)
        else:
            which, text = edit.split("=")
            first, _, last = which.partition("-")
            for number in range(int(first), int(last or first) + 1):
                lines[number] = []
            lines[int(first)] = [text] if text else []
    return [line for found in lines[1:] for line in found]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


FIXTURES = [
    ("the same line", {"f": "5=x"}, {"f": "5=y"}, Grade.same_lines, ("f.txt",)),
    ("the same line in the same way", {"f": "5=x"}, {"f": "5=x", "g": "30=z"}, Grade.same_lines, ()),
    ("overlapping lines", {"f": "5-8=x"}, {"f": "8-9=y"}, Grade.same_lines, ("f.txt",)),
    ("added in one place", {"f": "7+x"}, {"f": "7+y"}, Grade.same_lines, ("f.txt",)),
    ("added inside of what another changes", {"f": "5-8=x"}, {"f": "6+y"}, Grade.same_lines, ("f.txt",)),
    ("the next line", {"f": "5=x"}, {"f": "6=y"}, Grade.adjacent, ("f.txt",)),
    ("three lines between", {"f": "5=x"}, {"f": "9=y"}, Grade.adjacent, ()),
    ("four lines between", {"f": "5=x"}, {"f": "10=y"}, Grade.same_file, ()),
    ("removed and added far apart", {"f": "2-3="}, {"f": "20+y"}, Grade.same_file, ()),
    ("one of several is close", {"f": "1=x 20=x"}, {"f": "10=y 22=y"}, Grade.adjacent, ()),
    ("a file is added beside", {"f": "5=x", "new": "a.txt"}, {"f": "9=y"}, Grade.adjacent, ()),
    ("other files", {"f": "5=x"}, {"g": "5=y"}, Grade.none, ()),
    ("binary", {"binary": "a"}, {"binary": "b"}, Grade.ungradable, ("b.bin",)),
    ("renamed by one", {"rename": "h.txt"}, {"f": "5=y"}, Grade.ungradable, ()),
    ("added by both", {"new": "n.txt"}, {"new": "n.txt"}, Grade.ungradable, ("n.txt",)),
    ("the closest of two files counts", {"f": "5=x", "g": "5=x"}, {"f": "20=y", "g": "7=y"}, Grade.adjacent, ()),
]


@pytest.mark.parametrize(
    ("one", "other", "grade", "conflicts"), [row[1:] for row in FIXTURES], ids=[r[0] for r in FIXTURES]
)
def test_how_two_changes_touch(
    lab: Lab, one: dict[str, str], other: dict[str, str], grade: Grade, conflicts: tuple[str, ...]
) -> None:
    pair = lab.made("one", **one), lab.made("other", **other)
    for found in touches(lab.hub, [pair, pair[::-1]]):
        assert (found.grade, found.conflicts) == (grade, conflicts)


def test_many_pairs_at_once_are_as_each_by_itself(lab: Lab) -> None:
    commits = [lab.made(f"c{n}", f=f"{3 * n + 1}=x", **({"g": "1=x"} if n % 2 else {})) for n in range(5)]
    pairs = [(one, other) for one in commits for other in commits if one != other]
    assert touches(lab.hub, pairs) == [touches(lab.hub, [pair])[0] for pair in pairs]
    assert touches(lab.hub, []) == []


def test_lines_are_those_of_the_base(lab: Lab) -> None:
    made = lab.made("one", f="1=x 5-6= 9+y")
    assert changed_lines(lab.hub, lab.base, made) == {b"f.txt": ((0, 1), (4, 6), (9, 9))}
    assert changed_lines(lab.hub, lab.base, lab.made("two", rename="h.txt")) == {b"f.txt": None, b"h.txt": None}


def test_commits_without_a_common_history_conflict(lab: Lab) -> None:
    lab.git_at(lab.top, "checkout", "-q", "--orphan", "alone")
    lab.write({"other.txt": ["alone"]})
    alone = lab.commit()
    lab.hub.fetch(lab.top / ".git", ("+refs/heads/alone:refs/ganger/candidate/alone.1",))
    one, other = lab.made("one", f="5=x"), lab.made("other", f="5=y")
    strange, close = touches(lab.hub, [(one, alone), (one, other)])
    assert strange == Touch(("(no common history)",), Grade.ungradable, ("(no common history)",))
    assert close.conflicts == ("f.txt",)


def test_names_that_git_would_quote(lab: Lab) -> None:
    lab.git_at(lab.top, "checkout", "-q", "main")
    lab.write({'a "b" ä.txt': LINES})
    lab.base = lab.commit()
    commits = []
    for name, text in (("one", "x"), ("other", "y")):
        lab.git_at(lab.top, "checkout", "-q", "-b", name, str(lab.base))
        lab.write({'a "b" ä.txt': [text, *LINES[1:]]})
        commits.append(lab.commit())
        lab.hub.fetch(lab.top / ".git", (f"+refs/heads/{name}:refs/ganger/candidate/{name}.1",))
    (found,) = touches(lab.hub, [(commits[0], commits[1])])
    assert (found.grade, found.paths) == (Grade.same_lines, ('a "b" ä.txt',))


FOLDERS = {"a": 3, "a/s": 2, "b": 2, "": 2}


def imported(lab: Lab, changes: list[list[str]]) -> list[Commit]:
    """Commits on one base, each with some changes as `git fast-import` reads them; blobs are by name."""
    paths = [f"{folder}/{n}".lstrip("/") for folder, count in FOLDERS.items() for n in range(count)]
    blob = "".join(f"{{0}} line {n}\\n" for n in range(20))
    texts = {path: blob.format(path).replace("\\n", "\n") for path in paths}

    def data(text: str) -> str:
        return f"data {len(text)}\n{text}\n"

    base = "".join(f"M 100644 inline {path}\n{data(text)}" for path, text in texts.items())
    stream = f"commit refs/heads/base\nmark :1\ncommitter t <t@t> 1 +0000\n{data('base')}deleteall\n{base}\n"
    for number, lines in enumerate(changes):
        stream += f"commit refs/heads/c{number}\ncommitter t <t@t> 2 +0000\n{data(str(number))}from :1\n"
        stream += "".join(f"{line}\n" if line[0] in "DR" else f"{line}\n{data(line * 3)}" for line in lines) + "\n"
    argv = ["git", "-C", str(lab.hub.path), "fast-import", "--quiet"]
    subprocess.run(argv, input=stream.encode(), check=True)
    return [Commit(lab.git_at(lab.hub.path, "rev-parse", f"c{number}")) for number in range(len(changes))]


def random_changes(dice: random.Random) -> list[str]:
    """A few changes that never name one path twice: edits, removals, renames of files and of folders, additions."""
    found: dict[str, str] = {}
    for _ in range(dice.choice((1, 1, 2, 3))):
        folder = dice.choice(list(FOLDERS))
        path = f"{folder}/{dice.randrange(FOLDERS[folder])}".lstrip("/")
        fresh = f"{dice.choice(['a', 'a/s', 'b', 'n', 'b/0', 'a/2/x'])}/new{dice.randrange(3)}"
        kind = dice.choice(("edit", "remove", "rename", "folder", "add", "add"))
        if kind == "folder":
            moved = dice.choice(("a/s", "b"))
            found[moved] = f"R {moved} {dice.choice(('q', 'a/q'))}"
            break
        line = {"edit": f"M 100644 inline {path}", "remove": f"D {path}", "rename": f"R {path} {fresh}"}
        found[path if kind != "add" else fresh] = line.get(kind, f"M 100644 inline {fresh}")
    return list(found.values())


def test_what_is_not_merged_would_have_merged(lab: Lab) -> None:
    """Against the slow alternative, which merges every pair: renamed folders, and files where folders were."""
    dice = random.Random(1)
    sets = [random_changes(dice) for _ in range(40)]
    sets += [["R b q"], ["M 100644 inline b/new"], ["M 100644 inline x"], ["M 100644 inline x/y"], ["D b/0", "D b/1"]]
    commits = imported(lab, sets)
    base = common(lab.hub, commits[0], commits[1])
    assert base is not None
    changes = forecast._changes(lab.hub, [(base, commit) for commit in commits])
    pairs = list(combinations(commits, 2))
    merged = dict(zip(pairs, forecast._conflicts(lab.hub, pairs), strict=True))
    left_out = [pair for pair in pairs if not may_meet(*(changes[base, one] for one in pair))]
    assert {merged[pair] for pair in left_out} == {()}
    assert len(left_out) > len(pairs) / 4 and sum(1 for found in merged.values() if found) > 50
    assert touches(lab.hub, left_out[:3]) == [Touch((), Grade.none, ())] * 3


@pytest.mark.parametrize(
    ("one", "other", "grade"),
    [
        ((0, 1), (0, 1), Grade.same_lines),
        ((4, 4), (4, 4), Grade.same_lines),
        ((4, 4), (4, 6), Grade.adjacent),
        ((4, 8), (6, 6), Grade.same_lines),
        ((0, 2), (5, 6), Grade.adjacent),
        ((0, 2), (6, 7), Grade.same_file),
    ],
)
def test_spans(one: tuple[int, int], other: tuple[int, int], grade: Grade) -> None:
    assert span_grade(one, other) is span_grade(other, one) is grade
