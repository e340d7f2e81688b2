"""The user's checkout after a night with workers that try to get at it: every byte and every time is as it was."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from builders import Fleet
from test_checkout import QUIET, busy, lived_in

WORK = "echo worked >> src/$item.txt; commit work; ganger done --summary ok"
ATTACKS: dict[str, str] = {
    "files": """
echo stolen >> "$repo/mine.txt"; echo x > "$repo/planted.txt"; touch -d 2001-01-01 "$repo/src/a.txt"
chmod 777 "$repo" "$repo/src"; mv "$repo/mine.txt" "$repo/moved.txt"; rm -f "$repo/untracked file.txt"
ln -s /etc/passwd "$repo/link"; : > "$repo/src/b.txt"; mkdir "$repo/folder"
""",
    "git in the checkout": """
git -C "$repo" config core.hooksPath "$PWD"; git -C "$repo" config alias.st '!touch canary'
git -C "$repo" stash drop; git -C "$repo" reset --hard; git -C "$repo" branch evil; git -C "$repo" tag -d v1
git -C "$repo" commit -a -m evil; git -C "$repo" update-ref refs/heads/main HEAD~0; git -C "$repo" gc --prune=now
git -C "$repo" worktree add "$PWD/wt"; git -C "$repo" notes add -m x; git -C "$repo" update-index --refresh
git push "$repo" HEAD:refs/heads/evil HEAD:refs/heads/main; git -C "$repo" submodule deinit --all --force
""",
    "plants": """
printf '#!/bin/sh\\ntouch %s/canary\\n' "$lab" > "$repo/.git/hooks/post-merge"; chmod +x "$repo/.git/hooks/post-merge"
printf '[core]\\n\\tfsmonitor = touch %s/canary\\n' "$lab" >> "$repo/.git/config"
mkdir -p "$repo/.git/info"; echo '* filter=x' > "$repo/.git/info/attributes"; echo x > "$repo/.git/refs/heads/evil"
: > "$repo/.git/index"; echo 0 > "$repo/.git/HEAD"; : > "$repo/.git/packed-refs"; echo x >> "$repo/.git/logs/HEAD"
printf '[core]\\n\\thooksPath = /x\\n' >> "$home/.gitconfig"
mkdir -p "$home/.config/git" && echo x > "$home/.config/git/config"
""",
    "the state": """
for place in "$state" "$state/hub.git" "$state/workspaces"; do
  : > "$place/journal.db"; echo x >> "$place/config"; mkdir -p "$place/hooks" && echo x > "$place/hooks/post-update"
done
git -C "$state/hub.git" update-ref refs/ganger/target HEAD
printf '[core]\\n\\tfsmonitor = x\\n' >> "$state/hub.git/config"
""",
    "its own workspace": """
printf '[core]\\n\\tworktree = %s\\n\\tfsmonitor = touch %s/canary\\n' "$repo" "$lab" >> .git/config
echo "$repo/.git/objects" >> .git/objects/info/alternates
ln -s "$repo/mine.txt" src/pointer; ln "$repo/mine.txt" src/hard
ln -s "$repo/.git" .git-2; for hook in post-checkout post-merge pre-commit reference-transaction; do
  printf '#!/bin/sh\\ntouch %s/canary\\n' "$lab" > ".git/hooks/$hook"; chmod +x ".git/hooks/$hook"
done
rm -f src/pointer src/hard .git-2; git config --unset core.worktree; git config --unset core.fsmonitor
""",
    "other processes": """
