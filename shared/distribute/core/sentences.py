"""One sentence for each type of event. `history`, `events` and the scheduler's log all take theirs from here.

A new type of event gets an arm in one of the four matches, which the type checker demands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, assert_never

from distribute.core import events as ev
from distribute.core.edits import edit_in_words
from distribute.core.fold_batch import BatchEvent, BuildEvent
from distribute.core.fold_job import JobEvent
from distribute.core.fold_node import NodeEvent
from distribute.core.ids import BatchId, JobId
from distribute.core.words import counted, few, format_duration, format_size, killed_by, moved_by

MAX_REASON = 300
"""Max. characters of a reason in a sentence. An event may carry 10,000."""

TAKEN_BACK: Mapping[str, str] = {
    "node_lost": "its node was lost",
    "node_left": "its node left",
    "node_restarted": "its node-runner started again without it",
    "node_rebooted": "its node was rebooted",
    "killed": "killed",
    "build_failed": "the batch could not be built there",
    "unclaimed": "its node did not take it",
    "not_there": "its node did not have it any more",
    "moved": "a person moves it",
}
"""Why the scheduler took a job from its node, by the reason of its `released`."""


class Wording(NamedTuple):
    """What a reader sees of times and names.

    `moment` writes a time. Jobs of `batch` are called by their own names, all others by their whole ones.
    """

    moment: Callable[[datetime], str]
    batch: BatchId | None = None


class Known(NamedTuple):
    """What the fold knows of an event beside the event's own words. By default, nothing.

    `jobs`: how many the batch has. `ends`: how many jobs of a batch that is over succeeded, failed and were
    killed. `was_killed`: the attempt that finished had been killed. `before`: what the node that joined was
    before, None: not there. `silent_s`: for how long it was silent. `attempts`: how many a lost node has.
    """

    jobs: int | None = None
    ends: tuple[int, int, int] | None = None
    was_killed: bool = False
    before: str | None = None
    silent_s: float | None = None
    attempts: int = 0


NOTHING = Known()


class _Subject(NamedTuple):
    """The jobs, and the nodes, that a sentence is about: one, or many."""

    jobs: str
    nodes: str
    is_one: bool = True

    @property
    def was(self) -> str:
        return "was" if self.is_one else "were"

    def after(self, seconds: float) -> str:
        """How long it took. Of many, each took another time."""
        return f" after {format_duration(seconds)}" if self.is_one else ""


_ANY = _Subject("", "", is_one=False)


def sentence(event: ev.Event, wording: Wording, known: Known = NOTHING) -> str:
    """The event in one sentence, without a full stop. Names are as their authors wrote them."""
    match event.about:
        case "job":
            return _of_jobs(event, _Subject(_attempt(event, wording), event.node), known)
        case "build":
            return _of_builds(event, _Subject("", event.node))
        case "batch":
            return _of_batch(event, wording, known)
        case "node":
            return _of_node(event, wording, known)


def manner(event: JobEvent | BuildEvent, known: Known = NOTHING) -> str:
    """What alike events have in common: their sentence, but for whom it is about, where, and how long."""
    return _of_jobs(event, _ANY, known) if event.about == "job" else _of_builds(event, _ANY)


def sentence_of_many(
    event: JobEvent | BuildEvent, jobs: Sequence[str], nodes: Sequence[str], known: Known = NOTHING
) -> str:
    """Many events that are alike in one sentence. `event` is one of them."""
    if event.about == "build":
        return _of_builds(event, _Subject("", few(nodes), is_one=False))
    told = _of_jobs(event, _Subject(counted(len(jobs), "job"), few(nodes), is_one=len(jobs) == 1), known)
    return f"{told} ({few(jobs)})" if _is_trouble(event) else told


def _is_trouble(event: JobEvent) -> bool:
    """Does the reader want to know which jobs it was?"""
    if isinstance(event, ev.Finished | ev.Collected):
        return not event.succeeded
    return isinstance(event, ev.StopOrdered | ev.Yielded | ev.Released | ev.Excused)


# --- jobs ------------------------------------------------------------------------------------------


def _of_jobs(event: JobEvent, about: _Subject, known: Known) -> str:
    jobs, nodes, was = about.jobs, about.nodes, about.was
    match event:
        case ev.Assigned():
            return f"{jobs} {was} assigned to {nodes}"
        case ev.Claimed():
            return f"{jobs} {was} claimed by {nodes}"
        case ev.Started():
            return f"{jobs} started on {nodes}"
        case ev.StopOrdered():
            to_be = "is to be" if about.is_one else "are to be"
            why = moved_by(event.by) if event.moved else killed_by(event.by)
            return f"{jobs} {to_be} ended by {nodes}{because(why)}"
        case ev.Finished():
            failed = f"{was} killed" if known.was_killed else "failed"
            how = "succeeded" if event.succeeded else failed
            return f"{jobs} {how} on {nodes}{about.after(event.wall_s)}{_why_ended(event)}"
        case ev.Collected():
            how = f"{was} killed" if event.state == "killed" else event.state
            collected = "is collected: it" if about.is_one else "are collected: they"
            return f"{jobs} {collected} {how} on {nodes}{about.after(event.wall_s)}{_why_ended(event)}"
        case ev.Yielded():
            return f"{jobs} {was} given back by {nodes}{because(event.reason)}"
        case ev.Released():
            return f"{jobs} {was} taken from {nodes}: {TAKEN_BACK[event.reason]}"
        case ev.Excused():
            runs = "runs" if about.is_one else "run"
            return f"{jobs} {runs} again elsewhere: {nodes} may be to blame"
        case ev.JobArchived():
            is_there = "is archived" if event.missing is None else f"is lost{because(event.missing)}"
            return f"what {jobs} left {is_there}"
        case _:
            assert_never(event)


def _attempt(event: JobEvent, wording: Wording) -> str:
    name = event.job if event.batch_id == wording.batch else str(event.scope)
    return f"{name}, attempt {event.attempt}," if event.attempt > 1 else name


def _why_ended(event: ev.Ending) -> str:
    reason = event.reason
    if reason is None and event.exit_code:
        reason = f"exit code {event.exit_code}"
    return because(reason)


# --- builds ----------------------------------------------------------------------------------------


def _of_builds(event: BuildEvent, about: _Subject) -> str:
    batch, nodes = event.batch_id, about.nodes
    match event:
        case ev.BuildStarted():
            return f"{batch} is being built on {nodes}"
        case ev.BuildFinished():
            failed = "was not built to the end" if event.killed else "could not be built"
            how = "is built" if event.succeeded else failed
            if event.kept_from is not None:
                return f"{batch} {how} on {nodes}, which had kept the build of {event.kept_from}"
            return f"{batch} {how} on {nodes}{about.after(event.wall_s)}{because(event.reason)}"
        case ev.BuildCollected():
            how = "succeeded" if event.succeeded else "failed"
            took = about.after(event.wall_s)
            return f"the build of {batch} is collected: it {how} on {nodes}{took}{because(event.reason)}"
        case _:
            assert_never(event)


# --- batches ---------------------------------------------------------------------------------------


def _of_batch(event: BatchEvent, wording: Wording, known: Known) -> str:
    by, batch = event.author, str(event.scope)
    match event:
        case ev.Submitted():
            jobs = counted(known.jobs or len(event.spec.work.jobs), "job")
            elsewhere = f" that ran at {event.ran_at.system}" if event.ran_at is not None else ""
            return f"{event.user} submitted {batch}: {jobs}{elsewhere}"
        case ev.KillRequested():
            waiting = "what still waits of " if event.state is not None else ""
            return f"{by} kills {waiting}{_batch_or_job(event, wording)}"
        case ev.RetryRequested():
            return f"{by} has {_retried(event)} of {batch} run again"
        case ev.Reprioritized():
            return f"{by} gives {batch} the priority {event.priority}"
        case ev.Edited():
            what = batch if event.jobs is None else f"{few(event.jobs)} of {batch}"
            return f"{by} edits {what}: {edit_in_words(event)}"
        case ev.MoveRequested():
            return f"{by} moves {_batch_or_job(event, wording)} away from its node"
        case ev.Held():
            return f"{by} holds {batch}{because(event.reason)}"
        case ev.HoldReleased():
            return f"{by} lets jobs of {batch} begin again"
        case ev.Completed():
            return f"{batch} is over: {_ends(known) or event.state}{because(event.reason)}"
        case ev.BatchArchived():
            return f"{batch} is archived"
        case ev.Deleted():
            return f"{by} deleted {batch}"
        case ev.Notified():
            return _told(event, batch)
        case _:
            assert_never(event)


def _told(event: ev.Notified, batch: str) -> str:
    what = {
        "end": f"how {batch} ended",
        "kill": f"who killed {batch}",
        "build_failure": f"that {batch} could not be built",
        "first_failure": f"that a first job of {batch} failed",
        "start": f"that {batch} started",
    }[event.news]
    if event.refused is not None:
        return f"{event.to} could not be told by {event.channel} {what}: {event.refused}"
    return f"{event.to} was told by {event.channel} {what}"


def _batch_or_job(event: ev.KillRequested | ev.MoveRequested, wording: Wording) -> str:
    if event.job is None:
        return str(event.scope)
    return event.job if event.scope == wording.batch else str(JobId(*event.scope, event.job))


def _retried(event: ev.RetryRequested) -> str:
    if event.jobs is not None:
        return few(event.jobs)
    if event.failed_only:
        return "the failed jobs"
    return "the killed jobs" if event.killed_only else "the failed and the killed jobs"


def _ends(known: Known) -> str:
    named = zip(known.ends or (), ("succeeded", "failed", "killed"), strict=False)
    return ", ".join(f"{number} {end}" for number, end in named if number)


# --- nodes -----------------------------------------------------------------------------------------

_Asked = (
    ev.Forgotten
    | ev.Listed
    | ev.PauseRequested
    | ev.ResumeRequested
    | ev.DrainRequested
    | ev.Undrained
)  # fmt: skip


def _of_node(event: NodeEvent, wording: Wording, known: Known) -> str:
    if isinstance(event, _Asked):
        return _asked_of_node(event, wording)
    node = f"node {event.node}"
    match event:
        case ev.Joined():
            return _joined(event, known)
        case ev.Leaving():
            return f"{node} is ending; it still reports {counted(len(event.keeps), 'job')}"
        case ev.Left():
            return f"{node} left"
        case ev.Lost():
            jobs = counted(known.attempts, "job")
            others = f"; others take its {jobs} when they have room" if known.attempts else ""
            return f"{node} is lost: silent for {format_duration(round(event.silent_s))}{others}"
        case ev.Paused():
            by = f", by {event.by}" if event.by is not None else ""
            return f"{node} is paused until {wording.moment(event.until)}{by}{because(event.reason)}"
        case ev.Resumed():
            return f"{node} lends again"
        case ev.Quarantined():
            return f"{node} is in quarantine until {wording.moment(event.until)}{because(event.reason)}"
        case ev.Superseded():
            return _superseded(event, wording)
        case _:
            assert_never(event)


def _asked_of_node(event: _Asked, wording: Wording) -> str:
    """What a person wants of a node."""
    by, node = event.author, f"node {event.node}"
    match event:
        case ev.Forgotten():
            return f"{by} had {node} forgotten"
        case ev.Listed():
            if event.capabilities is None:
                return f"{by} no longer lists {node}"
            can = ", ".join(sorted(event.capabilities)) or "none"
            return f"{by} lists {node}, with these capabilities: {can}"
        case ev.PauseRequested():
            return f"{by} pauses {node} until {wording.moment(event.until)}{because(event.reason)}"
        case ev.ResumeRequested():
            return f"{by} lets {node} lend again"
        case ev.DrainRequested():
            until = f" until {wording.moment(event.until)}" if event.until is not None else ""
            return f"{by} drains {node}{until}{because(event.reason)}"
        case ev.Undrained():
            return f"{by} lets {node} take jobs again"
        case _:
            assert_never(event)


def _joined(event: ev.Joined, known: Known) -> str:
    keeps = f"; it goes on with {counted(len(event.keeps), 'job')}" if event.keeps else ""
    if known.silent_s is not None:
        silence = format_duration(max(0, round(known.silent_s)))
        return f"node {event.node} is back after {silence}{keeps}"
    is_new = known.before is None
    verb = "joined" if is_new else "has restarted" if known.before != event.incarnation else "is back"
    gpus = f", {counted(len(event.gpus), 'GPU')}" if event.gpus else ""
    has = f"{counted(event.cpus, 'cpu')}, {format_size(event.memory_bytes)} of memory{gpus}"
    return f"node {event.node} {verb}: {has}{keeps}"


def _superseded(event: ev.Superseded, wording: Wording) -> str:
    job, number, until = event.attempt.job_id, event.attempt.attempt, wording.moment(event.until)
    size, folder = format_size(event.size_bytes), event.folder[:MAX_REASON]
    return (
        f"node {event.node} keeps what attempt {number} of {job} left until {until}: {size} in {folder}; "
        "it does not count"
    )


def because(reason: str | None) -> str:
    """A reason as the end of a sentence, cut if it is long."""
    if not reason:
        return ""
    return f": {reason}" if len(reason) <= MAX_REASON else f": {reason[:MAX_REASON]}…"
