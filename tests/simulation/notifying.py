"""The notifier's process in the simulated world, who takes its messages, and what must hold of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from distribute.core.ids import BatchId
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.notices import key_of
from distribute.core.state.state import State
from distribute_services.notifier.channel import Message, Unavailable, Undeliverable
from distribute_services.notifier.logic import Letter, Outbox
from distribute_services.notifier.service import NOTE, NotifierService

from .process import ServiceProcess
from .stories import require

if TYPE_CHECKING:
    from .world import World

LONGEST_SEND_S = 2.0
MOST_SINGLE = 1
"""So few, because worlds have few batches."""


class Mailboxes:
    """Takes messages, and discards one that comes again: a channel that lives as long as the world."""

    name = "mail"
    limits = ()

    def __init__(self, world: World) -> None:
        self._world = world
        self.letters: dict[str, frozenset[str]] = {}
        """What each message tells, by its key: the keys of its notices."""
        self.taken: dict[str, frozenset[str]] = {}
        """The same of the messages that came."""
        self._noted: set[str] = set()
        self._ended: dict[BatchId, tuple[int, str]] = {}
        """Batches that are over: the sequence of `completed`, and the key of what is to be told."""
        self._is_torn = False

    # --- the channel ---------------------------------------------------------------------------------

    async def check(self) -> None:
        """Nobody asks: its notifier opens no channels."""

    async def send(self, message: Message) -> None:
        """Take a message. The sender may be killed before it comes, or before it has the answer."""
        loop, happened = self._world.loop, self._world.truth.happened
        await asyncio.sleep(self._world.uniform(LONGEST_SEND_S))
        if not self._world.calm and loop.chance(0.1):
            happened["a message has to wait"] += 1
            wait_s, others_wait = self._world.uniform(20.0), loop.chance(0.5)
            raise Unavailable("too many messages", wait_s, others_wait=others_wait)
        if message.key not in self.taken and loop.chance(0.1):
            happened["a person can't be reached"] += 1
            raise Undeliverable("there is no such mailbox")
        happened["a message comes again"] += message.key in self.taken
        self.taken.setdefault(message.key, self.letters[message.key])
        await asyncio.sleep(self._world.uniform(LONGEST_SEND_S))
        if not self._world.calm and loop.chance(0.1):
            raise Unavailable("no answer")

    async def close(self) -> None:
        """Nothing is kept."""

    # --- what must hold ------------------------------------------------------------------------------

    def appended(self, recorded: Recorded) -> None:
        """An event came into the log, and the truth has folded it."""
        event = recorded.event
        match event:
            case ev.Completed():
                batch = self._world.truth.state.batches.get(event.scope)
                accepted = batch is not None and batch.end is not None and batch.finished_at == recorded.time
                if batch is not None and accepted and batch.ran_at is None:
                    self._ended[event.scope] = recorded.seq, key_of("end", event.id)
            case ev.RetryRequested() | ev.Compacted() | ev.Deleted() | ev.Submitted():
                if event.scope not in self._world.truth.state.batches or self._goes_on(event.scope):
                    self._ended.pop(event.scope, None)
            case ev.Notified():
                self._world.truth.happened["many things in one message"] += event.summary is not None
                require(event.key not in self._noted, f"{event.news} of {event.scope} is noted twice")
                self._noted.add(event.key)
                came = event.key in self.taken.get(event.summary or event.key, ())
                require(came or event.refused is not None, f"{event.key} is noted, and never came")
            case _:
                pass

    def lost(self, events: list[Recorded]) -> None:
        """The log has lost its end: what that had may happen again, and be noted again."""
        self._is_torn = True
        seqs = {recorded.seq for recorded in events}
        self._ended = {of: end for of, end in self._ended.items() if end[0] not in seqs}
        self._noted -= {one.event.key for one in events if isinstance(one.event, ev.Notified)}

    def untold(self) -> list[str]:
        """The ends of batches that are still to be told: those since the notifier's first note."""
        since = self._since()
        if since is None:
            return []
        ended = sorted(self._ended.items())
        missing = (of for of, (seq, key) in ended if seq > since and key not in self._noted)
        return [f"nobody is told of {of}" for of in missing]

    def finish(self) -> None:
        """Nothing was told by two messages."""
        told: dict[str, str] = {}
        for message, keys in self.taken.items():
            for key in sorted(keys):
                self._require(key not in told, f"{key} is in the messages {told.get(key)} and {message}")
                told[key] = message

    def _goes_on(self, batch: BatchId) -> bool:
        return self._world.truth.state.batches[batch].end is None

    def _since(self) -> int | None:
        note = self._world.broker.files.snapshots.get(NOTE)
        return None if note is None else int(orjson.loads(note)["channels"][self.name]["since"])

    def _require(self, holds: bool, broken: str) -> None:
        require(holds or self._is_torn, broken)


class WatchedNotifier(NotifierService):
    """The notifier, which shows what it has folded, and what each of its messages tells."""

    mailboxes: Mailboxes
    state: State | None = None

    async def _begin(self) -> Outbox:
        outbox = await super()._begin()
        self.state = outbox.state
        return outbox

    async def _message(self, letter: Letter) -> Message:
        self.mailboxes.letters[letter.key] = frozenset(notice.key for notice in letter.notices)
        return await super()._message(letter)


class NotifierProcess(ServiceProcess):
    """A notifier, from its start to its end."""

    _notifier: WatchedNotifier | None = None

    @property
    def state(self) -> State | None:
        return self._notifier.state if self._notifier is not None and self.alive else None

    async def service(self) -> None:
        mailboxes = self.world.mailboxes
        self._notifier = notifier = WatchedNotifier(
            self.cluster, [mailboxes], clock=self.clock, new_id=self.new_id, most_single=MOST_SINGLE
        )
        notifier.mailboxes = mailboxes
        await notifier.run(self.stop)
