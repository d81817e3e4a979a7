"""What nodes lend of a computer: cores, memory and GPUs, each once, within their own limits."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from acceptance.gpus import path_with_gpus
from acceptance.person import Person, until

NODES = {"up": ("--nodes", "2"), "more cpus than there are": ("--nodes", "2", "--cpus", "4")}


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person at a computer with two GPUs."""
    with Person(tmp_path) as person:
        person.sets(PATH=path_with_gpus(tmp_path), CUDA_VISIBLE_DEVICES=None)
        yield person
        person.starts("down").communicate(timeout=120)


def prints(jane: Person, batch: str, job: str) -> str:
    return jane.runs("logs", f"jane/{batch}/{job}").stdout.strip()


@pytest.mark.parametrize("options", NODES.values(), ids=NODES)
def test_nodes_of_one_computer_share_its_memory_and_gpus(jane: Person, options: tuple[str, ...]) -> None:
    jane.runs("up", *options, "--detach")
    found = jane.asks("nodes")["nodes"]
    assert [node["gpus"] for node in found] == [["RTX 3090"], ["GT 710"]]
    assert sum(node["memory_bytes"] for node in found) <= psutil.virtual_memory().total
    tell = "echo $CUDA_VISIBLE_DEVICES on $DISTRIBUTE_NODE"
    jobs = {f"job{number}": tell for number in range(4)}
    jane.runs("add", jane.writes("gpus", jobs, resources={"cpus": 1, "gpus": 1}), "--wait")
    of_nodes = {f"{gpu} on {node['node']}" for gpu, node in enumerate(found)}
    assert {prints(jane, "gpus", job) for job in jobs} == of_nodes


def at_once(jane: Person, batch: str, command: str) -> list[str]:
    """What two jobs print that run a command at the same time: the last word of each."""
    meet = f"touch {jane.home}/{{mine}}; while ! [ -e {jane.home}/{{other}} ]; do sleep 0.05; done"
    both = {"one": "two", "two": "one"}
    jobs = {job: f"{meet.format(mine=job, other=other)}; {command}" for job, other in both.items()}
    jane.runs("add", jane.writes(batch, jobs), "--wait")
    return [prints(jane, batch, job).split()[-1] for job in jobs]


def test_jobs_run_on_cores_of_their_own(jane: Person) -> None:
    cores = psutil.cpu_count(logical=False) or 1
    if cores < 2 or len(os.sched_getaffinity(0)) < (psutil.cpu_count() or 1):
        pytest.skip("two jobs need two cores, which pytest may use")
    jane.runs("up", "--detach")
    one, two = at_once(jane, "cores", "taskset -pc $$")
    assert one != two
    jane.runs("add", jane.writes("all", {"whole": "nproc"}, resources={"cpus": cores}), "--wait")
    assert prints(jane, "all", "whole") == str(psutil.cpu_count())


def test_a_job_keeps_its_cores_when_its_runner_is_killed(jane: Person) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two jobs need two cores")
    jane.runs("up", "--detach")
    began, end = jane.home / "began", jane.home / "end"
    waits = f"touch {began}; while ! [ -e {end} ]; do sleep 0.05; done; taskset -pc $$"
    jane.runs("add", jane.writes("long", {"one": waits}))
    until(began.exists)
    runner_of(jane).kill()
    jane.runs("add", jane.writes("short", {"two": "taskset -pc $$"}), "--wait")
    end.touch()
    jane.runs("wait", "jane/long")
    assert jane.asks("status", "jane/long")["job_list"][0]["attempt"] == 1, "it went on"
    one, two = (prints(jane, *job).split()[-1] for job in (("long", "one"), ("short", "two")))
    assert one != two


def runner_of(jane: Person) -> psutil.Process:
    """The node-runner of the only node."""

    def is_meant(words: list[str]) -> bool:
        return "node-runner" in words and any(word.startswith(str(jane.home)) for word in words)

    running = psutil.process_iter(["cmdline", "ppid"])
    found = {one.pid: one for one in running if is_meant(one.info["cmdline"] or [])}
    # A process that it starts has its command line until it begins its own program.
    (runner,) = [one for one in found.values() if one.info["ppid"] not in found]
    return runner