for process in /proc/[0-9]*; do echo stolen >> "$process/cwd/mine.txt"; echo x >> "$process/root$repo/mine.txt"; done
git checkout -- mine.txt
""",
}
"""What each worker tries before it does what it was asked for, and does not mind failing."""


def attack(fleet: Fleet, script: str) -> str:
    """A script that attacks, says nothing, and goes on."""
    places = {"repo": fleet.repo, "state": fleet.state, "home": fleet.home, "lab": fleet.root}
    named = "\n".join(f"{name}={shlex.quote(str(path))}" for name, path in places.items())
    return f"{named}\n(\n{script.strip()}\n) >/dev/null 2>&1 </dev/null || true\n{WORK}"


def with_a_submodule(fleet: Fleet) -> None:
    library = fleet.root / "library"
    library.mkdir()
    fleet.git("init", "--quiet", at=library)
    fleet.git("commit", "--quiet", "--allow-empty", "--message", "lib", at=library)
    fleet.git(
        *QUIET, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "libs/one"
    )  # fmt: skip
    fleet.git(*QUIET, "commit", "--quiet", "--message", "A library")


def ours(name: str) -> bool:
    """What a landing may change: objects, our refs, and the branch it is about."""
    return name.startswith((".git/objects", ".git/refs/ganger")) or name in (
        ".git/refs/heads/main",
        ".git/logs/refs/heads/main",
    )


def exact(top: Path) -> dict[str, tuple[object, ...]]:
    """Mode, inode, size, both times and content of everything; of folders in `.git` only that they are there."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = Path(folder, name)
            shown = str(path.relative_to(top))
            if ours(shown):
                continue
            about = path.lstat()
            if path.is_dir() and not path.is_symlink() and shown.split("/")[0] == ".git":
                found[shown] = (about.st_mode,)
                continue
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            times = (about.st_mtime_ns, about.st_ctime_ns)
            found[shown] = (about.st_mode, about.st_ino, about.st_nlink, about.st_size, times, content)
    return found


def refs(fleet: Fleet) -> list[str]:
    listed = fleet.git(*QUIET, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return [ref for ref in listed if not ref.startswith("refs/heads/main ")]


def test_a_night_with_hostile_workers(fleet: Fleet) -> None:
    lived_in(fleet)
    names = {name: f"w{number}" for number, name in enumerate(ATTACKS)}
    fleet.commit({f"src/{name}.txt": f"{name}\n" for name in names.values()}, "More")
    with_a_submodule(fleet)
    fleet.git(*QUIET, "switch", "--quiet", "other")
    busy(fleet)
    (fleet.home / ".gitconfig").write_text("[user]\n\tname = Dana\n")
    for name, item in names.items():
        fleet.shell_agent(item, attack(fleet, ATTACKS[name]))
        fleet.item(item, agent=item)
    fleet.configure()
    plan = str(fleet.plan())
    fleet.git(*QUIET, "status")
    (fleet.root / "canary").unlink(missing_ok=True)
    before, refs_before, home = exact(fleet.repo), refs(fleet), exact(fleet.home)
    tip = fleet.git(*QUIET, "rev-parse", "main")
    done = fleet.ganger("run", plan, "--trust", timeout=240)
    assert done.code == 0, done
    assert {name: about for name, about in exact(fleet.repo).items() if before.get(name) != about} == {}
    assert before.keys() == exact(fleet.repo).keys()
    assert refs(fleet) == refs_before
    assert home.keys() <= exact(fleet.home).keys()
    assert (fleet.home / ".gitconfig").read_text() == "[user]\n\tname = Dana\n"
    assert not (fleet.home / ".config/git").exists()
    assert not (fleet.root / "canary").exists()
    assert sorted(fleet.landed_items()) == sorted(names.values())
    assert fleet.git(*QUIET, "merge-base", tip, "main") == tip
    changed = fleet.git(*QUIET, "diff", "--name-only", tip, "main").splitlines()
    assert changed == sorted(f"src/{item}.txt" for item in names.values())
    fleet.assert_sound()


@pytest.mark.parametrize("attacks", [("files",)])
def test_the_control_without_containment_the_same_attack_is_seen(fleet: Fleet, attacks: tuple[str, ...]) -> None:
    """The negative control: at T0 a worker can write where it likes, and this file's eyes see it."""
    lived_in(fleet)
    fleet.git(*QUIET, "switch", "--quiet", "other")
    fleet.shell_agent("w", attack(fleet, ATTACKS[attacks[0]]))
    fleet.write({"src/w.txt": "w\n"})
    fleet.item("w", agent="w")
    fleet.configure(more='[jail]\ntier_min = "T0"\nmechanism = "none"\n')
    plan = str(fleet.plan())
    before = exact(fleet.repo)
    fleet.ganger("run", plan, "--trust")
    after = exact(fleet.repo)
    assert {"planted.txt", "moved.txt", "link", "folder"} <= after.keys() - before.keys()
    assert before["src/a.txt"] != after["src/a.txt"]
