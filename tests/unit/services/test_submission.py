"""A submission is decoded job by job, and each job is what the codec makes of it."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.codec import encode
from distribute.core.errors import UnreadableEvent
from distribute.core.specs import CommandJob, InputFile, Resources
from distribute.testing import builders as make
from distribute_services.node_runner.work import submission as module
from distribute_services.node_runner.work.submission import Submission

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
        resources=st.one_of(st.none(), st.builds(Resources, cpus=st.integers(1, 4))),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda job: job.name,
)


@given(
    found=jobs, env=st.dictionaries(texts, texts, max_size=2), piece=st.integers(1, 200), packed=st.booleans()
)
def test_every_job_is_as_it_was_submitted(
    found: list[CommandJob], env: dict[str, str], piece: int, packed: bool
) -> None:
    """Wherever the pieces are cut, and whatever the names and texts hold."""
    spec = make.batch(found, env={**env, "odd": '"jobs":[{"name":"x"}]'})
    body = encode(make.submitted(spec))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE_BYTES", piece)
        patch.setattr(module, "_BLOCK_CHARACTERS", piece)
        submission = Submission(zlib.compress(body) if packed else body)
    assert len(submission) == len(found)
    assert [submission.job(job.name) for job in reversed(found)] == [*reversed(found)]
    assert submission.job("no job has this name") is None
    assert submission.spec == spec.model_copy(update={"work": submission.spec.work})
    assert submission.spec.work.jobs == (found[0],)


def test_what_is_no_submission_is_refused() -> None:
    whole = zlib.compress(encode(make.submitted()))
    damaged = bytearray(whole)
    damaged[-1] ^= 1
    for payload in (encode(make.deleted()), whole[:-20], bytes(damaged), b"{}", b""):
        with pytest.raises(UnreadableEvent):
            Submission(payload)


def large(count: int) -> bytes:
    file = InputFile(alias="mesh", sha256="0" * 64, size_bytes=1)
    commands = (("./solver", "--re", str(n), "--out", "distribute_save/x.dat") for n in range(count))
    found = [CommandJob(name=f"re{n:06d}", command=command) for n, command in enumerate(commands)]
    return encode(make.submitted(make.batch(found, files=(file,))))


async def test_a_large_submission_takes_little_memory_and_blocks_nobody() -> None:
    """Of 100,000 jobs 142 MB, and 1.6 s of a blocked event loop, if it is decoded as a whole."""
    count = 30_000
    payload = await asyncio.to_thread(large, count)
    loading = asyncio.create_task(asyncio.to_thread(Submission, payload))
    longest_s = 0.0
    while not loading.done():  # each turn of the loop is one sample
        began = time.perf_counter()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.perf_counter() - began)
    assert longest_s < 0.25
    tracemalloc.start()
    try:
        submission = Submission(payload)
        held, _ = tracemalloc.get_traced_memory()
        began = time.perf_counter()
        for number in range(0, count, 1000):
            job = submission.job(f"re{number:06d}")
            assert isinstance(job, CommandJob)
            assert job.command[2] == str(number)
    finally:
        tracemalloc.stop()
    assert held < 3 << 20
