"""A batch of calls, in a log in which anyone may write."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from client_kit import JANE, MemoryCluster
from distribute.executor import batch_run
from distribute.executor.batch_run import BatchRun
from distribute.executor.calls import Call
from distribute.testing import builders as make


class Deaf:
    """Hears what becomes of the calls, and does nothing."""

    def started(self) -> None: ...

    def took(self, calls: Any, seconds: Any) -> None: ...

    def not_begun(self, calls: Any) -> None: ...


async def test_a_batch_of_calls_is_killed_also_behind_a_forged_deletion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, spec = MemoryCluster(tmp_path), make.batch(1)
    call = Call(Future(), b"function", b"arguments")
    run = BatchRun(cluster, JANE, spec, [[call]], Deaf(), keeps=True)

    async def submit(*_: Any) -> None:
        await cluster.say(make.submitted(spec), make.deleted(spec))

    monkeypatch.setattr(batch_run, "submit", submit)
    running = asyncio.create_task(run.run({}))
    async with asyncio.timeout(10):
        while run._story.state is None:  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0)
        await run.kill()
    assert cluster.types() == ["submitted", "deleted", "kill_requested"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
