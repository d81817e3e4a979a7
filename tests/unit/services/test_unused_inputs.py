"""Which inputs the archiver removes: those that no batch names, whatever form a batch has."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest

from client_kit import MemoryCluster
from distribute.core.folding.fold import apply
from distribute.core.folding.work import marked
from distribute.core.ids import BatchId
from distribute.core.log.events import Event, Finished, RanAt
from distribute.core.spec.specs import (
    ApptainerJob,
    ApptainerWork,
    BatchSpec,
    InputFile,
    InputFolder,
    InputObject,
    PythonJob,
    PythonWork,
)
from distribute.core.state import packing
from distribute.core.state.state import State
from distribute.inputs.listed import Hasher
from distribute.inputs.patterns import Exclude
from distribute.inputs.tree import folder_tree
from distribute.snapshot_writer import write_batch
from distribute.testing import builders as make
from distribute_services.archiver.compacting import store_archive
from distribute_services.archiver.unused_inputs import Removed, UnusedInputs

SWEEP = BatchId("lab", "sweep")


class Head:
    """A log and a store, and an archiver that looks for unused inputs: every input is old at once."""

    def __init__(self, folder: Path) -> None:
        self.cluster: Any = MemoryCluster(folder)
        self.state = State()
        self.inputs = UnusedInputs(self.cluster, self.state, 0.0, self.read_on)
        self._folder = folder
        self._contents = folder / "inputs"
        self._made = 0

    async def read_on(self) -> None:
        for recorded in self.cluster.log.stored.between(self.state.seq, self.cluster.log.stored.last_seq):
            misfit = apply(self.state, recorded)
            assert misfit is None, self.state.last_misfit

    async def say(self, *events: Event) -> None:
        await self.cluster.say(*events)

    async def put(self, content: bytes) -> str:
        path = self._folder / "content"
        path.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        await self.cluster.store.put_input(path, sha256)
        return sha256

    async def file(self, text: str) -> InputFile:
        return InputFile(alias=text, sha256=await self.put(text.encode()), size_bytes=len(text))

    async def folder(self, text: str) -> InputFolder:
        """A folder with a small file and a large one."""
        folder = self._folder / text
        folder.mkdir()
        (folder / "small").write_text(text)
        (folder / "large").write_bytes(text.encode() * (1 << 20))
        listed = Hasher().listed(folder_tree(str(folder), Exclude(())), str(folder))
        for sha256, source in listed.sources.items():
            await self.cluster.store.put_input(source, sha256)
        return listed.folder(text)

    @property
    def there(self) -> set[str]:
        """The digests of all inputs in the store."""
        return {path.name for path in self._contents.iterdir()}

    async def look(self) -> Removed:
        """Look twice: only what is unused both times goes."""
        before = self.there
        assert (await self.inputs.look()).inputs == 0
        assert self.there == before
        return await self.inputs.look()


@pytest.fixture
def head(tmp_path: Path) -> Head:
    return Head(tmp_path)


async def test_all_that_a_batch_names_stays_until_it_is_deleted(head: Head) -> None:
    packed = await head.put(b"several small files")
    pack = InputObject(sha256=packed, size_bytes=19)
    small = InputFile(alias="small", sha256="0" * 64, size_bytes=7, pack=pack, offset=0)
    job = make.job("job1").model_copy(
        update={"files": (await head.file("a job's"),), "folders": (await head.folder("jobs"),)}
    )
    python = BatchSpec(
        namespace="lab",
        batch="python",
        work=PythonWork(
            build=await head.file("build"), jobs=(PythonJob(name="j", script=await head.file("s")),)
        ),
    )
    image = BatchSpec(
        namespace="lab",
        batch="image",
        work=ApptainerWork(image=await head.file("image"), jobs=(ApptainerJob(name="j"),)),
    )
    sweep = make.batch(
        [job], files=(await head.file("everyone's"), small), folders=(await head.folder("all"),)
    )
    named = head.there
    assert len(named) == 12
    submitted = [make.submitted(spec) for spec in (sweep, python, image)]
    await head.say(*submitted)
    assert await head.put(b"nobody's") in head.there
    assert await head.look() == Removed(1, 8, 0)
    assert head.there == named
    for event in submitted:
        over = make.completed(event.spec, state="killed", submission=event.id)
        await head.say(make.kill_requested(event.spec), over, make.deleted(event.spec))
    assert (await head.look()).inputs == 12
    assert head.there == set()


async def test_a_batch_of_many_jobs_is_read_in_blocks(head: Head) -> None:
    files = [await head.file(f"file {number}") for number in range(3)]
    jobs = [
        make.job(f"job{number}").model_copy(update={"files": (files[number % 3],)}) for number in range(2500)
    ]
    await head.say(make.submitted(make.batch(jobs)))
    await head.put(b"nobody's")
    assert (await head.look()).inputs == 1
    assert head.there == {file.sha256 for file in files}


async def test_a_packed_batch_keeps_its_inputs(head: Head) -> None:
    kept = await head.file("kept")
    first = make.submitted(make.batch(1, files=(kept,)))
    ends = {"submission": first.id}
    await head.say(first, make.kill_requested())
    await head.say(make.completed(state="killed", **ends), make.batch_archived(**ends))
    await head.read_on()
    packing.pack(head.state, SWEEP, *await write_batch(head.state.batches[SWEEP]))
    assert SWEEP in head.state.packed
    assert (await head.look()).inputs == 0
    assert head.there == {kept.sha256}


async def test_a_batch_that_was_replaced_keeps_nothing_but_what_goes_on(head: Head) -> None:
    old, new, newest = [await head.file(name) for name in ("old", "new", "newest")]
    first = make.submitted(make.batch(2, files=(old,)))
    await head.say(make.joined(), first, make.assigned("job1"), make.claimed("job1"), make.started("job1"))
    second = make.submitted(marked(make.batch(2, files=(new,)), {"job1"}), replaces=first.id)
    await head.say(make.held(), second)
    await head.read_on()
    assert head.state.batches[SWEEP].continues == (first.id,)
    assert (await head.look()).inputs == 1, "the newest"
    assert head.there == {old.sha256, new.sha256}, "a node may have been given the job just now"

    assert (await head.file("newest")) == newest
    finished: Event = make.finished("job1")
    assert isinstance(finished, Finished)
    ends = {"submission": second.id}
    await head.say(finished, make.job_archived("job1"), make.kill_requested())
    await head.say(make.completed(state="killed", **ends), make.batch_archived(**ends))
    third = make.submitted(marked(make.batch(2, files=(newest,)), {"job1"}), replaces=second.id)
    await head.say(third)
    assert (await head.look()).inputs == 2
    assert head.there == {newest.sha256}

    last, *_ = [await head.file(name) for name in ("last", "old", "new")]
    await head.say(make.assigned("job2"), make.claimed("job2"), make.started("job2"), make.held())
    await head.say(make.submitted(marked(make.batch(2, files=(last,)), {"job1", "job2"}), replaces=third.id))
    await head.read_on()
    assert head.state.batches[SWEEP].continues == (third.id,)
    assert (await head.look()).inputs == 2
    assert head.there == {newest.sha256, last.sha256}


async def test_archives_stay_and_the_inputs_of_compacted_batches_go(head: Head) -> None:
    kept = await head.file("an input")
    first = make.submitted(make.batch(1, files=(kept,)))
    ends = {"submission": first.id}
    await head.say(first, make.kill_requested())
    await head.say(make.completed(state="killed", **ends), make.batch_archived(**ends))
    await head.read_on()
    archive = await store_archive(head.cluster, head.state.batches[SWEEP])
    moved = {"archive": archive.sha256, "events": archive.events}
    await head.say(make.compacted(archive.last_seq, SWEEP, **moved))
    await head.read_on()
    assert SWEEP in head.state.compacted
    assert (await head.look()).inputs == 1
    assert head.there == {archive.sha256}
    await head.say(make.deleted())
    assert (await head.look()).inputs == 0, "it is a part of the log"


async def test_an_archive_stays_whoever_names_another_one_after_it(head: Head) -> None:
    """Anybody could write such an event. The fold refuses it, and the archive counts."""
    archive = await head.put(b"an archive")
    await head.say(make.submitted())
    for sha256 in (archive, "1" * 64):
        await head.cluster.say(make.compacted(1, SWEEP, archive=sha256))
        apply(head.state, head.cluster.log.stored.get(head.cluster.log.stored.last_seq))
    head.state.seq = head.cluster.log.stored.last_seq
    assert (await head.look()).inputs == 0


async def test_an_input_that_is_sent_again_between_two_looks_stays(head: Head) -> None:
    """A clock that jumps makes all inputs look old. So what was unused once has to be so at the next look."""
    sha256 = await head.put(b"nobody's")
    assert (await head.inputs.look()).inputs == 0
    assert await head.put(b"nobody's") == sha256
    assert (await head.inputs.look()).inputs == 0
    assert (await head.inputs.look()).inputs == 1


async def test_what_is_submitted_while_it_looks_is_read_before_anything_is_removed(head: Head) -> None:
    """The archiver is behind the log: it waits until it has read all that was there."""
    late = await head.file("late")
    assert (await head.inputs.look()).inputs == 0
    gate = asyncio.Event()
    caught_up = head.read_on

    async def read_late() -> None:
        await gate.wait()
        await caught_up()

    head.inputs = UnusedInputs(head.cluster, head.state, 0.0, read_late)
    head.inputs._seen = {late.sha256: (await anext(head.cluster.store.inputs_unused_for(0.0))).revision}
    looking = asyncio.create_task(head.inputs.look())
    await head.say(make.submitted(make.batch(1, files=(late,))))
    gate.set()
    assert (await looking).inputs == 0
    assert head.there == {late.sha256}


async def test_nothing_is_removed_while_the_list_of_a_folder_is_damaged(
    head: Head, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody knows then which of the inputs that seem unused are the folder's."""
    folder = await head.folder("all")
    await head.say(make.submitted(make.batch(1, folders=(folder,))))
    content = head._contents / folder.sha256
    listing = content.read_bytes()
    content.write_bytes(b"damaged")
    await head.put(b"nobody's")
    looking = asyncio.create_task(head.inputs.run(0.0))
    with caplog.at_level(logging.INFO):
        while not caplog.messages:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0)
        [told] = caplog.messages
        assert told.startswith(
            "inputs that no batch names stay in the store: the list of an input folder of lab/"
        )
        assert len(head.there) == 4
        content.write_bytes(listing)
        while len(head.there) > 3:  # noqa: ASYNC110 - a removal is no event
            await asyncio.sleep(0)
        while len(caplog.messages) < 3:  # noqa: ASYNC110 - a log has no event
            await asyncio.sleep(0)
    looking.cancel()
    await asyncio.wait([looking])
    assert caplog.messages[1].startswith("inputs that no batch names are removed again, after ")
    assert caplog.messages[2] == "removed 1 input (8B) that no batch has named for 0s"


async def test_a_batch_that_ran_elsewhere_needs_no_list_of_its_folders(head: Head) -> None:
    folder = InputFolder(
        alias="a", sha256="2" * 64, listing_bytes=1, content="3" * 64, entries=1, size_bytes=1
    )
    kept = await head.file("kept")
    await head.say(
        make.submitted(
            make.batch(1, files=(kept,), folders=(folder,)), ran_at=RanAt(system="slurm", folder="4" * 64)
        )
    )
    await head.put(b"nobody's")
    assert (await head.look()).inputs == 1
    assert head.there == {kept.sha256}
