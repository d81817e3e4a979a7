"""What `replay --verify` says to people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from distribute.client.words import printable
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.client.replay_documents import ComparisonDocument, VerifiedDocument

MOST_NAMED = 5
"""So many parts that differ are named. JSON has all of them."""


def verified_lines(found: VerifiedDocument) -> Iterator[str]:
    """Lines about what was found in a log."""
    broken = found["broken"]
    if broken is not None:
        yield (
            f"event {broken['seq']} breaks the log: {broken['type']} of {printable(broken['scope'])} by "
            f"{printable(broken['author'])}, {broken['time']}: {printable(broken['what'])}"
        )
    else:
        yield f"every invariant holds: {counted(found['events'], 'event')}, up to {found['last_seq']}"
    if found["misfits"]["count"]:
        misfits, first = counted(found["misfits"]["count"], "event"), found["misfits"]["first"] or ""
        yield f"{misfits} did not fit and changed nothing; the first: {printable(first)}"
    if found["garbage"]["count"]:
        messages = counted(found["garbage"]["count"], "message")
        yield f"{messages} could not be read; the last: {printable(found['garbage']['last'] or '')}"
    if not found["saved"]:
        yield _comparison_line(found["scheduler"])


def _comparison_line(scheduler: ComparisonDocument | None) -> str:
    if scheduler is None:
        return "no scheduler answered, so there was no state to compare with"
    if not scheduler["compared"]:
        return "the scheduler is of another version of distribute: its state can't be compared"
    if not scheduler["differs"]:
        return f"the scheduler's state at event {scheduler['seq']} is the same"
    names = ", ".join(printable(name) for name in scheduler["differs"][:MOST_NAMED])
    more = len(scheduler["differs"]) - MOST_NAMED
    rest = f" and {more} more" if more > 0 else ""
    return (
        f"the scheduler's state at event {scheduler['seq']} differs in {names}{rest}: "
        "that is a fault of distribute; report it with the log, as `distribute replay --export FILE` saves it"
    )
