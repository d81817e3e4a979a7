"""The first `distribute`'s documented command lines, as in its users' units and scripts, on a real lab."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from acceptance.person import PATIENCE_S, Person, until
from ports_kit import free_port

JOBS = """---
meta:
  batch_name: cases
  namespace: lab
  matrix: ~
  capabilities: [python3, gfortran]
python:
  initialize:
    build_file: {path: build.py, alias: ~}
    required_files: []
  jobs:
    - name: case1
      file: run.py
    - name: case2
      file: run.py
"""
RUN = """
for name in ("flowfield.vtk", "statistics.csv"):
    with open(f"distribute_save/{name}", "w") as file:
        file.write(name)
"""
NODES = """nodes:
  - ip: "192.0.2.7"
    name: "ws1"
    transport_port: 8953
    capabilities: [gfortran, fftw]
  - ip: "192.0.2.8"
    name: "ws2"
    capabilities: [gfortran, gpu]
"""
WAITING = JOBS.replace("batch_name: cases", "batch_name: waiting").replace("file: run.py", "file: wait.py")


class Lab(NamedTuple):
    """A person of the lab, and where its head and node were started by old command lines."""

    person: Person
    port: int
    head: subprocess.Popen[str]
    node: subprocess.Popen[str]

    @property
    def home(self) -> Path:
        return self.person.home

    def logged(self, name: str) -> str:
        """What a process printed."""
        return (self.home / f"{name}.log").read_text()

    def types(self, line: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command line as somebody types it. IP stands for the head's address, PORT for its port."""
        known = {"IP": "127.0.0.1", "PORT": str(self.port)}
        return self.person.runs(*(known.get(word, word) for word in shlex.split(line)), code=code)


