"""Kinds of installed packages: found without running anything of them, named by the user and nobody else."""

# ruff: noqa: E501 - a message is one line, in the table as on the screen
from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from ganger.core.model import Kind, Writes
from ganger.errors import ConfigError
from ganger.service.config import Config, load
from ganger.service.kind_packages import Shipped
from ganger.service.kinds import Rules, places
from ganger.service.trust import digest_of

SPY = "import pathlib\npathlib.Path({trace!r}).write_text('run')\nraise SystemExit('run')\n"


class Site:
    """Packages that are installed for this process, a user's configuration that may name them, and a project."""

    def __init__(self, root: Path) -> None:
        self.packages, self.user, self.top = root / "site", root / "config" / "ganger", root / "project"
        self.trace = root / "trace"
        for folder in (self.packages, self.user, self.top):
            folder.mkdir(parents=True)

    def ship(self, name: str, files: dict[str, str]) -> Path:
        """Install a package whose code leaves a trace when it is run."""
        folder = self.packages / name
        for path, text in {"__init__.py": SPY.format(trace=str(self.trace)), **files}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        return folder

    def load(self, user: str, project: str = "") -> Config:
        (self.user / "config.toml").write_text(user)
        (self.top / "ganger.toml").write_text(project)
        return load(self.top, self.user / "config.toml", {"PATH": "/bin:/usr/bin"}, {})

    def refused(self, user: str, project: str = "") -> list[str]:
        with pytest.raises(ConfigError) as error:
            self.load(user, project)
        assert not self.trace.exists(), "something of a package was run"
        return error.value.message.splitlines()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site(tmp_path)
    monkeypatch.syspath_prepend(str(made.packages))
    return made


def test_a_packages_kinds_and_rules_stand_between_built_in_and_the_users_and_none_of_its_code_is_run(
    site: Site,
) -> None:
    folder = site.ship(
        "acme_kinds",
        {
            "kinds/auditor.md": "+++\nintent = 'Audits'\nwrites = 'none'\nworkers_max = 2\n+++\n- Of acme.\n",
            "kinds/scout.md": "+++\nworkers_max = 3\n+++\n",
            "rules.md": "- Acme's rule.\n",
        },
    )
    (site.user / "kinds").mkdir()
    (site.user / "kinds/auditor.md").write_text("+++\nworkers_max = 1\n+++\n- The user's.\n")
    config = site.load("[rules]\npackages = ['acme_kinds']\n")
    kinds = {kind.name: kind for kind in config.kinds}
    assert kinds["auditor"] == Kind("auditor", 1, Writes.none)
    assert kinds["scout"] == Kind("scout", 3, Writes.none)
    assert config.packages == (Shipped("acme_kinds", folder),)
    found = {one.key: (one.source, one.path, one.line, one.overrides) for one in config.explain()}
    assert found["kinds.auditor.writes"] == ("package acme_kinds", f"{folder}/kinds/auditor.md", 3, ())
    assert found["kinds.auditor.workers_max"][3] == ("package acme_kinds",)
    told = config.rulebook.told("auditor")
    at = [
        told.index(text)
        for text in ("- Do what this text asks", "- Acme's rule.", "Audits", "- Of acme.", "- The user's.")
    ]
    assert at == sorted(at)
    assert not site.trace.exists() and "acme_kinds" not in sys.modules
    assert digest_of(config) == digest_of(site.load("")), "what the user names, the user need not agree to"


def test_a_later_package_stands_over_an_earlier_one(site: Site) -> None:
    for name, most in (("one", 1), ("two", 2)):
        site.ship(name, {"kinds/auditor.md": f"+++\nworkers_max = {most}\n+++\n- {name}\n"})
    for order, most in ((("one", "two"), 2), (("two", "one"), 1)):
        config = site.load(f"[rules]\npackages = {list(order)}\n")
        assert next(kind for kind in config.kinds if kind.name == "auditor").workers_max == most
        told = config.rulebook.told("auditor")
        assert told.index(f"- {order[0]}") < told.index(f"- {order[1]}")


def test_a_package_that_nobody_names_says_nothing(site: Site) -> None:
    site.ship("acme_kinds", {"rules.md": "- Acme's rule.\n"})
    assert "Acme" not in site.load("").rulebook.told("scout")


