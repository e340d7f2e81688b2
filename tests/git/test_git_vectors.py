"""Nothing an agent plants in its workspace runs in ganger's hands: each vector would write a canary."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from gitworld import RUN, commit, fingerprint, sh, write

from ganger.core.ids import Commit
from ganger.errors import GitFailed
from ganger.git import workspace
from ganger.git.changes import changed_paths
from ganger.git.hub import Hub
from ganger.git.landing import LandState, land
from ganger.git.merge import checkout_tree, combine, with_protected_from
from ganger.git.repository import Repository, is_dirty

HOOKS = (
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "post-checkout",
    "post-merge",
    "pre-push",
    "pre-receive",
    "update",
    "proc-receive",
    "post-receive",
    "post-update",
    "reference-transaction",
    "push-to-checkout",
    "pre-auto-gc",
    "post-rewrite",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
    "pre-upload",
    "post-upload",
)
Plant = Callable[[Path, str], None]
"""Gets the workspace and the path of a program that writes the canary."""


def config(*settings: str) -> Plant:
    """Plant settings; `EVIL` stands for the program."""

    def plant(space: Path, evil: str) -> None:
        for setting in settings:
            name, _, value = setting.partition("=")
            sh(space, "config", name, value.replace("EVIL", evil))

    return plant


def attributes(line: str, *settings: str) -> Plant:
    """Plant settings and an attribute in the tree that asks for them."""

    def plant(space: Path, evil: str) -> None:
        write(space, {".gitattributes": f"* {line}\n"})
        (space / ".git/info").mkdir(exist_ok=True)
        write(space, {".git/info/attributes": f"* {line}\n"})
        config(*settings)(space, evil)

    return plant


def hooks(space: Path, evil: str) -> None:
    for name in HOOKS:
        (space / ".git/hooks" / name).symlink_to(evil)


def hooks_elsewhere(space: Path, evil: str) -> None:
    (space / "hooks").mkdir()
    for name in HOOKS:
        (space / "hooks" / name).symlink_to(evil)
    sh(space, "config", "core.hooksPath", str(space / "hooks"))


def included(space: Path, evil: str) -> None:
    write(space, {"more.config": f"[core]\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n"})
    config("include.path=../more.config", "includeIf.gitdir:/.path=../more.config")(space, evil)


def worktree_config(space: Path, evil: str) -> None:
    sh(space, "config", "extensions.worktreeConfig", "true")
    write(space, {".git/config.worktree": f"[core]\n\tfsmonitor = {evil}\n"})


def promisor(url: str, *more: str) -> Plant:
    """Let objects be missing and be had from a remote that runs a program."""

    def plant(space: Path, evil: str) -> None:
        commit(space, {"lost": f"lost in {space}\n"})
        blob = sh(space, "rev-parse", "HEAD:lost")
        (space / ".git/objects" / blob[:2] / blob[2:]).unlink()
        settings = ("core.repositoryformatversion=1", "extensions.partialClone=origin", "remote.origin.promisor=true")
        config(*settings, f"remote.origin.url={url}", *more)(space, evil)

    return plant


def evil_git_dir(space: Path, evil: str) -> Path:
    other = space.parent / "evil.git"
    (space / ".git").rename(other)
    for name in HOOKS:
        (other / "hooks" / name).symlink_to(evil)
    sh(other, "config", "core.fsmonitor", evil)
    sh(other, "config", "core.worktree", str(space))
    return other


def git_file(space: Path, evil: str) -> None:
    other = evil_git_dir(space, evil)
    (space / ".git").write_text(f"gitdir: {other}\n")


def git_link(space: Path, evil: str) -> None:
    (space / ".git").symlink_to(evil_git_dir(space, evil))


def embedded(space: Path, evil: str) -> None:
    inner = space / "vendor"
    inner.mkdir()
    sh(inner, "init", "-q")
    commit(inner, {"a": "1"})
    hooks(inner, evil) if (inner / ".git/hooks").mkdir(exist_ok=True) else None
    config("core.fsmonitor=EVIL", "filter.x.clean=EVIL")(inner, evil)
    write(inner, {"a": "2", ".gitattributes": "* filter=x\n"})


def submodule(space: Path, evil: str) -> None:
    inner = space / "sub"
    inner.mkdir()
    sh(inner, "init", "-q")
    commit(inner, {"a": "1"})
    commit(space, {"x": "with a submodule"})
    config("core.fsmonitor=EVIL", "core.hooksPath=.", "filter.x.clean=EVIL")(inner, evil)
    write(inner, {"a": "22", ".gitattributes": "* filter=x\n"})
    config("submodule.sub.update=!EVIL", "submodule.recurse=true", "submodule.sub.url=ext::EVIL")(space, evil)


def borrowed(space: Path, evil: str) -> None:
    other = space.parent / "other"
    other.mkdir()
    sh(other, "init", "-q")
    config("core.fsmonitor=EVIL", "uploadpack.packObjectsHook=EVIL")(other, evil)
    with (space / ".git/objects/info/alternates").open("a") as file:
        file.write(f"{other}/.git/objects\n")
    write(space, {".git/objects/info/http-alternates": "ext::" + evil})


def history_lies(space: Path, evil: str) -> None:
    head = sh(space, "rev-parse", "HEAD")
    root = sh(space, "commit-tree", "HEAD^{tree}", "-m", "root")
    write(space, {".git/info/grafts": f"{head} {root}\n", ".git/shallow": f"{head}\n"})
    write(space, {f".git/refs/replace/{head}": f"{root}\n"})


def linked_attributes(space: Path, evil: str) -> None:
    write(space, {"real": "* filter=x diff=x merge=x\n"})
    (space / ".gitattributes").symlink_to("real")
    config("filter.x.clean=EVIL", "filter.x.smudge=EVIL", "diff.x.command=EVIL", "merge.x.driver=EVIL")(space, evil)


def packs(space: Path, evil: str) -> None:
    sh(space, "gc", "-q")
    pack = space / ".git/objects/pack"
    (pack / ("pack-" + "a" * 40 + ".pack")).symlink_to(evil)
    (pack / ("pack-" + "a" * 40 + ".idx")).write_bytes(b"\xfftOc" + b"\0" * 2000)
    (space / ".git/objects/info/commit-graph").write_bytes(b"CGPH" + b"\xff" * 100)
    (space / ".git/index").write_bytes(b"DIRC" + b"\xff" * 100)


VECTORS: dict[str, Plant] = {
    "hooks": hooks,
    "hooks elsewhere": hooks_elsewhere,
    "fsmonitor": config("core.fsmonitor=EVIL"),
    "pack objects hook": config("uploadpack.packObjectsHook=EVIL"),
    "included config": included,
    "worktree config": worktree_config,
    "clean filter": attributes("filter=x", "filter.x.clean=EVIL", "filter.x.smudge=EVIL", "filter.x.required=true"),
    "process filter": attributes("filter=x", "filter.x.process=EVIL"),
    "lfs filter": attributes("filter=lfs", "filter.lfs.clean=EVIL", "filter.lfs.process=EVIL"),
    "external diff": attributes("diff=x", "diff.x.command=EVIL", "diff.external=EVIL"),
    "textconv": attributes("diff=x", "diff.x.textconv=EVIL", "diff.x.cachetextconv=true"),
    "merge driver": attributes("merge=x", "merge.x.driver=EVIL", "merge.default=x"),
    "pager and editors": config("core.pager=EVIL", "core.editor=EVIL", "pager.log=EVIL", "sequence.editor=EVIL"),
    "signing": config("gpg.program=EVIL", "commit.gpgsign=true", "log.showSignature=true", "gpg.ssh.program=EVIL"),
    "alternate refs": config("core.alternateRefsCommand=EVIL"),
    "ssh and proxies": config("core.sshCommand=EVIL", "core.gitProxy=EVIL", "core.askPass=EVIL"),
    "credentials": config("credential.helper=!EVIL"),
    "aliases": config("alias.fetch=!EVIL", "alias.ls-files=!EVIL", "alias.upload-pack=!EVIL"),
    "promisor by ext": promisor("ext::EVIL", "protocol.ext.allow=always", "protocol.allow=always"),
    "promisor by upload-pack": promisor("file:///x", "remote.origin.uploadpack=EVIL"),
    "a remote": config("remote.origin.uploadpack=EVIL", "remote.origin.vcs=ext", "branch.ganger/login.1.remote=origin"),
    "core.worktree": config("core.worktree=/tmp", "core.fsmonitor=EVIL"),
    ".git as a file": git_file,
    ".git as a link": git_link,
    "embedded repository": embedded,
    "submodule": submodule,
    "alternates": borrowed,
    "grafts, replacements, shallow": history_lies,
    "linked attributes": linked_attributes,
    "broken packs and index": packs,
    "traces": config("trace2.normalTarget=CANARY", "trace2.eventTarget=CANARY"),
    "maintenance": config("maintenance.auto=true", "gc.auto=1", "gc.recentObjectsHook=EVIL"),
}


@pytest.fixture
def evil(tmp_path: Path) -> str:
    """A program that writes the canary, whatever it is called for."""
    program = tmp_path / "evil"
    program.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/canary\ncat >/dev/null 2>&1 </dev/null\n')
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize("name", VECTORS)
def test_nothing_planted_runs(name: str, evil: str, hub: Hub, space: Path, repo: Repository, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    base = hub.sync_target()
    commit(space, {"src/m1/f1.py": "changed\n", "lib.py": "new\n"})
    write(space, {"README.md": "uncommitted\n", "untracked.py": "x\n"})
    VECTORS[name](space, evil)
    canary.unlink(missing_ok=True)
    before = fingerprint(repo.top)
    made = use_everything(hub, space, base, tmp_path)
    assert not canary.exists(), canary.read_text()
    assert fingerprint(repo.top) == before
    for commit_id in made:
        tree = hub.tree_of(commit_id)
        combined = combine(hub, base, [(RUN, commit_id, "Land login: x")], 1000)
        result = land(repo, hub, "main", base, combined.commit, combined.tree)
        assert result.state is LandState.landed, (result, tree)
        break
    assert is_dirty(repo.top) == ()
    assert not canary.exists(), canary.read_text()


def use_everything(hub: Hub, space: Path, base: Commit, tmp_path: Path) -> list[Commit]:
    """Do with a workspace all that ganger ever does; return the commits that came out of it."""
    made = [workspace.snapshot(hub, space, base, "auto"), workspace.snapshot(hub, space, base, "all", whole=True)]
    try:
        found = workspace.fetch_candidate(hub, space, RUN)
    except GitFailed:
        found = None
    made += [found] if found else []
    refs = workspace.keep(hub, space, RUN)
    assert any("/tree" in ref for ref in refs)
    made += list(hub.refs(f"refs/ganger/keep/{RUN}/").values())
    for number, commit_id in enumerate(dict.fromkeys(made)):
        changed_paths(hub, base, commit_id)
        hub.diff(base, commit_id)
        hub.log_subjects(base, commit_id)
        tree = hub.tree_of(commit_id)
        checked = with_protected_from(hub, tree, hub.tree_of(base), lambda path: "README" in path, lambda _: True)
        checkout_tree(hub, checked, tmp_path / f"checkout-{number}")
        combine(hub, base, [(RUN, commit_id, "Land login: x")], 1000)
    workspace.ref_files(space, RUN)
    return made


def test_the_vectors_work_against_naive_git(evil: str, hub: Hub, tmp_path: Path, base: Commit) -> None:
    """The negative control: most of them do run when somebody works in the workspace with plain git."""
    canary = tmp_path / "canary"
    effective = set()
    for number, (name, plant) in enumerate(VECTORS.items()):
        space = tmp_path / f"naive-{number}" / "w"
        workspace.create(hub, space, RUN, base)
        commit(space, {"src/m1/f1.py": "changed\n"})
        write(space, {"README.md": "uncommitted\n"})
        plant(space, evil)
        canary.unlink(missing_ok=True)
        for args in (["status"], ["diff"], ["log", "-1"], ["add", "-A"], ["commit", "-m", "x"], ["log", "-p", "-2"]):
            sh(space, *args, check=False)
        sh(space, "fetch", str(space), "HEAD", check=False)
        sh(hub.path, "fetch", f"file://{space}", "HEAD", check=False)
        sh(space, "checkout", "HEAD~1", check=False)
        if canary.exists():
            effective.add(name)
    assert len(effective) >= 15, sorted(set(VECTORS) - effective)


def test_history_that_lies_is_seen_as_it_is(hub: Hub, space: Path, base: Commit) -> None:
    made = commit(space, {"a": "1"})
    history_lies(space, "")
    assert workspace.fetch_candidate(hub, space, RUN) == made
    assert hub.is_ancestor(base, made)
    assert {change.path for change in changed_paths(hub, base, made)} == {"a"}
