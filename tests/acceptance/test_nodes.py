"""Verbs about nodes: draining, undraining, forgetting. The head takes options for its patience."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from acceptance.person import Person, runs
from ports_kit import free_port


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    with Person(tmp_path) as person:
        yield person
        person.starts("down").communicate(timeout=120)


def test_up_is_ready_when_its_nodes_have_joined_in_any_state(jane: Person) -> None:
    jane.runs("up", "--nodes", "2", "--cpus", "1", "--detach")
    one, other = (node["node"] for node in jane.asks("nodes")["nodes"])
    drained = jane.runs("drain", one, "--reason", "new disk", "--until", "2h")
    assert f"{one} takes no new jobs until " in drained.stdout
    (node,) = jane.asks("nodes", one)["nodes"]
    assert (node["state"], node["reason"]) == ("draining", "new disk")
    assert (
        "only a node that has left, is lost, or is expected and never joined can be forgotten"
        in jane.runs("nodes", "--forget", one, code=4).stderr
    )

    jane.runs("down")
    jane.runs("up", "--nodes", "2", "--cpus", "1", "--detach")
    states = {node["node"]: node["state"] for node in jane.asks("nodes")["nodes"]}
    assert states == {one: "draining", other: "idle"}
    assert jane.runs("undrain", one).stdout == f"{one} takes jobs again; it was draining\n"
    assert jane.asks("nodes", one)["nodes"][0]["state"] == "idle"
    for verb in ("drain", "undrain"):
        assert "there is no node 'ws99'" in jane.runs(verb, "ws99", code=4).stderr


def test_a_node_that_has_left_is_forgotten(jane: Person) -> None:
    jane.runs("up", "--nodes", "2", "--cpus", "1", "--detach")
    both = [node["node"] for node in jane.asks("nodes")["nodes"]]
    jane.runs("down")
    jane.runs("up", "--nodes", "1", "--detach")
    for node in both:
        assert jane.runs("nodes", "--forget", node).stdout == f"{node} is forgotten\n"
    (left,) = jane.asks("nodes")["nodes"]
    assert left["node"] not in both
    assert "there is no node" in jane.runs("nodes", both[0], code=4).stderr


def test_a_server_passes_its_patience_on_and_down_does_not_end_it(jane: Person) -> None:
    (jane.home / "server.yaml").write_text("patience_growth: 0.5\nlost_after: 40s\n")
    port = free_port()
    server = jane.starts(
        "server", "--dir", "head", "--port", str(port), "--settings", "server.yaml",
        "--out-of-touch", "7s", "--lost-after", "1m10s", "--longest-patience", "2h",
    )  # fmt: skip
    assert server.stdout is not None
    ready = f"the cluster is ready at nats://127.0.0.1:{port}; its data is in {jane.home}/head\n"
    assert server.stdout.readline() == ready
    (scheduler,) = [
        child.cmdline() for child in psutil.Process(server.pid).children() if "scheduler" in child.cmdline()
    ]
    patience = scheduler.index("--out-of-touch-s")
    assert scheduler[patience : patience + 8] == [
        "--out-of-touch-s", "7.0", "--lost-after-s", "70.0",
        "--patience-growth", "0.5", "--longest-patience-s", "7200.0",
    ]  # fmt: skip
    refused = jane.runs("down", code=4).stderr
    assert "was started by `distribute server`, maybe for others, too: end it in its own terminal" in refused
    assert f"`kill {server.pid}`" in refused
    children = psutil.Process(server.pid).children()
    server.send_signal(signal.SIGTERM)
    _, err = server.communicate(timeout=120)
    assert server.returncode == 0
    assert "only this computer reaches it; a lab's head needs --host 0.0.0.0\n" in err
    assert (
        f"its data stays in {jane.home}/head; `distribute server --dir {jane.home}/head --port {port}"
        f" --settings {jane.home}/server.yaml --out-of-touch 7s --lost-after 1m10s --longest-patience 2h`"
        " continues\n"
    ) in err
    assert [child for child in children if runs(child)] == []


def test_a_wrong_setting_of_the_head_is_named_by_line(jane: Person) -> None:
    (jane.home / "server.yaml").write_text("lost_after: soon\npatience: 1\n")
    ended = jane.runs("server", "--settings", "server.yaml", code=2)
    assert "server.yaml:1:" in ended.stderr
    assert "server.yaml:2:" in ended.stderr
    assert "--lost-after: 'soon' " in jane.runs("server", "--lost-after", "soon", code=2).stderr
