"""What a hostile worker may leave in its workspace so that somebody's git runs it: each vector would write a canary."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gitworld import commit, sh, write

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
    (inner / ".git/hooks").mkdir(exist_ok=True)
    hooks(inner, evil)
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


def work_tree_elsewhere(space: Path, evil: str) -> None:
    """Let the work tree be a folder beside the workspace, which is the test's own: the control works there."""
    (space.parent / "elsewhere").mkdir()
    write(space.parent / "elsewhere", {"not mine": "x\n"})
    config("core.fsmonitor=EVIL", f"core.worktree={space.parent}/elsewhere")(space, evil)


def tools(space: Path, evil: str) -> None:
    """Name the program wherever git lets one be named that is neither hook nor filter."""
    names: tuple[str, ...] = (
        "trailer.x.command",
        "trailer.x.cmd",
        "interactive.diffFilter",
        "difftool.x.cmd",
        "mergetool.x.cmd",
    )
    names += ("man.x.cmd", "browser.x.cmd", "core.notesRef", "instaweb.httpd", "sendemail.smtpserver", "gui.editor")
    config(*(f"{name}=EVIL" for name in names), "diff.tool=x", "merge.tool=x", "trailer.x.key=X")(space, evil)


def rerouted(space: Path, evil: str) -> None:
    """Let every place that git could fetch from stand for a program."""
    config(f"url.ext::{evil} .insteadOf=/", f"url.ext::{evil} .pushInsteadOf=/", "protocol.ext.allow=always")(space, "")
    config(f"url.ext::{evil} .insteadOf=file://", "remote.pushDefault=x", "remote.x.url=ext::EVIL")(space, evil)


def remotes_of_old(space: Path, evil: str) -> None:
    """Describe remotes in files, as git did before it had a configuration for them."""
    write(space, {".git/remotes/origin": f"URL: ext::{evil}\nPull: refs/heads/x:refs/heads/y\n"})
    write(space, {".git/branches/upstream": f"ext::{evil}\n", ".git/FETCH_HEAD": f"{'0' * 40}\t\text::{evil}\n"})


def bundles(space: Path, evil: str) -> None:
    settings = ("fetch.bundleURI=ext::EVIL", "transfer.bundleURI=true", "bundle.x.uri=ext::EVIL", "bundle.mode=all")
    config(*settings, "bundle.version=1", "protocol.ext.allow=always")(space, evil)


def gitmodules(url: str, path: str = "sub", name: str = "sub", update: str = "checkout") -> Plant:
    """Commit a submodule whose description is an attack."""

    def plant(space: Path, evil: str) -> None:
        text = f'[submodule "{name}"]\n\tpath = {path}\n\turl = {url}\n\tupdate = {update}\n'
        write(space, {".gitmodules": text.replace("EVIL", evil)})
        sh(space, "add", ".gitmodules")
        head = sh(space, "rev-parse", "HEAD")
        sh(space, "update-index", "--add", "--cacheinfo", f"160000,{head},{path}", check=False)
        sh(space, "commit", "-q", "-m", "a submodule")
        config("submodule.recurse=true", "submodule.active=.", "protocol.ext.allow=always")(space, evil)

    return plant


def modules(space: Path, evil: str) -> None:
    """Keep the git directory of a submodule where git would, with settings that run the program."""
    submodule(space, evil)
    write(space, {".gitmodules": '[submodule "sub"]\n\tpath = sub\n\turl = ./sub\n'})
    (space / ".git/modules").mkdir()
    (space / "sub/.git").rename(space / ".git/modules/sub")
    (space / "sub/.git").write_text("gitdir: ../.git/modules/sub\n")


def bare_inside(space: Path, evil: str) -> None:
    """Put a bare repository into the tree: git in that folder would take it for the one to work on."""
    sh(space, "init", "-q", "--bare", "fixtures/repo")
    for name in HOOKS:
        (space / "fixtures/repo/hooks" / name).symlink_to(evil)
    config("core.fsmonitor=EVIL", "core.bare=false", "core.worktree=..")(space / "fixtures/repo", evil)


