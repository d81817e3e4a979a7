"""The cluster that this user runs on this computer: recording it while it runs, and ending it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distribute.config.cluster_record import ClusterRecord, read_record
from distribute.config.folders import embedded_cluster_file, state_dir
from distribute.core.errors import DistributeError, Refused
from distribute.system import exit_of, process_identity
from distribute_cli.local.supervisor import last_line

TOLD_AFTER_S = 10.0
"""Seconds to wait for a cluster's end before saying what it waits for."""


class Damaged(DistributeError):
    """A file that should be a cluster's record is not one."""


def default_directory() -> Path:
    """Where `up` keeps its cluster."""
    return state_dir() / "cluster"


def record_in(directory: Path) -> Path:
    """Where a cluster's record is in the cluster's own folder."""
    return directory / "up.json"


@contextmanager
def recorded(server: str, directory: Path, nodes: list[str], verb: str = "up") -> Iterator[ClusterRecord]:
    """Keep a record of a cluster while it runs: in its folder and, if there is none, as the user's own."""
    pid = os.getpid()
    identity = process_identity(pid)
    assert identity is not None, "this process runs"
    record = ClusterRecord(server, pid, identity, str(directory), tuple(nodes), verb)
    places = [record_in(directory)]
    if not _is_taken(embedded_cluster_file()):
        places.append(embedded_cluster_file())
    try:
        for place in places:
            record.write(place)
        yield record
    finally:
        for place in places:
            if _read(place) == record:
                place.unlink()


def _is_taken(place: Path) -> bool:
    """Is there the record of another cluster that runs? A damaged record may be replaced."""
    try:
        return running(place) is not None
    except Damaged:
        return False


def running(place: Path) -> ClusterRecord | None:
    """The cluster recorded at `place`, if it still runs.

    Raises:
        Damaged: the file is not a record.
        DistributeError: it can't be read.
    """
    record = _read(place)
    return record if record is not None and record.runs else None


async def end(place: Path, tell: Callable[[str], None]) -> ClusterRecord:
    """End the cluster recorded at `place`, and wait until all of it has ended.

    Its nodes first store and report the jobs that have ended, however long that takes. A second call for a
    cluster that is ending ends it at once.

    Args:
        place: where the record is.
        tell: tells a person what it waits for.

    Raises:
        Refused: no cluster runs, it is another user's, or `up` did not start it.
        Damaged: the record does not say which.
    """
    record = running(place)
    if record is None:
        raise Refused(f"no cluster runs here (says {place}); `distribute up` starts one")
    if record.verb != "up":
        raise Refused(
            f"the cluster in {record.dir} was started by `distribute {record.verb}`, maybe for others, too: "
            f"end it in its own terminal, or by `kill {record.pid}`"
        )
    try:
        os.kill(record.pid, signal.SIGTERM)
    except PermissionError:
        raise Refused(
            f"the cluster in {record.dir} (process {record.pid}) is another user's: only they can end it"
        ) from None
    except ProcessLookupError:
        return record
    ended = exit_of(record.pid)
    try:
        done, _ = await asyncio.wait({ended}, timeout=TOLD_AFTER_S)
        if not done:
            tell(_what_it_waits_for(record))
        await ended
    finally:
        ended.cancel()
    return record


def _what_it_waits_for(record: ClusterRecord) -> str:
    waits = [
        f"node-{name}.log ends with: {last_line(log)}"
        for name in record.nodes
        if (log := Path(record.dir, "logs", f"node-{name}.log")).exists()
    ]
    told = "".join(f"\n  {line}" for line in waits)
    return (
        f"the cluster in {record.dir} has not ended yet; a second `distribute down` ends it at once; "
        f"the logs of its nodes in {record.dir}/logs say what they wait for{':' if told else ''}{told}"
    )


def _read(place: Path) -> ClusterRecord | None:
    """The record at `place`, whether its cluster runs or not."""
    try:
        return read_record(place)
    except OSError as error:
        raise DistributeError(
            f"{place}, which records the cluster that runs, can't be read: {error.strerror}"
        ) from error
    except ValueError as error:
        raise Damaged(
            f"{place} does not say which cluster runs ({error}); `distribute up` writes it again"
        ) from error
