"""Predicates as real programs: whatever they do, it is no objection or a refusal, and nothing of them is left."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from ganger.core import events as ev
from ganger.core.evolve import evolve
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Seq
from ganger.core.model import ItemSpec, LeaseMode, Refusal, RefusalCode
from ganger.core.state import State
from ganger.drivers.process_table import read_table
from ganger.errors import StateDirError
from ganger.service import predicates
from ganger.service.predicates import Held, Predicates, Question, Request, question_about
from ganger.service.programs import MARGIN_MS
from ganger.service.tables import Predicate

QUESTION = Question(
    request=Request("login", "auth", ("src/auth/**",), "auth", "fixer", "patcher"),
    leases=(Held("docs.1", ("docs/**",), "shared"), Held("lease:7", ("*.md",), "exclusive")),
)
LIMIT_MS = 600
COULD_NOT = "predicate p could not be asked: "


def gate(root: Path, *programs: Predicate) -> Predicates:
    """Predicates of a fleet whose work tree is `root`."""
    return Predicates(root / "state", root, programs)


def script(root: Path, text: str, name: str = "p", timeout_ms: int = 5_000) -> Predicate:
    """A predicate that is a Python program."""
    path = root / f"{name}.py"
    path.write_text("import json, os, signal, sys, time\n" + text)
    return Predicate(name, (sys.executable, "-I", "-S", str(path)), timeout_ms)


def reason(refusal: Refusal | None) -> str:
    """Why it was refused; empty when it was not."""
    if refusal is None:
        return ""
    assert refusal.code is RefusalCode.predicate
    return refusal.reason


ANSWERS = {
    "no objection": ("print('fine')", ""),
    "a reason": ("print('a freeze\\nand more'); sys.exit(1)", "predicate p refused: a freeze"),
    "no reason": ("sys.exit(1)", "predicate p refused: it gave no reason"),
    "an exception": ("raise OSError('secret')", "predicate p refused: it gave no reason"),
    "a reason on stderr too": (
        "print('warning: old', file=sys.stderr); print('not now'); sys.exit(1)",
        "predicate p refused: not now",
    ),
    "control characters": (
        "print('\\x1b[31mred\\u202e \\x07'); sys.exit(1)",
        "predicate p refused: \\x1b[31mred\\u202e \\x07",
    ),
    "a long reason": ("print('no' * 1000); sys.exit(1)", "predicate p refused: " + "no" * 250),
    "escapes make it long": ("print('\\x1b' * 1000); sys.exit(1)", "predicate p refused: " + "\\x1b" * 125),
    "another status": ("sys.exit(3)", COULD_NOT + "it exited with 3"),
    "a crash": ("os.kill(os.getpid(), signal.SIGSEGV)", COULD_NOT + "signal 11 ended it"),
    "garbage": ("os.write(1, b'\\xff\\xfe\\x00'); sys.exit(1)", COULD_NOT + "it printed bytes that are no text"),
    "garbage and no objection": ("os.write(1, b'\\xff')", COULD_NOT + "it printed bytes that are no text"),
    "a flood": ("print('x' * 70_000)", COULD_NOT + "it printed more than 64 KiB"),
    "it closes its output": ("os.close(1); os.close(2)", ""),
    "it does not read": ("os.close(0); sys.exit(0)", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_answers(tmp_path: Path, name: str) -> None:
    text, expected = ANSWERS[name]
    assert [reason(no) for no in gate(tmp_path, script(tmp_path, text)).ask([QUESTION])] == [expected]


def test_what_it_reads_and_where_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "secret")
    monkeypatch.setenv("GANGER_STATE", "/elsewhere")
    seen = "json.dump([json.load(sys.stdin), sorted(os.environ), os.getcwd()], open('seen', 'w'))"
    assert gate(tmp_path, script(tmp_path, seen)).ask([QUESTION]) == (None,)
    question, names, folder = json.loads((tmp_path / "seen").read_bytes())
    assert question == {
        "kind": "ganger.predicate",
        "version": 1,
        "request": {
            "item": "login",
            "plan": "auth",
            "scope": ["src/auth/**"],
            "lane": "auth",
            "agent": "fixer",
            "kind": "patcher",
        },
        "leases": [
            {"holder": "docs.1", "scope": ["docs/**"], "mode": "shared"},
            {"holder": "lease:7", "scope": ["*.md"], "mode": "exclusive"},
        ],
    }
    assert not {"API_TOKEN", "GANGER_STATE"} & set(names) and {"HOME", "TMPDIR", "PATH"} <= set(names)
    assert folder == str(tmp_path)
    assert list((tmp_path / "state" / "scratch").iterdir()) == [], "its folders are gone"


def test_programs_that_cannot_be_started(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.write_text("exit 0\n")
    broken = tmp_path / "broken"
    broken.write_text("#!/no/such/interpreter\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    programs = [Predicate(name, (f"./{name}",), LIMIT_MS) for name in ("missing", "plain", "broken")]
    assert [reason(gate(tmp_path, one).ask([QUESTION])[0]) for one in programs] == [
        "predicate missing could not be asked: cannot start ./missing: there is no such program",
        "predicate plain could not be asked: cannot start ./plain: it is not an executable file",
        f"predicate broken could not be asked: [Errno 2] No such file or directory: '{broken}'",
    ]


HANGS = {
    "it sleeps": "time.sleep(60)",
    "it ignores signals": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\nwhile True: time.sleep(1)",
    "it floods": "while True: os.write(1, b'x' * 65536)",
    "it floods stderr": "while True: os.write(2, b'x' * 65536)",
    "it stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
}


def test_hanging_ones_take_no_longer_than_their_limit_side_by_side(tmp_path: Path) -> None:
    programs = [script(tmp_path, text, f"p{number}", LIMIT_MS) for number, text in enumerate(HANGS.values())]
    began = time.monotonic()
    found = [gate(tmp_path, one) for one in programs]
    together = gate(tmp_path, *programs).ask([QUESTION])
    took_ms = (time.monotonic() - began) * 1000
    assert reason(together[0]) == "predicate p0 could not be asked: it took longer than 0.6 s"
    assert took_ms < LIMIT_MS + MARGIN_MS + 1_500, "five of them, one after the other, would take 3 s"
    said = [reason(one.ask([QUESTION])[0]).partition(": ")[2] for one in found[2:]]
    assert said == ["it took longer than 0.6 s"] * 3


TREES = {
    "a child": "if os.fork() == 0: time.sleep(600)",
    "a daemon": "if os.fork() == 0:\n os.setsid()\n os.fork() and os._exit(0)\n"
    " os.execve('/bin/sleep', ['x', '600'], {})",
    "a daemon of one that hangs": "if os.fork() == 0:\n os.setsid()\n time.sleep(600)\ntime.sleep(600)",
    "many": "for _ in range(30):\n if os.fork() == 0:\n  os.setsid(); time.sleep(600)",
}


@pytest.mark.parametrize("name", TREES)
def test_nothing_of_its_tree_survives(tmp_path: Path, name: str) -> None:
    before = set(read_table())
    answer = gate(tmp_path, script(tmp_path, TREES[name], timeout_ms=LIMIT_MS)).ask([QUESTION])
    assert (answer == (None,)) == ("hangs" not in name)
    left = [pid for pid in set(read_table()) - before if _is_of(pid, tmp_path)]
    assert left == []


def _is_of(pid: int, root: Path) -> bool:
    """Whether a process runs, or was started in, what the test made."""
    try:
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + os.readlink(f"/proc/{pid}/cwd").encode()
    except OSError:
        return False
    return os.fsencode(root) in told


def test_the_first_refusal_in_the_order_of_the_configuration_counts(tmp_path: Path) -> None:
    slow = script(tmp_path, "time.sleep(0.3); print('slow'); sys.exit(1)", "slow")
    quick = script(tmp_path, "print('quick'); sys.exit(1)", "quick")
    yes = script(tmp_path, "pass", "yes")
    refusal = gate(tmp_path, yes, slow, quick).ask([QUESTION])[0]
    assert refusal is not None and (refusal.holder, refusal.reason) == ("slow", "predicate slow refused: slow")


def test_each_question_gets_its_own_answer(tmp_path: Path) -> None:
    """Only those that are objected to are refused: nothing else depends on the predicates."""
    odd = script(tmp_path, "n = int(json.load(sys.stdin)['request']['item'][1:])\nif n % 2: print(n); sys.exit(1)")
    questions = [Question(request=Request(f"i{n}", "p", ("a",), "", "a", "k"), leases=()) for n in range(6)]
    found = gate(tmp_path, odd).ask(questions)
    assert [reason(no) for no in found] == [f"predicate p refused: {n}" if n % 2 else "" for n in range(6)]
    assert gate(tmp_path).ask(questions) == (None,) * 6, "without predicates there is no objection"


def test_a_question_holds_what_lives(tmp_path: Path) -> None:
    state = State()
    spec = ItemSpec(ItemId("a"), PlanId("p"), "A", ("src/a/**",), agent="fixer", kind="scout", lane="left")
    facts: tuple[ev.Event, ...] = (
        ev.PlanAdded(PlanId("p"), "P", "p.toml", "0"),
        ev.ItemAdded(spec, "Do it."),
        ev.ItemAdded(ItemSpec(ItemId("b"), PlanId("p"), "B", ("b",)), "Do it."),
        ev.RunGranted(RunId("b.1"), ItemId("b"), 1, Commit("0" * 40), ("b",), LeaseMode.exclusive, 1 << 50, "fixer"),
        ev.LeaseGranted("olga", ("docs/**",), LeaseMode.shared, 1 << 50),
    )
    for number, fact in enumerate(facts):
        evolve(state, ev.Entry(Seq(number + 1), 0, "supervisor", fact))
    question = question_about(state, ItemId("a"))
    assert question.request == Request("a", "p", ("src/a/**",), "left", "fixer", "scout")
    assert question.leases == (Held("b.1", ("b",), "exclusive"), Held("lease:5", ("docs/**",), "shared"))


@pytest.fixture
def package(tmp_path: Path) -> Iterator[Path]:
    """A folder of installed packages, found as pip's are."""
    site = tmp_path / "site"
    info = site / "gates-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gates\nVersion: 1\n")
    functions = ("says_no", "says_yes", "raises", "hangs", "exits", "prints", "answers_badly", "missing")
    lines = "".join(f"{number}{name} = gates:{name}\n" for number, name in enumerate(functions))
    (info / "entry_points.txt").write_text(f"[ganger.predicates]\n{lines}")
    (site / "gates.py").write_text(
        "import os, sys, time\n"
        'def says_no(question): return f\'not {question["request"]["item"]}\\nmore\'\n'
        "def says_yes(question): return None\n"
        "def raises(question): raise RuntimeError('no')\n"
        "def hangs(question): time.sleep(60)\n"
        "def exits(question): sys.exit(0)\n"
        "def prints(question): print('chatter'); return 'no'\n"
        "def answers_badly(question): return False\n"
    )
    sys.path.append(str(site))
    invalidate_caches()
    yield site
    sys.path.remove(str(site))


