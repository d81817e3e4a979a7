"""The event that says what the notifier told a person."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import StringConstraints

from distribute.core.ids import Label
from distribute.core.log.event_base import Id, SubmissionEvent, Text

News = Literal["end", "kill", "build_failure", "first_failure", "start"]
"""What a person is told: the batch ended, somebody else killed it, its build failed, its first job failed, or
its first job started."""

ChannelName = Annotated[str, StringConstraints(max_length=64)]


class Notified(SubmissionEvent):
    """The notifier told a person of the batch, or could not.

    `channel` is the way, such as `mail`; `to` the person or Matrix user. `key` identifies what was told: a
    channel tells it once. `summary`: it stood among others in the message of this key. `refused` says why
    the person can't be reached; None: the other side took the message.
    """

    type: Literal["notified"] = "notified"
    v: Literal[1] = 1
    news: News
    channel: ChannelName
    to: Label
    key: Id
    summary: Id | None = None
    refused: Text | None = None
