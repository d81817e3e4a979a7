"""Makes the specification of a batch from the checked sections of its file, and its files."""

from __future__ import annotations

import shlex
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar, assert_never

from distribute.config.file_refs import FileRef, Files, InputRef, own_name
from distribute.config.input_files import InputFiles, LocalFile
from distribute.config.input_trees import TreeKey
from distribute.config.jobs_file import (
    ApptainerBatch,
    ApptainerJob,
    CommandBatch,
    CommandJob,
    FinalJob,
    JobEntry,
    JobNeeds,
    JobsFile,
    PythonBatch,
    PythonJob,
)
from distribute.config.needs_sections import Gpus, Resources, SignalBefore
from distribute.config.sweep_jobs import Common, Needs, SweptJobs
from distribute.core import specs
from distribute.core.lean import without_fields_set
from distribute.inputs.listed import Listed
from distribute.inputs.together import PlaceInPack

J = TypeVar("J", bound=JobEntry)

Parameters = dict[str, specs.Scalar] | None
"""What a job is called with, by name."""


class Inputs:
    """The files of a batch, as the specification holds them. Jobs that share a file share its object."""

    def __init__(
        self,
        local: Mapping[str, LocalFile],
        listed: Mapping[TreeKey, Listed],
        files: InputFiles,
        places: Mapping[str, PlaceInPack] = MappingProxyType({}),
    ) -> None:
        """`places` are those of files that share objects, by path."""
        self._local = local
        self._places = places
        self._files = files
        self._listed = listed
        self._folders: dict[tuple[TreeKey, str | None], specs.InputFolder] = {}
        self._known: dict[tuple[str, str], specs.InputFile] = {}

    def one(self, written: FileRef) -> specs.InputFile:
        """The file that a reference names."""
        return self.named(written.path, written.name)

    def named(self, path: str, name: str) -> specs.InputFile:
        """The file at a path, under a name."""
        key = (path, name)
        if key not in self._known:
            if (made := self._files.made_at(path)) is not None:
                self._known[key] = made.file(name)
                return self._known[key]
            local, place = self._local[path], self._places.get(path)
            self._known[key] = without_fields_set(
                specs.InputFile(
                    alias=name,
                    sha256=local.sha256,
                    size_bytes=local.file.size_bytes,
                    executable=bool(local.file.mode & stat.S_IXUSR),
                    mode=local.file.mode,
                    mtime_ns=local.file.mtime_ns,
                    pack=place.pack if place is not None else None,
                    offset=place.offset if place is not None else None,
                )
            )
        return self._known[key]

    def input(self, path: str, name: str) -> specs.InputFile | specs.InputFolder:
        """The file or folder at a path, under a name, or what a glob matches."""
        listed = self._listed.get(TreeKey(path)) if self._listed else None
        if listed is None:
            return self.named(path, name)
        alias = None if listed.is_glob and name == own_name(path) else name
        return self._tree(TreeKey(path), alias)

    def all(self, written: Files) -> tuple[specs.InputFile, ...]:
        """The files of a list. One that is listed twice is sent once."""
        files = [file for file in written if _key(file) not in self._listed] if self._listed else written
        if len(files) < 2:  # as most jobs have it
            return tuple(self.one(file) for file in files)
        return tuple({file.name: self.one(file) for file in files}.values())

    def folders(self, written: Files) -> tuple[specs.InputFolder, ...]:
        """The folders of a list, and what its globs match. One that is listed twice is there once."""
        if not self._listed:
            return ()
        trees = [file for file in written if _key(file) in self._listed]
        return tuple(dict.fromkeys(self._folder(file) for file in trees))

    def _folder(self, written: InputRef) -> specs.InputFolder:
        key = _key(written)
        if key.ref is not None:
            return self._tree(key, written.alias or self._files.trees.name_of_checkout(key.path))
        return self._tree(key, written.alias if self._listed[key].is_glob else written.name)

    def _tree(self, key: TreeKey, alias: str | None) -> specs.InputFolder:
        listed = self._listed[key]
        if (key, alias) not in self._folders:
            pattern = key.path if listed.is_glob else None
            checkout = self._files.trees.checkouts.get(key)
            commit = checkout.commit if checkout is not None else None
            self._folders[key, alias] = listed.folder(alias, pattern, commit)
        return self._folders[key, alias]


def _key(written: InputRef) -> TreeKey:
    return TreeKey(written.path, written.exclude, written.git_ref)


def paths_of_all(jobs_file: JobsFile) -> set[str]:
    """The paths of files that are no job's input alone: the batch's, programs, and those of the last job."""
    written, final = jobs_file.work, jobs_file.finally_
    refs: list[FileRef] = [*written.initialize.required_files]
    match written:
        case PythonBatch():
            refs += [job.file for job in written.jobs]
            refs += filter(None, [written.initialize.build_file])
        case ApptainerBatch():
            refs.append(written.initialize.sif)
        case CommandBatch():
            pass
    if final is not None:
        refs += [*final.required_files, *filter(None, [final.file])]
    return {ref.path for ref in refs}


