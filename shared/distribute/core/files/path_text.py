"""Paths and targets of links as text. On a disk they are bytes, which need not be valid UTF-8."""

from __future__ import annotations

import base64

from distribute.core.files.manifest import check_path


def shown(name: bytes) -> tuple[str, str | None]:
    """A path as text and, if it is not valid UTF-8, as base64 of its bytes."""
    try:
        return name.decode(), None
    except UnicodeDecodeError:
        raw = base64.b64encode(name).decode()
    try:
        return check_path(name.decode(errors="backslashreplace")), raw
    except ValueError:  # four characters for each byte are too many
        return name.decode(errors="surrogateescape").encode(errors="replace").decode(), raw


def shown_target(target: bytes) -> tuple[str, str | None]:
    """As `shown`, of where a link leads: that may begin with `..`."""
    try:
        return target.decode(), None
    except UnicodeDecodeError:
        text = target.decode(errors="surrogateescape").encode(errors="replace").decode()
        return text, base64.b64encode(target).decode()
