"""Commands in messages work as pasted: they go to the cluster, or the saved log, of the verb itself."""

from __future__ import annotations

import re

LOCAL = frozenset({"up", "down", "server", "run", "template", "schema", "demo"})
"""The verbs that take no address of a cluster."""

READERS = frozenset({"status", "why", "nodes", "replay", "history", "events"})
"""The verbs that can read a saved log instead."""

SAVED = "--from"
"""The option that names a saved log. A command that has it behind its verb goes to no cluster."""

_COMMAND = re.compile(rf"`distribute ([a-z]+)(?=[ `])(?! --help)(?! {SAVED} )")


def with_address(text: str, options: str) -> str:
    """The text, with these options in each command of ours that takes them."""
    if not options:
        return text
    is_saved = options.startswith(f"{SAVED} ")

    def with_options(command: re.Match[str]) -> str:
        takes = command[1] in READERS if is_saved else command[1] not in LOCAL
        return f"{command[0]} {options}" if takes else command[0]

    return _COMMAND.sub(with_options, text)
