"""The invariants of every state. They are checked after every test and every simulated step."""

from __future__ import annotations

from collections import Counter

from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.scheduling.agenda import Agenda
from distribute.core.slices import at_once
from distribute.core.state.batch_record import loading
from distribute.core.state.packing import is_packable, named_by_nodes, packed_as
from distribute.core.state.state import (
    ENDED,
    IN_FLIGHT,
    MAX_FAILURES_QUOTED,
    BatchState,
    JobKey,
    NodeState,
    State,
    Status,
)
from distribute.core.state.statuses import rows_with


def check(state: State) -> None:
    """Raise `AssertionError`, naming the batch or node, if the state contradicts itself."""
    cores: Counter[str] = Counter()
    for batch in state.batches.values():
        check_batch(state, batch)
        for attempt in batch.active.values():
            cores[batch.user] += attempt.cpus
    for node in state.nodes.values():
        check_node(state, node)
    _check_packed(state)
    _check_compacted(state)
    for user, usage in state.usage.items():
        assert usage.cores == cores[user], f"{user}: holds {usage.cores} cores, attempts say {cores[user]}"
        assert usage.core_ms >= 0, f"{user}: used {usage.core_ms} core milliseconds"


def _check_packed(state: State) -> None:
    """Check that packed batches may be packed, and that their fields agree with their records."""
    named = named_by_nodes(state.nodes.values())
    for batch_id, packed in state.packed.items():
        assert packed.id == batch_id, f"{batch_id} is packed as {packed.id}"
        assert batch_id not in state.batches, f"{batch_id} is packed, and is not"
        assert batch_id not in named, f"{batch_id} is packed, and a node's record names it"
        batch = at_once(loading(packed.fixed, packed.changing))
        check_batch(state, batch)
        assert is_packable(batch), f"{batch_id} is packed, and not over"
        assert packed_as(batch, packed.fixed, packed.changing) == packed, f"{batch_id}: what lists show of it"


def _check_compacted(state: State) -> None:
    """Check that a compacted batch is nowhere else, and that nothing waits for what it has left."""
    named = named_by_nodes(state.nodes.values())
    for batch_id, batch in state.compacted.items():
        assert batch.id == batch_id, f"{batch_id} is compacted as {batch.id}"
        assert batch_id not in state.batches.keys() | state.packed.keys(), f"{batch_id} is there twice"
        assert batch_id not in named, f"{batch_id} is compacted, and a node's record names it"
        over = sum(batch.counts[status] for status in ENDED)
        assert over == sum(batch.counts), f"{batch_id} is compacted, and {over} of its jobs are over"


def check_touched(state: State, event: Event) -> None:
    """As `check`, but only of the batch and the node that an event is about."""
    match event:
        case ev.NodeEvent():
            batch, node = None, state.nodes.get(event.node)
        case ev.BatchEvent():
            batch, node = state.batches.get(event.scope), None
        case _:
            batch, node = state.batches.get(event.batch_id), state.nodes.get(event.node)
    if batch is not None:
        check_batch(state, batch)
    if node is not None:
        check_node(state, node)


def check_node(state: State, node: NodeState) -> None:
    """Raise `AssertionError` where a node contradicts itself, or the batches."""
    name = node.name
    assert node.dropped <= node.attempts, f"{name}: dropped {node.dropped - node.attempts} twice"
    attempts = [
        attempt
        for key in node.attempts
        if (batch := state.batches.get(key.batch)) is not None
        and (attempt := batch.active.get(key.row)) is not None
        and attempt.node == name
    ]
    assert len(attempts) == len(node.attempts), f"{name}: attempts {node.attempts} that it has not"
    assert node.used_cpus == sum(attempt.cpus for attempt in attempts), f"{name}: cpus in use"
    used_memory = sum(attempt.memory_bytes for attempt in attempts)
    assert node.used_memory_bytes == used_memory, f"{name}: memory in use"
    assert node.used_gpus == {gpu for attempt in attempts for gpu in attempt.gpus}, f"{name}: GPUs in use"


