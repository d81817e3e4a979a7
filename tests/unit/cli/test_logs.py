"""What `logs` says beside the text that a job printed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from client_kit import MemoryCluster
from distribute.testing import builders as make
from distribute_cli.commands.logs import logs
from distribute_cli.output.table_output import TableOutput
from distribute_cli.session import Session, Where

RUNS = (make.joined(), make.submitted(), make.assigned(), make.claimed(), make.started())


@pytest.mark.parametrize("target", ["lab/sweep/job1", "sweep/job1"])
async def test_that_the_scheduler_is_silent_is_said_once(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    memory = MemoryCluster(tmp_path)
    await memory.say(*RUNS)

    class MemorySession(Session):
        @asynccontextmanager
        async def cluster(self, **_: Any) -> AsyncIterator[Any]:
            yield memory

    await logs(MemorySession(Where(), TableOutput()), target, follow=False, attempt=None)
    warning, hint = capsys.readouterr().err.splitlines()
    assert warning.startswith("distribute: the scheduler doesn't answer")
    assert hint == "lab/sweep/job1 has printed nothing yet: it is running on ws1"
