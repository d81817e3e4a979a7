"""What is still to be told, on each channel and to whom, without I/O.

The log says what was told (`notified`). The notifier's note says how far each channel has come and which
messages it is sending, so that a message cut short by a crash goes out again as the same message.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from distribute.core.folding.live_fold import LiveFold
from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.core.projections.notices import (
    LASTING,
    ONCE,
    Notice,
    key_of,
    notices_of,
    standing,
    still_shown,
)
from distribute.core.slices import at_once
from distribute.core.state.batch_record import loading
from distribute.core.state.packed import PackedBatch
from distribute.core.state.state import BatchState, State

Json = dict[str, Any]

RECALLED = LASTING | {"notified"}
"""The types of events that a notifier reads again which has been away."""

MATRIX = "matrix"
"""The channel that reaches the Matrix user of a batch. All others reach the person who submitted it."""

MOST_SINGLE = 5
"""If more than so many things wait for one person, one message tells them all."""


class Sending(NamedTuple):
    """A message that is being sent. `tells` are the keys of the notices in it.

    Not their sequences: after a restart, nobody knows when something happened that is told once, and a log
    that has lost its end gives a sequence a second time.
    """

    to: str
    key: str
    tells: frozenset[str]


class Letter(NamedTuple):
    """What one person is told next: one notice, or a summary of several.

    `is_sent`: only `notified` lacks, of some of them. `refused` is then why the person could not be reached.
    """

    to: str
    key: str
    notices: tuple[Notice, ...]
    is_sent: bool = False
    refused: str | None = None

    @property
    def is_summary(self) -> bool:
        return self.key != self.notices[0].key


class Queue:
    """What one channel still has to tell.

    `since`: the channel was configured then, and tells nothing from before. Up to `done_until`, all is told.
    Both are sequences. `sending` are the messages that are being sent, at most one to each person. If more
    than `most_single` things wait for one person, one message tells them.
    """

    def __init__(
        self, name: str, since: int, done_until: int, sending: Iterable[Sending], most_single: int
    ) -> None:
        self.name = name
        self.most_single = most_single
        self.since = since
        self.began_at = self.done_until = done_until
        self._sending = {one.to: one for one in sending}
        self._sent: dict[str, str | None] = {}
        """The messages among these of which the log has a `notified`, by key, and why they were refused."""
        self._waiting: dict[str, dict[str, Notice]] = {}
        """By person, then by key; the oldest first."""
        self._told_once: dict[str, set[str]] = {}
        """By submission: the keys of what is told once, and was."""

    def add(self, notice: Notice) -> None:
        """Take up something to tell, unless it is told once and was."""
        to = notice.matrix_user if self.name == MATRIX else notice.user
        if to is not None and notice.key not in self._told_once.get(notice.submission, ()):
            self._waiting.setdefault(to, {}).setdefault(notice.key, notice)

    def told(self, event: ev.Notified) -> None:
        """Take in what the log says was told."""
        if event.news in ONCE and event.submission is not None:
            self._told_once.setdefault(event.submission, set()).add(event.key)
        sending = self._sending.get(event.to)
        if sending is not None and sending.key in {event.key, event.summary}:
            self._sent[sending.key] = event.refused
        self._drop(event.to, event.key)

    def waits(self, to: str, notice: Notice) -> bool:
        """Does the log lack that this was told?"""
        return notice.key in self._waiting.get(to, ())

    def forget(self, submission: str) -> None:
        """The batch of this submission is deleted, or replaced."""
        self._told_once.pop(submission, None)

    @property
    def sending(self) -> list[Sending]:
        """The messages that are being sent."""
        return list(self._sending.values())

    def next(
        self, is_current: Callable[[Notice], bool], postponed: Container[str] = frozenset()
    ) -> Letter | None:
        """The next message, to nobody who is `postponed`. It stays that person's next until `sent`.

        None: there is nothing to tell.
        """
        for to in self._sending.keys() - self._waiting.keys():
            self._end_sending(to)
        for to in list(self._waiting):
            if to not in postponed and (letter := self._next_to(to, is_current)) is not None:
                return letter
        return None

    def _next_to(self, to: str, is_current: Callable[[Notice], bool]) -> Letter | None:
        notices = self._current(to, is_current)
        if (sending := self._sending.get(to)) is not None:
            if covered := tuple(notice for notice in notices if notice.key in sending.tells):
                is_sent, refused = sending.key in self._sent, self._sent.get(sending.key)
                return Letter(to, sending.key, covered, is_sent, refused)
            self._end_sending(to)
        if not notices:
            return None
        told = notices if len(notices) > self.most_single else notices[:1]
        keys = [notice.key for notice in told]
        key = keys[0] if len(told) == 1 else key_of("summary", self.name, to, *keys)
        self._sending[to] = Sending(to, key, frozenset(keys))
        return Letter(to, key, told)

    def sent(self, letter: Letter) -> None:
        """The message is sent, and the log says so."""
        self.drop(letter.to, letter.notices)
        self._end_sending(letter.to)

    def _end_sending(self, to: str) -> None:
        if (sending := self._sending.pop(to, None)) is not None:
            self._sent.pop(sending.key, None)

    def drop(self, to: str, told: Iterable[Notice]) -> None:
        """These were told."""
        for notice in told:
            if notice.news in ONCE:
                self._told_once.setdefault(notice.submission, set()).add(notice.key)
            self._drop(to, notice.key)

    def settle(self, folded_seq: int) -> None:
        """Note how far the channel has come, if all events up to a sequence are folded."""
        seqs = [notice.seq for waiting in self._waiting.values() for notice in waiting.values()]
        self.done_until = min(seqs, default=folded_seq + 1) - 1

    def _current(self, to: str, is_current: Callable[[Notice], bool]) -> tuple[Notice, ...]:
        """What waits for a person; what is about a batch that is deleted by now is dropped."""
        waiting = self._waiting.get(to, {})
        for notice in [notice for notice in waiting.values() if not is_current(notice)]:
            self._drop(to, notice.key)
        return tuple(waiting.values())

    def _drop(self, to: str, key: str) -> None:
        waiting = self._waiting.get(to)
        if waiting is not None and waiting.pop(key, None) is not None and not waiting:
            del self._waiting[to]


class Outbox:
    """The state, and what every channel still has to tell."""

    def __init__(self, state: State, queues: Iterable[Queue], *, catch_up_to: int = 0) -> None:
        self.state = state
        self._fold = LiveFold(state, catch_up_to)
        self.queues = {queue.name: queue for queue in queues}

    # --- input ---------------------------------------------------------------------------------------

    def recall(self, recorded: Recorded) -> None:
        """Take up an event of the types `RECALLED` from before the snapshot."""
        event = recorded.event
        if isinstance(event, ev.Notified):
            self._told(event)
            return
        assert isinstance(event, ev.BatchEvent), "only such events are recalled"
        batch = self.state.find(event.batch_id)
        if isinstance(batch, PackedBatch):
            batch = at_once(loading(batch.fixed, batch.changing))
        if not isinstance(batch, BatchState):
            return  # it was deleted, or closed so long ago that an admin compacted it
        for notice in still_shown(self.state, batch, recorded):
            self._add(notice, recorded.seq)

    def begin(self) -> None:
        """Take up what is told once of batches, as they stand in the snapshot.

        A batch that was submitted before the channel was configured may have started before, too.
        """
        for batch in self.state.batches.values():
            for notice in standing(self.state, batch):
                self._add(notice, batch.seq)

    def deliver(self, recorded: Recorded) -> None:
        """Fold an event of the log, and take up what it gives to tell. Raises `LogReplaced` as `LiveFold`."""
        if recorded.seq <= self.state.seq:
            return
        if self._fold(recorded) is not None:
            return
        event = recorded.event
        if isinstance(event, ev.Notified):
            self._told(event)
        gone = event.submission if isinstance(event, ev.Deleted) else None
        gone = event.replaces if isinstance(event, ev.Submitted) else gone
        if gone is not None:
            for queue in self.queues.values():
                queue.forget(gone)
        for notice in notices_of(self.state, recorded):
            self._add(notice, recorded.seq)

    def _add(self, notice: Notice, happened_seq: int) -> None:
        for queue in self.queues.values():
            if happened_seq > queue.since:
                queue.add(notice)

    def _told(self, event: ev.Notified) -> None:
        if (queue := self.queues.get(event.channel)) is not None:
            queue.told(event)

    # --- output --------------------------------------------------------------------------------------

    def next(self, channel: str, postponed: Container[str] = frozenset()) -> Letter | None:
        """The next message of a channel, to nobody who is `postponed`."""
        return self.queues[channel].next(self.is_current, postponed)

    def is_current(self, notice: Notice) -> bool:
        """Is the batch of a notice still there?"""
        batch = self.state.find(notice.batch)
        return batch is not None and batch.submission == notice.submission

    def may_have_been_told(self, channel: str, notice: Notice) -> bool:
        """Does only the log know whether this was told, from before what we have read of it?"""
        return notice.news in ONCE and notice.submitted_seq <= self.queues[channel].began_at


# --- the note --------------------------------------------------------------------------------------


def note_of(outbox: Outbox) -> Json:
    """The note to restart from."""
    for queue in outbox.queues.values():
        queue.settle(outbox.state.seq)
    return {
        "folded": [outbox.state.seq, outbox.state.time],
        "channels": {
            queue.name: {
                "since": queue.since,
                "done_until": queue.done_until,
                "sending": [[to, key, sorted(tells)] for to, key, tells in queue.sending],
            }
            for queue in outbox.queues.values()
        },
    }


def queues_of(
    note: Json,
    channels: Iterable[str],
    end: int,
    *,
    is_of_this_log: bool = True,
    most_single: int = MOST_SINGLE,
) -> list[Queue]:
    """The channels' queues, as a note has them. A channel that it does not know begins at the log's `end`.

    `is_of_this_log` False: the log lost its end since, or was restored from an older copy. Then how far a
    channel came means nothing any more, and only the log knows what was told.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: this is no such note.
    """
    known = note.get("channels", {})
    queues = []
    for name in channels:
        found = known.get(name, {"since": end, "done_until": end, "sending": []})
        since = min(int(found["since"]), end)
        done_until = min(int(found["done_until"]), end) if is_of_this_log else since
        queues.append(Queue(name, since, done_until, _sending_of(found["sending"]), most_single))
    return queues


def _sending_of(noted: Iterable[Sequence[Any]]) -> Iterator[Sending]:
    """The messages that were being sent, but for those of an older version, which name no notices."""
    for to, key, tells, *_ in noted:
        if isinstance(tells, list):
            yield Sending(to, key, frozenset(tells))
