"""Figures in words."""

from __future__ import annotations


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 file`, `2 files`. `things` is the plural where it is not `thing` with an s."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"
