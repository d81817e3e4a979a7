"""The version of a cluster's layout, and since when the cluster has it.

The layout number belongs to the set of events, and to the streams that hold them. Whoever writes something
that an older distribute can't read raises the number first. It lies in the metadata of the event stream,
with the sequence at which each number was raised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import inf
from typing import Any

from distribute.core.errors import Refused
from distribute.nats.connection import Connection
from distribute.nats.jetstream import NOT_FOUND, ApiError, call
from distribute.nats.patience import patiently

LAYOUT = 1
"""Raised whenever an older distribute could no longer work on what a newer one stores."""

EVENTS = "EV"

_NUMBER_KEY = "distribute_layout"
_RAISED_KEY = "distribute_layout_raised"
_ANSWER_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster's layout. `raised_at` maps a number to the log's last sequence when it was raised to it.

    `as_of_seq` is the log's last sequence when this was asked.
    """

    number: int
    raised_at: dict[int, int] = field(default_factory=dict)
    as_of_seq: int = 0

    def newer_after(self, number: int) -> int | None:
        """The sequence behind which messages may be of a newer layout than `number`; None if the cluster's
        is not newer."""
        if self.number <= number:
            return None
        return min((seq for raised, seq in self.raised_at.items() if raised > number), default=0)

    def metadata(self) -> dict[str, str]:
        """As the event stream keeps it."""
        return {_NUMBER_KEY: str(self.number), _RAISED_KEY: json.dumps(self.raised_at)}


async def read_layout(connection: Connection, *, patient: bool = False) -> Layout | None:
    """The cluster's layout; None if there is no cluster yet. `patient`: outlive outages.

    Raises:
        Refused: the event stream is not distribute's.
        ApiError, Unreachable: the broker could not be asked.
    """

    async def ask() -> dict[str, Any]:
        return await call(connection, f"STREAM.INFO.{EVENTS}", timeout_s=_ANSWER_WITHIN_S)

    try:
        answer = await (patiently(connection, ask, give_up_after_s=inf) if patient else ask())
    except ApiError as error:
        if error.code == NOT_FOUND:
            return None
        raise
    metadata = answer["config"].get("metadata") or {}
    try:
        raised_at: dict[str, int] = json.loads(metadata.get(_RAISED_KEY, "{}"))
        raised = {int(number): int(seq) for number, seq in raised_at.items()}
        return Layout(int(metadata[_NUMBER_KEY]), raised, int(answer["state"]["last_seq"]))
    except (KeyError, ValueError, AttributeError):
        raise Refused(
            f"{connection.address}: its stream {EVENTS!r} is not distribute's: use another broker, or account"
        ) from None
