"""How a batch limits itself, and what it waits for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from distribute.core.ids import BatchId
from distribute.core.spec.specs import BatchSpec, When


class After(NamedTuple):
    """A batch to wait for, by the id of its submission, and how it has to end."""

    id: BatchId
    submission: str
    when: When


class Limits(NamedTuple):
    """`max_running`: so many of its jobs may be with nodes at a time. Once `max_failures` jobs have failed
    for good, no other begins. None begins before `not_before`, in seconds since 1970 by the log's clock, nor
    before all batches of `after` have ended. `has_last_job`: its last row waits for all others.
    """

    max_running: int | None = None
    max_failures: int | None = None
    not_before: float | None = None
    after: tuple[After, ...] = ()
    has_last_job: bool = False

    @property
    def depend_on_others(self) -> bool:
        """May what happens to a job keep another one of the batch waiting?"""
        return self.max_running is not None or self.max_failures is not None or self.has_last_job

    @classmethod
    def of(cls, spec: BatchSpec) -> Limits:
        """Those of a specification."""
        begin = spec.not_before
        after = (
            After(BatchId(one.namespace, one.batch), one.submission, one.when) for one in spec.after or ()
        )
        return cls(
            spec.max_running,
            spec.max_failures,
            None if begin is None else begin.timestamp(),
            tuple(after),
            len(spec.work.jobs) > 1 and spec.work.jobs[-1].name == spec.last_job,
        )


NO_LIMITS = Limits()


@dataclass(slots=True)
class Waits:
    """What a batch still waits for, with how it ended otherwise than it should; None: it is not over.

    `since`: when the batch last stopped waiting, by the log's clock; 0: it waits still.
    """

    left: dict[BatchId, str | None] = field(default_factory=dict)
    since: float = 0.0
