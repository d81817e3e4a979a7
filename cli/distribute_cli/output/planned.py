"""What `add --dry --list` shows: the jobs of a batch before it is submitted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from distribute.core.spec.specs import CommandJob, PythonJob
from distribute.core.state.state import Shape
from distribute.core.words import counted, few, format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType

    from distribute.core.folding.work import Comparison
    from distribute.core.spec.specs import BatchSpec, Job
    from distribute_cli.output.form import Document, Output


def listed(output: Output, spec: BatchSpec, compared: Comparison | None = None) -> dict[str, Any]:
    """Show people the jobs of a batch: what each runs, and what it finds. Returns them as JSON has them.

    `compared`: also what becomes of each, and which are removed, as they replace those of another batch.
    """
    document: dict[str, Any] = {"job_list": [_job(spec, job) for job in spec.work.jobs]}
    if compared is not None:
        change = {job: name for name, jobs in compared._asdict().items() for job in jobs}
        for job in document["job_list"]:
            job["change"] = change[job["job"]]
        document["removed_jobs"] = list(compared.removed)
    output.planned(document)
    return document


def _job(spec: BatchSpec, job: Job) -> dict[str, Any]:
    from distribute.client.job_story import amounts_of, folder_name

    asked = Shape.of(spec.required_capabilities, job.resources or spec.resources)
    document: dict[str, Any] = {"job": job.name}
    if isinstance(job, CommandJob):
        document["command"] = job.command
    if isinstance(job, PythonJob):
        document |= {"file": job.script.alias, "args": job.args}
    return document | {
        "env": job.env,
        "required_files": [
            *(file.alias for file in job.files),
            *(folder_name(folder) for folder in job.folders or ()),
        ],
        "resources": amounts_of(asked),
        "timeout_s": spec.timeout_s if job.timeout_s is None else job.timeout_s,
        "retries": spec.retries if job.retries is None else job.retries,
        "parameters": job.parameters or {},
    }


def table(document: Document, most: int) -> Iterator[RenderableType]:
    """The first jobs in a table, and how many more there are."""
    from distribute.client.words import printable
    from distribute_cli.output.fitting import FittingTable

    jobs = document["job_list"]
    differ = len({_needs(job) for job in jobs}) > 1
    rows = [
        {
            "job": printable(job["job"]),
            "change": job.get("change", ""),
            "command": printable(_command(job)),
            "files": printable(" ".join(job["required_files"])),
            "env": printable(" ".join(f"{name}={value}" for name, value in job["env"].items())),
            "needs": _needs(job) if differ else "",
        }
        for job in jobs[:most]
    ]
    yield FittingTable(rows, optional={"change", "command", "files", "env", "needs"})
    if len(jobs) > most:
        yield f"and {counted(len(jobs) - most, 'more job')}; --json lists all"
    if removed := document.get("removed_jobs"):
        yield f"removed: {few([printable(job) for job in removed])}"


def _needs(job: Document) -> str:
    """What a job needs of a node, in words."""
    from distribute_cli.output.stories import resources_in_words

    parts = [resources_in_words(job["resources"])]
    if job["timeout_s"] is not None:
        parts.append(f"for {format_duration(job['timeout_s'])}")
    if job["retries"]:
        parts.append(counted(job["retries"], "retry", "retries"))
    return ", ".join(parts)


def _command(job: Document) -> str:
    command = job.get("command")
    if isinstance(command, str):
        return command
    if command is not None:
        return shlex.join(command)
    return shlex.join([job["file"], *(job["args"] or ())]) if "file" in job else ""
