"""The clusters that this user runs on this computer: recording them while they run, and finding them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from distribute.client.words import argument
from distribute.config.settings.cluster_record import ClusterRecord, read_record, running_clusters
from distribute.config.settings.folders import (
    default_cluster_dir,
    embedded_cluster_file,
    local_clusters_dir,
    state_dir,
)
from distribute.core.errors import DistributeError
from distribute.core.os_words import why
from distribute.system import process_identity


class Damaged(DistributeError):
    """A file that should be a cluster's record is not one."""


def record_in(directory: Path) -> Path:
    """Where a cluster's record is in the cluster's own folder."""
    return directory / "up.json"


def down_command(directory: Path) -> str:
    """What to type to end the cluster of `up` in a folder."""
    others = [record for record in running_clusters() if record.verb == "up" and record.dir != str(directory)]
    is_clear = directory == default_cluster_dir("up") and not others
    return "distribute down" + ("" if is_clear else _dir_option(directory))


def start_command(verb: str, directory: Path, *options: str) -> str:
    """What to type to run the cluster in a folder again, with the same options."""
    where = "" if directory == default_cluster_dir(verb) else _dir_option(directory)
    return " ".join([f"distribute {verb}{where}", *map(argument, options)])


def _dir_option(directory: Path) -> str:
    return f" --dir {argument(str(directory))}"


@contextmanager
def recorded(
    server: str,
    directory: Path,
    nodes: list[str],
    verb: str = "up",
    command: str = "",
    *,
    warn: Callable[[str], None],
) -> Iterator[ClusterRecord]:
    """Keep a record of a cluster while it runs.

    It is in the cluster's folder, among those of all clusters of this user, and, if the one that verbs go to
    by default does not run, in that one's place. The last two only help this user's verbs to find it: if they
    can't be written, `warn` tells so.

    Raises:
        DistributeError: the record in the cluster's folder can't be written.
    """
    pid = os.getpid()
    identity = process_identity(pid)
    assert identity is not None, "this process runs"
    record = ClusterRecord(server, pid, identity, str(directory), tuple(nodes), verb, command)
    own = record_in(directory)
    try:
        record.write(own)
    except OSError as error:
        raise DistributeError(f"{own} can't be written: {why(error)}") from error
    notes = [local_clusters_dir() / f"{pid}.json"]
    if _running(embedded_cluster_file()) is None:
        notes.append(embedded_cluster_file())
    try:
        for stale in local_clusters_dir().glob("*.json"):
            if _running(stale) is None:  # its cluster was killed, and could not remove it
                stale.unlink(missing_ok=True)
        for note in notes:
            record.write(note)
    except OSError as error:
        warn(f"no note of this cluster can be kept in {state_dir()}: {why(error)}")
    try:
        yield record
    finally:
        for place in (own, *notes):
            if _running(place) == record:
                place.unlink()


def _running(place: Path) -> ClusterRecord | None:
    """The cluster recorded at `place`, if the record can be read and its cluster runs."""
    try:
        return running(place)
    except DistributeError:
        return None


def running(place: Path) -> ClusterRecord | None:
    """The cluster recorded at `place`, if it still runs.

    Raises:
        Damaged: the file is not a record.
        DistributeError: it can't be read.
    """
    record = _read(place)
    return record if record is not None and record.runs else None


def _read(place: Path) -> ClusterRecord | None:
    """The record at `place`, whether its cluster runs or not."""
    try:
        return read_record(place)
    except OSError as error:
        raise DistributeError(
            f"{place}, which records the cluster that runs, can't be read: {why(error)}"
        ) from error
    except ValueError as error:
        raise Damaged(
            f"{place} does not say which cluster runs ({error}); `distribute up` writes it again"
        ) from error
