"""The log's clock, as a listener with a clock of its own estimates it.

Ends of pauses, drains and quarantines are by the log's clock, which may be hours off the listener's.
"""

from __future__ import annotations

DEADBAND_S = 1.0
"""The estimate stays as it is unless it is wrong by more than this: each change costs a look at all nodes."""


class LogClock:
    """By how much the log's clock is ahead of the listener's. Until an event proves otherwise: by nothing.

    An event that arrives now was stored before now, so the log's clock now shows at least the event's time.
    And if the listener itself wrote the event, the log stored it later than that: a bound on the other side.
    Both hold however long an event was under way, and however old it is, until a clock is set.
    """

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def arrived(self, time: float, now: float, *, is_earlier: bool, written_at: float | None) -> bool:
        """Take an event's time by the log's clock. Returns True if the estimate has changed.

        Args:
            time: when the log stored the event, by the log's clock.
            now: when it arrived, by the listener's.
            is_earlier: the event before it has a later time, so the log's clock was set back.
            written_at: when the listener wrote it, by its own clock; None: it did not.
        """
        at_least = time - now
        ahead_s = self.ahead_s
        if is_earlier and ahead_s > at_least:
            ahead_s = min(ahead_s, max(0.0, at_least))
        if ahead_s < at_least - DEADBAND_S:
            ahead_s = at_least
        elif written_at is not None and ahead_s > time - written_at + DEADBAND_S:
            ahead_s = time - written_at
        has_changed = abs(ahead_s - self.ahead_s) > DEADBAND_S
        if has_changed:
            self.ahead_s = ahead_s
        return has_changed

    def log_time(self, own: float) -> float:
        """What the log's clock shows when the listener's own shows this."""
        return own + self.ahead_s

    def own_time(self, log: float) -> float:
        """What the listener's own clock shows when the log's shows this."""
        return log - self.ahead_s