@pytest.mark.parametrize("mpirun", ["mpirun.openmpi", "mpirun.mpich"])
def test_mpi_jobs_of_one_node_share_no_core(jane: Person, mpirun: str) -> None:
    if shutil.which(mpirun) is None:
        pytest.skip(f"{mpirun} is not installed: apt-get install openmpi-bin mpich")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two jobs need two cores")
    jane.runs("up", "--detach")
    as_root = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    one, two = at_once(jane, "mpi", f"{as_root} {mpirun} -np $DISTRIBUTE_CPUS sh -c 'taskset -pc $$'")
    assert one != two


@pytest.mark.parametrize("mpirun", ["mpirun.openmpi", "mpirun.mpich"])
def test_the_processes_of_an_mpi_job_get_the_threads_that_its_batch_names(jane: Person, mpirun: str) -> None:
    """With one process a core, libraries must not start a thread for each core beside it."""
    if shutil.which(mpirun) is None:
        pytest.skip(f"{mpirun} is not installed: apt-get install openmpi-bin mpich")
    cores = psutil.cpu_count(logical=False) or 1
    jane.runs("up", "--detach")
    as_root = "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"
    command = f"{as_root} {mpirun} -np $DISTRIBUTE_CPUS sh -c 'echo $OMP_NUM_THREADS'"
    file = jane.home / jane.writes("mpi", {"threads": command, "ranks": command}, resources={"cpus": cores})
    written = json.loads(file.read_text())
    written["command"]["jobs"][1]["env"] = {"OMP_NUM_THREADS": "1"}
    file.write_text(json.dumps(written))
    jane.runs("add", file.name, "--wait")
    for job, threads in (("threads", str(cores)), ("ranks", "1")):
        assert prints(jane, "mpi", job).split()[-cores:] == [threads] * cores


def test_a_node_lends_only_the_gpu_that_it_was_given(jane: Person) -> None:
    jane.runs("up", "--nodes", "0", "--detach")
    jane.sets(CUDA_VISIBLE_DEVICES="1")
    node = jane.starts("client", "node", "--name", "ws1")
    until(lambda: jane.asks("nodes")["nodes"], node)
    assert jane.asks("nodes")["nodes"][0]["gpus"] == ["GT 710"]
    jane.runs(
        "add",
        jane.writes("gpu", {"a": "echo GPU $CUDA_VISIBLE_DEVICES"}, resources={"cpus": 1, "gpus": 1}),
        "--wait",
    )
    assert prints(jane, "gpu", "a") == "GPU 1"
    node.terminate()
    node.communicate(timeout=120)
    assert node.returncode == 0


def test_a_job_that_uses_more_memory_than_it_asked_for_is_ended_with_that_reason(jane: Person) -> None:
    jane.runs("up", "--cpus", "1", "--detach")
    hog = "python3 -c 'import time; held = bytearray(300 << 20); time.sleep(60)'; echo not reached"
    file = jane.writes("hog", {"a": hog}, resources={"cpus": 1, "memory": "100M"})
    jane.runs("add", file, "--wait", code=1)
    (listed,) = jane.asks("status", "jane/hog")["job_list"]
    assert (listed["state"], listed["reason"]) == ("failed", "used more memory than its 100M")
    assert listed["max_rss_bytes"] > 100 << 20


def test_settings_that_lend_more_than_there_is_are_refused_all_at_once(jane: Person) -> None:
    (jane.home / "node.yaml").write_text("server: nats://127.0.0.1:1\ncpus: 6000\nmemory: 900T\ngpus: 3\n")
    client = jane.starts("client", "node", "--settings", "node.yaml")
    _, err = client.communicate(timeout=120)
    assert client.returncode == 2
    assert "node.yaml: cpus: 6000 are too many: this computer has " in err
    assert "node.yaml: memory: 900T is too much: this computer has " in err
    assert "node.yaml: gpus: 3 are too many: this computer has 2 GPUs (0: RTX 3090, 1: GT 710)" in err


def test_an_option_that_lends_more_than_there_is_is_refused(jane: Person) -> None:
    client = jane.starts("client", "node", "--server", "nats://127.0.0.1:1", "--cpus", "6000")
    _, err = client.communicate(timeout=120)
    assert client.returncode == 2
    assert "--cpus: 6000 are too many: this computer has " in err
