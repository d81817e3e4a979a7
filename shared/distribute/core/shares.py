"""What each person has of the lab, kept from one decision to the next.

To rank forty people anew was a third of the time of a decision. A share changes when the person's jobs take
or give back something, and with each second, since past use decays.
"""

from __future__ import annotations

from distribute.core.pending import Pending
from distribute.core.state import State
from distribute.core.usage import share


class Shares(dict[str, int]):
    """By person: `usage.share`. `shares[user]` computes what is not known.

    Whoever changes what a person holds, has used or is about to get says so by `changed`.
    """

    def __init__(self, state: State, pending: Pending) -> None:
        super().__init__()
        self._state = state
        self._usage = state.usage
        self._pending = pending
        self.second = 0
        """The moment that they are of, in whole seconds since 1970."""

    def __missing__(self, user: str) -> int:
        found = self[user] = self.computed(user)
        return found

    def computed(self, user: str) -> int:
        """The share of a person, whatever is known of it."""
        return share(self._state.usage.get(user), self._pending.cores.get(user, 0), self.second)

    def pass_time(self, now: float) -> None:
        """It is this moment, in seconds since 1970."""
        second, usage = int(now), self._state.usage
        if second != self.second or usage is not self._usage:
            self.second, self._usage = second, usage
            self.clear()

    def changed(self, user: str) -> None:
        """The person's share is another now."""
        self.pop(user, None)
