"""What a worker may write, as its hooks are told: by name, through links, in shells, on protected files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hooked_run import NOW_MS, RULES, Hook, gate_of, view
from msgspec.structs import replace

from ganger.core.model import Writes
from ganger.core.patterns import PathRules
from ganger.drivers.hooks import Deny, HookEvent, asked_of, load_dialect
from ganger.worker_api.guards import Memory
from ganger.worker_api.judge import judge

OUT = "{} is outside the scope src/**; ask, or leave it"
AWAY = "{} lies outside your workspace; name a file inside your workspace"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path / "work"
    for folder in ("src/inner", "docs", "tests", ".git/hooks"):
        (place / folder).mkdir(parents=True)
    for name in ("src/a.py", "src/conftest.py", "docs/x.md", "tests/t.py", ".git/config"):
        (place / name).write_text("x\n")
    (place / "src/link").symlink_to("../docs/x.md")
    (place / "src/away").symlink_to(tmp_path)
    (place / "src/loop").symlink_to("loop")
    (tmp_path / "beside").mkdir()
    return place


@pytest.fixture
def hook(workspace: Path) -> Hook:
    return Hook(gate_of(view(workspace)), workspace)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("src/a.py", ""),
        ("./src/../src/new.py", ""),
        ("src/inner/deep/er.py", ""),
        ("docs/x.md", OUT.format("docs/x.md")),
        ("./src/../docs/x.md", OUT.format("docs/x.md")),
        ("src/link", OUT.format("docs/x.md")),
        ("src/away/beside/x", AWAY.format("src/away/beside/x")),
        ("../beside/x", AWAY.format("../beside/x")),
        ("/etc/passwd", AWAY.format("/etc/passwd")),
        ("/proc/self/cwd/src/a.py", AWAY.format("/proc/self/cwd/src/a.py")),
        (".git/config", "'.git/config' lies in git's own folder; name the file as git does, from the repository's top"),
        (
            ".GIT/hooks/x",
            "'.GIT/hooks/x' lies in git's own folder; name the file as git does, from the repository's top",
        ),
        (
            "src/conftest.py",
            "src/conftest.py is protected: a change of it would be refused with all the rest; leave it, or ganger ask",
        ),
        (
            "src/\ud800",
            "'src/\\ud800' names no file; name a file inside your workspace",
        ),
        ("src/a\0b", "'src/a\\x00b' names no file; name a file inside your workspace"),
        ("src/SRC.py", ""),
        ("SRC/a.py", OUT.format("SRC/a.py")),
        ("/dev/null", ""),
        (".", "'' names no file; name the file as git does, from the repository's top"),
    ],
)
def test_writing_a_file(hook: Hook, path: str, reason: str) -> None:
    assert hook.write(path) == reason


def test_an_absolute_name_is_the_same_file(hook: Hook, workspace: Path) -> None:
    assert hook.write(str(workspace / "src/a.py")) == ""
    assert hook.write(str(workspace / "docs/x.md")) == OUT.format("docs/x.md")


def test_a_link_to_the_workspace_leads_into_it(hook: Hook, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(workspace)
    assert hook.write(str(tmp_path / "other/src/a.py")) == ""
    assert hook.write(str(tmp_path / "other/docs/x.md")) == OUT.format("docs/x.md")


def test_names_are_compared_as_the_repository_does(workspace: Path) -> None:
    rules = replace(RULES, paths=PathRules(fold_case=True, normalize=True))
    hook = Hook(gate_of(view(workspace, "src/caf\u00e9/**"), rules=rules), workspace)
    assert hook.write("SRC/CAFE\u0301/x") == ""
    assert hook.write("src/CONFTEST.PY".replace("src", "src/caf\u00e9")) != ""


def test_a_lease_that_has_run_out_allows_nothing(hook: Hook) -> None:
    assert hook.tool("Write", {"file_path": "src/a.py"}, NOW_MS + 60_000) == "the lease has run out; stop working on it"
    assert hook.tool("Read", {"file_path": "src/a.py"}, NOW_MS + 60_000) == ""


def test_a_protected_file_that_the_scope_names_may_be_written(workspace: Path) -> None:
    hook = Hook(gate_of(view(workspace, "src/conftest.py")), workspace)
    assert hook.write("src/conftest.py") == ""


@pytest.mark.parametrize(
    ("writes", "path", "reason"),
    [
        (Writes.tests, "tests/t.py", ""),
        (Writes.tests, "src/a.py", "a worker of its kind may change only tests, but this changes src/a.py"),
        (Writes.plans, "plans/p.toml", ""),
        (Writes.none, "src/a.py", "a worker of its kind may change nothing, but this changes src/a.py"),
    ],
)
def test_a_kind_may_write_less(workspace: Path, writes: Writes, path: str, reason: str) -> None:
    hook = Hook(gate_of(view(workspace, "**", writes=writes)), workspace)
    assert hook.write(path) == reason


def test_its_own_folders_are_its_own_business(workspace: Path, tmp_path: Path) -> None:
    hook = Hook(gate_of(view(workspace, places=(str(tmp_path / "beside"),))), workspace)
    assert hook.write(str(tmp_path / "beside/x")) == ""
    assert hook.shell(f"rm -rf {tmp_path}/beside/x; cp src/a.py {tmp_path}/beside") == ""


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("cat docs/x.md | grep x", ""),
        ("echo x > src/new.py", ""),
        ("echo x > docs/x.md", OUT.format("docs/x.md")),
        ('python -c \'open("docs/x.md", "w")\'', ""),
        ("make test 2>&1 >/dev/null", ""),
        ("cd docs && sed -i s/x/y/ x.md", OUT.format("docs/x.md")),
        ("(cd docs; ls); rm src/a.py", ""),
        ("cd $SOMEWHERE && rm x.md", ""),
        ("rm -rf docs", OUT.format("docs/x.md")),
        ("rm -rf src/inner", ""),
        ("rm src/link", ""),
        ("mkdir -p docs/new", ""),
        ("mkdir /etc/x", AWAY.format("/etc/x")),
        ("cp src/a.py docs", OUT.format("docs/a.py")),
        ("mv docs/x.md src/", OUT.format("docs/x.md")),
        ("mv src/a.py src/b.py", ""),
        ("git push origin HEAD", "nothing is pushed from a workspace: commit, and ganger fetches your branch itself"),
        ("git -c a=b push", "nothing is pushed from a workspace: commit, and ganger fetches your branch itself"),
        (
            "git remote add x /y",
            "remotes of a workspace stay as they are: commit, and ganger fetches your branch itself",
        ),
        (
            "git config core.hooksPath /x",
            "git's configuration and hooks stay as they are; pass -c NAME=VALUE where you need one",
        ),
        ("git config user.name", ""),
        (
            "echo x > .git/hooks/pre-commit",
            "'.git/hooks/pre-commit' lies in git's own folder; name the file as git does, from the repository's top",
        ),
        ("git add -A && git commit -m 'x > docs/x.md'", ""),
        ("bash -c 'echo x > docs/x.md'", OUT.format("docs/x.md")),
        (
            "apply_patch <<'E'\n*** Begin Patch\n*** Update File: docs/x.md\n+y\n*** End Patch\nE",
            OUT.format("docs/x.md"),
        ),
    ],
)
def test_running_a_command(hook: Hook, command: str, reason: str) -> None:
    assert hook.shell(command) == reason


def test_a_tool_nobody_knows_writes_what_it_names(hook: Hook) -> None:
    assert hook.tool("mcp__files__put", {"path": "docs/x.md", "text": "y"}) == OUT.format("docs/x.md")
    assert hook.tool("mcp__files__put", {"path": "src/x.md"}) == ""
    assert hook.tool("mcp__tracker__close", {"id": "T-1"}) == ""
    assert hook.tool("RunThis", {"command": "rm docs/x.md"}) == OUT.format("docs/x.md")


def test_who_works_in_a_folder_below_names_files_from_there(workspace: Path) -> None:
    hook = Hook(gate_of(view(workspace)), workspace / "docs")
    assert hook.write("x.md") == OUT.format("docs/x.md")
    assert hook.write("../src/a.py") == ""


def test_the_gate_reads_no_file(hook: Hook, workspace: Path) -> None:
    os.mkfifo(workspace / "src/fifo")
    assert hook.write("src/fifo") == ""
    assert hook.write("src/loop") == ""


@pytest.mark.parametrize(
    "command",
    [
        "apply_patch;" * 16_000,
        "apply_patch\n*** Update File: src/a\n" * 5_000,
        ">src/a " * 28_000,
        "sh -c '" + "rm src/q;" * 20_000 + "'",
        "rm " + "src/inner/../" * 15_000 + "a.py",
        "<<A " * 49_000,
        "env -Senv " * 20_000,
        "$(" * 100_000,
        "$(a)`b`" * 28_000,
        "((a(b)" * 30_000,
        "[[ a " * 40_000,
        "sh <<A\n" + "rm src/q\n" * 20_000 + "A\n",
    ],
)
def test_no_command_keeps_the_gate_from_others(hook: Hook, command: str) -> None:
    began = time.process_time()
    hook.tool("Bash", {"command": command})
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize(
    "command",
    [
        "bash -euo pipefail -c 'rm docs/x.md'",
        "bash --norc -o errexit -c 'rm docs/x.md'",
        "bash -ceuo pipefail 'rm docs/x.md'",
        "echo a | xargs -n 1 rm docs/x.md",
        "ionice -c 3 rm docs/x.md",
        "time -p rm docs/x.md",
        "busybox rm docs/x.md",
        "curl --output=docs/x.md https://x.test",
        "curl -sSLo docs/x.md https://x.test",
        "wget -qOdocs/x.md https://x.test",
        "sort -uo docs/x.md x",
        "env -S 'rm docs/x.md'",
        "env -i -S'A=1 rm' docs/x.md",
        "env --split-string='rm docs/x.md'",
        "echo $(rm docs/x.md)",
        'said="$(cd docs/.. && rm docs/x.md 2>&1)"',
        "echo `rm docs/x.md` > /dev/null",
        "bash <<'E'\nrm docs/x.md\nE",
        "cat <<'E' | sh -s\nrm docs/x.md\nE",
        "bash <<< 'rm docs/x.md'",
        "case a in a) rm docs/x.md;; esac",
        "function f { rm docs/x.md; }; f",
        "patch -p1 <<'E'\n--- a/docs/x.md\n+++ b/docs/x.md\n@@ -1 +1 @@\nE",
        "git apply - <<'E'\n--- a/docs/x.md\n+++ b/docs/x.md\n@@ -1 +1 @@\nE",
        "patch docs/x.md some.diff",
    ],
)
def test_who_runs_a_command_for_another_hides_nothing(hook: Hook, command: str) -> None:
    assert hook.tool("Bash", {"command": command}) == OUT.format("docs/x.md")
    assert hook.tool("Bash", {"command": command.replace("docs/x.md", "src/a.py")}) == ""


@pytest.mark.parametrize(
    "command",
    [
        "cd docs & rm src/a.py",
        "cd docs && make serve & rm src/a.py",
        "cd docs | rm src/a.py",
        "ls | cd docs; rm src/a.py",
        "(cd docs && ls) | cat; rm src/a.py",
        "env -C src rm a.py",
        "env --chdir=src rm a.py",
        "curl -O https://x.test/docs/x.md",
        "curl -fsSLO https://x.test/x",
        "wget -qO- https://x.test/x",
        "(( a > 3 )) && rm src/a.py",
        "while ((n-- > 0)); do rm src/a.py; done",
        "[[ $a > docs/x.md ]] && rm src/a.py",
        "echo $((3 > 2))",
        "git commit -m \"$(cat <<'E'\nSay why it is > docs/x.md :)\n\nrm docs/x.md\nE\n)\"",
        "python3 - <<'E'\nif a > docs: pass\nE",
        "bash make.sh <<'E'\nrm docs/x.md\nE",
        "cat <<'E'\nrm docs/x.md\nE",
        "git apply --check - <<'E'\n+++ b/docs/x.md\nE",
        "patch --dry-run -p1 <<'E'\n+++ b/docs/x.md\nE",
    ],
)
def test_what_writes_nothing_else_is_left_alone(hook: Hook, command: str) -> None:
    assert hook.shell(command) == ""


@pytest.mark.parametrize(
    "command", ["cd src && make & rm docs/x.md", "cd docs; make & rm x.md", "cd docs\nls | cat\nrm x.md"]
)
def test_where_a_command_runs_is_known_behind_others(hook: Hook, command: str) -> None:
    assert hook.shell(command) == OUT.format("docs/x.md")


@pytest.mark.parametrize("rest", ["--edit", "--remove-section user", "--unset user.name", "set user.name x"])
def test_configuration_stays_however_it_is_changed(hook: Hook, rest: str) -> None:
    assert hook.shell(f"git config {rest}").startswith("git's configuration and hooks stay as they are")


@pytest.mark.parametrize("cwd", ["/a\0b", "/\ud800", "b\0"])
@pytest.mark.parametrize("tool", [("Write", {"file_path": "src/a.py"}), ("Bash", {"command": "rm src/a.py"})])
def test_who_works_in_no_folder_is_told_so(workspace: Path, cwd: str, tool: tuple[str, dict[str, str]]) -> None:
    asked = asked_of(
        load_dialect("claude"), HookEvent.pre_tool, {"cwd": cwd, "tool_name": tool[0], "tool_input": tool[1]}
    )
    refusal = judge(RULES, view(workspace), asked, Memory(), (), NOW_MS)
    assert refusal == Deny(f"{cwd!r} names no folder to work in; name a file inside your workspace")
