"""A whole cluster on this computer: broker, scheduler, archiver and nodes, kept running."""

from __future__ import annotations

import asyncio
import fcntl
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from distribute.client.about import ask_about
from distribute.client.channels import ask_channels
from distribute.client.documents import GONE
from distribute.client.queries import ask
from distribute.core.errors import InputError, Refused, Unreachable
from distribute.core.log.events import Joined
from distribute.core.os_words import why
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import open_cluster
from distribute.ports import Cluster, Only
from distribute.runtime import Stop
from distribute_cli.local.broker import run_broker
from distribute_cli.local.cluster_record import down_command, record_in, running
from distribute_cli.local.services import service_command
from distribute_cli.local.supervisor import StartFailed, Supervisor, run_process

READY_WITHIN_S = 120.0
_ASK_AGAIN_S = 0.05


@dataclass(frozen=True, slots=True)
class NodePlan:
    """A node to start: the one with this `number` of nodes that lend equal parts of this computer.

    `cpus` None: all those of its part.
    """

    name: str
    cpus: int | None = None
    capabilities: tuple[str, ...] = ()
    number: int = 1
    of: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """A cluster to start. `port` 0: a free one.

    `verb` is the one that starts it, `up` or `server`. `command` is what a person types to start it again.
    """

    directory: Path
    nodes: tuple[NodePlan, ...]
    port: int = 0
    host: str = "127.0.0.1"
    """Where the broker listens: on this computer only, or on all its addresses (`0.0.0.0`)."""
    verb: str = "up"
    scheduler_options: tuple[str, ...] = ()
    """More options of the scheduler's command line."""
    archiver_options: tuple[str, ...] = ()
    """More options of the archiver's."""
    notifier_options: tuple[str, ...] | None = None
    """More options of the notifier's; None: there is none."""
    command: str = ""
    when_ready: Callable[[Cluster], Awaitable[None]] | None = None
    """What to tell the cluster before it is called ready."""


def plan_nodes(count: int, cpus: int | None, capabilities: tuple[str, ...] = ()) -> tuple[NodePlan, ...]:
    """`count` equal nodes on this computer, which share its cores, memory and GPUs: nothing is lent twice.

    Unless `cpus` of each are more than there are.
    """
    host = socket.gethostname()
    if count == 1:
        return (NodePlan(host, cpus, capabilities),)
    return tuple(
        NodePlan(f"{host}-{number}", cpus, capabilities, number, count) for number in range(1, count + 1)
    )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Lock a cluster's folder for this process.

    Raises:
        Refused: a cluster runs in it.
        InputError: it can't be made or written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("a")
    except OSError as error:
        raise InputError(
            f"{directory}: can't hold a cluster: {why(error)}; choose another folder with --dir"
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"a cluster runs in {directory} already: use it,{_how_to_end_that_in(directory)} or choose "
                "another folder with --dir"
            ) from None
        yield


def _how_to_end_that_in(directory: Path) -> str:
    record = running(record_in(directory))
    if record is None:
        return ""  # it is about to start or has just ended
    how = f"with `{down_command(directory)}`" if record.verb == "up" else "in its own terminal"
    return f" end it {how},"


@asynccontextmanager
async def local_cluster(plan: Plan, stop: Stop | None = None) -> AsyncIterator[str]:
    """Run a cluster while the block lasts. The block begins when every node has joined, and gets the URL.

    With `stop`, the end waits until nodes have stored and reported their results, or that is to be at once.
    It also says if nodes leave their jobs to the next start.

    Raises:
        Refused: a cluster runs in its folder already.
        StartFailed: a part of it does not start.
    """
    with locked(plan.directory):
        logs = plan.directory / "logs"
        logs.mkdir(exist_ok=True)
        broker = Broker(plan.directory / "broker", host=plan.host, port=plan.port, die_with_parent=True)
        await broker.start()
        supervisor = Supervisor()
        server = broker.address.urls[0]
        services = _services(server, plan)
        nodes = {_process_name(node) for node in plan.nodes}
        supervisor.keep("broker", partial(run_broker, broker))
        try:
            async with open_cluster(broker.address, "distribute up", provisioning=True) as cluster:
                before = await cluster.log.last_seq()
                for name, argv in services.items():
                    patience = stop if name in nodes else None
                    log = logs / f"{name}.log"
                    run = partial(run_process, [*argv, "--log-file", str(log)], log, patience)
                    supervisor.keep(name, run)
                await _ready_or_failed(cluster, plan, before, supervisor)
                if plan.when_ready is not None:
                    await plan.when_ready(cluster)
            yield server
        finally:
            await supervisor.stop(*nodes)  # first, so that broker and services still take their last events
            await supervisor.stop(*(services.keys() - nodes))
            await supervisor.stop("broker")


def _services(server: str, plan: Plan) -> dict[str, list[str]]:
    """The command lines of the services, by the names of their logs."""
    common = ["--server", server]
    services = {
        "scheduler": service_command("scheduler", *common, *plan.scheduler_options),
        "archiver": service_command("archiver", *common, *plan.archiver_options),
    }
    if plan.notifier_options is not None:
        services["notifier"] = service_command("notifier", *common, *plan.notifier_options)
    for node in plan.nodes:
        options = ["--name", node.name, "--work-dir", str(plan.directory / "nodes" / node.name)]
        if node.cpus is not None:
            options += ["--cpus", str(node.cpus)]
        options += ["--part", str(node.number), str(node.of)]
        for capability in node.capabilities:
            options += ["--capability", capability]
        services[_process_name(node)] = service_command("node-runner", *common, *options)
    return services


def _process_name(node: NodePlan) -> str:
    return f"node-{node.name}"


async def _ready_or_failed(cluster: Cluster, plan: Plan, before: int, supervisor: Supervisor) -> None:
    """Wait until the cluster is ready.

    Raises:
        StartFailed: a process does not stay up, or the start takes too long.
    """
    ready = asyncio.create_task(_ready(cluster, plan, before))
    await asyncio.wait(
        [ready, supervisor.failed], timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
    )
    try:
        if supervisor.failed.done():
            supervisor.failed.result()
        if not ready.done():
            raise StartFailed(
                f"the cluster is not ready after {READY_WITHIN_S:g} s; "
                f"see the logs in {plan.directory / 'logs'}"
            )
        ready.result()
    finally:
        ready.cancel()


async def _ready(cluster: Cluster, plan: Plan, before: int) -> None:
    """Return when every node has joined, the scheduler knows of it, and all services answer."""
    missing = {node.name for node in plan.nodes}
    if missing:
        async for events in cluster.log.follow(after=before, only=Only(types=frozenset({"joined"}))):
            missing -= {recorded.event.node for recorded in events if isinstance(recorded.event, Joined)}
            if not missing:
                break
    # A service does not announce that it is up: it can only be asked.
    while not await _scheduler_knows(cluster, {node.name for node in plan.nodes}):  # noqa: ASYNC110
        await asyncio.sleep(_ASK_AGAIN_S)
    while await ask_about(cluster.queries, "archiver") is None:  # noqa: ASYNC110
        await asyncio.sleep(_ASK_AGAIN_S)
    while plan.notifier_options is not None and not await ask_channels(cluster):  # noqa: ASYNC110
        await asyncio.sleep(_ASK_AGAIN_S)


async def _scheduler_knows(cluster: Cluster, nodes: set[str]) -> bool:
    try:
        answer = await ask(cluster, "nodes", {})
    except Unreachable:
        return False
    # A node that is drained or in quarantine takes no jobs, but it has joined.
    return nodes <= {node["node"] for node in answer["nodes"] if node["state"] not in GONE}
