"""A snapshot that is written in slices shows one moment, whatever is folded meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from core_kit import of
from distribute import snapshot_writer
from distribute.core.log.events import Assigned, KillRequested, Submitted
from distribute.core.state.batch_record import seal
from distribute.core.state.packed import Record
from distribute.core.state.state import State
from distribute.snapshot import dump, join_records
from distribute.snapshot_writer import SnapshotWriter
from distribute.testing import builders as make
from unit.core.test_snapshot import busy_lab


def of_batches(*names: str) -> State:
    state = State()
    make.happen(make.joined("ws1"), state=state)
    make.happen(*(make.submitted(make.batch(3, batch=name)) for name in names), state=state)
    return state


def submitted(name: str) -> Submitted:
    return make.submitted(make.batch(1, batch=name))


async def written(writer: SnapshotWriter, state: State) -> bytes:
    return join_records((await writer.records(state)).all())


async def test_the_writer_gives_the_same_bytes_as_dump() -> None:
    for state in (busy_lab().state, State()):
        assert await written(SnapshotWriter(), state) == dump(state)


async def test_a_snapshot_lacks_events_that_are_folded_while_it_is_written() -> None:
    state = of_batches("a", "b", "c")
    before = dump(state)
    writer = SnapshotWriter()
    writing = asyncio.create_task(written(writer, state))
    await asyncio.sleep(0)
    assert writer._unwritten, "nothing is left to change"
    c = make.batch(3, batch="c")
    of_nodes = (make.build_finished("ws1", c), make.leaving("ws1"))
    said: list[Assigned | KillRequested | Submitted] = [
        make.assigned(of("c")),
        make.kill_requested(make.batch(batch="b")),
        submitted("d"),
    ]
    for event in said:
        await writer.before_change([event.batch_id])
        make.happen(event, state=state)
    make.happen(*of_nodes, state=state)
    assert await writing == before
    assert await written(writer, state) == dump(state) != before


async def test_a_snapshot_has_a_batch_that_is_deleted_while_it_is_written() -> None:
    state = of_batches("a", "b", "c")
    b = make.batch(3, batch="b")
    make.happen(make.kill_requested(b), make.completed(b, state="killed"), state=state)
    before = dump(state)
    writer = SnapshotWriter()
    writing = asyncio.create_task(written(writer, state))
    await asyncio.sleep(0)
    await writer.before_change([b.id])
    make.happen(make.deleted(b), submitted("b"), state=state)
    assert await writing == before
    assert await written(writer, state) == dump(state)


async def test_the_writer_makes_only_changed_records_again(monkeypatch: pytest.MonkeyPatch) -> None:
    state = of_batches("a", "b", "c")
    writer = SnapshotWriter()
    await written(writer, state)
    made: list[Record] = []

    def noted(pieces: list[bytes]) -> Record:
        made.append(seal(pieces))
        return made[-1]

    monkeypatch.setattr(snapshot_writer, "seal", noted)
    make.happen(make.assigned(of("b")), state=state)
    assert await written(writer, state) == dump(state)
    assert len(made) == 2, "the batch's second record, and that of all that is no batch"
    make.happen(submitted("d"), state=state)
    assert await written(writer, state) == dump(state)
    assert len(made) == 5


async def test_before_change_does_not_wait_while_nothing_is_written() -> None:
    writer = SnapshotWriter()
    state = of_batches("a")
    await written(writer, state)
    waiting = writer.before_change([make.batch(batch="a").id])
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_compression_runs_in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def noted(pieces: list[bytes]) -> Record:
        threads.append(threading.get_ident())
        return seal(pieces)

    monkeypatch.setattr(snapshot_writer, "seal", noted)
    await written(SnapshotWriter(), of_batches("a"))
    assert threads
    assert threading.get_ident() not in threads


async def test_a_write_after_a_cancelled_one_is_right() -> None:
    state = of_batches("a", "b", "c")
    writer = SnapshotWriter()
    writing = asyncio.create_task(written(writer, state))
    await asyncio.sleep(0)
    writing.cancel()
    await asyncio.wait([writing])
    make.happen(make.assigned(of("a")), make.assigned(of("b")), state=state)
    assert await written(writer, state) == dump(state)
