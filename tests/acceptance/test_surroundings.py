"""The machine as it is: what lies in the current folder, and what a process inherits."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from acceptance.person import Person, runs, until


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person without a cluster."""
    with Person(tmp_path) as person:
        yield person


def test_python_files_in_the_current_folder_are_left_alone(jane: Person) -> None:
    """They have the names of every module that we could import, and say so if they run."""
    for module in {*sys.stdlib_module_names, "nats", "orjson", "psutil", "pydantic", "rich", "typer", "yaml"}:
        (jane.home / f"{module}.py").write_text(f"open('ran', 'a').write({module!r})\nraise SystemExit(9)\n")
    jane.runs("up", "--detach")
    try:
        jane.runs("add", jane.writes("sweep", {"a": "echo hello"}), "--wait")
        assert jane.runs("logs", "jane/sweep/a").stdout == "hello\n"
    finally:
        jane.runs("down")
    assert not (jane.home / "ran").exists()


@pytest.mark.parametrize("path", [":", "/opt/lib:", ":/opt/lib"])
def test_an_empty_entry_of_pythonpath_is_not_the_current_folder(jane: Person, path: str) -> None:
    """`PYTHONPATH=$PYTHONPATH:/opt/lib` makes one where the variable was not set."""
    for module in ("random", "typing", "logging", "signal", "queue", "nats", "orjson", "typer", "yaml"):
        (jane.home / f"{module}.py").write_text(f"open('ran', 'a').write({module!r})\nraise SystemExit(9)\n")
    jane.sets(PYTHONPATH=path)
    jane.program = (str(Path(sys.executable).with_name("distribute")),)
    jane.runs("up", "--detach", "--nodes", "0")
    jane.runs("down")
    assert not (jane.home / "ran").exists()


@contextmanager
def cluster_without_nodes(person: Person) -> Iterator[str]:
    """A running cluster without nodes. Gets its URL."""
    person.runs("up", "--detach", "--nodes", "0")
    try:
        record = json.loads((person.home / "state/distribute/up.json").read_text())
        yield record["server"]
    finally:
        person.runs("down")


def line_of(process: subprocess.Popen[str], words: str) -> str:
    """The first line with these words that the process writes to standard error."""
    assert process.stderr is not None
    return next(line for line in process.stderr if words in line)


def test_what_nohup_starts_goes_on_when_the_terminal_is_closed(jane: Person) -> None:
    up = jane.starts("up", "--dir", "cluster", "--nodes", "0", ignoring={signal.SIGHUP})
    assert up.stdout is not None
    assert "is ready" in up.stdout.readline()
    line_of(up, "Ctrl-C, or")
    up.send_signal(signal.SIGHUP)
    assert jane.asks("nodes")["nodes"] == []
    assert up.poll() is None
    jane.runs("down")
    assert up.wait(timeout=120) == 0
    up.communicate()


def test_signals_that_were_blocked_or_ignored_at_the_start_are_heard(jane: Person) -> None:
    """The exit codes of jobs need SIGCHLD, and `down` needs SIGTERM."""
    blocked = {signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1}
    up = jane.starts("up", "--dir", "cluster", ignoring={signal.SIGCHLD}, blocking=blocked)
    assert up.stdout is not None
    assert "is ready" in up.stdout.readline()
    jane.runs("add", jane.writes("codes", {"a": "exit 3"}), "--wait", code=1)
    assert jane.asks("status", "jane/codes")["job_list"][0]["exit_code"] == 3
    jane.runs("down")
    assert up.wait(timeout=120) == 0
    up.communicate()


def test_a_node_whose_terminal_is_closed_gives_its_job_back(jane: Person) -> None:
    """It gets SIGHUP twice, from the kernel and from the shell. Its job runs again, and nothing is left."""
    pid = jane.home / "pid"
    file = jane.writes("long", {"a": f"echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 1000"})
    with cluster_without_nodes(jane) as server:
        jane.runs("add", file, "--anyway")
        node = jane.starts("client", "node", "--name", "ws1", "--cpus", "1", "--server", server)
        until(pid.exists, node)
        job = psutil.Process(int(pid.read_text()))
        node.send_signal(signal.SIGHUP)
        node.send_signal(signal.SIGHUP)
        assert node.wait(timeout=120) == 0
        node.communicate()
        assert not runs(job)
        (listed,) = jane.asks("status", "jane/long")["job_list"]
        assert listed["state"] == "queued"
        assert jane.asks("nodes")["nodes"][0]["state"] == "left"


