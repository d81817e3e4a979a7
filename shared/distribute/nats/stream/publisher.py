"""Publish to streams without waiting for each answer, and match every answer to its message.

nats-py's `publish_async` never resolves if the broker answers with an error. Here every message has a number,
its answer goes to `<inbox>.<number>`, and the message leaves the window only with an answer: stored (its
future gets the sequence), or refused for good (its future gets the error). Until then it is sent again, in
the original order: after each reconnect, after a timeout, and after answers that only mean "not now". The
message id and the guard make repetitions harmless.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from typing import Any

from distribute.core.errors import Refused, StorageFull, Unreachable
from distribute.nats.client.connection import Connection
from distribute.nats.client.jetstream import ApiError, json_object
from distribute.nats.client.patience import report_silence
from distribute.nats.client.protocol import status
from distribute.nats.stream.guards import ScopeGuard, Settled, settle
from distribute.nats.stream.outgoing import ANSWER_TIMEOUT_S, Outgoing

_log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 256
"""Max. unanswered messages. The broker stores all that have arrived before it answers or delivers any. With
thousands, on a disk that takes 10 ms per sync, messages would be sent again before their answers, and the
first job would wait for the last. Measured: 64 messages reach the disk's rate, 256 most of the rate without
syncing."""
MAX_WAITING = 100_000
"""Max. messages that wait until others are answered. A further one fails at once with `Unreachable`: the
process that publishes it ends, and starts again from the log."""
MAX_IN_FLIGHT_BYTES = 32 << 20
MAX_WAITING_BYTES = 256 << 20
"""The same bounds in bytes. One message may be larger."""

_MAX_ANSWER_TIMEOUT_S = 120.0
_FIRST_RETRY_S = 0.1
_MAX_RETRY_S = 5.0

_CONFLICT = frozenset({10071, 10164, 10201})
"""Wrong last sequence; the same with several replicas; a message id in a batch that was stored before."""
_NO_ROOM = frozenset({10023, 10028, 10047, 10077})
"""Insufficient resources; no memory; no storage; the store failed to store a message."""
_TOO_MANY_REQUESTS = 429
_INCOMPLETE_BATCH = 10176


class Publisher:
    """Publishes over one connection. Futures resolve in the order in which the answers come."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inbox = connection.new_inbox()
        self._next_number = 1
        self._in_flight: dict[bytes, Outgoing] = {}
        self._bytes_in_flight = 0
        self._waiting: deque[Outgoing] = deque()
        self._bytes_waiting = 0
        self._timer: asyncio.TimerHandle | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._retry_delay_s = _FIRST_RETRY_S
        self._complained = False
        self._closed = False
        self._tasks: set[asyncio.Task[Settled]] = set()
        self._undo = [
            connection.tap(f"{self._inbox}.*", self._answered),
            connection.on_return(self._send_all_again),
            connection.on_denial(self._denied),
        ]

    @property
    def unanswered(self) -> int:
        """The number of messages without an answer."""
        return len(self._in_flight) + len(self._waiting)

    def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str,
        guard: ScopeGuard | None = None,
        fields: dict[str, str] | None = None,
        patient: bool = True,
    ) -> asyncio.Future[int]:
        """Store a message; the future gives its sequence. Never blocks.

        A payload over the broker's limit is stored in parts, all or none; the sequence is that of the last
        part. `fields` are additional headers. While the broker has no room, the message waits; without
        `patient`, the future raises `StorageFull` instead. It raises `Conflict` if the guard does not hold,
        `Refused` if the broker will never take the message, and `Unreachable` if `MAX_WAITING` messages or
        `MAX_WAITING_BYTES` wait.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._closed:
            future.set_exception(Unreachable("the connection was closed before this could be sent"))
            return future
        entry = Outgoing(subject, payload, message_id, guard, fields, patient, future)
        too_big = self._bytes_waiting + entry.size > MAX_WAITING_BYTES
        if self._waiting and (too_big or len(self._waiting) >= MAX_WAITING):
            why = f"too many messages wait for the broker already ({len(self._waiting)})"
            future.set_exception(Unreachable(why))
            return future
        self._waiting.append(entry)
        self._bytes_waiting += entry.size
        self._fill_window()
        return future

    async def close(self) -> None:
        """Give up messages without an answer: their futures raise `Unreachable`."""
        if self._closed:
            return
        self._closed = True
        for undo in self._undo:
            undo()
        for timer in (self._timer, self._retry_timer):
            if timer is not None:
                timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for entry in (*self._in_flight.values(), *self._waiting):
            entry.fail(Unreachable(f"closed before the broker acknowledged a message on {entry.subject}"))
        self._in_flight.clear()
        self._waiting.clear()

    # --- sending ---

    def _fill_window(self) -> None:
        while self._waiting and self._connection.connected:
            entry = self._waiting[0]
            too_big = self._bytes_in_flight + entry.size > MAX_IN_FLIGHT_BYTES
            if self._in_flight and (too_big or len(self._in_flight) >= MAX_IN_FLIGHT):
                return
            self._waiting.popleft()
            self._bytes_waiting -= entry.size
            number = str(self._next_number)
            self._next_number += 1
            entry.reply = f"{self._inbox}.{number}"
            self._in_flight[number.encode()] = entry
            self._bytes_in_flight += entry.size
            self._send(entry)

    def _send(self, entry: Outgoing) -> None:
        loop = asyncio.get_running_loop()
        entry.postponed = False
        entry.sent_at = loop.time()
        for command in entry.commands(self._connection.max_payload):
            self._connection.send_command(command)
        if self._timer is None:
            self._timer = loop.call_later(entry.answer_timeout_s, self._look_for_overdue)

    def _send_all_again(self) -> None:
        for entry in list(self._in_flight.values()):
            if not entry.settling:
                self._send(entry)
        self._fill_window()

    def _look_for_overdue(self) -> None:
        """Send again the messages that have waited too long for an answer, unless the broker does not read.

        On a live connection that is rare: the broker's disk was full, the stream had no leader, or an answer
        was lost.
        """
        self._timer = None
        if not self._in_flight:
            return
        loop = asyncio.get_running_loop()
        if self._connection.connected and not self._connection.unsent_bytes:
            for entry in list(self._in_flight.values()):
                if not entry.settling and loop.time() - entry.sent_at > entry.answer_timeout_s:
                    # A stream whose disk was full answers nothing until the broker is restarted.
                    silent_s = loop.time() - entry.sent_at
                    if time.time() - self._connection.heard_at > silent_s:
                        report_silence(self._connection, silent_s)
                    else:
                        self._complain(entry, f"no answer for {silent_s:.0f} s (is its disk full?)")
                    entry.answer_timeout_s = min(2 * entry.answer_timeout_s, _MAX_ANSWER_TIMEOUT_S)
                    self._send(entry)
        if self._timer is None:
            self._timer = loop.call_later(ANSWER_TIMEOUT_S / 2, self._look_for_overdue)

    # --- answers ---

    def _answered(self, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        number = subject[len(self._inbox) + 1 :]
        entry = self._in_flight.get(number)
        if entry is None or entry.settling:
            return
        if not payload:
            # The broker took one part of an atomic batch, or no stream takes the subject.
            if status(header):
                self._postpone(entry, "no stream takes it")
            return
        answer = json_object(payload)
        error, seq = answer.get("error"), answer.get("seq")
        if isinstance(error, dict):
            self._refused(number, entry, error)
        elif isinstance(seq, int):
            self._done(number, seq)
        else:
            _log.error("%s: unreadable answer to a message on %s", self._connection.address, entry.subject)

    def _refused(self, number: bytes, entry: Outgoing, error: dict[str, Any]) -> None:
        code, err_code = int(error.get("code", 0)), int(error.get("err_code", 0))
        text = f"{error.get('description', 'unknown error')} ({err_code})"
        if err_code in _CONFLICT and entry.guard is not None:
            self._settle(number, entry, entry.guard)
        elif err_code in _NO_ROOM and not entry.patient:
            self._failed(number, StorageFull(f"the broker has no room for {entry.subject}: {text}"))
        elif code >= 500 or code == _TOO_MANY_REQUESTS or err_code == _INCOMPLETE_BATCH:
            self._postpone(entry, text)
        else:
            self._failed(number, Refused(f"the broker does not take {entry.subject}: {text}"))

    def _settle(self, number: bytes, entry: Outgoing, guard: ScopeGuard) -> None:
        """Find out, in a task, what a refused guard means."""
        entry.settling = True
        task = asyncio.create_task(
            settle(self._connection, guard, entry.message_id), name="settle a conflict"
        )
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._settled(number, entry, done))

    def _settled(self, number: bytes, entry: Outgoing, task: asyncio.Task[Settled]) -> None:
        self._tasks.discard(task)
        entry.settling = False
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or number not in self._in_flight:
            return
        if isinstance(error, Unreachable | ApiError):
            if isinstance(error, Unreachable):
                report_silence(self._connection, time.time() - self._connection.heard_at)
            self._postpone(entry, str(error))
            return
        if error is not None:
            self._failed(number, error)
            return
        outcome = task.result()
        if outcome.stored_seq is not None:
            self._done(number, outcome.stored_seq)
        elif outcome.expected_seq == entry.expected_seq:
            self._postpone(entry, "it refuses a guard that holds")
        else:
            entry.expected_seq = outcome.expected_seq
            self._send(entry)

    def _postpone(self, entry: Outgoing, reason: str) -> None:
        """Try again after a while. The broker can't store the message, and sends no signal when it can."""
        self._complain(entry, reason)
        entry.postponed = True
        if self._retry_timer is None:
            loop = asyncio.get_running_loop()
            self._retry_timer = loop.call_later(self._retry_delay_s, self._retry_postponed)
            self._retry_delay_s = min(2 * self._retry_delay_s, _MAX_RETRY_S)

    def _complain(self, entry: Outgoing, reason: str) -> None:
        """Log once that the broker does not take messages, until it takes them again.

        An outage is logged already.
        """
        entry.was_late = True
        if self._complained or self._connection.outage.lasts:
            return
        self._complained = True
        _log.warning(
            "%s does not take %s now: %s; trying again until it does",
            self._connection.address,
            entry.subject,
            reason,
        )

    def _retry_postponed(self) -> None:
        self._retry_timer = None
        for entry in list(self._in_flight.values()):
            if entry.postponed and not entry.settling:
                self._send(entry)

    def _denied(self, action: str, subject: str) -> None:
        for number, entry in list(self._in_flight.items()):
            if entry.subject == subject:
                self._failed(number, Refused(f"you may not publish on {subject}: {action} is forbidden"))

    def _done(self, number: bytes, seq: int) -> None:
        entry = self._leave_window(number)
        if entry.was_late:
            self._retry_delay_s = _FIRST_RETRY_S
        if entry.was_late and self._complained:
            self._complained = False
            _log.warning("%s takes messages again", self._connection.address)
        if not entry.future.done():
            entry.future.set_result(seq)

    def _failed(self, number: bytes, error: BaseException) -> None:
        self._leave_window(number).fail(error)

    def _leave_window(self, number: bytes) -> Outgoing:
        entry = self._in_flight.pop(number)
        self._bytes_in_flight -= entry.size
        if self._waiting:
            self._fill_window()
        return entry
