"""What a person may be shown of a batch's results, who looks while others go on."""

from __future__ import annotations

from typing import NamedTuple

from distribute.core.ids import BatchId
from distribute.core.state.state import State

from .stories import Stories
from .story import require


class Moment(NamedTuple):
    """What there is of a batch's results after an event. `jobs`: NUIDs by the objects' names."""

    jobs: dict[str, str]
    complete: bool


class Look:
    """What a person may be shown who began to look when this was made: what was so at one moment since.

    To look takes time: the scheduler is asked, and may not answer. Meanwhile the batch may end, and somebody
    may have its jobs run again.
    """

    def __init__(self, batch: BatchId) -> None:
        self._batch = batch
        self._moments: list[Moment] = []

    def note(self, state: State, stories: Stories) -> None:
        """Note what there is now."""
        found = state.find(self._batch)
        archived = [stored for _, story in stories.of_batch(self._batch) for stored in story.archived]
        now = Moment({stored.name: stored.nuid for stored in archived}, found is not None and found.archived)
        if not self._moments or self._moments[-1] != now:
            self._moments.append(now)

    def shown(self, found: dict[str, str], complete: bool) -> None:
        """The person was shown these, by the objects' names, of jobs and of builds."""
        jobs = {name: nuid for name, nuid in found.items() if not name.startswith(f"{self._batch}//")}
        seen = [moment for moment in self._moments if moment.jobs == jobs]
        require(bool(seen), f"of {self._batch}, people see {jobs}, and it was never so: {self._moments}")
        was_so = any(moment.complete == complete for moment in seen)
        require(was_so, f"{self._batch} is complete, or is not, as people see it")
