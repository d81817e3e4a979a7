"""All texts of the folder that `distribute slurm` writes: what is uploaded, and scheduled there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from distribute.config.loading import LoadedBatch
from distribute.config.sections.slurm_section import Slurm
from distribute.core.errors import InputError
from distribute.core.spec.placed import Placed, PlacedFolder
from distribute.core.spec.recipe import Recipe, build_of, recipe_of
from distribute.core.spec.specs import BatchSpec, InputFile, Resources
from distribute.core.words import first_of, quoted
from distribute.sbatch.options import Options, default_name, merged, options_of
from distribute.sbatch.scripts import Cluster, batch_script, build_part, check_value, inputs_part, job_part
from distribute.sbatch.upload import Upload, begun, text_of

MAX_WAITED_FOR = 10_000
"""The last job can wait for so many jobs that are in no array: their ids are one argument of sbatch."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A job or the build, with the options that sbatch gets; `chosen` are those that its file has."""

    recipe: Recipe
    options: Options
    chosen: Options


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch for a SLURM cluster: everything has been checked, so the texts can be written."""

    spec: BatchSpec
    cluster: Cluster
    upload: Upload
    jobs: tuple[Unit, ...]
    build: Unit | None
    is_array: bool

    @property
    def digests(self) -> list[str]:
        """The names of all files and folders of input in `files/`."""
        recipes = [unit.recipe for unit in self.jobs]
        files = {file.sha256 for recipe in recipes for file in recipe.input_files}
        return sorted(files.union(*(recipe.listings for recipe in recipes)))

    @property
    def last(self) -> int | None:
        """The number of the job that runs when all others are over. None: there is none."""
        return len(self.jobs) - 1 if self.spec.last_job is not None else None

    def packed(self) -> dict[str, dict[str, InputFile]]:
        """The files that share objects, by the objects and by their own digests."""
        found: dict[str, dict[str, InputFile]] = {}
        for unit in self.jobs:
            for file in unit.recipe.input_files:
                if file.pack is not None:
                    found.setdefault(file.pack.sha256, {})[file.sha256] = file
        return found

    def arrays(self) -> list[list[int]]:
        """The numbers of the jobs of each array: they have the same options, and fit the cluster's limit."""
        if not self.is_array:
            return []
        alike: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for number, unit in enumerate(self.jobs[: self.last]):
            alike.setdefault(tuple(unit.options.items()), []).append(number)
        most = self.cluster.max_array_size
        return [
            numbers[start : start + most]
            for numbers in alike.values()
            for start in range(0, len(numbers), most)
        ]

    def texts(self, batch_id: str) -> Iterator[tuple[str, str]]:
        """The texts of all files but `files/`, by their paths in the folder. `batch_id` names this folder."""
        arrays = self.arrays()
        yield "batch.json", self._batch(batch_id)
        counts = {"jobs": str(len(self.jobs)), "arrays": str(len(arrays))}
        last = {"last": "" if self.last is None else str(self.last)}
        yield "rsync_upload.sh", begun("rsync_upload.sh", self.upload.variables)
        yield "rsync_download.sh", begun("rsync_download.sh", self.upload.variables | counts)
        yield (
            "schedule_jobs.sh",
            begun("schedule_jobs.sh", counts | last | {"same": self._numbering(arrays)} | self._limits),
        )
        yield "scripts/common.sh", text_of("common.sh")
        yield "scripts/files.txt", "".join(f"{sha256}\n" for sha256 in self.digests)
        yield from self._of_build()
        yield from self._of_jobs()
        for number, numbers in enumerate(arrays):
            yield f"scripts/array-{number}.txt", "".join(f"{job}\n" for job in numbers)
            call = f'run_job "$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" scripts/array-{number}.txt)"'
            yield (
                f"scripts/array-{number}.sbatch",
                self._script(self.jobs[numbers[0]].options, call, array=len(numbers)),
            )

    def _batch(self, batch_id: str) -> str:
        spec = self.spec.model_dump(mode="json", exclude_none=True)
        return json.dumps({"v": 1, "id": batch_id, "array": self.is_array, "spec": spec}) + "\n"

    @property
    def _limits(self) -> dict[str, str]:
        """What the batch says of when its jobs begin, and of how many run at a time; empty: nothing."""
        most, begin = self.spec.max_running, self.spec.not_before
        return {
            "most_running": "" if most is None else str(most),
            "not_before": "" if begin is None else f"{begin.timestamp():.0f}",
        }

    def _numbering(self, arrays: list[list[int]]) -> str:
        """Differs if a number may mean another job: folders that share it can be uploaded to one place."""
        names = [self.spec.batch, *(job.name for job in self.spec.work.jobs)]
        return hashlib.sha256(json.dumps([names, arrays]).encode()).hexdigest()[:32]

    def _script(self, options: Options, call: str, array: int | None = None) -> str:
        return batch_script(
            options, call, array=array, most=self.spec.max_running, is_login=bool(self.cluster.setup)
        )

    def _of_build(self) -> Iterator[tuple[str, str]]:
        unit = self.build
        if unit is not None:
            yield "scripts/build.sbatch", self._script(unit.options, "run_build")
            yield (
                "scripts/build.sh",
                build_part(self.spec, unit.recipe, unit.options, unit.chosen, self.cluster),
            )

    def _of_jobs(self) -> Iterator[tuple[str, str]]:
        shared: dict[tuple[tuple[Placed, ...], tuple[PlacedFolder, ...]], int] = {}
        for number, (job, unit) in enumerate(zip(self.spec.work.jobs, self.jobs, strict=True)):
            files = tuple(placed for placed in unit.recipe.files if placed.keep)
            trees = tuple(tree for tree in unit.recipe.trees if tree.keep)
            kept = files, trees
            if kept not in shared:
                shared[kept] = len(shared)
                yield f"scripts/inputs-{shared[kept]}.sh", inputs_part(files, trees)
            yield (
                f"scripts/{number}.sh",
                job_part(
                    self.spec, unit.recipe, job.name, shared[kept], unit.options, unit.chosen, self.cluster
                ),
            )
            if not self.is_array or number == self.last:
                yield f"scripts/{number}.sbatch", self._script(unit.options, f"run_job {number}")


