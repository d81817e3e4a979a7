"""Running a local cluster until a person ends it: in this terminal, or in the background."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import ExitStack

from distribute.client.log_lines import OneLine
from distribute.inherited import end_signals
from distribute.runtime import KEEP_JOBS, Stop
from distribute_cli.local.cluster import Plan, local_cluster
from distribute_cli.local.cluster_record import recorded
from distribute_cli.local.listening import Reach
from distribute_cli.local.ready import how_to_end, show_ready, warn_if_verbs_go_elsewhere
from distribute_cli.output.form import Output


async def run_here(
    output: Output, plan: Plan, ready_fd: int | None = None, *, reach: Reach | None = None
) -> int:
    """Run a cluster until a signal ends it. When it is ready, say so, and write to `ready_fd`.

    `reach` is how other computers reach a head.
    """
    for handler in logging.getLogger().handlers:
        handler.setFormatter(OneLine())  # what is logged for days needs times
    stop = Stop()
    serving = asyncio.create_task(_serve(output, plan, ready_fd, stop, reach))
    loop = asyncio.get_running_loop()

    numbers = (*end_signals(), KEEP_JOBS)

    def end(number: signal.Signals) -> None:
        if not serving.cancelling():
            stop.keeps_jobs = number is KEEP_JOBS
            serving.cancel()
        elif number is not signal.SIGHUP:
            stop.at_once.set()  # a second Ctrl-C does not wait for the results of nodes
            for each in numbers:
                loop.remove_signal_handler(each)  # and a third ends this process at once

    for number in numbers:
        loop.add_signal_handler(number, end, number)
    try:
        await serving
    except asyncio.CancelledError:
        output.hint(f"the cluster has ended; its data stays in {plan.directory}; `{plan.command}` continues")
    return 0


async def _serve(output: Output, plan: Plan, ready_fd: int | None, stop: Stop, reach: Reach | None) -> None:
    with ExitStack() as until_it_has_ended:  # until then a second `down` must find the record
        async with local_cluster(plan, stop) as server:
            nodes = [node.name for node in plan.nodes]
            record = until_it_has_ended.enter_context(
                recorded(server, plan.directory, nodes, plan.verb, plan.command, warn=output.warn)
            )
            show_ready(output, record, reach)
            if ready_fd is not None:
                os.write(ready_fd, b"ready\n")
                os.close(ready_fd)
            else:
                await warn_if_verbs_go_elsewhere(output, record)
                output.hint(how_to_end(record))
            await asyncio.Event().wait()
