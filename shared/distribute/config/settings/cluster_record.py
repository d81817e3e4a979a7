"""The record of a cluster that runs on this computer: where it is, and which process runs it."""

from __future__ import annotations

import json  # not orjson, which has no notation for a path that is not valid UTF-8
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distribute.config.settings.folders import embedded_cluster_file, local_clusters_dir
from distribute.system import process_identity, write_whole


class ClusterRecord(NamedTuple):
    """A cluster that runs here. `process` identifies its process (see `process_identity`).

    `verb` is the one that started it, `up` or `server`. `command` is what a person types to start it again.
    """

    server: str
    pid: int
    process: str
    dir: str
    nodes: tuple[str, ...]
    verb: str
    command: str = ""

    @property
    def runs(self) -> bool:
        """Does its process still run?"""
        return process_identity(self.pid) == self.process

    @property
    def started_ticks(self) -> int:
        """When its process started, in ticks since the computer did. Only of one that runs."""
        return int(self.process.rpartition("/")[2])

    @property
    def document(self) -> dict[str, Any]:
        """The record as JSON shows it."""
        return self._asdict()

    def write(self, path: Path) -> None:
        """Write it to `path`. Raises OSError."""
        write_whole(path, json.dumps(self.document).encode())


def read_record(path: Path) -> ClusterRecord | None:
    """The record at `path`; None if there is no such file.

    Raises:
        ValueError: the file is not a record.
        OSError: it can't be read.
    """
    try:
        written = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    if not isinstance(written, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004
    try:
        record = ClusterRecord(**written)
    except TypeError as error:
        raise ValueError(f"it has not the right keys: {error}") from error
    texts = (record.server, record.process, record.dir, record.verb, record.command)
    if not isinstance(record.nodes, list) or not all(
        isinstance(text, str) for text in (*texts, *record.nodes)
    ):
        raise ValueError("one of its values is of the wrong type")
    if not isinstance(record.pid, int) or record.pid <= 0:
        raise ValueError(f"its pid is {record.pid!r}")
    return record._replace(nodes=tuple(record.nodes))


def running_clusters(environ: Mapping[str, str] = os.environ) -> list[ClusterRecord]:
    """The clusters that this user runs on this computer. Verbs go to the first one by default.

    That is the one in the default record. If it has ended, it is the one that was started first. Files that
    are no records, or can't be read, can't say what runs, and are passed over.
    """
    default = _running(embedded_cluster_file(environ))
    others = [_running(path) for path in local_clusters_dir(environ).glob("*.json")]
    found = {record for record in (default, *others) if record is not None}
    # The clock that tells when a process was started ticks every ten milliseconds.
    return sorted(found, key=lambda record: (record != default, record.started_ticks, record.pid))


def _running(path: Path) -> ClusterRecord | None:
    try:
        record = read_record(path)
    except (ValueError, OSError):
        return None
    return record if record is not None and record.runs else None
