"""Kinds and rules from files in a real night: who is told what, since when, and what a launch that is refused does."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

from builders import Fleet, ended

NOTES = (
    'if test "$GANGER_TURN" = 1; then mkdir -p "$shared/told"; cp "$GANGER_BRIEF_FILE" "$shared/$GANGER_RUN"; '
    'mv "$shared/$GANGER_RUN" "$shared/told/"; fi; '
)
WORKS = f'{NOTES} echo x >> src/$item.txt; commit work; ganger done --summary "did it"'


def told(fleet: Fleet, run: str) -> str:
    return (fleet.shared / "told" / run).read_text()


def manifest(fleet: Fleet, run: str) -> dict[str, object]:
    found = json.loads((fleet.state / "runs" / run / "turn-1" / "manifest.json").read_bytes())
    assert isinstance(found, dict)
    return found


def test_a_kind_from_a_file_is_told_its_rules_and_held_to_its_rights(fleet: Fleet) -> None:
    fleet.begin()
    tries = 'if echo x > new 2>/dev/null; then echo wrote; else echo blocked; fi > "$shared/tried"; '
    hashes = 'sha256sum > "$shared/sum-$GANGER_RUN-$GANGER_TURN"; '
    fleet.shell_agent("default", f'{NOTES}{hashes}{tries}ganger done --outcome findings --summary "Seen."')
    fleet.configure()
    fleet.write({".ganger/kinds/guard.md": '+++\nintent = "Watches"\nwrites = "none"\n+++\n- Watch the gate.\n'})
    fleet.write({".ganger/rules.md": "- We write British English.\n"})
    fleet.item("a", more='kind = "guard"')
    unagreed = fleet.ganger("run", str(fleet.plan()))
    assert unagreed.code == 2 and "told to workers: .ganger/kinds/guard.md sha256=" in unagreed.err, unagreed
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert fleet.statuses() == {"a": "finished"} and fleet.landed_items() == [], done
    assert (fleet.shared / "tried").read_text() == "blocked\n"
    text = told(fleet, "a.1")
    for part in (
        "You are run `a.1`, at work on item `a`.",
        "## Rules\n\n- Do what",
        "- We write British English.\n\n## As",
    ):
        assert part in text
    assert "## As a guard\n\nWatches\n\n- Watch the gate.\n\n## Limits" in text
    noted = manifest(fleet, "a.1")
    assert (fleet.shared / "sum-a.1-1").read_text().split()[0] == noted["stdin_sha256"]
    assert hashlib.sha256(text.encode()).hexdigest() == noted["prompt_sha256"]
    fleet.assert_sound()


def test_a_changed_rule_is_told_under_a_running_supervisor_when_a_person_has_agreed(fleet: Fleet) -> None:
    fleet.begin()
    waits = 'until test -f "$shared/go-$item"; do sleep 0.05; done; '
    fleet.shell_agent("default", NOTES + waits + WORKS.removeprefix(NOTES))
    fleet.configure(fleet="workers_max = 1\n")
    rules = fleet.repo / ".ganger" / "rules.md"
    fleet.write({".ganger/rules.md": "- Rule one.\n"})
    fleet.item("a")
    fleet.item("b", more='after = ["a"]')
    fleet.item("c", more='after = ["b"]')
    night = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait(lambda: (fleet.shared / "told" / "a.1").exists())
    rules.write_text("- Rule two.\n")
    (fleet.shared / "go-a").touch()
    fleet.wait(lambda: (fleet.shared / "told" / "b.1").exists())
    assert "- Rule one." in told(fleet, "b.1") and "Rule two" not in told(fleet, "b.1"), "nobody has agreed to it"
    assert manifest(fleet, "b.1")["rules_left_out"] == "nobody has agreed to .ganger/rules.md as it is now"
    refused = fleet.ganger("kinds", "agree")
    assert refused.code == 2 and ".ganger/rules.md: 1 lines" in refused.err
    by_worker = fleet.ganger("kinds", "agree", "--trust", env={"GANGER_RUN": "b.1"})
    assert by_worker.code == 1 and "may not ask for Trust" in by_worker.err
    assert fleet.ganger("kinds", "agree", "--trust").code == 0
    (fleet.shared / "go-b").touch()
    fleet.wait(lambda: (fleet.shared / "told" / "c.1").exists())
    assert "- Rule two." in told(fleet, "c.1") and "Rule one" not in told(fleet, "c.1")
    assert manifest(fleet, "c.1")["rules_left_out"] == ""
    (fleet.shared / "go-c").touch()
    assert ended(night).code == 0
    fleet.assert_sound()


def test_a_worker_cannot_land_a_rule_for_the_next_one(fleet: Fleet) -> None:
    fleet.begin({"src/a.txt": "a\n", ".ganger/rules.md": "- Rule one.\n"})
    rewrites = 'mkdir -p .ganger/kinds; echo "- Obey b." | tee .ganger/rules.md > .ganger/kinds/patcher.md; '
    fleet.shell_agent("default", f'{rewrites}commit work; ganger done --summary "did it"')
    fleet.configure()
    fleet.item("a", scope=("**",), more="budget = { attempts_max = 1 }")
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert fleet.landed_items() == [], done
    assert fleet.on_main(".ganger/rules.md") == "- Rule one.\n"
    assert ".ganger/rules.md" in fleet.ganger("why", "a").out
    fleet.assert_sound()


def test_a_broken_file_keeps_a_night_from_beginning_and_does_no_harm(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", WORKS)
    fleet.configure()
    fleet.item("a")
    fleet.write({".ganger/kinds/scout.md": "+++\nwrites = none\n+++\n"})
    for command in (("run", str(fleet.plan()), "--trust"), ("up", str(fleet.plan()), "--trust"), ("kinds", "list")):
        done = fleet.ganger(*command)
        assert done.code == 2 and ".ganger/kinds/scout.md:2: is not TOML" in done.err, done
    assert not fleet.state.exists()


def test_a_launch_that_is_refused_ends_its_run_counts_nothing_and_waits_for_a_person(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", WORKS)
    fleet.configure()
    fleet.item("a", more="budget = { attempts_max = 1 }")
    in_the_way = fleet.state / "runs" / "a.1" / "turn-1" / "manifest.json"
    in_the_way.mkdir(parents=True)
    fleet.state.chmod(0o700)
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code in (3, 5), done
    (run,) = fleet.runs("a")
    assert (run["status"], run["counts"]) == ("unsent", 0)
    assert run["reason"] == f"{in_the_way} cannot be written: Is a directory"
    assert fleet.statuses() == {"a": "held"}
    assert not (fleet.shared / "told").exists(), "no worker was started"
    in_the_way.rmdir()
    assert fleet.ganger("retry", "a").code == 0
    assert fleet.ganger("run", str(fleet.plan())).code == 0
    assert fleet.landed_items() == ["a"] and told(fleet, "a.2")


def test_an_unknown_model_fails_before_there_is_anything(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", WORKS)
    fleet.configure()
    settings = fleet.repo / "ganger.toml"
    settings.write_text(settings.read_text() + 'models = ["good"]\nmodel = "gud"\n')
    fleet.item("a")
    done = fleet.ganger("run", str(fleet.plan()), "--trust")
    assert done.code == 2 and "`agents.default.model` is `gud`, and `agents.default.models` has `good`" in done.err
    assert not fleet.state.exists()
    settings.write_text(settings.read_text().replace("gud", "good"))
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 0
    assert manifest(fleet, "a.1")["model"] == "good"


def test_a_supervisor_that_is_killed_and_begun_again_needs_a_word_for_what_changed(fleet: Fleet) -> None:
    fleet.begin()
    fleet.shell_agent("default", f'{NOTES} until test -f "$shared/go"; do sleep 0.05; done; {WORKS}')
    fleet.configure()
    fleet.write({".ganger/rules.md": "- Rule one.\n"})
    fleet.item("a")
    night = fleet.start("run", str(fleet.plan()), "--trust")
    fleet.wait(lambda: (fleet.shared / "told" / "a.1").exists())
    night.send_signal(signal.SIGKILL)
    ended(night)
    (fleet.repo / ".ganger" / "rules.md").write_text("- Rule two.\n")
    again = fleet.ganger("run", str(fleet.plan()))
    assert again.code == 2 and "told to workers: .ganger/rules.md" in again.err
    (fleet.shared / "go").touch()
    assert fleet.ganger("run", str(fleet.plan()), "--trust").code == 0
    assert Path(fleet.repo / ".ganger" / "rules.md").exists()
    fleet.assert_sound()
