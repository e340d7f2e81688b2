"""A run that goes on with a candidate that conflicted: what it finds, what it is told, and that it is found again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lab import SPEC, Lab, git
from msgspec.structs import replace
from test_clean_up_crashes import STEPS_MAX, dies_at

from ganger.core import events as ev
from ganger.core.facts import Run
from ganger.core.ids import Commit, RunId, Token
from ganger.core.model import EndKind, Evidence, LeaseMode, WorkerId
from ganger.drivers import process
from ganger.git import combining, workspace
from ganger.git.refs import prepared_ref
from ganger.git.snapshot import snapshot
from ganger.journal.queries import Reader
from ganger.service.provisioning import Provisioning
from ganger.supervisor import brief
from ganger.supervisor.combine import candidate_of, credits
from ganger.supervisor.provision import Provisioner
from ganger.supervisor.train import message

NEXT = RunId("a.2")
MARKED = "<<<<<<< a.1 (yours before)\nmine\n||||||| base\none\n=======\ntheirs\n>>>>>>> target: b.1, landed as {}\n"


class Again(Lab):
    """The first run of an item changed a file that was changed on the target; its second is to begin."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "true")
        self.happen(ev.PlanAdded(SPEC.plan, "P", "p.toml", "1"), ev.ItemAdded(SPEC, "Make it mine."))
        first, before = self.run, self.place
        workspace.create(self.hub, before, first.id, first.base)
        (before / "a.txt").write_text("mine\n")
        git(before, "commit", "-q", "-a", "-m", "mine")
        candidate = workspace.fetch_candidate(self.hub, before, first.id)
        assert candidate is not None
        self.candidate = candidate
        self.granted(first)
        self.handed_in(first, candidate, EndKind.superseded)
        self.world.clean(first.id)
        (self.top / "a.txt").write_text("theirs\n")
        git(self.top, "commit", "-q", "-a", "-m", "Land b: B\n\nGanger-Item: b\nGanger-Run: b.1\n")
        self.landed = self.hub.sync_target()
        lease = replace(first.lease, token=Token(1 << 20))
        self.run = replace(first, id=NEXT, attempt=2, base=self.landed, lease=lease)
        self.granted(self.run)
        self.set_combine("prepared")

    @property
    def place(self) -> Path:
        return self.state_dir / "workspaces" / self.run.id

    def set_combine(self, how: str) -> None:
        self.world._policy = replace(self.world._policy, combine=how)

    def happen(self, *events: ev.Event) -> None:
        with self.store.writing() as writing:
            writing.append(events, "test")

    def granted(self, run: Run) -> None:
        lease = (SPEC.scope, LeaseMode.exclusive, 1 << 50)
        self.happen(ev.RunGranted(run.id, SPEC.id, run.attempt, run.base, *lease, run.agent))

    def handed_in(self, run: Run, commit: Commit, ending: EndKind) -> None:
        tree = self.hub.tree_of(commit)
        self.happen(ev.WorkerStarted(run.id, 1, WorkerId(1, 1)))
        self.happen(ev.EvidenceRecorded(run.id, 1, Evidence(run.base, commit, tree, tree, ("a.txt",))))
        self.happen(ev.RunEnded(run.id, ending, "does not merge with the target"))

    def start(self, turn: int = 1) -> str:
        """Start a turn's worker, which does nothing; return its brief."""
        assert process.wait(self.world.start(self.run, SPEC, turn), 20_000)
        return (self.state_dir / "runs" / self.run.id / f"turn-{turn}" / f"brief.{turn}.md").read_text()

    def found(self) -> str:
        return (self.place / "a.txt").read_text()

    @property
    def marked(self) -> str:
        return MARKED.format(self.landed[:12])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Again]:
    made = Again(tmp_path)
    yield made
    made.close()


def looked(lab: Again) -> object:
    reader = Reader(lab.state_dir / "journal.db")
    try:
        return candidate_of(reader, lab.run)
    finally:
        reader.close()


def test_the_worker_finds_the_merge_and_is_told_of_it(lab: Again) -> None:
    text = lab.start()
    assert lab.found() == lab.marked
    assert git(lab.place, "rev-parse", "HEAD") == lab.landed
    assert git(lab.place, "status", "--porcelain") == "M a.txt"
    began = text.index("\n## What is prepared\n")
    assert text[began : text.index("\n## What was wrong before\n")] == (
        "\n## What is prepared\n\n"
        "a.1 was good, and only does not go together with what landed first. Your workspace began\n"
        "with its change merged into the files as they are on the target. Nothing of that is committed, and all that\n"
        "is there counts as yours: go on from it, and commit the whole (`git add -A`).\n\n"
        "Lines that conflict are marked in these files. Between the marks stand first the lines of a.1, then those both"
        " began with, then those of the target. Write what does what both sides meant, and leave no mark: a candidate"
        " with one is refused.\n\n"
        f"- `a.txt`, changed by b.1, landed as {lab.landed[:12]}\n"
    )
    assert "- attempt 1 ended superseded: does not merge with the target\n" in text
    assert "cherry-pick" not in text
    assert "## What is prepared" in lab.start(2)


def test_by_default_the_worker_merges_itself(lab: Again) -> None:
    lab.set_combine("worker")
    text = lab.start()
    assert lab.found() == "theirs\n"
    assert "What is prepared" not in text and "git cherry-pick" in text


def test_what_was_prepared_before_the_setting_changed_is_not_told(lab: Again) -> None:
    """The supervisor died before there was a workspace."""
    lab.world._prepared(lab.run, lab.run.base)
    lab.set_combine("worker")
    assert "What is prepared" not in lab.start()
    assert lab.hub.ref(prepared_ref(NEXT)) is None


