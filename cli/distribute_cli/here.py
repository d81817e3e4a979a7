"""The cluster that this user runs on this machine: where it is written down, and how it is ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil

from distribute.config.where import embedded_cluster_file, state_dir
from distribute.core.errors import DistributeError, Refused
from distribute_cli.supervisor import gone

ENDED_WITHIN_S = 120.0

_SAME_START_S = 1.0
"""Two readings of a process's start time differ by less than this."""

Note = dict[str, Any]
"""What is written down of a running cluster: server, pid, started (of that process), dir, nodes."""


def default_directory() -> Path:
    """Where `up` keeps its cluster."""
    return state_dir() / "cluster"


def note_in(directory: Path) -> Path:
    """Where a cluster is written down in its own folder."""
    return directory / "up.json"


@contextmanager
def written_down(server: str, directory: Path, nodes: list[str]) -> Iterator[Note]:
    """Write a cluster down while it runs: in its folder and, if there is no other, as this user's own."""
    pid = os.getpid()
    note: Note = {
        "server": server,
        "pid": pid,
        "started": psutil.Process(pid).create_time(),
        "dir": str(directory),
        "nodes": nodes,
    }
    places = [note_in(directory)]
    if running(embedded_cluster_file()) is None:
        places.append(embedded_cluster_file())
    try:
        for place in places:
            _write(place, note)
        yield note
    finally:
        for place in places:
            if _read(place) == note:
                place.unlink()


def running(place: Path) -> Note | None:
    """The cluster written down at `place`, if its process still runs."""
    note = _read(place)
    if note is None:
        return None
    try:
        process = psutil.Process(note["pid"])
        started, ended = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    # The system gives a number out again: another process that has it now is none of ours.
    return note if not ended and abs(started - note["started"]) < _SAME_START_S else None


async def end(place: Path) -> Note:
    """End the cluster written down at `place`, and wait until all of it has ended.

    Raises:
        Refused: none runs, or its process is somebody else's.
        DistributeError: it does not end.
    """
    note = running(place)
    if note is None:
        raise Refused(f"no cluster runs here ({place} names none that does); `distribute up` starts one")
    pid = note["pid"]
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise Refused(
            f"the cluster in {note['dir']} (process {pid}) is another user's: only they can end it"
        ) from None
    except ProcessLookupError:
        return note
    try:
        async with asyncio.timeout(ENDED_WITHIN_S):
            await gone(pid)
    except TimeoutError:
        raise DistributeError(
            f"the cluster in {note['dir']} (process {pid}) has not ended within {ENDED_WITHIN_S:g} s; "
            f"the logs in {note['dir']}/logs tell more"
        ) from None
    return note


def _read(place: Path) -> Note | None:
    try:
        note = orjson.loads(place.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise DistributeError(f"{place} does not say which cluster runs: {error}; remove it") from error
    return dict(note)


def _write(place: Path, note: Note) -> None:
    """Write it whole or not at all: whoever reads it meanwhile must not see half of it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}")
    part.write_bytes(orjson.dumps(note, option=orjson.OPT_APPEND_NEWLINE))
    part.replace(place)
