"""`distribute demo`: the example batch on a throw-away cluster, from submit to pulled results."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distribute.inherited import end_signals
from distribute_cli.session import Session, open_at
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.ports import Cluster

EXAMPLE = Path(__file__).parent.parent / "example"


async def demo(
    session: Session,
    save_dir: Annotated[
        Path, typer.Option("--save-dir", "-s", metavar="D", help="Write results to D/BATCH/JOB/…")
    ] = Path("distribute-demo"),
) -> int:
    """Run the example batch on a throw-away cluster of three nodes, from submit to pulled results.

    It replaces the results of an earlier demo, but no file that you changed.
    """
    from distribute.scratch import scratch_folder
    from distribute_cli.local.cluster import NodePlan, Plan, local_cluster

    _end_in_order()
    output = session.output
    with scratch_folder("demo") as scratch:
        nodes = (
            NodePlan("bigger", 2, ("compiler",), 1, 3),
            NodePlan("smaller", 1, ("compiler",), 2, 3),
            NodePlan("no-compiler", 1, (), 3, 3),
        )
        output.hint("starting a cluster of three nodes: two with a C compiler, one without")
        async with (
            local_cluster(Plan(scratch / "cluster", nodes)) as server,
            open_at(server, None, "distribute demo") as cluster,
        ):
            code = await _run_example(session, cluster, save_dir)
    if code == 0:
        output.hint(f"the cluster is gone; the results stay in {save_dir.absolute()}")
    return code


def _end_in_order() -> None:
    """Have SIGTERM and SIGHUP end the current task as Ctrl-C does, so that nothing is left behind."""
    this = asyncio.current_task()
    assert this is not None, "a coroutine that runs has a task"

    def end() -> None:
        if not this.cancelling():  # a terminal that closes sends SIGHUP twice
            this.cancel()

    for number in set(end_signals()) - {signal.SIGINT}:
        asyncio.get_running_loop().add_signal_handler(number, end)


async def _run_example(session: Session, cluster: Cluster, save_dir: Path) -> int:
    """Submit, watch, pull, and print what came out. Returns the exit code."""
    from distribute.client.pull.filters import Filter
    from distribute.client.submit import submit
    from distribute.config.loading import load
    from distribute_cli.output.course import watch_to_end
    from distribute_cli.output.pulled import Choice, pull_batch
    from distribute_cli.output.submitted import check_batch
    from distribute_cli.places import place_of

    queries, output = session.queries(cluster), session.output
    batch = load(EXAMPLE / "distribute-jobs.yaml")
    output.nodes(await queries.nodes())
    await check_batch(cluster, queries, output, batch.spec, replace=False, anyway=False)
    await submit(cluster, session.person, batch.spec, batch.sources)
    ended = await watch_to_end(cluster, queries, output, batch.spec.id)
    # Results of an earlier demo are replaced: it can be run again at any time.
    choice = Choice(Filter(), place_of(batch.spec.id, save_dir), replace=True)
    pulled = await pull_batch(cluster, queries, output, batch.spec.id, choice)
    results = save_dir / batch.spec.batch
    if ended or pulled:
        output.batch(await queries.batch(batch.spec.id))
        output.hint(f"the output of its builds and jobs is in {results.absolute()}")
        return ended or pulled
    summary = await asyncio.create_subprocess_exec(
        sys.executable, "-P", str(EXAMPLE / "summarize.py"), str(results)
    )
    return await summary.wait()


app = verb(demo, needs_cluster=False, answers=False)
