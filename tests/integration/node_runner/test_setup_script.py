"""A shell runs the setup lines of a batch, and then becomes the job: with real shells, and profiles."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from distribute.config.sections.checked_texts import SHELLS
from distribute.core.spec.recipe import Share, recipe_of
from distribute.core.spec.setup_script import UNPREPARED, Login
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork
from distribute.host import Exit
from distribute_services.node_runner.disk.workspace import Workspace
from distribute_services.node_runner.host.environment import NodeEnvironment, own_programs
from distribute_services.node_runner.host.refusals import explained

SHOW = "import json, os, sys; print(json.dumps([os.getpid(), sys.argv[1:], dict(os.environ)]))"
PATH = os.defpath


class Job:
    """A job in a folder of its own, with a home folder for the profiles of its login shell."""

    def __init__(self, folder: Path, *shell: str) -> None:
        self.workspace = Workspace.of(folder / "it's $HOME")
        self.workspace.folder.mkdir(parents=True)
        self.home = folder / "home"
        self.home.mkdir()
        self.shell = shell or ("bash", "-l")
        self.pid = 0

    def run(
        self,
        setup: Sequence[str],
        command: tuple[str, ...] | str = (sys.executable, "-c", SHOW),
        env: Mapping[str, str] | None = None,
        login: Login | None = None,
    ) -> tuple[Exit, str]:
        """Run a job as the node does. Returns how it ended, and what it printed."""
        job = CommandJob(name="a", command=command)
        spec = BatchSpec(
            namespace="lab",
            batch="x",
            setup=tuple(setup) or None,
            shell=self.shell,
            work=CommandWork(jobs=(job,)),
        )
        argv = recipe_of(spec, job).argv(Share(1), str(self.workspace.folder), None, login)
        (self.workspace.folder / UNPREPARED).touch()
        with subprocess.Popen(
            argv,
            cwd=self.workspace.folder,
            env={"PATH": PATH, "HOME": str(self.home), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            out, _ = process.communicate(timeout=120)
        self.pid = process.pid
        code = process.returncode
        ended = Exit(code if code >= 0 else None, -code if code < 0 else None, 0.0, 0, 0.0, 0.0, 0.0)
        return explained(ended, self.workspace), out

    def environment(self, setup: Sequence[str], env: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a job that ran well."""
        ended, out = self.run(setup, env=env)
        assert (ended.exit_code, ended.complaint) == (0, None), out
        pid, _, found = shown(out)
        assert pid == self.pid, "the job is the process that was started"
        return found


def shown(out: str) -> tuple[int, list[str], dict[str, str]]:
    """The pid, the arguments and the environment that a job showed. Profiles may have printed more."""
    pid, arguments, environment = json.loads(out.splitlines()[-1])
    return pid, arguments, environment


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.fixture(params=SHELLS)
def any_job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return Job(tmp_path, request.param)


ODD = ["a b", "'", '"', "$HOME", "`id`", "$(id)", "a\nb", "\\", "*", "", "-n", ";", "é", "}", "!x", "#"]


def test_a_job_gets_what_its_setup_sets_and_exactly_its_arguments(any_job: Job) -> None:
    command = (sys.executable, "-c", SHOW, *ODD)
    ended, out = any_job.run(["MODE='a b'; export MODE", 'export AGAIN="$MODE!"'], command)
    assert (ended.exit_code, ended.complaint) == (0, None), out
    pid, arguments, found = shown(out)
    assert (pid, arguments) == (any_job.pid, ODD)
    assert (found["MODE"], found["AGAIN"]) == ("a b", "a b!")
    assert os.listdir(any_job.workspace.folder) == [], "nothing is left of the setup"  # noqa: PTH208


