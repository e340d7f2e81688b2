"""Ways in which a worker gets its guard out of the way: each is noticed or has no effect, and nothing of it lands.

`player.py` is the worker: in its jail it tries one way, and then writes a file that is not in its lease, with a tool
about which its hooks are asked as those of the products are. What became of it is read in the journal: `denied` by the
gate, found `silent` by the supervisor, `rejected` for a file out of its scope, `landed` with its own file alone.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import QUICK, Fleet, quoted, tree_digest

import ganger
from ganger.drivers.hooks import HookEvent, hook_command, load_dialect
from ganger.worker_api.gatekeeper import workers_hooks

PLAYER = Path(__file__).parent / "player.py"
KEPT = "denied, landed"
"""The guard stands as before."""
FILES = {
    "client_removed": KEPT,
    "client_overwritten": KEPT,
    "client_not_executable": KEPT,
    "client_replaced": KEPT,
    "client_linked_elsewhere": KEPT,
    "client_mounted_over": KEPT,
    "slow_path_overwritten": KEPT,
    "socket_removed": KEPT,
    "socket_squatted": KEPT,
    "door_replaced": KEPT,
    "view_widened": KEPT,
    "run_folder_removed": KEPT,
    "gate_told_otherwise": KEPT,
    "fleet_secret_read": KEPT,
    "settings_removed": "rejected, silent",
    "settings_overwritten": "rejected, silent",
    "settings_not_readable": "rejected, silent",
    "settings_folder_linked": "rejected, silent",
}
ENVIRONMENT = {
    "path_changed": KEPT,
    "library_preloaded": "rejected, silent",
    "shell_environment": KEPT,
    "python_path_changed": KEPT,
    "python_path_and_no_gate": "landed, silent",
    "another_door": "rejected, silent",
    "door_with_its_own_view": "rejected, silent",
    "no_door": "rejected, silent",
    "stale_token": "denied, landed, silent",
    "wrong_secret": "landed, silent",
    "another_run": "landed, silent",
    "home_moved": "rejected, silent",
    "replayed_answer": "denied, landed",
}
LOAD = {
    "flood": KEPT,
    "flood_of_questions": KEPT,
    "half_open": "landed, silent",
    "slow_loris": KEPT,
    "garbage": KEPT,
    "huge": KEPT,
    "deep": KEPT,
    "twice": KEPT,
    "no_text": KEPT,
    "no_descriptors": "rejected, silent",
    "no_file_size": KEPT,
    "no_memory": "rejected, silent",
}
PROCESSES = {
    "everybody_killed": KEPT,
    "gate_killed": KEPT,
    "gate_stopped": KEPT,
    "traced": KEPT,
    "client_killed": "rejected, silent",
    "client_held_up": "rejected, silent",
}
AROUND = {
    "nothing": "landed",
    "race": "rejected",
    "hard_link": "rejected",
    "by_proc": KEPT,
    "by_dots": KEPT,
    "by_link": KEPT,
    "own_tool_server": KEPT,
    "opaque_tool_server": "rejected",
    "unreadable_command": "rejected",
    "interpreter": "rejected",
    "background": "rejected",
    "subagent": "rejected",
    "subagent_told": "rejected, silent",
    "settings_of_products": "rejected",
}
GIT = {
    "plumbing": "rejected",
    "hidden_from_the_index": "rejected",
    "replaced_objects": "landed",
    "git_hooks": "landed",
    "git_configuration": "denied, landed",
    "filters": "landed",
    "another_repository": "landed",
    "amended": "rejected",
}
ALL = FILES | ENVIRONMENT | LOAD | PROCESSES | AROUND | GIT


def hook_line() -> str:
    """The command line of the hooks in an agent's settings; the event is put into it where it is used."""
    found = workers_hooks()
    line = hook_command(found.client, load_dialect("claude"), HookEvent.pre_tool, found.slow)
    return line.replace(" pre-tool ", " EVENT ")


