"""`distribute watch BATCH`: a progress bar until it is over."""

from __future__ import annotations

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE, BatchArgument
from distribute_cli.verbs import verb


async def watch(session: Session, batch: BatchArgument = DEFAULT_FILE) -> int:
    """Show a batch's progress until it is over. Exit code 1: it did not end well."""
    from distribute_cli.ending import hint_results, watch_through
    from distribute_cli.reads import Reads
    from distribute_cli.targets import find_batch

    async with session.cluster() as cluster:
        reads = Reads(cluster, session.output)
        found = await find_batch(reads, batch)
        code = await watch_through(cluster, reads, session.output, found)
    hint_results(session.output, found)
    return code


app = verb(watch)
