"""README.md and docs/ agree with the code and with each other."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import get_args

import pytest

from distribute.config.sections.units import format_duration, format_size
from distribute.config.settings.settings import NodeSettings
from distribute.core.scheduling.liveness import Lease
from distribute.core.views.views import NodeCondition
from distribute.nats.broker.embedded import _LOG_BYTES
from distribute.nats.client.connect import _PING_INTERVAL_S
from distribute_cli.commands.status import BATCH_STATES, JOB_STATES
from distribute_services import logs
from distribute_services.node_runner.disk.room import KEEP_FREE_BYTES

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = [target for target, _ in _LINK.findall(page.read_text())]
    assert [target for target in links if not (page.parent / target).exists()] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent == ROOT / "docs"], ids=lambda page: page.name
)
def test_every_page_can_be_found_from_the_readme(page: Path) -> None:
    linked = {target for target, _ in _LINK.findall((ROOT / "README.md").read_text())}
    assert f"docs/{page.name}" in linked


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_of_code_that_a_page_names_exist(page: Path) -> None:
    text = re.sub(r"^## Where planned things go$.*?(?=^## )", "", page.read_text(), flags=re.M | re.S)
    named = re.findall(r"`((?:shared|services|cli|tests|infra|docs)/[\w./-]+)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_sizes_and_times_of_the_page_for_a_lab_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "lab.md").read_text()
    lease = Lease()
    for words in (
        f"{(logs.KEPT_FILES + 1) * logs.MAX_BYTES >> 20} MiB each",
        f"renamed at {logs.MAX_BYTES >> 20} MiB",
        f"{_LOG_BYTES >> 20} MiB, and two older ones",
        f"`max_cache`, {format_size(NodeSettings().max_cache_bytes)}",
        f"`keep_free` ({format_size(KEEP_FREE_BYTES)})",
        f"carries something every {'ten' if _PING_INTERVAL_S == 10 else _PING_INTERVAL_S} seconds",
        f"lost: silent for {format_duration(lease.lost_after_s)};",
    ):
        assert words in page