def test_a_demo_whose_terminal_is_closed_leaves_nothing_behind(jane: Person) -> None:
    """Nor does it leave the folder of an earlier one that was killed."""
    temporary = jane.home / "temporary"
    killed = temporary / f"distribute-demo-{os.getuid()}-killed"
    killed.mkdir(parents=True)
    (killed / "lock").touch()  # a lock that nobody holds
    jane.sets(TMPDIR=str(temporary))
    demo = jane.starts("demo")
    line_of(demo, "starting a cluster")
    processes = psutil.Process(demo.pid)
    until(processes.children, demo)
    children = processes.children()
    demo.send_signal(signal.SIGHUP)
    demo.communicate(timeout=120)
    assert [child for child in children if runs(child)] == []
    assert list(temporary.iterdir()) == []


def test_a_table_that_nobody_reads_ends_the_program_silently_as_others_do(jane: Person) -> None:
    with cluster_without_nodes(jane):
        read, write = os.pipe()
        os.close(read)
        try:
            nodes = jane.starts("nodes", stdout=write)
        finally:
            os.close(write)
        _, messages = nodes.communicate(timeout=120)
        assert [line for line in messages.splitlines() if not line.startswith("cluster: ")] == []
        assert nodes.returncode == 128 + signal.SIGPIPE


def test_a_cluster_and_its_results_may_be_below_any_path(jane: Person) -> None:
    odd = os.fsdecode(b"a 'lab' of \"M\xc3\xbcller\"\n$HOME \\ \xff")
    jane.runs("up", "--detach", "--dir", odd)
    try:
        jane.runs("add", jane.writes("sweep", {"a": "echo hello"}), "--wait")
        pulled = jane.runs("pull", "jane/sweep", "--save-dir", odd, "--json").stdout
        assert (jane.home / json.loads(pulled)["folder"] / "a/stdout.txt").read_text() == "hello\n"
    finally:
        jane.runs("down", "--dir", odd)


AS_A_NUMBER = ("unshare", "--user", "--map-user=54321", "--map-group=54321")


@pytest.mark.skipif(
    subprocess.run([*AS_A_NUMBER, "true"], check=False).returncode != 0, reason="needs a user namespace"
)
@pytest.mark.parametrize("login", [None, "\udcff", "a/b"])
def test_a_user_needs_neither_name_nor_home(jane: Person, login: str | None) -> None:
    """As in a container, where a user is only a number. Events have the number as the name."""
    jane.program = (*AS_A_NUMBER, *jane.program)
    jane.sets(HOME="/proc/nonexistent", XDG_STATE_HOME=None, XDG_CONFIG_HOME=None, USER=None, LOGNAME=login)
    up = jane.runs("up", "--detach", "--dir", "cluster")
    server = re.search(r"nats://\S+", up.stdout)
    assert server is not None
    noted, found, remedy, _ = up.stderr.splitlines()
    assert noted.startswith("distribute: no note of this cluster can be kept in /proc/nonexistent/.local/")
    assert found == "distribute: verbs don't find this cluster by themselves"
    assert remedy == f"distribute: for this cluster, type: export DISTRIBUTE_SERVER={server.group()}"
    at = ("--server", server.group())
    try:
        jane.runs("add", jane.writes("sweep", {"a": "echo hello"}), "--wait", *at)
        assert jane.asks("status", *at)["batches"][0]["user"] == "54321"
        assert jane.runs("logs", "jane/sweep/a", *at).stdout == "hello\n"
    finally:
        jane.runs("down", "--dir", "cluster")


@pytest.mark.parametrize("closed", [True, False])
def test_a_cluster_and_a_node_run_with_closed_or_full_streams(jane: Person, closed: bool) -> None:
    plain = jane.program
    streams = ">&- 2>&- <&-" if closed else ">/dev/full 2>&1"
    redirected = ("sh", "-c", f'exec {shlex.join(plain)} "$@" {streams}', "sh")
    jane.program = redirected
    up = jane.starts("up", "--nodes", "0")
    until((jane.home / "state/distribute/up.json").exists, up)
    client = jane.starts("client", "node", "--name", "ws1", "--cpus", "1")
    jane.program = plain
    jane.runs("add", jane.writes("sweep", {"a": "echo hello"}), "--anyway", "--wait")
    assert jane.runs("logs", "jane/sweep/a").stdout == "hello\n"
    client.terminate()
    assert client.wait(timeout=120) == 0
    jane.runs("down")
    assert up.wait(timeout=120) == 0
