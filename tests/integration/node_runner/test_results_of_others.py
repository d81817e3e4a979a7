"""The last job of a batch finds what the others left, in a folder of its own, whatever the build left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client_kit import MemoryCluster, left
from distribute.core.files.manifest import StoredFolder
from distribute.core.ids import JobId
from distribute.core.spec.recipe import Share, build_of, recipe_of
from distribute.host import Unit
from distribute.testing import builders as make
from distribute_services.node_runner.host.staging import Staging
from distribute_services.node_runner.options import Options

JOBS = (make.job("a"), make.job("last"))
SPEC = make.batch(JOBS, last_job="last", build="true")
A, LAST = (JobId("lab", "sweep", job.name) for job in JOBS)


@pytest.mark.parametrize(
    "leave",
    [
        lambda results, other: None,
        lambda results, other: results.symlink_to(other),
        lambda results, other: results.write_text("file"),
        lambda results, other: results.mkdir(),
    ],
    ids=["nothing", "a link", "a file", "a folder"],
)
async def test_results_come_into_the_folder_of_the_job(
    leave: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    cluster: Any = MemoryCluster(tmp_path / "cluster")
    await cluster.say(
        make.submitted(SPEC),
        make.assigned(A),
        make.claimed(A),
        make.started(A),
        make.finished(A, outputs=left(StoredFolder(path="made"))),
        make.job_archived(A),
    )
    node, other = tmp_path / "node", tmp_path / "other"
    other.mkdir()
    staging = Staging(node, Options(name="ws1", work_dir=node, copies="copy"), cluster, None)
    recipe = build_of(SPEC)
    assert recipe is not None, "the batch has a build"
    built = await staging.stage(Unit(LAST.batch_id, 0, recipe, Share(1)), None)
    leave(built.workspace.input / "results", other)
    place = await staging.stage(Unit(LAST, 1, recipe_of(SPEC, JOBS[1]), Share(1)), built)
    results = place.workspace.input / "results"
    assert not results.is_symlink()
    assert (results / "a" / "made").is_dir()
    assert list(other.iterdir()) == []
