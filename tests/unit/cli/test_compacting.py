"""What `admin compact` prints while batches are compacted, and if it is interrupted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from client_kit import MemoryCluster, ReplacedLog
from distribute.core.errors import Refused
from distribute.memory.queries import MemoryQueries
from distribute.testing import builders as make
from distribute_cli.commands.admin import compact
from distribute_cli.output.form import Output
from distribute_cli.output.plain_output import JsonOutput
from distribute_cli.output.table_output import TableOutput
from distribute_cli.session import Session, Where

NAMES = ("first", "second", "third")


class MemorySession(Session):
    """A session with a cluster in memory, whose archiver waits at the batch `stuck`."""

    def __init__(
        self, output: Output, folder: Path, *, refuses: tuple[str, ...] = (), stuck: str = ""
    ) -> None:
        super().__init__(Where(), output)
        self.begun = asyncio.Event()
        self._cluster = MemoryCluster(folder)
        self._cluster.log = ReplacedLog(clock=make.EPOCH.timestamp)
        self._cluster.queries = MemoryQueries()  # type: ignore[assignment]
        self._refuses = refuses
        self._stuck = stuck

    @asynccontextmanager
    async def cluster(self, **_: Any) -> AsyncIterator[Any]:
        for name in NAMES:
            spec = make.batch(1, batch=name)
            killed, over = make.kill_requested(spec), make.completed(spec, state="killed")
            await self._cluster.say(make.submitted(spec), killed, over, make.batch_archived(spec))
        async with self._cluster.queries.serving("compact", self._compact):
            yield self._cluster

    async def _compact(self, payload: bytes) -> bytes:
        name = orjson.loads(payload)["batch"]
        if name in self._refuses:
            raise Refused(f"lab/{name} runs again")
        if name == self._stuck:
            self.begun.set()
            await asyncio.Event().wait()
        return orjson.dumps({"events": 4, "size_bytes": 1000})


async def test_people_get_each_batch_as_it_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = MemorySession(TableOutput(), tmp_path, refuses=("second",))
    assert await compact(session, older_than="0.001s") == 4
    printed = capsys.readouterr()
    assert [line.split(":")[0] for line in printed.out.splitlines()] == [
        "lab/first is compacted",
        "lab/third is compacted",
    ]
    assert "lab/second runs again" in printed.err


@pytest.mark.parametrize("output", [TableOutput, JsonOutput])
async def test_what_was_compacted_before_an_interruption_is_told(
    output: type[Output], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = MemorySession(output(), tmp_path, stuck="second")
    compacting = asyncio.create_task(compact(session, older_than="0.001s"))
    async with asyncio.timeout(60):
        await session.begun.wait()
    compacting.cancel()  # as Ctrl-C does
    with pytest.raises(asyncio.CancelledError):
        await compacting
    printed = capsys.readouterr()
    if output is JsonOutput:
        document = json.loads(printed.out)
        assert [(one["batch"], one["events"]) for one in document["compacted"]] == [("first", 4)]
    else:
        assert printed.out.startswith("lab/first is compacted: 4 events moved into ")
        assert printed.out.count("\n") == 1
        assert "the archiver may still compact lab/second: run this again to see to the rest" in printed.err


@pytest.mark.parametrize("output", [TableOutput, JsonOutput])
async def test_if_all_are_refused_people_get_no_empty_line(
    output: type[Output], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = MemorySession(output(), tmp_path, refuses=NAMES)
    assert await compact(session, older_than="0.001s") == 4
    printed = capsys.readouterr()
    assert printed.err.count("runs again") == len(NAMES)
    if output is JsonOutput:
        assert json.loads(printed.out) == {"compacted": [], "dry": False}
    else:
        assert printed.out == ""


async def test_a_dry_run_tells_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await compact(MemorySession(TableOutput(), tmp_path), older_than="0.001s", dry=True) == 0
    assert capsys.readouterr().out.count(" would be compacted: 1 job, over since ") == len(NAMES)
