"""Pull names results that can't be read, and pulls all others."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from client_kit import WITH_AND_WITHOUT_SCHEDULER, MemoryCluster, left
from distribute.client.pull.fetching import Pulled, fetch
from distribute.client.pull.filters import Filter
from distribute.client.pull.listing import Listing, list_results
from distribute.client.pull.local_batch import OWN_NAMES
from distribute.core.errors import InputError
from distribute.core.files.manifest import Outputs, StoredFile, StoredLink, build_output_name
from distribute.core.log.events import Finished
from distribute.core.log.recorded import Recorded
from distribute.core.projections.results import BatchResults
from distribute.testing import builders as make

CONTENT = b"what the job left"
SPEC = make.batch(2)


@pytest.fixture(params=WITH_AND_WITHOUT_SCHEDULER)
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryCluster(tmp_path / "store", request.param)


def file(path: str, content: bytes = CONTENT, **fields: Any) -> StoredFile:
    digest = hashlib.sha256(content).hexdigest()
    return StoredFile(**{"path": path, "size_bytes": len(content), "sha256": digest, "object": 0} | fields)


async def run(cluster: Any, outputs: dict[str, Outputs | None]) -> None:
    """Run both jobs of the batch to their ends, with these outputs, and archive them."""
    await cluster.say(make.joined(), make.submitted(SPEC))
    for job, what in outputs.items():
        await cluster.say(make.assigned(job), make.claimed(job), make.finished(job, outputs=what))
        await cluster.say(make.job_archived(job))


async def pull(cluster: Any, folder: Path) -> tuple[Listing, Pulled]:
    listing = await list_results(cluster, SPEC.id, Filter())
    return listing, await fetch(cluster.store, listing, folder)


def files_in(folder: Path) -> set[str]:
    """The files below a folder, without what pull has there for itself."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    return {str(path) for path in paths if os.fsencode(path.name) not in OWN_NAMES}


def entry(path: str, **fields: Any) -> dict[str, Any]:
    """A file's entry of a manifest as JSON, valid or not."""
    return file("right").model_dump() | {"path": path} | fields


BAD_ENTRIES: list[dict[str, Any]] = [
    entry("/etc/passwd"),
    entry("../../../x"),
    entry("a/../../../../x"),
    entry(""),
    entry("nul\0"),
    entry("bad base64", raw_path="%%%"),
    entry("raw", raw_path=base64.b64encode(b"../../raw").decode()),
    entry("no such object", object=7),
    entry("no object", object=None),
    entry("x" * 300),
    entry("é" * 128),
    entry("x" * 300 + "/file"),
    entry("long", raw_path=base64.b64encode(b"x" * 256).decode()),
    {"kind": "folder", "path": "x" * 256},
    {"kind": "link", "path": "x" * 256, "target": "good"},
    entry("another digest", sha256="0" * 64),
    entry("beyond its end", offset=10),
    entry("a negative size", size_bytes=-1),
    {"kind": "link", "path": "link", "target": "/etc"},
    {"kind": "link", "path": "link", "target": "../../up"},
    {"kind": "link", "path": "link", "target": "x", "raw_target": base64.b64encode(b"/etc/\xff").decode()},
    {"kind": "link", "path": "link", "target": "x", "raw_target": "%%%"},
    {"kind": "folder", "path": "../folder"},
    {"kind": "device", "path": "null"},
    {},
]


async def stored_list(cluster: Any, *entries: dict[str, Any], **fields: Any) -> Outputs:
    """Store a manifest with these entries, and return the outputs that name it."""
    stored = await cluster.keep(CONTENT)
    manifest = {"entries": entries, "objects": [stored.model_dump()]} | fields
    return Outputs(stored=await cluster.keep(json.dumps(manifest).encode()))


async def test_a_link_to_a_name_that_is_no_text_is_pulled(cluster: Any, tmp_path: Path) -> None:
    raw = base64.b64encode(b"../\xff").decode()
    link = StoredLink(path="sub/link", target="../?", raw_target=raw)
    await run(cluster, {"job1": left(link), "job2": None})
    listing, pulled = await pull(cluster, tmp_path / "out")
    assert (listing.problems, pulled.problems) == ([], [])
    assert os.readlink(os.fsencode(tmp_path / "out/sweep/job1/sub/link")) == b"../\xff"  # noqa: PTH115


@pytest.mark.parametrize("bad", BAD_ENTRIES, ids=lambda entry: str(entry.get("path"))[:20])
async def test_a_bad_entry_is_reported_and_all_others_are_pulled(
    cluster: Any, bad: dict[str, Any], tmp_path: Path
) -> None:
    stored = await cluster.keep(CONTENT)
    half_bad = await stored_list(cluster, bad, entry("good"))
    await run(cluster, {"job1": half_bad, "job2": left(file("other"), objects=(stored,))})
    listing, pulled = await pull(cluster, tmp_path / "out")
    (problem,) = [*listing.problems, *pulled.problems]
    assert "sweep/job1" in problem
    assert files_in(tmp_path / "out") == {"sweep/job1/good", "sweep/job2/other"}
    assert {path.name for path in tmp_path.iterdir()} == {"store", "out"}


