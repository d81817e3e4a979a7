"""The nodes file of the first `distribute`: names and capabilities of nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from distribute.config.settings.nodes_file import load_nodes_file
from distribute.core.errors import InputError

ORIGINAL = """---
# of the first distribute
nodes:
  - ip: "192.0.2.7"
    name: "lab1"
    transport_port: 9967
    keepalive_port: 9968
    cancel_port: 9969
    capabilities: [gfortran, fftw, gpu]
  - ip: 192.0.2.8
    name: lab2
    capabilities:
    - python3
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("nodes.yaml")


def test_names_and_capabilities_are_read_and_what_is_not_needed_is_said_once(written: Path) -> None:
    written.write_text(ORIGINAL)
    capabilities, unused = load_nodes_file(written)
    assert capabilities == {
        "lab1": frozenset({"gfortran", "fftw", "gpu"}), "lab2": frozenset({"python3"})
    }  # fmt: skip
    assert unused == ("nodes.yaml: addresses and ports are not needed: nodes connect to the head",)


def test_a_node_needs_only_a_name(written: Path) -> None:
    written.write_text("nodes: [{name: ws07}]\n")
    assert load_nodes_file(written) == ({"ws07": frozenset()}, ())


def test_a_node_without_a_name_is_left_out_and_said(written: Path) -> None:
    written.write_text("nodes:\n  - name: ws07\n  - ip: 192.0.2.8\n    capabilities: [gpu]\n")
    capabilities, unused = load_nodes_file(written)
    assert capabilities == {"ws07": frozenset()}
    assert unused[1] == "nodes.yaml:3: a node without a name is not listed; write name: and its host name"


def test_many_nodes_without_a_name_are_said_in_one_line(written: Path) -> None:
    written.write_text("nodes:\n" + "- capabilities: [gpu]\n" * 9_999 + "- name: ws07\n")
    capabilities, unused = load_nodes_file(written)
    assert capabilities == {"ws07": frozenset()}
    (line,) = unused
    assert line == (
        "nodes.yaml:2: 9999 nodes without a name are not listed, on lines 2, 3, 4, 5, 6 and 9994 more; "
        "write name: and the host name of each"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["nodes.yaml:1:1: the top level needs the key 'nodes'; write nodes: [{name: ws07, capab"]),
        ("nodes: ws07\n", ["nodes.yaml:1:8: nodes takes a list, not 'ws07'; write nodes: ['ws07']"]),
        ("nodes: [ws07]\n", ["nodes.yaml:1:9: an item of nodes takes keys with values, not 'ws07'"]),
        (
            "nodes:\n- name: a\n- name: b\n- name: a\n",
            ["nodes.yaml:4:9: the node 'a' is on line 2 already; give each its own name"],
        ),
        (
            "nodes:\n- name: a\n  capabilites: [gpu]\n  port: 7\n",
            [
                "nodes.yaml:3:3: an item of nodes has no key 'capabilites'; write 'capabilities'",
                "nodes.yaml:4:3: an item of nodes has no key 'port'; it may have name, capabilities, ip",
            ],
        ),
        ("nodes:\n- name: a/b\n", ["nodes.yaml:2:9: name: 'a/b' can't be a name"]),
        ("nodes:\n- name: a\n  capabilities: gpu\n", ["nodes.yaml:3:17: capabilities takes a list"]),
        ("nodes:\n- name: a\n  cancel_port: 70000\n", ["nodes.yaml:3:16: cancel_port: 70000 is out of"]),
        (
            "nodes:\n" + "".join(f"- name: n{number}\n" for number in range(10_001)),
            ["nodes.yaml:2:1: nodes: 10001 nodes are too many; write 10000 at most"],
        ),
        ("nodes:\n\t- name: a\n", ["nodes.yaml:2:1: a tab in the indentation; write spaces instead"]),
        (
            "meta: {batch_name: x, namespace: y}\npython: {}\n",
            [
                "nodes.yaml:1:1: the top level needs the key 'nodes'",
                "nodes.yaml:1:1: the top level has no key 'meta'; this is a key of a batch's file: `dis",
                "nodes.yaml:2:1: the top level has no key 'python'; this is a key of a batch's file",
            ],
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: list[str], written: Path) -> None:
    written.write_text(text)
    with pytest.raises(InputError) as caught:
        load_nodes_file(written)
    assert len(caught.value.problems) == len(told)
    for line in told:
        assert any(problem.startswith(line) for problem in caught.value.problems), caught.value.problems


def test_a_file_that_is_not_there_is_named(written: Path) -> None:
    with pytest.raises(
        InputError, match=r"nodes\.yaml: there is no such file; write the path of a file with"
    ):
        load_nodes_file(written)
