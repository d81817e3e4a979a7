"""How a batch ended for which another waits, without its jobs.

The log may have a forged `completed`, which the batch refuses because jobs of it run. So a reader of few
events asks how the batch stands, to know which of them ended it, or folds all events of the batch.
"""

from __future__ import annotations

from collections.abc import Iterable

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.attempts import with_only_job
from distribute.core.projections.course import Course
from distribute.core.projections.story import BatchStory

END_TYPES = frozenset({"completed", "retry_requested", "deleted"})
"""The types of the events that say whether a batch is over."""


def ends_told(events: Iterable[Recorded], course: Course) -> list[Recorded] | None:
    """Those of the events by which a batch ended that stands as `course` says. None: they do not tell.

    `events`: all of `END_TYPES` under its name, from its submission on, up to the moment of `course`.
    """
    completed = []
    for recorded in events:
        if isinstance(recorded.event, ev.RetryRequested):
            return None  # it may have been over before
        if isinstance(recorded.event, ev.Completed) and recorded.time == course.finished_at:
            completed.append(recorded)
    return completed if len(completed) == (course.end is not None) else None


class Ends:
    """The events by which a batch ended, or was to go on, as far as it accepted them.

    That is also who replaced whom under its name, for a batch may go on in another one, and end as that:
    submissions, without their jobs, and what held a batch that was not over yet.
    """

    def __init__(self, batch: BatchId) -> None:
        self.accepted: list[Recorded] = []
        self._story = BatchStory(batch)

    def fold(self, recorded: Recorded) -> None:
        """Fold the next event under the batch's name, from the first on."""
        event = recorded.event
        if not self._story.fold(recorded):
            return
        if isinstance(event, ev.Submitted):
            self.accepted.append(recorded._replace(event=with_only_job(event, None)))
        elif event.type in END_TYPES or event.type == "held":
            self.accepted.append(recorded)
