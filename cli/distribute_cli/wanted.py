"""Which files of a batch's results are wanted, and where they are to go."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from distribute.core.errors import IntegrityError
from distribute.core.manifest import (
    Manifest,
    Outputs,
    StoredFile,
    StoredFolder,
    StoredLink,
    StoredObject,
)
from distribute_cli.filters import Filter
from distribute_cli.output import Document
from distribute_cli.results import Archived, manifest_of
from distribute_cli.safe_files import Parts, safe_parts, shown

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file to be brought to `parts`, below the target folder."""

    parts: Parts
    file: StoredFile


@dataclass(slots=True)
class Wanted:
    """What of a batch is wanted. Paths are below the target folder."""

    files: list[tuple[StoredObject | None, WantedFile]] = field(default_factory=list)
    links: list[tuple[Parts, str]] = field(default_factory=list)
    folders: list[Parts] = field(default_factory=list)
    filtered: list[Parts] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return sum(wanted.file.size_bytes for _, wanted in self.files)

    def document(self) -> Document:
        """As `pull --dry` shows it."""
        files = [
            {"path": shown(wanted.parts), "size_bytes": wanted.file.size_bytes, "sha256": wanted.file.sha256}
            for _, wanted in self.files
        ]
        return {"files": files, "filtered": [shown(parts) for parts in self.filtered]}


async def find_wanted(
    cluster: Cluster, batch: BatchId, archived: Archived, wanted_paths: Filter, *, folders: bool
) -> Wanted:
    """List what the filter lets through. With `folders`, those that hold nothing wanted are made too."""
    wanted = Wanted()
    base = (os.fsencode(batch.namespace), os.fsencode(batch.batch))
    for job, finished in archived.jobs.items():
        name = os.fsencode(job)
        if folders:
            wanted.folders.append((*base, name))
        await _list_outputs(cluster, wanted, base, (name,), finished.outputs, wanted_paths, folders)
    wanted.problems.extend(
        f"{shown((*base, os.fsencode(job)))}: its results are gone: {missing}"
        for job, missing in archived.missing.items()
    )
    for build in archived.builds.values():
        await _list_outputs(cluster, wanted, base, (), build.outputs, wanted_paths, folders)
    return wanted


async def _list_outputs(
    cluster: Cluster,
    wanted: Wanted,
    base: Parts,
    job: Parts,
    outputs: Outputs | None,
    wanted_paths: Filter,
    folders: bool,
) -> None:
    """Add what one job, or one build (`job` is empty), left."""
    if outputs is None:
        return
    try:
        manifest = await manifest_of(cluster, outputs)
    except (IntegrityError, ValidationError) as error:
        wanted.problems.append(f"{shown((*base, *job))}: its list of files can't be read: {error}")
        return
    wanted.left_out.extend(f"{shown((*base, *job))}: {line}" for line in manifest.left_out)
    for entry in manifest.entries:
        try:
            path = (*job, *safe_parts(entry))
        except IntegrityError as error:
            wanted.problems.append(f"{shown((*base, *job))}: {error}")
            continue
        if not wanted_paths.wants(os.fsdecode(b"/".join(path))):
            wanted.filtered.append((*base, *path))
            continue
        match entry:
            case StoredFile():
                _list_file(wanted, manifest, WantedFile((*base, *path), entry))
            case StoredLink():
                wanted.links.append(((*base, *path), entry.target))
            case StoredFolder():
                if folders:
                    wanted.folders.append((*base, *path))


def _list_file(wanted: Wanted, manifest: Manifest, file: WantedFile) -> None:
    index = file.file.object
    if index is None:
        wanted.files.append((None, file))
    elif index < len(manifest.objects):
        wanted.files.append((manifest.objects[index], file))
    else:
        wanted.problems.append(f"{shown(file.parts)}: its list of files names no object {index}")
