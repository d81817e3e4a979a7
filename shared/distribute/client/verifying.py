"""Verify a log: fold it from its first event, check every invariant, and compare with the scheduler."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from distribute.client.queries import ask
from distribute.core.checking.verification import Break, FirstBreak, Verification
from distribute.core.errors import Unreachable
from distribute.core.telling.listing import rfc3339
from distribute.ports import OnDone, tell_nobody
from distribute.saved.log import SavedLog
from distribute.snapshot import StateDigests, digests

if TYPE_CHECKING:
    from distribute.client.replay_documents import BreakDocument, ComparisonDocument, VerifiedDocument
    from distribute.core.state.state import State
    from distribute.ports import Cluster, EventLog

WITHIN_S = 60.0
"""The scheduler writes a snapshot to answer, and may have to finish another one before."""

REST = "nodes, people and waiting batches"
"""The name of what a state has besides its batches."""


class _Told(NamedTuple):
    """The scheduler's state as of the event at `seq`."""

    seq: int
    digests: StateDigests


async def verify(cluster: Cluster, *, on_done: OnDone = tell_nobody) -> VerifiedDocument:
    """Fold the log as it is by now, and check what it says. In a saved log, also the digest of each line.

    `on_done` is told the sequence that is reached, again and again.

    Raises:
        IntegrityError: a line of a saved log is not the one that was saved.
    """
    log = cluster.log
    if isinstance(log, SavedLog):
        log.check_chain()
    told = await _ask_scheduler(cluster)  # first: the state that we fold passes the scheduler's on its way
    end = await log.end()
    verification = Verification()
    comparison: ComparisonDocument | None = None
    if told is not None:
        await _fold(log, verification, told.seq, on_done)
        comparison = _compare(verification.state, told)
    await _fold(log, verification, end.seq, on_done)
    verification.finish()
    broken = verification.false_end
    if verification.broken_in is not None:
        found = await _first_break(log, verification.broken_in, end.seq)
        broken = min((one for one in (broken, found) if one is not None), key=lambda one: one.recorded.seq)
    return {
        "saved": isinstance(log, SavedLog),
        "events": verification.events,
        "first_seq": verification.first_seq,
        "last_seq": end.seq,
        "last_time": rfc3339(end.time),
        "sound": broken is None and (comparison is None or not comparison["differs"]),
        "broken": _break_document(broken) if broken is not None else None,
        "misfits": {"count": verification.state.misfits, "first": verification.first_misfit or None},
        "garbage": {"count": log.garbage.count, "last": log.garbage.last or None},
        "scheduler": comparison,
    }


async def _ask_scheduler(cluster: Cluster) -> _Told | None:
    """The digests of the scheduler's state; None: it does not answer."""
    try:
        answer = await ask(cluster, "digests", {}, timeout_s=WITHIN_S)
    except Unreachable:
        return None
    return _Told(answer["seq"], StateDigests(answer["version"], answer["core"], answer["batches"]))


async def _fold(log: EventLog, verification: Verification, until: int, on_done: OnDone) -> None:
    after = verification.state.seq
    if until <= after:
        return
    async with aclosing(log.follow(after=after, until=until)) as reading:
        async for records in reading:
            verification.fold(records)
            on_done(records[-1].seq)


def _compare(state: State, told: _Told) -> ComparisonDocument:
    """What differs between our state and the scheduler's, as of the same event."""
    ours = digests(state)
    is_comparable = ours.version == told.digests.version
    differs: list[str] = []
    if is_comparable:
        theirs, own = told.digests.batches, ours.batches
        differs = sorted(name for name in theirs.keys() | own.keys() if theirs.get(name) != own.get(name))
        differs += [REST] if ours.core != told.digests.core else []
    return {
        "seq": told.seq,
        "compared": is_comparable and state.seq == told.seq,
        "differs": differs,
    }


async def _first_break(log: EventLog, broken_in: tuple[int, int], until: int) -> Break | None:
    search = FirstBreak(broken_in)
    async with aclosing(log.follow(after=0, until=until)) as reading:
        async for records in reading:
            found = search.fold(records)
            if found is not None:
                return found
    return None


def _break_document(broken: Break) -> BreakDocument:
    (seq, time, event), what = broken
    return {
        "seq": seq,
        "time": rfc3339(time),
        "type": event.type,
        "author": event.author,
        "scope": str(event.scope),
        "what": what,
    }
