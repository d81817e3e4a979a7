"""The events by which this node ends an attempt, or tells what is left of one that does not count."""

from __future__ import annotations

from distribute.core.files.manifest import Outputs
from distribute.core.log import events as ev
from distribute.core.log.recorded import LATE_S, Recorded, time_of
from distribute.host import SetAside
from distribute_services.node_runner.machine.attempts import Attempt, Ending, Names
from distribute_services.node_runner.machine.outbox import Stamp

_MAX_REASON = 2000


def finished(stamp: Stamp, names: Names, ending: Ending, outputs: Outputs | None) -> ev.Finished:
    """The report of an attempt that ended, with what it left."""
    late_s = stamp["time"].timestamp() - ending.ended_at if ending.ended_at is not None else 0.0
    return ev.Finished(
        **stamp,
        **names,
        succeeded=ending.succeeded,
        exit_code=ending.exit_code,
        signal=ending.signal,
        reason=_short(ending.reason) if ending.reason is not None else None,
        last_lines=ending.last_lines or None,
        started_at=time_of(ending.started_at) if ending.started_at is not None else None,
        ended_at=time_of(ending.ended_at) if ending.ended_at is not None and late_s >= LATE_S else None,
        wall_s=ending.wall_s,
        cpu_s=ending.cpu_s,
        paused_s=ending.paused_s,
        max_rss_bytes=ending.max_rss_bytes,
        outputs=outputs,
    )


def yielded(stamp: Stamp, names: Names, reason: str, outputs: Outputs | None = None) -> ev.Yielded:
    """The report of an attempt that this node gives back, with what it left."""
    return ev.Yielded(**stamp, **names, reason=_short(reason), outputs=outputs)


def superseded(stamp: Stamp, node: str, attempt: Attempt, left: SetAside) -> ev.Superseded:
    """Tell where what an attempt left is kept, although it does not count."""
    return ev.Superseded(
        **stamp,
        node=node,
        attempt=attempt.id,
        submission=attempt.submission.id,
        folder=_short(left.folder),
        size_bytes=left.size_bytes,
        until=time_of(left.until),
    )


def given_away(attempt: Attempt, decisive: Recorded | None) -> str:
    """What is said of an attempt that does not count any more, by the event that decided it."""
    event = decisive.event if decisive is not None else None
    match event:
        case ev.Assigned():
            how = f"was given to {event.node}"
        case ev.Released():
            how = f"was taken from this node ({event.reason})"
        case _:
            how = "was released"
    return f"{attempt} {how} while this node was out of touch; its result is not used"


def _short(reason: str) -> str:
    """Shorten a reason so that it fits into an event. Errors may quote long texts."""
    return reason if len(reason) <= _MAX_REASON else reason[: _MAX_REASON - 1] + "…"