def night(
    fleet: Fleet,
    ways: list[str],
    *,
    jail: str = "",
    hooks: str = 'gate = "on"',
    library: str = "",
    root: Path | None = None,
) -> dict[str, str]:
    """What becomes of workers that each try one of the ways, in one night; `root` is that of another ganger."""
    names = {way.replace("_", "-"): way for way in ways}
    theirs = {f"theirs/{name}.txt": f"{name}\n" for name in (*names, "other")}
    fleet.begin({f"src/{name}.txt": f"{name}\n" for name in names} | theirs)
    line, client, env = hook_line(), workers_hooks().client, {}
    if root is not None:
        asked = "from test_guard_ways import *; print(hook_line()); print(workers_hooks().client)"
        env = {"PYTHONPATH": str(root)}
        line, client = printed(asked, {"PYTHONPATH": f"{root}:{PLAYER.parent}:{PLAYER.parents[1] / 'night'}"})
    told = json.dumps({"hook": line, "client": client, "library": library})
    shutil.copy(PLAYER, fleet.root / "agents/player.py")
    tables = [f"[hooks]\n{hooks}\n"]
    for name, way in names.items():
        run = shlex.join((sys.executable, str(fleet.root / "agents/player.py"), way, told))
        tables.append(f'[agents.{name}]\ndriver = "command"\noutput = "events"\nrun = {quoted(run)}\n')
        fleet.item(name, agent=name, more="budget = { attempts_max = 1 }")
    if jail:
        tables.append(jail)
    recovery = f"{QUICK}breaker_max = 100\n"
    fleet.configure(fleet="workers_max = 4\n", recovery=recovery, more="\n".join(tables))
    done = fleet.ganger("run", str(fleet.plan()), "--trust", "--quiet", env=env, timeout=300)
    assert done.code in (0, 3) and "Traceback" not in done.err, done
    outcomes = journalled(fleet, names)
    assert_none_landed_out_of_its_lease(fleet, names)
    return outcomes


def printed(code: str, env: dict[str, str]) -> list[str]:
    """The lines that another Python prints."""
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | env, capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def journalled(fleet: Fleet, names: dict[str, str]) -> dict[str, str]:
    """What the record says of each way."""
    found: dict[str, set[str]] = {way: set() for way in names.values()}
    for line in fleet.ganger("journal", "export").out.splitlines():
        event: dict[str, Any] = json.loads(line)["event"]
        way = names.get(str(event.get("run", "")).rpartition(".")[0])
        if way is None:
            continue
        if event["type"] == "GuardSilent":
            found[way].add("silent")
        elif event["type"] == "ToolsUsed" and any(use.get("denied") for use in event["uses"]):
            found[way].add("denied")
        elif event["type"] == "VerdictGiven" and event["verdict"]["kind"] == "rejected":
            found[way].add("rejected")
        elif event["type"] == "RunLanded":
            found[way].add("landed")
    return {way: ", ".join(sorted(words)) for way, words in found.items()}


def assert_none_landed_out_of_its_lease(fleet: Fleet, names: dict[str, str]) -> None:
    """What is on the target is what every worker was given to change, and nothing else."""
    landed = fleet.landed_items()
    for name in names:
        assert fleet.on_main(f"theirs/{name}.txt") == f"{name}\n", name
        assert fleet.on_main(f"src/{name}.txt") == (f"{name} worked\n" if name in landed else f"{name}\n"), name
    changed = fleet.git("diff", "--name-only", fleet.git("rev-list", "--max-parents=0", "main"), "main").splitlines()
    assert sorted(changed) == sorted(f"src/{name}.txt" for name in landed)


def reported(fleet: Fleet) -> set[str]:
    """The runs of which the report says that their guard was silent."""
    text = fleet.ganger("report", "--text").out
    return set(re.findall(r"(\S+\.1)\b.*: its guard was silent", text))


def named(outcomes: dict[str, str], word: str) -> set[str]:
    return {f"{way.replace('_', '-')}.1" for way, outcome in outcomes.items() if word in outcome}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library that ends every program which loads it, well."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("library")
    (folder / "evil.c").write_text(
        "#include <unistd.h>\n__attribute__((constructor)) static void end(void) { _exit(0); }\n"
    )
    done = ["-shared", "-fPIC", "-o", str(folder / "evil.so"), str(folder / "evil.c")]
    subprocess.run([compiler, *done], check=True)
    return str(folder / "evil.so")


def test_there_are_enough_of_them() -> None:
    assert len(ALL) >= 40
    assert len(ALL) == sum(map(len, (FILES, ENVIRONMENT, LOAD, PROCESSES, AROUND, GIT)))


@pytest.mark.parametrize("group", ["FILES", "LOAD", "PROCESSES", "AROUND", "GIT"])
def test_it_is_noticed_or_has_no_effect(fleet: Fleet, group: str) -> None:
    expected: dict[str, str] = globals()[group]
    before = guard_files()
    outcomes = night(fleet, list(expected))
    assert outcomes == expected
    assert reported(fleet) == named(expected, "silent")
    assert guard_files() == before
    fleet.assert_sound()