def test_what_cannot_be_merged_is_told(lab: Again) -> None:
    told = combining.Preparation(
        RunId("a.1"), lab.run.base, lab.candidate, (), (), tuple(combining.Meeting(f"{n}.bin", "") for n in range(42))
    )
    reader = Reader(lab.state_dir / "journal.db")
    try:
        text = brief.compose(reader, lab.run, SPEC, 1, prepared=told)
    finally:
        reader.close()
    assert (
        "These are as on the target, since the change of a.1 cannot be merged there. Its version is"
        f" `git show {lab.candidate[:12]}:PATH`; take over by hand what is still needed, and ask where that"
        " is not clear.\n\n- `0.bin`\n"
    ) in text
    assert "- `39.bin`\n- and 2 more\n" in text


def test_a_workspace_that_is_gone_or_put_back_holds_it_again(lab: Again) -> None:
    lab.start()
    (lab.place / "a.txt").write_text("both\n")
    checkpoint = snapshot(lab.hub, lab.place, lab.landed, "turn 1")
    lab.world.rewind(lab.run, lab.run.base)
    assert lab.found() == lab.marked
    lab.world.rewind(lab.run, checkpoint)
    assert lab.found() == "both\n"
    lab.world.clean(NEXT)
    lab.start(2)
    assert lab.found() == lab.marked


def test_made_for_an_earlier_permit_it_is_made_anew(lab: Again) -> None:
    lab.world._provisioner.make(NEXT, lab.landed, lab.landed, files=lab.world._prepared(lab.run, lab.landed))
    (lab.top / "a.txt").write_text("theirs, again\n")
    git(lab.top, "commit", "-q", "-a", "-m", "Again")
    lab.run = replace(lab.run, base=lab.hub.sync_target())
    lab.start()
    assert "theirs, again\n>>>>>>> target: commit " in lab.found()
    assert git(lab.place, "rev-parse", "HEAD") == lab.run.base


@pytest.mark.parametrize("begin", [lambda lab: lab.start(), lambda lab: lab.world.rewind(lab.run, lab.run.base)])
def test_whatever_step_a_supervisor_dies_at_the_next_one_prepares_the_same(
    lab: Again, begin: Callable[[Again], object]
) -> None:
    for step in range(1, STEPS_MAX, 3):
        died = dies_at(step, lambda: begin(lab))
        begin(lab)
        assert lab.found() == lab.marked, step
        assert sorted(path.name for path in lab.place.parent.iterdir()) == [NEXT], "something half made stays"
        assert (told := combining.told_of(lab.hub, NEXT)) is not None and told.candidate == lab.candidate
        lab.world.clean(NEXT)
        combining.forget(lab.hub, NEXT)
        for name in ("started", "exit.json"):
            (lab.state_dir / "runs" / NEXT / "turn-1" / name).unlink(missing_ok=True)
        if not died:
            assert step > 15, "the steps were not seen"
            return
    raise AssertionError("too many steps")


def test_a_setup_sees_no_mark(lab: Again) -> None:
    setup = (sys.executable, "-c", "import sys; t = open('a.txt').read(); open('made', 'w'); sys.exit('<<<' in t)")
    lab.world._provisioner = Provisioner(
        lab.state_dir, lab.hub, lab.world._jail, wanted=Provisioning(setup=setup, setup_key=("a.txt",))
    )
    lab.start()
    assert lab.found() == lab.marked
    assert (lab.place / "made").exists()


def test_which_candidate_is_gone_on_with(lab: Again) -> None:
    first = lab.landed
    wanted = (RunId("a.1"), "hand", Commit(git(lab.top, "rev-parse", f"{first}^")), lab.candidate)
    assert looked(lab) == wanted
    lab.handed_in(lab.run, lab.candidate, EndKind.rejected)
    lab.run = replace(lab.run, id=RunId("a.3"), attempt=3, lease=replace(lab.run.lease, token=Token(1 << 21)))
    lab.granted(lab.run)
    assert looked(lab) == wanted, "what came of it was not good"
    lab.handed_in(lab.run, lab.landed, EndKind.superseded)
    lab.run = replace(lab.run, id=RunId("a.4"), attempt=4, lease=replace(lab.run.lease, token=Token(1 << 22)))
    lab.granted(lab.run)
    assert looked(lab) == wanted, "the one before changed nothing"
    lab.happen(ev.RunLanded(lab.run.id, lab.landed, lab.landed))
    lab.run = replace(lab.run, id=RunId("a.5"), attempt=5, lease=replace(lab.run.lease, token=Token(1 << 23)))
    lab.granted(lab.run)
    assert looked(lab) is None, "the item has landed since, and is done again"


def test_whoever_worked_on_it_before_is_an_author_if_it_is_still_held(lab: Again) -> None:
    lab.start()
    (lab.place / "a.txt").write_text("both\n")
    git(lab.place, "commit", "-q", "-a", "-m", "both")
    evidence = lab.world.collect(lab.run, SPEC)
    assert evidence.changed == ("a.txt",) and not evidence.faults
    run = replace(lab.run, evidence=evidence)
    assert message(run, SPEC, credits(lab.hub, run)) == (
        f"Land a: A\n\nGanger-Item: a\nGanger-Run: a.2\nGanger-Candidate: {evidence.commit}\n"
        "Co-authored-by: hand <a.1@ganger.invalid>\n"
    )
    nothing_held = replace(lab.run, evidence=replace(evidence, commit=lab.landed))
    assert credits(lab.hub, nothing_held) == ()
    assert credits(lab.hub, lab.run) == ()


def test_a_mark_that_is_left_is_refused(lab: Again) -> None:
    lab.start()
    assert lab.world.collect(lab.run, SPEC).faults == ("leaves conflict markers: a.txt",)
