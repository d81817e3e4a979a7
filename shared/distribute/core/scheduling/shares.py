"""Each person's share of the lab, kept from one decision to the next.

Computing the shares of forty people took a third of a decision's time. A share changes when the person's jobs
take or free resources, and with each second, because past use decays.
"""

from __future__ import annotations

from distribute.core.scheduling.pending import Pending
from distribute.core.state.state import State
from distribute.core.state.usage import share


class Shares(dict[str, int]):
    """`usage.share` of each person. `shares[user]` computes it if it is not known.

    Call `changed` after a change of what a person holds, has used, or is about to get.
    """

    def __init__(self, state: State, pending: Pending) -> None:
        super().__init__()
        self._state = state
        self._usage = state.usage
        self._pending = pending
        self.second = 0
        """The time of the shares, in whole seconds since 1970."""

    def __missing__(self, user: str) -> int:
        found = self[user] = self.computed(user)
        return found

    def computed(self, user: str) -> int:
        """Compute the share of a person, even if it is known."""
        return share(self._state.usage.get(user), self._pending.cores.get(user, 0), self.second)

    def pass_time(self, now: float) -> None:
        """Set the time to `now`, in seconds since 1970."""
        second, usage = int(now), self._state.usage
        if second != self.second or usage is not self._usage:
            self.second, self._usage = second, usage
            self.clear()

    def changed(self, user: str) -> None:
        """Note that the person's share has changed."""
        self.pop(user, None)
