"""The form of what is said of a key."""

from __future__ import annotations

from typing import NamedTuple


class KeyDoc(NamedTuple):
    """What a key means. `default`: what holds without it, where the model's default does not say that."""

    meaning: str
    default: str = ""


SIGNAL = (
    "Warns a job by a signal, so long before its `timeout`: it can save a checkpoint, and end or go on. "
    "See docs/jobs-file.md, How a job ends"
)
"""Of a key that stands in several sections."""
