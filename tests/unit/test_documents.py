"""docs/ agree with the code."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import get_args

import pytest

from distribute.core.views import NodeCondition
from distribute_cli.commands.status import BATCH_STATES, JOB_STATES

ROOT = Path(__file__).parents[2]


def described(heading: str) -> list[str]:
    """The states in the table under a heading of docs/states.md, in its order."""
    section = (ROOT / "docs" / "states.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


@pytest.mark.parametrize(
    ("heading", "states"),
    [("Of a batch", BATCH_STATES), ("Of a job", JOB_STATES), ("Of a node", get_args(NodeCondition))],
)
def test_every_state_is_described_once(heading: str, states: Collection[str]) -> None:
    assert sorted(described(heading)) == sorted(states)
