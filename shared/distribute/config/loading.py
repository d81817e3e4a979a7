"""Turns a `distribute-jobs.yaml` into what is submitted: the batch and its files."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, assert_never

from pydantic import ConfigDict

from distribute.collector import collector_paused
from distribute.config.check import check
from distribute.config.input_files import InputFiles, LocalFile
from distribute.config.jobs_file import (
    ApptainerBatch,
    CommandBatch,
    FileRef,
    Files,
    Gpus,
    JobEntry,
    JobsFile,
    Meta,
    PythonBatch,
    Resources,
)
from distribute.config.problems import validate
from distribute.config.section import Section
from distribute.config.yaml_source import Document
from distribute.core import specs
from distribute.core.errors import InputError
from distribute.core.ids import BatchId


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """A batch that is ready to be submitted.

    `sources` are the local files to upload, by sha256. `file` is the jobs file, with its SLURM section.
    """

    spec: specs.BatchSpec
    sources: Mapping[str, Path]
    file: JobsFile


class _Head(Section):
    """The part of a jobs file that names the batch."""

    model_config = ConfigDict(extra="ignore")

    meta: Meta


def load(path: Path) -> LoadedBatch:
    """Read, check and complete the batch described in the file at `path`.

    Raises:
        InputError: it holds every problem of the file, one line each.
    """
    with collector_paused():  # collecting would cost a third of the time
        try:
            return _loaded(path)
        except InputError as error:
            # Frames hold the whole document. Without them, the collector has nothing to look at.
            problems = error.problems
        raise InputError(*problems)


def _loaded(path: Path) -> LoadedBatch:
    files = InputFiles(path.parent)
    document = Document.read(
        path,
        if_missing="write the path of a batch's YAML file, "
        f"or make one with `distribute template command --output {path}`",
    )
    jobs_file = check(document, files)
    local = files.read_all()
    return LoadedBatch(
        spec=_batch(jobs_file, _Inputs(local)),
        sources={file.sha256: file.path for file in local.values()},
        file=jobs_file,
    )


def batch_named_in(path: Path) -> BatchId:
    """The name of the batch that the file at `path` describes. Ignores its jobs and files.

    Raises:
        InputError: the file can't be read, or its `meta` is wrong.
    """
    document = Document.read(path, if_missing="write NAMESPACE/BATCH, or the path of the batch's YAML file")
    head, found = validate(document, _Head)
    if head is None:
        document.found += found
        raise InputError(*document.lines(document.found))
    return BatchId(head.meta.namespace, head.meta.batch_name)


class _Inputs:
    """The files of a batch, as the specification holds them. Jobs that share a file share its object."""

    def __init__(self, local: Mapping[str, LocalFile]) -> None:
        self._local = local
        self._known: dict[tuple[str, str], specs.InputFile] = {}

    def one(self, written: FileRef) -> specs.InputFile:
        key = (written.path, written.name)
        if key not in self._known:
            file = self._local[written.path]
            self._known[key] = specs.InputFile(
                alias=written.name,
                sha256=file.sha256,
                size_bytes=file.size_bytes,
                executable=bool(file.mode & stat.S_IXUSR),
                mode=file.mode,
                mtime_ns=file.mtime_ns,
            )
        return self._known[key]

    def all(self, written: Files) -> tuple[specs.InputFile, ...]:
        return tuple(self.one(file) for file in written)


def _batch(jobs_file: JobsFile, inputs: _Inputs) -> specs.BatchSpec:
    meta, written = jobs_file.meta, jobs_file.work
    return specs.BatchSpec(
        namespace=meta.namespace,
        batch=meta.batch_name,
        matrix_user=meta.matrix,
        capabilities=frozenset(meta.capabilities),
        priority=meta.priority,
        resources=_resources(meta.resources),
        timeout_s=meta.timeout_s,
        build_timeout_s=meta.build_timeout_s,
        retries=meta.retries,
        rebuild=meta.rebuild,
        env=written.env,
        files=inputs.all(written.initialize.required_files),
        work=_work(written, inputs),
    )


def _work(written: PythonBatch | CommandBatch | ApptainerBatch, inputs: _Inputs) -> specs.Work:
    match written:
        case PythonBatch():
            return specs.PythonWork(
                build=inputs.one(written.initialize.build_file),
                jobs=tuple(
                    specs.PythonJob(script=inputs.one(job.file), **_common(job, inputs))
                    for job in written.jobs
                ),
            )
        case CommandBatch():
            return specs.CommandWork(
                build=written.initialize.build,
                jobs=tuple(
                    specs.CommandJob(command=job.command, **_common(job, inputs)) for job in written.jobs
                ),
            )
        case ApptainerBatch():
            return specs.ApptainerWork(
                image=inputs.one(written.initialize.sif),
                mounts=written.initialize.required_mounts,
                jobs=tuple(specs.ApptainerJob(**_common(job, inputs)) for job in written.jobs),
            )
    assert_never(written)


class _Common(TypedDict):
    name: str
    files: tuple[specs.InputFile, ...]
    resources: specs.Resources | None
    timeout_s: float | None
    retries: int | None
    env: dict[str, str]


def _common(job: JobEntry, inputs: _Inputs) -> _Common:
    return {
        "name": job.name,
        "files": inputs.all(job.required_files),
        "resources": _resources(job.resources),
        "timeout_s": job.timeout_s,
        "retries": job.retries,
        "env": job.env,
    }


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
