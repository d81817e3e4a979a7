"""What `pull` says of a batch's results: what is missing of them, and which jobs they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from distribute.client.outside import outside_document, told_of_outside
from distribute.client.words import printable
from distribute.core.spec.recipe import SAVE
from distribute.core.words import counted
from distribute_cli.filter_words import pull_command
from distribute_cli.output.words import MOST_FAILURES, named

if TYPE_CHECKING:
    from distribute.client.documents import BatchWithJobs, JobDocument
    from distribute.client.pull.listing import Listing
    from distribute.core.files.manifest import Outside

Unsuccessful = Literal["failed", "killed"]
UNSUCCESSFUL: tuple[Unsuccessful, ...] = ("failed", "killed")

MOST_LINES = 20
"""So many things of a kind are named. JSON has all of them."""


def result_warnings(listing: Listing, standing: BatchWithJobs, again: Sequence[str] = ()) -> Iterator[str]:
    """Lines about jobs that did not succeed or are not over, and about what was not archived.

    `again`: the options of this pull, for the commands that the lines show.
    """
    name = f"{standing['namespace']}/{standing['batch']}"
    if not listing.complete:
        yield _unfinished(listing, standing, again)
    for state in UNSUCCESSFUL:
        if standing["jobs"][state]:
            yield f"{printable(name)}: {_unsuccessful(standing, state)}"
    yield from lost_warnings(name, listing.left_out, listing.outside)


def lost_warnings(
    name: str, left_out: Sequence[tuple[str, str]], outside: Mapping[str, Outside]
) -> Iterator[str]:
    """Lines about what jobs of the batch `name` left that was not archived: by job, and why."""
    lines = (
        f"{printable(f'{name}/{job}')}: {told_of_outside(outside_document(left))}"
        for job, left in outside.items()
    )
    yield from islice(lines, MOST_LINES)
    if (more := len(outside) - MOST_LINES) > 0:
        yield f"and {counted(more, 'more job')} left files outside ./{SAVE}: --json names all"
    lines = (f"not archived: {printable(name)}/{job}: {printable(text)}" for job, text in left_out)
    yield from islice(lines, MOST_LINES)
    if (more := len(left_out) - MOST_LINES) > 0:
        yield f"and {more} more {'was' if more == 1 else 'were'} not archived: --json names all"


def _unfinished(listing: Listing, standing: BatchWithJobs, again: Sequence[str]) -> str:
    """What is here of a batch that is not over, and what is not."""
    jobs = standing["jobs"]
    batch = f"{standing['namespace']}/{standing['batch']}"
    here = f"the results of {listing.jobs} of {counted(jobs['total'], 'job')} are archived so far"
    if standing["state"] in {"completed", "failed", "killed"}:
        return f"{printable(batch)} is over, but {here}: pull again for the rest"
    waiting = jobs["total"] - jobs["running"] - jobs["succeeded"] - jobs["failed"] - jobs["killed"]
    counts = ((jobs["running"], "running"), (waiting, "waiting"))
    rest = ", ".join(f"{count} {state}" for count, state in counts if count)
    command = pull_command(batch, *again, "--follow")
    here += f" ({rest})" if rest else ""
    return f"{printable(batch)} is not over: {here}; `{command}` stays for the rest"


def _unsuccessful(standing: BatchWithJobs, state: Unsuccessful) -> str:
    """`3 of 30 jobs failed: a (exit 1 on ws07), b (exit 1 on ws02), c (exit 1 on ws07)`."""
    count = standing["jobs"][state]
    first = jobs_that(standing, state)
    text = f"{count} of {counted(standing['jobs']['total'], 'job')} {state}"
    names = ", ".join(named(job, standing) for job in first)
    more = f" and {count - len(first)} more" if first and count > len(first) else ""
    return f"{text}: {names}{more}" if names else text


def jobs_that(standing: BatchWithJobs, state: Unsuccessful) -> list[JobDocument]:
    """The first jobs that failed, or were killed."""
    return [job for job in standing["job_list"] if job["state"] == state][:MOST_FAILURES]


def lacks_something(listing: Listing, standing: BatchWithJobs) -> bool:
    """Did a job not succeed, was something not archived, or is there more to come?"""
    unsuccessful = standing["jobs"]["failed"] + standing["jobs"]["killed"]
    return bool(unsuccessful or listing.left_out or listing.outside or not listing.complete)


def result_document(listing: Listing, standing: BatchWithJobs) -> dict[str, Any]:
    """The same for programs."""
    return {
        "state": standing["state"],
        "jobs": standing["jobs"],
        "failed_jobs": jobs_that(standing, "failed"),
        "killed_jobs": jobs_that(standing, "killed"),
        "left_out": [{"job": job, "text": text} for job, text in listing.left_out],
        "outside": {job: outside_document(left) for job, left in listing.outside.items()},
    }