def plan(loaded: LoadedBatch, cluster: Cluster, upload: Upload, *, is_array: bool) -> Plan:
    """Check everything that SLURM would refuse.

    Raises:
        InputError: it names each job that has an option or a time that SLURM can't be told.
    """
    spec, file = loaded.spec, loaded.file
    problems: list[str] = []
    units: list[Unit] = []
    for job, slurm in zip(spec.work.jobs, _own_sections(loaded), strict=True):
        needs = spec.resources if job.resources is None else job.resources
        is_last = job.name == spec.last_job
        waits_for = "all others" if is_last else "the build" if spec.needs_build else None
        try:
            chosen = merged(file.slurm, slurm, waits_for=waits_for)
            name = "" if is_array and not is_last else job.name
            units.append(_unit(recipe_of(spec, job), needs, chosen, name))
        except ValueError as error:
            problems.append(f"job {quoted(job.name)}: {error}")
    build, recipe = None, build_of(spec)
    if recipe is not None and not problems:
        try:
            build = _unit(recipe, spec.resources, _of_build(file.slurm, recipe), f"{spec.batch}-build")
        except ValueError as error:
            problems.append(f"the build: {error}")
    if spec.last_job is not None and not is_array and len(units) > MAX_WAITED_FOR + 1:
        problems.append(
            f"finally: {quoted(spec.last_job)} can wait for {MAX_WAITED_FOR:,} jobs at most, because SLURM "
            "must be told each; with arrays there is no limit: add --array"
        )
    if problems:
        raise InputError(*first_of(problems))
    return Plan(spec, cluster, upload, tuple(units), build, is_array)


def _own_sections(loaded: LoadedBatch) -> Iterator[Slurm | None]:
    """The section `slurm` of each job, in the order of the specification."""
    final = loaded.file.finally_
    return chain(loaded.slurm_of_jobs, [] if final is None else [final.slurm])


def _of_build(batch: Slurm | None, recipe: Recipe) -> Options:
    """The options of the batch that its build gets, too."""
    not_its = {"output", "error", "job_name", "signal", "begin", "dependency"}
    if recipe.timeout_s is not None:
        not_its |= {"time", "time_min"}
    return {
        name: value
        for name, value in merged(batch, None, waits_for="the build").items()
        if name not in not_its
    }


def _unit(recipe: Recipe, needs: Resources | None, chosen: Options, name: str) -> Unit:
    """The unit with all its options. An empty `name`: it is a task of an array, and shares its options."""
    defaults = {
        "job_name": default_name(name or recipe.names["DISTRIBUTE_BATCH"]),
        "output": "state/slurm-%j.log" if name else "state/slurm-%A_%a.log",
        "open_mode": "append",  # SLURM may run it again
    }
    options = {**defaults, **options_of(recipe, needs, chosen)}
    for option, value in options.items():
        check_value(option, value)
    return Unit(recipe, options, chosen)
