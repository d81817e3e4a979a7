"""What a message says in the words of Matrix."""

from __future__ import annotations

from typing import Any

from distribute_services.notifier.channel import Message

MAX_BYTES = 40_000
"""An event may have 65,536 bytes: https://spec.matrix.org/latest/client-server-api/#size-limits. Encryption
makes a third more of it, and JSON some."""
_CUT = "\n…"


def content_of(message: Message) -> dict[str, Any]:
    """The content of the event `m.room.message`: a text, for clients give no sound for a notice.

    A message that is too large is sent without its form, and then without its end.
    """
    content: dict[str, Any] = {"msgtype": "m.text", "body": message.plain}
    plain = message.plain.encode()
    if len(plain) + len(message.html.encode()) <= MAX_BYTES:
        return content | {"format": "org.matrix.custom.html", "formatted_body": message.html}
    if len(plain) > MAX_BYTES:
        content["body"] = plain[:MAX_BYTES].decode(errors="ignore") + _CUT
    return content