async def test_an_unreadable_manifest_is_reported_and_all_others_are_pulled(
    cluster: Any, tmp_path: Path
) -> None:
    stored = await cluster.keep(CONTENT)
    for text in (
        b"{",
        b"[]",
        b'{"entries": 3}',
        b'{"entries": [], "objects": [1]}',
        b'{"v": 2, "entries": []}',
    ):
        cluster = MemoryCluster(tmp_path / f"store{len(text)}")
        stored, manifest = await cluster.keep(CONTENT), await cluster.keep(text)
        gone = manifest.model_copy(update={"nuid": "9" * 22})
        outputs = (Outputs(stored=manifest), Outputs(stored=gone))
        for unreadable in outputs:
            cluster.log = MemoryCluster(tmp_path / "unused").log
            await run(cluster, {"job1": unreadable, "job2": left(file("other"), objects=(stored,))})
            listing, pulled = await pull(cluster, tmp_path / f"out{len(text)}{unreadable is outputs[1]}")
            assert [problem[:31] for problem in listing.problems] == ["lab/sweep/job1: can't be pulled"]
            assert (pulled.fetched + pulled.kept, pulled.problems) == (1, [])


async def test_files_in_each_other_s_way_are_reported(cluster: Any, tmp_path: Path) -> None:
    stored = await cluster.keep(CONTENT)
    await run(cluster, {"job1": left(file("a"), file("a/b"), file("c"), objects=(stored,)), "job2": None})
    _, pulled = await pull(cluster, tmp_path / "out")
    assert pulled.fetched == 2
    (problem,) = pulled.problems
    assert "/sweep/job1/a" in problem


async def test_a_folder_that_can_t_hold_results_is_reported_at_once(cluster: Any, tmp_path: Path) -> None:
    stored = await cluster.keep(CONTENT)
    await run(cluster, {"job1": left(file("a"), objects=(stored,)), "job2": None})
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="out: can't hold results: something of that name is there"):
        await pull(cluster, tmp_path / "out")


async def test_a_build_leaves_its_output_and_nothing_else(cluster: Any, tmp_path: Path) -> None:
    stored = await cluster.keep(CONTENT)
    await run(cluster, {"job1": left(file("a"), objects=(stored,)), "job2": None})
    name = "sweep_build_output-ws1.txt"
    outputs = left(file("job1/a", b"other"), file(name), objects=(stored,))
    await cluster.say(make.build_finished("ws1", SPEC).model_copy(update={"outputs": outputs}))
    listing, _ = await pull(cluster, tmp_path / "out")
    assert (tmp_path / "out/sweep" / name).read_bytes() == CONTENT
    assert (tmp_path / "out/sweep/job1/a").read_bytes() == CONTENT
    (problem,) = listing.problems
    assert "its list of files names 'job1/a', which no build leaves" in problem


async def test_a_builds_output_and_a_job_of_its_name_are_pulled(cluster: Any, tmp_path: Path) -> None:
    spec = make.batch([make.job("sweep_build_output-ws1.txt"), make.job("other")])
    stored = await cluster.keep(CONTENT)
    name = build_output_name(spec.batch, "ws1", {job.name for job in spec.work.jobs}.__contains__)
    await cluster.say(make.joined(), make.submitted(spec))
    build = make.build_finished("ws1", spec)
    await cluster.say(build.model_copy(update={"outputs": left(file(name), objects=(stored,))}))
    for job in spec.work.jobs:
        finished = make.finished(job.name, outputs=left(file("d"), objects=(stored,)))
        await cluster.say(make.assigned(job.name), make.claimed(job.name), finished)
        await cluster.say(make.job_archived(job.name))
    listing, pulled = await pull(cluster, tmp_path / "out")
    assert (listing.problems, pulled.problems) == ([], [])
    found = {path.name for path in (tmp_path / "out/sweep").glob("[!.]*")}
    assert found == {"sweep_build_output-ws1.txt", "other", "sweep_build_output_2-ws1.txt"}


async def test_the_output_of_a_build_with_two_long_names_is_pulled(cluster: Any, tmp_path: Path) -> None:
    """Together the names are longer than a file's name can be."""
    spec, node = make.batch(batch="b" * 255), "n" * 128
    stored = await cluster.keep(CONTENT)
    await cluster.say(make.joined(node), make.submitted(spec))
    outputs = left(file(build_output_name(spec.batch, node)), objects=(stored,))
    await cluster.say(make.build_finished(node, spec).model_copy(update={"outputs": outputs}))
    listing = await list_results(cluster, spec.id, Filter())
    pulled = await fetch(cluster.store, listing, tmp_path / "out")
    assert (listing.problems, pulled.problems) == ([], [])
    assert (tmp_path / "out" / spec.batch / f"build_output-{node}.txt").read_bytes() == CONTENT


async def test_results_of_a_job_that_the_batch_does_not_have_are_ignored(cluster: Any) -> None:
    """Its name would lead out of the folder, if such an event could be decoded."""
    names = {"namespace": "lab", "batch": "sweep", "job": "../../../x", "attempt": 1, "node": "ws1"}
    forged = Finished.model_construct(**make.finished().model_dump() | names)
    results = BatchResults(SPEC.id)
    for recorded in make.record([make.submitted(SPEC)]):
        results.fold(recorded)
    results.fold(Recorded(2, 1.0, forged))
    assert not results.seqs
