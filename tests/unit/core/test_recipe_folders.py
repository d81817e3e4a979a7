"""Recipes: the folders among a job's inputs, and the modules that Python finds there."""

from __future__ import annotations

from typing import Any

import pytest

from distribute.core.spec.placed import Placed, PlacedFolder
from distribute.core.spec.recipe import Recipe, Share, build_of, recipe_of
from distribute.core.spec.specs import (
    BatchSpec,
    CommandJob,
    CommandWork,
    InputFile,
    InputFolder,
    PythonJob,
    PythonWork,
)

FILE = InputFile(alias="file", sha256="0" * 64, size_bytes=0)
MESH = InputFile(alias="mesh.dat", sha256="1" * 64, size_bytes=4)
PYTHON = PythonWork(build=FILE, jobs=(PythonJob(name="job", script=FILE),))


def spec(work: PythonWork | CommandWork, **fields: object) -> BatchSpec:
    return BatchSpec.model_validate({"namespace": "lab", "batch": "sweep", "work": work, **fields})


def first(batch: BatchSpec) -> Recipe:
    return recipe_of(batch, batch.work.jobs[0])


def folder(alias: str | None, digest: str = "5", content: str = "6") -> InputFolder:
    return InputFolder(
        alias=alias, sha256=digest * 64, listing_bytes=9, content=content * 64, entries=1, size_bytes=7
    )


def test_a_folder_of_a_job_replaces_what_the_batch_has_under_its_name() -> None:
    job = CommandJob(name="job", command="true", folders=(folder("case", "7"), folder(None, "8")))
    case = InputFile(alias="case", sha256="4" * 64, size_bytes=1)
    recipe = first(
        spec(CommandWork(jobs=(job,)), files=(case, MESH), folders=(folder("case"), folder("other")))
    )
    assert recipe.files == (Placed("input/mesh.dat", MESH, keep=True),)
    assert recipe.trees == (
        PlacedFolder("input/other", folder("other"), keep=True),
        PlacedFolder("input/case", folder("case", "7")),
        PlacedFolder("input", folder(None, "8")),
    )
    assert recipe.objects == {MESH.sha256, *(digest * 64 for digest in "578")}


def test_the_folders_of_a_python_batch_are_in_both_folders_of_its_inputs() -> None:
    recipe = first(spec(PYTHON, folders=(folder("case"), folder(None))))
    paths = ["input/case", "input", "initial_files/case", "initial_files"]
    assert [placed.path for placed in recipe.trees] == paths
    assert recipe.build is not None
    assert recipe.build.trees == recipe.trees


MODULE = InputFile(alias="helpers.py", sha256="9" * 64, size_bytes=1)


@pytest.mark.parametrize(
    ("given", "env", "expected"),
    [
        ({}, {}, None),
        ({"files": (MESH,)}, {"PYTHONPATH": "/own"}, "/own"),
        ({"files": (MODULE,)}, {}, "/w/input"),
        ({"folders": (folder("package"),)}, {}, "/w/input"),
        ({"files": (MODULE,)}, {"PYTHONPATH": "/own"}, "/own:/w/input"),
    ],
)
def test_python_jobs_find_modules_among_their_inputs_behind_the_folders_that_are_named(
    given: dict[str, Any], env: dict[str, str], expected: str | None
) -> None:
    recipe = first(spec(PYTHON, env=env, **given))
    assert recipe.build is not None
    for each in (recipe, recipe.build):
        assert each.environment({}, Share(1), folder="/w", node="ws07").get("PYTHONPATH") == expected
    command = first(spec(CommandWork(jobs=(CommandJob(name="job", command="true"),)), **given))
    assert "PYTHONPATH" not in command.environment({}, Share(1), folder="/w", node="ws07")


def test_a_build_is_the_same_with_the_same_folders_whenever_they_were_written() -> None:
    def identity(*folders: InputFolder) -> str:
        build = build_of(spec(PYTHON, folders=folders or None))
        assert build is not None
        return build.identity()

    assert identity(folder("case")) == identity(folder("case", "7"))
    assert (
        len({identity(), identity(folder("case")), identity(folder("case", "5", "7")), identity(folder("x"))})
        == 4
    )
