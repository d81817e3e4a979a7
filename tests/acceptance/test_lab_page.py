"""A lab is set up from docs/lab.md alone, on computers that share nothing but a network."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.net_lab import SECONDS, Computer, net_lab, why_not
from acceptance.pages import blocks

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"needs network namespaces: {WHY_NOT}")

STATE = Path(".local/state/distribute/server")
GATED = """
cat > gated.yaml <<'END'
meta: {namespace: trial, batch_name: gated, resources: {cpus: 1}}
command: {jobs: [{name: long, command: "until test -e %s; do sleep 0.1; done; hostname"}]}
END
distribute add gated.yaml
"""


PAGE = "docs/lab.md"


@pytest.fixture
def computers(tmp_path: Path) -> Iterator[dict[str, Computer]]:
    """The lab's computers on the first morning, with one to spare."""
    with net_lab(tmp_path, ["head", "ws07", "ws08", "new-head"]) as computers:
        yield computers
        for name in ("ws07", "ws08", "new-head", "head"):
            computers[name].ends()


@pytest.fixture
def lab(computers: dict[str, Computer]) -> dict[str, Computer]:
    """A head and two nodes, set up as the page says, and a computer that is to become the head."""
    return set_up(computers, PAGE)


def set_up(computers: dict[str, Computer], page: str) -> dict[str, Computer]:
    computers["head"].begins(*blocks(page, "head"))
    computers["head"].logged("the cluster is ready at")
    for node in ("ws07", "ws08"):
        computers[node].begins(*blocks(page, "node"))
        computers[node].logged(f"INFO joined as {node}")
    return computers


def test_a_lab_is_set_up_from_the_readme(computers: dict[str, Computer]) -> None:
    set_up(computers, "README.md")
    head = computers["head"].log.read_text()
    (for_nodes,), (setting_up,) = blocks("README.md", "node"), blocks("README.md", "person")
    assert for_nodes.strip() in head
    assert setting_up.splitlines()[0] in head
    assert {"ws07", "ws08"} <= set(computers["new-head"].pastes(setting_up).split())


def test_a_lab_of_three_computers_is_set_up_from_the_page_alone(lab: dict[str, Computer]) -> None:
    setting_up, trying = blocks(PAGE, "person")
    assert {"ws07", "ws08"} <= set(lab["ws08"].pastes(setting_up).split())
    ran_on = lab["ws08"].pastes(trying).split()
    assert set(ran_on[-2:]) <= {"ws07", "ws08"}
    assert (lab["ws08"].home / "where" / "first" / "stdout.txt").exists()


def test_nodes_and_their_jobs_follow_a_head_that_moves(lab: dict[str, Computer], tmp_path: Path) -> None:
    person, gate = lab["ws08"], tmp_path / "gate"
    person.pastes(blocks(PAGE, "person")[0])
    person.pastes(GATED % gate)
    node = node_of(person, "trial/gated")
    lab["head"].ends()
    for name in ("ws07", "ws08"):
        assert lab[name].logged("doesn't answer since").endswith("running jobs go on")
    gate.touch()
    lab[node].logged("trial/gated/long succeeded after")  # while there is no head
    new = lab["new-head"]
    shutil.copytree(lab["head"].home / STATE, new.home / STATE)
    new.begins(*blocks(PAGE, "new-head"))
    new.logged("the cluster is ready at")
    moved = {computer.name: computer.address for computer in lab.values()} | {"head": new.address}
    for computer in lab.values():
        computer.knows(moved)
    for name in ("ws07", "ws08"):
        lab[name].logged("answers again after")
    person.pastes("distribute wait trial/gated && distribute pull trial/gated")
    assert (person.home / "gated" / "long" / "stdout.txt").read_text().strip() == node
    (job,) = json.loads(person.pastes("distribute status trial/gated --json"))["job_list"]
    assert (job["state"], job["attempt"]) == ("succeeded", 1)


def test_a_node_may_get_a_new_disk_or_a_new_name_and_no_twin(lab: dict[str, Computer]) -> None:
    node, person, (follow_the_page,) = lab["ws07"], lab["ws08"], blocks(PAGE, "node")
    person.pastes(blocks(PAGE, "person")[0])
    twin = lab["new-head"]
    twin.is_called("ws07")
    twin.begins(follow_the_page)
    twin.logged("the name 'ws07' is in use by another node-runner")
    node.ends()
    shutil.rmtree(node.home / ".local")  # a new disk
    node.begins(follow_the_page)
    node.logged("INFO joined as ws07", times=2)
    assert names(person) == {"ws07": "idle", "ws08": "idle"}
    node.ends()
    node.is_called("ws17")
    node.begins(follow_the_page)
    node.logged("INFO joined as ws17")
    assert names(person) == {"ws07": "left", "ws08": "idle", "ws17": "idle"}
    person.pastes("distribute nodes --forget ws07")
    assert names(person) == {"ws08": "idle", "ws17": "idle"}


def names(person: Computer) -> dict[str, str]:
    """The nodes that the person sees, with their states."""
    nodes = json.loads(person.pastes("distribute nodes --json"))["nodes"]
    return {node["node"]: node["state"] for node in nodes}


def node_of(person: Computer, batch: str) -> str:
    """Poll until the job of the batch runs. Returns on which node."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        (job,) = json.loads(person.pastes(f"distribute status {batch} --json"))["job_list"]
        if job["state"] == "running":
            return str(job["node"])
        time.sleep(0.1)
    raise AssertionError(f"{batch} never ran")
