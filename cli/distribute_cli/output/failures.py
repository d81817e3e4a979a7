"""Lines that name the first failures of a batch: which, how they ended, and what they printed last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from distribute.client.words import argument, printable
from distribute.core.words import counted
from distribute_cli.output.words import MOST_FAILURES, ended_with, named

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument, JobDocument


def failure_lines(document: BatchDocument, jobs: Sequence[JobDocument]) -> Iterator[str]:
    """The first builds that failed, and those of `jobs` that did; then how many more there are.

    Jobs that failed only because their batch did are not named: the batch says why.
    """
    batch = f"{document['namespace']}/{document['batch']}"
    yield from _build_lines(document, batch)
    failed = document["jobs"]["failed"]
    named_jobs = [job for job in jobs if job["state"] == "failed" and not ended_with(job, document)][
        :MOST_FAILURES
    ]
    if len(named_jobs) == failed == 1:
        if line := named_jobs[0]["last_line"]:
            yield f"the last line of {printable(named_jobs[0]['job'])}: {plain(line.strip())}"
        yield f"`{_logs(batch, named_jobs[0]['job'])}` shows all that it printed"
        return
    for job in named_jobs:
        yield f"  {named(job, document)}"
        if line := job["last_line"]:
            yield f"    {plain(line.strip())}"
        yield f"    {_logs(batch, job['job'])}"
    if named_jobs and failed > len(named_jobs):
        listing = f"`distribute status {argument(batch)} --state failed`"
        yield f"  and {failed - len(named_jobs)} more: {listing} lists them"


def _build_lines(document: BatchDocument, batch: str) -> Iterator[str]:
    """Builds that failed alike are named together: what fails on one node often fails on all."""
    found, printed = document["build_failed"], document["build_last_lines"]
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for node in sorted(found, key=lambda node: (node not in printed, node))[:MOST_FAILURES]:
        lines = tuple(map(plain, printed.get(node, ())))
        alike.setdefault((found[node], lines), []).append(node)
    for (reason, last), nodes in alike.items():
        where = ", ".join(map(printable, nodes))
        yield f"the build failed at {where}: {printable(reason)}{'; its last lines:' if last else ''}"
        yield from (f"    {line}" for line in last)
    if (more := len(found) - MOST_FAILURES) > 0:
        yield f"the build failed at {counted(more, 'more node')}"
    if alike:
        yield f"`distribute logs {argument(batch)}` shows all that it printed"


def _logs(batch: str, job: str) -> str:
    return f"distribute logs {argument(f'{batch}/{job}')}"


def plain(line: str) -> str:
    """A line that a job printed, without colours, and without anything else that controls a terminal."""
    return printable(Text.from_ansi(line).plain.expandtabs())