def common_dir(space: Path, evil: str) -> None:
    """Have refs, objects and configuration looked for elsewhere."""
    other = space.parent / "common.git"
    sh(space.parent, "init", "-q", "--bare", str(other))
    sh(other, "fetch", "-q", str(space), "+refs/heads/*:refs/heads/*", check=False)
    config("core.fsmonitor=EVIL", "core.pager=EVIL", "filter.x.clean=EVIL", "diff.external=EVIL")(other, evil)
    (space / ".git/commondir").write_text(f"{other}\n")


def linked_worktrees(space: Path, evil: str) -> None:
    sh(space, "worktree", "add", "-q", "--detach", str(space / "second"))
    sh(space, "config", "extensions.worktreeConfig", "true")
    write(space, {".git/worktrees/second/config.worktree": f"[core]\n\tfsmonitor = {evil}\n\tpager = {evil}\n"})
    write(space, {".git/worktrees/second/hooks/x": evil, ".git/worktrees/second/locked": "by me\n"})


def sparse(space: Path, evil: str) -> None:
    config("core.sparseCheckout=true", "core.sparseCheckoutCone=false", "index.sparse=true")(space, evil)
    write(space, {".git/info/sparse-checkout": f"/*\n!README.md\n{evil}\n", ".git/info/exclude": "*\n"})
    config("core.fsmonitor=EVIL", "core.excludesFile=EVIL", "core.attributesFile=EVIL")(space, evil)


def option_names(space: Path, evil: str) -> None:
    """Files, branches and tags that look like options which run a program."""
    names = [f"--upload-pack={evil}".replace("/", "_"), "-oProxyCommand=x", "--output=x", "--exec=sh", "-c", "--"]
    commit(space, dict.fromkeys(names, "x\n"))
    write(space, {f"{name}~": "untracked\n" for name in names})
    head = sh(space, "rev-parse", "HEAD")
    names += [f"--upload-pack={evil}"]
    with (space / ".git/packed-refs").open("a") as file:
        file.writelines(f"{head} refs/heads/{name}\n" for name in names)
    with (space / ".git/config").open("a") as file:
        file.write(f'[branch "--upload-pack={evil}"]\n\tremote = --upload-pack={evil}\n[alias]\n\tlog = !{evil}\n')


def line_breaks(space: Path, evil: str) -> None:
    """Names with line breaks and control characters in paths, refs, reflogs and packed refs."""
    commit(space, {"a\nb": "1\n", "c\rd": "2\n", "\x1b]0;x\x07": "3\n", "e\t\\n": "4\n"})
    head = sh(space, "rev-parse", "HEAD")
    for name in ("x\nupdate refs/ganger/target 0", "y\r", "z\x7f", "--all"):
        (space / ".git/refs/heads" / name).write_text(f"{head}\n") if "/" not in name else None
    (space / ".git/logs/refs").mkdir(parents=True, exist_ok=True)
    (space / ".git/logs/refs/stash").write_text(f"{head} {head} x <x> 0 +0\t\n{head} --all\n\0\n")
    config("core.quotePath=false", "core.pager=EVIL", "core.fsmonitor=EVIL")(space, evil)


def unfinished(space: Path, evil: str) -> None:
    """Leave a rebase whose next step runs the program, and a merge."""
    head = sh(space, "rev-parse", "HEAD")
    todo = f"exec {evil}\npick {head} x\n"
    write(space, {".git/rebase-merge/git-rebase-todo": todo, ".git/rebase-merge/head-name": "refs/heads/main\n"})
    write(space, {".git/rebase-merge/onto": f"{head}\n", ".git/sequencer/todo": todo, ".git/MERGE_HEAD": f"{head}\n"})
    write(space, {".git/rebase-merge/interactive": "", ".git/BISECT_RUN": evil, ".git/AUTO_MERGE": f"{head}\n"})
    config("sequence.editor=EVIL", "core.editor=EVIL", "core.hooksPath=.git/hooks")(space, evil)
    hooks(space, evil)


