"""What `ls` prints: the files of a job that runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distribute.client.words import printable
from distribute.core.spec.visits import MAX_ENTRIES, path_bytes
from distribute.core.telling.listing import rfc3339

if TYPE_CHECKING:
    from distribute.client.visiting import Visit
    from distribute.core.spec.visits import FilesFound

MOST_LINES = 5


def listed(visit: Visit, found: FilesFound) -> dict[str, Any]:
    """The files, links and empty folders of a job that runs, for people and programs."""
    namespace, batch, job = visit.job
    whose = {"namespace": namespace, "batch": batch, "job": job}
    by_kind: dict[str, list[dict[str, Any]]] = {"file": [], "link": [], "folder": []}
    for entry in found.entries:
        told: dict[str, Any] = {"path": _shown(entry.path), "mtime": moment(entry.mtime_ns)}
        if entry.kind == "file":
            told["size_bytes"] = entry.size_bytes
        elif entry.kind == "link":
            told["target"] = _shown(entry.target)
        by_kind[entry.kind].append(told)
    return {
        **whose,
        "attempt": visit.attempt,
        "node": visit.node,
        "paused": found.paused,
        "results": None if found.results is None else _shown(found.results),
        "printed_bytes": found.printed_bytes,
        "files": by_kind["file"],
        "links": by_kind["link"],
        "empty_folders": by_kind["folder"],
        "complete": not found.is_part and not found.unread,
        "problems": list(found.unread),
    }


def listed_warnings(visit: Visit, found: FilesFound) -> Iterator[str]:
    """Lines that say what is missing."""
    name = printable(str(visit.job))
    if found.is_part:
        yield f"{name} has more files: these are the first {MAX_ENTRIES}; name one of its folders"
    for line in found.unread[:MOST_LINES]:
        yield f"{name}: {printable(line)}"
    if (more := len(found.unread) - MOST_LINES) > 0:
        yield f"and {more} more can't be listed: --json names them"


def moment(mtime_ns: int) -> str | None:
    """When a file was changed. A job may set any time: of one that no calendar has, None."""
    try:
        return rfc3339(mtime_ns / 1e9)
    except (ValueError, OverflowError, OSError):
        return None


def _shown(path: str) -> str:
    return printable(os.fsdecode(path_bytes(path)))
