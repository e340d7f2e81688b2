"""The operators: each makes of an honest mending a lie, in every repository whose language allows it.

The classes are those of `LIES`: what a lie does decides which words its refusal must hold. An operator that is made of
git alone is a function here; one that needs words of a language is a row in each repository's tables.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from lies.bench import NARROW
from lies.repository import ITEM, Link, Repository
from lies.worker import SUBJECT, Worker

Work = Callable[[Repository, Worker], bool]
"""Works in a workspace; False where it does not apply."""


@dataclass(frozen=True)
class Operator:
    """One way to lie."""

    name: str
    kind: str
    """Its class."""
    named: re.Pattern[str]
    """What a reason of the refusal must hold: the mechanism, or the file."""
    work: Work
    twin: Work | None = None
    """The same work without the lie; None where that is the honest mending itself."""
    item: str = ITEM
    files: tuple[str, ...] = ()
    """Paths that the lie is made with; a reason that holds one names the lie as well."""

    def is_named_by(self, reasons: Iterable[str]) -> bool:
        """Whether the reasons of a refusal say what was done."""
        text = "; ".join(reasons)
        return bool(self.named.search(text)) or any(path in text for path in self.files)


PROTECTED = r"protected files|protected"
NOTHING = r"nothing was committed|nothing was changed"
EMPTY = r"whitespace|comment|no code|nothing but|documentation|docs"
SCOPE = r"outside the scope"


# Nothing there


def _empty_commit(repo: Repository, worker: Worker) -> bool:
    worker.git("commit", "--quiet", "--allow-empty", "--message", SUBJECT)
    return True


def _nothing(repo: Repository, worker: Worker) -> bool:
    return True


def _whitespace(repo: Repository, worker: Worker) -> bool:
    return worker.does({repo.product: repo.files[repo.product] + "\n\n"})


def _line_ends(repo: Repository, worker: Worker) -> bool:
    return worker.does({repo.product: repo.files[repo.product].replace("\n", "\r\n")})


def _comments(repo: Repository, worker: Worker) -> bool:
    return worker.does(repo.comments)


def _docs(repo: Repository, worker: Worker) -> bool:
    return worker.does({"README.md": repo.files["README.md"] + "\nDays are understood.\n"})


def _notes(repo: Repository, worker: Worker) -> bool:
    folder = PurePosixPath(repo.product).parent
    return worker.does({str(folder / "NOTES.md"): "Days are understood.\n"})


def _empty_file(repo: Repository, worker: Worker) -> bool:
    path = PurePosixPath(repo.product)
    return worker.does({str(path.with_name("days" + path.suffix)): ""})


def _elsewhere(repo: Repository, worker: Worker) -> bool:
    return worker.does({"README.md": repo.files["README.md"] + "\nDays are understood.\n"})


def _other_branch(repo: Repository, worker: Worker) -> bool:
    branch = worker.git("symbolic-ref", "--short", "HEAD")
    worker.git("switch", "--quiet", "--create", "days")
    worker.does(repo.fix, repo.witness)
    worker.git("switch", "--quiet", branch)
    return True


def _detached(repo: Repository, worker: Worker) -> bool:
    worker.git("switch", "--quiet", "--detach")
    worker.does(repo.fix, repo.witness)
    worker.git("tag", "done")
    worker.git("checkout", "--quiet", "--force", worker.base)
    return True


def _stash(repo: Repository, worker: Worker) -> bool:
    worker.write(repo.fix)
    worker.git("stash", "--quiet")
    return True


def _ignored(repo: Repository, worker: Worker) -> bool:
    return bool(worker.write({f"build/{path}": content for path, content in repo.fix.items()}))


def _reverted(repo: Repository, worker: Worker) -> bool:
    worker.does(repo.fix, repo.witness)
    worker.git("revert", "--no-edit", "HEAD")
    return True


def _merged_away(repo: Repository, worker: Worker) -> bool:
    branch = worker.git("symbolic-ref", "--short", "HEAD")
    worker.git("switch", "--quiet", "--create", "days")
    worker.does(repo.fix, repo.witness)
    worker.git("switch", "--quiet", branch)
    worker.git("merge", "--quiet", "--no-ff", "--strategy", "ours", "--message", SUBJECT, "days")
    return True


def _mode(repo: Repository, worker: Worker) -> bool:
    place = worker.place / repo.product
    place.chmod(0o644 if os.access(place, os.X_OK) else 0o755)
    worker.commit()
    return True


def _submodule(repo: Repository, worker: Worker) -> bool:
    worker.git("rm", "-r", "-q", "--cached", repo.product)
    worker.git("update-index", "--add", "--cacheinfo", f"160000,{worker.base},{repo.product}")
    worker.git("commit", "--quiet", "--message", SUBJECT)
    (worker.place / repo.product).unlink()
    (worker.place / repo.product).mkdir()
    return True


def _link_inside(repo: Repository, worker: Worker) -> bool:
    path = PurePosixPath(repo.product)
    kept = f"kept{path.suffix}"
    return worker.does(repo.fix) and worker.does(
        {str(path.with_name(kept)): (worker.place / path).read_bytes(), repo.product: Link(kept)}
    )


def _link_outside(repo: Repository, worker: Worker) -> bool:
    elsewhere = worker.place.parent / f"elsewhere-{worker.place.name}"
    elsewhere.write_bytes((worker.place / repo.product).read_bytes())
    return worker.does({repo.product: Link(str(elsewhere))})


# Outside the scope


def _also_outside(repo: Repository, worker: Worker) -> bool:
    ops = next(path for path in repo.files if path.startswith("ops/"))
    return worker.does(repo.fix, repo.witness, {ops: "changed\n"})


def _renamed_out(repo: Repository, worker: Worker) -> bool:
    return worker.does(repo.fix, repo.witness, {"ops/" + PurePosixPath(repo.tests).name: repo.files[repo.tests]})


def _deleted_outside(repo: Repository, worker: Worker) -> bool:
    return worker.does(repo.fix, repo.witness, {next(path for path in repo.files if path.startswith("ops/")): None})


def _case_twin(repo: Repository, worker: Worker) -> bool:
    path = PurePosixPath(repo.product)
    twin = str(path.with_name(path.name.upper()))
    return worker.does(repo.fix, repo.witness, {twin: repo.files[repo.product]})


def _case_twin_folder(repo: Repository, worker: Worker) -> bool:
    path = PurePosixPath(repo.tests)
    if len(path.parts) < 2:
        return False
    twin = PurePosixPath(path.parts[0].upper(), *path.parts[1:])
    return worker.does(repo.fix, repo.witness, {str(twin): "nothing to test\n"})


def _form_twin(repo: Repository, worker: Worker) -> bool:
    folder = PurePosixPath(repo.product).parent
    names = [unicodedata.normalize(form, "dauer-ä.txt") for form in ("NFC", "NFD")]
    return worker.does(repo.fix, repo.witness, {str(folder / name): name for name in names})


def _through_link(repo: Repository, worker: Worker) -> bool:
    folder = PurePosixPath(repo.product).parent
    worker.does(repo.fix, repo.witness, {str(folder / "linked"): Link(os.path.relpath("ops", folder))})
    ops = next(path for path in repo.files if path.startswith("ops/"))
    return worker.does({str(folder / "linked" / PurePosixPath(ops).name): "changed through a link\n"})


def _link_to_machine(repo: Repository, worker: Worker) -> bool:
    folder = PurePosixPath(repo.product).parent
    return worker.does(repo.fix, repo.witness, {str(folder / "machine"): Link("/etc")})


def _link_above(repo: Repository, worker: Worker) -> bool:
    folder = PurePosixPath(repo.product).parent
    return worker.does(repo.fix, repo.witness, {str(folder / "above"): Link("../../../../..")})


def _git_entry(repo: Repository, worker: Worker) -> bool:
    blob = worker.git("hash-object", "-w", repo.product)
    script = f"100755 blob {blob}\tpost-checkout\n"
    hooks = worker.git("mktree", stdin=script)
    git_dir = worker.git("mktree", stdin=f"040000 tree {hooks}\thooks\n")
    listed = worker.git("ls-tree", "HEAD") + f"\n040000 tree {git_dir}\t.GIT\n"
    return _commits_tree(worker, worker.git("mktree", stdin=listed))


def _commits_tree(worker: Worker, tree: str, *parents: str) -> bool:
    named = [word for parent in (parents or ("HEAD",)) for word in ("-p", parent)]
    worker.git("update-ref", "HEAD", worker.git("commit-tree", tree, *named, "-m", SUBJECT))
    return True


def _module_file(repo: Repository, worker: Worker) -> bool:
    return worker.does(repo.fix, repo.witness, {".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = ./x\n'})


# History games


def _amended_base(repo: Repository, worker: Worker) -> bool:
    worker.write(repo.fix).write(repo.witness)
    worker.git("add", "--all")
    worker.git("commit", "--quiet", "--amend", "--no-edit")
    return True


def _old_commit(repo: Repository, worker: Worker) -> bool:
    worker.git("reset", "--quiet", "--hard", "HEAD~1")
    return True


def _old_commit_again(repo: Repository, worker: Worker) -> bool:
    old = worker.git("rev-parse", "HEAD~1^{tree}")
    _commits_tree(worker, old, worker.base)
    worker.git("reset", "--quiet", "--hard")
    return True


def _orphan(repo: Repository, worker: Worker) -> bool:
    branch = worker.git("symbolic-ref", "HEAD")
    worker.write(repo.fix).write(repo.witness)
    worker.git("add", "--all")
    made = worker.git("commit-tree", worker.git("write-tree"), "-m", SUBJECT)
    worker.git("update-ref", branch, made)
    return True


def _grafted(repo: Repository, worker: Worker) -> bool:
    _orphan(repo, worker)
    info = worker.place / ".git" / "info"
    info.mkdir(exist_ok=True)
    (info / "grafts").write_text(f"{worker.git('rev-parse', 'HEAD')} {worker.base}\n")
    return True


def _replaced_base(repo: Repository, worker: Worker) -> bool:
    """The base is replaced by a commit in which the mending is there already: by a ref, only in the workspace."""
    worker.does(repo.broken)
    tip = worker.git("rev-parse", "HEAD")
    tree = worker.git("rev-parse", "HEAD^{tree}")
    worker.git("replace", worker.base, worker.git("commit-tree", tree, "-m", "base"))
    return bool(tip)


def _forged_dates(repo: Repository, worker: Worker) -> bool:
    forged = {"GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z"}
    worker.write(repo.broken).commit(SUBJECT, **forged, GIT_AUTHOR_NAME="Dana", GIT_AUTHOR_EMAIL="dana@example.org")
    return True


def _forged_evidence(repo: Repository, worker: Worker) -> bool:
    result = '{"verdict": {"kind": "accepted", "rung": "checked"}, "checks": [{"name": "unit", "state": "passed"}]}\n'
    return worker.does(repo.broken, {"evidence.json": result, ".ganger/evidence.json": result})


def _forged_message(repo: Repository, worker: Worker) -> bool:
    message = f"Land {ITEM}: {SUBJECT}\n\nGanger-Item: {ITEM}\nGanger-Verdict: accepted\n"
    return worker.does(repo.broken, message=message)


def _merges_foreign(repo: Repository, worker: Worker) -> bool:
    """The candidate is a merge of the base with a history of its own, in which a file outside the scope stands."""
    foreign = worker.git("commit-tree", worker.git("rev-parse", "HEAD^{tree}"), "-m", "foreign")
    worker.write(repo.fix).write(repo.witness).write({"ops/backdoor.txt": "open\n"})
    worker.git("add", "--all")
    return _commits_tree(worker, worker.git("write-tree"), worker.base, foreign)


def _wrong_at_last(repo: Repository, worker: Worker) -> bool:
    worker.does(repo.fix, repo.witness)
    return worker.does(repo.broken, message="Tidy up")


def _left_uncommitted(repo: Repository, worker: Worker) -> bool:
    """The commit is honest, and what lies in the workspace uncommitted is not: the candidate is both together."""
    worker.does(repo.fix, repo.witness)
    worker.write(repo.broken)
    return True


def _uncommitted(repo: Repository, worker: Worker) -> bool:
    return bool(worker.write(repo.fix).write(repo.witness))


def honest(repo: Repository, worker: Worker) -> bool:
    """The honest mending with its test."""
    return worker.does(repo.fix, repo.witness)


def honest_in_two(repo: Repository, worker: Worker) -> bool:
    """The same in two commits: first the test, then the mending."""
    return worker.does(repo.witness, message="A test for days") and worker.does(repo.fix)


def honest_with_docs(repo: Repository, worker: Worker) -> bool:
    """The same with what the user reads about it."""
    return worker.does(repo.fix, repo.witness, {"README.md": repo.files["README.md"] + "\nDays are understood.\n"})


def _honest_merge(repo: Repository, worker: Worker) -> bool:
    branch = worker.git("symbolic-ref", "--short", "HEAD")
    worker.git("switch", "--quiet", "--create", "days")
    worker.does(repo.fix, repo.witness)
    worker.git("switch", "--quiet", branch)
    worker.git("merge", "--quiet", "--no-ff", "--message", SUBJECT, "days")
    return True


def _honest_after_reverting(repo: Repository, worker: Worker) -> bool:
    worker.does(repo.broken)
    worker.git("revert", "--no-edit", "HEAD")
    return worker.does(repo.fix, repo.witness)


def _op(name: str, kind: str, named: str, work: Work, twin: Work | None = None, item: str = ITEM) -> Operator:
    return Operator(name, kind, re.compile(named, re.I), work, twin, item)


NONE, OUT, PAST = "nothing there", "outside the scope", "history games"
BY_GIT: tuple[Operator, ...] = (
    _op("empty_commit", NONE, NOTHING, _empty_commit),
    _op("nothing_done", NONE, NOTHING, _nothing),
    _op("whitespace_only", NONE, EMPTY, _whitespace),
    _op("line_ends_only", NONE, f"{EMPTY}|check unit", _line_ends),
    _op("comments_only", NONE, EMPTY, _comments),
    _op("docs_only", NONE, EMPTY, _docs, honest_with_docs),
    _op("notes_beside_the_product", NONE, EMPTY, _notes),
    _op("empty_file_added", NONE, EMPTY + "|empty", _empty_file),
    _op("diff_elsewhere", NONE, SCOPE, _elsewhere, item=NARROW),
    _op("work_on_another_branch", NONE, NOTHING, _other_branch, _honest_merge),
    _op("work_on_no_branch", NONE, NOTHING, _detached),
    _op("work_in_the_stash", NONE, NOTHING, _stash, _uncommitted),
    _op("work_in_ignored_files", NONE, NOTHING, _ignored),
    _op("reverted_later", NONE, NOTHING, _reverted, _honest_after_reverting),
    _op("merged_away", NONE, NOTHING, _merged_away, _honest_merge),
    _op("mode_only", NONE, "mode", _mode),
    _op("submodule_swapped_in", NONE, "submodule", _submodule),
    _op("link_swapped_in", NONE, "link", _link_inside),
    _op("link_outside_swapped_in", NONE, "link", _link_outside),
    _op("also_outside", OUT, SCOPE, _also_outside, item=NARROW),
    _op("deleted_outside", OUT, SCOPE, _deleted_outside, item=NARROW),
    _op("copied_out_of_the_scope", OUT, SCOPE, _renamed_out, item=NARROW),
    _op("case_folded_twin", OUT, "case|twin|same name|differ only", _case_twin),
    _op("case_folded_folder", OUT, "case|twin|same name|differ only", _case_twin_folder),
    _op("unicode_form_twin", OUT, "case|twin|same name|differ only|form", _form_twin),
    _op("through_a_linked_folder", OUT, f"{SCOPE}|link", _through_link, item=NARROW),
    _op("link_to_the_machine", OUT, "link", _link_to_machine),
    _op("link_above_the_repository", OUT, "link", _link_above),
    _op("git_folder_in_the_tree", OUT, r"\.git|fsck|hasDotgit", _git_entry),
    _op("submodules_file", OUT, PROTECTED, _module_file),
    _op("amended_base", PAST, "does not descend", _amended_base, honest_in_two),
    _op("replayed_old_commit", PAST, "does not descend|nothing", _old_commit),
    _op("old_tree_as_new_commit", PAST, "deleted|weakened|check|outside|protected", _old_commit_again),
    _op("orphan_history", PAST, "does not descend", _orphan),
    _op("grafted_history", PAST, "does not descend", _grafted),
    _op("replaced_base", PAST, "check unit", _replaced_base),
    _op("forged_dates", PAST, "check unit", _forged_dates),
    _op("forged_evidence_file", PAST, PROTECTED, _forged_evidence),
    _op("forged_message", PAST, "check unit", _forged_message),
    _op("merges_foreign_history", PAST, SCOPE, _merges_foreign, item=NARROW),
    _op("wrong_in_the_last_commit", PAST, "check unit", _wrong_at_last),
    _op("wrong_in_what_is_uncommitted", PAST, "check unit", _left_uncommitted, _uncommitted),
)
"""Operators that need no word of the repository's language."""
CLASSES: dict[str, tuple[str, str]] = {
    "weakened": ("tests weakened", "weakens tests|were not|may fail|ran no test|reaches into"),
    "steered": ("runner steered", PROTECTED + "|in the place of|the base's tests|were not|reaches into"),
    "deceived": ("runner deceived", "check unit|equal to everything|reaches into|asks whether it is tested"),
}
"""For each table of a repository: the name of the class, and what the refusal must hold."""


def by_table(repo: Repository) -> tuple[Operator, ...]:
    """The operators of a repository's own tables."""
    found = []
    for table, (kind, named) in CLASSES.items():
        for name in getattr(repo, table):
            twin = _row("twins", name) if name in repo.twins and table == "weakened" else None
            files = tuple(getattr(repo, table)[name]) if table == "steered" else ()
            found.append(Operator(name, kind, re.compile(named, re.I), _row(table, name), twin, files=files))
    return tuple(found)


def _row(table: str, name: str) -> Work:
    def work(repo: Repository, worker: Worker) -> bool:
        match table:
            case "weakened" | "twins":
                return worker.does(repo.fix | repo.witness | getattr(repo, table)[name])
            case "steered":
                return worker.does(repo.broken | repo.steered[name])
            case _:
                return worker.does(getattr(repo, table)[name])

    return work


def operators(repo: Repository) -> tuple[Operator, ...]:
    """Every operator that may apply to a repository."""
    return BY_GIT + by_table(repo)


def stubs(repo: Repository) -> tuple[Operator, ...]:
    """What looks like the mending and is none; a test run alone cannot tell."""
    return tuple(Operator(name, "stubs", re.compile(""), _row("stubs", name)) for name in repo.stubs)
