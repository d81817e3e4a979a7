"""A node that is cut off from the head goes on with its jobs, and reports them when it is back.

The link of a network namespace goes down for `DISTRIBUTE_CUT_S` seconds, longer than a node may be silent.
The project promises this for ten minutes: `DISTRIBUTE_CUT_S=600`.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acceptance.net_lab import Computer, net_lab, why_not
from acceptance.person import until

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(WHY_NOT is not None, reason=f"needs network namespaces: {WHY_NOT}"),
]

CUT_S = float(os.environ.get("DISTRIBUTE_CUT_S", "20"))
LOST_S = 10.0
NODES = ("ws1", "ws2")


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[dict[str, Computer]]:
    """A head, and two nodes with two cores and with one; people sit at the head."""
    with net_lab(tmp_path, ["head", *NODES]) as computers:
        head = computers["head"]
        head.pastes(
            "mkdir -p .config/distribute && echo 'server: nats://head' > .config/distribute/client.yaml"
        )
        head.begins(f"distribute server --host 0.0.0.0 --out-of-touch {LOST_S / 2} --lost-after {LOST_S}")
        head.logged("the cluster is ready at")
        for name in NODES:
            begin(computers[name])
            computers[name].logged(f"INFO joined as {name}")
        yield computers
        for name in (*NODES, "head"):
            computers[name].ends()


@pytest.mark.parametrize("crashes", [False, True], ids=["runner lives", "runner is killed meanwhile"])
def test_every_job_of_a_node_that_was_cut_off_counts_once(
    crashes: bool, lab: dict[str, Computer], tmp_path: Path
) -> None:
    """One of its jobs ends while it is cut off, and one goes on. The other node is busy, and jobs wait."""
    ran, short, go = tmp_path / "ran", tmp_path / "short", tmp_path / "go"
    head, cut = lab["head"], lab["ws1"]
    work = (
        f"echo $DISTRIBUTE_JOB >> {ran}; echo begins; echo $DISTRIBUTE_NODE > distribute_save/node; "
        f"if [ $DISTRIBUTE_NODE = ws1 ] && mkdir {short}; then until test -e {short}/go; do sleep 0.1; done; "
        f"else until test -e {go}; do sleep 0.1; done; fi 2> errors; echo ends"
    )
    jobs = [f"j{number}" for number in range(5)]
    submit(head, "b", dict.fromkeys(jobs, work))
    until(lambda: len(running(head, "b")) == 3)
    until(short.exists)  # a job counts as running before it has done anything
    cut.unplug()
    unplugged_at = time.monotonic()
    if crashes:
        cut.crashes()
    (short / "go").touch()
    if crashes:
        begin(cut)
    else:
        cut.logged("succeeded after")
    until(lambda: node_states(head)["ws1"] == "lost")
    assert len(ran.read_text().split()) == 3, "the others wait"
    time.sleep(max(0.0, CUT_S - (time.monotonic() - unplugged_at)))
    assert states(head, "b") == {"running": 3, "queued": 2}
    cut.plug_in()
    until(lambda: states(head, "b")["succeeded"] == 1)
    go.touch()
    head.pastes("distribute wait lab/b && distribute pull lab/b")
    assert Counter(ran.read_text().split()) == dict.fromkeys(jobs, 1)
    for name in jobs:
        (attempt,) = asks(head, "status", f"lab/b/{name}")["attempts"]
        assert attempt["outcome"] == "succeeded"
        assert (head.home / "b" / name / "stdout.txt").read_text() == "begins\nends\n"
        assert (head.home / "b" / name / "node").read_text() == f"{attempt['node']}\n"


def test_what_was_given_to_another_node_meanwhile_is_kept_and_does_not_count(
    lab: dict[str, Computer], tmp_path: Path
) -> None:
    """It ends while its node is cut off."""
    head, go = lab["head"], tmp_path / "go"
    work = (
        f"echo begins; echo $DISTRIBUTE_NODE > distribute_save/node; until test -e {go}; do sleep 0.1; done"
    )
    submit(head, "b", {"job": work})
    until(lambda: running(head, "b"))
    (job,) = running(head, "b")
    cut = lab[job["node"]]
    cut.unplug()
    go.touch()
    cut.logged("lab/b/job succeeded after")
    head.pastes("distribute wait lab/b && distribute pull lab/b")
    cut.plug_in()
    cut.logged("what attempt 1 of lab/b/job left does not count")
    until(lambda: asks(head, "status", "lab/b/job")["attempts"][0]["superseded"])
    first, second = asks(head, "status", "lab/b/job")["attempts"]
    assert (first["node"], first["outcome"], second["outcome"]) == (cut.name, "released", "succeeded")
    assert (head.home / "b" / "job" / "node").read_text() == f"{second['node']}\n" != f"{cut.name}\n"
    kept = Path(first["superseded"]["folder"])
    assert (kept / "distribute_save" / "node").read_text() == f"{cut.name}\n"
    assert (kept / "stdout.txt").read_text() == "begins\n"
    told = " ".join(head.pastes("distribute status lab/b/job").split())
    assert f"{cut.name} keeps it until" in told
    assert second["superseded"] is None
    until(lambda: node_states(head)[cut.name] == "idle")


def begin(node: Computer) -> None:
    cpus = {"ws1": 2, "ws2": 1}[node.name]
    node.begins(f"distribute client --server nats://head --cpus {cpus}")


def submit(person: Computer, batch: str, jobs: dict[str, str]) -> None:
    entries = [{"name": name, "command": command} for name, command in jobs.items()]
    meta = {"namespace": "lab", "batch_name": batch, "resources": {"cpus": 1}}
    written = json.dumps({"meta": meta, "command": {"jobs": entries}})
    person.pastes(f"echo {shlex.quote(written)} > {batch}.yaml && distribute add {batch}.yaml")


def asks(person: Computer, *words: str) -> Any:
    return json.loads(person.pastes(f"distribute {' '.join(words)} --json"))


def running(person: Computer, batch: str) -> list[Any]:
    return [job for job in asks(person, "status", f"lab/{batch}")["job_list"] if job["state"] == "running"]


def states(person: Computer, batch: str) -> Counter[str]:
    return Counter(job["state"] for job in asks(person, "status", f"lab/{batch}")["job_list"])


def node_states(person: Computer) -> dict[str, str]:
    return {node["node"]: node["state"] for node in asks(person, "nodes")["nodes"]}
