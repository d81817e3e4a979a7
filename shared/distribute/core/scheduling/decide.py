"""The whole scheduling policy, pure and deterministic: equal agendas at the same time decide equally.

In this order: declare silent nodes lost; find broken nodes (`trials`); release jobs (of nodes that left or
restarted, after failed builds) and have killed ones ended; end batches; and then assign jobs to nodes
(`placing`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from distribute.core.folding.fold_job import is_unwanted
from distribute.core.folding.gates import why_given_up
from distribute.core.folding.waits import why_doomed
from distribute.core.ids import BatchId, NodeId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Append, Guard, time_of
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decisions import Decisions
from distribute.core.scheduling.giving_up import is_hopeless
from distribute.core.scheduling.matching import is_quarantined, never
from distribute.core.scheduling.placing import place_jobs
from distribute.core.scheduling.trials import (
    TRIAL_S,
    is_excusable,
    is_on_trial,
    is_proven_broken,
    is_suspect,
    probes,
    quarantine_s,
)
from distribute.core.state.columns import NO_ROW
from distribute.core.state.last_job import has_given_up, is_last_to_run, others_left
from distribute.core.state.state import (
    ASSIGNED,
    FAILED,
    KILLED,
    QUEUED,
    RETRYING,
    Attempt,
    BatchEnd,
    BatchState,
    FailureRecord,
    JobKey,
    NodeState,
    Shape,
)

MOST_LOOKED_AT = 5000
"""Max. attempts that one call with a limit checks for release: 15 ms."""

BUILD_FAILED = "the build failed on every node that could run it"


def decide(agenda: Agenda, now: float, new_id: Callable[[], str], *, most: int | None = None) -> list[Append]:
    """Decide on the events that the scheduler appends next.

    Args:
        agenda: the state, the pending events, and the silence of nodes.
        now: seconds since 1970.
        new_id: makes the id of an event.
        most: once there are so many events, release and assign no further job. Then call this again: there
            may be more to do. There is while `agenda.to_release` is not empty.
    """
    agenda.pass_time(now)
    decisions = Decisions(agenda, new_id, most)
    _give_up_nodes(decisions)
    _try_suspects(decisions)
    _release(decisions)
    _end_batches(decisions)
    place_jobs(decisions)
    return decisions.made


def _give_up_nodes(decisions: Decisions) -> None:
    agenda = decisions.agenda
    for name in sorted(agenda.silent):
        node = agenda.state.nodes[name]
        silent_s = agenda.now - agenda.liveness.silent_since(node, agenda.now)
        is_lost = silent_s >= agenda.liveness.lease.lost_after_s
        if node.presence == "here" and is_lost and NodeId(name) not in agenda.pending:
            decisions.add(
                ev.Lost(**decisions.stamp(node.cause), node=name, silent_s=round(silent_s, 1)),
                Guard(node.last_seq),
            )


# --- broken nodes ----------------------------------------------------------------------------------


def _try_suspects(decisions: Decisions) -> None:
    """Run jobs that failed on a suspect elsewhere, and quarantine a node that is proven broken."""
    agenda = decisions.agenda
    agenda.held_back = {}
    for name in sorted(agenda.suspects):
        node = agenda.state.nodes[name]
        elsewhere = _Elsewhere(agenda, node)
        held_back: set[BatchId] = set()
        for record in node.records:
            _try_suspect(decisions, node, record, elsewhere)
            if agenda.now < agenda.liveness.suspected_at(name) + TRIAL_S and is_on_trial(
                agenda.state, node, record, agenda.pending, elsewhere
            ):
                held_back.update(key.batch for key in record.fast_failures)
        if held_back:
            agenda.held_back[name] = frozenset(held_back)


def _try_suspect(
    decisions: Decisions, node: NodeState, record: FailureRecord, elsewhere: Callable[[JobKey], bool]
) -> None:
    agenda = decisions.agenda
    if is_quarantined(node, agenda.log_now):
        _excuse(decisions, [key for key in record.fast_failures if is_excusable(agenda.state, node, key)])
    elif NodeId(node.name) in agenda.pending or not any(map(elsewhere, record.fast_failures)):
        return
    elif is_proven_broken(node, record):
        _quarantine(decisions, node, record)
    elif is_suspect(node, record):
        chosen = list(probes(agenda.state, node, record, elsewhere))
        _excuse(decisions, [key for key in chosen if is_excusable(agenda.state, node, key)])


class _Elsewhere:
    """Tells which of a node's jobs could run on another node that is there and not leaving."""

    def __init__(self, agenda: Agenda, node: NodeState) -> None:
        self._batches = agenda.state.batches
        self._others = [
            other
            for other in agenda.state.nodes.values()
            if other is not node
            and agenda.obstacle_of(other) is None
            and other.name not in agenda.pending.quarantines
        ]
        self._found: dict[tuple[BatchId, Shape], bool] = {}

    def __call__(self, key: JobKey) -> bool:
        batch = self._batches[key.batch]
        shape = batch.group_of(key.row).shape
        found = self._found.get((key.batch, shape))
        if found is None:
            found = self._found[key.batch, shape] = any(
                never(other, shape) is None and other.name not in batch.build_failed for other in self._others
            )
        return found


