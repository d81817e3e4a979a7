"""Making the message of a letter, and sending it on a channel, however long that takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from distribute.client.words import printable
from distribute.core import events as ev
from distribute.core.ids import JobId
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
    return {**job, "last_lines": list(last.event.last_lines or ())}


async def send(channel: Channel, message: Message) -> str | None:
    """Send a message, however long the channel can't. Returns why the person can't be reached, if so.

    Names and reasons come from outside. They may hold anything, even what no event can.
    """
    trouble, wait_s, to = Trouble(log), FIRST_WAIT_S, printable(message.to)
    while True:
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await channel.send(message)
        except Undeliverable as error:
            reason = printable(str(error))
            log.warning("%s can't be told by %s: %s", to, channel.name, reason)
            return reason
        except Unavailable as error:
            trouble.occurs("%s can't send now; trying again: %s", channel.name, printable(str(error)))
            wait_s = max(wait_s, error.retry_after_s or 0.0)
        except TimeoutError:
            trouble.occurs("%s can't send now; trying again: no answer", channel.name)
        except Exception as error:  # noqa: BLE001 - a fault in one channel must not stop the others
            trouble.occurs("%s has a fault; trying again", channel.name, error=error)
        else:
            trouble.is_over(f"{channel.name} sends again")
            log.info("told %s by %s: %s", to, channel.name, message.subject)
            return None
        await asyncio.sleep(wait_s)
        wait_s = min(LONGEST_WAIT_S, 2 * wait_s)
