"""The number of the event set."""

from __future__ import annotations

LAYOUT = 5
"""Raise this with every change of the event set (`tests/compat` checks that), and whenever an older
distribute can't work with what a newer one stores. `nats.stream.migrations` has the history."""