def begun(person: Person, name: str, line: str, words: str) -> subprocess.Popen[str]:
    """Start what goes on, and wait until it has printed these words."""
    log = person.home / f"{name}.log"
    with log.open("w") as output:
        process = person.starts(*shlex.split(line), stdout=output.fileno(), stderr=output.fileno())
    until(lambda: words in log.read_text(), process)
    return process


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A head and a node as the units of the first `distribute` start them, and a batch that is over."""
    home = tmp_path_factory.mktemp("lab")
    for name, text in {
        "nodes.yaml": NODES, "cases.yaml": JOBS, "waiting.yaml": WAITING, "build.py": "", "run.py": RUN,
        "wait.py": "import time\nwhile True: time.sleep(0.1)\n",
    }.items():  # fmt: skip
        (home / name).write_text(text)
    (home / "config/distribute").mkdir(parents=True)
    (home / "logs").mkdir()
    port = free_port()
    (home / "config/distribute/node.yaml").write_text(
        f"server: nats://127.0.0.1:{port}\nname: ws1\nmax_unseen: 1m\n"
    )
    _have_program(home / "bin", "gfortran")
    with Person(home) as person:
        person.sets(PATH=f"{home / 'bin'}:{os.environ['PATH']}")
        head = begun(
            person, "head",
            f"--save-log --show-logs server --save-path server/results --temp-dir server/tmp -p {port} -c "
            "--nodes-file nodes.yaml",
            "the cluster is ready at",
        )  # fmt: skip
        node = person.starts(*shlex.split("client data -p 8953 -k 8954 -c 8955 --log-file logs/output.log"))
        until(lambda: "joined as ws1" in _text(home / "logs/output.log"), node)
        found = Lab(person, port, head, node)
        found.types("add cases.yaml --ip IP --port PORT --wait")
        found.types("add waiting.yaml --ip IP --port PORT")
        yield found
        for process in (node, head):
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE_S) == 0


def _have_program(folder: Path, name: str) -> None:
    """Install a program that does nothing: what a computer has by its own programs can be asked for."""
    folder.mkdir()
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_an_old_unit_starts_a_head_that_all_reach(lab: Lab) -> None:
    told = lab.logged("head")
    folder = lab.home / "server/results/distribute-server"
    assert f"--save-path: results and all else that the head keeps are in {folder};" in told
    assert "--temp-dir is not needed" in told
    assert "--clean-output deletes nothing here" in told
    assert f"it listens at all addresses, port {lab.port}" in told
    assert "there is no login yet" in told
    assert "nodes.yaml: addresses and ports are not needed: nodes connect to the head" in told
    assert (folder / "logs/scheduler.log").exists()
    assert not (lab.home / "server/tmp").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("server-status --ip IP --port PORT", ["cases", "waiting"]),
        ("server-status --ip IP -p PORT", ["cases"]),
        ("node-status --nodes-file distribute-nodes.yaml --ip IP --port PORT", ["ws1", "fftw", "expected"]),
        ("add cases.yaml --ip IP --port PORT --dry --show-caps --replace", ["runs on 1/1 of the nodes"]),
        ("add waiting.yaml --ip IP -p PORT -d -s --replace", ["would be submitted: 2 jobs"]),
        ("template python --output made.yaml", ["made.yaml is written"]),
        ("template apptainer --output contained.yaml", ["contained.yaml is written"]),
        ("pull cases.yaml --ip IP --port PORT --dry", ["case1/flowfield.vtk", "case2/statistics.csv"]),
        ("pull cases.yaml --ip IP -p PORT -d include --include case1", ["case1/flowfield.vtk"]),
        ("run cases.yaml --save-dir ran", ["2 of 2 jobs succeeded"]),
        ("run cases.yaml -s ran --clean-save", ["2 of 2 jobs succeeded"]),
        (
            (
                "slurm out cases.yaml --cluster-username jane --cluster-address hpc.example.org "
                "--cluster-upload-destination /scratch/jane"
            ),
            ["rsync_upload.sh"],
        ),
        ("help", ["Usage: distribute"]),
        ("help pull", ["Usage: distribute pull"]),
        ("--version", ["distribute "]),
        ("-V", ["distribute "]),
    ],
)
def test_a_command_line_of_the_original_works(line: str, words: list[str], lab: Lab) -> None:
    said = lab.types(line)
    for word in words:
        assert word in said.stdout + said.stderr


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("pull cases.yaml --ip IP --port PORT --save-dir D", "case1 case1/F case1/S case2 case2/F case2/S"),
        ("pull cases.yaml --ip IP -p PORT -s D exclude --exclude vtk", "case1 case1/S case2 case2/S"),
        (
            "pull cases.yaml --ip IP --port PORT --save-dir D exclude --exclude vtk --exclude case2",
            "case1 case1/S case2",
        ),
        (
            "pull cases.yaml --ip IP --port PORT --save-dir D include --include case1/.*csv --include vtk",
            "case1 case1/F case1/S case2 case2/F",
        ),
        (
            "pull cases.yaml --ip IP --port PORT --save-dir D --skip-folders include --include case1",
            "case1 case1/F case1/S",
        ),
    ],
)
def test_results_are_laid_as_the_original_lays_them(line: str, files: str, lab: Lab, tmp_path: Path) -> None:
    lab.types(line.replace(" D", f" {tmp_path}"))
    names = {"F": "flowfield.vtk", "S": "statistics.csv"}
    wanted = {"/".join(names.get(part, part) for part in path.split("/")) for path in files.split()}
    found = {str(path.relative_to(tmp_path / "cases")) for path in (tmp_path / "cases").glob("**/[!.]*")}
    assert {path for path in found if not path.endswith(".txt")} == wanted


def test_the_head_knows_names_and_capabilities_from_the_nodes_file(lab: Lab) -> None:
    found = lab.person.asks("node-status", "--ip", "127.0.0.1", "--port", str(lab.port))["nodes"]
    assert [(node["node"], node["state"], node["listed"]) for node in found] == [
        ("ws1", found[0]["state"], ["fftw", "gfortran"]),
        ("ws2", "expected", ["gfortran", "gpu"]),
    ]
    assert {"fftw", "gfortran", "python3"} <= set(found[0]["capabilities"])


def test_a_batch_is_killed_by_its_name_alone(lab: Lab) -> None:
    assert "lab/waiting is being killed" in lab.types("kill --ip IP --port PORT waiting").stdout
    lab.types("wait waiting --ip IP --port PORT", code=1)
    said = lab.types("server-status --ip IP --port PORT --json")
    (waiting,) = [batch for batch in json.loads(said.stdout)["batches"] if batch["batch"] == "waiting"]
    assert waiting["state"] == "killed"


def test_an_old_unit_starts_a_node_that_logs_to_its_file(lab: Lab) -> None:
    assert "lab/cases" in _text(lab.home / "logs/output.log")
    assert (lab.home / "data/lock").exists()


def test_the_nodes_file_of_the_last_start_counts(tmp_path: Path) -> None:
    port = str(free_port())
    starts = (
        ("nodes: [{name: ws1, capabilities: [fftw]}, {name: ws2}]", {"ws1": ["fftw"], "ws2": []}),
        ("nodes: [{name: ws2, capabilities: [gpu]}]", {"ws2": ["gpu"]}),
        (None, {}),
    )
    with Person(tmp_path) as person:
        for text, listed in starts:
            if text is not None:
                (tmp_path / "nodes.yaml").write_text(text)
            named = "" if text is None else "--nodes-file nodes.yaml"
            head = begun(person, "head", f"server --dir head -p {port} {named}", "Ctrl-C ends it")
            found = person.asks("nodes", "--ip", "127.0.0.1", "--port", port)["nodes"]
            assert {node["node"]: node["listed"] for node in found} == listed
            assert {node["state"] for node in found} <= {"expected"}
            head.send_signal(signal.SIGINT)
            assert head.wait(PATIENCE_S) == 0
