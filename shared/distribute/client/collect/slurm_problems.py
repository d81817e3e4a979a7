"""Say why a folder can't be collected, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from distribute.client.words import argument
from distribute.core.errors import InputError
from distribute.core.words import counted

ACCOUNTING = "accounting.txt"
NAMED_JOBS = 5

_AGAIN = "run `sh rsync_download.sh` again"


def _names() -> list[str]:
    return []


@dataclass(slots=True)
class Problems:
    """The jobs that can't be collected, by kind of trouble. `wrong`: lines about files that are damaged."""

    has_state: bool
    has_accounting: bool
    unscheduled: list[str] = field(default_factory=_names)
    going_on: list[str] = field(default_factory=_names)
    unknown: list[str] = field(default_factory=_names)
    lacking: list[str] = field(default_factory=_names)
    wrong: list[str] = field(default_factory=_names)

    def refuse(self, folder: str, total: int) -> None:
        """Raises `InputError` if there is any problem, with a line for each.

        Args:
            folder: its name, for messages.
            total: how many jobs the batch has.
        """
        lines = list(self._lines(total)) if self.has_state else [self._nothing()]
        if lines or self.wrong:
            raise InputError(*self.wrong, *(f"{folder}: {line}" for line in lines))

    def _nothing(self) -> str:
        if self.has_accounting:
            return f"{ACCOUNTING} is there and the folder state is not: the copy is not complete; {_AGAIN}"
        return (
            "none of its jobs was scheduled: send it with `sh rsync_upload.sh`, run `sh schedule_jobs.sh` in "
            "it on the cluster, and `sh rsync_download.sh` here when its jobs are over"
        )

    def _lines(self, total: int) -> Iterator[str]:
        if self.unscheduled:
            yield (
                f"{_of(self.unscheduled, total)} {_were(self.unscheduled)} not scheduled; run "
                "`sh schedule_jobs.sh` again on the cluster, which schedules the rest"
            )
        if self.going_on:
            which = f"{_of(self.going_on, total)} {_were(self.going_on)}"
            yield f"{which} not over when SLURM was asked; when all are, {_AGAIN}"
        if self.unknown:
            who = f"{ACCOUNTING} does not know" if self.has_accounting else "nothing tells of the end of"
            yield (
                f"{who} {_of(self.unknown, total)}: they still run, or SLURM ended them; when `squeue` no "
                f"longer lists them, {_AGAIN}; if that cluster keeps no accounts of them, "
                "--missing-as-failed takes them as failed"
            )
        if self.lacking:
            yield (
                f"{_of(self.lacking, total)} ended, but the results are not here: the copy is not complete; "
                f"{_AGAIN}"
            )


def _were(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _of(names: Sequence[str], total: int) -> str:
    """`3 of 30 jobs (a, b, c)`."""
    more = ", …" if len(names) > NAMED_JOBS else ""
    quoted = ", ".join(argument(name) for name in names[:NAMED_JOBS])
    return f"{len(names)} of {counted(total, 'job')} ({quoted}{more})"
