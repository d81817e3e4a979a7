"""A submission is decoded job by job, and each job equals the one that the codec decodes."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute import submissions
from distribute.codec import encode
from distribute.core.errors import UnreadableEvent
from distribute.core.spec.git_commit import GitCommit
from distribute.core.spec.specs import CommandJob, InputFile, InputFolder, Resources
from distribute.lazy_submission import Submission
from distribute.testing import builders as make

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="/\0"), min_size=1, max_size=8
).filter(lambda name: name not in {".", ".."})
jobs = st.lists(
    st.builds(
        CommandJob,
        name=names,
        command=st.one_of(texts.filter(bool), st.tuples(texts, texts)),
        env=st.dictionaries(texts, texts, max_size=2),
        parameters=st.none() | st.dictionaries(texts, texts | st.integers(0, 9) | st.booleans(), max_size=2),
        resources=st.one_of(st.none(), st.builds(Resources, cpus=st.integers(1, 4))),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda job: job.name,
)


@given(
    found=jobs, env=st.dictionaries(texts, texts, max_size=2), block=st.integers(1, 5), packed=st.booleans()
)
def test_every_job_is_as_it_was_submitted(
    found: list[CommandJob], env: dict[str, str], block: int, packed: bool
) -> None:
    """For every stored form, and for all names and texts."""
    spec = make.batch(found, env={**env, "odd": '"jobs":[{"name":"x"}]'})
    event = make.submitted(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(submissions, "BLOCK_JOBS", block)
        head, blocks = submissions.encode_in_blocks(event)
        stored = submissions.join_frames((head, *blocks)) if packed else encode(event)
        submission = asyncio.run(Submission.read(stored))
        parameters = {job.name: job.parameters for job in found if job.parameters is not None}
        assert dict(submission.parameters()) == parameters
    assert len(submission) == len(found)
    assert [submission.job(job.name) for job in reversed(found)] == [*reversed(found)]
    assert submission.job("no job has this name") is None
    assert all(submission.has_job(job.name) for job in found)
    assert not submission.has_job("no job has this name")
    assert submission.spec == spec.model_copy(update={"work": submission.spec.work})
    assert submission.spec.work.jobs == (found[0],)


def test_the_commits_of_the_batch_and_of_its_jobs_are_found_once() -> None:
    def folder(alias: str, commit: GitCommit | None) -> InputFolder:
        return InputFolder(
            alias=alias,
            sha256="0" * 64,
            listing_bytes=1,
            content="1" * 64,
            entries=1,
            size_bytes=1,
            git=commit,
        )

    code, own = (folder(alias, GitCommit(commit=alias[0] * 40, ref="HEAD")) for alias in ("code", "aux"))
    found = [
        CommandJob(name=f"job{number}", command='"git"', folders=(own, folder("plain", None)))
        for number in range(3)
    ]
    for jobs in (found, [CommandJob(name="x", command='"git"')]):
        event = make.submitted(make.batch(jobs, folders=(code, folder("other", None))))
        submission = asyncio.run(Submission.read(encode(event)))
        assert submission.checkouts() == ([code, own] if jobs is found else [code])


def test_bytes_that_are_not_a_submission_are_refused() -> None:
    whole = large(2000)
    damaged = bytearray(whole)
    damaged[-1] ^= 1
    for payload in (encode(make.deleted()), whole[:-20], bytes(damaged), b"{}", b""):
        with pytest.raises(UnreadableEvent):
            asyncio.run(Submission.read(payload))


def large(count: int) -> bytes:
    file = InputFile(alias="mesh", sha256="0" * 64, size_bytes=1)
    commands = (("./solver", "--re", str(n), "--out", "distribute_save/x.dat") for n in range(count))
    found = [CommandJob(name=f"re{n:06d}", command=command) for n, command in enumerate(commands)]
    return encode(make.submitted(make.batch(found, files=(file,))))


async def test_a_large_submission_takes_little_memory_and_does_not_block() -> None:
    """Decoded as a whole, 100,000 jobs take 142 MB and block the event loop for 1.6 s."""
    count = 30_000
    payload = await asyncio.to_thread(large, count)
    loading = asyncio.create_task(Submission.read(payload))
    turns = 0
    while not loading.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns >= count / 1000
    tracemalloc.start()
    try:
        submission = await Submission.read(payload)
        held, _ = tracemalloc.get_traced_memory()
        for number in range(0, count, 1000):
            job = submission.job(f"re{number:06d}")
            assert isinstance(job, CommandJob)
            assert job.command[2] == str(number)
    finally:
        tracemalloc.stop()
    assert held < 3 << 20
