"""Commands in messages work as pasted: they go to the cluster that the verb itself was sent to."""

from __future__ import annotations

import re

LOCAL = frozenset({"up", "down", "server", "run", "template", "schema", "demo"})
"""The verbs that take no address of a cluster."""

_COMMAND = re.compile(r"`distribute ([a-z]+)(?=[ `])(?! --help)")


def with_address(text: str, options: str) -> str:
    """The text, with these options in each command of ours that goes to a cluster."""
    if not options:
        return text
    return _COMMAND.sub(lambda found: found[0] if found[1] in LOCAL else f"{found[0]} {options}", text)
