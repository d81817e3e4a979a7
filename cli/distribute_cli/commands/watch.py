"""`distribute watch BATCH`: shows a progress bar until the batch is over."""

from __future__ import annotations

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE, BatchArgument
from distribute_cli.verbs import verb


async def watch(session: Session, batch: BatchArgument = DEFAULT_FILE) -> int:
    """Show a batch's progress until it is over. The exit code is 1 if it ended badly."""
    from distribute.client.targets import find_batch
    from distribute_cli.output.course import hint_results, runs_on, told_if_interrupted, watch_to_end

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        with told_if_interrupted(session.output, runs_on(found)):
            code = await watch_to_end(cluster, queries, session.output, found)
    hint_results(session.output, found)
    return code


app = verb(watch)
