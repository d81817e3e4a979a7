"""Figures and reasons in words."""

from __future__ import annotations


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 file`, `2 files`. `things` is the plural where it is not `thing` with an s."""
    return f"{number} {thing if number == 1 else things or f'{thing}s'}"


def killed_by(person: str | None) -> str:
    """Why a job or a build was ended. None: no person killed it."""
    return "killed, because its batch is over" if person is None else f"killed by {person}"
