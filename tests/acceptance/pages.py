"""The blocks of commands in README.md and docs/, as a person pastes them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```sh *([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, whose: str = "") -> list[str]:
    """The blocks of a page that are for somebody's shell: those marked with `sh` and this word."""
    found = _BLOCK.findall((ROOT / page).read_text())
    return [commands for marked, commands in found if marked == whose]
