"""The machine as it is: what lies in the current folder, and what a process inherits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from acceptance.person import Person


@pytest.fixture
def jane(tmp_path: Path) -> Person:
    """A person without a cluster."""
    return Person(tmp_path)


def test_python_files_in_the_current_folder_are_left_alone(jane: Person) -> None:
    """They have the names of every module that we could import, and say so if they run."""
    for module in {*sys.stdlib_module_names, "nats", "orjson", "psutil", "pydantic", "rich", "typer", "yaml"}:
        (jane.home / f"{module}.py").write_text(f"open('ran', 'a').write({module!r})\nraise SystemExit(9)\n")
    jane.runs("up", "--detach")
    try:
        jane.runs("add", jane.writes("sweep", {"a": "echo hello"}), "--wait")
        assert jane.runs("logs", "jane/sweep/a").stdout == "hello\n"
    finally:
        jane.runs("down")
    assert not (jane.home / "ran").exists()
