"""This node's pause: what people ask for, what the host does, and what the log says of it."""

from __future__ import annotations

from collections.abc import Iterable

from distribute.core.ids import AttemptId
from distribute.core.log import events as ev
from distribute.core.log.event_base import MAX_KEPT
from distribute.core.log.log_clock import LogClock
from distribute.core.log.recorded import Recorded, time_of
from distribute.host import Pause
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine.outbox import Author

WORDS = ("pause_requested", "resume_requested", "paused", "resumed")
"""The types of events that say how a node is paused."""

ENDS_SOON_S = 30.0
"""A job that comes so shortly before the end of a pause is not given back."""


def seq_to_read_from(found: Iterable[Recorded]) -> int | None:
    """Of the last event of each type: the sequence of a request whose answer may lie before what is found.

    None: they say all.
    """
    by_seq = sorted(found, key=lambda recorded: recorded.seq)
    asked = [one for one in by_seq if isinstance(one.event, ev.PauseRequested | ev.ResumeRequested)]
    if not asked or asked[-1] is by_seq[-1]:
        return None
    last = asked[-1]
    is_answered = any(one.event.causation == last.event.id for one in by_seq if one.seq > last.seq)
    return None if is_answered else last.seq


class Pausing:
    """Carries out what people ask for, and announces each change once.

    The host has the pause: somebody at the computer may begin or end one, and each ends by itself.
    """

    def __init__(self, author: Author, incarnation: str) -> None:
        self.pause: Pause | None = None
        self.said_seq: int | None = None
        """The sequence of the `paused` for this pause; None: it is not in the log yet."""
        self.paused_seq = 0
        """The sequence of the last `paused`. What was assigned before, and not kept, is lost to this node."""
        self._author = author
        self._incarnation = incarnation
        self._log_clock = LogClock()
        self._log_time = 0.0
        self._heard_seq = 0
        self._unanswered: Recorded | None = None
        """What a person asked for while no runner heard it."""
        self._asked: str | None = None
        """The id of the request that the host carries out."""
        self._cause: str | None = None
        """The request that led to this pause, or ended the last one; None: nobody's, of those we heard."""
        self._said: ev.Paused | ev.Resumed | None = None
        self._is_paused_by_log = False
        self._was_paused_by_log = False
        """Has the log ever had a `paused` of this node, or of an earlier runner of it?"""
        self._is_host_known = False
        """Has the host told how it is paused?"""
        self._recalled_seq = 0

    def recall(self, found: Iterable[Recorded]) -> None:
        """Take the last event of each type of `WORDS`, before the node joins.

        If others lie behind the last request, and none of them answers it, take all behind it: an earlier one
        may be the answer.
        """
        for recorded in sorted(found, key=lambda recorded: recorded.seq):
            match recorded.event:
                case ev.Paused() | ev.Resumed():
                    self._recall_word(recorded)
                case ev.PauseRequested() | ev.ResumeRequested():
                    self._unanswered = recorded
                case _:
                    pass

    def _recall_word(self, recorded: Recorded) -> None:
        self._recalled_seq = recorded.seq
        self._is_paused_by_log = isinstance(recorded.event, ev.Paused)
        self._was_paused_by_log |= self._is_paused_by_log
        # A word may lie behind a request that its author never read, and tell of a pause before that.
        if self._unanswered is not None and recorded.event.causation == self._unanswered.event.id:
            self._unanswered = None

    def late_word(self, recorded: Recorded) -> list[do.Instruction]:
        """Take a `paused` or `resumed` of an earlier runner that lies before this one's `joined`.

        The log may have got it after `recall`, and after that runner's death. No runner is left that would
        say when such a pause ends, so this one says that it is over unless the host is paused.
        """
        if recorded.seq <= self._recalled_seq:
            return []
        self._recall_word(recorded)
        if self._said is not None:  # it comes behind our `joined`, so behind this word, too
            self._is_paused_by_log = self.pause is not None
            return []
        is_wrong = self._is_paused_by_log and self._is_host_known and self.pause is None
        return self.announce(()) if is_wrong else []

    def joined(self, recorded: Recorded) -> list[do.Instruction]:
        """Call this when the node reads its own `joined`: its time tells the log's clock."""
        self._arrived(recorded, written_at=recorded.event.time.timestamp())
        request, self._unanswered = self._unanswered, None
        return self.requested(request) if request is not None else []

    def requested(self, recorded: Recorded) -> list[do.Instruction]:
        """Do what a person asks for, unless that was heard before, or its time is over."""
        if recorded.seq <= self._heard_seq:
            return []
        self._heard_seq = recorded.seq
        self._arrived(recorded, written_at=None)
        event = recorded.event
        match event:
            case ev.PauseRequested():
                # By the clock of its author only the difference of its times counts: see docs/events.md.
                wanted_s = (event.until - event.time).total_seconds()
                age_s = self._log_clock.log_time(self._author.clock()) - recorded.time
                left_s = wanted_s - max(0.0, age_s)
                if left_s <= 0:
                    return [do.Note(f"{event.author} asked for a pause whose time is over: not paused")]
                self._asked = event.id
                return [do.Pause(left_s, event.author, event.reason or "", event.id)]
            case ev.ResumeRequested():
                self._asked = event.id
                return [do.Resume(event.id)]
            case _:
                return []

    def changed(self, pause: Pause | None, answers: str | None) -> bool:
        """Take the host's pause. `answers`: the request that it has carried out. False: that is no news.

        If it is news, it is announced.
        """
        cause = answers or self._asked
        is_news = (
            pause != self.pause
            or cause not in {None, self._cause}
            or (pause is None and self._is_paused_by_log)
        )
        self._cause, self._is_host_known = cause, True
        if answers is not None and answers == self._asked:
            self._asked = None
        if is_news:
            self.pause, self.said_seq = pause, None
        return is_news

    def announce(self, keeps: Iterable[AttemptId]) -> list[do.Instruction]:
        """Say in the log how this node is paused. It `keeps` these attempts."""
        stamp, node = self._author.stamp(self._cause), self._author.node
        if self.pause is None:
            self._said = ev.Resumed(**stamp, node=node, incarnation=self._incarnation)
        else:
            self._said = ev.Paused(
                **stamp,
                node=node,
                incarnation=self._incarnation,
                until=max(stamp["time"], time_of(self.pause.until)),
                reason=self.pause.reason,
                by=self.pause.by,
                keeps=tuple(sorted(keeps))[:MAX_KEPT],
            )
        self._is_paused_by_log = self.pause is not None
        return [do.Announce(self._said)]

    @property
    def is_unsaid(self) -> bool:
        """Is the last news of the pause not in the log yet?

        A `paused` that comes late, after the pause, would take from this node what it claimed meanwhile.
        """
        return self._said is not None and self.said_seq is None

    def stored(self, seq: int, event: ev.Event) -> None:
        """Call this when the broker has an event about this node, at sequence `seq`."""
        if self._said is not None and event.id == self._said.id:
            self.said_seq = seq
        if isinstance(event, ev.Paused):
            self.paused_seq = seq

    def log_replaced(self, last_seq: int, keeps: Iterable[AttemptId]) -> list[do.Instruction]:
        """Say again how this node is paused: the log lost what lies behind `last_seq`.

        It may have lost the word of an earlier runner that the pause was over.
        """
        self._heard_seq = min(self._heard_seq, last_seq)
        self._recalled_seq = min(self._recalled_seq, last_seq)
        self.said_seq, self.paused_seq = None, 0
        return self.announce(keeps) if self._said is not None or self._was_paused_by_log else []

    def takes_back(self, assigned_seq: int) -> bool:
        """Must a job that is assigned at this sequence be given back?

        The scheduler decided so before it read that this node is paused. It releases by itself what was
        assigned before that.
        """
        if self.pause is None or self.said_seq is None or assigned_seq < self.said_seq:
            return False
        return self.pause.until - self._author.clock() > ENDS_SOON_S

    def _arrived(self, recorded: Recorded, written_at: float | None) -> None:
        is_earlier = recorded.time < self._log_time
        self._log_time = recorded.time
        self._log_clock.arrived(
            recorded.time, self._author.clock(), is_earlier=is_earlier, written_at=written_at
        )
