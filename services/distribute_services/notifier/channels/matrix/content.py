"""What a message says in the words of Matrix."""

from __future__ import annotations

import json
from typing import Any

from distribute_services.notifier.channel import Message

MAX_JSON = 45_000
"""An event may have 65,536 bytes: https://spec.matrix.org/latest/client-server-api/#size-limits. Encryption
makes a third more of the content."""
_CUT = "\n…"


def content_of(message: Message) -> dict[str, Any]:
    """The content of the event `m.room.message`: a text, for clients give no sound for a notice.

    A message that is too large is sent without its form, and then without its end.
    """
    content: dict[str, Any] = {"msgtype": "m.text", "body": message.plain}
    formatted = content | {"format": "org.matrix.custom.html", "formatted_body": message.html}
    if _size(formatted) <= MAX_JSON:
        return formatted
    plain = message.plain
    while (size := _size(content)) > MAX_JSON:
        plain = plain[: len(plain) * MAX_JSON // size]
        content["body"] = plain + _CUT
    return content


def _size(content: dict[str, Any]) -> int:
    """Bytes of JSON, as matrix-nio writes it: `é` takes six there, and a backslash two."""
    return len(json.dumps(content))
