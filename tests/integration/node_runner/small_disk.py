"""A file system of a few megabytes, for tests of full disks and of those that start no programs."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, size_mib: int, files: int = 0, options: str = "rw") -> Iterator[Path]:
    """Mount a tmpfs at `folder`. `files` 0: no limit. Skips the test if this user may not mount."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder.mkdir()
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={size_mib}m,nr_inodes={files},{options}",
        "tmpfs",
        str(folder),
    ]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)
