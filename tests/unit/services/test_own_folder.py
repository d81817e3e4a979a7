"""A node-runner locks its working folder, or says why it can't."""

from __future__ import annotations

from pathlib import Path

import pytest

from distribute.core.errors import InputError
from distribute_services.node_runner.disk.own_folder import OwnFolder


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("file", "something of that name is there already"),
        ("file/below", "a part of its path is not a folder"),
        ("/proc/none", "there is no such file or folder"),
    ],
)
def test_a_folder_that_can_not_be_made_is_reported_with_a_remedy(
    where: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    told = (
        rf"{where}: can't be used as working folder: {why}; name another folder, with work_dir in node\.yaml"
    )
    with pytest.raises(InputError, match=told), OwnFolder(tmp_path / where):
        pass


def test_a_folder_belongs_to_one_runner_and_keeps_its_identity(tmp_path: Path) -> None:
    with OwnFolder(tmp_path / "new/work") as folder:
        identity = folder.identity
        with (
            pytest.raises(InputError, match=r"another node-runner works in .*work: end it, or name another"),
            OwnFolder(folder.path),
        ):
            pass
    with OwnFolder(tmp_path / "new/work") as again:
        assert again.identity == identity != ""
