"""Make room in a batch's folder for results that come, and lose nothing that a person may want."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from distribute.client.pull.local_batch import OWN_NAMES, Leftover, LocalBatch, held
from distribute.client.pull.note import Origin
from distribute.client.pull.target_folder import Parts, shown
from distribute.client.words import printable
from distribute.core.errors import DistributeError, InputError, Refused
from distribute.core.ways import Way
from distribute.core.words import few

_ELSEWHERE = "name another folder"


async def make_room(
    folder: Path, base: Parts, origin: Origin, jobs: Collection[bytes], *, clean: bool, all_jobs: bool
) -> int:
    """Check that nothing is where the results of `jobs` of the batch `origin` will be.

    Args:
        folder: the target folder of the results.
        base: the batch's folder, below it.
        origin: the batch.
        jobs: the names of the folders of its jobs.
        clean: first remove what is there of earlier results of these jobs.
        all_jobs: also those of jobs that the batch does not have any more.

    Returns:
        How many files were removed.

    Raises:
        Refused: results of another batch are there; earlier ones are, and they are not to be removed; or
            something is in the way that was not written there for this batch. Then nothing was removed.
        InputError: the folder can't be used, or a job has a name that is needed there.
    """
    if taken := OWN_NAMES.intersection(jobs):
        raise InputError(
            f"no job can be called {shown((min(taken),))}: the folder of results needs this name for itself"
        )
    if not folder.joinpath(*(part.decode(errors="surrogateescape") for part in base)).exists():
        return 0
    with held(folder, base) as local:
        try:
            return await _make_room(local, origin, jobs, clean=clean, all_jobs=all_jobs)
        finally:
            if local.note.origin is None:
                local.forget(keeps_folder=True)  # this made it


async def _make_room(
    local: LocalBatch, origin: Origin, jobs: Collection[bytes], *, clean: bool, all_jobs: bool
) -> int:
    of = local.note.origin
    if of is not None and not of.is_same(origin):
        of_cluster = "" if str(of) != str(origin) else ", which a cluster ran"
        raise Refused(
            f"{local.place} holds the results of {printable(str(of))}{of_cluster}: they stay; {_ELSEWHERE}"
        ).with_ways(Way.ANOTHER_FOLDER)
    files = list(local.every_file())
    in_the_way = {parts for parts in files if local.below(parts)[0] in jobs}
    if in_the_way and not clean and of is not None:
        names = sorted({local.below(parts)[:1] for parts in in_the_way})
        raise Refused(
            f"{local.place} has earlier results of {few([shown(name) for name in names])}: have them removed "
            f"first, or {_ELSEWHERE} for the new ones"
        ).with_ways(Way.CLEAN_SAVE, Way.ANOTHER_FOLDER)
    ours, foreign = await _sorted_out(local, sorted(files if all_jobs and clean else in_the_way))
    if stays := [parts for parts in foreign if parts in in_the_way]:
        named, are = few([shown(parts) for parts in stays]), "was" if len(stays) == 1 else "were"
        raise Refused(
            f"{named} {are} not left by an earlier run, or changed since, and would be in the way of "
            f"results: move that away, or {_ELSEWHERE}"
        ).with_ways(Way.ANOTHER_FOLDER)
    if problems := await local.remove(ours):
        raise DistributeError("\n".join(problems))
    if clean and of is not None:
        local.remove_empty(local.noted_folders())
        if not any(True for _ in local.every_file()):
            local.forget(keeps_folder=True)
    return len(ours)


async def _sorted_out(local: LocalBatch, files: list[Parts]) -> tuple[list[Leftover], list[Parts]]:
    """Which of these files are as they were written for the batch, and which are a person's."""
    ours: list[Leftover] = []
    foreign: list[Parts] = []
    for parts in files:
        found = await asyncio.to_thread(local.target.look, parts)
        if found is None:
            continue
        if local.is_ours(parts, found):
            ours.append((parts, found))
        else:
            foreign.append(parts)
    return ours, foreign
