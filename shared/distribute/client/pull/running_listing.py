"""Which files of jobs that run are wanted, and where they go."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from distribute.client.pull.running import RunningFile
from distribute.client.pull.target_folder import Parts, shown
from distribute.core.files.manifest import STDOUT_NAME, link_stays_inside
from distribute.core.spec.recipe import SAVE
from distribute.core.spec.visits import Entry, FilesFound, path_bytes

if TYPE_CHECKING:
    from distribute.client.pull.filters import Filter
    from distribute.core.ids import JobId

WORKSPACE = b"workspace"
"""The folder, in that of a job, for files that are not in the folder of its results."""

_STDOUT = os.fsencode(STDOUT_NAME)
_SAVE = os.fsencode(SAVE)
_NO_NAMES = frozenset({b"", b".", b".."})


@dataclass(slots=True)
class RunningListing:
    """The wanted files, links and empty folders of one job that runs. Paths are below the target folder."""

    files: list[RunningFile] = field(default_factory=list)
    links: list[tuple[Parts, str]] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    filtered: list[Parts] = field(default_factory=list)
    """The files and links that the filter excludes."""
    left_out: list[str] = field(default_factory=list)
    """What is not fetched, and why."""
    problems: list[str] = field(default_factory=list)
    """What its node can't list, with the reasons."""

    @property
    def size_bytes(self) -> int:
        """The size of all wanted files."""
        return sum(file.size_bytes for file in self.files)


def list_running(job: JobId, found: FilesFound, wanted: Filter, base: Parts) -> RunningListing:
    """What of a job's files is wanted, and where it goes: results to JOB/…, others to JOB/workspace/…."""
    listing = RunningListing()
    name = os.fsencode(job.job)
    listing.problems += [f"{job.job}: {line}" for line in found.unread]
    if found.is_part:
        listing.problems.append(f"{job.job}: it has too many files: some are not listed")
    if found.results is None:
        listing.left_out.append(f"{job.job}/{SAVE}: it is gone, or a link that leads out of the job's folder")
    printed = Entry("file", "", found.printed_bytes, 0, 0o644, 0)
    for entry, parts in itertools.chain([(printed, (_STDOUT,))], _placed(found)):
        place = (*base, name, *parts)
        whole = os.fsdecode(b"/".join((*map(os.fsencode, job), *parts)))
        if entry.kind == "folder":
            listing.folders.append(place)
        elif not (wanted.is_all or wanted.wants(whole)):
            listing.filtered.append(place)
        elif entry.kind == "file":
            listing.files.append(RunningFile(place, *entry[1:6]))
        else:
            target = os.fsdecode(path_bytes(entry.target))
            if link_stays_inside(os.fsdecode(b"/".join(parts)), target):
                listing.links.append((place, target))
            else:
                listing.left_out.append(f"{shown((name, *parts))}: a link that leads out, to {target!r}")
    return listing


def _placed(found: FilesFound) -> Iterator[tuple[Entry, Parts]]:
    """Each entry with its path in the folder of the job. Raises `ValueError` if that is none."""
    results = path_bytes(found.results) if found.results is not None else None
    above = tuple(results.split(b"/")) if results else ()
    taken: set[bytes] = set()
    others: list[tuple[Entry, Parts]] = []
    for entry in found.entries:
        parts = tuple(path_bytes(entry.path).split(b"/"))
        if not _NO_NAMES.isdisjoint(parts) or b"\0" in path_bytes(entry.path):
            raise ValueError(f"its node lists {entry.path!r}, which is no path in its folder")
        if results is None or parts[: len(above)] != above or len(parts) == len(above):
            others.append((entry, parts))
            continue
        below = parts[len(above) :]
        taken.add(below[0])
        yield entry, (_SAVE, *below) if below[0] == _STDOUT else below
    folder = next(name for name in _free(WORKSPACE) if name not in taken)
    for entry, parts in others:
        if entry.kind != "folder":  # nobody misses the empty ones
            yield entry, (folder, *parts)


def _free(name: bytes) -> Iterator[bytes]:
    yield name
    yield from (b"%s-%d" % (name, number) for number in itertools.count(2))
