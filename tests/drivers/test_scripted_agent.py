"""The agent that does what a script says: what it understands, and what it does, with real processes and real git."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ganger
from ganger.core.model import Outcome, Todo
from ganger.drivers import port, process
from ganger.drivers.command import CommandDriver
from ganger.drivers.process import ProcessSpec
from ganger.jail.none import NoJail
from ganger.testing import script as scripts
from ganger.testing import scripted_agent
from ganger.testing.script import ScriptError, fenced_script, parse
from ganger.testing.scripted_agent import report_arguments

SOURCE = str(Path(ganger.__file__).parents[1])


def steps(*lines):
    return "\n".join(f"[[step]]\n{line}" for line in lines)


@pytest.fixture
def workspace(tmp_path):
    path = tmp_path / "workspace"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=work")
    return path


def git(path, *arguments):
    env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(["git", *arguments], cwd=path, env=env, check=True, capture_output=True, text=True).stdout


def agent(workspace, script, **env):
    """Run the agent to its end with the script in its brief; return its exit status and output."""
    brief = f"# Log in\n\nDo it.\n\n```script\n{script}\n```\n\nThat is all.\n"
    done = subprocess.run(
        [sys.executable, "-m", "ganger.testing.scripted_agent"],
        cwd=workspace,
        input=brief,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCE, "HOME": str(workspace.parent), **env},
    )
    return done.returncode, done.stdout + done.stderr


class TestTheScript:
    def test_every_kind_of_step_is_read(self):
        script = parse(
            steps(
                'do = "write"\npath = "a"\ntext = "b"',
                'do = "append"\npath = "a"\ntext = "b"',
                'do = "replace"\npath = "a"\nold = "b"\nnew = "c"',
                'do = "delete"\npath = "a"',
                'do = "run"\nargv = ["true"]',
                'do = "commit"\nmessage = "m"',
                'do = "empty_commit"\nmessage = "m"',
                'do = "say"\ntext = "t"',
                'do = "done"',
                'do = "fail"\nreason = "r"',
                'do = "ask"\nquestion = "q"',
                'do = "note"\ntext = "t"',
                'do = "todos"\nitems = [{ text = "t", state = "pending" }]',
                'do = "sleep"\nseconds = 0.1',
                'do = "hang"\nbusy = true',
                'do = "churn"\npath = "a"',
                'do = "use"\ntokens_in = 1',
                'do = "limited"',
                'do = "call"\nname = "bash"\narguments = { command = "ls" }',
                'do = "spin"\nseconds = 1',
                'do = "crash"',
                'do = "exit"\ncode = 3',
                'do = "fork"',
                'do = "ignore_sigterm"',
                'do = "flood"\nbytes = 9',
                'do = "attempt"\nnumber = 1\nsteps = [{ do = "turn", number = 2, steps = [{ do = "hang" }] }]',
                'do = "once"\nname = "n"\nsteps = []',
            )
        )
        kinds = {type(step) for step in script.step} | {scripts.Turn}
        assert kinds == set(scripts.AnyStep.__args__)

    def test_json_says_the_same(self):
        toml = parse(steps('do = "write"\npath = "a"\ntext = "b"'))
        assert parse(' {"step": [{"do": "write", "path": "a", "text": "b"}]}') == toml

    @pytest.mark.parametrize(
        ("script", "fault"),
        [
            (steps('do = "wrote"'), "the script does not fit: step 1, do: Invalid value 'wrote'"),
            (
                steps('do = "hang"', 'do = "write"\npath = "x"'),
                "the script does not fit: step 2: Object missing required field `text`",
            ),
            (
                steps('do = "say"\ntext = "x"\nloud = true'),
                "the script does not fit: step 1: Object contains unknown field `loud`",
            ),
            (
                steps('do = "attempt"\nnumber = 1\nsteps = [{ do = "sleep", seconds = "1" }]'),
                "the script does not fit: step 1, steps[0].seconds: Expected `float`, got `str`",
            ),
            (
                steps('do = "done"\noutcome = "great"'),
                "the script does not fit: step 1, outcome: Invalid enum value 'great'",
            ),
            ("[[steps]]", "the script does not fit: Object contains unknown field `steps`"),
            ("step = ", "the script cannot be read: Invalid value (at end of document)"),
            ('{"step": [', "the script cannot be read: Input data was truncated"),
        ],
    )
    def test_faults_name_the_step(self, script, fault):
        with pytest.raises(ScriptError) as caught:
            parse(script)
        assert str(caught.value) == fault

    def test_it_is_cut_out_of_the_brief(self):
        assert fenced_script("a\n```toml\nx\n```\n```script\none\ntwo\n```\n```script\nthree\n```") == "one\ntwo\n"
        with pytest.raises(ScriptError, match="holds no script"):
            fenced_script("```\nx\n```")


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        (
            scripts.Done("-s", Outcome.findings, ("a b", "--x")),
            ["done", "--outcome=findings", "--summary=-s", "--evidence=a b", "--evidence=--x"],
        ),
        (scripts.Done(), ["done", "--outcome=completed", "--summary="]),
        (scripts.Fail("--no"), ["fail", "--", "--no"]),
        (
            scripts.Ask("Which?", ("A", "B"), "A"),
            ["ask", "--option=A", "--option=B", "--recommend=A", "--", "Which?"],
        ),
        (scripts.Ask("Open?"), ["ask", "--", "Open?"]),
        (scripts.Note("n"), ["note", "--", "n"]),
        (
            scripts.Todos((Todo("é", "pending"), Todo("b", "completed"))),
            ["todos", "--", '[{"text":"é","state":"pending"},{"text":"b","state":"completed"}]'],
        ),
    ],
)
def test_reports_in_the_words_of_the_command(step, arguments):
    assert report_arguments(step) == arguments


class TestWork:
    def test_files_and_commits(self, workspace):
        script = steps(
            'do = "write"\npath = "src/a.txt"\ntext = """one\ntwo\n"""',
            'do = "append"\npath = "src/a.txt"\ntext = "three\\n"',
            'do = "replace"\npath = "src/a.txt"\nold = "two"\nnew = "2"',
            'do = "write"\npath = "gone"\ntext = ""',
            'do = "delete"\npath = "gone"',
            'do = "run"\nargv = ["cp", "src/a.txt", "b.txt"]',
            'do = "commit"\nmessage = "Add a"',
            'do = "empty_commit"\nmessage = "Fix everything"',
            'do = "say"\ntext = "finished"',
        )
        assert agent(workspace, script) == (0, "finished\n")
        assert git(workspace, "log", "--format=%s by %an") == (
            "Fix everything by Scripted agent\nAdd a by Scripted agent\n"
        )
        assert git(workspace, "ls-tree", "-r", "--name-only", "HEAD") == "b.txt\nsrc/a.txt\n"
        assert git(workspace, "show", "HEAD:src/a.txt") == "one\n2\nthree\n"

    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            ('do = "replace"\npath = "a"\nold = "x"\nnew = "y"', "No such file"),
            ('do = "run"\nargv = ["false"]', "['false'] ended with 1, not 0"),
            ('do = "run"\nargv = ["true"]\nexpect = 3', "['true'] ended with 0, not 3"),
            ('do = "run"\nargv = ["no-such-tool"]', "cannot run ['no-such-tool']"),
            ('do = "commit"\nmessage = "nothing to commit"', "ended with 1, not 0"),
        ],
    )
    def test_a_step_that_cannot_be_done_ends_it(self, step, reason, workspace):
        code, text = agent(workspace, steps(step, 'do = "say"\ntext = "not reached"'))
        assert code == 1
        assert reason in text and "not reached" not in text

    def test_replace_wants_exactly_one(self, workspace):
        (workspace / "a").write_text("x x")
        code, text = agent(workspace, steps('do = "replace"\npath = "a"\nold = "x"\nnew = "y"'))
        assert code == 1 and "a holds 2 times, not once: 'x'" in text

    def test_a_script_that_cannot_be_read(self, workspace):
        code, text = agent(workspace, "do = ")
        assert code == 2 and text.startswith("scripted agent: the script cannot be read")

    def test_the_script_can_be_a_file(self, workspace, tmp_path):
        (tmp_path / "s.toml").write_text(steps('do = "say"\ntext = "from a file"'))
        assert scripted_agent.main([str(tmp_path / "s.toml")]) == 0
        assert scripted_agent.main([str(tmp_path / "none.toml")]) == 2

    def test_the_brief_can_be_a_file(self, workspace, tmp_path):
        script = steps('do = "exit"\ncode = 9')
        (tmp_path / "brief").write_text(f"```script\n{script}\n```\n")
        assert agent(workspace, "", GANGER_BRIEF_FILE=str(tmp_path / "brief"))[0] == 9


class TestBehaviour:
    def test_other_steps_at_another_attempt(self, workspace):
        script = steps(
            'do = "attempt"\nnumber = 1\nsteps = [{ do = "crash" }]',
            'do = "attempt"\nnumber = 2\nsteps = [{ do = "turn", number = 2, steps = [{ do = "exit", code = 8 }] }]',
            'do = "say"\ntext = "second"',
        )
        assert agent(workspace, script, GANGER_RUN="login.1")[0] == -signal.SIGKILL
        assert agent(workspace, script, GANGER_RUN="login.2") == (0, "second\n")
        assert agent(workspace, script, GANGER_RUN="login.2", GANGER_TURN="2")[0] == 8
        assert agent(workspace, script, GANGER_RUN="login.12") == (0, "second\n")

    def test_once_in_a_workspace(self, workspace):
        script = steps(
            'do = "once"\nname = "crash"\nsteps = [{ do = "crash", signal = 15 }]', 'do = "say"\ntext = "on"'
        )
        assert agent(workspace, script)[0] == -signal.SIGTERM
        assert agent(workspace, script) == (0, "on\n")
        assert git(workspace, "status", "--porcelain") == ""

    def test_it_floods(self, workspace):
        code, text = agent(workspace, steps('do = "flood"\nbytes = 300000'))
        assert (code, len(text)) == (0, 300_000)

    def test_it_tells_events_that_the_driver_reads(self, workspace):
        script = steps(
            'do = "use"\ntokens_in = 1200\ntokens_out = 80\nusd = 0.5',
            'do = "call"\nname = "bash"\narguments = { command = "ls" }\ntimes = 2',
            'do = "limited"\nreset_in_s = 3600\nreason = "five-hour limit"',
            'do = "limited"\nreason = "overloaded"',
        )
        before_ms = time.time_ns() // 1_000_000
        code, text = agent(workspace, script)
        read = [CommandDriver().events(line, {"output": "events"}) for line in text.encode().splitlines()]
        (usage,), (first,), (second,), (limit,), (other,) = read
        assert (code, usage) == (0, port.Usage(1200, 80, 0.5))
        assert first == second == port.ToolCall("bash", port.digest_of(b'{"command":"ls"}'))
        assert 3_600_000 <= limit.reset_at_ms - before_ms < 3_660_000 and limit.reason == "five-hour limit"
        assert other == port.RateLimited(0, "overloaded")

    def test_it_changes_a_file_and_commits_nothing(self, workspace):
        assert agent(workspace, steps('do = "churn"\npath = "src/a"\ntimes = 3')) == (0, "")
        assert git(workspace, "status", "--porcelain") == "?? src/\n"
        assert (workspace / "src" / "a").read_text().endswith(" 2\n")

    def test_a_signal_that_does_not_kill_is_no_crash(self, workspace):
        code, text = agent(workspace, steps('do = "crash"\nsignal = 17'))
        assert code == 1 and "still alive after signal 17" in text


class TestUnderTheShim:
    """As the supervisor starts it."""

    @pytest.fixture
    def start(self, tmp_path, workspace):
        workers = []

        def start(script, **options):
            (tmp_path / "script.toml").write_text(script)
            spec = ProcessSpec(
                argv=(sys.executable, "-m", "ganger.testing.scripted_agent", str(tmp_path / "script.toml")),
                env={"PATH": os.environ["PATH"], "PYTHONPATH": SOURCE},
                cwd=workspace,
                output_path=tmp_path / "output",
                exit_path=tmp_path / "exit.json",
                marker=f"agent:{tmp_path}",
                **options,
            )
            workers.append(process.start(spec, NoJail()))
            until = time.monotonic() + 20
            while "up\n" not in (tmp_path / "output").read_text():
                assert time.monotonic() < until, (tmp_path / "output").read_text()
                time.sleep(0.01)
            return workers[-1]

        yield start
        for worker in workers:
            process.stop(worker, 0, f"agent:{tmp_path}")

    def test_a_hanging_one_uses_no_time_and_a_spinning_one_does(self, start, tmp_path):
        worker = start(steps('do = "say"\ntext = "up"', 'do = "hang"'))
        time.sleep(0.1)
        before = process.cpu_ms(worker)
        time.sleep(0.3)
        assert process.cpu_ms(worker) <= before + 10
        process.stop(worker, 1_000)
        for busy in ('do = "spin"\nseconds = 60', 'do = "hang"\nbusy = true'):
            (tmp_path / "output").write_text("")
            worker = start(steps('do = "say"\ntext = "up"', busy))
            before = process.cpu_ms(worker)
            until = time.monotonic() + 20
            while process.cpu_ms(worker) <= before + 20:
                assert time.monotonic() < until
                time.sleep(0.02)
            process.stop(worker, 1_000)

    def test_one_that_ignores_the_polite_way_and_leaves_orphans(self, start, tmp_path):
        script = steps(
            'do = "ignore_sigterm"',
            'do = "fork"\ncount = 5\nignore_sigterm = true',
            'do = "say"\ntext = "up"',
            'do = "hang"',
        )
        worker = start(script, grace_ms=100)
        process.stop(worker, 1_000)
        ended = process.exit_of(tmp_path / "exit.json")
        assert (ended.signal, ended.survivors_killed, ended.left) == (signal.SIGKILL, 5, 0)

    def test_orphans_of_one_that_ends_well(self, start, tmp_path):
        worker = start(steps('do = "fork"\ncount = 3', 'do = "say"\ntext = "up"'))
        assert process.wait(worker, 10_000)
        ended = process.exit_of(tmp_path / "exit.json")
        assert (ended.code, ended.survivors_killed, ended.left) == (0, 3, 0)
