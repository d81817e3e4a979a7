"""The stored form of a large submission: blocks of jobs, so that no reader has to decode it at once.

Decoding 100,000 jobs in one go blocks an event loop for more than a second. Here the event without its jobs
comes first, then the jobs in blocks. Each of these frames is JSON compressed with zlib, behind its length.
Before the first frame come `MARK`, which begins no other stored form, and the number of frames. Numbers have
four bytes, big-endian. A reader decodes one block at a time, and keeps the others compressed if it does not
need them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence

import orjson
from pydantic import TypeAdapter, ValidationError

from distribute.core.errors import InputError, UnreadableEvent
from distribute.core.frozen import LATER
from distribute.core.log.events import Submitted
from distribute.core.spec.specs import ApptainerJob, CommandJob, Job, JobsSeen, PythonJob
from distribute.core.words import format_size

MARK = b"\x01"

BLOCK_JOBS = 1000
"""Max. jobs in a block. Decoding that many takes 10 ms (measured)."""

MAX_BLOCK_BYTES = 1 << 20
"""Max. bytes of JSON in a block, and so of a job."""

_FULL_BLOCK_BYTES = 256 << 10
"""No further job is added to a block if that would make it larger than this."""

_NUMBER = struct.Struct(">I")


_JOBS: dict[str, TypeAdapter[tuple[Job, ...]]] = {
    "python": TypeAdapter(tuple[PythonJob, ...], config=LATER),
    "command": TypeAdapter(tuple[CommandJob, ...], config=LATER),
    "apptainer": TypeAdapter(tuple[ApptainerJob, ...], config=LATER),
}


def encode_in_blocks(event: Submitted) -> tuple[bytes, Iterator[bytes]]:
    """The JSON of the event without its jobs, and of each block of jobs. Pass them to `join_frames`.

    Raises:
        InputError: one of the jobs is larger than a block may be. Raised by the iterator.
    """
    bare = with_jobs(event, ())
    return bare.__pydantic_serializer__.to_json(bare, exclude_none=True), _blocks(event)


def _blocks(event: Submitted) -> Iterator[bytes]:
    block: list[bytes] = []
    size = 0
    for job in event.spec.work.jobs:
        text = job.__pydantic_serializer__.to_json(job, exclude_none=True)
        if len(text) + len(b"[]") > MAX_BLOCK_BYTES:
            raise InputError(
                f"{event.scope}: the description of job {job.name!r} takes {format_size(len(text))}, and "
                f"may take {format_size(MAX_BLOCK_BYTES)}: write files that many jobs need under initialize"
            )
        if len(block) == BLOCK_JOBS or (block and size + len(text) > _FULL_BLOCK_BYTES):
            yield b"[%b]" % b",".join(block)
            block, size = [], 0
        block.append(text)
        size += len(text) + 1
    yield b"[%b]" % b",".join(block)


def join_frames(texts: Iterable[bytes]) -> bytes:
    """The stored form of these JSON texts: first the head, then the blocks."""
    frames = [zlib.compress(text, 6) for text in texts]
    return b"".join(
        (MARK, _NUMBER.pack(len(frames)), *(_NUMBER.pack(len(frame)) + frame for frame in frames))
    )


def split_frames(data: bytes) -> tuple[bytes, list[bytes]]:
    """The head and the blocks of a stored submission, each still compressed.

    Raises:
        UnreadableEvent: it is cut short, runs on, or has no block.
    """
    frames: list[bytes] = []
    at = len(MARK)
    try:
        count = _NUMBER.unpack_from(data, at)[0]
        at += _NUMBER.size
        while at < len(data):
            start = at + _NUMBER.size
            at = start + _NUMBER.unpack_from(data, at)[0]
            frames.append(data[start:at])
    except struct.error:
        raise UnreadableEvent("a submission in blocks is cut short") from None
    if at != len(data) or len(frames) != count or count < 2:
        raise UnreadableEvent("a submission in blocks is cut short, or has no block")
    return frames[0], frames[1:]


def inflate(data: bytes, most: int) -> bytes:
    """Decompress a zlib stream.

    Raises:
        UnreadableEvent: it is damaged, or larger than `most` bytes. Decompresses no more than that.
    """
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, most + 1)
    except zlib.error as error:
        raise UnreadableEvent(f"a compressed event is damaged: {error}") from error
    if not inflater.eof or inflater.unused_data or len(body) > most:
        raise UnreadableEvent("a compressed event is cut short, runs on, or is larger than any event may be")
    return body


def inflate_block(frame: bytes) -> bytes:
    """The JSON of a block: an array of jobs. Raises `UnreadableEvent`."""
    return inflate(frame, MAX_BLOCK_BYTES)


def head_with(head: bytes, jobs: Iterable[bytes]) -> bytes:
    """The JSON of a submission with the jobs of these blocks.

    Raises:
        UnreadableEvent: `head` is not that of a submission, or `jobs` are not blocks.
    """
    try:
        event = orjson.loads(head)
        found = [job for block in jobs for job in orjson.loads(block)]
        event["spec"]["work"]["jobs"] = found
        return orjson.dumps(event)
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableEvent(f"not a submission in blocks: {type(error).__name__}: {error}") from None


def first_job(block: bytes) -> bytes:
    """A block that has only the first job of `block`.

    Raises:
        UnreadableEvent: it has none.
    """
    try:
        return orjson.dumps([orjson.loads(block)[0]])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise UnreadableEvent(f"not a block of jobs: {type(error).__name__}: {error}") from None


def decode_block(kind: str, block: bytes) -> tuple[Job, ...]:
    """Decode the jobs of a block, for this kind of work.

    Raises:
        UnreadableEvent: they are none, or too many.
    """
    try:
        jobs: tuple[Job, ...] = _JOBS[kind].validator.validate_json(block)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableEvent(f"not a valid 'submitted' event: jobs: {where}: {first['msg']}") from None
    if len(jobs) > BLOCK_JOBS:
        raise UnreadableEvent(f"a block of {len(jobs)} jobs; {BLOCK_JOBS} are allowed")
    return jobs


def with_blocks(event: Submitted, blocks: Iterable[bytes]) -> Generator[None, None, Submitted]:
    """The event with the jobs of these blocks instead of its own. Yields after each block.

    Raises:
        UnreadableEvent: the jobs do not fit the event.
    """
    jobs: list[Job] = []
    seen = JobsSeen()
    for block in blocks:
        found = decode_block(event.spec.work.kind, block)
        try:
            seen.add(found)
        except ValueError as error:
            raise UnreadableEvent(f"not a valid 'submitted' event: {error}") from None
        jobs.extend(found)
        yield
    return with_jobs(event, jobs)


def with_jobs(event: Submitted, jobs: Sequence[Job]) -> Submitted:
    """The event with these jobs instead of its own. They are not checked."""
    work = event.spec.work.model_copy(update={"jobs": tuple(jobs)})
    return event.model_copy(update={"spec": event.spec.model_copy(update={"work": work})})
