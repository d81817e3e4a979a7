"""Tables for the terminal. Each function draws one of the interface's documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from distribute.client.documents import (
    GONE,
    BatchDocument,
    BatchesDocument,
    BatchWithJobs,
    JobCounts,
    JobDocument,
    NodeDocument,
    NodesDocument,
)
from distribute.client.words import printable
from distribute.config.sections.units import format_size
from distribute.core.words import by_and_why, counted
from distribute_cli.output.builds import build_lines, builds_of, is_only_built, kept_lines, where_built
from distribute_cli.output.clock import is_past, now
from distribute_cli.output.drawing import STATE_STYLES, count, duration, span, state_text
from distribute_cli.output.facts import told
from distribute_cli.output.failures import failure_lines
from distribute_cli.output.fitting import Cell, FittingTable
from distribute_cli.output.form import Document
from distribute_cli.output.words import NOTHING, WAITS, exit_text

JOB_COUNTS = ("jobs", "succeeded", "running", "assigned", "queued", "failed", "killed")


def batches(document: BatchesDocument, *, selected: bool = False) -> Iterator[RenderableType]:
    """All batches, or those that options have `selected`, one on each line."""
    found = document["batches"]
    if not found and selected:
        yield "No batch matches. Without options, `distribute status` lists all batches."
    elif not found and is_past():
        yield "There were no batches."
    elif not found:
        yield "No batches yet. `distribute template command` writes a first one; `distribute add` submits it."
    else:
        yield _batch_table(found)


def _batch_table(found: Sequence[BatchDocument]) -> RenderableType:
    rows = [_batch_row(batch) for batch in found]
    return FittingTable(
        rows, right={*JOB_COUNTS, "took"}, optional={"assigned", "queued", "failed", "killed"}
    )


def _batch_row(batch: BatchDocument) -> dict[str, Cell]:
    jobs = batch["jobs"]
    state = state_text("building" if is_only_built(batch) else batch["state"])
    if is_only_built(batch):
        state.append(f" {where_built(batch)}", style="dim")
    if batch["finished_at"] is not None and not batch["archived"]:
        state.append(", archiving", style="dim")
    if batch["finished_at"] is None and batch["killed_by"] is not None:
        state.append(", being killed", style=STATE_STYLES["killed"])
    if batch.get("held_by") is not None:
        state.append(", held", style="yellow")
    return {
        "batch": printable(f"{batch['namespace']}/{batch['batch']}"),
        "user": printable(batch["user"]),
        "state": state,
        "jobs": str(jobs["total"]),
        **{name: count(number, STATE_STYLES.get(name, "")) for name, number in _counts(jobs)},
        "submitted": f"{span(batch['submitted_at'], None)} ago",
        "took": span(batch["submitted_at"], batch["finished_at"]),
    }


def _counts(jobs: JobCounts) -> Iterator[tuple[str, int]]:
    """How many jobs are in each state, in the order of the table."""
    yield "succeeded", jobs["succeeded"]
    yield "running", jobs["running"]
    yield "assigned", jobs["assigned"]
    yield "queued", jobs["queued"]
    yield "failed", jobs["failed"]
    yield "killed", jobs["killed"]


def batch(document: BatchWithJobs) -> Iterator[RenderableType]:
    """One batch and its jobs."""
    yield _batch_table([document])
    if (system := document.get("ran_at")) is not None:
        yield Text(f"\nit ran at {system}, not on this cluster")
    if document["killed_by"] is not None and document["killed_at"] is not None:
        being = "being killed" if document["finished_at"] is None else "killed"
        ago = f"{span(document['killed_at'], None)} ago"
        yield Text(f"\n{being} by {printable(document['killed_by'])}, {ago}", style=STATE_STYLES["killed"])
    if document["reason"]:
        yield Text(f"\n{printable(document['reason'])}", style="red")
    if held := document.get("held"):
        yield Text(f"\n{told(held)}")
    editor, edited_at = document.get("edited_by"), document.get("edited_at")
    if editor is not None and edited_at is not None:
        yield Text(f"\nedited by {printable(editor)}, {span(edited_at, None)} ago")
    if builds := [*build_lines(document), *kept_lines(document)]:
        yield Text("\n" + "\n".join(builds), no_wrap=True)
    yield ""
    yield FittingTable(
        [_job_row(job) for job in document["job_list"]],
        right={"attempt", "took", "cpu", "memory"},
        optional={"node", "attempt", "exit", "took", "cpu", "memory", "why"},
    )
    if more := document.get("more_jobs"):
        yield f"\n{more} more {'job' if more == 1 else 'jobs'}: --all lists all, --state those of one state"
    if failures := list(failure_lines(document, document["job_list"])):
        # Not wrapped: people paste the commands, and a terminal joins what it wraps by itself.
        yield Text("\n" + "\n".join(failures), no_wrap=True, overflow="ignore")


def _job_row(job: JobDocument) -> dict[str, Cell]:
    state = state_text(job["state"])
    if job["finished_at"] is not None and not job["archived"]:
        state.append(", archiving", style="dim")
    return {
        "job": printable(job["job"]),
        "state": state,
        "attempt": count(job["attempt"]),
        "node": printable(job["node"] or NOTHING),
        "exit": exit_text(job),
        "took": duration(job["wall_s"]),
        "cpu": duration(job["cpu_s"]),
        "memory": format_size(job["max_rss_bytes"]) if job["max_rss_bytes"] else NOTHING,
        "why": printable(job["reason"] or WAITS.get(job.get("waits_for") or "", "")),
    }


def nodes(document: NodesDocument) -> Iterator[RenderableType]:
    """All nodes, one on each line."""
    found = document["nodes"]
    if not found:
        yield "No node has joined yet. `distribute client` makes a computer a node."
        return
    figures = {"cpus", "free", "memory", "gpus", "jobs", "load", "owner away"}
    yield FittingTable(
        [_node_row(node) for node in found], right=figures, optional={"gpus", "owner away", "why"}
    )


def _node_row(node: NodeDocument) -> dict[str, Cell]:
    is_expected = node["state"] == "expected"
    gone = node["state"] in GONE
    idle_s = node["owner_idle_s"]
    return {
        "node": printable(node["node"]),
        "state": state_text("building" if _builds(node) else node["state"]),
        "cpus": NOTHING if is_expected else str(node["cpus"]),
        "free": NOTHING if gone else str(node["cpus_free"]),
        "memory": NOTHING if is_expected else format_size(node["memory_bytes"]),
        "gpus": count(len(node["gpus"])),
        "jobs": count(node["running"]),
        "load": NOTHING if gone or node["load"] is None else f"{node['load']:.1f}",
        "owner away": NOTHING if gone else duration(idle_s),
        "capabilities": printable(", ".join(sorted(node["capabilities"])) or NOTHING),
        "why": _why(node),
    }


def capabilities(document: NodesDocument) -> Iterator[RenderableType]:
    """What each node can do (`add --show-caps`)."""
    yield FittingTable(
        [
            {
                "node": printable(node["node"]),
                "capabilities": printable(", ".join(sorted(node["capabilities"])) or NOTHING),
            }
            for node in document["nodes"]
        ],
    )


def _builds(node: NodeDocument) -> bool:
    """Does the node build a batch? While it is paused, or out of touch, that is more important."""
    return node["state"] == "busy" and bool(node["building"])


def _why(node: NodeDocument) -> str:
    """Why a node takes no jobs, if it takes none; or what it builds."""
    if _builds(node):
        return builds_of(node)
    until, by = {
        "paused": (node["paused_until"], node.get("paused_by")),
        "quarantined": (node.get("quarantined_until"), None),
        "draining": (node.get("drained_until"), node.get("drained_by")),
    }.get(node["state"], (None, None))
    if until is None:
        return printable(by_and_why(by, node["reason"]).lstrip(",: "))
    left = datetime.fromisoformat(until) - now()
    return printable(f"for {duration(max(0.0, left.total_seconds()))} more{by_and_why(by, node['reason'])}")


def files(document: Document) -> Iterator[RenderableType]:
    """The files that `pull` would fetch, without `--dry`, or those that `ls` lists."""
    found = document["files"]
    if found:
        yield FittingTable([_file_row(file) for file in found], right={"size", "changed"})
        yield ""
    total = format_size(sum(file["size_bytes"] for file in found))
    left_out = len(document.get("filtered", ()))
    filtered = f"; the filter leaves out {left_out} more" if left_out else ""
    yield f"{counted(len(found), 'file')}, {total}{filtered}"


def _file_row(file: Document) -> dict[str, Cell]:
    """A file; if it is that of a job that runs, with when it was changed."""
    row: dict[str, Cell] = {"size": format_size(file["size_bytes"])}
    if "mtime" in file:
        row["changed"] = f"{span(file['mtime'], None)} ago" if file["mtime"] is not None else NOTHING
    return {**row, "file": printable(file["path"])}
