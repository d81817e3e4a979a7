"""An outage in the log: one line when the broker stops answering, and one when it answers again.

A lost connection, a request without an answer and a stream that can't be read are often one outage, which
many parts of a process notice, again and again. All of them report it here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from distribute.config.sections.units import format_duration

_log = logging.getLogger(__name__)


TRYING = "trying until it does"


@dataclass(frozen=True, slots=True)
class Peer:
    """The other side of a connection, in the words of this process's log.

    `meanwhile` says what this process does during an outage, unless it has only begun.
    """

    name: str = "the cluster"
    meanwhile: str = TRYING


class Outage:
    """Whether the broker answers, as far as a connection knows. `clock` gives seconds since 1970.

    Without a `peer`, it logs nothing: somebody else does.

    The end of an outage has the level of its begin: who sees one line must see the other.
    """

    def __init__(self, peer: Peer | None, address: str, *, clock: Callable[[], float] = time.time) -> None:
        self._peer = peer
        self._address = address
        self._clock = clock
        self._since: float | None = None
        self._is_first = False

    @property
    def lasts(self) -> bool:
        """Is there an outage?"""
        return self._since is not None

    def begins(self, since: float, why: str = "", *, is_first: bool = False) -> None:
        """Log that the broker has not answered since that time, unless that is known.

        Args:
            since: in seconds since 1970.
            why: a detail for people.
            is_first: the broker has never answered this process.
        """
        if self._since is not None:
            return
        self._since, self._is_first = since, is_first
        if self._peer is None:
            return
        when = "yet" if is_first else f"since {time.strftime('%H:%M:%S', time.localtime(since))}"
        detail = f" ({why})" if why else ""
        meanwhile = TRYING if is_first else self._peer.meanwhile
        _log.warning(
            "%s (%s) doesn't answer %s%s; %s", self._peer.name, self._address, when, detail, meanwhile
        )

    def ends(self) -> None:
        """Log that the broker answers again, and after how long, unless there was no outage."""
        if self._since is None:
            return
        took_s = max(0.0, self._clock() - self._since)
        again = "" if self._is_first else " again"
        self._since = None
        if self._peer is not None:
            took = format_duration(took_s)
            _log.warning("%s (%s) answers%s after %s", self._peer.name, self._address, again, took)
