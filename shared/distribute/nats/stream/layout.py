"""The version of a cluster's layout, and the sequence since which the cluster has it.

The layout number belongs to the set of events and to the streams that hold them. Before a distribute writes
something that an older one can't read, it raises the number. The metadata of the event stream has the number,
and the sequence at which each number was raised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from distribute.core.errors import Refused
from distribute.core.layout import LAYOUT as LAYOUT
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import NOT_FOUND, ApiError, call
from distribute.nats.client.patience import patiently

EVENTS = "EV"

_NUMBER_KEY = "distribute_layout"
_RAISED_KEY = "distribute_layout_raised"
_GIVE_UP_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Layout:
    """A cluster's layout. `raised_at` maps a number to the log's last sequence when it was raised to it.

    `as_of_seq` is the log's last sequence when this was asked.
    """

    number: int
    raised_at: dict[int, int] = field(default_factory=dict)
    as_of_seq: int = 0

    def newer_after(self, number: int) -> int | None:
        """The sequence behind which messages may have a newer layout than `number`. None: there are none."""
        if self.number <= number:
            return None
        return min((seq for raised, seq in self.raised_at.items() if raised > number), default=0)

    def raised_to(self, number: int) -> Layout:
        """The layout of the same cluster after raising the number."""
        raised_at = dict.fromkeys(range(self.number + 1, number + 1), self.as_of_seq)
        return Layout(number, self.raised_at | raised_at, self.as_of_seq)

    def metadata(self) -> dict[str, str]:
        """The layout as metadata of the event stream."""
        return {_NUMBER_KEY: str(self.number), _RAISED_KEY: json.dumps(self.raised_at)}


async def read_layout(connection: Connection, *, give_up_after_s: float = _GIVE_UP_AFTER_S) -> Layout | None:
    """Read the cluster's layout. Returns None if there is no cluster yet.

    Raises:
        Refused: the event stream is not distribute's.
        ApiError: the broker refused the request.
        Unreachable: the broker is reachable, but did not answer for `give_up_after_s` seconds.
    """
    try:
        answer = await patiently(
            connection, lambda: call(connection, f"STREAM.INFO.{EVENTS}"), give_up_after_s=give_up_after_s
        )
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
