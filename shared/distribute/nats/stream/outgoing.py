"""A message that the publisher has not stored yet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from distribute.nats.client.protocol import header_block, publish_command
from distribute.nats.stream import parts
from distribute.nats.stream.guards import ScopeGuard

ANSWER_TIMEOUT_S = 10.0
"""Seconds to wait for the first answer, which takes milliseconds on a live connection."""

_OVERHEAD_BYTES = 300


class Outgoing:
    """A message that waits for its answer."""

    __slots__ = (
        "answer_timeout_s",
        "expected_seq",
        "fields",
        "future",
        "guard",
        "message_id",
        "patient",
        "payload",
        "postponed",
        "reply",
        "sent_at",
        "settling",
        "size",
        "subject",
        "tries",
        "was_late",
    )

    def __init__(
        self,
        subject: str,
        payload: bytes,
        message_id: str,
        guard: ScopeGuard | None,
        fields: dict[str, str] | None,
        patient: bool,
        future: asyncio.Future[int],
    ) -> None:
        self.subject = subject
        self.payload = payload
        self.message_id = message_id
        self.guard = guard
        self.expected_seq = guard.guard.last_seq if guard is not None else 0
        self.fields = fields
        self.patient = patient
        self.future = future
        self.size = len(payload) + _OVERHEAD_BYTES
        self.reply = ""
        self.tries = 0
        self.sent_at = 0.0
        self.answer_timeout_s = ANSWER_TIMEOUT_S
        self.settling = False
        """The broker refused the guard, and `settle` is finding out what that means."""
        self.postponed = False
        """The broker could not store it, and we have not sent it again yet."""
        self.was_late = False
        """It was delayed, and we logged that."""

    def commands(self, max_payload: int) -> Iterator[bytes]:
        """The commands that publish the message: one, or one for each part."""
        self.tries += 1
        count = parts.count_parts(self.payload, max_payload)
        if count == 1:
            header = header_block(
                self._guard_fields() | {"Nats-Msg-Id": self.message_id} | (self.fields or {})
            )
            yield publish_command(self.subject, self.payload, self.reply, header)
            return
        for index, part in enumerate(parts.split(self.payload, max_payload)):
            fields = self._part_fields(index, count)
            yield publish_command(self.subject, part, self.reply, header_block(fields))

    def fail(self, error: BaseException) -> None:
        """Set the error as the future's result."""
        if not self.future.done():
            self.future.set_exception(error)

    def _guard_fields(self) -> dict[str, str]:
        if self.guard is None:
            return {}
        return {
            "Nats-Expected-Last-Subject-Sequence": str(self.expected_seq),
            "Nats-Expected-Last-Subject-Sequence-Subject": self.guard.filter,
        }

    def _part_fields(self, index: int, count: int) -> dict[str, str]:
        last = index == count - 1
        return {
            # The broker must not continue a batch that an earlier try left unfinished.
            "Nats-Batch-Id": f"{self.message_id}.{self.tries}",
            "Nats-Batch-Sequence": str(index + 1),
            "Nats-Msg-Id": self.message_id if last else f"{self.message_id}.{index}",
            **(self._guard_fields() if index == 0 else {}),
            **({"Nats-Batch-Commit": "1"} if last else {}),
            **(self.fields or {}),
        }