def _quarantine(decisions: Decisions, node: NodeState, record: FailureRecord) -> None:
    kind = "GPU jobs" if record is node.gpu_record else "jobs"
    until = time_of(decisions.agenda.now + quarantine_s(record))
    decisions.add(
        ev.Quarantined(
            **decisions.stamp(),
            node=node.name,
            reason=f"{record.blamed} {kind} that failed here within seconds succeeded elsewhere",
            until=until,
        ),
        Guard(node.last_seq),
    )


def _excuse(decisions: Decisions, keys: list[JobKey]) -> None:
    for key in keys:
        batch = decisions.agenda.state.batches[key.batch]
        if batch.job_id(key.row) not in decisions.agenda.pending:
            decisions.add(
                ev.Excused(
                    **decisions.stamp(),
                    **batch.attempt_id(key.row)._asdict(),
                    node=batch.suspects[key.row],
                    submission=batch.submission,
                ),
                Guard(batch.job_seq[key.row], batch.seq),
            )


# --- releasing jobs --------------------------------------------------------------------------------


def _release(decisions: Decisions) -> None:
    """Release jobs, or have them ended. If there are very many, the next call goes on with the others."""
    agenda = decisions.agenda
    if decisions.is_full:
        return
    for key in islice(agenda.to_release.take(), MOST_LOOKED_AT if decisions.has_limit else None):
        batch = agenda.state.batches.get(key.batch)
        attempt = batch.active.get(key.row) if batch is not None else None
        if batch is None or attempt is None:
            continue
        unwanted = is_unwanted(batch, key.row)
        found = _why_release(agenda, batch, key, attempt, unwanted=unwanted)
        is_to_stop = attempt.stop_at is None and (unwanted or attempt.moved_by is not None)
        if not (found or is_to_stop) or batch.job_id(key.row) in agenda.pending:
            continue
        if found is not None:
            decisions.release(batch, key.row, *found)
        else:
            decisions.stop(batch, key.row)
        if decisions.is_full:
            return