def signed(space: Path, evil: str) -> None:
    """Commits and tags with signatures that a program would be asked to look at."""
    tree, head = sh(space, "rev-parse", "HEAD^{tree}"), sh(space, "rev-parse", "HEAD")
    who = "U <u@example.org> 1 +0000"
    text = f"tree {tree}\nparent {head}\nauthor {who}\ncommitter {who}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n"
    text += " x\n -----END PGP SIGNATURE-----\n\nsigned\n"
    made = sh(space, "hash-object", "-t", "commit", "-w", "--stdin", stdin=text.encode())
    sh(space, "update-ref", "HEAD", made)
    config("gpg.program=EVIL", "log.showSignature=true", "merge.verifySignatures=true", "gpg.x509.program=EVIL")(
        space, evil
    )


def notes(space: Path, evil: str) -> None:
    """Notes, a mail map and a blame list that every `log` would read."""
    sh(space, "notes", "add", "-m", "$(touch x)", "HEAD")
    write(space, {".mailmap": "A <a@x> <u@example.org>\n"})
    config("notes.displayRef=*", "log.mailmap=true", "mailmap.file=EVIL", "core.pager=EVIL", "format.pretty=%G?")(
        space, evil
    )


def another_format(space: Path, evil: str) -> None:
    settings = ("core.repositoryformatversion=1", "extensions.objectFormat=sha256", "extensions.refStorage=reftable")
    config("core.fsmonitor=EVIL", "core.pager=EVIL", *settings)(space, evil)


def template(space: Path, evil: str) -> None:
    """A template directory full of hooks, from which `init` and `clone` would copy."""
    (space / "template/hooks").mkdir(parents=True)
    for name in HOOKS:
        (space / "template/hooks" / name).symlink_to(evil)
    config(f"init.templateDir={space}/template", "core.hooksPath=template/hooks")(space, evil)


def forbidden_tree(*entries: str) -> Plant:
    """Commit a tree that no `git add` would make: `MODE PATH` of a hook that runs the program."""

    def plant(space: Path, evil: str) -> None:
        blob = sh(space, "hash-object", "-w", "--stdin", stdin=f"#!/bin/sh\nexec {evil}\n".encode())
        link = sh(space, "hash-object", "-w", "--stdin", stdin=b".git/hooks")
        oids = {"120000": link, "100755": blob}
        tree = sh(space, "rev-parse", "HEAD^{tree}")
        lines = sh(space, "ls-tree", tree).encode("utf-8", "surrogateescape") + b"\n"
        for entry in entries:
            mode, _, path = entry.partition(" ")
            *folders, name = path.split("/")
            found = oids[mode]
            line = f"{mode} blob {found}\t{name}"
            for folder in reversed(folders):
                line = f"040000 tree {_raw_tree(space, line)}\t{folder}"
            lines += line.encode() + b"\n"
        made = _raw_tree(space, lines.decode("utf-8", "surrogateescape").rstrip("\n"))
        sh(space, "update-ref", "HEAD", sh(space, "commit-tree", made, "-p", "HEAD", "-m", "forbidden"))

    return plant


def _raw_tree(space: Path, listing: str) -> str:
    """Write a tree object byte by byte, from lines as `ls-tree` prints them."""
    content = b""
    for line in listing.split("\n"):
        about, _, name = line.partition("\t")
        mode, _, found = about.split(" ")
        content += mode.lstrip("0").encode() + b" " + os.fsencode(name) + b"\0" + bytes.fromhex(found)
    return sh(space, "hash-object", "-t", "tree", "--literally", "-w", "--stdin", stdin=content)


