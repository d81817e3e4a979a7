"""A submission that decodes a job only when it is needed.

A batch may have 100,000 jobs, which take 142 MB when decoded. A node runs only a few of them at a time. So
the blocks of a large submission stay compressed, beside an index of the jobs' names.

Measured for 100,000 jobs of 90 bytes of JSON each: reading takes 0.14 s, in slices of at most 4 ms, and 3.3
MB. Then a job takes 0.8 ms, and the job behind it 80 µs.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import orjson

from distribute.codec import decode_without_jobs
from distribute.core.errors import UnreadableEvent
from distribute.core.log.events import Submitted
from distribute.core.spec.specs import BatchSpec, InputFolder, Job, Scalar
from distribute.slices import in_slices
from distribute.submissions import decode_block, inflate_block, with_jobs


class Submission:
    """A batch's submission, whose jobs are decoded one at a time.

    `event` and `spec` are complete except for the jobs: they have only the first one.
    """

    def __init__(self, event: Submitted) -> None:
        self.event = event
        self.spec: BatchSpec = event.spec
        self._blocks: list[_Block] = []
        self._count = 0
        self._open: tuple[int, list[Any]] = (-1, [])
        """The last block that was read: its number and its jobs. It helps, as jobs are assigned in order."""

    @classmethod
    async def read(cls, payload: bytes) -> Submission:
        """Read the submission that the log stores as `payload`. Lets other tasks run after each block.

        Raises:
            UnreadableEvent: `payload` is not a submission.
        """
        return await in_slices(_read(payload))

    def job(self, name: str) -> Job | None:
        """The job of this name, decoded; None if the batch has none.

        Raises:
            UnreadableEvent: it is not a job of this kind of batch.
        """
        found = self._written_job(name)
        return None if found is None else decode_block(self.spec.work.kind, orjson.dumps([found]))[0]

    def has_job(self, name: str) -> bool:
        """Does the batch have a job of this name?"""
        return self._written_job(name) is not None

    def event_of(self, name: str) -> Submitted:
        """The event with only the job of this name, or with none if the batch lacks it. Raises as `job`."""
        job = self.job(name)
        return with_jobs(self.event, () if job is None else (job,))

    def parameters(self) -> Iterator[tuple[str, dict[str, Scalar]]]:
        """The parameters of each job that has some, with its name. Decodes only the blocks that have some."""
        for block in self._blocks:
            text = inflate_block(block.compressed)
            if b'"parameters"' in text:
                yield from (
                    (job["name"], job["parameters"]) for job in orjson.loads(text) if "parameters" in job
                )

    def checkouts(self) -> list[InputFolder]:
        """The inputs that are git commits, of the batch and of its jobs. Each is there once."""
        found = dict.fromkeys(folder for folder in self.spec.folders or () if folder.git is not None)
        written: dict[bytes, Any] = {}
        for block in self._blocks:
            text = inflate_block(block.compressed)
            if b'"git"' in text:
                for job in orjson.loads(text):
                    written |= {orjson.dumps(one): one for one in job.get("folders") or () if one.get("git")}
        found |= dict.fromkeys(InputFolder.model_validate(one) for one in written.values())
        return list(found)

    def __len__(self) -> int:
        """The number of jobs."""
        return self._count

    def _add(self, compressed: bytes) -> None:
        """Index the jobs of one more block."""
        try:
            digests = [_digest(job["name"]) for job in orjson.loads(inflate_block(compressed))]
        except (ValueError, TypeError, KeyError) as error:
            raise UnreadableEvent(f"a block of {self.spec.id} holds no jobs: {error!r}") from None
        order = sorted(range(len(digests)), key=digests.__getitem__)
        self._blocks.append(
            _Block(compressed, array("Q", [digests[place] for place in order]), array("I", order))
        )
        self._count += len(digests)

    def _written_job(self, name: str) -> Any:
        """The JSON of the job of this name; None if the batch has none."""
        wanted = _digest(name)
        for number, block in enumerate(self._blocks):
            for place in block.places(wanted):
                found = self._jobs_of(number)[place]
                if found["name"] == name:
                    return found
        return None

    def _jobs_of(self, number: int) -> list[Any]:
        if self._open[0] != number:
            self._open = number, orjson.loads(inflate_block(self._blocks[number].compressed))
        return self._open[1]


class _Block(NamedTuple):
    """A block of jobs: the digests of their names in ascending order, and the place of each job."""

    compressed: bytes
    digests: array[int]
    order: array[int]

    def places(self, digest: int) -> Iterator[int]:
        """The places of the jobs whose names have this digest."""
        at = bisect_left(self.digests, digest)
        while at < len(self.digests) and self.digests[at] == digest:
            yield self.order[at]
            at += 1


def _read(payload: bytes) -> Generator[None, None, Submission]:
    event, blocks = decode_without_jobs(payload)
    submission = Submission(event)
    for block in blocks:
        submission._add(block)
        yield
    return submission


def _digest(name: str) -> int:
    return hash(name) & 0xFFFF_FFFF_FFFF_FFFF
