"""The jobs of a file as they are written, before they are validated."""

from __future__ import annotations

from collections.abc import Iterator

from distribute.config.yaml.yaml_source import Loc, Value

FINALLY = "finally"
"""The key of the job that runs when all others are over, and its name if it has none."""


def jobs_of(kind: str, batch: Value) -> Iterator[tuple[Loc, Value]]:
    """Each job in the section of a kind, and the pattern of its sweep's jobs, with their places."""
    if not isinstance(batch, dict):
        return
    jobs = batch.get("jobs")
    for number, job in enumerate(jobs if isinstance(jobs, list) else ()):
        yield (kind, "jobs", number), job
    if "job" in batch:
        yield (kind, "job"), batch["job"]
