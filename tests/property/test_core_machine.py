"""A small lab in which every legal event may happen in any order, with two racing schedulers.

Nodes, people and the archiver append the events that they may write, under guards. Each scheduler decides by
the core, and its events reach the log later, or are refused. After every step, state and indexes satisfy the
invariants.
"""

from datetime import timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from core_kit import guarded_scopes, pack_all
from distribute.codec import decode, encode
from distribute.core.checking.invariants import check, check_agenda
from distribute.core.files.manifest import Outputs
from distribute.core.folding.fold import apply
from distribute.core.folding.replacing import goes_on
from distribute.core.folding.work import marked
from distribute.core.ids import Guarded, JobId
from distribute.core.log.events import Assigned, AttemptEnd, Event
from distribute.core.log.recorded import Recorded, guard_behind, guard_scope
from distribute.core.slices import at_once
from distribute.core.spec.specs import Resources
from distribute.core.state.state import ENDED, BatchState, JobKey, State, Status
from distribute.core.state.statuses import rows_with
from distribute.core.views.views import whole_batch
from distribute.snapshot import digest, dump, load
from distribute.testing import builders as make
from property.twin_scheduler import Scheduler, nothing_waits_without_reason

NODES: dict[str, dict[str, Any]] = {
    "n1": {"cpus": 2},
    "n2": {"cpus": 4, "gpus": ("x", "y"), "capabilities": frozenset({"gcc"})},
    "n3": {"cpus": 1, "capabilities": frozenset({"gcc"})},
}
CHANGES = (
    "leaving", "left", "pause_requested", "resume_requested", "paused", "resumed", "drain_requested",
    "undrained", "superseded", "listed",
)  # fmt: skip
BATCHES = ("a", "b", "c")
SHARES = (None, Resources(cpus=1), Resources(cpus=2), Resources(cpus=1, gpus=1))

TOO_LATE = (
    "there is no such batch",
    "there is no such job",
    "it is about another batch of the same name",
    "the batch is over",
    "jobs of the batch are in flight",
    "jobs of the batch wait",
    "what jobs of the batch leave is not archived yet",
)
"""Misfits of a scheduler's event that raced with the other scheduler or a person under another guard."""

node_names = st.sampled_from(sorted(NODES))
shares = st.sampled_from(SHARES)


LATER = make.EPOCH + timedelta(hours=3)
"""The time for which some batches wait."""


