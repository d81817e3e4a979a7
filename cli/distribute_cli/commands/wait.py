"""`distribute wait BATCH`: waits until the batch is over and its results can be pulled."""

from __future__ import annotations

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE, BatchArgument
from distribute_cli.verbs import verb


async def wait(session: Session, batch: BatchArgument = DEFAULT_FILE) -> int:
    """Wait until a batch is over and its results can be pulled. The exit code is 1 if it ended badly."""
    from distribute.client.follow import follow_to_end
    from distribute.client.targets import find_batch
    from distribute_cli.output.course import hint_results, runs_on, tell_end, told_if_interrupted

    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        with told_if_interrupted(session.output, runs_on(found)):
            ended = await follow_to_end(cluster, found)
        code = await tell_end(cluster, queries, session.output, found, ended)
    hint_results(session.output, found)
    return code


app = verb(wait)
