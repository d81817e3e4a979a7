"""Everything about one job: what it is, what it needs, its attempts, and what it waits for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.commits import commits_of
from distribute.client.job_log import JobReader
from distribute.client.manifests import read_manifest
from distribute.client.outside import outside_of
from distribute.client.queries import no_such_batch, no_such_job
from distribute.client.superseded import superseded_of
from distribute.core.errors import IntegrityError
from distribute.core.spec.recipe import recipe_of
from distribute.core.spec.specs import PythonJob
from distribute.core.telling.listing import rfc3339
from distribute.core.telling.sentences import TAKEN_BACK
from distribute.inputs.patterns import of_lines

if TYPE_CHECKING:
    from distribute.client.documents import (
        Amounts,
        AttemptDocument,
        JobDocument,
        JobStory,
        SupersededDocument,
        WarningDocument,
    )
    from distribute.client.queries import Queries
    from distribute.core.ids import JobId
    from distribute.core.projections.attempts import AttemptRecord
    from distribute.core.spec.recipe import Recipe
    from distribute.core.spec.specs import InputFolder, SignalBefore
    from distribute.core.state.state import BatchState, Group, Shape
    from distribute.ports import Cluster


async def read_story(cluster: Cluster, queries: Queries, job: JobId) -> JobStory:
    """Read everything about a job: from its own events, and what the scheduler says.

    Raises:
        Refused: there is no such batch or job.
    """
    reader = JobReader(cluster, job)
    await reader.read_to_now()
    spec = reader.attempts.spec
    if spec is None:
        raise no_such_batch(job.batch_id)
    if not spec.work.jobs:
        raise no_such_job(job)
    batch = await queries.batch(job.batch_id, job=job.job)
    if not batch["job_list"]:
        raise no_such_job(job)  # another batch has the name by now
    now = batch["job_list"][0]
    attempts = sorted(reader.attempts.attempts.items())
    last = attempts[-1][0] if attempts else 0
    superseded = await superseded_of(cluster, reader.attempts)
    (described,) = spec.work.jobs
    needs = _needs(reader.attempts.story.state, job)
    recipe = recipe_of(spec, described, edited_timeout_s=needs.timeout_s)
    return {
        **now,
        "namespace": job.namespace,
        "batch": job.batch,
        "user": batch["user"],
        "kind": batch["kind"],
        "priority": batch["priority"],
        "command": _command(recipe),
        "setup": list(recipe.setup),
        "shell": list(recipe.shell) if recipe.shell is not None else None,
        "script": described.script.alias if isinstance(described, PythonJob) else None,
        "image": recipe.image.alias if recipe.image is not None else None,
        "capabilities": sorted(spec.required_capabilities),
        "resources": amounts_of(needs.shape),
        "timeout_s": recipe.timeout_s,
        "grace_s": recipe.grace_s,
        "signal_before": _warning(recipe.warning),
        "retries": needs.retries,
        "env": dict(recipe.variables),
        "parameters": dict(described.parameters or {}),
        "files": sorted(
            {file.alias for file in (*spec.files, *described.files)}
            | {folder_name(folder) for folder in (*(spec.folders or ()), *(described.folders or ()))}
        ),
        "git": commits_of(spec, described),
        "attempts": [
            _attempt(record, now, superseded.get(number), is_last=number == last)
            for number, record in attempts
        ],
        "left_out": await _left_out(cluster, attempts[-1][1]) if attempts else [],
        "why": await queries.why(job),
    }


def folder_name(folder: InputFolder) -> str:
    """`cavity/`; or the glob, of what lies in no folder of its own."""
    return f"{folder.alias}/" if folder.alias is not None else ", ".join(of_lines(folder.pattern or "."))


async def _left_out(cluster: Cluster, last: AttemptRecord) -> list[str]:
    outputs = last.outputs
    if outputs is None or not outputs.left_out:
        return []
    try:
        manifest, _ = await read_manifest(cluster.store, outputs)
    except (IntegrityError, ValueError):
        return []  # `pull` says what is wrong with it
    return list(manifest.left_out)


def _command(recipe: Recipe) -> list[str] | str:
    """The command as a person wrote it."""
    return recipe.command if isinstance(recipe.command, str) else list(recipe.command)


def _warning(found: SignalBefore | None) -> WarningDocument | None:
    return None if found is None else {"signal": found.signal, "before_s": found.before_s}


def _needs(batch: BatchState | None, job: JobId) -> Group:
    """What a job asks for now: a person may have edited that."""
    if batch is None or job.job not in batch.rows:
        raise no_such_job(job)  # it was deleted meanwhile
    return batch.group_of(batch.rows[job.job])


def amounts_of(asked: Shape) -> Amounts | None:
    """What a job asks for; None: a whole node."""
    if asked.whole_node:
        return None
    found: Amounts = {"cpus": asked.cpus, "memory_bytes": asked.memory_bytes, "gpus": asked.gpus}
    if asked.gpu_kind is not None:
        found["gpu_kind"] = {"memory_bytes": asked.gpu_kind.memory_bytes, "model": asked.gpu_kind.model}
    return found


def _attempt(
    record: AttemptRecord, now: JobDocument, superseded: SupersededDocument | None, *, is_last: bool
) -> AttemptDocument:
    """One attempt. `now` is the job as it stands."""
    found: AttemptDocument = {
        "attempt": record.number,
        "node": record.node,
        "outcome": now["state"],
        "assigned_at": rfc3339(record.assigned_at),
        "started_at": rfc3339(record.started_at),
        "finished_at": rfc3339(record.ended_at),
        "exit_code": None,
        "signal": None,
        "reason": None,
        "last_lines": [],
        "outside": outside_of(record),
        "superseded": superseded,
        "wall_s": now["wall_s"] if record.ended_at is None else None,
        "cpu_s": None,
        "paused_s": now["paused_s"] if record.ended_at is None else None,
        "max_rss_bytes": None,
    }
    if record.taken_back is not None:
        is_released = record.taken_back in TAKEN_BACK
        found["outcome"] = "released" if is_released else "yielded"
        found["reason"] = TAKEN_BACK.get(record.taken_back, record.taken_back)
    if (finished := record.finished) is not None:
        found["outcome"] = (
            "succeeded" if finished.succeeded else "excused" if record.was_excused else "failed"
        )
        if is_last and now["state"] == "killed":
            found["outcome"] = "killed"
        for name in ("exit_code", "signal", "reason", "wall_s", "cpu_s", "paused_s", "max_rss_bytes"):
            found[name] = getattr(finished, name)
        found["last_lines"] = list(finished.last_lines or ())
    return found
