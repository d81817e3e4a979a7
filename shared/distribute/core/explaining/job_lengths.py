"""How long the jobs of a batch take, by those that have ended."""

from __future__ import annotations

from bisect import bisect_right
from itertools import islice

from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.liveness import run_s
from distribute.core.state.state import FAILED, SUCCEEDED, BatchState

SHORT, USUAL, LONG = 0.1, 0.5, 0.9
"""Of all jobs of a batch, so many are shorter."""

MOST_ENDED = 1000
"""So many ended jobs of a batch tell how long the others take."""


class Lengths:
    """How long the jobs of a batch take, by those that have ended, else by those that run."""

    def __init__(self, agenda: Agenda, batch: BatchState) -> None:
        outcomes = batch.outcomes
        ends = zip(outcomes.wall_s, batch.status, strict=False)
        walls = (wall_s for wall_s, status in ends if status in {SUCCEEDED, FAILED})
        self.ended = sorted(islice(walls, MOST_ENDED))
        started = [attempt for attempt in batch.active.values() if attempt.started_at is not None]
        running = ((attempt, agenda.state.nodes.get(attempt.node)) for attempt in started)
        self._longest_s = max(
            (run_s(node, attempt, agenda.log_now) for attempt, node in running if node is not None),
            default=0.0,
        )

    def whole_s(self, share: float) -> float | None:
        """How long a job takes that has not begun; of all jobs, this share is shorter. None: nobody knows."""
        if self.ended:
            return self._of_ended(self.ended, share)
        return self._longest_s / (1 - share) if self._longest_s else None

    def left_s(self, ran_s: float, share: float) -> float:
        """How long a job takes still that has run for so long.

        If no job took as long, we know only that: as a rule it takes as long again, rarely ten times as long.
        """
        longer = self.ended[bisect_right(self.ended, ran_s) :]
        if longer:
            return max(0.0, self._of_ended(longer, share) - ran_s)
        return ran_s * share / (1 - share)

    def _of_ended(self, ended: list[float], share: float) -> float:
        """This quantile of the jobs that ended. Few of them tell little of the shortest and the longest."""
        number = len(ended)
        found = ended[min(number - 1, int(share * number))]
        wider = (number + 2) / number
        return found if share == USUAL else found * wider if share > USUAL else found / wider
