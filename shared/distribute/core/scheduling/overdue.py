"""Find jobs that have waited for too long, so that no job starves, whatever its person's fair share is.

A person whose small jobs run already has a share of the lab, so others come first whenever a place becomes
free. A large job of theirs, which needs a whole idle node, could wait for ever. So if no job of a person's
shape was given a node for `OVERDUE_S`, a node is kept for them until one fits. The usual reservation by rank
would last only while it is their turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter

from distribute.core.folding.waits import able_since
from distribute.core.scheduling.node_order import NodeOrder
from distribute.core.scheduling.pending import Pending
from distribute.core.scheduling.queues import LaneEntry, Queues
from distribute.core.state.state import Shape, State
from distribute.core.state.usage import OVERDUE_S

Waiter = tuple[str, Shape]
"""A person, and the shape of their waiting jobs."""

Overdue = dict[int, list[Waiter]]
"""Who has waited for too long, by priority; the longest first."""


def find_overdue(
    state: State, pending: Pending, queues: Queues, nodes_for: Mapping[Shape, NodeOrder]
) -> Overdue:
    """Find what is overdue at the last event's time, if there are nodes for it.

    Takes a microsecond per lane, so call this about every second, not in every decision.
    """
    found: Overdue = {}
    served = set(_served(state, pending))
    for priority, people in queues.by_priority.items():
        waiting: list[tuple[float, LaneEntry, Waiter]] = []
        for queue in people.values():
            usage = state.usage.get(queue.user)
            for shape, lane in queue.lanes.items():
                batch = state.batches[lane[0][1]]
                served_at = usage.served.get(shape, 0.0) if usage is not None else 0.0
                since = max(served_at, able_since(state, batch))
                is_overdue = state.time - since > OVERDUE_S and (queue.user, shape) not in served
                if is_overdue and not nodes_for[shape].names <= batch.build_failed.keys():
                    waiting.append((since, lane[0], (queue.user, shape)))
        if waiting:
            waiting.sort(key=itemgetter(0, 1))  # no two lanes have the same first entry
            found[priority] = [waiter for _, _, waiter in waiting]
    return found


def _served(state: State, pending: Pending) -> Iterator[Waiter]:
    """Those with a pending assignment, who do not wait any more."""
    for event in pending.assignments():
        batch = state.batches[event.batch_id]
        yield batch.user, batch.group_of(batch.rows[event.job]).shape
