"""Notes beside attempts: the keeper holds them, and a later runner takes the attempts up by them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distribute.core.ids import AttemptId
from distribute.core.spec.recipe import Share
from distribute.host import Record
from distribute_services.node_runner.disk.workspace import EXIT_FILE

log = logging.getLogger(__name__)

_NOT_BY_ITSELF = frozenset({"shutdown", "unseen", "lost"})
"""Ends of the keeper's own making, which are no results: the computer shut down, or no runner came."""


class Note(NamedTuple):
    """What a later runner needs to know of an attempt beside the log.

    `slot` and `built` name the slots of its workspace and of the one that it began as a copy of, `image` is
    the digest of its image, `view` what its process sees.
    """

    record: Record
    program: str
    slot: str
    built: str | None
    image: str | None
    view: tuple[str, str, str, str] | None

    def to_json(self) -> dict[str, Any]:
        record = self.record
        return {
            **self._asdict(),
            "record": {
                "attempt": list(record.attempt),
                "share": [record.share.cpus, record.share.memory_bytes, list(record.share.gpus)],
                "assigned": [record.assigned_id, record.assigned_seq, record.assigned_at],
                "submission": [record.submission_id, record.submission_seq],
            },
        }

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Note:
        """Raises LookupError, TypeError or ValueError if another version wrote it."""
        record = found["record"]
        cpus, memory_bytes, gpus = record["share"]
        share = Share(cpus, memory_bytes, tuple(gpus))
        view = found["view"]
        return cls(
            Record(AttemptId(*record["attempt"]), share, *record["assigned"], *record["submission"]),
            found["program"],
            found["slot"],
            found["built"],
            found["image"],
            None if view is None else (view[0], view[1], view[2], view[3]),
        )


class Found(NamedTuple):
    """An attempt that an earlier runner left, by the name of its unit. `ended` None: it runs."""

    unit: str
    note: Note
    started_at: float
    ended: Mapping[str, Any] | None


def attempts_left(
    units: Mapping[str, Mapping[str, Any]],
    notes: Mapping[str, Mapping[str, Any]],
    root: Path,
    boot_id: str,
) -> Iterator[Found]:
    """The attempts that keepers hold, by their `units` and `notes`, and those that have left an exit.

    `root` is the folder of all slots. An exit of before a reboot does not count: the results may not have
    been written to the disk.
    """
    seen = set(notes)
    for name, note in notes.items():
        if name in units:
            yield from _found(name, note, units[name].get("exit"), units[name])
    for path in sorted(root.glob(f"*/{EXIT_FILE}")):
        try:
            ended = json.loads(path.read_bytes())
            if ended["unit"] not in seen and ended["boot_id"] == boot_id and ended["note"] is not None:
                yield from _found(ended["unit"], ended["note"], ended, ended)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s tells of no job, so it runs again: %r", path, error)


def _found(
    unit: str, note: Mapping[str, Any], ended: Mapping[str, Any] | None, times: Mapping[str, Any]
) -> Iterator[Found]:
    if ended is not None and ended["ended_for"] in _NOT_BY_ITSELF:
        return
    try:
        started_at = times["started_at"] if ended is None else ended["started_at"]
        yield Found(unit, Note.of_json(note), started_at, ended)
    except (LookupError, TypeError, ValueError) as error:
        log.warning("%s runs again: another version noted what it is: %r", unit, error)
