"""`distribute slurm --collect DIR`: brings a batch that ran at SLURM into the archive."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.words import argument, printable
from distribute.core.words import counted, few

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distribute.client.seen import Seen
    from distribute_cli.session import Session

ENDS = ("succeeded", "failed", "killed")


class How(NamedTuple):
    """How to collect. `missing_as_failed`: jobs have failed if nothing tells how they ended.

    `replace`: kill and delete the batch that has the name now; with `yes`, don't ask; with `force`, also if
    it is another person's. `dry`: say what would be collected, and collect nothing.
    """

    missing_as_failed: bool
    replace: bool
    yes: bool
    force: bool
    dry: bool


async def collect_folder(session: Session, folder: Path, how: How) -> None:
    """Collect the folder's batch. Begun again, this goes on where it was.

    Args:
        session: this run of the verb.
        folder: as it came back from the cluster.
        how: the options.

    Raises:
        InputError: the folder can't be collected; a line for each reason.
        Refused: its name is taken.
    """
    from distribute.client.collect.archive import collect
    from distribute.client.collect.slurm_folder import read_slurm_folder
    from distribute_cli.output.plain_output import NoBar
    from distribute_cli.output.submitted import agree_to_replace

    run = await asyncio.to_thread(
        read_slurm_folder, folder, datetime.now(UTC), missing_as_failed=how.missing_as_failed
    )
    output, batch = session.output, run.spec.id
    name = printable(str(batch))
    ends = Counter[str](ended.state for ended in run.ended)
    document = {**batch._asdict(), "ran_at": run.ran_at.system}
    if run.missing:
        names = few([printable(missing) for missing in run.missing])
        output.warn(
            f"{argument(str(folder))}: these inputs are not there, or were changed: {names}; the archive "
            "gets the others; put them back as they were, collect it again, and it gets these, too"
        )
    if how.dry:
        output.done(f"{name} would be collected: {_told(ends)}", {**document, "jobs": _jobs(ends)})
        return
    async with session.cluster(named="now") as cluster:
        seen: Seen | None = None
        if how.replace:
            seen, replaced = await agree_to_replace(
                cluster,
                session.queries(cluster),
                output,
                session.person,
                batch,
                yes=how.yes,
                force=how.force,
                dry=False,
            )
            document |= replaced
        with (
            output.bar("sending inputs", of_bytes=True) if run.sources else nullcontext(NoBar()) as sending,
            output.bar("collecting jobs") as collecting,
        ):
            found = await collect(
                cluster,
                session.person,
                run,
                replace=how.replace,
                seen=seen,
                force=how.force,
                on_bytes=sending.update,
                on_job=collecting.update,
            )
    ends = Counter({end: getattr(found, end) for end in ENDS})
    already = "" if found.new else " already"
    now = f"; {counted(found.new, 'job')} of them now" if 0 < found.new < len(run.ended) else ""
    line = f"{name} is collected{already}: {_told(ends)}{now}"
    output.done(line, {**document, "jobs": _jobs(ends), "new": found.new})
    output.hint(f"`distribute pull {argument(str(batch))}` gets its results")


def _jobs(ends: Mapping[str, int]) -> dict[str, int]:
    return {"total": sum(ends.get(end, 0) for end in ENDS)} | {end: ends.get(end, 0) for end in ENDS}


def _told(ends: Mapping[str, int]) -> str:
    """`30 jobs: 28 succeeded, 2 failed`."""
    parts = ", ".join(f"{ends[end]} {end}" for end in ENDS if ends.get(end))
    return f"{counted(_jobs(ends)['total'], 'job')}: {parts}"
