"""A lab of the first `distribute` moves by the commands that stand in docs/from-the-original.md."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.net_lab import Computer, net_lab, why_not
from acceptance.pages import ROOT, blocks

WHY_NOT = why_not()
PAGE = "docs/from-the-original.md"
ORIGINAL = {
    "add": "--ip --port --show-caps --dry",
    "template": "--output",
    "pull": "--ip --port --save-dir --dry --skip-folders --include --exclude",
    "kill": "--ip --port",
    "pause": "--duration",
    "server-status": "--ip --port",
    "node-status": "--nodes-file",
    "server": "--nodes-file --save-path --temp-dir --port --clean-output --matrix-config -p -c -m",
    "client": "--transport-port --keepalive-port --cancel-port --log-file -p -k -c -l",
    "help": "",
    "run": "--save-dir --clean-save",
    "slurm": "--cluster-username --cluster-address --cluster-upload-destination",
}
"""The commands of the first `distribute`, with their options."""


@pytest.fixture
def computers(tmp_path: Path) -> Iterator[dict[str, Computer]]:
    with net_lab(tmp_path, ["head", "ws07", "ws08"]) as computers:
        yield computers
        for name in ("ws07", "ws08", "head"):
            computers[name].ends()


@pytest.mark.skipif(WHY_NOT is not None, reason=f"needs network namespaces: {WHY_NOT}")
def test_a_lab_moves_by_the_commands_of_the_page(computers: dict[str, Computer]) -> None:
    head, node, person = computers["head"], computers["ws07"], computers["ws08"]
    head.begins(*blocks(PAGE, "head"))
    head.logged("the cluster is ready at nats://head:8952")
    node.begins(*blocks(PAGE, "node"))
    (typed,) = blocks(PAGE, "person")
    head.logged("each person types: export DISTRIBUTE_SERVER=nats://head:8952")
    said = person.pastes(typed)
    assert "lab/first_try is submitted: 1 job" in said
    assert int(said.splitlines()[-1]) >= 1
    found = json.loads(person.pastes("distribute node-status --json"))["nodes"]
    assert {row["node"]: row["state"] for row in found} == {"ws07": "idle", "ws08": "expected"}
    assert "gfortran" in found[0]["capabilities"]
    assert (node.home / "logs" / "output.log").exists()
    assert not (head.home / "server" / "tmp").exists()


@pytest.mark.parametrize("verb", ORIGINAL)
def test_every_command_and_option_of_the_original_is_on_the_page(verb: str) -> None:
    text = (ROOT / PAGE).read_text()
    assert f"`{verb}" in text
    rows = [line for line in text.splitlines() if re.match(rf"\| `{verb}\b", line)]
    for option in ORIGINAL[verb].split():
        assert any(re.search(rf"(?<![\w-]){option}\b", row) for row in rows), option


@pytest.mark.parametrize(
    "key",
    [
        "namespace", "batch_name", "matrix", "capabilities", "build_file", "file", "sif", "required_files",
        "alias", "required_mounts", "slurm", "name", "ip", "transport_port", "keepalive_port", "cancel_port",
    ],
)  # fmt: skip
def test_every_key_of_the_originals_files_is_on_the_page(key: str) -> None:
    keys = (ROOT / PAGE).read_text().partition("## Files")[2].partition("## Folders")[0]
    assert re.search(rf"[`.\[\]{{ ]{key}[`:, ]", keys)
