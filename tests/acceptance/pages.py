"""The blocks of commands in README.md and docs/, as a person pastes them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```sh *([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str]]:
    """The blocks of a page that are for a shell: the words behind `sh`, and the commands."""
    return [(words, commands) for words, commands in _BLOCK.findall((ROOT / page).read_text())]
