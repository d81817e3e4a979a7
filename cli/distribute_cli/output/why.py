"""Why a job waits, and where its time went, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from distribute.client.words import printable
from distribute.config.units import format_duration
from distribute_cli.output.drawing import state_text
from distribute_cli.output.facts import Fact, facts, moment, verdicts
from distribute_cli.output.fitting import FittingTable, Row
from distribute_cli.output.words import NOTHING

if TYPE_CHECKING:
    from distribute.client.why import EntryDocument, LedgerDocument, WhyStory

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


def why(document: WhyStory) -> Iterator[RenderableType]:
    """What the job waits for, and where its time went."""
    name = f"{document['namespace']}/{document['batch']}/{document['job']}"
    yield Text(printable(name), style="bold")
    yield facts(_facts(document))
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
    yield "why", printable(document["summary"])


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
