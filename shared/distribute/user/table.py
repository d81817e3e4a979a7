"""Parameters of a batch's jobs beside their outcomes."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from distribute.client.submitted import read_batch
from distribute.user.connecting import queries_to

if TYPE_CHECKING:
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster

OUTCOME = ("state", "exit_code", "node", "wall_s", "cpu_s", "max_rss_bytes", "attempt", "reason")
"""What a record has of a job's outcome."""


async def read_records(cluster: Cluster, batch: BatchId) -> list[dict[str, Any]]:
    """One dict a job, in the order of submission."""
    standing = await read_batch(cluster, queries_to(cluster), batch)
    return [
        {"job": job["job"], **_renamed(job["parameters"]), **{key: job.get(key) for key in OUTCOME}}
        for job in standing["job_list"]
    ]


def _renamed(parameters: dict[str, Any]) -> dict[str, Any]:
    """A parameter that is called as a column of ours gets another name."""
    taken = {"job", *OUTCOME}
    return {f"{name}_" if name in taken else name: value for name, value in parameters.items()}


def as_table(records: list[dict[str, Any]]) -> Any:
    """A pandas `DataFrame` of the records, where pandas is installed; else the records."""
    if find_spec("pandas") is None:
        return records
    pandas: Any = import_module("pandas")
    return pandas.DataFrame.from_records(records)
