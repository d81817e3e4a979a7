"""A lab for tests of the policy: it folds events, and tests look at what it decides."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from math import inf

from distribute.core.checking.invariants import check, check_agenda
from distribute.core.ids import Assignments, AttemptId, BatchId, Guarded, JobId, Under
from distribute.core.log import events as ev
from distribute.core.log.beats import Beat
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded, guard_scope
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.scheduling.liveness import Lease, Liveness
from distribute.core.slices import at_once
from distribute.core.state.batch_record import changing_pieces, fixed_pieces, seal
from distribute.core.state.packing import packable, unpack
from distribute.core.state.state import BatchState, State, Status
from distribute.testing import builders as make


class Lab:
    """A scheduler's agenda and a clock. Every event is a second later than the one before.

    Nodes send heartbeats whenever time passes, except those in `quiet`. The log's clock is `log_ahead_s`
    seconds ahead of the scheduler's.
    """

    def __init__(self, *events: Event, lease: Lease | None = None, log_ahead_s: float = 0.0) -> None:
        self.log_ahead_s = log_ahead_s
        self.now = make.EPOCH.timestamp()
        self.agenda = Agenda(State(), Liveness(lease or Lease(), self.now), now=self.now)
        self.log: list[Recorded] = []
        self.quiet: set[str] = set()
        self._last_seq: dict[Guarded, int] = {}
        self.happen(*events)

    @property
    def state(self) -> State:
        return self.agenda.state

    def happen(self, *events: Event, apart_s: float = 1.0) -> None:
        """Deliver events from the log. Checks that state and indexes stay sound."""
        for event in events:
            self.now += apart_s
            told = make.at_once(event, self.now)
            recorded = Recorded(len(self.log) + 1, self.now + self.log_ahead_s, told)
            self.log.append(recorded)
            for scope in guarded_scopes(event):
                self._last_seq[scope] = recorded.seq
            self._all_beat()
            self.agenda.tick(self.now)
            self.agenda.fold(recorded)
            check(self.state)
            check_agenda(self.agenda)

    def look(self) -> None:
        """Do what the scheduler does every second: find silent nodes and overdue jobs."""
        self._all_beat()
        self.agenda.tick(self.now)
        check_agenda(self.agenda)

    def wait(self, seconds: float) -> None:
        """Let time pass, second by second."""
        for _ in range(int(seconds)):
            self.now += 1
            self.look()

    def pass_quickly(self, seconds: float) -> None:
        """Let time pass in steps of 5 s, with heartbeats, so that no node falls silent."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 5)
            self.agenda.tick(self.now)
            for name in sorted(self.state.nodes.keys() - self.quiet):
                self.beat(name)

    def beat(self, node: str = "ws1", running: Iterable[AttemptId] | None = None) -> None:
        """Send a heartbeat of the node with the attempts `running`; by default, those it has by the log."""
        found = self.state.nodes[node]
        has = [self.state.batches[key.batch].attempt_id(key.row) for key in found.attempts]
        named = tuple(has if running is None else running)
        self.agenda.pass_time(self.now)
        self.agenda.hear(Beat(node=node, incarnation=found.incarnation, load=0.0, running=named))

    def _all_beat(self) -> None:
        self.agenda.pass_time(self.now)
        for name, node in self.state.nodes.items():
            if node.presence == "here" and name not in self.quiet:
                self.beat(name)

    def decide(self) -> list[Event]:
        """The events that the scheduler appends next; they become pending. Checks that their guards hold."""
        made = decide(self.agenda, self.now, make.new_id)
        check_agenda(self.agenda)
        for append in made:
            holds = append.guard.holds(self._last_seq.get(guard_scope(append.event), 0))
            assert holds or append.behind, append
        return [append.event for append in made]

    def assign(self) -> dict[str, str]:
        """Decide, and put the events into the log. Returns the node of each assigned job."""
        made = self.decide()
        self.happen(*made)
        return {event.job: event.node for event in made if isinstance(event, ev.Assigned)}

    def run(self, job: str | JobId, node: str = "ws1", attempt: int = 1) -> None:
        """Have the node claim the job and start it."""
        self.happen(make.claimed(job, node, attempt), make.started(job, node, attempt))

    def fail_fast(self, job: str | JobId, node: str = "ws1", attempt: int = 1) -> None:
        """Have the job fail within a second, and archive its outputs."""
        self.run(job, node, attempt)
        self.happen(
            make.finished(job, node, attempt, succeeded=False, wall_s=0.5),
            make.job_archived(job, node, attempt),
        )

    def succeed(self, job: str | JobId, node: str = "ws1", attempt: int = 1) -> None:
        """Have the job run for a minute, and archive its outputs."""
        self.run(job, node, attempt)
        self.happen(make.finished(job, node, attempt), make.job_archived(job, node, attempt))

    def pack(self) -> set[str]:
        """Pack every batch that can be packed, however recently it ended. Returns their names."""
        packed = pack_all(self.agenda)
        check(self.state)
        check_agenda(self.agenda)
        return {batch_id.batch for batch_id in packed}

    def batch(self, name: str = "sweep") -> BatchState:
        return self.state.batches[BatchId("lab", name)]

    def status(self, job: str = "job1", batch: str = "sweep") -> Status:
        return status_of(self.state, job, batch)


def told(events: Iterable[Event]) -> list[tuple[str, ...]]:
    """What the scheduler decided, in short: type, subject and reason of each event."""
    found: list[tuple[str, ...]] = []
    for event in events:
        match event:
            case ev.Released():
                found.append(("released", event.job, event.node, event.reason))
            case ev.Assigned() | ev.Excused() | ev.StopOrdered():
                found.append((event.type, event.job, event.node))
            case ev.Completed():
                found.append(("completed", event.batch, event.state))
            case ev.BatchArchived():
                found.append(("batch_archived", event.batch))
            case ev.Quarantined() | ev.Lost():
                found.append((event.type, event.node))
            case _:
                raise AssertionError(f"the scheduler wrote {event}")
    return found


def pack_all(agenda: Agenda) -> set[BatchId]:
    """Pack every batch that can be packed. Returns their ids."""
    before = set(agenda.state.packed)
    for batch_id in packable(agenda.state, over_before=inf):
        batch = agenda.state.batches[batch_id]
        agenda.pack(batch_id, seal(fixed_pieces(batch)), seal(at_once(changing_pieces(batch))))
    return agenda.state.packed.keys() - before


def unpacked(state: State) -> State:
    """A copy of the state in which every batch is unpacked."""
    whole = deepcopy(state)
    for batch_id in state.packed:
        unpack(whole, batch_id)
    return whole


def guarded_scopes(event: Event) -> list[Guarded]:
    """The scopes whose last event this one becomes."""
    match event:
        case ev.BatchEvent():
            return [event.scope, Under(event.scope)]
        case ev.Assigned():
            return [event.scope, Under(event.batch_id), Assignments(Under(event.batch_id))]
        case ev.JobEvent() | ev.BuildEvent():
            return [event.scope, Under(event.batch_id)]
        case _:
            return [event.scope]


def status_of(state: State, job: str = "job1", batch: str = "sweep") -> Status:
    """The status of a job in the namespace `lab`."""
    found = state.batches[BatchId("lab", batch)]
    return Status(found.status[found.rows[job]])


def of(batch: str, job: str = "job1") -> JobId:
    """A job of the batch `lab/<batch>`."""
    return JobId("lab", batch, job)