def test_what_cannot_bring_kinds_is_said_with_the_line_that_names_it(site: Site) -> None:
    site.ship("empty", {})
    (site.packages / "plain.py").write_text(SPY.format(trace=str(site.trace)))
    (site.packages / "spread/kinds").mkdir(parents=True)
    with zipfile.ZipFile(site.packages / "zipped.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", "")
        archive.writestr("zipped/kinds/scout.md", "- Zipped.\n")
    sys.path.insert(0, f"{site.packages}/zipped.zip")
    where = f"{site.user}/config.toml:2: `rules.packages` names"
    try:
        for name, said in (
            ("missing_kinds", f"`missing_kinds`, which is not installed where ganger is ({sys.executable} -m pip install PACKAGE puts it there)"),
            ("empty", f"`empty`, which brings no kinds ({site.packages}/empty has neither kinds/ nor rules.md)"),
            ("plain", "`plain`, a module without a folder (name a package)"),
            ("spread", f"`spread`, a namespace package without a folder of its own: {site.packages}/spread (it lacks __init__.py)"),
            ("zipped", f"`zipped`, which lies in an archive: {site.packages}/zipped.zip/zipped/__init__.py (install it as files)"),
        ):  # fmt: skip
            assert site.refused(f"[rules]\npackages = ['{name}']\n") == [f"{where} {said}"]
    finally:
        sys.path.remove(f"{site.packages}/zipped.zip")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("'acme_kinds'", "must be a list, not text (write it as [\"…\"])"),
        ("['acme.kinds']", "holds `acme.kinds`, which is no name of a top-level package (name the outermost package)"),
        ("['../acme']", "holds `../acme`, which is no name of a top-level package (name the outermost package)"),
        ("['acme', 'acme']", "names `acme` twice"),
    ],
)  # fmt: skip
def test_a_value_that_is_no_list_of_packages(site: Site, value: str, said: str) -> None:
    site.ship("acme", {"rules.md": "- A.\n"})
    where = f"{site.user}/config.toml:2: `rules.packages`"
    assert site.refused(f"[rules]\npackages = {value}\n") == [f"{where} {said}"]


def test_a_repository_names_no_packages(site: Site) -> None:
    site.ship("acme_kinds", {"rules.md": "- A.\n"})
    message = "`rules.packages` cannot be set by a repository: what packages say counts as the user's own"
    told = [f"ganger.toml:3: {message} (name them in your own config.toml)"]
    assert site.refused("", "[fleet]\n[rules]\npackages = ['acme_kinds']\n") == told
    assert site.refused("[rules]\npackages = ['acme_kinds']\n", "\n[rules]\npackages = []\n") == told, (
        "nor takes any away"
    )


def test_what_is_wrong_with_a_packages_file_is_said_with_its_line(site: Site) -> None:
    folder = site.ship(
        "acme_kinds",
        {
            "kinds/a.md": "+++\nwrits = 'none'\n+++\n",
            "kinds/b.md": "- One.\n- T\u200bwo.\n",
            "kinds/c.md": "+++\nwrites = 'none'\n",
        },
    )
    assert site.refused("[rules]\npackages = ['acme_kinds']\n") == [
        f"{folder}/kinds/a.md:2: unknown key `kinds.a.writs` (did you mean `writes`?)",
        f"{folder}/kinds/b.md:2: holds U+200B, which does not show (take it out)",
        f"{folder}/kinds/c.md:1: opens its settings with `+++` and does not close them (end them with `+++`)",
    ]


def test_a_package_that_the_repository_or_the_working_directory_brings_is_not_the_users(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = site.top / "acme_kinds"
    (ours / "kinds").mkdir(parents=True)
    (ours / "__init__.py").write_text(SPY.format(trace=str(site.trace)))
    named = "[rules]\npackages = ['acme_kinds']\n"
    monkeypatch.syspath_prepend(str(site.top))
    (brought,) = site.refused(named)
    assert brought.endswith(
        f"names `acme_kinds`, which this repository brings itself: {ours} (a repository's kinds lie in its .ganger, where you agree to them)"
    )
    monkeypatch.chdir(site.top)
    (unseen,) = site.refused(named)
    assert "which is not installed where ganger is" in unseen
    folder = site.ship("acme_kinds", {"rules.md": "- Installed.\n"})
    assert site.load(named).packages == (Shipped("acme_kinds", folder),), "the installed one is found behind it"


def test_a_package_that_goes_while_a_supervisor_is_up_takes_no_rule_with_it(site: Site) -> None:
    folder = site.ship("acme_kinds", {"rules.md": "- Acme's rule.\n"})
    config = site.load("[rules]\npackages = ['acme_kinds']\n")
    where = places(site.top, site.user / "config.toml", config.packages)
    rules = Rules(where, config.rulebook, lambda _: False)
    (folder / "rules.md").write_text("- Acme's other rule.\n")
    assert "- Acme's other rule." in rules.now().rulebook.told("scout")
    (folder / "rules.md").unlink()
    found = rules.now()
    assert "- Acme's other rule." in found.rulebook.told("scout")
    assert found.left_out == f"{folder}/kinds: cannot be read: No such file or directory"
