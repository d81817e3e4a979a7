"""The verbs as people use them: on a cluster of `up`, each verb as a process."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator

import psutil
import pytest

from acceptance.person import PATIENCE_S, Person, runs, until
from acceptance.slow_link import slow_link


def cluster_process(person: Person) -> psutil.Process:
    return psutil.Process(json.loads((person.home / "state/distribute/up.json").read_text())["pid"])


@pytest.fixture(scope="module")
def jane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """A person with a running cluster."""
    with Person(tmp_path_factory.mktemp("home")) as person:
        up = person.runs("up", "--nodes", "2", "--cpus", "2", "--capability", "fast", "--detach")
        assert up.stdout.startswith("the cluster is ready at nats://127.0.0.1:")
        processes = [cluster_process(person), *cluster_process(person).children(recursive=True)]
        yield person
        assert "has ended" in person.runs("down").stdout
        assert [process for process in processes if runs(process)] == []
        assert "no cluster runs here" in person.runs("down", code=4).stderr


def test_up_returns_when_everything_runs(jane: Person) -> None:
    nodes = jane.asks("nodes")["nodes"]
    assert [(node["state"], node["cpus"], "fast" in node["capabilities"]) for node in nodes] == [
        ("idle", 2, True)
    ] * 2
    assert jane.asks("node-status")["nodes"][0]["node"] == nodes[0]["node"]
    assert "runs in" in jane.runs("up", "--detach", code=4).stderr


def test_a_batch_from_submission_to_results_that_are_pulled(jane: Person) -> None:
    (jane.home / "in.txt").write_text("what goes in\n")
    file = jane.writes(
        "sweep",
        {
            "a": "cat input/in.txt built.txt; mkdir -p distribute_save/deep/er distribute_save/empty; "
            "echo 1 > distribute_save/deep/er/one.csv; ln -s deep/er/one.csv distribute_save/one; "
            "printf '#!/bin/sh' > distribute_save/run; chmod +x distribute_save/run",
            "b": 'echo 2 > "distribute_save/two\nlines"; ln -s /etc distribute_save/out; exit 3',
        },
    )
    batch = json.loads((jane.home / file).read_text())
    batch["command"]["initialize"] = {
        "required_files": ["in.txt"],
        "build": "echo built it; echo built > built.txt",
    }
    (jane.home / file).write_text(json.dumps(batch))

    added = jane.runs("add", file)
    assert added.stderr.splitlines()[1] == "runs on 2/2 of the nodes"
    assert added.stdout == "jane/sweep is submitted: 2 jobs\n"
    assert "there is a batch jane/sweep already" in jane.runs("add", file, code=4).stderr
    waited = jane.runs("wait", "jane/sweep", code=1)
    node = jane.asks("status", "jane/sweep")["job_list"][1]["node"]
    assert waited.stdout == f"jane/sweep failed: 1 of 2 jobs failed: b (exit 3 on {node})\n"
    assert "`distribute logs jane/sweep/b` shows all that it printed" in waited.stderr
    assert jane.runs("watch", file, "--quiet", code=1).stdout == ""

    (of_all,) = jane.asks("status")["batches"]
    of_one = jane.asks("status", "jane/sweep")
    jobs, _, commits = (of_one.pop(key) for key in ("job_list", "cluster", "git"))
    assert commits == []
    assert of_one == of_all
    assert (of_all["state"], of_all["archived"], of_all["user"]) == ("failed", True, of_one["user"])
    assert [(job["job"], job["state"], job["exit_code"], job["archived"]) for job in jobs] == [
        ("a", "succeeded", 0, True),
        ("b", "failed", 3, True),
    ]
    assert jane.runs("logs", "jane/sweep/a").stdout == "what goes in\nbuilt\n"
    assert "built it\n" in jane.runs("logs", "jane/sweep").stdout

    listed = jane.asks("pull", "jane/sweep", "--dry", "include", "--include", r"\.csv$", "jane/sweep/b/")
    paths = [file["path"] for file in listed["files"]]
    assert set(paths) == {"sweep/a/deep/er/one.csv", "sweep/b/stdout.txt", "sweep/b/two\\nlines"}
    for path in paths:
        assert [file["path"] for file in jane.asks("pull", file, "-d", "-i", path)["files"]] == [path]
    nothing = jane.runs("pull", "jane/sweep", "--include", "nothing", code=1)
    assert "\ndistribute: no file of jane/sweep matches 'nothing' (7 are there, such as " in nothing.stderr
    assert not (jane.home / "sweep").exists()
    pulled = jane.runs("pull", file)
    assert "not archived: jane/sweep/b: out: " in pulled.stderr
    results = jane.home / "sweep"
    assert (results / "a/stdout.txt").read_text() == "what goes in\nbuilt\n"
    assert (results / "a/one").read_text() == "1\n"
    assert (results / "a/one").is_symlink()
    assert (results / "a/empty").is_dir()
    assert os.access(results / "a/run", os.X_OK)
    assert (results / "b/two\nlines").read_text() == "2\n"
    assert not (results / "b/out").is_symlink()
    assert {path.read_text() for path in results.glob("sweep_build_output-*.txt")} == {"built it\n"}
    assert jane.asks("pull", file)["fetched"] == 0
    (results / "b/two\nlines").unlink()
    (results / "b/two\nlines").mkdir()
    in_the_way = jane.runs("pull", file, code=1)
    assert in_the_way.stdout.startswith("nothing new: ")
    assert "b/two\\nlines: a folder is where a file belongs; move it away" in in_the_way.stderr

    jane.runs("delete", file, "--yes")
    assert jane.asks("status")["batches"] == []
    assert "there is no batch jane/sweep" in jane.runs("pull", file, code=4).stderr


@pytest.mark.parametrize("kind", ["python", "command"])
def test_an_example_runs_as_it_is_written(jane: Person, kind: str) -> None:
    jane.runs("template", kind, "--output", f"{kind}.yaml")
    batch = jane.asks("add", f"{kind}.yaml", "--dry")
    assert batch["fit"] == [2], "it runs on every node of a fresh cluster"
    jane.runs("add", f"{kind}.yaml", "--wait")
    name = f"{batch['namespace']}/{batch['batch']}"
    assert "it is back after 2.040 s" in jane.runs("logs", f"{name}/angle030").stdout
    jane.runs("pull", f"{kind}.yaml", "--save-dir", kind)
    assert len(list((jane.home / kind).rglob("motion.csv"))) == 2


def test_a_namespace_can_be_a_folder_of_what_is_pulled(jane: Person) -> None:
    jane.runs("add", jane.writes("layout", {"a": "echo", "b": "echo"}), "--wait")
    named = ("pull", "jane/layout", "--save-dir", "both", "--layout", "namespace")
    assert {file["path"] for file in jane.asks(*named, "--dry")["files"]} == {
        "jane/layout/a/stdout.txt",
        "jane/layout/b/stdout.txt",
    }
    jane.runs(*named, "--include", "/a/")
    assert {path.name for path in (jane.home / "both/jane/layout").glob("?/*")} == {"stdout.txt"}
    refused = jane.runs("pull", "jane/layout", "exclude", "--include", "/a/", code=2)
    assert "write `distribute pull jane/layout --include /a/`" in refused.stderr


def test_logs_can_be_printed_as_json(jane: Person) -> None:
    file = jane.writes("prints", {"a": r"printf 'one\n\377\n'"})
    batch = json.loads((jane.home / file).read_text())
    batch["command"]["initialize"] = {"build": "echo built it"}
    (jane.home / file).write_text(json.dumps(batch))
    jane.runs("add", file, "--wait")
    named = {"namespace": "jane", "batch": "prints"}
    job = {"job": "a", "attempt": 1, "outside": None, "killed_by": None, "output": "one\n\\xff\n"}
    assert jane.asks("logs", "jane/prints/a") == named | {"logs": [job]}
    build = {"succeeded": True, "reason": None, "kept_from": None, "output": "built it\n"}
    answer = jane.asks("logs", file)
    nodes = [found["node"] for found in answer["logs"]]
    assert nodes
    assert answer == named | {"logs": [{"node": node, **build} for node in sorted(nodes)]}
    assert jane.runs("logs", file, "--quiet").stdout == "built it\n" * len(nodes)
    assert jane.runs("logs", "jane/prints/b", "--json", code=4).stdout == ""


def test_a_large_pull_that_was_interrupted_resumes(jane: Person) -> None:
    size = 48 << 20
    file = jane.writes(
        "large", {"big": f"head -c {size} /dev/urandom | tee distribute_save/big.bin | sha256sum"}
    )
    jane.runs("add", file, "--wait")
    digest = jane.runs("logs", "jane/large/big").stdout.split()[0]
    with slow_link(jane) as server:
        pull = jane.starts("pull", "jane/large", "--save-dir", "large", "--server", server)
        # Parts of small files, which are not resumed, have longer words at the end.
        until(lambda: list(jane.home.glob("large/large/.distribute-parts/.*-????????.part")), pull)
        assert pull.poll() is None, "it has ended before it could be interrupted"
        pull.kill()
        pull.communicate()
    jane.runs("pull", "jane/large", "--save-dir", "large")
    content = (jane.home / "large/large/big/big.bin").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    assert len(content) == size


def test_logs_follow_output_live_to_its_end(jane: Person) -> None:
    go = jane.home / "go"
    jane.runs(
        "add", jane.writes("talk", {"slow": f"echo one; while [ ! -e {go} ]; do sleep 0.1; done; echo two"})
    )
    deadline = time.monotonic() + PATIENCE_S
    while jane.asks("status", "jane/talk")["job_list"][0]["state"] != "running":
        assert time.monotonic() < deadline, "it does not begin to run"
    following = jane.starts("logs", "-f", "jane/talk/slow")
    assert following.stdout is not None
    assert following.stdout.readline() == "one\n"
    assert jane.runs("logs", "jane/talk/slow").stdout == "one\n"
    go.touch()
    assert following.communicate(timeout=120) == ("two\n", "")
    assert following.returncode == 0
    jane.runs("wait", "jane/talk")
    assert jane.runs("logs", "jane/talk/slow").stdout == "one\ntwo\n"
    assert "there is no attempt 9" in jane.runs("logs", "jane/talk/slow", "--attempt", "9", code=4).stderr


def test_a_batch_that_no_node_could_run_is_refused_without_anyway(jane: Person) -> None:
    odd = jane.writes("odd", {"x": "true"}, capabilities=["quantum"])
    assert "no node has the capability quantum" in jane.runs("add", odd, code=4).stderr
    huge = jane.writes("huge", {"x": "true"}, resources={"cpus": 1000})
    assert "1000 cpus" in jane.runs("add", huge, code=4).stderr
    assert "jane/odd" not in jane.runs("status").stdout
    jane.runs("add", odd, "--anyway")
    assert jane.asks("status", "jane/odd")["state"] == "queued"
    jane.runs("delete", "jane/odd", "--yes")


def test_what_looks_wrong_in_a_file_is_told_and_the_batch_is_submitted(jane: Person) -> None:
    file = jane.writes("odd-file", {"x": "true"}, matrix="@jane:lab.org")
    document = json.loads((jane.home / file).read_text()) | {"slurm": {"qoss": "long"}}
    (jane.home / file).write_text(json.dumps(document))
    added = jane.runs("add", file)
    assert added.stdout.startswith("jane/odd-file is submitted: 1 job")
    assert "slurm: 'qoss' is passed on to sbatch as it is; did you mean 'qos'?" in added.stderr
    told = "@jane:lab.org gets no messages about it, because nothing here sends any to Matrix"
    assert told in added.stderr
    jane.runs("wait", "jane/odd-file")


def test_a_dry_run_submits_nothing(jane: Person) -> None:
    file = jane.writes("dry", {"x": "true"})
    assert "jane/dry would be submitted: 1 job\n" in jane.runs("add", file, "--dry").stdout
    assert "there is no batch jane/dry" in jane.runs("status", "jane/dry", code=4).stderr


def test_a_dry_run_lists_what_comes_of_a_sweep(jane: Person) -> None:
    (jane.home / "swept.yaml").write_text(
        "meta: {namespace: jane, batch_name: swept, resources: {cpus: 1}}\n"
        "sweep: {grid: {n: {from: 1, to: 150}, s: [a b]}}\n"
        'command: {job: {command: "echo {s} {n}", env: {N: "{n}"}}}\n'
    )
    listed = jane.runs("add", "swept.yaml", "--dry", "--list").stdout.splitlines()
    assert listed[0].split() == ["job", "command", "env"]
    assert listed[100].split() == ["n100-sa", "b", "echo", "'a", "b'", "100", "N=100"]
    assert listed[101:] == [
        "and 50 more jobs; --json lists all", "jane/swept would be submitted: 150 jobs",
    ]  # fmt: skip
    jobs = jane.asks("add", "swept.yaml", "--dry", "--list")["job_list"]
    assert len(jobs) == 150
    assert jobs[-1] == {
        "job": "n150-sa b",
        "command": "echo 'a b' 150",
        "env": {"N": "150"},
        "required_files": [],
        "resources": {"cpus": 1, "memory_bytes": 0, "gpus": 0},
        "timeout_s": None,
        "retries": 0,
        "parameters": {"n": 150, "s": "a b"},
    }
    assert jane.runs("add", "swept.yaml", "--dry", "--list", "--quiet").stdout.splitlines()[-1] == "n150-sa b"
    assert (
        "--list shows what would be submitted: add --dry"
        in jane.runs("add", "swept.yaml", "--list", code=2).stderr
    )


def test_a_dry_run_lists_what_each_job_of_a_sweep_needs_and_finds(jane: Person) -> None:
    for case in ("a", "b"):
        (jane.home / "cases" / case).mkdir(parents=True)
    (jane.home / "needs.yaml").write_text(
        "meta: {namespace: jane, batch_name: needs}\n"
        'sweep: {each: "cases/*"}\n'
        'command: {job: {command: "true", resources: {cpus: "{number}"}, timeout: "{number}h", retries: 1}}\n'
    )
    listed = jane.runs("add", "needs.yaml", "--dry", "--list", "--anyway").stdout.splitlines()
    assert [line.split() for line in listed[:3]] == [
        ["job", "command", "files", "needs"],
        ["a", "true", "a/", "1", "cpu,", "for", "1h,", "1", "retry"],
        ["b", "true", "b/", "2", "cpus,", "for", "2h,", "1", "retry"],
    ]


def test_status_shows_the_parameters_of_a_sweep(jane: Person) -> None:
    (jane.home / "points.yaml").write_text(
        "meta: {namespace: jane, batch_name: points, resources: {cpus: 1}}\n"
        'sweep: {grid: {re: [100, 0.50], mesh: [fine]}, name: "re{re}"}\n'
        'command: {jobs: [{name: plain, command: "true"}], job: {command: "echo {re}"}}\n'
    )
    jane.runs("add", "points.yaml", "--wait")
    jobs = jane.asks("status", "jane/points")["job_list"]
    assert {job["job"]: job["parameters"] for job in jobs} == {
        "plain": {},
        "re100": {"re": 100, "mesh": "fine"},
        "re0.50": {"re": 0.5, "mesh": "fine"},
    }
    assert jane.asks("status", "jane/points/re100")["parameters"] == {"re": 100, "mesh": "fine"}
    assert "re=100, mesh=fine" in jane.runs("status", "jane/points/re100").stdout
    assert jane.runs("logs", "jane/points/re0.50").stdout == "0.50\n"


def test_status_is_read_from_the_log_if_the_scheduler_does_not_answer(jane: Person) -> None:
    jane.runs("add", jane.writes("told", {"x": "true"}), "--wait")
    expected = jane.asks("status", "jane/told")
    (scheduler,) = [
        process
        for process in cluster_process(jane).children()
        if "scheduler" in process.cmdline() and process.is_running()
    ]
    scheduler.suspend()
    try:
        answer = jane.runs("status", "jane/told", "--json")
    finally:
        scheduler.resume()
    assert json.loads(answer.stdout) == expected
    assert "the scheduler doesn't answer" in answer.stderr


def test_answers_name_their_cluster(jane: Person) -> None:
    server = json.loads((jane.home / "state/distribute/up.json").read_text())["server"]
    line = f"cluster: {server} (from `distribute up`)\n"
    file = jane.writes("named", {"x": "true"})
    for verb in (["status"], ["nodes"], ["add", file, "--dry"]):
        assert jane.runs(*verb).stderr.startswith(line)
        assert jane.asks(*verb)["cluster"] == {"server": server, "source": "`distribute up`"}
        assert jane.runs(*verb, "--quiet").stderr == ""
    added = jane.runs("add", file, "--server", server)
    assert added.stderr.endswith(f"`distribute watch --server {server} jane/named` shows its progress\n")
    unknown = jane.runs("status", "jane/nobody", "--server", server, code=4).stderr
    assert f"`distribute status --server {server}` lists those there are\n" in unknown
    url = server.replace("nats://", "nats://jane:secret@")
    for name in ("nodes", "status"):
        assert jane.runs(name, "--server", url).stderr == f"cluster: {server} (from --server)\n"
    assert "cluster: " not in jane.runs("status", "jane/nothing", code=4).stderr
