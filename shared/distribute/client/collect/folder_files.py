"""Reading files of a folder that came from elsewhere: regular files of a bounded size, and never a link."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from distribute.client.words import printable
from distribute.config.sections.units import format_size
from distribute.core.errors import InputError
from distribute.core.os_words import why


def read_bounded(path: Path, most_bytes: int) -> bytes | None:
    """The content of a file. None: there is none.

    Raises:
        InputError: it is no regular file, larger than `most_bytes`, or can't be read.
    """
    name = printable(str(path))
    try:
        # A link could lead to any file of the person, and a pipe would block us.
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InputError(f"{name}: can't be read: {why(error)}") from error
    with open(fd, "rb") as file:  # noqa: PTH123 (a descriptor)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise InputError(f"{name}: is not a regular file")
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise InputError(
            f"{name}: is larger than {format_size(most_bytes)}, which it can't be: is it damaged?"
        )
    return content


def is_folder_in(folder: Path, *names: str) -> bool:
    """Is there a folder of this path below `folder`, and no link on the way?"""
    at = folder
    for name in names:
        at = at / name
        if at.is_symlink() or not at.is_dir():
            return False
    return True


def is_file(path: Path) -> bool:
    """Is it a regular file, and no link?"""
    return path.is_file() and not path.is_symlink()
