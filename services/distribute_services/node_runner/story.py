"""What happens on this node, one line each in its log: joining, builds, jobs.

The service tells the story as the machine's instructions and stimuli pass through it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.words import by_and_why, counted, format_duration, format_size
from distribute.host import Capacity
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine import stimuli as st
from distribute_services.node_runner.machine.attempts import Attempt, Ending, Phase

log = logging.getLogger(__name__)

MAX_REASON = 300
"""Max. characters of a reason in a line."""


WHY_TAKEN_BACK: Mapping[ev.ReleaseReason, str] = {
    "node_lost": "this node was out of touch, so the job was taken from it; its result here is not used",
    "node_left": "this node leaves",
    "node_restarted": "this node-runner started anew, without it",
    "node_rebooted": "this computer was rebooted",
    "killed": "it was killed",
    "build_failed": "this node could not build its batch",
    "unclaimed": "this node did not claim it within a minute",
    "not_there": "this node's heartbeats did not name it",
    "moved": "a person moves it",
}


class Story:
    """Logs what one node does."""

    def __init__(self, node: str, capacity: Capacity) -> None:
        self._node = node
        self._capacity = capacity
        self._has_joined = False

    def announced(self, event: ev.Event) -> None:
        """Tell of an event about this node that is in the log of the cluster."""
        match event:
            case ev.Joined() if not self._has_joined:
                self._has_joined = True
                log.info("joined as %s, with %s", self._node, _described(self._capacity))
            case ev.Joined():
                log.warning("joined again, with %s that it has kept", counted(len(event.keeps), "job"))
            case ev.Left():
                log.info("left the cluster")
            case ev.Paused():
                until = event.until.astimezone().strftime("%H:%M:%S")
                jobs = f"; it keeps {counted(len(event.keeps), 'job')}" if event.keeps else ""
                log.info("paused until %s%s%s", until, by_and_why(event.by, event.reason), jobs)
            case ev.Resumed():
                log.info("the pause is over")
            case ev.Superseded(attempt=of, folder=folder):
                until = event.until.astimezone().strftime("%Y-%m-%d %H:%M")
                told = "what attempt %d of %s left does not count; it is in %s until %s"
                log.warning(told, of.attempt, of.job_id, folder, until)
            case _:
                pass

    def delivered(self, event: ev.Event, instructions: list[do.Instruction]) -> None:
        """Tell of an event of the scheduler, and what the machine makes of it."""
        match event:
            case ev.Lost() if event.author == ev.SCHEDULER:
                silence = format_duration(round(event.silent_s))
                log.warning("the head heard nothing of this node for %s", silence)
            case ev.Released() if any(isinstance(one, do.Stop) for one in instructions):
                level = logging.WARNING if event.reason == "node_lost" else logging.INFO
                log.log(level, "%s is stopped: %s", event.scope, WHY_TAKEN_BACK[event.reason])
            case _:
                pass

    def begins(self, instruction: do.Launch | do.TakeUp | do.Build) -> None:
        """Tell of a job or a build that begins, or of a job that goes on."""
        match instruction:
            case do.Launch(attempt):
                log.info("%s starts", _named(attempt))
            case do.TakeUp(attempt):
                log.info("%s goes on: an earlier run of this node-runner started it", _named(attempt))
            case do.Build(batch):
                log.info("%s is being built", batch)

    def heard(self, stimulus: st.Stimulus) -> None:
        """Tell of the end of a job or a build, before the machine hears of it."""
        match stimulus:
            case st.Exited(attempt, ending) if attempt.phase is not Phase.STOPPING:
                failed = "was ended" if attempt.phase is Phase.ENDING else "failed"
                how = "succeeded" if ending.succeeded else failed
                log.info("%s %s%s", _named(attempt), how, _outcome(ending))
            case st.Built(batch, kept_from=BatchId() as other):
                log.info("%s needs no build: this node has kept the same one of %s", batch, other)
            case st.Built(batch, ending):
                how = "is built" if ending.succeeded else "could not be built"
                log.info("%s %s%s", batch, how, _outcome(ending))
            case _:
                pass


def _named(attempt: Attempt) -> str:
    return str(attempt.job) if attempt.number == 1 else str(attempt)


def _outcome(ending: Ending) -> str:
    """How long it took, and why it failed."""
    why = "" if ending.why is None else f": {ending.why[:MAX_REASON]}"
    return f" after {format_duration(ending.wall_s)}{why}"


def _described(has: Capacity) -> str:
    can = ", ".join(sorted(has.capabilities)) or "none"
    gpus = f", GPUs: {', '.join(has.gpus)}" if has.gpus else ""
    size = format_size(has.memory_bytes)
    return f"{counted(has.cpus, 'cpu')}, {size} of memory{gpus}; capabilities: {can}"
