"""A connection to the broker that reconnects by itself and calls hooks when it does.

Everything in `distribute.nats` uses `Connection`. It sends messages, passes incoming ones to a callback,
repeats requests after a reconnect, and calls hooks when the connection is lost and when it is back.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from distribute.core.errors import NobodyAnswers, Refused, Unreachable
from distribute.nats.client.inflow import Inflow
from distribute.nats.client.outage import Outage
from distribute.nats.client.protocol import NO_HEADER, Message, publish_command, status
from distribute.nats.client.wire import Tap, Wire

_NO_RESPONDERS = 503
_OURSELVES = ""
_NO_JETSTREAM = "the broker's JetStream does not answer: is it switched on?"

MAX_ANSWER_BYTES = 256 << 20
"""A larger answer is given up: anyone may answer a query, and never come to an end."""


class Connection:
    """One connection to the cluster. `connect` makes it once the broker has answered."""

    def __init__(self, wire: Wire, address: str, outage: Outage) -> None:
        self._wire = wire
        self.address = address
        self.outage = outage
        self.inflow = Inflow()
        """Bounds the requests that the broker answers with megabytes."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._up = asyncio.Event()
        self._up.set()
        self._return_hooks: list[Callable[[], None]] = []
        self._loss_hooks: list[Callable[[], None]] = []
        self._denial_hooks: list[Callable[[str, str], None]] = []
        self._numbers = itertools.count(1)
        self._questions: dict[bytes, _Question] = {}
        self._loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox = self.new_inbox()
        wire.add_tap(f"{self._inbox}.*", self._answered)

    @property
    def connected(self) -> bool:
        """True while the broker is reachable, as far as this connection knows."""
        return self._up.is_set() and self._wire.is_connected

    @property
    def heard_at(self) -> float:
        """When the broker last sent anything, in seconds since 1970."""
        return self._wire.heard_at

    async def returned(self) -> None:
        """Wait until the broker is reachable."""
        await self._up.wait()

    @property
    def max_payload(self) -> int:
        """The largest message the broker takes, headers included, in bytes."""
        return self._wire.max_payload

    @property
    def unsent_bytes(self) -> int:
        """Bytes given to `send` that have not left this process."""
        return self._wire.unsent_bytes

    def on_return(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook` after each reconnect. Returns a function that ends this."""
        self._return_hooks.append(hook)
        return lambda: self._return_hooks.remove(hook)

    def on_loss(self, hook: Callable[[], None]) -> Callable[[], None]:
        """Call `hook` each time the connection is lost. Returns a function that ends this."""
        self._loss_hooks.append(hook)
        return lambda: self._loss_hooks.remove(hook)

    def on_denial(self, hook: Callable[[str, str], None]) -> Callable[[], None]:
        """Call `hook` with action and subject when permissions forbid something."""
        self._denial_hooks.append(hook)
        return lambda: self._denial_hooks.remove(hook)

    def new_inbox(self) -> str:
        """A new subject that only this connection uses, with all subjects below it."""
        return self._wire.new_inbox()

    def tap(self, subject: str, tap: Tap) -> Callable[[], None]:
        """Call `tap` with each message on a subject, over reconnects. Returns a function that ends this."""
        sid = self._wire.add_tap(subject, tap)
        return lambda: self._wire.remove_tap(sid)

    def send(self, subject: str, payload: bytes, *, reply: str = "", header: bytes = NO_HEADER) -> bool:
        """Send a message without an acknowledgement. Returns False, and sends nothing, while disconnected."""
        return self.send_command(publish_command(subject, payload, reply, header))

    def send_command(self, command: bytes) -> bool:
        """Like `send`, for a command made by `publish_command`."""
        if not self.connected:
            return False
        self._wire.send(command)
        return True

    async def less_unsent_than(self, limit_bytes: int) -> None:
        """Wait until fewer than `limit_bytes` are unsent, or the connection is lost. For large transfers."""
        while self.connected and self.unsent_bytes >= limit_bytes:
            await asyncio.wait((self._wire.flushed(), self._loss), return_when=asyncio.FIRST_COMPLETED)

    async def round_trip(self) -> None:
        """Wait until the broker has received everything sent so far, subscriptions included."""
        await self.collect(_OURSELVES, b"", is_last=lambda _: True, timeout_s=None)

    async def request(
        self, subject: str, payload: bytes = b"", *, header: bytes = NO_HEADER, timeout_s: float = 5.0
    ) -> Message:
        """Send a request and wait for one message: `collect` with a single answer."""
        messages = await self.collect(
            subject, payload, header=header, timeout_s=timeout_s, is_last=lambda _: True
        )
        return messages[0]

    async def collect(
        self,
        subject: str,
        payload: bytes,
        *,
        is_last: Callable[[Message], bool],
        header: bytes = NO_HEADER,
        timeout_s: float | None = 5.0,
    ) -> list[Message]:
        """Send a request and wait for all messages of the answer. Repeat the request after a reconnect.

        Raises:
            NobodyAnswers: no service answers this kind of request.
            Refused: the broker's permissions forbid the request, or the answer is too large.
            Unreachable: no answer in `timeout_s` seconds (None: wait for ever).
        """
        # Subjects of the broker's own API say nothing to people.
        is_api = subject.startswith("$")
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    await self._up.wait()
                    if not self._wire.is_connected:
                        # nats-py knows of the loss but has not called back yet, or it was closed.
                        self.went_down()
                        continue
                    messages = await self._ask(subject, payload, header, is_last)
                    if messages:
                        break
        except TimeoutError:
            asked = "a request to the broker" if is_api else subject
            raise Unreachable(f"{self.address}: no answer to {asked} within {timeout_s:g} s") from None
        if status(messages[0].header) == _NO_RESPONDERS and not messages[0].payload:
            why = _NO_JETSTREAM if is_api else f"no service answers to {subject}"
            raise NobodyAnswers(f"{self.address}: {why}")
        return messages

    def keep(self, task: Coroutine[Any, Any, None], name: str) -> None:
        """Run a task until it ends or this connection is closed."""
        running = asyncio.create_task(task, name=name)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Send what is unsent, then close the connection for good."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._fail_answers(Unreachable(f"{self.address}: the connection was closed"))
        await self._wire.close()

    def denied(self, action: str, subject: str) -> None:
        """Called when the broker's permissions forbid `action` on `subject`."""
        for question in self._questions.values():
            if question.subject == subject and not question.answered.done():
                question.answered.set_exception(Refused(f"{self.address}: you may not use {subject}"))
        for hook in list(self._denial_hooks):
            hook(action, subject)

    def came_up(self) -> None:
        """Called when the broker is back."""
        self._loss = asyncio.get_running_loop().create_future()
        self._up.set()
        self.inflow.begin_anew()
        for hook in list(self._return_hooks):
            hook()

    def went_down(self) -> None:
        """Called when the connection is lost. A second call for the same loss changes nothing."""
        if not self._up.is_set():
            return
        self._up.clear()
        self._loss.set_result(None)
        self._wire.drop_unsent()
        self._fail_answers(_Lost())
        for hook in list(self._loss_hooks):
            hook()

    async def _ask(
        self, subject: str, payload: bytes, header: bytes, is_last: Callable[[Message], bool]
    ) -> list[Message]:
        """Try once. Returns an empty list if the connection was lost before the answer was complete."""
        number = str(next(self._numbers))
        question = _Question(subject, is_last, [], asyncio.get_running_loop().create_future())
        self._questions[number.encode()] = question
        try:
            reply = f"{self._inbox}.{number}"
            if self.send(subject or reply, payload, reply=reply, header=header):
                await question.answered
                return question.messages
        except _Lost:
            pass
        finally:
            del self._questions[number.encode()]
        return []

    def _answered(self, subject: bytes, reply: bytes, header: bytes, payload: bytes) -> None:
        question = self._questions.get(subject.rpartition(b".")[2])
        if question is None or question.answered.done():
            return
        message = Message(header, payload)
        question.messages.append(message)
        question.size_bytes += len(payload)
        if question.size_bytes > MAX_ANSWER_BYTES:
            why = f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB"
            question.answered.set_exception(Refused(f"{self.address}: {question.subject}: {why}"))
            return
        if status(header) == _NO_RESPONDERS or question.is_last(message):
            question.answered.set_result(None)

    def _fail_answers(self, error: Exception) -> None:
        for question in self._questions.values():
            if not question.answered.done():
                question.answered.set_exception(error)


@dataclass(slots=True)
class _Question:
    subject: str
    is_last: Callable[[Message], bool]
    messages: list[Message]
    answered: asyncio.Future[None]
    size_bytes: int = 0


class _Lost(Exception):
    """The connection was lost while a request was under way."""
