"""`distribute replay`: the past of the cluster, from its log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.completing import complete_batch
from distribute_cli.session import Session
from distribute_cli.shown_batch import show_batch
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output


async def replay(
    session: Session,
    batch: Annotated[
        str | None,
        typer.Argument(
            metavar="BATCH",
            help="With --at or --seq: this batch and its jobs. With --export: only its events.",
            autocompletion=complete_batch,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Show what was: at 2026-01-31T18:00, or so long ago: 2h, 3d."),
    ] = None,
    seq: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Show what was behind event N of the log.")
    ] = None,
    is_verified: Annotated[
        bool, typer.Option("--verify", help="Check the whole log, and the scheduler's state against it.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the log in a file, for --from.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="With --export: replace the file.")] = False,
) -> int:
    """Show batches and nodes as they were, check the log, or save it.

    Nodes are shown without figures of their heartbeats, which are not in the log.
    """
    from distribute.core.errors import InputError

    chosen = [
        option
        for option, is_given in (
            ("--at", at is not None),
            ("--seq", seq is not None),
            ("--verify", is_verified),
            ("--export", export is not None),
        )
        if is_given
    ]
    if len(chosen) != 1:
        given = f", not {' and '.join(chosen)}" if chosen else ""
        raise InputError(f"say what to do: one of --at TIME, --seq N, --verify and --export FILE{given}")
    if force and export is None:
        raise InputError("--force goes with --export FILE, which it replaces")
    if is_verified and batch is not None:
        raise InputError("--verify checks the whole log: leave out BATCH")
    async with session.cluster(named="with the answer") as cluster:
        if is_verified:
            return await _verify(session.output, cluster)
        if export is not None:
            await _export(session, cluster, export, batch, force=force)
        else:
            await _show(session, cluster, at, seq, batch)
    return 0


async def _show(
    session: Session, cluster: Cluster, at: str | None, seq: int | None, batch: str | None
) -> None:
    from datetime import UTC, datetime

    from distribute.client.replaying import PastQueries, state_at
    from distribute.client.targets import find_batch
    from distribute_cli.output.clock import as_of
    from distribute_cli.values import past_moment

    time = None if at is None else past_moment("--at", at, datetime.now(UTC)).timestamp()
    end = await cluster.log.end()
    with session.output.bar("replay") as bar:
        state = await state_at(
            cluster.log, time=time, seq=seq, on_done=lambda done: bar.update(done, end.seq)
        )
    moment = state.time if time is None else time
    queries = PastQueries(cluster, state, moment)
    with as_of(moment):
        past = await queries.past()
        session.output.hint(f"as of event {past['seq']} of the log, {past['time']}")
        if batch is None:
            session.output.past(past)
            return
        named = await find_batch(queries, batch)
        await show_batch(session.output, cluster, queries, named, most=session.output.most_jobs)


async def _verify(output: Output, cluster: Cluster) -> int:
    from distribute.client.verifying import verify
    from distribute_cli.output.verified import verified_lines

    end = await cluster.log.end()
    with output.bar("verify") as bar:
        found = await verify(cluster, on_done=lambda done: bar.update(done, end.seq))
    output.done("\n".join(verified_lines(found)), found)
    return 0 if found["sound"] else 1


async def _export(session: Session, cluster: Cluster, file: Path, batch: str | None, *, force: bool) -> None:
    from distribute.client.exporting import export
    from distribute.client.targets import find_batch
    from distribute.client.words import argument, printable
    from distribute.core.words import counted, format_size

    named = None if batch is None else await find_batch(session.queries(cluster), batch)
    end = await cluster.log.end()
    with session.output.bar("export") as bar:
        last = await export(
            cluster, file, name=session.cluster_name, batch=named, replace=force,
            on_done=lambda done: bar.update(done, end.seq),
        )  # fmt: skip
    size_bytes = file.stat().st_size
    session.output.done(
        f"{printable(str(file))} has {counted(last.events, 'event')}, in {format_size(size_bytes)}",
        {"file": str(file), "events": last.events, "last_seq": last.last_seq, "size_bytes": size_bytes},
    )
    session.output.hint(f"`distribute status --from {argument(str(file))}` reads it")


app = verb(replay, reads=True)