def pipes(space: Path, evil: str) -> None:
    """Put named pipes where files are read: whoever opens one waits for ever."""
    for name in ("config", "HEAD", "index", "packed-refs", "ORIG_HEAD"):
        (space / ".git" / name).unlink(missing_ok=True)
        os.mkfifo(space / ".git" / name)
    os.mkfifo(space / "pipe")
    os.mkfifo(space / ".git/objects/pack" / ("pack-" + "b" * 40 + ".pack"))


def links_out(space: Path, evil: str) -> None:
    """Let the parts of the git directory be links to places outside of the workspace."""
    outside = space.parent / "outside"
    outside.mkdir()
    for name in ("hooks", "refs", "logs"):
        (outside / name).mkdir()
        if (space / ".git" / name).exists():
            (space / ".git" / name).rename(outside / f"{name}.old")
        (space / ".git" / name).symlink_to(outside / name)
    hooks(space, evil)
    config("core.fsmonitor=EVIL")(space, evil)


def split_index(space: Path, evil: str) -> None:
    config("core.splitIndex=true", "core.untrackedCache=true", "core.fsmonitor=EVIL", "feature.manyFiles=true")(
        space, evil
    )
    sh(space, "update-index", "--split-index", check=False)


def files_of_settings(space: Path, evil: str) -> None:
    """Files of settings in the tree itself, for programs that read them from there."""
    write(space, {".gitconfig": f"[core]\n\tfsmonitor = {evil}\n", ".lfsconfig": f"[lfs]\n\tstandalone = {evil}\n"})
    write(space, {"config": f"[core]\n\tpager = {evil}\n", ".config/git/config": f"[core]\n\tfsmonitor = {evil}\n"})
    write(space, {"HEAD": "ref: refs/heads/main\n", ".env": f"GIT_SSH_COMMAND={evil}\nGIT_PAGER={evil}\n"})
    config("include.path=../.gitconfig")(space, evil)


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
    "core.worktree": work_tree_elsewhere,
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
    "tools of other commands": tools,
    "rerouted places": rerouted,
    "remotes in files": remotes_of_old,
    "bundles": bundles,
    "receive": config(
        "receive.fsckObjects=false", "receive.procReceiveRefs=refs", "core.hooksPath=.", "remote.x.receivepack=EVIL"
    ),
    "http": config("http.proxy=ext::EVIL", "http.cookieFile=EVIL", "remote.x.proxy=EVIL", "core.fsmonitor=EVIL"),
    "submodule by option": gitmodules("--upload-pack=EVIL"),
    "submodule by ext": gitmodules("ext::EVIL", update="!EVIL"),
    "submodule named outwards": gitmodules("./x", name="../../hooks"),
    "submodule at an option": gitmodules("./x", path="--upload-pack=x"),
    "submodule's git directory": modules,
    "bare repository in the tree": bare_inside,
    "commondir": common_dir,
    "linked work trees": linked_worktrees,
    "sparse checkout": sparse,
    "names like options": option_names,
    "names with line breaks": line_breaks,
    "unfinished rebase": unfinished,
    "signed commits": signed,
    "notes and mail map": notes,
    "another format": another_format,
    "template": template,
    ".git in the tree": forbidden_tree("100755 .git/hooks/post-checkout"),
    ".GIT in the tree": forbidden_tree("100755 .GIT/hooks/post-checkout"),
    "git~1 in the tree": forbidden_tree("100755 git~1/hooks/post-checkout"),
    ".. in the tree": forbidden_tree("100755 ../hooks/post-checkout"),
    "link and folder of one name": forbidden_tree("120000 zz", "100755 zz/post-checkout"),
    "hidden .git in the tree": forbidden_tree("100755 .g\u200cit/hooks/post-checkout"),
    "pipes": pipes,
    "links out of the git directory": links_out,
    "split index": split_index,
    "settings in the tree": files_of_settings,
}
