"""Names as tokens of subjects, and back.

Letters, digits, `_` and `-` stay as they are; every other byte of a name's UTF-8 is percent-encoded. So no
name can be a wildcard, split into two tokens, or end a line of the protocol.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

_PLAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


@lru_cache(maxsize=1 << 16)
def escape(name: str) -> str:
    """A name as one token of a subject."""
    if _PLAIN.fullmatch(name):
        return name
    # `quote` never encodes `.` and `~`.
    return quote(name, safe="-_").replace(".", "%2E").replace("~", "%7E")


def unescape(token: str) -> str:
    """The name of a token that `escape` made."""
    return unquote(token, errors="strict")
