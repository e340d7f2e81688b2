"""Checks have the folders of dependencies that workers have: read-only, and part of what verifies."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lab import git

from ganger.core.facts import Run
from ganger.core.ids import Commit, ItemId, PlanId, RunId, Token
from ganger.core.model import Check, Evidence, ItemSpec, Lease, LeaseMode, Verdict, VerdictKind
from ganger.core.policy import Policy
from ganger.core.verdict import judge
from ganger.errors import ConfigError, WorldFailed
from ganger.git import workspace
from ganger.git.hub import Hub
from ganger.git.repository import open_repository
from ganger.jail.choice import Mechanism, choose, tools_for
from ganger.jail.port import Jail
from ganger.service.protected import is_protected, is_test_file
from ganger.service.provisioning import Provisioning
from ganger.supervisor import linked
from ganger.supervisor.evidence import Checker, collect
from ganger.supervisor.linked import Linked, LinkedFor, none_linked
from ganger.supervisor.provision import Provisioner

RUN = RunId("a.1")
GOOD = "def add(a, b):\n    return a + b\n"
BROKEN = "def add(a, b):\n    return 0\n"
TEST = "import calc\nimport dep\n\n\ndef test_add():\n    assert calc.add(1, 2) == 3 and dep.SEVEN == 7\n"
UNIT = Check("unit", (".venv/bin/run-tests",))
WALLS = (Mechanism.bubblewrap, Mechanism.landlock, Mechanism.none)


@pytest.fixture(params=WALLS)
def jail(request: pytest.FixtureRequest) -> Jail:
    return wall(request.param)


def wall(mechanism: Mechanism) -> Jail:
    try:
        return choose(mechanism, "T0", tools_for("/usr/bin:/bin", ()))
    except ConfigError as error:
        pytest.skip(error.message)


class Project:
    """A repository with dependencies beside it that git ignores, and the verifier."""

    def __init__(self, root: Path, jail: Jail) -> None:
        self.top, self.state_dir, self.jail = root / "repo", root / "state", jail
        self.top.mkdir()
        self.state_dir.mkdir()
        git(self.top, "init", "-q", "-b", "main")
        self.write({".gitignore": ".venv/\nnode_modules/\n", "lock.txt": "1\n"})

    def write(self, files: dict[str, str], place: Path | None = None) -> None:
        for name, text in files.items():
            path = (place or self.top) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self) -> None:
        git(self.top, "add", "-A")
        git(self.top, "commit", "-q", "-m", "first")
        self.hub = Hub.open(self.state_dir / "hub.git", open_repository(self.top), "main")
        self.base = Commit(self.hub.sync_target())

    def provisioner(self, *names: str, **wanted: object) -> Provisioner:
        return Provisioner(
            self.state_dir,
            self.hub,
            self.jail,
            wanted=Provisioning(linked=names, **wanted),  # type: ignore[arg-type]
        )

    def checker(self, linked_for: LinkedFor = none_linked) -> Checker:
        return Checker(self.state_dir, self.hub, self.jail, is_protected, is_test_file, linked_for=linked_for)

    def look(
        self, checker: Checker, change: Callable[[Path], None], check: Check = UNIT, scope: tuple[str, ...] = ("**",)
    ) -> tuple[Evidence, Verdict]:
        place = self.state_dir / "workspaces" / str(time.monotonic_ns())
        workspace.create(self.hub, place, RUN, self.base)
        change(place)
        policy = Policy(flaky_retries=0)
        spec = ItemSpec(id=ItemId("a"), plan=PlanId("p"), title="A", scope=scope, checks=(check,))
        run = Run(RUN, spec.id, 1, self.base, "hand", Lease(Token(7), scope, LeaseMode.exclusive, 1 << 50), 0)
        logs = self.state_dir / "logs" / place.name
        found = collect(checker, self.hub, run, spec, place, logs, is_test_file, policy.paths, policy)
        return found, judge(spec, scope, found, policy.paths)


def environment(top: Path, name: str = ".venv") -> Path:
    """A real virtual environment with a dependency, a script that runs tests, and the project installed in place."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(top / name)], check=True)
    site = next((top / name).glob("lib/python*/site-packages"))
    (site / "dep.py").write_text("SEVEN = 7\n")
    (site / "runners.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    (site / "__editable__.calc.pth").write_text(f"{top}/src\n")
    script = top / name / "bin/run-tests"
    script.write_text(
        f"#!{top}/{name}/bin/python\nimport sys\nimport pytest\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '--import-mode=importlib']))\n"
    )
    script.chmod(0o755)
    return site


@pytest.fixture
def python(tmp_path: Path, jail: Jail) -> Project:
    made = Project(tmp_path, jail)
    made.write({"src/calc.py": GOOD, "tests/test_calc.py": TEST})
    environment(made.top)
    made.commit()
    return made


def edit(files: dict[str, str]) -> Callable[[Path], None]:
    def change(place: Path) -> None:
        for name, text in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(text)

    return change


def outcome(found: Evidence, verdict: Verdict) -> str:
    return f"{verdict.kind}: {verdict.reasons} {[check.tail for check in found.checks]}"


def test_a_check_has_the_environment_of_the_project_and_tests_the_change(python: Project) -> None:
    checker = python.checker(python.provisioner(".venv").linked)
    found, verdict = python.look(checker, edit({"src/calc.py": GOOD + "\n\ndef mul(a, b):\n    return a * b\n"}))
    assert verdict.kind is VerdictKind.accepted, outcome(found, verdict)
    assert found.checks[0].executed == 1
    found, verdict = python.look(checker, edit({"src/calc.py": BROKEN}))
    assert verdict.kind is VerdictKind.rejected, "the user's own version of the code was tested"
    assert "assert (0 == 3" in found.checks[0].tail


def test_the_control_without_links_there_is_no_such_program(python: Project) -> None:
    with pytest.raises(WorldFailed, match="no such program"):
        python.look(python.checker(), edit({"src/calc.py": BROKEN}))


def test_the_control_an_environment_as_it_is_tests_the_users_own_code(tmp_path: Path) -> None:
    """Without a wall, and without what leads to the tree being led elsewhere, a broken change passes."""
    python = Project(tmp_path, wall(Mechanism.none))
    python.write({"src/calc.py": GOOD, "tests/test_calc.py": TEST})
    environment(python.top)
    python.commit()
    as_it_is = Linked(".venv", python.top / ".venv", tree=Path("/nowhere"))
    found, verdict = python.look(python.checker(lambda base: (as_it_is,)), edit({"src/calc.py": BROKEN}))
    assert verdict.kind is VerdictKind.accepted, outcome(found, verdict)


def test_a_check_cannot_write_what_is_linked_or_is_seen_to(python: Project) -> None:
    site = next((python.top / ".venv").glob("lib/python*/site-packages"))
    inside = site.relative_to(python.top)
    script = f"grep -q mul src/calc.py && echo 'SEVEN = 8' >> {inside}/dep.py; echo x > .venv/new; true"
    checker = python.checker(python.provisioner(".venv").linked)
    found, verdict = python.look(checker, edit({"src/calc.py": GOOD + "mul = 1\n"}), Check("w", ("sh", "-c", script)))
    assert not (python.top / ".venv/new").exists(), "what a check adds beside the links is discarded"
    if python.jail.tier == "T0":
        assert "SEVEN = 8" in (site / "dep.py").read_text()
        assert verdict.kind is VerdictKind.rejected
        assert f"it changed the tree that it checks: {inside}/dep.py" in str(found.checks[0].faults)
    else:
        assert (site / "dep.py").read_text() == "SEVEN = 7\n"
        assert verdict.kind is VerdictKind.accepted, outcome(found, verdict)
        assert "dep.py" in found.checks[0].tail, "the write failed with a message"


def test_what_is_linked_is_part_of_what_verifies(python: Project) -> None:
    site = next((python.top / ".venv").glob("lib/python*/site-packages"))
    checker = python.checker(python.provisioner(".venv").linked)
    before = checker.verifier(python.base, (UNIT,))
    assert before != python.checker().verifier(python.base, (UNIT,))
    time.sleep(1.0)
    assert checker.verifier(python.base, (UNIT,)) == before, "the same state is the same verifier"
    (site / "dep.py").write_text("SEVEN = 8\n")
    deadline = time.monotonic() + 30
    while checker.verifier(python.base, (UNIT,)) == before and time.monotonic() < deadline:
        time.sleep(0.05)
    found, verdict = python.look(checker, edit({"src/calc.py": GOOD + "MORE = 1\n"}))
    assert found.verifier != before
    assert "SEVEN" in found.checks[0].tail or "dep.SEVEN" in found.checks[0].tail, outcome(found, verdict)


def _file(place: Path) -> None:
    (place / ".venv").write_text("mine\n")


def _folder(place: Path) -> None:
    (place / ".venv/bin").mkdir(parents=True)
    (place / ".venv/bin/run-tests").write_text("#!/bin/sh\nexit 0\n")
    (place / ".venv/bin/run-tests").chmod(0o755)


def _link(place: Path) -> None:
    (place / ".venv").symlink_to("/etc")


@pytest.mark.parametrize("bring", (_file, _folder, _link))
def test_a_candidate_that_has_such_a_folder_itself_is_refused(tmp_path: Path, bring: Callable[[Path], None]) -> None:
    python = Project(tmp_path, wall(Mechanism.none))
    python.write({"src/calc.py": GOOD, "tests/test_calc.py": TEST})
    environment(python.top)
    python.commit()

    def change(place: Path) -> None:
        (place / ".gitignore").write_text("\n")
        bring(place)

    found, verdict = python.look(python.checker(python.provisioner(".venv").linked), change)
    assert verdict.kind is VerdictKind.rejected
    assert "has .venv of its own, which checks get as [workspace] linked says" in verdict.reasons
    assert found.checks == ()
    if bring is _folder:
        checked = python.checker(python.provisioner(".venv").linked).run(found.tree, (UNIT,), tmp_path / "state/logs/x")
        assert checked[0].exit_code == 0, "what is checked is the candidate's tree, whatever it has"


@pytest.mark.parametrize(
    ("path", "meets"),
    (("a/deps/x", True), ("a/deps", True), ("a", True), ("a/depsx", False), ("b/a/deps", False), ("a/d", False)),
)
def test_what_stands_in_the_way_of_a_link(path: str, meets: bool) -> None:
    assert bool(linked.in_the_way(("a/deps",), {path.encode(): ("100644", "")})) == meets


def test_a_copy_of_the_project_in_its_environment_is_refused(tmp_path: Path) -> None:
    python = Project(tmp_path, wall(Mechanism.none))
    python.write({"src/calc.py": GOOD})
    site = environment(python.top)
    python.commit()
    found = python.provisioner(".venv")
    about = site / "calc-1.0.dist-info/direct_url.json"
    about.parent.mkdir()
    for text, refused in (
        ('{"dir_info": {}, "url": "file://%s"}', True),
        ('{"dir_info": {"editable": true}, "url": "file://%s"}', False),
        ('{"archive_info": {}, "url": "file://%s/wheel.whl"}', False),
        ('{"dir_info": {}, "url": "file:///opt/other"}', False),
    ):
        about.write_text(text.replace("%s", str(python.top)))
        if refused:
            with pytest.raises(WorldFailed, match=r"\.venv has calc installed from .*/repo: its copy would be tested"):
                found.linked(python.base)
        else:
            assert found.linked(python.base)
    alias = tmp_path / "alias"
    alias.symlink_to(python.top)
    (site / "easy-install.pth").write_text(f"{alias}/src\n")
    with pytest.raises(WorldFailed, match=r"easy-install\.pth installed from"):
        found.linked(python.base)


SETUP = (
    "sh",
    "-c",
    f"{sys.executable} -m venv --without-pip .venv; cat lock.txt >> .venv/made; "
    'printf \'#!%s/.venv/bin/python\\nimport calc, sys\\nassert sys.prefix.endswith(".venv")\\n'
    'assert calc.add(1, 2) == 3\\n\' "$PWD" > .venv/bin/try; chmod +x .venv/bin/try; '
    'for site in .venv/lib/python*/site-packages; do echo "$PWD/src" > $site/__editable__.calc.pth; done',
)


def test_an_environment_that_the_setup_makes_is_the_bases_and_knows_where_it_is(tmp_path: Path, jail: Jail) -> None:
    python = Project(tmp_path, jail)
    python.write({"src/calc.py": GOOD})
    python.commit()
    found = python.provisioner(".venv", setup=SETUP, setup_key=("lock.txt",))
    checker, check = python.checker(found.linked), Check("try", (".venv/bin/try",))
    evidence, verdict = python.look(checker, edit({"src/calc.py": GOOD + "MORE = 1\n"}), check)
    assert verdict.kind is VerdictKind.accepted, outcome(evidence, verdict)
    evidence, verdict = python.look(checker, edit({"src/calc.py": BROKEN, "lock.txt": "2\n"}), check)
    assert verdict.kind is VerdictKind.rejected
    caches = list((python.state_dir / "provision/cache").iterdir())
    assert [(cache / "tree/.venv/made").read_text() for cache in caches] == ["1\n"], "a candidate made one of its own"
    (caches[0] / "made").unlink()
    (caches[0] / "tree/src/calc.py").write_text("half made\n")
    again = python.provisioner(".venv", setup=SETUP, setup_key=("lock.txt",)).linked(python.base)
    assert (again[0].tree / "src/calc.py").read_text() == GOOD, "one that was cut off is made anew"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_packages_of_node_are_shared_and_those_of_the_workspace_are_its_own(tmp_path: Path, jail: Jail) -> None:
    node = Project(tmp_path, jail)
    node.write(
        {
            "packages/own/index.js": "exports.add = (a, b) => a + b\n",
            "own.test.js": "const test = require('node:test'); const assert = require('node:assert')\n"
            "test('adds', () => assert.equal(require('own').add(1, 2) + require('@a/dep').one + "
            "require('@a/near').add(0, 0), 4))\n",
            "package.json": '{"name": "p"}\n',
            "node_modules/@a/dep/index.js": "exports.one = 1\n",
            "node_modules/.package-lock.json": "{}\n",
        }
    )
    (node.top / "node_modules/own").symlink_to("../packages/own")
    (node.top / "node_modules/@a/near").symlink_to(node.top / "packages/own")
    node.commit()
    check = Check("unit", (shutil.which("node") or "node", "--test"))
    checker = node.checker(node.provisioner("node_modules").linked)
    good = "exports.add = (a, b) => b + a\n"
    found, verdict = node.look(checker, edit({"packages/own/index.js": good}), check)
    assert verdict.kind is VerdictKind.accepted, outcome(found, verdict)
    found, verdict = node.look(checker, edit({"packages/own/index.js": "exports.add = () => 7\n"}), check)
    assert verdict.kind is VerdictKind.rejected, "the user's own version of the package was tested"
