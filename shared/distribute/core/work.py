"""Which jobs of two batches do the same work: by what decides what they leave.

Command, script, arguments, environment, setup, contents and permissions of files and folders, the image and
the build count. Names of batches, resources, capabilities, timeouts, retries, limits, times of files do not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator
from typing import NamedTuple

from distribute.core.recipe import Recipe, build_of, recipe_of
from distribute.core.specs import BatchSpec


class Comparison(NamedTuple):
    """How the jobs of a batch compare with those of the one that it replaces. These are their names.

    `kept` succeeded, and do the same work; `rerun` are in both, and run; `new` and `removed` are in one only.
    """

    kept: tuple[str, ...]
    rerun: tuple[str, ...]
    new: tuple[str, ...]
    removed: tuple[str, ...]


def compare(spec: BatchSpec, before: BatchSpec, succeeded: Container[str]) -> Comparison:
    """Compare a batch with the one `before`, of which the jobs `succeeded`.

    The job that runs after all others sees what they left. So it is kept only if each of them is, and none is
    removed.
    """
    known, now = dict(digests_of(before)), dict(digests_of(spec))
    kept = {name: None for name, work in now.items() if name in succeeded and known.get(name) == work}
    removed = tuple(name for name in known if name not in now)
    others = now.keys() - {spec.last_job}
    if removed or not others <= kept.keys():
        kept.pop(spec.last_job or "", None)
    return Comparison(
        tuple(kept),
        tuple(name for name in now if name in known and name not in kept),
        tuple(name for name in now if name not in known),
        removed,
    )


def marked(spec: BatchSpec, kept: Container[str]) -> BatchSpec:
    """The specification, with these jobs marked as kept."""
    jobs = (job.model_copy(update={"kept": True}) if job.name in kept else job for job in spec.work.jobs)
    return spec.model_copy(update={"work": spec.work.model_copy(update={"jobs": tuple(jobs)})})


def digests_of(spec: BatchSpec) -> Iterator[tuple[str, bytes]]:
    """The digest of each job's work, by its name."""
    build = build_of(spec)
    of_build = None if build is None else build.identity()
    for job in spec.work.jobs:
        yield job.name, _digest(recipe_of(spec, job), of_build)


def _digest(recipe: Recipe, of_build: str | None) -> bytes:
    image = None if recipe.image is None else recipe.image.sha256
    binds = [[bind.folder, bind.target] for bind in recipe.binds]
    what = [recipe.identity(), of_build, image, binds, recipe.wants_results]
    return hashlib.sha256(json.dumps(what).encode()).digest()
