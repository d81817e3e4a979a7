"""`distribute admin check` and `compact`: what those do who look after a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distribute_cli.completing import complete_batch
from distribute_cli.session import Session
from distribute_cli.verbs import group, verb

if TYPE_CHECKING:
    from distribute.client.compacting import Compaction
    from distribute.client.documents import BatchDocument
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output


def admin() -> None:
    """Look after a cluster."""


async def check(session: Session) -> int:
    """Look at the services, their channels to people, the nodes and the log, and say what does not work.

    Exit code 1: there is a problem, which keeps work from being done.
    """
    from distribute.client.checking import check as check_cluster

    async with session.cluster(named="with the answer") as cluster:
        found = await check_cluster(cluster, session.queries(cluster))
    width = max(len(finding.what) for finding in found)
    lines = [f"{finding.verdict:<8} {finding.what:<{width}}  {finding.text}" for finding in found]
    session.output.done("\n".join(lines), {"findings": [finding._asdict() for finding in found]})
    return 1 if any(finding.verdict == "problem" for finding in found) else 0


async def compact(
    session: Session,
    batches: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BATCH",
            help="Only these batches: NAMESPACE/BATCH.",
            show_default=False,
            autocompletion=complete_batch,
        ),
    ] = None,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="T", help="Only batches that ended so long ago.")
    ] = "30d",
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say which batches would be compacted, but change nothing.")
    ] = False,
) -> int:
    """Move the events of batches that are over and archived out of the log, into archives.

    Every query still finds them, only more slowly. A compacted batch can be read, pulled and deleted, but its
    jobs can't run again. If this is interrupted, run it again: nothing is lost.
    """
    from distribute.client.compacting import closed_batches
    from distribute.client.targets import find_batch
    from distribute_cli.values import duration_s

    over_before = time.time() - duration_s("--older-than", older_than)
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        named = [await find_batch(queries, text) for text in batches or ()]
        chosen = await closed_batches(queries, over_before, named)
        if not chosen:
            line = f"no batch that ended more than {older_than} ago is left to compact"
            session.output.done(line, {"compacted": [], "dry": dry})
            return 0
        with _report(session.output, dry=dry) as report:
            if dry:
                for batch in chosen:
                    report(_document(batch, None))
                return 0
            done = await _compact_all(session, cluster, chosen, over_before, report)
    return 0 if done == len(chosen) else 4


@contextmanager
def _report(output: Output, *, dry: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Take what is told of each batch. People get it at once, and programs together.

    So nothing is lost if the block is interrupted.
    """
    shown: list[dict[str, Any]] = []

    def report(document: dict[str, Any]) -> None:
        shown.append(document)
        if output.is_live:
            output.done(_line(document), document)

    try:
        yield report
    finally:
        output.for_programs({"compacted": shown, "dry": dry})


async def _compact_all(
    session: Session,
    cluster: Cluster,
    chosen: Sequence[BatchDocument],
    over_before: float,
    report: Callable[[dict[str, Any]], None],
) -> int:
    """Compact batches one after another, `report` each, and warn of the others. Returns how many were."""
    from distribute.client.compacting import compact as compact_batch
    from distribute.core.errors import Refused
    from distribute_cli.output.course import told_if_interrupted
    from distribute_cli.output.facts import told

    done = 0
    with session.output.bar("compacting batches") as bar:
        for number, batch in enumerate(chosen):
            name = _name(batch)
            bar.update(number, len(chosen), name)
            under_way = f"the archiver may still compact {name}: run this again to see to the rest"
            try:
                with told_if_interrupted(session.output, under_way):
                    moved = await compact_batch(cluster, session.person, batch, over_before)
            except Refused as error:
                session.output.warn(told(str(error)))
            else:
                done += 1
                report(_document(batch, moved))
    return done


def _document(batch: BatchDocument, done: Compaction | None) -> dict[str, Any]:
    """A batch that was compacted or, if `done` is None, would be."""
    return {
        "namespace": batch["namespace"],
        "batch": batch["batch"],
        "user": batch["user"],
        "finished_at": batch["finished_at"],
        "jobs": batch["jobs"]["total"],
        "events": None if done is None else done.events,
        "size_bytes": None if done is None else done.size_bytes,
    }


def _line(shown: Mapping[str, Any]) -> str:
    from distribute.core.words import counted, format_size
    from distribute_cli.output.facts import moment

    name, ended = _name(shown), f"over since {moment(shown['finished_at'])}"
    if shown["events"] is None:
        return f"{name} would be compacted: {counted(shown['jobs'], 'job')}, {ended}"
    moved = f"{counted(shown['events'], 'event')} moved into {format_size(shown['size_bytes'])}"
    return f"{name} is compacted: {moved}"


def _name(batch: Mapping[str, Any]) -> str:
    from distribute.client.words import printable

    return printable(f"{batch['namespace']}/{batch['batch']}")


app = group(admin, check=verb(check), compact=verb(compact))
