"""`distribute wait BATCH`: until it is over and its results are in the archive."""

from __future__ import annotations

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE, BatchArgument
from distribute_cli.verbs import verb


async def wait(session: Session, batch: BatchArgument = DEFAULT_FILE) -> int:
    """Wait until a batch is over and its results can be pulled. Exit code 1: it did not end well."""
    from distribute_cli.ending import follow_to_end, hint_results, tell_end
    from distribute_cli.reads import Reads
    from distribute_cli.targets import find_batch

    async with session.cluster() as cluster:
        reads = Reads(cluster, session.output)
        found = await find_batch(reads, batch)
        course = await follow_to_end(cluster, found)
        code = await tell_end(session.output, reads, found, course)
    hint_results(session.output, found)
    return code


app = verb(wait)
