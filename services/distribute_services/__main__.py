"""`python -m distribute_services SERVICE …`: runs one service as a process of its own.

Uses argparse, because typer takes 8 MB, and a node-runner must stay small on somebody's workstation.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distribute.collector import collect_garbage_rarely
from distribute.core.errors import DistributeError, exit_code
from distribute.inherited import restore_signals
from distribute.standard_streams import prepare_standard_streams
from distribute_services import logs

if TYPE_CHECKING:
    from distribute.ports import Cluster
    from distribute.runtime import Stop

    Serve = Callable[[Cluster, Stop], Coroutine[Any, Any, None]]
    Before = contextlib.AbstractAsyncContextManager[object]


_PEERS = {
    "scheduler": ("the broker", "no job is assigned until it does; running jobs go on"),
    "archiver": ("the broker", "nothing is archived until it does"),
    "notifier": ("the broker", "nobody is told anything until it does"),
    "node-runner": ("the head", "running jobs go on"),
}
"""The broker in the words of each service's log, and what an outage means."""


def main(arguments: list[str] | None = None) -> int:
    """Run the service named first. Returns 0 if it was asked to stop, else the exit code of its error."""
    collect_garbage_rarely()
    restore_signals()
    prepare_standard_streams()
    options = _parser().parse_args(arguments)
    try:
        logs.begin(options.log_file, debug=options.debug)
        asyncio.run(_run(options))
    except DistributeError as error:
        if options.debug:
            raise
        print(f"distribute {options.service}: {error}", file=sys.stderr)
        return exit_code(error)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="distribute_services", description=__doc__)
    services = parser.add_subparsers(dest="service", required=True)
    for name in ("scheduler", "archiver", "notifier", "node-runner"):
        service = services.add_parser(name)
        service.add_argument("--server", required=True, help="URL of the broker")
        service.add_argument("--creds", type=Path, default=None)
        service.add_argument("--debug", action="store_true")
        service.add_argument("--log-file", type=Path, default=None, help="default: stderr")
        if name == "scheduler":
            _add_lease_options(service)
        if name == "archiver":
            service.add_argument("--inputs-keep-s", type=float, default=None, help="that no batch names")
        if name == "notifier":
            service.add_argument("--notify-config", type=Path, default=None, help="a notify.yaml")
            service.add_argument("--matrix-config", type=Path, default=None, help="the account for Matrix")
            service.add_argument("--folder", type=Path, required=True, help="for what its channels keep")
        if name == "node-runner":
            _add_node_options(service)
    return parser


def _add_lease_options(service: argparse.ArgumentParser) -> None:
    service.add_argument("--out-of-touch-s", type=float, default=15.0, help="a node this silent gets no jobs")
    service.add_argument("--lost-after-s", type=float, default=60.0, help="a node this silent is lost")
    service.add_argument(
        "--patience-growth",
        type=float,
        default=0.1,
        help="a job waits for its silent node for this share of its run time",
    )
    service.add_argument("--longest-patience-s", type=float, default=1800.0)


def _add_node_options(service: argparse.ArgumentParser) -> None:
    service.add_argument("--name", default=None, help="default: the computer's host name")
    service.add_argument("--work-dir", type=Path, required=True)
    service.add_argument("--cpus", type=int, default=None)
    service.add_argument("--memory-bytes", type=int, default=None)
    service.add_argument("--gpus", type=int, default=None, help="how many it lends; default: all")
    service.add_argument("--count", choices=("cores", "threads"), default="cores", help="what is a cpu")
    service.add_argument(
        "--part",
        type=int,
        nargs=2,
        default=(1, 1),
        metavar=("NUMBER", "OF"),
        help="lend one of several equal parts of the computer",
    )
    service.add_argument(
        "--written",
        action="append",
        default=[],
        metavar="WHAT=WHERE",
        help="where a person wrote `cpus`, `memory` or `gpus`: refuse more than there is",
    )
    service.add_argument("--capability", action="append", default=[])
    service.add_argument("--cache-bytes", type=int, default=None)
    service.add_argument("--keep-free-bytes", type=int, default=None, help="of its disk")
    service.add_argument("--max-processes", type=int, default=None, help="and threads, of a job")
    service.add_argument("--niceness", type=int, default=None)
    service.add_argument("--build-copies", choices=("overlay", "bind", "copy"), default="overlay")
    service.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="for its jobs")
    service.add_argument("--path", action="append", default=[], help="comes first in the PATH of its jobs")
    service.add_argument("--max-pause-s", type=float, default=None)
    service.add_argument("--max-unseen-s", type=float, default=None, help="its jobs live so long without it")
    service.add_argument("--superseded-keep-s", type=float, default=None, help="keep what does not count")
    service.add_argument("--pause-group", default=None, help="may pause and resume it at this computer")
    service.add_argument("--run-as", default=None, metavar="USER", help="runs its jobs")
    service.add_argument("--ionice", choices=("idle", "none"), default="idle")
    service.add_argument("--pause-when-active-s", type=float, default=None)
    service.add_argument("--lend", default=None, metavar="HOURS")
    service.add_argument("--load-limit", type=float, default=None, metavar="CORES")
    service.add_argument("--vacate-after-s", type=float, default=None)
    service.add_argument("--beat-s", type=float, default=5.0)
    service.add_argument("--grace-s", type=float, default=None, help="from SIGTERM to SIGKILL")


