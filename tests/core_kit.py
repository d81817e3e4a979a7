"""A lab for tests of the policy: what happens is folded, and what is decided is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from distribute.core import events as ev
from distribute.core.agenda import Agenda
from distribute.core.decide import decide
from distribute.core.events import Event, Recorded, guard_scope
from distribute.core.ids import BatchId, JobId, Scope, Under
from distribute.core.invariants import check, check_agenda
from distribute.core.state import BatchState, State, Status
from distribute.testing import builders as make


class Lab:
    """A scheduler's agenda and a clock. Every event is a second later than the one before."""

    def __init__(self, *events: Event) -> None:
        self.agenda = Agenda(State())
        self.log: list[Recorded] = []
        self.now = make.EPOCH.timestamp()
        self._last_seq: dict[Scope | Under, int] = {}
        self.happen(*events)

    @property
    def state(self) -> State:
        return self.agenda.state

    def happen(self, *events: Event, apart_s: float = 1.0) -> None:
        """The log delivers events: the state and its indexes stay sound."""
        for event in events:
            self.now += apart_s
            recorded = Recorded(len(self.log) + 1, self.now, event)
            self.log.append(recorded)
            for scope in guarded_scopes(event):
                self._last_seq[scope] = recorded.seq
            self.agenda.fold(recorded)
            check(self.state)
            check_agenda(self.agenda)

    def look(self) -> None:
        """What the scheduler does every second: see what has waited for too long."""
        self.agenda.observe(self.agenda.out_of_touch)

    def decide(self, expired: Mapping[str, float] | None = None) -> list[Event]:
        """What the scheduler appends next: now pending. Each under a guard that lets it pass."""
        made = decide(self.agenda, self.now, expired or {}, make.new_id)
        check_agenda(self.agenda)
        for append in made:
            assert append.guard.holds(self._last_seq.get(guard_scope(append.event), 0)), append
        return [append.event for append in made]

    def assign(self) -> dict[str, str]:
        """The jobs given away next, by name, with their nodes; at once in the log."""
        made = self.decide()
        self.happen(*made)
        return {event.job: event.node for event in made if isinstance(event, ev.Assigned)}

    def run(self, job: str | JobId, node: str = "ws1", attempt: int = 1) -> None:
        """The node claims the job and starts it."""
        self.happen(make.claimed(job, node, attempt), make.started(job, node, attempt))

    def fail_fast(self, job: str | JobId, node: str = "ws1", attempt: int = 1) -> None:
        """The job fails within a second, and what it left is archived."""
        self.run(job, node, attempt)
        self.happen(
            make.finished(job, node, attempt, succeeded=False, wall_s=0.5),
            make.job_archived(job, node, attempt),
        )

    def succeed(self, job: str | JobId, node: str = "ws1", attempt: int = 1) -> None:
        """The job runs for a minute, and what it left is archived."""
        self.run(job, node, attempt)
        self.happen(make.finished(job, node, attempt), make.job_archived(job, node, attempt))

    def batch(self, name: str = "sweep") -> BatchState:
        return self.state.batches[BatchId("lab", name)]

    def status(self, job: str = "job1", batch: str = "sweep") -> Status:
        return status_of(self.state, job, batch)


def guarded_scopes(event: Event) -> list[Scope | Under]:
    """The scopes whose last event this one is, once it is in the log."""
    match event:
        case ev.BatchEvent():
            return [event.scope, Under(event.scope)]
        case ev.JobEvent() | ev.BuildEvent():
            return [event.scope, Under(event.batch_id)]
        case _:
            return [event.scope]


def status_of(state: State, job: str = "job1", batch: str = "sweep") -> Status:
    """Where a job of the namespace `lab` is on its way."""
    found = state.batches[BatchId("lab", batch)]
    return Status(found.status[found.rows[job]])


def of(batch: str, job: str = "job1") -> JobId:
    """A job of another batch than `lab/sweep`."""
    return JobId("lab", batch, job)