@pytest.mark.parametrize(
    "line",
    [
        "set -u", "set -e", "set -a", "set -f; IFS=x", "set -C", "set -- a b", "x='a\nb'", ": # a comment",
        "cd /", "unset PATH", "trap 'echo trapped' EXIT", "sleep 60 >/dev/null 2>&1 &", "exec 2>&1",
        "{ :; }", "if true\nthen :\nfi", "cat <<END >/dev/null\n$HOME\nEND", "alias exec=false", "umask 077",
    ],
)  # fmt: skip
def test_whatever_a_line_does_to_its_shell_the_job_begins(any_job: Job, line: str) -> None:
    ended, out = any_job.run([line, "export LATER=1"])
    assert (ended.exit_code, ended.complaint) == (0, None), out
    assert shown(out)[2]["LATER"] == "1"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("false", 1), ("(exit 3)", 3), ("exit 3", 3), ("set -e; false; true", 1), ("true; false", 1),
        ("set -u; : $UNKNOWN", None), ("no-such-program it's 5 $", None), ("'", None), ("foo(", None),
        ("fi", None), (")", None), (". /no/such/file", None), ("return 3", None), ("exec false", 1),
        ("kill -9 $$", None),
    ],
)  # fmt: skip
def test_a_line_that_fails_is_named_and_the_job_does_not_begin(
    any_job: Job, line: str, code: int | None
) -> None:
    ended, out = any_job.run(["true", line, "touch begun"], ("touch", "begun"))
    assert not (any_job.workspace.folder / "begun").exists()
    assert ended.exit_code != 0
    assert code is None or ended.exit_code == code, out
    assert ended.complaint == f"its setup line {line!r} failed"


@pytest.mark.parametrize("line", ["exit 0", "exec true", "set -n", "trap - EXIT; exit 0"])
def test_a_line_that_ends_its_shell_is_no_success(any_job: Job, line: str) -> None:
    ended, out = any_job.run([line], ("touch", "begun"))
    assert ended.exit_code == 0, out
    if (any_job.workspace.folder / "begun").exists():
        assert (line, ended.complaint) == ("set -n", None), "mksh takes no notice of it"
    else:
        told = f"its setup line {line!r} ended the shell, so its command was never started"
        assert ended.complaint == told


@pytest.mark.parametrize("profile", ["exit 0", "exec true", "set -n"])
def test_a_profile_that_ends_the_shell_is_no_success(job: Job, profile: str) -> None:
    (job.home / ".bash_profile").write_text(f"{profile}\n")
    ended, _ = job.run(["touch begun"], ("touch", "begun"))
    assert not (job.workspace.folder / "begun").exists()
    assert ended.complaint is not None
    assert "its shell ended before it began" in ended.complaint


@pytest.mark.parametrize("left", ["mkfifo", "ln -s /etc/passwd", "mkdir"])
def test_what_a_job_leaves_at_the_place_of_the_note_is_not_read(job: Job, left: str) -> None:
    ended, _ = job.run(["true"], f"{left} {UNPREPARED}")
    assert (ended.exit_code, ended.complaint) == (0, None)


def test_profiles_and_sourced_files_see_no_arguments(job: Job) -> None:
    (job.home / ".bash_profile").write_text('export IN_PROFILE="$#"\n')
    (job.workspace.folder / "file").write_text('IN_FILE="$#$*"; export IN_FILE\n')
    found = job.environment([". ./file"])
    assert (found["IN_PROFILE"], found["IN_FILE"]) == ("0", "0")


def test_a_command_that_is_one_text_runs_in_the_shell_of_its_setup(any_job: Job) -> None:
    text = 'greet "$#" | tr h H; printf %s "$0" >/dev/null; (exit 7)'
    ended, out = any_job.run(['greet() { echo "hi $1"; }', "set -- a b"], text)
    assert (out, ended.exit_code, ended.complaint) == ("Hi 0\n", 7, None)
    ended, out = any_job.run([], "echo it\\'s; exit 0")
    assert (out, ended.exit_code, ended.complaint) == ("it's\n", 0, None)


