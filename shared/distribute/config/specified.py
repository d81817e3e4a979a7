"""Makes the specification of a batch from the checked sections of its file, and its files."""

from __future__ import annotations

import shlex
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, assert_never

from distribute.config.checking.input_files import InputFiles, LocalFile
from distribute.config.checking.input_trees import Named, TreeKey
from distribute.config.sections.file_refs import FileRef, Files, InputRef
from distribute.config.sections.jobs_file import (
    ApptainerBatch,
    ApptainerJob,
    CommandBatch,
    CommandJob,
    FinalJob,
    JobEntry,
    JobsFile,
    PythonBatch,
    PythonJob,
)
from distribute.config.sections.needs import needs_of, resources_of, signal_before_of
from distribute.config.sweep.sweep_jobs import Common, SweptJobs
from distribute.core.errors import InputError
from distribute.core.lean import without_fields_set
from distribute.core.spec import specs
from distribute.core.spec.git_commit import MAX_PATTERN_CHARS
from distribute.core.words import LONGEST_QUOTED_PATH, few, quoted
from distribute.inputs.listed import Hasher, Listed
from distribute.inputs.patterns import in_lines
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
        hasher: Hasher,
        places: dict[str, PlaceInPack],
    ) -> None:
        """`hasher` has read all. `local` are the files by path, `places` those of files that share objects.

        Of 100,000 files, these take 30 MB. So each goes once it is specified, and is taken out of `places`.
        """
        self.trees: dict[str, Listed] = {}
        """The folders that the batch has, and what its globs matched, by digest: once all was asked for."""
        self._hasher = hasher
        self._by_path: dict[str, LocalFile | specs.InputFile] = {**local}
        self._places = places
        self._files = files
        self._listed = listed
        self._folders: dict[tuple[Named, ...], specs.InputFolder] = {}
        self._renamed: dict[tuple[str, str], specs.InputFile] = {}
        """Files under other names than the one that a job gave them first."""

    def one(self, written: FileRef) -> specs.InputFile:
        """The file that a reference names."""
        return self.named(written.path, written.name)

    def named(self, path: str, name: str) -> specs.InputFile:
        """The file at a path, under a name."""
        first, key = self._by_path.get(path), (path, name)
        if not isinstance(first, specs.InputFile):
            first = self._by_path[path] = self._first(path, name, first)
        if first.alias == name:
            return first
        if key not in self._renamed:
            self._renamed[key] = without_fields_set(specs.InputFile(**{**dict(first), "alias": name}))
        return self._renamed[key]

    def _first(self, path: str, name: str, local: LocalFile | None) -> specs.InputFile:
        if local is None:
            made = self._files.made_at(path)
            assert made is not None, "what is in no file was made"
            return made.file(name)
        place = self._places.pop(path, None)
        return without_fields_set(
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

    def file(self, named: Named) -> specs.InputFile:
        """A file of a job of a sweep, by its path and alias: its script, or an input."""
        return self.named(named.key.path, self._files.name_of(*named))

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
        named = (Named(_key(file), file.alias) for file in written)
        return self._folders_of([one for one in named if one.key in self._listed])

    def of(
        self, inputs: Sequence[Named]
    ) -> tuple[tuple[specs.InputFile, ...], tuple[specs.InputFolder, ...]]:
        """The files of a list, and its folders with what its globs match. Each is there once."""
        trees = [one for one in inputs if one.key in self._listed] if self._listed else []
        files = (self.file(one) for one in inputs if not trees or one.key not in self._listed)
        return tuple({file.alias: file for file in files}.values()), self._folders_of(trees)

    def _folders_of(self, trees: Sequence[Named]) -> tuple[specs.InputFolder, ...]:
        groups = [[one] for one in trees] if len(trees) < 2 else self._files.trees.together(trees)
        return tuple(dict.fromkeys(self._folder(tuple(group)) for group in groups))

    def _folder(self, group: tuple[Named, ...]) -> specs.InputFolder:
        """One folder of a list, or what globs match that share a name at the top of `input`."""
        if group not in self._folders:
            key, alias = group[0]
            listed = self._listed[key] if len(group) == 1 else self._united(group)
            checkout = self._files.trees.checkouts.get(key)
            self._folders[group] = listed.folder(
                alias if listed.is_glob else self._files.name_of(key, alias),
                in_lines(one.key.path for one in group) if listed.is_glob else None,
                checkout.commit if checkout is not None else None,
            )
            self.trees[listed.sha256] = listed
        return self._folders[group]

    def _united(self, group: Sequence[Named]) -> Listed:
        """What globs match that share a name. Raises InputError if that can't be sent."""
        keys = [one.key for one in group]
        label = few([quoted(key.path, LONGEST_QUOTED_PATH) for key in keys])
        if sum(len(key.path) + 1 for key in keys) > MAX_PATTERN_CHARS:
            raise InputError(
                f"{label} lie in one folder, and have more than {MAX_PATTERN_CHARS} characters together; "
                "write one glob for them"
            )
        return self._hasher.quiet().listed(self._files.trees.united(keys), label)


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
        resources=resources_of(meta.resources),
        timeout_s=meta.timeout_s,
        build_timeout_s=meta.build_timeout_s,
        grace_s=meta.grace_s,
        signal_before=signal_before_of(meta.signal_before),
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

    def python(self) -> Iterator[specs.PythonJob]:
        for job, common in self._of_kind(PythonJob):
            yield without_fields_set(
                specs.PythonJob(script=self.inputs.one(job.file), args=job.args, **common)
            )
        if self.swept:
            yield from self.swept.python(self.inputs.file, self.inputs.of)
        for final, common in self._last():
            if final.file is not None:
                yield specs.PythonJob(script=self.inputs.one(final.file), args=final.args, **common)

    def command(self) -> Iterator[specs.CommandJob]:
        for job, common in self._of_kind(CommandJob):
            yield without_fields_set(specs.CommandJob(command=job.command, **common))
        if self.swept:
            yield from self.swept.command(self.inputs.of)
        for final, common in self._last():
            if final.command is not None:
                yield specs.CommandJob(command=final.command, **common)

    def apptainer(self) -> Iterator[specs.ApptainerJob]:
        for _, common in self._of_kind(ApptainerJob):
            yield without_fields_set(specs.ApptainerJob(**common))
        if self.swept:
            yield from self.swept.apptainer(self.inputs.of)
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
            return specs.PythonWork(build=build, jobs=tuple(jobs.python()))
        case CommandBatch():
            return specs.CommandWork(build=written.initialize.build, jobs=tuple(jobs.command()))
        case ApptainerBatch():
            return specs.ApptainerWork(
                image=inputs.one(written.initialize.sif),
                mounts=written.initialize.required_mounts,
                jobs=tuple(jobs.apptainer()),
            )
    assert_never(written)


def _common(job: JobEntry, inputs: Inputs, parameters: Parameters) -> Common:
    return {
        "name": job.name,
        "files": inputs.all(job.required_files),
        "folders": inputs.folders(job.required_files) or None,
        "env": job.env,
        "parameters": parameters,
        **needs_of(job),
    }
