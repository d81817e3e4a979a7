"""Everything about one job, or one node, for the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from distribute.client.commits import in_words
from distribute.client.outside import told_of_outside
from distribute.client.words import argument, printable
from distribute.config.sections.units import format_duration, format_size
from distribute.core.spec.gpu_kind import GpuKind, gpus_in_words
from distribute.core.words import by_and_why, counted
from distribute_cli.output.builds import builds_of
from distribute_cli.output.clock import now
from distribute_cli.output.drawing import count, duration, span, state_text
from distribute_cli.output.facts import MOST_LINES, Fact, facts, moment, told, verdicts
from distribute_cli.output.failures import plain
from distribute_cli.output.fitting import FittingTable
from distribute_cli.output.words import NOT_BEGUN, NOTHING, exit_text

if TYPE_CHECKING:
    from distribute.client.documents import (
        Amounts,
        AttemptDocument,
        JobStory,
        NodeJobDocument,
        NodeStory,
        SupersededDocument,
        WarningDocument,
    )

_FREEZES_BY = {"cgroup": "cgroups, at once", "signals": "signals (it can make no cgroups)"}
"""How a node stops its jobs for a pause."""

_BUILD_COPIES = {
    "overlay": "overlays (nothing is copied)",
    "bind": "copies, mounted where the build ran",
    "copy": "copies in folders of their own",
}
"""How jobs get their copies of a build."""


def job(document: JobStory) -> Iterator[RenderableType]:
    """Everything about one job."""
    name = f"{document['namespace']}/{document['batch']}/{document['job']}"
    yield Text(printable(name), style="bold")
    yield facts(_job_facts(document))
    if document["attempts"]:
        yield ""
        yield FittingTable(
            [_attempt_row(attempt) for attempt in document["attempts"]],
            right={"attempt", "took", "cpu", "memory"},
            optional={"exit", "cpu", "memory", "why"},
        )
        if lines := document["attempts"][-1]["last_lines"]:
            yield Text("\nits last lines:\n" + "\n".join(f"  {plain(line)}" for line in lines), no_wrap=True)
        if outside := document["attempts"][-1]["outside"]:
            yield f"\n{told_of_outside(outside)}"
    for attempt in document["attempts"]:
        if (kept := attempt["superseded"]) is not None and _is_to_come(kept["until"]):
            yield "\n" + _told_of_superseded(attempt, kept)
    if left_out := document["left_out"]:
        yield "\nnot archived:"
        yield from (f"  {printable(line)}" for line in left_out[:MOST_LINES])
        if (more := len(left_out) - MOST_LINES) > 0:
            yield f"and {more} more: --json names all"
    if document["state"] in NOT_BEGUN and document["why"]["nodes"]:
        yield ""
        yield from verdicts(document["why"]["nodes"])
    if any(attempt["started_at"] for attempt in document["attempts"]):
        yield Text(f"\n`distribute logs {argument(name)}` shows all that it printed", no_wrap=True)


def _given(document: JobStory) -> Iterator[Fact]:
    """The parameters and the variables of a job."""
    if parameters := document.get("parameters"):
        values = (f"{name}={value}" for name, value in parameters.items())
        yield "parameters", printable(_some(list(values), ", "))
    if document["env"]:
        variables = (f"{name}={shlex.quote(value)}" for name, value in sorted(document["env"].items()))
        yield "env", printable(_some(list(variables), " "))


def _job_facts(document: JobStory) -> Iterator[Fact]:
    yield "state", state_text(document["state"])
    if document["state"] in NOT_BEGUN:
        yield "waits", told(document["why"]["summary"].removeprefix("waits").lstrip(": "))
    elif document["reason"]:
        yield "why", printable(document["reason"])
    if document["shell"] is not None:
        yield "shell", printable(shlex.join(document["shell"]))
    if document["setup"]:
        yield "setup", printable(_some(document["setup"], "; "))
    command = document["command"]
    yield "command", printable(command if isinstance(command, str) else shlex.join(command))
    if document["script"] is not None:
        yield "script", f"{printable(document['script'])}, which runs as job.py"
    if document["image"] is not None:
        yield "image", printable(document["image"])
    yield "resources", resources_in_words(document["resources"])
    if document["capabilities"]:
        yield "needs", printable(", ".join(document["capabilities"]))
    if document["timeout_s"] is not None:
        yield "timeout", _timeout(document["timeout_s"], document["signal_before"])
    if document["grace_s"] is not None:
        yield "grace", format_duration(document["grace_s"])
    if document["retries"]:
        yield "retries", str(document["retries"])
    yield from _given(document)
    if document["files"]:
        yield "input", printable(_some(document["files"], ", "))
    for commit in document["git"][:MOST_LINES]:
        yield "commit", printable(in_words(commit))
    submitted = f"{moment(document['submitted_at'])} by {printable(document['user'])}"
    yield "submitted", f"{submitted} ({span(document['submitted_at'], None)} ago)"
    if document["finished_at"] is not None:
        yield "results", "can be pulled" if document["archived"] else "are not in the archive"


def _timeout(timeout_s: float, warning: WarningDocument | None) -> str:
    limit = format_duration(timeout_s)
    if warning is None:
        return limit
    return f"{limit}; SIG{warning['signal']} comes {format_duration(warning['before_s'])} before"


def _attempt_row(attempt: AttemptDocument) -> dict[str, str | Text]:
    return {
        "attempt": count(attempt["attempt"]),
        "node": printable(attempt["node"]),
        "outcome": state_text(attempt["outcome"]),
        "exit": exit_text(attempt),
        "began": moment(attempt["started_at"] or attempt["assigned_at"]),
        "ended": moment(attempt["finished_at"]),
        "took": duration(attempt["wall_s"]),
        "cpu": duration(attempt["cpu_s"]),
        "memory": format_size(attempt["max_rss_bytes"]) if attempt["max_rss_bytes"] else NOTHING,
        "why": printable(attempt["reason"] or ""),
    }


def _told_of_superseded(attempt: AttemptDocument, kept: SupersededDocument) -> str:
    """Where what an attempt left lies that does not count."""
    number, node, size = attempt["attempt"], printable(attempt["node"]), format_size(kept["size_bytes"])
    return (
        f"attempt {number} was given to another node while {node} was out of touch. What it left does not"
        f" count; {node} keeps it until {moment(kept['until'])} ({size}) in {printable(kept['folder'])}"
    )


def _is_to_come(time: str) -> bool:
    return datetime.fromisoformat(time) > now()


def node(document: NodeStory) -> Iterator[RenderableType]:
    """Everything about one node."""
    yield Text(printable(document["node"]), style="bold")
    yield facts(_node_facts(document) if document["state"] != "expected" else _expected_facts(document))
    if document["jobs"]:
        yield ""
        yield FittingTable(
            [_node_job_row(job) for job in document["jobs"][:MOST_LINES]],
            right={"attempt", "for", "cpus", "memory"},
            optional={"memory", "gpus"},
        )
        if (more := document["running"] - MOST_LINES) > 0:
            yield f"and {counted(more, 'more job')}: --json lists more"


def _expected_facts(document: NodeStory) -> Iterator[Fact]:
    """What is known of a node that never joined."""
    yield "state", state_text(document["state"])
    yield "why", printable(document["reason"] or NOTHING)
    yield "can", printable(", ".join(document["capabilities"]) or NOTHING)


def _node_facts(document: NodeStory) -> Iterator[Fact]:
    yield "state", state_text(document["state"])
    if document["reason"]:
        yield "why", printable(document["reason"])
    pauses = {
        "paused": (document["paused_until"], document.get("paused_by")),
        "in quarantine": (document.get("quarantined_until"), None),
        "drained": (document.get("drained_until"), document.get("drained_by")),
    }
    for what, (until, by) in pauses.items():
        if until is not None or (what == "drained" and by is not None):
            end = moment(until) if until is not None else "`distribute undrain`"
            yield "until", f"{end} ({what}{by_and_why(by and printable(by), None)})"
    if document["building"]:
        yield "builds", builds_of(document)
    yield "cpus", f"{document['cpus']}, {document['cpus_free']} free"
    free = document["memory_free_bytes"]
    yield "memory", f"{format_size(document['memory_bytes'])}, {format_size(free)} free for jobs"
    if document["gpus"]:
        used = set(document["gpus_used"])
        sizes = (format_size(size) if size else "" for size in document.get("gpu_memory_bytes", []))
        gpus = zip_longest(document["gpus"], sizes, fillvalue="")
        names = [
            f"{n}: {' '.join(filter(None, (gpu, size)))}{' (in use)' if n in used else ''}"
            for n, (gpu, size) in enumerate(gpus)
        ]
        yield "gpus", printable(_some(names, ", "))
    yield "can", printable(", ".join(document["capabilities"]) or NOTHING)
    for name, why in document.get("lacks", {}).items():
        yield "can't", printable(f"{name}: {why}")
    if document["load"] is not None:
        yield "load", f"{document['load']:.1f}, {document['cpu_percent'] or 0:.0f} % of its cpus"
    if document["disk_free_bytes"] is not None:
        needed = document.get("disk_needed_bytes")
        left = f", of which jobs leave {format_size(needed)}" if needed else ""
        yield "disk", f"{format_size(document['disk_free_bytes'])} free{left}"
    if (owner := _owner(document)) is not None:
        yield "owner away", owner
    if how := document.get("freezes_by"):
        yield "pauses by", _FREEZES_BY.get(how, printable(how))
    if way := document.get("build_copies"):
        yield "build copies", _BUILD_COPIES.get(way, printable(way))
    if document["built"]:
        yield "built", counted(document["built"], "batch", "batches")
    yield "version", printable(document["version"])
    if heard := document.get("heard_at"):
        yield "heard", f"{span(heard, None)} ago"


def _owner(document: NodeStory) -> str | None:
    """For how long the node's owner has been away, and what shows that. None: it is not reported."""
    idle_s, source = document["owner_idle_s"], document.get("owner_source")
    if idle_s is None and not source:
        return None
    away = "since the node started" if idle_s is None else duration(idle_s)
    return printable(f"{away} (by {source})" if source else away)


