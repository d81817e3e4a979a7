"""One sentence for each type of event. `history`, `events` and the scheduler's log all take theirs from here.

A new type of event gets an arm in one of the four matches, which the type checker demands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, assert_never

from distribute.core.folding.edits import edit_in_words
from distribute.core.folding.fold_batch import BatchEvent, BuildEvent
from distribute.core.folding.fold_job import JobEvent
from distribute.core.folding.fold_node import NodeEvent
from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.core.telling.node_sentences import of_many_nodes, of_node
from distribute.core.telling.wording import NOTHING, Known, Wording, because
from distribute.core.words import counted, few, format_duration, killed_by, moved_by

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
            return of_node(event, wording, known)


Groupable = JobEvent | BuildEvent | NodeEvent
"""Events of which a batch may have thousands."""


def manner(event: Groupable, known: Known = NOTHING) -> str:
    """What alike events have in common: their sentence, but for whom it is about, where, and how long."""
    match event.about:
        case "job":
            return _of_jobs(event, _ANY, known)
        case "build":
            return _of_builds(event, _ANY)
        case "node":
            return event.type


def sentence_of_many(
    event: Groupable, jobs: Sequence[str], nodes: Sequence[str], times: int, known: Known = NOTHING
) -> str:
    """So many events that are alike in one sentence. `event` is one of them."""
    match event.about:
        case "build":
            return _of_builds(event, _Subject("", few(nodes), is_one=False))
        case "node":
            return of_many_nodes(event, nodes, times)
        case "job":
            about = _Subject(counted(len(jobs), "job"), few(nodes), is_one=len(jobs) == 1)
            told = _of_jobs(event, about, known)
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
            return _submitted(event, batch, known)
        case ev.KillRequested():
            waiting = "what still waits of " if event.state is not None else ""
            return f"{by} kills {waiting}{_batch_or_job(event, wording)}"
        case ev.RetryRequested():
            held = ", once the batch is released" if event.hold else ""
            return f"{by} has {_retried(event)} of {batch} run again{held}"
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
        case ev.Compacted():
            return f"{event.by} had {counted(event.events, 'event')} of {batch} moved into an archive"
        case ev.Deleted():
            return f"{by} deleted {batch}"
        case ev.Notified():
            return _told(event, batch)
        case _:
            assert_never(event)


def _submitted(event: ev.Submitted, batch: str, known: Known) -> str:
    jobs = counted(known.jobs or len(event.spec.work.jobs), "job")
    elsewhere = f" that ran at {event.ran_at.system}" if event.ran_at is not None else ""
    if event.replaces is not None:
        return f"{event.user} replaced {batch}: {jobs}, {_kept(event, known)}"
    return f"{event.user} submitted {batch}: {jobs}{elsewhere}"


def _kept(event: ev.Submitted, known: Known) -> str:
    """What a submission keeps of the batch that it replaces. With `known.jobs`, it has only one of them."""
    if known.stays is None:  # it marks alike what succeeded and what runs: the fold tells these apart
        marked = sum(job.kept is not None for job in event.spec.work.jobs)
        ways = [(marked, "is kept or goes on", "are kept or go on")]
    else:
        kept, going_on = known.stays
        ways = [(kept, "is kept", "are kept"), (going_on, "goes on", "go on")]
    if known.jobs is not None:
        return f"of which this one {next((one for number, one, _ in ways if number), 'runs')}"
    stays = [f"{number} {one if number == 1 else many}" for number, one, many in ways if number]
    return f"of which {', '.join(stays) or 'none is kept'}"


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
