"""Submissions in blocks: readers decode one block at a time, and all read the same."""

import asyncio
import zlib
from collections.abc import Mapping

import pytest

from distribute import codec, submissions, upcasters
from distribute.codec import decode, decode_in_slices, encode
from distribute.core.errors import InputError, UnreadableEvent
from distribute.core.log.events import Submitted
from distribute.core.slices import at_once
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, Resources
from distribute.submissions import BLOCK_JOBS, MARK, join_frames, split_frames, with_blocks
from distribute.testing import builders as make


def large(jobs: int = 2500) -> Submitted:
    """A submission of jobs that differ in everything a job can."""
    return make.submitted(
        make.batch(
            [
                make.job(
                    f"job{n}", resources=Resources(cpus=1 + n % 3) if n % 2 else None, retries=n % 4 or None
                )
                for n in range(jobs)
            ]
        )
    )


def stored(event: Submitted, *blocks: bytes) -> bytes:
    """The event in blocks, with these instead of its own."""
    head = inflated(encode(large()))[0]
    return join_frames([head, *blocks])


def inflated(data: bytes) -> list[bytes]:
    head, blocks = split_frames(data)
    return [zlib.decompress(frame) for frame in (head, *blocks)]


def test_a_large_submission_is_stored_in_blocks_and_read_by_everyone_alike() -> None:
    event = large()
    data = encode(event)
    assert data.startswith(MARK)
    assert len(split_frames(data)[1]) == 3
    assert decode(data) == event
    assert asyncio.run(decode_in_slices(data)) == event
    assert encode(decode(data)) == data


@pytest.mark.parametrize("kind", ["python", "apptainer"])
def test_every_kind_of_work_has_blocks(kind: str) -> None:
    file = {"alias": "a", "sha256": "0" * 64, "size_bytes": 1}
    extra = {"script": file} if kind == "python" else {}
    work = {
        "kind": kind,
        "jobs": [{"name": f"job{n}", **extra} for n in range(BLOCK_JOBS + 1)],
        **({"build": file} if kind == "python" else {"image": file}),
    }
    event = make.submitted(BatchSpec.model_validate({"namespace": "lab", "batch": "sweep", "work": work}))
    assert encode(event).startswith(MARK)
    assert decode(encode(event)) == event


def test_few_jobs_that_are_large_are_in_blocks_too() -> None:
    event = make.submitted(make.batch([make.job(f"job{n}", command="x" * 200_000) for n in range(9)]))
    data = encode(event)
    assert len(split_frames(data)[1]) == 9
    assert decode(data) == event


def test_other_tasks_run_between_blocks() -> None:
    async def turns() -> int:
        reading = asyncio.create_task(decode_in_slices(encode(large())))
        count = 0
        while not reading.done():
            count += 1
            await asyncio.sleep(0)
        return count

    assert asyncio.run(turns()) >= 3


def test_a_job_too_large_for_any_block_is_not_written() -> None:
    jobs = [make.job("small"), make.job("big", command="x" * submissions.MAX_BLOCK_BYTES)]
    with pytest.raises(InputError, match="may take 1M: write files that many jobs need under initialize"):
        encode(make.submitted(make.batch(jobs)))


def test_a_submission_larger_than_any_may_be_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec._Budget.__init__, "__defaults__", (1 << 16, 1 << 30))
    with pytest.raises(InputError, match="of JSON; 64K are allowed: submit several smaller batches"):
        encode(large())


def test_a_submission_larger_than_any_may_be_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(large())
    monkeypatch.setattr(codec._Budget.__init__, "__defaults__", (1 << 30, 5000))
    with pytest.raises(UnreadableEvent, match="JSON values; 5000 are allowed"):
        decode(data)


