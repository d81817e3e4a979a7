"""What is lost when a batch is killed, deleted or replaced, or kept back when it is held; and asking."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute.core.errors import Refused
from distribute.core.words import counted
from distribute_cli.output.asking import answer_to

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument, JobCounts


def running_and_waiting(jobs: JobCounts) -> tuple[int, int]:
    """How many jobs nodes have, and how many wait for one."""
    return jobs["running"] + jobs["assigned"], jobs["queued"]


def unfinished(jobs: JobCounts) -> str:
    """`2 running jobs and 5 waiting jobs`: what a kill stops."""
    return _listed(_unfinished(jobs)) or "no job"


def stays_and_waits(jobs: JobCounts) -> str:
    """`5 jobs wait; 2 jobs run on`: what a hold does."""
    running, waiting = running_and_waiting(jobs)
    return f"{counted(waiting, 'job')} {'waits' if waiting == 1 else 'wait'}{run_on(running)}"


def run_on(running: int) -> str:
    """`; 2 jobs run on`, the end of a sentence. Empty if none runs."""
    return f"; {counted(running, 'job')} {'runs' if running == 1 else 'run'} on" if running else ""


def everything(jobs: JobCounts) -> str:
    """`what 12 jobs left, 2 running jobs and 5 waiting jobs`: what a deletion loses."""
    over = jobs["succeeded"] + jobs["failed"] + jobs["killed"]
    left = [f"what {counted(over, 'job')} left"] if over else []
    return _listed([*left, *_unfinished(jobs)])


def whose(batch: BatchDocument, person: str) -> str:
    """A batch's name; of another person's, also whose it is."""
    name = printable(f"{batch['namespace']}/{batch['batch']}")
    return name if batch["user"] == person else f"{name} of {printable(batch['user'])}"


async def agree(question: str, otherwise: str, *, yes: bool) -> None:
    """Ask a person whether that is right, unless they have said so.

    Raises:
        Refused: it is not right, or there is no answer.
    """
    if not yes and (await answer_to(f"{question} [y/N]")).lower() not in {"y", "yes"}:
        raise Refused(f"{otherwise}: answer y, or give --yes")


def _unfinished(jobs: JobCounts) -> list[str]:
    running, waiting = running_and_waiting(jobs)
    parts = [(running, "running job"), (waiting, "waiting job")]
    return [counted(number, what) for number, what in parts if number]


def _listed(parts: Sequence[str]) -> str:
    *others, last = parts or [""]
    return f"{', '.join(others)} and {last}" if others else last