def test_predicates_of_packages_run_in_processes_of_their_own(tmp_path: Path, package: Path) -> None:
    own = Predicate("own", ("true",), 5_000)
    found = predicates.with_installed((own,))
    assert [one.name for one in found[:3]] == ["own", "0says_no", "1says_yes"]
    said = [reason(gate(tmp_path, one._replace(timeout_ms=1_500)).ask([QUESTION])[0]) for one in found]
    assert said == [
        "",
        "predicate 0says_no refused: not login",
        "",
        "predicate 2raises could not be asked: it exited with 70",
        "predicate 3hangs could not be asked: it took longer than 1.5 s",
        "predicate 4exits could not be asked: it exited with 70",
        "predicate 5prints refused: no",
        "predicate 6answers_badly could not be asked: it exited with 70",
        "predicate 7missing could not be asked: it exited with 70",
    ]


def test_what_is_kept_is_asked_again_by_others(tmp_path: Path) -> None:
    no = script(tmp_path, "print(os.getcwd()); sys.exit(1)")
    (tmp_path / "state").mkdir()
    assert predicates.kept(tmp_path / "state").ask([QUESTION]) == (None,), "before the first supervisor there are none"
    predicates.keep(gate(tmp_path, no))
    assert predicates.kept(tmp_path / "state") == gate(tmp_path, no)
    (tmp_path / "state" / predicates.KEPT).write_text("{")
    with pytest.raises(StateDirError, match="cannot be read"):
        predicates.kept(tmp_path / "state")


def test_a_state_directory_that_cannot_be_used_refuses(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    said = reason(gate(tmp_path, script(tmp_path, "pass")).ask([QUESTION])[0])
    assert said.startswith(COULD_NOT) and said.endswith(" cannot be used: Not a directory")
