"""Making the message of a letter, and sending it on a channel, however long that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from distribute.client.words import printable
from distribute.core.ids import JobId
from distribute.core.log import events as ev
from distribute.core.projections.notices import Notice
from distribute.limited_log import Trouble
from distribute.ports import EventLog
from distribute_services.notifier.channel import Channel, Message, Unavailable, Undeliverable
from distribute_services.notifier.logic import Letter
from distribute_services.notifier.texts import message_of

log = logging.getLogger(__name__)

SEND_WITHIN_S = 120.0
"""A channel that has not answered by then is taken for one that can't send now."""
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
"""Seconds to wait before we try to send again: the first time, then twice as long each time, up to this."""
LONGEST_ASKED_S = 3600.0
"""If the other side asks us to wait for longer, we ask again after an hour."""


async def composed(events: EventLog, letter: Letter) -> Message:
    """The message of a letter, with the last lines of failed jobs: the state has only one of them."""
    if letter.is_summary:
        return message_of(letter)
    notice = letter.notices[0]
    jobs = [await _with_last_lines(events, notice, job) for job in notice.facts.get("failed_jobs", ())]
    facts = {**notice.facts, **({"failed_jobs": jobs} if jobs else {})}
    return message_of(letter._replace(notices=(replace(notice, facts=facts),)))


async def _with_last_lines(events: EventLog, notice: Notice, job: Mapping[str, Any]) -> Mapping[str, Any]:
    last = await events.last(JobId(*notice.batch, job["job"]), "finished")
    if last is None or not isinstance(last.event, ev.Finished) or last.event.attempt != job["attempt"]:
        return job
    lines = list(last.event.last_lines or ())
    is_forged = (lines[-1:] or [""]) != (job["last_lines"] or [""])
    return job if is_forged else {**job, "last_lines": lines}


@dataclass
class _Trouble:
    """A person who can't be told now, and is tried again at `due`, by the loop's clock."""

    due: float
    wait_s: float
    log: Trouble


class Sender:
    """Sends on a channel. While it can't send to one person, it sends to the others.

    Names and reasons come from outside. They may hold anything, even what no event can.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._troubles: dict[str, _Trouble] = {}

    def postponed(self) -> frozenset[str]:
        """The people who are to be tried again later."""
        now = _now()
        return frozenset(to for to, trouble in self._troubles.items() if trouble.due > now)

    def due_in_s(self) -> float | None:
        """Seconds until the first of those who are `postponed` is due; None: there is nobody."""
        now = _now()
        return min((one.due - now for one in self._troubles.values() if one.due > now), default=None)

    async def send(self, message: Message) -> str | None:
        """Send a message. Returns why the person can't be reached, if so.

        Raises:
            Unavailable: not now. We have waited, if others have to wait, too; else the person is `postponed`.
        """
        channel, to = self._channel, printable(message.to)
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await channel.send(message)
        except Undeliverable as error:
            self._troubles.pop(message.to, None)
            reason = printable(str(error))
            log.warning("%s can't be told by %s: %s", to, channel.name, reason)
            return reason
        except Unavailable as error:
            await self._wait(message.to, error)
            raise
        except TimeoutError as error:
            unavailable = Unavailable("no answer")
            await self._wait(message.to, unavailable)
            raise unavailable from error
        except Exception as error:  # a fault in one channel, or with one message, must stop no other
            unavailable = Unavailable("it has a fault", others_wait=False)
            await self._wait(message.to, unavailable, fault=error)
            raise unavailable from error
        if (trouble := self._troubles.pop(message.to, None)) is not None:
            trouble.log.is_over(f"{channel.name} tells {to} again")
        log.info("told %s by %s: %s", to, channel.name, message.subject)
        return None

    async def _wait(self, to: str, reason: Unavailable, fault: Exception | None = None) -> None:
        """Wait, or postpone the person: longer each time."""
        trouble = self._troubles.setdefault(to, _Trouble(0.0, FIRST_WAIT_S, Trouble(log)))
        trouble.log.occurs(
            "%s can't tell %s now; trying again: %s",
            self._channel.name,
            printable(to),
            printable(str(reason)),
            error=fault,
        )
        wait_s = max(trouble.wait_s, min(reason.retry_after_s or 0.0, LONGEST_ASKED_S))
        trouble.wait_s = min(LONGEST_WAIT_S, 2 * trouble.wait_s)
        if reason.others_wait:
            await asyncio.sleep(wait_s)
        else:
            trouble.due = _now() + wait_s


def _now() -> float:
    return asyncio.get_running_loop().time()
