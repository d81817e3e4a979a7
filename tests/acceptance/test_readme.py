"""The README's commands work as they are pasted, by somebody who has only the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from acceptance.pages import ROOT, blocks

NOT_OF_THE_CHECKOUT = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "tests"
)
NO_INDEX = ("No matching distribution found", "Failed to establish a new connection")
PYTHON = Path(sys.executable).resolve().parent
SECONDS = 1200
LINES_OF_THE_FIRST_MINUTE = 10
NEW_SHELL = ". ~/.distribute/bin/activate\n"
"""What the README says to type first in a new shell."""


class Newcomer:
    """Somebody with a fresh home, a Python, and a copy of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        shutil.copytree(ROOT, self.checkout, ignore=NOT_OF_THE_CHECKOUT)
        self.home = folder / "home"
        self.home.mkdir()
        hidden = ("DISTRIBUTE_", "XDG_", "VIRTUAL_ENV", "PYTHON")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        self._environment = kept | {
            "HOME": str(self.home),
            "PATH": f"{PYTHON}:/usr/local/bin:/usr/bin:/bin",
        }

    def pastes(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run commands in a new shell, up to the first that fails."""
        return subprocess.run(
            ["bash", "-e", "-c", commands],
            cwd=self.checkout,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    person = Newcomer(tmp_path)
    yield person
    if (person.home / ".distribute").exists():
        ended = person.pastes(f"{NEW_SHELL}distribute down")
        assert ended.returncode == 0, ended.stderr


def test_the_first_minute_is_ten_lines() -> None:
    commands = blocks("README.md")[0]
    assert commands.count("\n") <= LINES_OF_THE_FIRST_MINUTE


def test_the_commands_of_the_readme_work_as_pasted_each_block_in_a_new_shell(newcomer: Newcomer) -> None:
    first, *others = blocks("README.md")
    done = newcomer.pastes(first)
    if any(words in done.stderr for words in NO_INDEX):
        pytest.skip("pip reaches no package index here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stdout.txt <==\n") == 2, done.stdout
    for commands in others:
        done = newcomer.pastes(NEW_SHELL + commands)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    tables = sorted((newcomer.home / "first" / "walk").glob("*/walk.csv"))
    assert len(tables) == 12
    assert not (newcomer.home / ".config").exists()
