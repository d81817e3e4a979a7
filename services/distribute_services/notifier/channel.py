"""What the notifier needs of a channel, and what it gives to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from distribute.core.errors import DistributeError


@dataclass(frozen=True, slots=True)
class Message:
    """A message to one person, the same for every channel except for `to`.

    `key` is the same whenever this message is sent again, after a crash or an outage, and is no other
    message's: letters, digits, `_` and `-`, at most 64. A channel that can discard what it has had uses it.
    `to` is the person's name; for the channel `matrix`, the batch's Matrix user. `html` has simple elements
    only: `p`, `strong`, `code`, `pre`, `ul`, `li`, `br`. `facts` is the same as JSON, for programs.
    """

    key: str
    to: str
    subject: str
    plain: str
    html: str
    facts: Mapping[str, Any]


class Unavailable(DistributeError):
    """The channel can't send now: an outage, or a rate limit. The notifier tries again, for ever.

    `retry_after_s`: how long the other side asks us to wait, in seconds; None: it does not say.
    `others_wait` False: this concerns the one person, such as a full mailbox; others are told meanwhile.
    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, others_wait: bool = True) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.others_wait = others_wait


class Undeliverable(DistributeError):
    """This person can't be reached, or refuses. The notifier notes that, and goes on with others."""


class Channel(Protocol):
    """One way to reach people."""

    @property
    def name(self) -> str:
        """Its name in the configuration and in `notified`: `matrix`, `mail`, ..."""

    @property
    def limits(self) -> Sequence[str]:
        """What it can't do as it is installed, in words with the remedy. `check` may find more."""

    async def check(self) -> None:
        """Look if messages could be sent, without sending one. Cancelled if that takes long.

        Raises:
            Unavailable: not now.
            InputError: not as the channel is configured.
        """

    async def send(self, message: Message) -> None:
        """Send a message, and return when the other side has taken it. Cancelled at a shutdown.

        Raises:
            Unavailable: not now.
            Undeliverable: not to this person.
        """

    async def close(self) -> None:
        """Let go of connections. The last call."""