def specified(
    jobs_file: JobsFile,
    jobs: deque[JobEntry],
    swept: SweptJobs | None,
    inputs: Inputs,
    parameters: Iterable[Parameters],
) -> specs.BatchSpec:
    """The specification of a batch.

    `jobs` are those that are written out. Each is taken out of there: of 100,000, they have 80 MB.
    `parameters` are those of each of them, then of the one that runs last.
    """
    meta, written = jobs_file.meta, jobs_file.work
    return specs.BatchSpec(
        namespace=meta.namespace,
        batch=meta.batch_name,
        matrix_user=meta.matrix,
        notify=meta.notify or None,
        capabilities=frozenset(meta.capabilities),
        priority=meta.priority,
        resources=_resources(meta.resources),
        timeout_s=meta.timeout_s,
        build_timeout_s=meta.build_timeout_s,
        grace_s=meta.grace_s,
        signal_before=_signal_before(meta.signal_before),
        retries=meta.retries,
        max_running=meta.max_running,
        max_failures=meta.max_failures,
        not_before=meta.not_before,
        rebuild=meta.rebuild,
        setup=meta.setup or None,
        shell=tuple(shlex.split(meta.shell)) if meta.shell is not None else None,
        env=written.env,
        files=inputs.all(written.initialize.required_files),
        folders=inputs.folders(written.initialize.required_files) or None,
        last_job=jobs_file.finally_.name if jobs_file.finally_ is not None else None,
        work=_work(written, _Jobs(jobs, jobs_file.finally_, swept, inputs, iter(parameters))),
    )


@dataclass(slots=True)
class _Jobs:
    """Makes the jobs of a batch: those that are written out, those of a sweep, and the one that runs last."""

    listed: deque[JobEntry]
    final: FinalJob | None
    swept: SweptJobs | None
    inputs: Inputs
    parameters: Iterator[Parameters]

    def python(self, written: PythonBatch) -> Iterator[specs.PythonJob]:
        for job, common in self._of_kind(PythonJob):
            yield without_fields_set(
                specs.PythonJob(script=self.inputs.one(job.file), args=job.args, **common)
            )
        if self.swept and written.job:
            yield from self.swept.python(self.inputs.named, self.inputs.input, _needs(written.job))
        for final, common in self._last():
            if final.file is not None:
                yield specs.PythonJob(script=self.inputs.one(final.file), args=final.args, **common)

    def command(self, written: CommandBatch) -> Iterator[specs.CommandJob]:
        for job, common in self._of_kind(CommandJob):
            yield without_fields_set(specs.CommandJob(command=job.command, **common))
        if self.swept and written.job:
            yield from self.swept.command(self.inputs.input, _needs(written.job))
        for final, common in self._last():
            if final.command is not None:
                yield specs.CommandJob(command=final.command, **common)

    def apptainer(self, written: ApptainerBatch) -> Iterator[specs.ApptainerJob]:
        for _, common in self._of_kind(ApptainerJob):
            yield without_fields_set(specs.ApptainerJob(**common))
        if self.swept and written.job:
            yield from self.swept.apptainer(self.inputs.input, _needs(written.job))
        for _, common in self._last():
            yield specs.ApptainerJob(**common)

    def _of_kind(self, kind: type[J]) -> Iterator[tuple[J, Common]]:
        """Each job that is written out, with what all kinds have."""
        while self.listed:
            job = self.listed.popleft()
            assert isinstance(job, kind), "a batch has jobs of one kind"
            yield job, _common(job, self.inputs, next(self.parameters, None))

    def _last(self) -> Iterator[tuple[FinalJob, Common]]:
        """The job that runs last, if there is one."""
        if self.final is not None:
            yield self.final, _common(self.final, self.inputs, next(self.parameters, None))


def _work(written: PythonBatch | CommandBatch | ApptainerBatch, jobs: _Jobs) -> specs.Work:
    inputs = jobs.inputs
    match written:
        case PythonBatch():
            build_file = written.initialize.build_file
            build = inputs.one(build_file) if build_file is not None else None
            return specs.PythonWork(build=build, jobs=tuple(jobs.python(written)))
        case CommandBatch():
            return specs.CommandWork(build=written.initialize.build, jobs=tuple(jobs.command(written)))
        case ApptainerBatch():
            return specs.ApptainerWork(
                image=inputs.one(written.initialize.sif),
                mounts=written.initialize.required_mounts,
                jobs=tuple(jobs.apptainer(written)),
            )
    assert_never(written)


def _common(job: JobEntry, inputs: Inputs, parameters: Parameters) -> Common:
    return {
        "name": job.name,
        "files": inputs.all(job.required_files),
        "folders": inputs.folders(job.required_files) or None,
        "env": job.env,
        "parameters": parameters,
        **_needs(job),
    }


def _needs(job: JobNeeds) -> Needs:
    return {
        "resources": _resources(job.resources),
        "timeout_s": job.timeout_s,
        "grace_s": job.grace_s,
        "signal_before": _signal_before(job.signal_before),
        "retries": job.retries,
    }


def _signal_before(written: SignalBefore | None) -> specs.SignalBefore | None:
    if written is None:
        return None
    return specs.SignalBefore(signal=written.signal, before_s=written.before_s)


@lru_cache(maxsize=1024)  # most of 100,000 jobs ask for the same
def _resources(written: Resources | None) -> specs.Resources | None:
    if written is None:
        return None
    gpus = Gpus(count=written.gpus) if isinstance(written.gpus, int) else written.gpus
    kind = specs.GpuKind(memory_bytes=gpus.memory_bytes, model=gpus.model)
    return specs.Resources(
        cpus=written.cpus,
        memory_bytes=written.memory_bytes,
        gpus=gpus.count,
        gpu_kind=kind if gpus.count and kind != specs.GpuKind() else None,
    )
