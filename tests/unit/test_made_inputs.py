"""Where contents that a program made are kept until they are sent."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest

from distribute.core.errors import InputError
from distribute.inputs import made
from distribute.inputs.made import MadeContents
from distribute.scratch import temporary_place


def folders_of_unnamed_files() -> set[str]:
    """The folders in which this process has open files without a name."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the list itself
            target = descriptor.readlink()
            if target.name.endswith(" (deleted)"):
                found.add(str(target.parent))
    return found


def test_they_are_kept_in_the_folder_of_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    contents = MadeContents()
    contents.add(b"re = 100\n")
    contents.close_pack()
    assert str(tmp_path) in folders_of_unnamed_files()


def test_without_a_wish_of_the_person_that_is_on_a_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    contents = MadeContents()
    contents.add(b"re = 100\n")
    contents.close_pack()
    assert str(temporary_place()) in folders_of_unnamed_files()


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = tmp_path / "missing"
    monkeypatch.setattr(made, "temporary_place", lambda: missing)
    contents = MadeContents()
    contents.add(b"re = 100\n")
    with pytest.raises(InputError, match=f"can't be kept in {re.escape(str(missing))}: "):
        contents.close_pack()