def _why_release(
    agenda: Agenda, batch: BatchState, key: JobKey, attempt: Attempt, *, unwanted: bool
) -> tuple[ev.ReleaseReason, str | None] | None:
    """Why the node loses the job, and the id of the event that causes that; None: it keeps the job.

    A killed job that may have begun stays with its node until that has ended it, so that nothing is lost of
    what it left, and nobody else gets its cores meanwhile. If its node is lost, patience bounds that.
    """
    has_begun = batch.status[key.row] != ASSIGNED
    if unwanted and (batch.discards or not has_begun):
        return "killed", batch.cause
    if attempt.moved_by is not None and not has_begun:
        return "moved", batch.cause
    node = agenda.state.nodes.get(attempt.node)
    if node is None:
        return "node_left", None
    if node.presence == "left" or (key in node.dropped and node.leaving):
        return "node_left", node.cause
    if key in node.dropped:
        return "node_rebooted" if node.rebooted else "node_restarted", node.cause
    if node.name in batch.build_failed and not unwanted:
        return "build_failed", None
    if node.presence != "here" or node.name in agenda.silent:
        # It keeps the job until another node can take it, see `placing`.
        return ("node_lost", node.cause) if is_hopeless(agenda, key) else None
    if not has_begun:
        is_late = agenda.now >= agenda.liveness.to_be_claimed_by(key)
        return ("unclaimed", attempt.cause) if is_late else None
    gone_at = agenda.liveness.gone_at(key)
    return ("not_there", attempt.cause) if gone_at is not None and agenda.now >= gone_at else None


# --- the end of a batch ----------------------------------------------------------------------------


def _end_batches(decisions: Decisions) -> None:
    agenda = decisions.agenda
    checks, agenda.to_check = sorted(agenda.to_check), set()
    for batch_id in checks:
        batch = agenda.state.batches.get(batch_id)
        if batch is None or batch_id in agenda.pending or batch_id in agenda.pending.jobs:
            continue
        if _is_in_doubt(agenda, batch):
            agenda.to_check.add(batch_id)
            continue
        if batch.end is None:
            end = _end_of(agenda, batch)
            if end is not None:
                _complete(decisions, batch, *end)
        elif not batch.archived and not batch.unarchived and not batch.active:
            event = ev.BatchArchived(**decisions.stamp(), **batch_id._asdict(), submission=batch.submission)
            decisions.add(event, Guard(batch.under_seq, batch.seq))


def _complete(decisions: Decisions, batch: BatchState, state: BatchEnd, reason: str | None) -> None:
    event = ev.Completed(
        **decisions.stamp(),
        **batch.id._asdict(),
        submission=batch.submission,
        state=state,
        reason=reason,
    )
    decisions.add(event, Guard(batch.under_seq, batch.seq))


def _end_of(agenda: Agenda, batch: BatchState) -> tuple[BatchEnd, str | None] | None:
    """How the batch ended, and why its waiting jobs can't run. None while it goes on."""
    if batch.active or batch.counts[RETRYING]:
        return None
    if batch.counts[QUEUED]:
        if (doomed := why_doomed(agenda.state, batch)) is not None:
            return "failed", doomed
        if has_given_up(batch) and not is_last_to_run(batch):
            return "failed", why_given_up(batch)
        return ("failed", BUILD_FAILED) if _build_failed_everywhere(agenda, batch) else None
    if batch.killed is not None and batch.counts[KILLED]:
        return "killed", None
    return ("failed" if batch.counts[FAILED] or batch.counts[KILLED] else "completed"), None


def _is_in_doubt(agenda: Agenda, batch: BatchState) -> bool:
    """Is a node about to be quarantined, so that failures of the batch there will not count?"""
    quarantines = agenda.pending.quarantines
    return bool(quarantines) and any(
        key.batch == batch.id
        for name in quarantines
        for record in agenda.state.nodes[name].records
        for key in record.fast_failures
    )


def _build_failed_everywhere(agenda: Agenda, batch: BatchState) -> bool:
    """Did the build fail on all present nodes that could run the waiting jobs?"""
    if not batch.build_failed or batch.ran_at is not None:
        return False
    only_last = not others_left(batch)
    for waiting in agenda.waiting[batch.id]:
        if waiting.queued_from(waiting.group.start) == NO_ROW:
            continue
        if batch.last_row is not None and only_last != (waiting.group.start == batch.last_row):
            continue  # it waits for others, or never begins
        capable = [
            node.name
            for node in agenda.state.nodes.values()
            if node.presence == "here" and never(node, waiting.group.shape) is None
        ]
        if not capable or any(name not in batch.build_failed for name in capable):
            return False
    return True
