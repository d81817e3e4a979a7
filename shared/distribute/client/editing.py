"""Changing what has not started: what waiting jobs ask for, and how their batch limits itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from distribute.client.batch_log import read_standing
from distribute.client.queries import no_such_job
from distribute.client.saying import names_of, refuse_change, say_of_batch
from distribute.client.submit import Fit
from distribute.client.words import printable
from distribute.core.errors import InputError, Refused
from distribute.core.ids import BatchId, JobId
from distribute.core.log.change_events import MAX_EDITED, Edited, EditedCount, EditedTimeout
from distribute.core.spec.specs import MAX_NEEDS, Bytes, Cpus, GpuCount, Retries
from distribute.core.ways import Way
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.client.documents import EditDocument
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.core.log.events import Event
    from distribute.core.projections.course import Course
    from distribute.ports import Cluster


class Changes(NamedTuple):
    """What an edit changes; None: it stays. The first five are of jobs, the others of the batch.

    `timeout_s`, `max_running` and `max_failures` 0: no limit any more.
    """

    cpus: Cpus | None = None
    memory_bytes: Bytes | None = None
    gpus: GpuCount | None = None
    timeout_s: EditedTimeout | None = None
    retries: Retries | None = None
    max_running: EditedCount | None = None
    max_failures: EditedCount | None = None

    @property
    def of_jobs(self) -> bool:
        """Does it change what jobs ask for?"""
        return any(value is not None for value in self[:5])

    @property
    def of_the_batch(self) -> bool:
        """Does it change how the batch limits itself?"""
        return any(value is not None for value in self[5:])


class ChangeKeys(TypedDict, total=False):
    """The fields of `Changes`, as keywords."""

    cpus: int
    memory_bytes: int
    gpus: int
    timeout_s: float
    retries: int
    max_running: int
    max_failures: int


async def edit(
    cluster: Cluster,
    queries: Queries,
    person: Person,
    batch: BatchId,
    changes: Changes,
    *,
    jobs: Sequence[str] = (),
    force: bool = False,
    anyway: bool = False,
    dry: bool = False,
) -> EditDocument:
    """Change what waiting jobs ask for, and how their batch limits itself. Jobs that run keep what they have.

    Args:
        cluster: where it is.
        queries: tells what the edit would do.
        person: who wants it.
        batch: which.
        changes: what changes.
        jobs: change only these. Empty: all that wait.
        force: also if it is another person's.
        anyway: no node need be able to run what the jobs ask for then.
        dry: only check, and say what would change.

    Returns:
        Which jobs change, as the scheduler saw it just before.

    Raises:
        InputError: nothing is to change, the changes do not fit together, or jobs would take a whole node.
        Refused: there is no such batch or job, it is over or another person's, no job of it waits, or no
            node could run what the jobs would ask for.
    """
    _refuse_changes(changes, jobs)

    def event_of(course: Course) -> Event:
        refuse_change(batch, course, person, "edit", force=force)
        chosen = tuple(dict.fromkeys(jobs)) or None
        return Edited(**person.stamp(), **names_of(batch, course), jobs=chosen, **changes._asdict())

    course, _ = await read_standing(cluster, batch)
    event_of(course)
    found = await queries.edit(batch, list(jobs) or None, changes._asdict())
    _refuse_edit(found, batch, changes, anyway=anyway)
    if not dry:
        await say_of_batch(cluster, batch, course, event_of)
    return found


def _refuse_changes(changes: Changes, jobs: Sequence[str]) -> None:
    """Raise `InputError` if nothing is to change, or a limit of the batch is to be one of jobs."""
    if not changes.of_jobs and not changes.of_the_batch:
        raise InputError(
            "say what to change: cpus, memory, gpus, timeout, retries, max-running or max-failures"
        )
    if jobs and changes.of_the_batch:
        raise InputError("max-running and max-failures are of the whole batch: name no jobs with them")
    if len(jobs) > MAX_EDITED:
        raise InputError(
            f"{len(jobs)} jobs are named, and one edit can name {MAX_EDITED}: edit some at a time"
        )


def _refuse_edit(found: EditDocument, batch: BatchId, changes: Changes, *, anyway: bool) -> None:
    """Raise an error if there is nothing to edit, or jobs would ask for what they can't have."""
    name = printable(str(batch))
    if found["unknown"]:
        raise no_such_job(JobId(*batch, found["unknown"][0]))
    if changes.of_jobs and not changes.of_the_batch and not found["waiting"]:
        raise Refused(
            f"no job of {name} that you would edit waits: those that run or are over keep what they have"
        )
    if found["lack_cpus"]:
        jobs = counted(found["lack_cpus"], "job")
        raise InputError(f"{jobs} of {name} would take a whole node: say how many cpus each gets, too")
    if found["needs"] > MAX_NEEDS:
        raise Refused(
            f"the jobs of {name} would have {found['needs']} different needs; a batch may have {MAX_NEEDS}"
        )
    problem = Fit(found["match"], {}).problem
    if problem is not None and not anyway:
        less = f"{problem}. Ask for less, or edit it anyway, to wait for such a node"
        raise Refused(less).with_ways(Way.ANYWAY)
