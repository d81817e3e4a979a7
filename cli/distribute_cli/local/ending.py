"""Ending a cluster that `up` began on this computer."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

from distribute.client.words import argument
from distribute.config.settings.cluster_record import ClusterRecord, running_clusters
from distribute.core.errors import Refused
from distribute.core.words import counted
from distribute.runtime import KEEP_JOBS
from distribute.system import exit_of
from distribute_cli.local.cluster_record import down_command, record_in, running
from distribute_cli.local.supervisor import last_line

TOLD_AFTER_S = 10.0
"""Seconds to wait for a cluster's end before saying what it waits for."""


def cluster_in(directory: Path) -> ClusterRecord:
    """The cluster of `up` that runs in a folder.

    Raises:
        Refused: none runs there, or `up` did not start it.
        Damaged: its record does not say which.
    """
    record = running(record_in(directory))
    if record is None:
        start = f"distribute up --dir {argument(str(directory))}"
        raise Refused(f"no cluster runs in {directory}; `{start}` starts one")
    if record.verb != "up":
        raise Refused(_not_ours(record))
    return record


def clusters_of_up() -> list[ClusterRecord]:
    """The clusters that this user began with `up` on this computer.

    Raises:
        Refused: there is none.
    """
    records = running_clusters()
    found = [record for record in records if record.verb == "up"]
    if not found:
        others = "; ".join(_not_ours(record) for record in records)
        hint = f" that `distribute up` began: {others}" if others else "; `distribute up` starts one"
        raise Refused(f"no cluster runs here{hint}")
    return found


def _not_ours(record: ClusterRecord) -> str:
    return (
        f"the cluster in {record.dir} was started by `distribute {record.verb}`, maybe for others, too: "
        f"end it in its own terminal, or by `kill {record.pid}`"
    )


async def end(record: ClusterRecord, tell: Callable[[str], None], *, keep_jobs: bool = False) -> None:
    """End a cluster of `up`, and wait until all of it has ended.

    Its nodes first store and report the jobs that have ended, however long that takes. A second call for a
    cluster that is ending ends it at once.

    Args:
        record: which cluster.
        tell: tells a person what it waits for.
        keep_jobs: let jobs run on; the next start takes them up.

    Raises:
        Refused: it is another user's.
    """
    try:
        os.kill(record.pid, KEEP_JOBS if keep_jobs else signal.SIGTERM)
    except PermissionError:
        raise Refused(
            f"the cluster in {record.dir} (process {record.pid}) is another user's: only they can end it"
        ) from None
    except ProcessLookupError:
        return
    ended = exit_of(record.pid)
    try:
        done, _ = await asyncio.wait({ended}, timeout=TOLD_AFTER_S)
        if not done:
            tell(_what_it_waits_for(record))
        await ended
    finally:
        ended.cancel()


def _what_it_waits_for(record: ClusterRecord) -> str:
    waits = [
        f"node-{name}.log ends with: {last_line(log)}"
        for name in record.nodes
        if (log := Path(record.dir, "logs", f"node-{name}.log")).exists()
    ]
    told = "".join(f"\n  {line}" for line in waits)
    again = down_command(Path(record.dir))
    return (
        f"the cluster in {record.dir} has not ended yet; a second `{again}` ends it at once; the logs of its "
        f"nodes in {record.dir}/logs say what they wait for{':' if told else ''}{told}"
    )


def question(records: list[ClusterRecord]) -> str:
    """The question which of several clusters is to end."""
    lines = [
        f"  {number}  {record.dir} ({record.server}, {counted(len(record.nodes), 'node')})"
        for number, record in enumerate(records, 1)
    ]
    count = f"{len(records)} clusters of `distribute up` run here:"
    return "\n".join([count, *lines, f"Which one is to end? [1-{len(records)}]"])


def chosen(records: list[ClusterRecord], answer: str) -> ClusterRecord:
    """The cluster that a person chose.

    Raises:
        Refused: the answer names none.
    """
    if answer.isdecimal() and 1 <= int(answer) <= len(records):
        return records[int(answer) - 1]
    commands = " or ".join(f"`{down_command(Path(record.dir))}`" for record in records)
    raise Refused(f"nothing was ended: answer with a number, or say which: {commands}")
