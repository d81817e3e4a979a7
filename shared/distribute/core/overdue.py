"""What has waited for too long: so that nothing starves, whatever fair share says.

A person whose small jobs run has a share of the lab already, and others come first wherever a place gets
free. A large job of theirs, which needs a whole node to fall idle, might never see one. So where none of a
person's jobs of one shape was given a node for `OVERDUE_S`, a node is kept for them until it fits one: the
reservation that goes by rank lasts only while it is their turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter

from distribute.core.node_order import NodeOrder
from distribute.core.pending import Pending
from distribute.core.queues import LaneEntry, Queues
from distribute.core.state import Shape, State

OVERDUE_S = 1800.0

Waiter = tuple[str, Shape]
"""A person, and what their jobs that wait need."""

Overdue = dict[int, list[Waiter]]
"""At each priority, who has waited for too long; the longest first."""


def find_overdue(
    state: State, pending: Pending, queues: Queues, nodes_for: Mapping[Shape, NodeOrder]
) -> Overdue:
    """What is overdue as of the last event's time, where there are nodes for it.

    Costs a microsecond a lane: to be looked at every second or so, not in every decision.
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
                since = max(served_at, batch.submitted_at)
                is_overdue = state.time - since > OVERDUE_S and (queue.user, shape) not in served
                if is_overdue and not nodes_for[shape].names <= batch.build_failed.keys():
                    waiting.append((since, lane[0], (queue.user, shape)))
        if waiting:
            waiting.sort(key=itemgetter(0, 1))  # no two lanes have the same first entry
            found[priority] = [waiter for _, _, waiter in waiting]
    return found


def _served(state: State, pending: Pending) -> Iterator[Waiter]:
    """Whom an assignment is under way to: they wait no more."""
    for event in pending.assignments():
        batch = state.batches[event.batch_id]
        yield batch.user, batch.group_of(batch.rows[event.job]).shape
