"""People who look into jobs that run, in the simulated world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.commands import run_command
from distribute.client.running_files import list_files, read_pieces
from distribute.client.visiting import find_running
from distribute.core.ids import JobId
from distribute.core.spec.visits import Piece

from .stories import require

if TYPE_CHECKING:
    from .people import Visit

LIMIT_S = 20.0
"""Of a modelled command: some take longer."""


async def look_into(visit: Visit, job: JobId) -> None:
    """Read the file of a job that runs, and run a command in it: both tell of this attempt alone."""
    truth = visit.world.truth
    running = await find_running(visit.queries, job)
    files = await list_files(visit.cluster, visit.queries, running)
    pieces = [Piece(path=entry.path, offset=0, until=entry.size_bytes) for entry in files.entries]
    for _, data in await read_pieces(visit.cluster, visit.queries, running, pieces):
        truth.read_output(job, running.attempt, bytes(data))
        truth.happened["a file of a running job is read"] += 1
    printed = bytearray()

    async def write(out: memoryview, errors: memoryview) -> None:
        printed.extend(out)

    ended = await run_command(
        visit.cluster, visit.queries, visit.person, running, [str(job)], write=write, limit_s=LIMIT_S
    )
    if ended.exit_code == 0:
        require(bytes(printed) == f"{job}\n".encode(), f"a command in {job} printed {bytes(printed)!r}")
        truth.happened["a command in a job ends"] += 1
    else:
        truth.happened[f"a command is ended: {ended.reason or 'with its job'}"] += 1
