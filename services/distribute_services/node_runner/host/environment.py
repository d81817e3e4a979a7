"""What jobs get of the node-runner's own environment."""

from __future__ import annotations

from collections.abc import Mapping

_PASSED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
)


def base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that a job gets from the node-runner's environment: paths, the user and the language.

    It gets no others: the runner may have been started from a desktop, and other people's jobs must not see
    its keys, agents and sockets.
    """
    return {
        name: value for name, value in environment.items() if name in _PASSED_ON or name.startswith("LC_")
    }
