"""The fold of a service that reads the log live, and may be too slow: see `LiveFold`."""

from __future__ import annotations

from collections.abc import Callable

from distribute.core.errors import LogReplaced
from distribute.core.folding.fold import apply
from distribute.core.log.events import Compacted
from distribute.core.log.recorded import Recorded
from distribute.core.state.state import State


class LiveFold:
    """Folds events into a state, and notices if some were moved into an archive before they were read.

    Up to the event at `catch_up_to`, which was there when the reader began, its log has the events that are
    in archives.
    """

    def __init__(
        self, state: State, catch_up_to: int, fold: Callable[[Recorded], str | None] | None = None
    ) -> None:
        self._state = state
        self._catch_up_to = catch_up_to
        self._apply = fold or (lambda recorded: apply(state, recorded))

    def __call__(self, recorded: Recorded) -> str | None:
        """Fold an event. Returns why it does not fit, or None.

        Raises:
            LogReplaced: events were moved into an archive before they were read here: read them there.
        """
        has_missed = self._may_have_missed_what_it_moved(recorded)
        misfit = self._apply(recorded)
        if misfit is not None and has_missed and recorded.seq > self._catch_up_to:
            raise LogReplaced(f"{misfit}: they were removed while the log was read")
        return misfit

    def _may_have_missed_what_it_moved(self, recorded: Recorded) -> bool:
        """Were events moved into an archive, and removed, before they were read here? A forgery may lie."""
        event = recorded.event
        if type(event) is not Compacted:
            return False
        batch = self._state.find(event.scope)
        return (batch.under_seq if batch is not None else 0) < event.last_seq < recorded.seq
