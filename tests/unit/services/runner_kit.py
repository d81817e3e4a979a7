"""A node-runner's machine, and the log that it reads."""

from __future__ import annotations

from collections.abc import Sequence

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.host import Capacity
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Ending
from distribute_services.node_runner.machine.machine import RunnerMachine

SWEEP = BatchId("lab", "sweep")
DONE = Ending(succeeded=True, exit_code=0, started_at=make.EPOCH.timestamp(), wall_s=60.0)


class Node:
    """The machine of a node with two cpus and a GPU. It has joined."""

    def __init__(self) -> None:
        self.seq = 0
        self.machine = RunnerMachine(
            "ws1",
            incarnation="folder/1",
            boot_id="boot",
            capacity=Capacity(2, 8 * make.GIB, ("A100",), frozenset()),
            version="1",
            new_id=make.new_id,
            clock=make.EPOCH.timestamp,
        )
        self.rejoin(self.machine.join())

    def rejoin(self, instructions: Sequence[do.Instruction]) -> ev.Joined:
        """Store the `joined` that the last of these instructions announces, and deliver it."""
        announced = instructions[-1]
        assert isinstance(announced, do.Announce)
        assert isinstance(announced.event, ev.Joined)
        assert self.hear(announced.event) == []
        return announced.event

    def record(self, event: Event) -> Recorded:
        """The event as stored in the log. The log's time is its sequence."""
        self.seq += 1
        return Recorded(self.seq, float(self.seq), event)

    def hear(self, event: Event) -> list[do.Instruction]:
        return self.machine.deliver(self.record(event))

    def handle(self, stimulus: st.Stimulus) -> list[do.Instruction]:
        return self.machine.handle(stimulus)

    def stored(self, report: do.Instruction) -> list[do.Instruction]:
        """Tell the machine that the event of a report is in the log."""
        assert isinstance(report, do.Report)
        self.seq += 1
        return self.handle(st.Reported(report.of, self.seq))

    def refused(self, report: do.Instruction, last_seq: int = 0) -> list[do.Instruction]:
        """Tell the machine that the guard of a report did not hold."""
        assert isinstance(report, do.Report)
        return self.handle(st.Refused(report.of, last_seq))

    def read(self, read: do.Instruction, *scope: Recorded) -> list[do.Instruction]:
        """Tell the machine that the scope has these events."""
        assert isinstance(read, do.Read)
        last_seq = scope[-1].seq if scope else 0
        return self.handle(st.ScopeRead(read.of, scope, last_seq))

    def claim(self, job: str = "job1", **fields: object) -> do.Report:
        """Assign a job of a batch without a build. Returns the report that claims it."""
        *_, claim = self.hear(make.assigned(job, **{"cpus": 1} | fields))
        self.handle(st.Loaded(SWEEP, False))
        assert isinstance(claim, do.Report)
        return claim

    def launch(self, job: str = "job1") -> Attempt:
        """Assign a job, and have it claimed. Returns the attempt, which is being started."""
        (launch,) = self.stored(self.claim(job))
        assert isinstance(launch, do.Launch)
        return launch.attempt

    def run(self, job: str = "job1") -> Attempt:
        """Assign a job, and have it run. Returns the attempt."""
        attempt = self.launch(job)
        (started,) = self.handle(st.Launched(attempt))
        assert self.stored(started) == []
        return attempt

    def end(self, attempt: Attempt) -> do.Report:
        """End the attempt, which has left nothing. Returns the report of its end."""
        self.handle(st.Exited(attempt, DONE))
        (finished,) = self.handle(st.Collected(attempt, DONE, None))
        assert isinstance(finished, do.Report)
        return finished


def event_of(instruction: do.Instruction) -> Event:
    """The event that an instruction appends."""
    if isinstance(instruction, do.Announce):
        return instruction.event
    assert isinstance(instruction, do.Report)
    return instruction.append.event


def said(instructions: Sequence[do.Instruction]) -> ev.Paused | ev.Resumed:
    """What the only announcement among these says of the pause."""
    (announced,) = [one.event for one in instructions if isinstance(one, do.Announce)]
    assert isinstance(announced, ev.Paused | ev.Resumed)
    return announced


def starting(*found: ev.Event) -> tuple[RunnerMachine, ev.Event]:
    """A runner that starts with these events in the log, and its `joined`, which the log lacks still."""
    node = Node()
    records = [Recorded(seq, make.EPOCH.timestamp(), event) for seq, event in enumerate(found, 1)]
    machine = RunnerMachine(
        "ws1",
        incarnation="folder/2",
        boot_id="boot",
        capacity=node.machine.capacity,
        version="1",
        new_id=make.new_id,
        clock=make.EPOCH.timestamp,
    )
    machine.recall(records)
    return machine, event_of(machine.join()[0])
