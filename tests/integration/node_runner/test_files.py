"""Folders are copied and removed by programs, which end with whoever waits for them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from distribute_services.node_runner.disk import files
from distribute_services.node_runner.keeper.procfs import children

WITHIN_S = 60.0


@pytest.mark.parametrize("turns", range(8))
async def test_who_is_cancelled_just_when_the_program_has_ended_is_cancelled(
    turns: int, tmp_path: Path
) -> None:
    """At whatever turn of the loop that is; at last, the task is done before."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    others = set(children(os.getpid()))  # what earlier tests started may end meanwhile
    task = asyncio.create_task(files._output("cat", str(gate)))
    async with asyncio.timeout(WITHIN_S):
        while not (program := set(children(os.getpid())) - others):  # noqa: ASYNC110 - one look each turn
            await asyncio.sleep(0)
        (await asyncio.to_thread(gate.open, "wb")).close()  # it opens when the program reads
        while program & set(children(os.getpid())):  # noqa: ASYNC110
            await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    if task.done():
        assert task.result() == (0, b"", b"")
    else:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_folder_without_rights_is_removed(tmp_path: Path) -> None:
    locked = tmp_path / "slot" / "locked"
    locked.mkdir(parents=True)
    (locked / "file").touch()
    locked.chmod(0)
    await files.remove_folder(tmp_path / "slot")
    assert not (tmp_path / "slot").exists()
