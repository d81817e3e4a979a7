"""How an attempt or a build ended, in words for its owner."""

from __future__ import annotations

from distribute.core.os_words import signal_name
from distribute.core.words import format_duration, format_size
from distribute.host import EndedFor, Exit, Unit
from distribute_services.node_runner.machine.attempts import Ending


def _duration(seconds: float) -> str:
    """`0.5 s`, `2h`: as people write it."""
    return f"{seconds:g} s" if seconds < 60 else format_duration(seconds)


def ending_of(unit: Unit, ended: Exit, why: str | None) -> Ending:
    """The ending of an attempt or a build, from that of its process. `why`: why this runner ended it."""
    reason = why if ended.ended_for is None else _why_ended(unit, ended.ended_for, ended.complaint)
    if reason is None:
        reason = ended.complaint if ended.signal is None else f"ended by {signal_name(ended.signal)}"
    return Ending(
        succeeded=ended.exit_code == 0 and reason is None,
        exit_code=ended.exit_code,
        signal=ended.signal,
        reason=reason,
        started_at=ended.started_at,
        ended_at=ended.ended_at,
        wall_s=ended.wall_s,
        cpu_s=ended.cpu_s,
        paused_s=ended.paused_s,
        max_rss_bytes=ended.max_rss_bytes,
    )


def _why_ended(unit: Unit, ended_for: EndedFor, details: str | None) -> str:
    """Why the host ended a unit by itself, in words."""
    match ended_for:
        case "timeout":
            limit, limit_s = "timeout" if unit.attempt else "build_timeout", unit.recipe.timeout_s
            return f"ran for longer than its {limit} of {_duration(limit_s or 0.0)}"
        case "memory":
            own_bytes = unit.share.memory_bytes
            return (
                f"used more memory than {f'its {format_size(own_bytes)}' if own_bytes else 'the node lends'}"
            )
        case "processes":
            return "had more processes than its node allows a job"
        case "disk":
            return details or "ended because the disk of its node was nearly full, and it had written most"
        case "oom":
            return "ended by the kernel, because memory was short on its node; ask for as much as it needs"
