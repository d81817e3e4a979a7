"""The users of a group may pause a node at its computer, if the node's settings say so."""

from __future__ import annotations

import grp
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from distribute.core.errors import InputError
from distribute_services.node_runner.host.pause_group import let_in


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Path]:
    """The folder of a keeper that listens."""
    folder = tmp_path / "keeper"
    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "build.socket"))
        (folder / "build.socket").chmod(0o600)
        yield folder


def modes(folder: Path) -> list[tuple[int, int]]:
    """Group and mode of a keeper's folder and of its socket."""
    found = (folder.stat(), (folder / "build.socket").stat())
    return [(one.st_gid, stat.S_IMODE(one.st_mode)) for one in found]


def test_a_group_gets_to_the_socket_and_sees_nothing_else(keeper: Path) -> None:
    own = grp.getgrgid(os.getgid())
    let_in(own.gr_name, keeper)
    assert modes(keeper) == [(own.gr_gid, 0o710), (own.gr_gid, 0o660)]


def test_a_group_that_is_not_there_is_an_error(keeper: Path) -> None:
    before = modes(keeper)
    with pytest.raises(InputError, match="pause_group: this computer has no group 'no such group'"):
        let_in("no such group", keeper)
    assert modes(keeper) == before


def test_a_folder_on_the_way_that_is_closed_to_the_group_is_named(
    keeper: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper.parent.chmod(0o700)
    name = grp.getgrgid(os.getgid()).gr_name
    let_in(name, keeper)
    assert f"'{name}' can't pause this node: {keeper.parent} is closed to it" in caplog.text
