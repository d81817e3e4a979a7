"""Turns a `distribute-jobs.yaml` into what is submitted: the batch and its files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from pydantic import ConfigDict

from distribute.collector import collector_paused
from distribute.config.checking.check import check, refuse_nodes_file
from distribute.config.checking.input_files import InputFiles
from distribute.config.option_values import OptionValues
from distribute.config.sections.jobs_file import JobEntry, JobsFile, Meta
from distribute.config.sections.problems import validate
from distribute.config.sections.section import Section
from distribute.config.sections.slurm_section import Slurm, warnings_of
from distribute.config.sections.values import Values
from distribute.config.specified import Inputs, Parameters, paths_of_all, specified
from distribute.config.sweep.sweep_jobs import SweptJobs
from distribute.config.yaml.yaml_source import Document
from distribute.core.errors import InputError, InvalidArgument
from distribute.core.ids import BatchId
from distribute.core.spec import specs
from distribute.inputs.committed import CommittedFiles
from distribute.inputs.digests import Digests
from distribute.inputs.listed import Hasher
from distribute.inputs.made import MadeContents
from distribute.inputs.sources import Source
from distribute.inputs.together import put_together


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """A batch that is ready to be submitted.

    `sources` are what is to be uploaded, by sha256; a path is that of a file. `objects` are those of each
    folder, by the sha256 of its listing. `file` is the jobs file without the jobs that are written out, and
    `slurm_of_jobs` has the SLURM section of each of these, then of each of the sweep. `warnings` are what
    looks wrong in the file, one line each, and kept us from nothing. `checkouts` keep the files of git
    commits as long as this batch is there.
    """

    spec: specs.BatchSpec
    sources: Mapping[str, Path | Source]
    file: JobsFile
    slurm_of_jobs: tuple[Slurm | None, ...] = ()
    warnings: tuple[str, ...] = ()
    checkouts: tuple[CommittedFiles, ...] = ()
    objects: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def sources_of(self, digests: Collection[str]) -> dict[str, Path | Source]:
        """The sources of these files and folders, with everything in the folders."""
        wanted = {each for sha256 in digests for each in self.objects.get(sha256, (sha256,))}
        return {sha256: source for sha256, source in self.sources.items() if sha256 in wanted}


class _Head(Section):
    """The part of a jobs file that names the batch."""

    model_config = ConfigDict(extra="ignore")

    meta: Meta


OnRead = Callable[[int, int], None]
"""Is told how many bytes of the inputs are read, and of how many: first 0, then the rest by other threads."""


def _tell_nobody(done: int, total: int) -> None:
    """Nobody watches."""


def load(
    path: Path, digests: Digests | None = None, on_read: OnRead = _tell_nobody, *, dirty: bool = False
) -> LoadedBatch:
    """Read, check and complete the batch described in the file at `path`.

    `digests`: those of files that need not be read again. `dirty`: take git checkouts with changes that are
    not committed.

    Raises:
        InputError: it holds every problem of the file, one line each.
    """
    with collector_paused():  # collecting would cost a third of the time
        try:
            return _loaded(path, digests, on_read, dirty=dirty)
        except InputError as error:
            # Frames hold the whole document. Without them, the collector has nothing to look at.
            problems = error.problems
        raise InputError(*problems)


def load_options(
    values: OptionValues, folder: Path, digests: Digests | None = None, on_read: OnRead = _tell_nobody
) -> LoadedBatch:
    """The batch that the options of a command line describe. Paths are relative to `folder`.

    Raises:
        InputError: it holds every problem, one line each.
    """
    with collector_paused():
        return _completed(values, InputFiles(folder, "this folder"), digests, on_read)


def load_values(
    described: Callable[[], Values], folder: Path, made: MadeContents, parameters: Iterable[Parameters]
) -> LoadedBatch:
    """The batch that values of Python describe. Paths are relative to `folder`, or name one of `made`.

    `described` makes the values, which nothing else may hold: of 100,000 jobs, they have 100 MB.
    `parameters` are those of each job.

    Raises:
        InvalidArgument: it holds every problem, one line each.
    """
    with collector_paused():
        try:
            files = InputFiles(folder, "the current folder", made)
            return _completed(described(), files, parameters=parameters)
        except InputError as error:
            problems = error.problems
        raise InvalidArgument(*problems)


def _loaded(path: Path, digests: Digests | None, on_read: OnRead, *, dirty: bool) -> LoadedBatch:
    advice = f"or make one with `distribute template command --output {path}`"
    missing = f"write the path of a batch's YAML file, {advice}"
    # `_completed` alone holds the document, and lets it go.
    files = InputFiles(path.parent, dirty=dirty)
    return _completed(Document.read(path, if_missing=missing), files, digests, on_read)


def _completed(
    document: Document,
    files: InputFiles,
    digests: Digests | None = None,
    on_read: OnRead = _tell_nobody,
    parameters: Iterable[Parameters] = repeat(None),
) -> LoadedBatch:
    jobs_file = check(document, files)
    swept = SweptJobs(document, jobs_file, files) if jobs_file.sweep is not None else None
    warnings = tuple(document.lines(warnings_of(document, jobs_file.kind)))
    del document  # of 100,000 jobs, it has 60 MB
    hasher = _hasher(files.size_bytes, digests, on_read)
    local, listed = files.read_all(hasher), files.trees.read_all(hasher)
    of_all = paths_of_all(jobs_file)
    together = put_together({path: each for path, each in local.items() if path not in of_all}, hasher)
    alone = (each for path, each in local.items() if path not in together.places)
    sources: dict[str, Path | Source] = {**together.sources, **{each.sha256: each.path for each in alone}}
    inputs = Inputs(local, listed, files, hasher, together.places)
    del local  # `inputs` lets each go once it is specified
    jobs = deque[JobEntry](jobs_file.work.jobs)
    slurm_of_listed = tuple(job.slurm for job in jobs)
    jobs_file = jobs_file.without_jobs()
    spec = specified(jobs_file, jobs, swept, inputs, parameters)
    for made in (files.made, swept.made if swept is not None else None):
        sources |= made.sources if made is not None else {}
    for tree in inputs.trees.values():
        sources |= tree.sources
    return LoadedBatch(
        spec=spec,
        sources=sources,
        checkouts=tuple(one.files for one in files.trees.checkouts.values() if one.files is not None),
        objects={tree.sha256: frozenset(tree.sources) for tree in inputs.trees.values()},
        file=jobs_file,
        slurm_of_jobs=(*slurm_of_listed, *(swept.slurm if swept is not None else ())),
        warnings=warnings,
    )


def _hasher(total_bytes: int, digests: Digests | None, on_read: OnRead) -> Hasher:
    """What reads the inputs, and tells how far it is."""
    done_bytes = 0

    def tell(more_bytes: int) -> None:
        nonlocal done_bytes
        done_bytes += more_bytes
        on_read(done_bytes, total_bytes)

    tell(0)
    return Hasher(digests, tell)


def batch_named_in(path: Path) -> BatchId:
    """The name of the batch that the file at `path` describes. Ignores its jobs and files.

    Raises:
        InputError: the file can't be read, or its `meta` is wrong.
    """
    document = Document.read(path, if_missing="write NAMESPACE/BATCH, or the path of the batch's YAML file")
    refuse_nodes_file(document)
    head, found = validate(document, _Head)
    if head is None:
        document.found += found
        raise InputError(*document.lines(document.found))
    return BatchId(head.meta.namespace, head.meta.batch_name)
