"""A connection of the runner to a keeper."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from distribute.core.errors import DistributeError
from distribute_services.node_runner.keeper.view import Looks

log = logging.getLogger(__name__)

ANSWER_S = 10.0
"""Max. seconds to wait for an answer of the keeper."""

Message = dict[str, Any]

_encode = json.JSONEncoder(check_circular=False).encode
"""As `json.dumps`, but it takes less time: no message of ours contains itself."""


class KeeperFailed(DistributeError):
    """The keeper of a working folder does not start or does not answer."""


class Refusal(NamedTuple):
    """The keeper can't start a unit.

    `step`: what failed, `program`, `output`, `view` or `start`. `code`: its errno. `looks`: what was there.
    """

    step: str
    code: int | None
    text: str
    looks: Looks


class _Question(NamedTuple):
    """What a keeper was asked, and its answer to come."""

    verb: str
    answer: asyncio.Future[Message]


class Link(asyncio.Protocol):
    """A connection to a keeper. Messages are collected, and sent together at the end of the loop's turn."""

    def __init__(self, pid: int = 0) -> None:
        self.pid = pid
        self.paused: Message | None = None
        self.freezes_by = ""
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.units: dict[str, Message] = {}
        """The units that it held when we connected."""
        self.notes: dict[str, Message] = {}
        """What was noted beside them."""
        self.on_pause: Callable[[Message | None], None] = lambda pause: None
        self.pause_changed = asyncio.Event()
        """Set when `paused` changes; then another one takes its place."""
        self._commands: dict[str, asyncio.Future[Message]] = {}
        self._ends: dict[str, asyncio.Future[Message | Refusal]] = {}
        self._numbers = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        """Those that wait for an answer, by number."""
        self._inbox = bytearray()
        self._outbox: list[str] = []
        self._transport: asyncio.Transport | None = None

    # --- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._inbox += data
        *lines, self._inbox = self._inbox.split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(None)
        for _, answer in self._questions.values():
            if not answer.done():
                answer.set_exception(KeeperFailed("the keeper ended before it answered"))
        for ended in self._commands.values():
            if not ended.done():
                ended.set_exception(KeeperFailed("the keeper ended, and all that it held"))

    # --- what is asked -----------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        """Send a message, unless the keeper is gone."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outbox.append(_encode(message))

    async def ask(self, question: Message) -> Message:
        """Send a question, and wait for its answer.

        Raises:
            KeeperFailed: it does not come, or the keeper refuses.
        """
        if self.lost.done():
            raise KeeperFailed("the keeper has ended")
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._questions[number] = _Question(question["do"], answer)
        self.send({**question, "number": number})
        try:
            return await asyncio.wait_for(answer, ANSWER_S)
        except TimeoutError:
            raise KeeperFailed(f"the keeper did not answer within {ANSWER_S:g} s") from None
        finally:
            del self._questions[number]

    async def hello(self, settings: Mapping[str, Any]) -> None:
        """Become the keeper's runner, and read what it holds."""
        answer = await self.ask({"do": "hello", **settings})
        self.pid, self.freezes_by, self.paused = answer["pid"], answer["freezes_by"], answer["paused"]
        self.notes = answer.get("notes", {})
        for view in answer["units"]:
            self.units[view["unit"]] = view
            self.expect(view["unit"])
        for name, ended in answer["exits"].items():
            self.units[name] = {"unit": name, "exit": ended}
            self.expect(name).set_result(ended)

    def expect(self, name: str) -> asyncio.Future[Message | Refusal]:
        """The end of a unit, or why it was not started."""
        if name not in self._ends:
            self._ends[name] = asyncio.get_running_loop().create_future()
        return self._ends[name]

    def forget(self, name: str) -> None:
        """Have the keeper forget a unit."""
        self.units.pop(name, None)
        if (end := self._ends.pop(name, None)) is not None:
            end.cancel()
            self.send({"do": "forget", "unit": name})

    def expect_command(self, number: str) -> asyncio.Future[Message]:
        """The end of a command."""
        if number not in self._commands:
            self._commands[number] = asyncio.get_running_loop().create_future()
        return self._commands[number]

    def forget_command(self, number: str) -> None:
        """The end of a command is not needed any more."""
        if (ended := self._commands.pop(number, None)) is not None:
            ended.cancel()

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        messages, self._outbox = self._outbox, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write("\n".join([*messages, ""]).encode())

    def _take(self, message: Message) -> None:
        match message["type"]:
            case "ended":
                self._end(message["unit"], message["exit"])
                if left := message["exit"].get("left"):
                    log.error("%s: processes %s could not be killed", message["unit"], left)
            case "refused":
                looks = Looks(*(message["looks"] or (True, True, False)))
                refusal = Refusal(message["step"], message["code"], message["text"], looks)
                self._end(message["unit"], refusal)
            case "command_ended":
                ended = self._commands.get(message["command"])
                if ended is not None and not ended.done():
                    ended.set_result(message)
            case "paused":
                self._pause(message)
            case "resumed":
                self._pause(None)
            case "note":
                log.warning("the keeper: %s", message["text"])
            case "error":
                self._fail(message)
            case _:
                answer = self._answer(message)
                if answer is not None and not answer.done():
                    answer.set_result(message)

    def _answer(self, message: Message) -> asyncio.Future[Message] | None:
        """Who waits for this answer. A keeper of an early version numbers none, but answers in order."""
        if "number" in message:
            question = self._questions.get(message["number"])
            return question.answer if question is not None else None
        verb = message.get("verb")  # of what failed, which may be no question
        waiting = (one.answer for one in self._questions.values() if verb in {None, one.verb})
        return next((answer for answer in waiting if not answer.done()), None)

    def _pause(self, pause: Message | None) -> None:
        self.paused = pause
        self.on_pause(pause)
        changed, self.pause_changed = self.pause_changed, asyncio.Event()
        changed.set()

    def _fail(self, message: Message) -> None:
        """The keeper can't do what was asked."""
        answer = self._answer(message)
        if answer is None:
            log.error("the keeper: %s: %s", message["verb"], message["text"])
        elif not answer.done():
            answer.set_exception(KeeperFailed(message["text"]))

    def _end(self, name: str, ended: Message | Refusal) -> None:
        end = self.expect(name)
        if not end.done():
            end.set_result(ended)
