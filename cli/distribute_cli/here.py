"""The cluster that this user runs on this computer: where it is written down, and how it is ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from distribute.config.folders import embedded_cluster_file, state_dir
from distribute.core.errors import DistributeError, Refused
from distribute_cli.supervisor import gone, last_line

TOLD_AFTER_S = 10.0
"""So long a cluster's end is waited for in silence."""

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


async def end(place: Path, tell: Callable[[str], None]) -> Note:
    """End the cluster written down at `place`, and wait until all of it has ended, however long its nodes
    take to store and report what has ended. Said again of one that is ending, it ends at once.

    Args:
        place: where it is written down.
        tell: says to a person what is waited for.

    Raises:
        Refused: none runs, or its process is somebody else's.
        Damaged: it can't be told which.
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
    ending = asyncio.create_task(gone(pid))
    try:
        done, _ = await asyncio.wait({ending}, timeout=TOLD_AFTER_S)
        if not done:
            tell(_what_it_waits_for(note))
        await ending
    finally:
        ending.cancel()
    return note


def _what_it_waits_for(note: Note) -> str:
    waits = [
        f"node-{name}.log ends with: {last_line(log)}"
        for name in note.nodes
        if (log := Path(note.dir, "logs", f"node-{name}.log")).exists()
    ]
    told = "".join(f"\n  {line}" for line in waits)
    return (
        f"the cluster in {note.dir} has not ended yet; `distribute down`, once more, ends it at once;"
        f" its nodes say in {note.dir}/logs what they wait for:{told}"
    )


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
