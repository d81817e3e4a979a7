"""What was ordered or asked for, and carried out or decided on before the log lost it."""

from __future__ import annotations

from distribute.core.ids import BatchId, JobId
from distribute.core.log import events as ev


class LostWords:
    """The orders and requests that the log has lost, ever. What follows from one may come behind the loss."""

    def __init__(self) -> None:
        self._orders: set[tuple[JobId, int]] = set()
        self._discarding: set[BatchId] = set()
        self._retried: set[BatchId] = set()

    def note(self, event: ev.Event) -> None:
        """The log has lost an event."""
        match event:
            case ev.StopOrdered():
                self._orders.add((event.scope, event.attempt))
            case ev.KillRequested(discard=True):
                self._discarding.add(event.scope)
            case ev.RetryRequested():
                self._retried.add(event.scope)
            case _:
                pass

    def ordered(self, event: ev.JobEvent) -> bool:
        """Has the log lost an order to end this attempt? Its node may have carried it out."""
        return (event.scope, event.attempt) in self._orders

    def discards(self, batch: BatchId) -> bool:
        """Has it lost a kill that throws away what jobs leave?

        What the scheduler decided on that may still come, if the broker had not taken it before.
        """
        return batch in self._discarding

    def retries(self, batch: BatchId) -> bool:
        """Has it lost a request to have jobs run again? What the scheduler decided on that may still come."""
        return batch in self._retried