async def _run(options: argparse.Namespace) -> None:
    # Imported here: a runner needs none of the scheduler's modules, nor the archiver the runner's.
    from distribute.nats.client.connect import Address
    from distribute.nats.client.outage import Peer
    from distribute.nats.cluster import open_cluster
    from distribute.runtime import stop_on_signals, unless_stopped

    name, standby, serve = await _service(options)
    collect_garbage_rarely()
    address = Address.of(options.server, options.creds)
    # The services of the head create the streams that the cluster lacks; a node only uses them.
    provisioning = options.service != "node-runner"
    stop = stop_on_signals()
    peer = Peer(*_PEERS[options.service])
    opened = open_cluster(address, name, timeout_s=None, provisioning=provisioning, peer=peer)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(standby)
        cluster = await unless_stopped(stop, stack.enter_async_context(opened))
        if cluster is not None:
            await serve(cluster, stop)


async def _service(options: argparse.Namespace) -> tuple[str, Before, Serve]:
    """The service's name, what it does until it has a cluster, and the function that does its work on one.

    Raises:
        InputError: its options are wrong.
    """
    nothing = contextlib.nullcontext()
    match options.service:
        case "scheduler":
            from distribute.core.scheduling.liveness import Lease
            from distribute_services.scheduler.service import SchedulerService

            lease = Lease(
                options.out_of_touch_s,
                options.lost_after_s,
                options.patience_growth,
                options.longest_patience_s,
            )
            return "scheduler", nothing, lambda cluster, stop: SchedulerService(cluster, lease).run(stop)
        case "archiver":
            from distribute.core.spec.named_inputs import DEFAULT_INPUTS_KEEP_S
            from distribute_services.archiver.service import ArchiverService

            keep_s = DEFAULT_INPUTS_KEEP_S if options.inputs_keep_s is None else options.inputs_keep_s
            return (
                "archiver",
                nothing,
                lambda cluster, stop: ArchiverService(cluster, inputs_keep_s=keep_s).run(stop),
            )
        case "notifier":
            from distribute_services.notifier.opening import open_channels
            from distribute_services.notifier.service import NotifierService

            channels = await open_channels(options.notify_config, options.matrix_config, options.folder)
            return "notifier", nothing, lambda cluster, stop: NotifierService(cluster, channels).run(stop)
        case _:
            from distribute.nats.client.connect import Address
            from distribute_services.node_runner.host.detect import detect
            from distribute_services.node_runner.host.environment import (
                base_environment,
                chosen,
                own_programs,
            )
            from distribute_services.node_runner.host.opening import Standby, open_computer
            from distribute_services.node_runner.host.run_as import person, warn_of_root
            from distribute_services.node_runner.options import Options
            from distribute_services.node_runner.service import run_node

            node = replace(Options.of(options), server=str(Address.of(options.server)))
            who = person(node.run_as)  # what is wrong is said even if no head answers
            warn_of_root(node.run_as)
            environment = chosen(base_environment(os.environ, own_programs()), node.env, node.path)
            lent = await detect(node.lends, node.capabilities, environment, who)

            async def serve_node(cluster: Cluster, stop: Stop) -> None:
                async with open_computer(node, standby, lent, cluster) as computer:
                    await run_node(cluster, node, computer, stop)

            standby = Standby(node)
            return node.name, standby, serve_node


if __name__ == "__main__":
    sys.exit(main())