class LabMachine(RuleBasedStateMachine):
    """The log, and all its authors."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Recorded] = []
        self.last_seq: dict[Guarded, int] = {}
        self.schedulers = [Scheduler(State()), Scheduler(State())]
        self.early_snapshot = dump(State())

    @property
    def state(self) -> State:
        return self.schedulers[0].agenda.state

    def write(self, event: Event) -> None:
        """Append an event, by an author who knows the scope's last event."""
        recorded = Recorded(len(self.log) + 1, self.now, event)
        self.log.append(recorded)
        for scope in guarded_scopes(event):
            self.last_seq[scope] = recorded.seq
        for scheduler in self.schedulers:
            scheduler.agenda.fold(recorded)

    @property
    def now(self) -> float:
        """Every event is five minutes later than the one before."""
        return make.EPOCH.timestamp() + 300.0 * len(self.log)

    def batch(self, name: str) -> BatchState | None:
        batch_id = make.batch(batch=name).id
        return None if self.state.find(batch_id) is None else at_once(whole_batch(self.state, batch_id))

    def jobs(self, *statuses: Status) -> list[tuple[JobId, BatchState, int]]:
        """The jobs in any of these statuses."""
        return [
            (batch.job_id(row), batch, row)
            for batch in self.state.batches.values()
            for row, status in enumerate(batch.status)
            if status in statuses
        ]

    # --- nodes ---------------------------------------------------------------------------------

    @initialize(names=st.sets(node_names, min_size=1))
    def nodes_are_there(self, names: set[str]) -> None:
        for name in sorted(names):
            self.join(name)

    @rule(name=node_names)
    def join(self, name: str) -> None:
        self.write(make.joined(name, **NODES[name]))

    @rule(name=node_names, change=st.sampled_from(CHANGES))
    def change_node(self, name: str, change: str) -> None:
        if name in self.state.nodes or change == "listed":
            self.write(getattr(make, change)(name))

    @rule(name=node_names, batch=st.sampled_from(BATCHES), succeeded=st.booleans(), killed=st.booleans())
    def build(self, name: str, batch: str, succeeded: bool, killed: bool) -> None:
        if name in self.state.nodes and self.batch(batch) is not None:
            fields = {"succeeded": succeeded, "killed": killed and not succeeded}
            self.write(make.build_finished(name, make.batch(batch=batch), **fields))

    @precondition(lambda self: self.jobs(Status.ASSIGNED, Status.CLAIMED, Status.RUNNING))
    @rule(data=st.data())
    def a_node_goes_on_with_a_job(self, data: st.DataObject) -> None:
        found = self.jobs(Status.ASSIGNED, Status.CLAIMED, Status.RUNNING)
        job, batch, row = data.draw(st.sampled_from(found))
        attempt = batch.active[row]
        at = (job, attempt.node, attempt.number)
        if batch.status[row] == Status.ASSIGNED:
            self.write(make.claimed(*at))
        elif batch.status[row] == Status.CLAIMED and data.draw(st.booleans()):
            self.write(make.started(*at))
        elif data.draw(st.booleans()) and data.draw(st.booleans()):
            self.write(make.yielded(*at, outputs=data.draw(st.none() | st.just(Outputs(files=1)))))
        else:
            wall_s = data.draw(st.sampled_from([0.5, 600.0]))
            self.write(make.finished(*at, succeeded=data.draw(st.booleans()), wall_s=wall_s))
            self.a_killed_job_that_ended_is_over(batch, row)

    def a_killed_job_that_ended_is_over(self, batch: BatchState, row: int) -> None:
        """Check that what a killed job left waits to be archived, and that the job does not run again."""
        if batch.kill_wanted(row):
            assert batch.status[row] in {Status.KILLED, Status.SUCCEEDED}
            assert row in batch.unarchived

    # --- people and the archiver ---------------------------------------------------------------

    @rule(
        name=st.sampled_from(BATCHES),
        user=st.sampled_from(["jane", "bob"]),
        needed=st.lists(shares, min_size=1, max_size=4),
        retries=st.integers(0, 2),
        priority=st.integers(-1, 1),
        build=st.sampled_from([None, "make"]),
        capabilities=st.sampled_from([frozenset[str](), frozenset({"gcc"})]),
        max_running=st.sampled_from([None, None, 1, 2]),
        max_failures=st.sampled_from([None, None, 1]),
        not_before=st.sampled_from([None, None, LATER]),
        has_last_job=st.booleans(),
    )
    def submit(
        self, name: str, user: str, needed: list[Resources | None], has_last_job: bool, **fields: Any
    ) -> None:
        if self.batch(name) is None:
            jobs = [make.job(f"j{number}", resources=share) for number, share in enumerate(needed)]
            fields["last_job"] = jobs[-1].name if has_last_job else None
            self.write(make.submitted(make.batch(jobs, batch=name, resources=None, **fields), user))

    @rule(
        name=st.sampled_from(BATCHES),
        job=st.none() | st.just("j0"),
        state=st.none() | st.just("queued"),
        discard=st.booleans(),
    )
    def kill(self, name: str, job: str | None, **fields: Any) -> None:
        batch = self.batch(name)
        if batch is None or batch.end is not None:
            return
        if job is None or batch.status[batch.rows[job]] not in ENDED:
            self.write(make.kill_requested(batch.id, job, **fields))

    @rule(
        name=st.sampled_from(BATCHES),
        which=st.sampled_from(
            [{}, {"failed_only": True}, {"killed_only": True}, {"jobs": ("j0",)}, {"hold": True}]
        ),
    )
    def retry(self, name: str, which: dict[str, Any]) -> None:
        batch = self.batch(name)
        if batch is not None and (batch.end is not None or batch.killed is None):
            self.write(make.retry_requested(batch.id, **which))

    @rule(name=st.sampled_from(BATCHES))
    def hold_or_release(self, name: str) -> None:
        batch = self.batch(name)
        if batch is not None and batch.end is None:
            self.write((make.held if batch.holding is None else make.hold_released)(batch.id))

    @rule(name=st.sampled_from(BATCHES), priority=st.integers(-1, 1))
    def reprioritize(self, name: str, priority: int) -> None:
        if self.batch(name) is not None:
            self.write(make.reprioritized(priority, make.batch(batch=name)))

    @rule(
        name=st.sampled_from(BATCHES),
        jobs=st.sampled_from([None, None, ("j0",), ("j1",), ("j0", "j2")]),
        cpus=st.none() | st.integers(1, 3),
        gpus=st.none() | st.integers(0, 1),
        retries=st.none() | st.integers(0, 2),
        max_running=st.sampled_from([None, None, 0, 1, 2]),
        max_failures=st.sampled_from([None, None, 0, 1]),
    )
    def edit(self, name: str, **changes: Any) -> None:
        batch = self.batch(name)
        if batch is not None and batch.end is None:
            self.write(make.edited(batch.id, **changes))

    @precondition(lambda self: self.in_flight())
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(self.in_flight()))
        batch = self.state.batches[key.batch]
        self.write(make.move_requested(batch.names[key.row], batch.attempts[key.row], batch.id))

    def in_flight(self) -> list[JobKey]:
        """The jobs that nodes have, of batches that are not over."""
        batches = self.state.batches.values()
        return [
            JobKey(batch.id, row) for batch in batches if batch.end is None for row in sorted(batch.active)
        ]

    @rule(name=st.sampled_from(BATCHES))
    def delete(self, name: str) -> None:
        batch = self.batch(name)
        if batch is not None and batch.end is not None and not batch.active:
            self.write(make.deleted(batch.id))

    @rule(
        name=st.sampled_from(BATCHES),
        user=st.sampled_from(["jane", "bob"]),
        count=st.integers(1, 4),
        has_last_job=st.booleans(),
        data=st.data(),
    )
    def replace(self, name: str, user: str, count: int, has_last_job: bool, data: st.DataObject) -> None:
        """A kept job is as it was, and what runs goes on; every other job of the batch waits.

        Nobody replaces another person's batch while jobs of it run: these count for the other person.
        """
        batch = self.batch(name)
        if batch is None or batch.unarchived or not all(goes_on(batch, row) for row in batch.active):
            return
        if batch.active and batch.user != user:
            return
        running = {batch.names[row] for row in batch.active}
        if batch.last_row in batch.active or not running <= {f"j{number}" for number in range(count)}:
            return
        if has_last_job and f"j{count - 1}" in running:
            return
        if batch.end is None:
            self.write(make.held(batch.id))
        done = {batch.names[row] for row in rows_with(batch, Status.SUCCEEDED) if row not in batch.missing}
        jobs = [make.job(f"j{number}") for number in range(count)]
        spec = make.batch(jobs, batch=name, last_job=jobs[-1].name if has_last_job else None)
        kept = data.draw(st.sets(st.sampled_from([job.name for job in jobs]))) | running
        self.write(make.submitted(marked(spec, kept), user, replaces=batch.submission))
        found = self.state.batches[batch.id]
        assert found.submission != batch.submission
        for job, row in found.rows.items():
            if found.status[row] == Status.SUCCEEDED:
                assert job in kept & done
                assert found.attempts[row] == batch.attempts[batch.rows[job]]
            elif job in running:
                assert found.status[row] == Status.RUNNING
                assert found.active[row].assigned_at == batch.active[batch.rows[job]].assigned_at
            else:
                assert (found.status[row], found.attempts[row]) == (Status.QUEUED, 0)
                assert job not in kept & done or row == found.last_row

    @precondition(lambda self: self.unarchived())
    @rule(data=st.data(), missing=st.none() | st.just("the disk is gone"))
    def archive(self, data: st.DataObject, missing: str | None) -> None:
        self.archive_one(data.draw(st.sampled_from(self.unarchived())), missing)

    def unarchived(self) -> list[JobKey]:
        """The jobs whose last attempt is not archived yet."""
        batches = self.state.batches.values()
        return [JobKey(batch.id, row) for batch in batches for row in sorted(batch.unarchived)]

    def archive_one(self, key: JobKey, missing: str | None = None) -> None:
        batch = self.state.batches[key.batch]
        job = batch.job_id(key.row)
        ends = (recorded.event for recorded in reversed(self.log) if recorded.event.scope == job)
        node = next(event.node for event in ends if isinstance(event, AttemptEnd))
        self.write(make.job_archived(job, node, batch.attempts[key.row], missing))
        assert (key.row in batch.missing) == (missing is not None)

    # --- schedulers ----------------------------------------------------------------------------

    @rule(which=st.integers(0, 1), unheard=st.sets(node_names))
    def a_scheduler_decides(self, which: int, unheard: set[str]) -> None:
        scheduler = self.schedulers[which]
        heard = self.state.nodes.keys() - unheard
        made = scheduler.decide(self.now, heard)
        for append in made:
            holds = append.guard.holds(self.last_seq.get(guard_scope(append.event), 0))
            assert holds or append.behind, append
            is_held = isinstance(append.event, Assigned) and scheduler.holds(append.event.batch_id)
            assert not is_held, f"its batch is held: {append.event}"
        scheduler.under_way.extend(made)
        again = scheduler.decide(self.now, heard)
        assert not again, f"decided twice: {again}"
        nothing_waits_without_reason(scheduler.agenda)

    @rule(which=st.integers(0, 1), count=st.integers(1, 5))
    def what_a_scheduler_decided_arrives(self, which: int, count: int) -> None:
        scheduler = self.schedulers[which]
        for _ in range(min(count, len(scheduler.under_way))):
            append = scheduler.under_way.popleft()
            event, _, behind = append
            before = [(one.event, one.seq) for id_ in behind if (one := scheduler.arrived.get(id_))]
            guard = guard_behind(append, before)
            if len(before) == len(behind) and guard.holds(self.last_seq.get(guard_scope(event), 0)):
                self.write(event)
                scheduler.arrived[event.id] = self.log[-1]
                continue
            if event in scheduler.agenda.pending.of_scope.get(event.scope, ()):
                scheduler.agenda.drop(event.scope)

    @rule(which=st.integers(0, 1))
    def a_scheduler_packs(self, which: int) -> None:
        pack_all(self.schedulers[which].agenda)

    @rule()
    def a_snapshot_is_taken(self) -> None:
        self.early_snapshot = dump(self.state)

    # --- what always holds ---------------------------------------------------------------------

    @invariant()
    def everything_is_sound(self) -> None:
        check(self.state)
        for scheduler in self.schedulers:
            check_agenda(scheduler.agenda)
        assert not self.state.misfits or self.state.last_misfit.endswith(TOO_LATE), self.state.last_misfit

    def teardown(self) -> None:
        """Check that all readers of the log have equal states, however they read it."""
        now = digest(self.state)
        whole, restored = State(), load(self.early_snapshot)
        for seq, time, event in self.log:
            recorded = Recorded(seq, time, decode(encode(event)))
            apply(whole, recorded)
            apply(restored, recorded)
        assert digest(self.schedulers[1].agenda.state) == now
        assert digest(whole) == now
        assert digest(restored) == now
        self.settle()

    def settle(self) -> None:
        """Check that the lab finishes every batch, if all nodes work and nothing else happens."""
        for name in sorted(NODES):
            self.write(make.joined(name, **NODES[name]))
            self.write(make.resumed(name))
            self.write(make.undrained(name))
        for batch in list(self.state.batches.values()):
            if batch.holding is not None:
                self.write(make.hold_released(batch.id))
        while self.now < LATER.timestamp():
            self.write(make.joined("n1", **NODES["n1"]))
        for _ in range(100):
            for key in self.unarchived():
                self.archive_one(key)
            self.a_scheduler_decides(0, set())
            self.what_a_scheduler_decided_arrives(0, 1000)
            for job, batch, row in self.jobs(Status.ASSIGNED, Status.CLAIMED, Status.RUNNING):
                self._finish_well(job, batch, row)
        waiting = [str(batch.id) for batch in self.state.batches.values() if batch.end is None]
        assert not waiting, f"every node works, and these wait for ever: {waiting}"
        self.everything_is_sound()

    def _finish_well(self, job: JobId, batch: BatchState, row: int) -> None:
        attempt = batch.active[row]
        at = (job, attempt.node, attempt.number)
        if batch.status[row] == Status.ASSIGNED:
            self.write(make.claimed(*at))
        self.write(make.finished(*at, wall_s=600.0))


TestLab = LabMachine.TestCase
TestLab.settings = settings(stateful_step_count=60)
