"""Which files of a batch's results are wanted, and where they go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.manifests import read_manifest
from distribute.client.pull.note import NO_BATCH, Origin
from distribute.client.pull.target_folder import Parts, safe_parts, shown
from distribute.client.queries import no_such_batch
from distribute.client.results import outputs_listed, read_results
from distribute.core.errors import IntegrityError, LogReplaced
from distribute.core.files.manifest import (
    Entry,
    Manifest,
    Outputs,
    StoredFile,
    StoredFolder,
    StoredLink,
    StoredObject,
    build_output_name,
    is_build_output_name,
    link_target,
)
from distribute.core.ids import check_name
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.client.pull.filters import Filter
    from distribute.core.files.manifest import Outside
    from distribute.core.ids import BatchId
    from distribute.core.log.events import AttemptEnd, BuildEnd
    from distribute.ports import ArtifactStore, Cluster

UNREADABLE = (IntegrityError, ValueError)
"""What reading a manifest raises: the errors of pydantic, base64 and codecs are ValueErrors."""


class StoredContent(NamedTuple):
    """What a file is, and where in its object it begins. A `StoredFile` takes three times the memory."""

    size_bytes: int
    sha256: str
    executable: bool = False
    mode: int | None = None
    mtime_ns: int | None = None
    offset: int = 0


class WantedFile(NamedTuple):
    """A file that goes to `parts`, below the target folder."""

    parts: Parts
    file: StoredContent


class LeftOut(NamedTuple):
    """Something of a job's results that its node could not archive, and why."""

    job: str
    text: str


@dataclass(slots=True)
class Known:
    """Results that need not be listed again: sequences and ids of the events that list them.

    Whoever passes sequences does not read the events. After the end of a log was lost, other events may have
    them; an id is for ever.
    """

    seqs: set[int] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Listing:
    """The wanted files, links and folders of a batch. Paths are below the target folder."""

    origin: Origin = NO_BATCH
    """The batch."""
    base: Parts = ()
    """The folder of the batch, below the target folder."""
    attempts: dict[bytes, int] = field(default_factory=dict)
    """By the folder of each job whose list of files was read: which attempt left them."""
    complete: bool = False
    """Are all results of the batch in the archive? False: it is not over, or they are not archived yet."""
    jobs: int = 0
    """The number of jobs that have results in the archive."""
    ends: dict[int, str] = field(default_factory=dict)
    """The events that list what jobs left: the id of each, by its sequence."""
    files: list[tuple[StoredObject | None, WantedFile]] = field(default_factory=list)
    """Each file with the object that holds it. An empty file has none."""
    links: list[tuple[Parts, str]] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    filtered: list[Parts] = field(default_factory=list)
    """The files and links that the filter excludes."""
    left_out: list[LeftOut] = field(default_factory=list)
    outside: dict[str, Outside] = field(default_factory=dict)
    """By job: the files that it left outside its folder of results."""
    problems: list[str] = field(default_factory=list)
    """What can't be pulled, with the reasons."""
    lost: int = 0
    """So many of these are about jobs whose results the archive has lost for ever."""

    @property
    def size_bytes(self) -> int:
        """The size of all wanted files."""
        return sum(wanted.file.size_bytes for _, wanted in self.files)


async def list_results(
    cluster: Cluster,
    batch: BatchId,
    wanted: Filter,
    *,
    folders: bool = True,
    base: Parts | None = None,
    known: Known | None = None,
) -> Listing:
    """List the results of a batch that are in the archive and pass the filter, in the order of their ends.

    Jobs, manifests and entries that can't be read are named in `problems`; the others are still listed.

    Args:
        cluster: where the batch is.
        batch: which.
        wanted: which of its files.
        folders: list empty folders, too, and a folder for every job, whatever the filter.
        base: the batch's folder, below the target folder; None: it has the batch's name.
        known: list the results of jobs without these. Then patterns are not checked.

    Raises:
        Refused: there is no such batch.
        InputError: a pattern is neither a regular expression nor a piece of any path.
    """
    while True:
        try:
            place = folder_of(batch) if base is None else base
            return await _list_results(cluster, batch, wanted, folders=folders, base=place, known=known)
        except LogReplaced:
            continue  # as after a restore from an older copy: what was read is invalid, so read again


def folder_of(batch: BatchId, *, namespace: bool = False) -> Parts:
    """The batch's folder below the target folder: BATCH, as in the first `distribute`, or NAMESPACE/BATCH."""
    name = os.fsencode(batch.batch)
    return (os.fsencode(batch.namespace), name) if namespace else (name,)


