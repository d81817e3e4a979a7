"""How answers look on a terminal. Each function takes a document of the interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from distribute.config.units import format_duration, format_size
from distribute_cli.output import Document, printable

NOTHING = "-"

STATE_STYLES = {
    "running": "cyan",
    "busy": "cyan",
    "assigned": "cyan",
    "completed": "green",
    "succeeded": "green",
    "failed": "red",
    "killed": "yellow",
    "paused": "yellow",
    "draining": "yellow",
    "quarantined": "red",
    "out_of_touch": "yellow",
    "lost": "red",
}


def _table(*columns: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def batches(document: Document) -> Iterator[RenderableType]:
    """All batches, a line each."""
    found = document["batches"]
    if not found:
        yield "No batches yet. `distribute template command` writes a first one; `distribute add` submits it."
        return
    figures = ("jobs", "done", "running", "queued", "failed", "killed")
    table = _table("batch", "user", "state", *figures, "submitted", "took", right=(*figures, "took"))
    for batch in found:
        jobs = batch["jobs"]
        table.add_row(
            printable(f"{batch['namespace']}/{batch['batch']}"),
            printable(batch["user"]),
            batch_state(batch),
            str(jobs["total"]),
            _count(jobs["succeeded"]),
            _count(jobs["running"] + jobs["assigned"]),
            _count(jobs["queued"]),
            _count(jobs["failed"], "red"),
            _count(jobs["killed"], "yellow"),
            ago(batch["submitted_at"]),
            span(batch["submitted_at"], batch["finished_at"]),
        )
    yield table


def batch_state(batch: Document) -> Text:
    """A batch's state; of one that is over, whether its results are still on their way to the archive."""
    state = state_text(batch["state"])
    if batch["finished_at"] is not None and not batch["archived"]:
        state.append(", archiving", style="dim")
    return state


def batch(document: Document) -> Iterator[RenderableType]:
    """One batch and its jobs."""
    counts = {"batches": [document]}
    yield from batches(counts)
    if document.get("reason"):
        yield Text(f"\n{printable(document['reason'])}", style="red")
    yield ""
    table = _table(
        "job",
        "state",
        "try",
        "node",
        "exit",
        "took",
        "cpu",
        "memory",
        "why",
        right=("try", "took", "cpu", "memory"),
    )
    for job in document["job_list"]:
        table.add_row(
            printable(job["job"]),
            job_state(job),
            _count(job["attempt"]),
            printable(job["node"] or NOTHING),
            exit_text(job),
            _duration(job["wall_s"]) if job["finished_at"] else since(job["started_at"]),
            _duration(job["cpu_s"]),
            format_size(job["max_rss_bytes"]) if job["max_rss_bytes"] else NOTHING,
            printable(job["reason"] or ""),
        )
    yield table


def job_state(job: Document) -> Text:
    state = state_text(job["state"])
    if job["finished_at"] is not None and not job["archived"]:
        state.append(", archiving", style="dim")
    return state


def exit_text(job: Document) -> str:
    """How a job's process ended: its exit code, or the signal's name."""
    if job["signal"]:
        import signal

        try:
            return signal.Signals(job["signal"]).name
        except ValueError:
            return f"signal {job['signal']}"
    return NOTHING if job["exit_code"] is None else str(job["exit_code"])


def nodes(document: Document) -> Iterator[RenderableType]:
    """All nodes, a line each."""
    found = document["nodes"]
    if not found:
        yield "No node has joined yet. `distribute client` makes a computer one."
        return
    figures = ("cpus", "free", "memory", "gpus", "jobs", "load")
    table = _table(
        "node", "state", *figures, "owner away", "capabilities", "why", right=(*figures, "owner away")
    )
    for node in found:
        gone = node["state"] in {"lost", "left"}
        table.add_row(
            printable(node["node"]),
            state_text(node["state"]),
            str(node["cpus"]),
            NOTHING if gone else str(node["cpus_free"]),
            format_size(node["memory_bytes"]),
            _count(len(node["gpus"])),
            _count(node["running"]),
            NOTHING if gone or node["load"] is None else f"{node['load']:.1f}",
            NOTHING if node["owner_idle_s"] is None else format_duration(node["owner_idle_s"]),
            printable(", ".join(sorted(node["capabilities"])) or NOTHING),
            printable(_why(node)),
        )
    yield table


def capabilities(document: Document) -> Iterator[RenderableType]:
    """What each node can do (`add --show-caps`)."""
    table = _table("node", "capabilities")
    for node in document["nodes"]:
        table.add_row(printable(node["node"]), printable(", ".join(sorted(node["capabilities"])) or NOTHING))
    yield table


def state_text(state: str) -> Text:
    return Text(state.replace("_", " "), style=STATE_STYLES.get(state, ""))


def ago(time: str | None) -> str:
    """How long ago a time was."""
    return f"{since(time)} ago" if time else NOTHING


def since(time: str | None) -> str:
    """The time from then to now."""
    return span(time, None) if time else NOTHING


def span(begin: str, end: str | None) -> str:
    """The time between two times, in two units at most; without an end, up to now."""
    stop = datetime.fromisoformat(end) if end else datetime.now(UTC)
    return _duration(max(0.0, (stop - datetime.fromisoformat(begin)).total_seconds()))


def _duration(seconds: float | None) -> str:
    """Seconds in two units at most: nobody wants to know the seconds of three days."""
    if seconds is None:
        return NOTHING
    if seconds >= 86400:
        seconds -= seconds % 3600
    elif seconds >= 3600:
        seconds -= seconds % 60
    return format_duration(seconds)


def _count(number: int, style: str = "") -> Text:
    """A number; a zero is a dash, so that what is there stands out."""
    return Text(str(number), style=style) if number else Text(NOTHING, style="dim")


def _why(node: Document) -> str:
    """Why a node lends nothing, where it does not."""
    if node["paused_until"]:
        left = datetime.fromisoformat(node["paused_until"]) - datetime.now(UTC)
        return f"for {_duration(max(0.0, left.total_seconds()))} more: {node['reason'] or 'paused'}"
    return str(node["reason"] or "")


def files(document: Document) -> Iterator[RenderableType]:
    """What `pull --dry` would bring."""
    table = _table("size", "file", right=("size",))
    for file in document["files"]:
        table.add_row(format_size(file["size_bytes"]), printable(file["path"]))
    yield table
    total = format_size(sum(file["size_bytes"] for file in document["files"]))
    yield f"\n{len(document['files'])} files, {total}; {len(document['filtered'])} more are filtered out"