def _node_job_row(job: NodeJobDocument) -> dict[str, str | Text]:
    return {
        "job": printable(f"{job['namespace']}/{job['batch']}/{job['job']}"),
        "user": printable(job["user"]),
        "state": state_text(job["state"]),
        "attempt": count(job["attempt"]),
        "for": span(job["started_at"] or job["assigned_at"], None),
        "cpus": str(job["cpus"]),
        "memory": format_size(job["memory_bytes"]) if job["memory_bytes"] else NOTHING,
        "gpus": ", ".join(map(str, job["gpus"])) or NOTHING,
    }


def resources_in_words(asked: Amounts | None) -> str:
    """`4 cpus, 8G, 1 GPU`."""
    if asked is None:
        return "a whole node"
    parts = [counted(asked["cpus"], "cpu")]
    if asked["memory_bytes"]:
        parts.append(format_size(asked["memory_bytes"]))
    if asked["gpus"]:
        kind = asked.get("gpu_kind")
        parts.append(printable(gpus_in_words(asked["gpus"], GpuKind(**kind) if kind else None)))
    return ", ".join(parts)


def _some(texts: Sequence[str], between: str) -> str:
    """The first of many, and how many more there are."""
    more = len(texts) - MOST_LINES
    return between.join(texts[:MOST_LINES]) + (f"{between}and {more} more" if more > 0 else "")