async def _list_results(
    cluster: Cluster, batch: BatchId, wanted: Filter, *, folders: bool, base: Parts, known: Known | None
) -> Listing:
    results = await read_results(cluster, batch)
    if not results.course.exists:
        raise no_such_batch(batch)
    course = results.course
    listed = Listing(Origin(*batch, course.submission, course.submitted_at), base, complete=course.archived)
    lister = _Lister(cluster.store, batch, wanted, listed, folders=folders, base=base)
    seqs, ids = (known.seqs, known.ids) if known is not None else ((), ())
    found = 0
    async with aclosing(outputs_listed(cluster, batch, results, seqs)) as ends:
        async for seq, ended in ends:
            found += 1
            if ended.id not in ids:
                listed.ends[seq] = ended.id
                await lister.list_job(ended.job, ended)
    lost = sum(seq not in seqs for seq in results.seqs) - found
    listed.jobs = len(results.seqs) - lost
    if lost:
        listed.problems.append(
            f"{lister.at()}: the log has lost what lists the results of {counted(lost, 'job')}"
        )
    for job, missing in results.missing.items():
        listed.problems.append(f"{lister.at(os.fsencode(job))}: its results are gone: {missing}")
        listed.lost += 1
    for build in results.builds.values():
        await lister.list_build(build)
    if known is None:
        wanted.check(lister.paths())
    return listed


class _Lister:
    """Fills a `Listing`."""

    def __init__(
        self,
        store: ArtifactStore,
        batch: BatchId,
        wanted: Filter,
        listed: Listing,
        *,
        folders: bool,
        base: Parts,
    ) -> None:
        self._store = store
        self._batch = (os.fsencode(batch.namespace), os.fsencode(batch.batch))
        self._base = base
        self._wanted = wanted
        self._listed = listed
        self._folders = folders

    def at(self, *parts: bytes) -> str:
        """`NAMESPACE/BATCH/…`, for messages."""
        return shown((*self._batch, *parts))

    def paths(self) -> Iterator[str]:
        """The paths that were filtered, wanted or not: `NAMESPACE/BATCH/JOB/…`."""
        found = [parts for _, (parts, _) in self._listed.files]
        for parts in (*found, *(parts for parts, _ in self._listed.links), *self._listed.filtered):
            yield self._whole(parts[len(self._base) :])

    async def list_job(self, job: str, ended: AttemptEnd) -> None:
        """Add what a job left."""
        name = os.fsencode(job)
        try:
            check_name(job)  # it becomes a folder, and anyone may have written it to the log
            if self._folders:
                self._listed.folders.append((*self._base, name))
            if ended.outputs is not None and ended.outputs.outside is not None:
                self._listed.outside[job] = ended.outputs.outside
            if ended.outputs is None:
                self._listed.attempts[name] = ended.attempt
                return
            manifest = await self._read(ended.outputs, name)
        except UNREADABLE as error:
            self._report(name, error)
            return
        self._listed.attempts[name] = ended.attempt
        for entry in manifest.entries:
            try:
                self._list_entry(manifest, entry, (name, *safe_parts(entry)))
            except UNREADABLE as error:  # this one alone is left out
                self._report(name, error)

    async def list_build(self, build: BuildEnd) -> None:
        """Add what a build printed. A build leaves nothing else."""
        if build.outputs is None:
            return
        name = os.fsencode(build_output_name(build.batch, build.node))
        try:
            manifest = await self._read(build.outputs, name)
        except UNREADABLE as error:
            self._report(name, error)
            return
        for entry in manifest.entries:
            try:
                parts = safe_parts(entry)
                is_right = is_build_output_name(entry.path, build.batch, build.node)
                if parts != (os.fsencode(entry.path),) or not is_right or not isinstance(entry, StoredFile):
                    raise IntegrityError(f"its list of files names {entry.path!r}, which no build leaves")
                self._list_entry(manifest, entry, parts)
            except UNREADABLE as error:
                self._report(name, error)

    async def _read(self, outputs: Outputs, name: bytes) -> Manifest:
        """Read the manifest of a job or build. Notes what it left out, and what can't be read of it."""
        manifest, problems = await read_manifest(self._store, outputs)
        self._listed.left_out.extend(LeftOut(shown((name,)), line) for line in manifest.left_out)
        self._listed.problems.extend(f"{self.at(name)}: can't be pulled: {problem}" for problem in problems)
        return manifest

    def _list_entry(self, manifest: Manifest, entry: Entry, path: Parts) -> None:
        place = (*self._base, *path)
        if entry.kind != "folder" and not (self._wanted.is_all or self._wanted.wants(self._whole(path))):
            self._listed.filtered.append(place)
            return
        match entry:
            case StoredFile():
                content = StoredContent(
                    entry.size_bytes,
                    entry.sha256,
                    entry.executable,
                    entry.mode,
                    entry.mtime_ns,
                    entry.offset,
                )
                self._listed.files.append((_object_of(manifest, entry), WantedFile(place, content)))
            case StoredLink():
                self._listed.links.append((place, link_target(entry)))
            case StoredFolder():
                if self._folders:
                    self._listed.folders.append(place)

    def _whole(self, path: Parts) -> str:
        return os.fsdecode(b"/".join((*self._batch, *path)))

    def _report(self, name: bytes, error: Exception) -> None:
        """Note what can't be read."""
        self._listed.problems.append(f"{self.at(name)}: can't be pulled: {error}")


def _object_of(manifest: Manifest, entry: StoredFile) -> StoredObject | None:
    if entry.object is None:
        if entry.size_bytes:
            raise IntegrityError(f"its list of files names no object for {entry.path!r}")
        return None
    if entry.object >= len(manifest.objects):
        raise IntegrityError(f"its list of files has no object {entry.object}")
    return manifest.objects[entry.object]
