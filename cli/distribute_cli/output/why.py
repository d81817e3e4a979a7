"""Why a job waits, and where its time went, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from distribute.client.words import printable
from distribute.config.sections.units import format_duration
from distribute.core.words import counted
from distribute_cli.output.drawing import duration, state_text
from distribute_cli.output.facts import MOST_LINES, Fact, facts, moment, told, verdicts
from distribute_cli.output.fitting import FittingTable, Row
from distribute_cli.output.words import NOTHING

if TYPE_CHECKING:
    from distribute.client.ledger_document import EntryDocument, LedgerDocument
    from distribute.client.queue_documents import AheadDocument, QueueDocument, StartDocument
    from distribute.client.why import WhyStory

PHASES = {
    "batch": "waited for its batch",
    "node": "waited for a node",
    "owner": "waited for a paused node",
    "turn": "waited for its turn",
    "staging": "staging",
    "building": "building",
    "running": "running",
    "paused": "paused",
    "uploading": "uploading",
    "archiving": "archiving",
    "lost": "lost",
    "elsewhere": "ran elsewhere",
    "over": "was over",
}
"""What each phase of a ledger is called in its table."""

UNKNOWN_START = "nobody can tell: a batch that comes first has not run yet, or no node becomes free by itself"


def why(document: WhyStory) -> Iterator[RenderableType]:
    """What the job waits for, and where its time went."""
    name = f"{document['namespace']}/{document['batch']}/{document['job']}"
    yield Text(printable(name), style="bold")
    yield facts(_facts(document))
    if document["queue"] is not None and document["queue"]["ahead"]:
        yield "\nthese come first:"
        yield from _ahead(document["queue"])
    if document["nodes"]:
        yield ""
        yield from verdicts(document["nodes"])
    ledger = document["ledger"]
    yield f"\n{_life(ledger)}"
    if ledger["entries"]:
        yield FittingTable(
            [_row(entry, ledger["total_s"]) for entry in ledger["entries"]],
            right={"time", "share", "attempt"},
        )


def _facts(document: WhyStory) -> Iterator[Fact]:
    yield "state", state_text(document["state"])
    if document["summary"] != document["state"]:
        yield "why", told(document["summary"])
    queue, start = document["queue"], document["start"]
    if queue is not None:
        yield "place", f"{queue['place']} of those that wait for the same nodes"
        yield "begins", _begins(start, document["asked_at"]) if start is not None else UNKNOWN_START


def _begins(start: StartDocument, asked_at: str | None) -> str:
    """When it begins, and how sure that is."""
    now = datetime.fromisoformat(asked_at) if asked_at is not None else datetime.now(UTC)
    earliest, likely, latest = (
        max(0, round((datetime.fromisoformat(at) - now).total_seconds()))
        for at in (start["earliest"], start["likely"], start["latest"])
    )
    by = counted(start["ended"], "job") + " that ended" if start["ended"] else "how long others run already"
    between = f"between {duration(earliest)} and {duration(latest)}"
    return f"in about {duration(likely)} ({between}), judging by {by}"


def _ahead(queue: QueueDocument) -> Iterator[RenderableType]:
    rows = [
        {
            "jobs": str(some["jobs"]),
            "of": printable(f"{some['namespace']}/{some['batch']}"),
            "user": printable(some["user"]),
            "why": _why_first(some, queue),
        }
        for some in queue["ahead"][:MOST_LINES]
    ]
    yield FittingTable(rows, right={"jobs"})
    if (more := len(queue["ahead"]) - MOST_LINES) > 0:
        yield f"and {counted(more, 'more batch', 'more batches')}: --json lists them all"


def _why_first(some: AheadDocument, queue: QueueDocument) -> str:
    match some["why"]:
        case "priority":
            return f"its priority is {some['priority']}, and that of this one {queue['priority']}"
        case "share":
            return f"its user has {some['share']:.1f} cores of the lab, that of this one {queue['share']:.1f}"
        case _:
            return "the same user submitted them before"


def _life(ledger: LedgerDocument) -> str:
    total = format_duration(ledger["total_s"])
    since = moment(ledger["submitted_at"])
    if ledger["over"]:
        return f"where its time went: {total} from {since} to {moment(ledger['until'])}"
    return f"where its time went: {total} since {since}"


def _row(entry: EntryDocument, total_s: float) -> Row:
    return {
        "time": format_duration(entry["seconds"]),
        "share": f"{100 * entry['seconds'] / total_s:.0f} %",
        "what": PHASES.get(entry["phase"], entry["phase"]),
        "attempt": str(entry["attempt"]),
        "node": printable(entry["node"] or NOTHING),
        "from": moment(entry["since"]),
    }
