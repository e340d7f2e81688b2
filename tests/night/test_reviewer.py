"""A reviewer sees the candidate and nothing of what its author says of it, and can write nothing (BX6)."""

from __future__ import annotations

from pathlib import Path

from builders import Fleet

CANARY = "CANARY-of-the-author"
SETTINGS = '[landing]\nmode = "ask"\n[kinds.reviewer]\nwrites = "none"\n'


def test_the_authors_words_do_not_reach_the_reviewer_nor_its_hands_the_candidate(fleet: Fleet) -> None:
    fleet.begin()
    told = f'ganger note "{CANARY} note"; ganger todos \'[{{"text": "{CANARY} todo", "state": "completed"}}]\''
    fleet.shell_agent(
        "default",
        f'echo "of a" > src/a.txt; commit work; {told}; '
        f'ganger done --summary "{CANARY} summary" --evidence "{CANARY} evidence" --recommended "{CANARY} next"',
    )
    fleet.shell_agent(
        "critic",
        'mkdir -p "$shared/seen"; cat src/a.txt > "$shared/seen/a"; ganger my-work > "$shared/seen/work"; '
        'cat "$GANGER_BRIEF_FILE" > "$shared/seen/brief"; env > "$shared/seen/env"; '
        'echo x >> src/a.txt && echo written >> "$shared/seen/wrote"; '
        'git commit -qam mine && echo committed >> "$shared/seen/wrote"; '
        'grep -rs CANARY . .. "$HOME" "$GANGER_DOOR" > "$shared/seen/found"; '
        'ganger done --outcome findings --summary "It is right."',
    )
    fleet.configure(checks={"unit": "true"}, more=SETTINGS + shown(fleet))
    fleet.item("a")
    fleet.item("r", agent="critic", more='kind = "reviewer"\nafter = ["a"]\nstart_on = "accepted"')
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 5, done
    seen = {path.name: path.read_text() for path in (fleet.shared / "seen").iterdir()}
    assert seen["a"] == "of a\n", "it looks at the candidate, which has not landed"
    assert fleet.landed_items() == []
    assert seen["brief"] == seen["work"].rstrip("\n") or seen["brief"].strip() == seen["work"].strip()
    assert all("CANARY" not in text for text in seen.values()), seen
    assert "wrote" not in seen
    assert fleet.git("cat-file", "blob", f"{fleet.json('why', 'a')['evidence']['commit']}:src/a.txt",
                     at=fleet.state / "hub.git") == "of a"  # fmt: skip
    # The control: the author's words are there to be found by whoever may look.
    assert CANARY in fleet.ganger("trace", "a").out


def shown(fleet: Fleet) -> str:
    """What the fleet's settings open besides, which `configure` leaves out when they are given."""
    places = [Path(fleet.root / "agents"), fleet.shared]
    return f'[jail]\nreadable = ["{places[0]}"]\nwritable = ["{places[1]}"]\n'
