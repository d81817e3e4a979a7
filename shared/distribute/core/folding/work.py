"""Which jobs of two batches do the same work: by what decides what they leave.

Command, script, arguments, environment, setup, contents and permissions of files and folders, the image and
the build count. Names of batches, resources, capabilities, timeouts, retries, limits, times of files do not.
A job that runs goes on only if it is also given the same: resources, capabilities, timeouts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Container, Iterator
from typing import NamedTuple

from distribute.core.spec.recipe import Recipe, build_of, recipe_of
from distribute.core.spec.specs import BatchSpec, Job
from distribute.core.state.grouping import needs


class Comparison(NamedTuple):
    """How the jobs of a batch compare with those of the one that it replaces. These are their names.

    `kept` succeeded, and do the same work; `rerun` are in both, and run; `new` and `removed` are in one only;
    `going_on` run, and go on: they do the same work, and ask for the same.
    """

    kept: tuple[str, ...]
    rerun: tuple[str, ...]
    new: tuple[str, ...]
    removed: tuple[str, ...]
    going_on: tuple[str, ...] = ()

    @property
    def staying(self) -> frozenset[str]:
        """The jobs that do not begin anew."""
        return frozenset((*self.kept, *self.going_on))


def compare(
    spec: BatchSpec, before: BatchSpec, succeeded: Container[str], running: Collection[str] = ()
) -> Comparison:
    """Compare a batch with the one `before`, of which the jobs `succeeded`, and others are `running`.

    The job that runs after all others sees what they left. So it stays only if each of them is kept, and none
    is removed.
    """
    known, now = dict(digests_of(before)), dict(digests_of(spec))
    same = {name for name, work in now.items() if known.get(name) == work}
    kept = {name: None for name in now if name in same and name in succeeded}
    going_on = dict.fromkeys(_asking_the_same(spec, before, same & set(running)))
    removed = tuple(name for name in known if name not in now)
    others = now.keys() - {spec.last_job}
    if removed or not others <= kept.keys():
        for staying in (kept, going_on):
            staying.pop(spec.last_job or "", None)
    return Comparison(
        tuple(kept),
        tuple(name for name in now if name in known and name not in kept and name not in going_on),
        tuple(name for name in now if name not in known),
        removed,
        tuple(going_on),
    )


def _asking_the_same(spec: BatchSpec, before: BatchSpec, names: Collection[str]) -> Iterator[str]:
    """Those of these jobs, which are in both, that are given the same in both, and for as long.

    An attempt that runs keeps what it was given. A person who changes that wants the job to run with it.
    """
    if names:
        known = {job.name: _asked(before, job) for job in before.work.jobs if job.name in names}
        yield from (
            job.name for job in spec.work.jobs if job.name in names and known[job.name] == _asked(spec, job)
        )


def _asked(spec: BatchSpec, job: Job) -> tuple[object, ...]:
    """What a node gives a job, and which nodes can."""
    shape, _ = needs(spec, job)
    recipe = recipe_of(spec, job)
    return shape, recipe.timeout_s, recipe.grace_s, recipe.warning


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
