"""docs/what-happened.md shows what its commands print of a batch with much trouble."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from acceptance.lab import Lab
from acceptance.pages import ROOT
from acceptance.troubled import NODE, open_troubled_lab, run_troubled_batch, submit_again
from distribute.core.words import rfc3339

PAGE = (ROOT / "docs" / "what-happened.md").read_text()
SHOWN = re.findall(r"^\$ distribute ([^\n]+)\n(.*?)(?=^\$ |^```)", PAGE, re.MULTILINE | re.DOTALL)
"""Each command of the page, and what it prints there."""

DELETED = "jane deleted lab/cavity"
"""What tells of this was printed after the batch was deleted, and another submitted."""


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with open_troubled_lab(tmp_path / "lab") as lab:
        yield lab


def shape(line: str) -> str:
    """A line without what differs from run to run: figures, times, days, and how columns are aligned."""
    line = line.replace(NODE, "ws07")
    line = re.sub(r"\b\d{4}-\d\d-\d\d (?=\d\d:)", "", line)  # only times of another day have the day
    line = re.sub(r"\b[A-Z][a-z]+day\b", "DAY", re.sub(r"(?<=\s)-(?=\s|$)", "0", line))
    line = re.sub(r"\d[\d.:,]*(?:[dhms]\d*|[KMG]B?|%)*", "N", re.sub(r"\bre\d+\b|\bws07\b", _kept, line))
    return " ".join(line.split())


def _kept(name: re.Match[str]) -> str:
    """A name with a digit, which is no figure."""
    return "".join(chr(ord(char) + 0x2080 - 0x30) if char.isdecimal() else char for char in name[0])


async def typed(lab: Lab, command: str) -> list[str]:
    """A command of the page as it is typed in this lab, with its node, a moment and a file of its own."""
    paused = await lab.event("paused", node=NODE)
    moment = rfc3339(paused.time + 0.1)
    command = re.sub(r"--at \S+", f"--at {moment}", command).replace("ws07", NODE)
    return shlex.split(command.replace("cavity.log.gz", str(lab.folder / "cavity.log.gz")))


async def test_each_command_prints_what_the_page_shows(lab: Lab) -> None:
    """More lines may come between, such as that a short job started: on a busy computer it takes longer."""
    assert SHOWN
    await run_troubled_batch(lab)
    is_deleted = False
    for command, lines in SHOWN:
        if DELETED in lines and not is_deleted:
            is_deleted = True
            await submit_again(lab)
        said = await lab.distribute(*await typed(lab, command))
        out = (said.out + said.err).replace(f"{lab.folder}/", "")
        printed = iter([shape(line) for line in out.splitlines()])
        for line in lines.splitlines():
            wanted = shape(line)  # a table may have a column more, of memory that short jobs needed
            assert any(found.startswith(wanted) for found in printed), (
                f"{command}: {line!r} is not in\n{said.out}{said.err}"
            )