def check_batch(state: State, batch: BatchState) -> None:
    """Raise `AssertionError` where a batch contradicts itself, or the nodes."""
    statuses = Counter(batch.status)
    total = len(batch.names)
    for status in Status:
        assert batch.counts[status] == statuses[status], f"{batch.id}: count of {status.name}"
    assert len(batch.status) == len(batch.job_seq) == len(batch.attempts) == total, f"{batch.id}: columns"
    assert [group.start for group in batch.groups] == [0, *(group.stop for group in batch.groups[:-1])], (
        f"{batch.id}: groups leave gaps"
    )
    assert batch.groups[-1].stop == total, f"{batch.id}: groups leave jobs out"
    in_flight = {row for row, status in enumerate(batch.status) if status in IN_FLIGHT}
    assert set(batch.active) == in_flight, f"{batch.id}: attempts {set(batch.active)}, in flight {in_flight}"
    for row, attempt in batch.active.items():
        assert attempt.number == batch.attempts[row], f"{batch.job_id(row)}: number of its attempt"
        is_claimed = batch.status[row] != Status.ASSIGNED
        assert attempt.stop_at is None or is_claimed, f"{batch.job_id(row)}: to be ended, and not claimed"
        node = state.nodes.get(attempt.node)  # None: unknown; the scheduler must release the attempt
        is_held = node is None or JobKey(batch.id, row) in node.attempts
        assert is_held, f"{attempt.node}: does not have {batch.job_id(row)}"
    for row in batch.unarchived:
        status = Status(batch.status[row])
        assert status in ENDED | {Status.RETRYING}, f"{batch.job_id(row)}: {status.name}, to be archived"
    succeeded = [row for row in batch.last_lines if batch.status[row] == Status.SUCCEEDED]
    assert not succeeded, f"{batch.id}: the rows {succeeded} succeeded, and their failure is quoted"
    quoted = len(batch.last_lines)
    assert quoted <= MAX_FAILURES_QUOTED, f"{batch.id}: the failures of {quoted} jobs are quoted"
    assert batch.build_lines.keys() <= batch.build_failed.keys(), f"{batch.id}: builds that are quoted"
    assert batch.build_kept.keys() <= batch.built_on, f"{batch.id}: builds that were kept"
    forgiven = {row for row in batch.forgiven if batch.status[row] != Status.FAILED or row == batch.last_row}
    assert not forgiven, f"{batch.id}: the failures of rows {forgiven} are forgiven, and they have not failed"
    assert batch.holding is None or batch.end is None, f"{batch.id} is over, and held"
    waits = batch.counts[Status.QUEUED] + batch.counts[Status.RETRYING]
    assert batch.killed is None or not waits, f"{batch.id} is killed, and {waits} jobs wait"
    unasked = [row for row in rows_with(batch, Status.KILLED) if not batch.kill_wanted(row)]
    assert not unasked, f"{batch.id}: the rows {unasked} are killed, and no person asked for that"
    both = batch.unarchived.keys() & batch.missing.keys()
    assert not both, f"{batch.id}: rows {both} are to be archived, and gone"
    assert not (batch.archived and batch.unarchived), f"{batch.id} is archived, without {batch.unarchived}"
    assert batch.end is not None or not batch.archived, f"{batch.id} is archived, and not over"
    if batch.end is not None:
        waiting = batch.counts[Status.QUEUED] + batch.counts[Status.RETRYING]
        assert waiting == 0, f"{batch.id} is over, and {waiting} jobs wait"
    if batch.end == "completed":
        assert batch.counts[Status.SUCCEEDED] == total, f"{batch.id} completed with jobs that did not succeed"


def check_agenda(agenda: Agenda) -> None:
    """Check that the indexes equal those of a new agenda of the same state and pending events."""
    assert agenda.waiting.keys() == agenda.state.batches.keys(), "batches that are indexed"
    fresh = Agenda(agenda.state, agenda.liveness, now=agenda.now)
    for events in agenda.pending.of_scope.values():
        for event in events:
            fresh.plan(event)
    assert fresh.pending.held == agenda.pending.held, (
        f"held: {agenda.pending.held} against {fresh.pending.held}"
    )
    assert fresh.pending.cores == agenda.pending.cores, "held cores"
    agenda.shares.pass_time(agenda.shares.second)
    for user, kept in agenda.shares.items():
        found = agenda.shares.computed(user)
        assert kept == found, f"{user}: the share that is kept is {kept}, and was to be {found}"
    assert fresh.pending.jobs == agenda.pending.jobs, "pending jobs"
    assert fresh.pending.quarantines == agenda.pending.quarantines, "pending quarantines"
    assert fresh.silent == agenda.silent, f"silent: {agenda.silent} against {fresh.silent}"
    assert fresh.suspects == agenda.suspects, f"suspects: {agenda.suspects} against {fresh.suspects}"
    assert fresh.queues == agenda.queues, f"queues: {agenda.queues} against {fresh.queues}"
    assert fresh.nodes_for == agenda.nodes_for, f"nodes: {agenda.nodes_for} against {fresh.nodes_for}"
    for batch_id, groups in agenda.waiting.items():
        rows = [list(waiting.rows()) for waiting in groups]
        fresh_rows = [list(waiting.rows()) for waiting in fresh.waiting[batch_id]]
        assert rows == fresh_rows, f"{batch_id}: what waits is {rows}, and was to be {fresh_rows}"
        firsts = [waiting.first() for waiting in groups]
        assert firsts == [next(iter(waiting), None) for waiting in rows], f"{batch_id}: next jobs {firsts}"
