"""Several readers of events are read as one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from distribute.merging import Reading, merged
from distribute.ports import Raw


def raw(seq: int) -> Raw:
    return Raw(seq, 0.0, b"")


class Chunks:
    """A reader, which notes when it is begun and closed."""

    def __init__(self, seqs: Sequence[int], size: int) -> None:
        self.seqs = seqs
        self.is_begun = self.is_closed = False
        self._size = size

    async def read(self) -> AsyncGenerator[Sequence[Raw], None]:
        self.is_begun = True
        try:
            for at in range(0, len(self.seqs), self._size):
                yield [raw(seq) for seq in self.seqs[at : at + self._size]]
        finally:
            self.is_closed = True


def reading(chunks: Chunks) -> Reading[Raw]:
    return Reading(chunks.seqs[0] if chunks.seqs else 1, chunks.read())


@given(st.lists(st.tuples(st.sets(st.integers(1, 60)), st.integers(1, 5)), max_size=5))
async def test_every_sequence_comes_once_and_in_order(lists: list[tuple[set[int], int]]) -> None:
    readers = [Chunks(sorted(seqs), size) for seqs, size in lists]
    found = [one.seq async for some in merged(map(reading, readers)) for one in some]
    assert found == sorted(set[int]().union(*(seqs for seqs, _ in lists)))
    assert all(reader.is_closed for reader in readers)


async def test_a_reader_is_begun_only_when_its_first_event_is_due() -> None:
    early, late = Chunks([1, 2, 3], 1), Chunks([3, 4], 2)
    events = merged([reading(early), reading(late)])
    assert [one.seq for one in await anext(events)] == [1]
    assert not late.is_begun
    rest = [one.seq async for some in events for one in some]
    assert rest == [2, 3, 4]


async def test_whoever_stops_early_closes_all_readers() -> None:
    readers = [Chunks([1, 5], 1), Chunks([2, 6], 1)]
    events = merged(map(reading, readers))
    for _ in range(3):
        await anext(events)
    await events.aclose()
    assert all(reader.is_closed for reader in readers)
