"""Showing one batch with its jobs, as it is and as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output


async def show_batch(
    output: Output, cluster: Cluster, queries: Queries, batch: BatchId, **which: Any
) -> None:
    """Show a batch as `queries` has it. `which` of its jobs are listed is as `Queries.batch` takes it."""
    if output.has_parameters:
        from distribute.client.submitted import read_batch

        document = await read_batch(cluster, queries, batch, **which)
    else:
        document = await queries.batch(batch, **which)
    output.batch(document)