def test_what_an_agents_environment_says_is_noticed(fleet: Fleet, library: str) -> None:
    shutil.copy(library, fleet.root / "agents/evil.so")
    outcomes = night(fleet, list(ENVIRONMENT), library=str(fleet.root / "agents/evil.so"))
    assert outcomes == ENVIRONMENT
    assert reported(fleet) == named(ENVIRONMENT, "silent")


def guard_files() -> dict[str, str]:
    """What the guard is made of."""
    folder = Path(workers_hooks().client.split()[-1]).parent
    return tree_digest(folder, lambda name: "__pycache__" in name)


def test_a_run_with_a_silent_guard_can_be_ended(fleet: Fleet) -> None:
    outcomes = night(fleet, ["settings_removed", "nothing"], hooks='gate = "on"\nsilent = "stop"')
    assert outcomes == {"settings_removed": "silent", "nothing": "landed"}
    (run,) = fleet.runs("settings-removed")
    assert run["reason"].startswith("its guard was silent: of "), run


def test_where_a_jail_has_no_sockets_no_guard_is_called_silent(fleet: Fleet) -> None:
    jail = f'[jail]\nmechanism = "landlock"\nreadable = ["{fleet.root}/agents"]\nwritable = ["{fleet.shared}"]\n'
    assert night(fleet, ["nothing", "by_dots"], jail=jail) == {"nothing": "landed", "by_dots": "landed"}


Plants = tuple[tuple[str, str, str], ...]
OPEN: Plants = (
    ("jail/bounds.py", 'FROZEN = (".git/config", ".git/hooks")', "FROZEN: tuple[str, ...] = ()"),
    ("drivers/hooks.py", "if len(made) != len(pairs):", "if False:"),
    (
        "worker_api/gatekeeper.py",
        '(sys.executable, "-I", "-c", _RUN_SLOW, str(_ROOT), "hook")',
        '(sys.executable, "-P", "-m", "ganger", "hook")',
    ),
)
UNCOUNTED: Plants = (("supervisor/asked.py", "uses > self._counts[run]", "uses > 10**9"),)
UNJUDGED: Plants = (("worker_api/judge.py", "return Deny(refusal) if refusal else Allow()", "return Allow()"),)
OTHERWISE = {
    OPEN: {
        "git_hooks": "rejected",
        "twice": "denied, rejected",
        "python_path_and_no_gate": "rejected, silent",
    },
    UNCOUNTED: {"another_door": "rejected", "client_killed": "rejected", "settings_removed": "rejected"},
    UNJUDGED: {"by_dots": "rejected", "own_tool_server": "rejected"},
}


@pytest.mark.parametrize("plants", OTHERWISE, ids=["open", "uncounted", "unjudged"])
def test_the_control_without_a_defence_something_else_becomes_of_them(fleet: Fleet, plants: Plants) -> None:
    assert night(fleet, list(OTHERWISE[plants]), root=planted(fleet, plants)) == OTHERWISE[plants]
    assert all(ALL[way] != becomes for way, becomes in OTHERWISE[plants].items())


def test_the_control_with_a_client_that_it_can_write_another_one_answers(fleet: Fleet) -> None:
    found = night(fleet, ["client_removed", "client_overwritten"], root=planted(fleet, (), fleet.shared))
    assert set(found.values()) == {"rejected, silent"}


def test_the_control_without_the_verdict_it_lands_out_of_its_lease(fleet: Fleet) -> None:
    blind = (
        ("core/verdict.py", "if not scope_matches(scope, path, rules)]", "if not path]"),
        ("supervisor/evidence.py", "in_scope = all(", "in_scope = True or all("),
    )
    root = planted(fleet, blind)
    with pytest.raises(AssertionError, match="subagent"):
        night(fleet, ["subagent"], root=root)


def planted(fleet: Fleet, plants: Plants, at: Path | None = None) -> Path:
    """A copy of ganger without a defence, where workers can read it or at another place."""
    root = (at or fleet.root / "agents") / "planted"
    source = Path(ganger.__file__).parent
    shutil.copytree(source, root / "ganger", ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache"))
    for name, old, new in plants:
        path = root / "ganger" / name
        text = path.read_text()
        assert text.count(old) == 1, (name, old)
        path.write_text(text.replace(old, new))
    return root
