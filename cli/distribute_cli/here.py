"""The cluster that this user runs on this computer: where it is written down, and how it is ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distribute.config.where import embedded_cluster_file, state_dir
from distribute.core.errors import DistributeError, Refused
from distribute_cli.supervisor import gone

ENDED_WITHIN_S = 120.0

_SAME_START_S = 1.0
"""Two readings of a process's start time differ by less than this."""


class Note(BaseModel):
    """What is written down of a running cluster. `started`: when its process did, in seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    server: str
    pid: int = Field(gt=0)
    started: float
    dir: str
    nodes: tuple[str, ...]


class Damaged(DistributeError):
    """What should be a note is none."""


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
    note = Note(
        server=server,
        pid=pid,
        started=psutil.Process(pid).create_time(),
        dir=str(directory),
        nodes=tuple(nodes),
    )
    places = [note_in(directory)]
    if not _is_taken(embedded_cluster_file()):
        places.append(embedded_cluster_file())
    try:
        for place in places:
            _write(place, note)
        yield note
    finally:
        for place in places:
            if _read(place) == note:
                place.unlink()


def _is_taken(place: Path) -> bool:
    """Does another cluster, which runs, stand there? What names none may be written over."""
    try:
        return running(place) is not None
    except Damaged:
        return False


def running(place: Path) -> Note | None:
    """The cluster written down at `place`, if its process still runs.

    Raises:
        Damaged: it does not say.
    """
    note = _read(place)
    if note is None:
        return None
    try:
        process = psutil.Process(note.pid)
        started, ended = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    # The system gives a number out again: another process that has it now is none of ours.
    return note if not ended and abs(started - note.started) < _SAME_START_S else None


async def end(place: Path) -> Note:
    """End the cluster written down at `place`, and wait until all of it has ended.

    Raises:
        Refused: none runs, or its process is somebody else's.
        Damaged: it can't be told which.
        DistributeError: it does not end.
    """
    note = running(place)
    if note is None:
        raise Refused(f"no cluster runs here ({place} names none that does); `distribute up` starts one")
    pid = note.pid
    try:
        os.kill(pid, signal.SIGTERM)
    except PermissionError:
        raise Refused(
            f"the cluster in {note.dir} (process {pid}) is another user's: only they can end it"
        ) from None
    except ProcessLookupError:
        return note
    try:
        async with asyncio.timeout(ENDED_WITHIN_S):
            await gone(pid)
    except TimeoutError:
        raise DistributeError(
            f"the cluster in {note.dir} (process {pid}) has not ended within {ENDED_WITHIN_S:g} s; "
            f"the logs in {note.dir}/logs tell more"
        ) from None
    return note


def _read(place: Path) -> Note | None:
    """What is written down at `place`.

    Raises:
        Damaged: it is no note.
    """
    try:
        return Note.model_validate_json(place.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DistributeError(
            f"{place}, which says which cluster runs, can't be read: {error.strerror}"
        ) from error
    except ValidationError as error:
        why = ", ".join(".".join(map(str, (*each["loc"], each["msg"]))) for each in error.errors())
        raise Damaged(
            f"{place} does not say which cluster runs ({why}); `distribute up` writes it anew"
        ) from error


def _write(place: Path, note: Note) -> None:
    """Write it whole or not at all: whoever reads it meanwhile must not see half of it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f".{place.name}.{os.getpid()}")
    part.write_bytes(note.model_dump_json().encode())
    part.replace(place)