def test_every_cut_is_noticed() -> None:
    data = encode(large())
    behind_each_frame = [len(join_frames(inflated(data)[:count])) for count in range(4)]
    for size in (1, 2, 5, *behind_each_frame, len(data) // 2, len(data) - 1):
        with pytest.raises(UnreadableEvent):
            decode(data[:size])
    with pytest.raises(UnreadableEvent):
        decode(data + b"x")


BLOCK = b'[{"name":"job","command":"true"}]'
TWICE = "not a valid 'submitted' event: two jobs are called 'job'"


@pytest.mark.parametrize(
    ("blocks", "why"),
    [
        ([b"[]"], "not a block of jobs: IndexError"),
        ([b"{}"], "not a block of jobs: KeyError"),
        ([b"x"], "not a block of jobs: JSONDecodeError"),
        ([BLOCK, b"x"], "not a valid 'submitted' event: jobs: : Invalid JSON"),
        ([BLOCK, BLOCK], TWICE),
        ([BLOCK.replace(b"}]", b"},") + BLOCK[1:]], TWICE),
        ([BLOCK, b'[{"name":"../x","command":"true"}]'], "not a valid 'submitted' event: jobs: 0.name: "),
        ([BLOCK.replace(b"true", b'true","more":"')], "not a valid 'submitted' event: submitted.spec"),
        ([BLOCK, b" " * (1 << 21)], "a compressed event is cut short, runs on, or is larger than any event"),
        (
            [BLOCK, b"[%b]" % b",".join([b'{"name":"j%d","command":"x"}' % n for n in range(1001)])],
            "a block of",
        ),
    ],
)
def test_bytes_that_are_not_a_submission_are_refused(blocks: list[bytes], why: str) -> None:
    with pytest.raises(UnreadableEvent) as refused:
        decode(stored(large(), *blocks))
    assert str(refused.value).startswith(why)


def test_only_a_submission_is_stored_in_blocks() -> None:
    head = encode(make.claimed())
    for data in (join_frames([head, BLOCK]), join_frames([b"[]", BLOCK]), join_frames([b"x", BLOCK]), MARK):
        with pytest.raises(UnreadableEvent):
            decode(data)


def test_too_many_jobs_are_refused_before_all_are_read() -> None:
    event = make.submitted(make.batch(1))
    blocks = (
        b"[%b]" % b",".join(b'{"name":"j%d-%d","command":"x"}' % (n, m) for m in range(1000))
        for n in range(200)
    )
    with pytest.raises(UnreadableEvent, match="it has more than 100000 jobs"):
        at_once(with_blocks(event, blocks))
    assert next(blocks).startswith(b'[{"name":"j101-0"')


def test_a_submission_of_an_old_version_is_read_by_its_upcaster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Today there is none: a made-up one had `program` where jobs have `command` now."""

    def upcaster(body: dict[str, object]) -> Mapping[str, object]:
        spec = body["spec"]
        assert isinstance(spec, dict)
        jobs = [{"name": job["name"], "command": job["program"]} for job in spec["work"]["jobs"]]
        return body | {"v": 1, "spec": spec | {"work": spec["work"] | {"jobs": jobs}}}

    monkeypatch.setattr(upcasters, "UPCASTERS", {("submitted", 0): upcaster})
    head, *blocks = inflated(encode(make.submitted(make.batch(1500))))
    old = [head.replace(b'"v":1,"user"', b'"v":0,"user"')]
    old += [block.replace(b'"command"', b'"program"') for block in blocks]
    assert decode(join_frames(old)) == decode(join_frames([head, *blocks]))


def test_jobs_are_checked_across_blocks() -> None:
    jobs = tuple(
        CommandJob(name=f"job{n}", command="true", retries=n % 100, resources=Resources(cpus=1 + n))
        for n in range(300)
    )
    spec = BatchSpec.model_construct(namespace="lab", batch="sweep", work=CommandWork(jobs=jobs[:1]))
    event = make.submitted(make.batch(1)).model_copy(update={"spec": spec})
    blocks = [
        b"[%b]" % b",".join(job.model_dump_json(exclude_none=True).encode() for job in some)
        for some in (jobs[:150], jobs[150:])
    ]
    with pytest.raises(UnreadableEvent, match="its jobs have 300 different needs, and a batch may have 256"):
        at_once(with_blocks(event, blocks))
