"""The notifier's process: `logic` between the event log and the channels.

What was told is in the log (`notified`). Before a message goes out, the notifier's note says so; so a crash
between sending and noting sends the same message again, with the same key, and never another one.

Of several notifiers of a cluster, one tells people. The others wait until it no longer answers. The note says
whose it is, so that two that do not see each other find out before they send.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from distribute.client.about import serving_about
from distribute.client.channels import CHANNELS, ask_channels
from distribute.core.errors import Conflict, DistributeError, IntegrityError
from distribute.core.log import events as ev
from distribute.core.log.event_base import MAX_TEXT
from distribute.core.log.recorded import Guard, time_of
from distribute.core.projections.notices import Notice
from distribute.limited_log import Trouble
from distribute.ports import Cluster, Only
from distribute.restoring import restore
from distribute.runtime import new_id, supervise, unless_stopped
from distribute_services.notifier.channel import Channel, Message, Unavailable
from distribute_services.notifier.checking import about_channels
from distribute_services.notifier.logic import (
    MOST_SINGLE,
    RECALLED,
    Letter,
    Outbox,
    Queue,
    note_of,
    queues_of,
)
from distribute_services.notifier.sending import Sender, composed

log = logging.getLogger(__name__)

NOTE = "notifier"
"""The name of the snapshot that holds the note."""
NOTE_EVERY_S = 5.0
PATIENCE_S = 5.0
NOTED_AT_ONCE = 64
RETRY_S = 1.0
"""Seconds between tries to write the note, without which no message goes out."""
LOOK_AGAIN_S = 5.0
"""Seconds between looks if another notifier still tells people."""

_NOT_USED = "the note of what was told can't be used; telling only what comes: %s"


class _Replaced(Exception):
    """Another notifier has written the note, so it tells people now."""


class NotifierService:
    """Tells people what became of their batches, on each of the channels.

    `clock` gives seconds since 1970. If more than `most_single` things wait for one person, one message tells
    them. The simulator passes its own clock and ids.
    """

    def __init__(
        self,
        cluster: Cluster,
        channels: Sequence[Channel],
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_id,
        most_single: int = MOST_SINGLE,
    ) -> None:
        self._cluster = cluster
        self._channels = channels
        self._most_single = most_single
        self._clock = clock
        self._new_id = new_id
        self._id = new_id()
        """By which it knows its own notes."""
        self._before: bytes | None = None
        """The note that it goes on from. None: there was none, or it has written its own since."""
        self._is_noted = asyncio.Event()
        """Set once the note says since when each channel is there."""
        self._noted: dict[str, Any] = {}
        self._no_note = Trouble(log)
        self._one_note_at_a_time = asyncio.Lock()
        self._news = asyncio.Condition()
        """Notified when events were folded."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. What is not told by then is told after the next start."""
        try:
            while await unless_stopped(stop, self._alone()):
                try:
                    await self._tell(stop)
                except _Replaced:
                    log.warning("another notifier has begun to tell people")
                else:
                    return
        finally:
            for channel in self._channels:
                await channel.close()

    async def _alone(self) -> bool:
        """Wait until no other notifier tells people. Returns True."""
        if await ask_channels(self._cluster):
            log.warning("another notifier tells people: this one waits until that has ended")
            while await ask_channels(self._cluster):  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(LOOK_AGAIN_S)
            log.info("no other notifier answers: this one goes on")
        return True

    async def _tell(self, stop: asyncio.Event) -> None:
        """Tell people until `stop` is set. Raises `_Replaced`."""
        outbox = await unless_stopped(stop, self._begin())
        if outbox is None:
            return
        self._outbox = outbox
        self._is_noted.clear()
        log.info("telling people from event %d on, by %s", outbox.state.seq, ", ".join(outbox.queues))
        senders = {f"channel {channel.name}": self._serve(channel) for channel in self._channels}
        tasks = {"events": self._follow(), "notes": self._keep_note(), "queries": self._answer()}
        await supervise(stop, tasks | senders)
        await self._try_to_note()

    # --- the state -----------------------------------------------------------------------------------

    async def _begin(self) -> Outbox:
        """The state as of now, and what is to be told."""
        cluster = self._cluster
        note = await self._read_note()  # first: what it says is being sent is then in the log, up to `end`
        state, end = await restore(cluster), await cluster.log.last_seq()
        queues = await self._queues(note, end)
        outbox = Outbox(state, queues, catch_up_to=end)
        restored_seq = state.seq
        done_until = min(queue.done_until for queue in queues)
        if done_until < restored_seq:
            only = Only(types=RECALLED)
            recalling = cluster.log.follow(after=done_until, only=only, until=restored_seq)
            async with contextlib.aclosing(recalling) as recalled:
                async for records in recalled:
                    for recorded in records:
                        outbox.recall(recorded)
        outbox.begin()
        if restored_seq < end:
            async with contextlib.aclosing(
                cluster.log.follow(after=restored_seq, at=state.time, until=end)
            ) as tail:
                async for records in tail:
                    for recorded in records:
                        outbox.deliver(recorded)
        return outbox

    async def _read_note(self) -> bytes | None:
        """The note of what was told. None: there is none."""
        try:
            return await self._cluster.store.get_snapshot(NOTE)
        except IntegrityError as error:
            log.warning(_NOT_USED, error)
            return None

    async def _queues(self, data: bytes | None, end: int) -> list[Queue]:
        """The queues as the note has them. Without one, nothing from before now is told."""
        names = [channel.name for channel in self._channels]
        new = partial(queues_of, channels=names, end=end, most_single=self._most_single)
        self._before = data
        if data is None:
            return new({})
        try:
            note = orjson.loads(data)
            return new(note, is_of_this_log=await self._has_event(*note["folded"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning(_NOT_USED, error)
            return new({})

    async def _has_event(self, seq: int, time: float) -> bool:
        """Does the log have an event at this sequence that it got at this time? So it has those before."""
        try:
            return seq == 0 or (await self._cluster.log.get(seq)).time == time
        except KeyError:
            return False

    async def _follow(self) -> None:
        state = self._outbox.state
        async for records in self._cluster.log.follow(after=state.seq, at=state.time):
            for recorded in records:
                self._outbox.deliver(recorded)
            del recorded, records  # a submission may take 140 MB: free it before we wait
            async with self._news:
                self._news.notify_all()

    async def _folded(self, seq: int) -> None:
        """Wait until the state has this sequence in it."""
        async with self._news:
            await self._news.wait_for(lambda: self._outbox.state.seq >= seq)

    async def _answer(self) -> None:
        """Answer which channels there are. So who asks knows that what happens from now on is told.

        Who checks the cluster is told what of them does not work.
        """
        await self._is_noted.wait()
        names = orjson.dumps({"channels": [channel.name for channel in self._channels]})

        async def channels(_: bytes) -> bytes:
            return names

        queries = self._cluster.queries
        about = serving_about(queries, "notifier", partial(about_channels, self._channels))
        async with queries.serving(CHANNELS, channels), about:
            await asyncio.Event().wait()

    # --- the note ------------------------------------------------------------------------------------

    async def _keep_note(self) -> None:
        await self._note()
        self._is_noted.set()
        while True:
            await asyncio.sleep(NOTE_EVERY_S)
            if note_of(self._outbox) != self._noted:
                await self._try_to_note()

    async def _note(self) -> None:
        """Write the note, however long that takes."""
        while True:
            if await self._try_to_note():
                return
            await asyncio.sleep(RETRY_S)

    async def _try_to_note(self) -> bool:
        """Write the note. Returns whether it is written. Raises `_Replaced`."""
        async with self._one_note_at_a_time:
            note = note_of(self._outbox)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._put_note(orjson.dumps({**note, "by": self._id}))
            except (DistributeError, TimeoutError) as error:
                self._no_note.occurs("can't note what is being sent: %s", str(error) or "no answer")
                return False
            self._no_note.is_over("the note of what is being sent is written again")
            self._noted, self._before = note, None
            return True

    async def _put_note(self, note: bytes) -> None:
        """Write the note in place of this notifier's own one, or of the one that it goes on from.

        If that one has changed, its notifier lives, and sends what this one does not know.

        Raises:
            _Replaced: another notifier's note is there.
            Refused: another notifier has written one just now.
        """
        store = self._cluster.store
        try:
            found = await store.get_snapshot(NOTE)
        except IntegrityError:
            await store.put_snapshot(NOTE, note)  # a damaged note is nobody's
            return
        if found not in {None, self._before} and _whose(found) not in {None, self._id}:
            raise _Replaced
        await store.replace_snapshot(NOTE, found, note)

    # --- sending -------------------------------------------------------------------------------------

    async def _serve(self, channel: Channel) -> None:
        """Send what there is to tell on a channel, one message after another."""
        sender = Sender(channel)
        while True:
            letter = await self._next(channel.name, sender)
            refused = letter.refused
            if not letter.is_sent:
                await self._note()
                try:
                    refused = await sender.send(await self._message(letter))
                except Unavailable:
                    continue
            await self._note_all_told(channel.name, letter, refused)
            self._outbox.queues[channel.name].sent(letter)

    async def _next(self, channel: str, sender: Sender) -> Letter:
        """Wait for the next message of a channel."""
        while True:
            # No longer than until somebody who was postponed is to be tried again.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sender.due_in_s()), self._news:
                    await self._news.wait_for(
                        lambda: self._outbox.next(channel, sender.postponed()) is not None
                    )
            letter = self._outbox.next(channel, sender.postponed())
            if letter is None:
                continue  # the batch was deleted in the meantime, or nothing happened
            told = [notice for notice in letter.notices if await self._was_told(channel, notice)]
            if not told:
                return letter
            self._outbox.queues[channel].drop(letter.to, told)

    async def _was_told(self, channel: str, notice: Notice) -> bool:
        """Does the log say that this was told long ago?"""
        if not self._outbox.may_have_been_told(channel, notice):
            return False
        only = Only(types=frozenset({"notified"}), batch=notice.batch)
        now = await self._cluster.log.last_seq()
        told = self._cluster.log.follow(after=notice.submitted_seq, only=only, until=now)
        async with contextlib.aclosing(told):
            async for records in told:
                for recorded in records:
                    event = recorded.event
                    if isinstance(event, ev.Notified) and (event.channel, event.key) == (channel, notice.key):
                        return True
        return False

    async def _message(self, letter: Letter) -> Message:
        return await composed(self._cluster.log, letter)

    async def _note_all_told(self, channel: str, letter: Letter, refused: str | None) -> None:
        """Append a `notified` for each thing that a message told, some at a time."""
        for first in range(0, len(letter.notices), NOTED_AT_ONCE):
            some = letter.notices[first : first + NOTED_AT_ONCE]
            noting = (self._note_told(channel, letter, notice, refused) for notice in some)
            for failed in await asyncio.gather(*noting, return_exceptions=True):
                if failed is not None:
                    raise failed

    async def _note_told(self, channel: str, letter: Letter, notice: Notice, refused: str | None) -> None:
        """Append `notified`, unless the batch is deleted by now, or the log has one.

        What this notifier appended before it was killed may reach the log late. The guard may be refused
        because of events that change nothing for us.
        """
        event = self._notified(channel, letter, notice, refused)
        queue = self._outbox.queues[channel]
        while True:
            last = await self._cluster.log.last(notice.batch)
            last_seq = last.seq if last is not None else 0
            await self._folded(last_seq)
            if not (self._outbox.is_current(notice) and queue.waits(letter.to, notice)):
                return  # asked only now: while we waited, the log may have got either
            try:
                await self._cluster.log.append(event, Guard(last_seq))
            except Conflict as conflict:
                await self._folded(conflict.beaten_by_seq)
            else:
                return

    def _notified(self, channel: str, letter: Letter, notice: Notice, refused: str | None) -> ev.Notified:
        return ev.Notified(
            id=self._new_id(),
            time=time_of(self._clock()),
            author=ev.NOTIFIER,
            causation=notice.cause,
            namespace=notice.batch.namespace,
            batch=notice.batch.batch,
            submission=notice.submission,
            news=notice.news,
            channel=channel,
            to=letter.to,
            key=notice.key,
            summary=letter.key if letter.is_summary else None,
            refused=None if refused is None else refused[:MAX_TEXT],
        )


def _whose(data: bytes) -> str | None:
    """The notifier that wrote a note. None: it does not say."""
    try:
        by = orjson.loads(data)["by"]
    except (ValueError, KeyError, TypeError):
        return None
    return by if isinstance(by, str) else None
