"""What SLURM's accounting says of jobs: the output of `sacct --parsable2`.

It comes from another system, so nothing in it is trusted: lines that say nothing we know are passed over, and
figures that make no sense count as not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from distribute.core.log.event_base import EARLIEST, LATEST

NEEDED = ("JobID", "State")
"""The columns without which the accounting says nothing."""

WHY: Mapping[str, str] = {
    "BOOT_FAIL": "its node could not start",
    "CANCELLED": "cancelled",
    "COMPLETED": "its script ended without saying how the job ended",
    "DEADLINE": "its deadline passed",
    "FAILED": "its script ended without saying how the job ended",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it needed more memory than it may have",
    "PREEMPTED": "another job took its place",
    "REVOKED": "another cluster runs it",
    "TIMEOUT": "it ran for longer than its time limit",
}
"""SLURM's states of jobs that are over, in words."""

BY_SLURM = frozenset(WHY) - {"COMPLETED", "FAILED"}
"""The states of jobs that SLURM ended, whatever they were about to do."""

_UNITS = {"": 1024, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)", re.ASCII)
_DURATION = re.compile(
    r"(?:([0-9]{1,6})-)?(?:([0-9]{1,4}):)?([0-9]{1,4}):([0-9]{1,2}(?:\.[0-9]{1,6})?)", re.ASCII
)
_EXIT = re.compile(r"([0-9]{1,3}):([0-9]{1,3})", re.ASCII)
_MOST_BYTES = 2**63 - 1


@dataclass(slots=True)
class Record:
    """What is said of one job: of several records of it, as after a requeue, the last."""

    state: str
    by: str | None = None
    """Who cancelled it, by uid."""
    exit_code: int | None = None
    signal: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    max_rss_bytes: int = 0
    node: str | None = None

    @property
    def is_over(self) -> bool:
        """Is the job over?"""
        return self.state in WHY

    @property
    def end(self) -> Literal["failed", "killed"]:
        """How a job ended that did not say so itself."""
        return "killed" if self.state == "CANCELLED" else "failed"

    @property
    def why(self) -> str:
        """Why it ended, in words."""
        by = f" by uid {self.by}" if self.by is not None else ""
        return f"{WHY[self.state]}{by} (SLURM: {self.state})"


def read_accounting(lines: Iterable[str]) -> dict[str, Record]:
    """The last record of each job, by SLURM's id of it.

    Raises:
        ValueError: the first line does not name the columns.
    """
    reading = iter(lines)
    columns = next(reading, "").rstrip("\n").split("|")
    if missing := [name for name in NEEDED if name not in columns]:
        raise ValueError(f"its first line names no column {' and '.join(missing)}")
    records: dict[str, Record] = {}
    for line in reading:
        row = dict(zip(columns, line.rstrip("\n").split("|"), strict=False))
        job, _, step = row["JobID"].partition(".")
        if not step:
            records[job] = _record(row)
        elif job in records:
            # What a job used is accounted to its steps.
            of_job, used = records[job], _size(row.get("MaxRSS", ""))
            of_job.max_rss_bytes = max(of_job.max_rss_bytes, used)
            of_job.cpu_s = max(of_job.cpu_s, _seconds(row.get("TotalCPU", "")))
    return records


def _record(row: Mapping[str, str]) -> Record:
    # "CANCELLED by 1000", and "FAILED+" where a column was too narrow.
    state, _, by = row.get("State", "").partition(" by ")
    code = _EXIT.fullmatch(row.get("ExitCode", ""))
    exit_code, signal = (int(code[1]), int(code[2])) if code else (None, None)
    nodes = row.get("NodeList", "")
    return Record(
        state=state.strip().rstrip("+"),
        by=by if by.isascii() and by.isdigit() and len(by) < 16 else None,
        exit_code=exit_code if exit_code is not None and exit_code <= 255 and not signal else None,
        signal=signal if signal is not None and 1 <= signal <= 255 else None,
        started_at=_time(row.get("Start", "")),
        ended_at=_time(row.get("End", "")),
        wall_s=_seconds(row.get("Elapsed", "")),
        cpu_s=_seconds(row.get("TotalCPU", "")),
        max_rss_bytes=_size(row.get("MaxRSS", "")),
        node=nodes if nodes and nodes != "None assigned" else None,
    )


def _time(text: str) -> datetime | None:
    """A time in UTC. None: it is unknown, or no event may have it."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None  # "Unknown", "None"
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return found if EARLIEST <= found <= LATEST else None


def _seconds(text: str) -> float:
    """`[DAYS-][HOURS:]MINUTES:SECONDS`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        return 0.0
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _size(text: str) -> int:
    """A size as SLURM writes it: in kibibytes where it has no unit."""
    found = _SIZE.fullmatch(text)
    return min(_MOST_BYTES, int(float(found[1]) * _UNITS[found[2]])) if found else 0
