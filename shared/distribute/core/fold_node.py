"""What node events do to a node. Called by `fold.apply` alone."""

from __future__ import annotations

from distribute.core import events as ev
from distribute.core.ids import BatchId
from distribute.core.state import NodeState, State


def join(state: State, event: ev.Joined) -> None:
    """A node begins anew: what it was given before this event, it no longer does."""
    before = state.nodes.get(event.node)
    node = state.nodes[event.node] = NodeState(
        name=event.node,
        last_seq=state.seq,
        joined_seq=state.seq,
        incarnation=event.incarnation,
        capabilities=event.capabilities,
        cpus=event.cpus,
        memory_bytes=event.memory_bytes,
        gpus=event.gpus,
        version=event.version,
    )
    if before is None:
        return
    # Held until the scheduler releases each: what a node still runs must not be given away twice.
    node.attempts = before.attempts
    node.used_cpus = before.used_cpus
    node.used_memory_bytes = before.used_memory_bytes
    node.used_gpus = before.used_gpus
    # What people said of the node outlives its runner.
    node.paused_until, node.pause_reason = before.paused_until, before.pause_reason
    node.draining, node.quarantined = before.draining, before.quarantined
    node.fast_failures = before.fast_failures
    for batch_id in before.builds:
        if batch_id in state.batches:
            state.batches[batch_id].built_on.discard(node.name)


def leave(state: State, node: NodeState, event: ev.Leaving) -> None:
    """The node ends, and goes on with what it keeps alone."""
    node.keeps = {
        key for key in node.attempts if str(state.batches[key.batch].job_id(key.row)) in event.keeps
    }


def start_build(state: State, node: NodeState, event: ev.BuildStarted) -> None:
    """The node is building a batch."""
    batch = state.batches.get(BatchId(event.namespace, event.batch))
    if batch is not None:
        node.building.add(batch.id)


def finish_build(state: State, node: NodeState, event: ev.BuildFinished) -> None:
    """The node can run the batch's jobs from now on, or can't."""
    batch = state.batches.get(event.batch_id)
    if batch is None:
        return  # deleted meanwhile
    node.building.discard(batch.id)
    if event.succeeded:
        node.builds.add(batch.id)
        batch.built_on.add(node.name)
        batch.build_failed.pop(node.name, None)
    else:
        batch.build_failed[node.name] = event.reason or "the build failed"
