"""Let the users of a group pause and resume a node at its computer."""

from __future__ import annotations

import grp
import logging
import os
import stat
from pathlib import Path

from distribute.core.errors import InputError

log = logging.getLogger(__name__)

_FOLDER_MODE = 0o710
_SOCKET_MODE = 0o660


def let_in(group: str, folder: Path) -> None:
    """Let a group connect to the keepers in `folder`, which obey other users only in what concerns pauses.

    Logs a warning if the group can't get there.

    Raises:
        InputError: there is no such group, or this user may not give it files.
    """
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise InputError(f"pause_group: this computer has no group {group!r}") from None
    try:
        for path in (folder, *folder.glob("*.socket")):
            os.chown(path, -1, gid)
            path.chmod(_FOLDER_MODE if path is folder else _SOCKET_MODE)
    except PermissionError as error:
        raise InputError(
            f"pause_group: only root, or a member of {group!r}, can let that group in; this node is neither"
        ) from error
    for parent in folder.parents:
        if not _lets_through(parent, gid):
            told = "pause_group: %r can't pause this node: %s is closed to it (chmod o+x)"
            log.warning(told, group, parent)


def _lets_through(folder: Path, gid: int) -> bool:
    found = folder.stat()
    needed = stat.S_IXGRP if found.st_gid == gid else stat.S_IXOTH
    return bool(found.st_mode & needed)