def test_a_program_that_can_not_be_started_is_told_by_the_shell(any_job: Job) -> None:
    ended, out = any_job.run([], ("no-such-program",))
    assert (ended.exit_code, ended.complaint) == (127, None)
    assert "no-such-program" in out


def test_a_job_that_is_ended_by_a_signal_is_told_by_the_signal(any_job: Job) -> None:
    ended, _ = any_job.run([], ("sh", "-c", "kill -TERM $$"))
    assert ended.signal == signal.SIGTERM


def test_a_login_shell_reads_the_profile_first_and_the_jobs_own_variables_win(job: Job) -> None:
    (job.home / ".bash_profile").write_text(
        "export LANG=de_DE.UTF-8 OMP_NUM_THREADS=99 MODE=profile CUDA_VISIBLE_DEVICES=0,1,2 SITE=1\n"
        "export 'PATH=/opt/site/bin:/usr/bin:/bin'\n"
    )
    odd = {"MODE": "it's $MODE\n", "A.B": "x", "UID": "77", "status": "5"}
    env = {"LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **odd}
    kept = {name: value for name, value in env.items() if name != "LANG"}
    ended, out = job.run([], env=env, login=Login(kept, path=["/opt/a b", "/opt/c"]))
    assert (ended.exit_code, ended.complaint) == (0, None), out
    found = shown(out)[2]
    names = ("LANG", "OMP_NUM_THREADS", "MODE", "CUDA_VISIBLE_DEVICES", "SITE", "A.B", "status")
    assert [found[name] for name in names] == ["de_DE.UTF-8", "1", odd["MODE"], "", "1", "x", "5"]
    assert found["PATH"] == "/opt/a b:/opt/c:/opt/site/bin:/usr/bin:/bin"
    ended, out = job.run([], env=env, login=Login({"PATH": "bin:/usr/bin"}, path=["/opt/c"]))
    assert shown(out)[2]["PATH"] == "bin:/usr/bin", "what the batch chose is the whole PATH"


def test_the_python_of_a_job_is_never_distributes_own_whatever_a_profile_does(job: Job) -> None:
    own = own_programs()
    assert own is not None, "the tests run in a virtual environment"
    link = job.home / "link"
    link.symlink_to(own)
    (job.home / ".bash_profile").write_text(
        f'. {shlex.quote(own)}/activate\nPATH=":{own}:$PATH:{link}:/opt/x:$VIRTUAL_ENV/bin/"\n'
    )
    node = NodeEnvironment.of({"PATH": PATH}, {"LICENSE": "27000@head"}, ())
    chosen = CommandJob(name="a", command="true")
    spec = BatchSpec(namespace="lab", batch="x", shell=job.shell, work=CommandWork(jobs=(chosen,)))
    recipe = recipe_of(spec, chosen)
    login = node.login(recipe, recipe.environment(node.variables, Share(2), folder="/w", node="ws1"))
    ended, out = job.run(["set -eu"], (shutil.which("python3", path=PATH) or "", "-c", SHOW), login=login)
    assert (ended.exit_code, ended.complaint) == (0, None), out
    found = shown(out)[2]
    assert "VIRTUAL_ENV" not in found
    entries = found["PATH"].split(":")
    assert (entries[0], entries[-1]) == ("", "/opt/x")
    python = Path(shutil.which("python3", path=found["PATH"]) or "")
    assert not python.is_relative_to(own)
    assert python.is_relative_to("/usr/bin") or python.is_relative_to("/bin")
    assert (found["LICENSE"], found["OMP_NUM_THREADS"]) == ("27000@head", "2")


def test_a_line_may_ask_for_any_python_in_so_many_words(job: Job) -> None:
    found = job.environment([f". {shlex.quote(own_programs() or '')}/activate"])
    assert shutil.which("python3", path=found["PATH"]) == f"{own_programs()}/python3"
