"""Finding the keepers of this computer among its processes."""

from __future__ import annotations

import os
from pathlib import Path

from distribute.client.keepers import PROGRAM, Keeper, keepers


def process(proc: Path, pid: int, *words: str) -> None:
    """Add a process with this command line."""
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in words))


def keeper(proc: Path, pid: int, folder: str, build: str = "b1") -> None:
    process(proc, pid, "/usr/bin/python3", "-P", "-m", PROGRAM, folder, "--serve", build, "3")


def test_keepers_are_found_by_their_command_lines(tmp_path: Path) -> None:
    keeper(tmp_path, 20, "/ws2/keeper")
    keeper(tmp_path, 10, "/ws1/keeper")
    process(tmp_path, 30, "grep", PROGRAM)
    process(tmp_path, 40, "/usr/bin/python3", "-P", "-m", PROGRAM, "/ws1/keeper")
    (tmp_path / "sys").mkdir()
    found = [Keeper(folder, "b1.socket", os.getuid()) for folder in ("/ws1/keeper", "/ws2/keeper")]
    assert keepers(tmp_path) == found


def test_a_keeper_that_starts_a_process_is_found_once(tmp_path: Path) -> None:
    """That process has the command line of the keeper until it begins its own program."""
    for pid in (10, 11):
        keeper(tmp_path, pid, "/ws1/keeper")
    assert len(keepers(tmp_path)) == 1


def test_an_older_keeper_of_a_node_is_found_beside_the_new_one(tmp_path: Path) -> None:
    for pid, build in ((10, "b1"), (11, "b2")):
        keeper(tmp_path, pid, "/ws1/keeper", build)
    assert [found.socket for found in keepers(tmp_path)] == ["b1.socket", "b2.socket"]
