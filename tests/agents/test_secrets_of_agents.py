"""A real agent that prints its whole environment, and says its key aloud: afterwards it stands nowhere."""

from __future__ import annotations

from pathlib import Path

from programs import FOLDER
from test_guard_of_agents import copied
from test_night_agents import DONE, AgentNight, commit, night

from ganger.testing.model_server.steps import Edit, Read, Say, Sh

__all__ = ["night"]
KEY = "sk-of-the-host-0123456789abcdef"
CANARIES = {name: f"canary-{name.lower()}-31415926" for name in ("AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "NPM_TOKEN")}
ALOUD = (
    Sh(command="env; cat /proc/*/environ | tr '\\0' '\\n'"),
    Sh(command='ganger note "my key is $ANTHROPIC_API_KEY"'),
    Sh(command=f"echo {KEY} > /dev/null"),
    Sh(command='echo "$ANTHROPIC_API_KEY" > "$HOME/key"; ls src'),
)


def aloud(night: AgentNight, root: Path | None) -> list[str]:
    """The files of the state directory in which the key stands after a night, and the report where it does."""
    done = 'ganger done --summary "done with $ANTHROPIC_API_KEY"'
    night.agent(
        "claude",
        *ALOUD,
        Read(path="src/a.txt"),
        Edit(path="src/a.txt", old="a", new="a by claude"),
        commit("Change a"),
        Sh(command=done) if root is None else DONE,
        Say(text=f"It was {KEY}."),
    )
    night.fleet.item("a", agent="claude")
    night.tables.append(f'[jail]\nreadable = ["{FOLDER}"]\n')
    night.fleet.configure(more="\n".join(night.tables), recovery='linger = "60s"\n')
    env = {"MODEL_KEY": KEY, **CANARIES} | ({"PYTHONPATH": str(root)} if root is not None else {})
    night.fleet.ganger("run", str(night.fleet.plan()), "--trust", "--quiet", env=env)
    assert night.fleet.on_main("src/a.txt") == "a by claude\n", night.output("a.1")
    assert "ANTHROPIC_API_KEY=" in night.output("a.1"), "it was printed"
    kept = {str(path.relative_to(night.fleet.state)): path for path in night.fleet.state.rglob("*") if path.is_file()}
    texts = {name: path.read_bytes() for name, path in kept.items()}
    texts["report"] = night.fleet.ganger("report", "--text").out.encode()
    texts["export"] = night.fleet.ganger("journal", "export").out.encode()
    for name, text in texts.items():
        assert not [canary for canary in CANARIES.values() if canary.encode() in text], name
    return sorted(name for name, text in texts.items() if KEY.encode() in text)


def test_what_an_agent_prints_of_its_key_stands_nowhere(night: AgentNight) -> None:
    assert aloud(night, None) == []


def test_the_control_it_would_stand_in_outputs_transcripts_and_journal(night: AgentNight) -> None:
    root = copied(night, "service/hidden.py", "return Hidden(environ", "return Hidden(() and environ")
    found = aloud(night, root)
    assert "runs/a.1/turn-1/output.log" in found
    assert "export" in found
    assert [name for name in found if name.startswith("runs/a.1/agent/claude/")]
