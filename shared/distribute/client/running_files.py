"""The files of a job that runs, as they are now: listed, and read in pieces.

Each question brings one answer of a bounded size. So whoever reads slowly holds nobody up.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from distribute.client.visiting import ask_node
from distribute.client.words import printable
from distribute.core.errors import InputError, Refused
from distribute.core.spec.visits import (
    FILES,
    MAX_ENTRIES,
    MAX_PATH,
    FilesFound,
    FilesRead,
    Got,
    ListFiles,
    Piece,
    ReadFiles,
    cut,
    head_and_body,
    path_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distribute.client.queries import Queries
    from distribute.client.visiting import Visit
    from distribute.ports import Cluster

LISTED_WITHIN_S = 30.0
"""A node needs a second or two for 100,000 files, and more if its disk is slow."""


async def list_files(
    cluster: Cluster, queries: Queries, visit: Visit, folder: str | None = None
) -> FilesFound:
    """What is in a folder of the job, and below. `.`: everything. None: the folder of its results.

    Raises:
        Refused: the job does not run any more, has no such folder, or its node is gone.
        InputError: nothing can be called so.
    """
    path = None if folder is None else path_text(os.fsencode(folder))
    if path is not None and len(path) > MAX_PATH:
        raise InputError(f"{printable(folder or '')[:60]}…: no path is as long as this")
    names = {**visit.job._asdict(), "attempt": visit.attempt}
    question = ListFiles(**names, folder=path)
    answer = await ask_node(cluster, queries, visit, FILES, question, timeout_s=LISTED_WITHIN_S)
    try:
        found = FilesFound.model_validate_json(answer)
    except ValueError as error:
        raise _strange(visit, error) from error
    if len(found.entries) > MAX_ENTRIES:
        raise Refused(f"{printable(visit.node)} lists more than {MAX_ENTRIES} files")
    return found


async def read_pieces(
    cluster: Cluster, queries: Queries, visit: Visit, pieces: Sequence[Piece]
) -> list[tuple[Got, memoryview]]:
    """Parts of files: of the first pieces, as many as one answer brings. Raises `Refused` as `list_files`."""
    names = {**visit.job._asdict(), "attempt": visit.attempt}
    answer = await ask_node(cluster, queries, visit, FILES, ReadFiles(**names, pieces=tuple(pieces)))
    try:
        head, body = head_and_body(answer)
        got = FilesRead.model_validate_json(head).got
        return list(zip(got, cut(body, [0 if one.is_hole else one.length for one in got]), strict=True))
    except ValueError as error:
        raise _strange(visit, error) from error


def _strange(visit: Visit, error: ValueError) -> Refused:
    return Refused(f"{printable(visit.node)} answers something else than files: {str(error).splitlines()[0]}")
