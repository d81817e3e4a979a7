"""The software of this computer that decides how a build turns out."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Mapping

from distribute.core.spec.recipe import Recipe

_VERSION = 1

TOOLS = (
    "cc", "c++", "gcc", "g++", "clang", "clang++", "gfortran", "flang", "icx", "ifx", "nvcc", "hipcc",
    "mpicc", "mpicxx", "mpif90", "ld", "ar", "make", "ninja", "cmake", "meson", "pkg-config",
    "python3", "uv", "conda", "cargo", "rustc", "go", "julia", "R", "octave", "java",
)  # fmt: skip
"""Programs that builds use. A new one of them makes another build; other software does not."""


def build_key(recipe: Recipe, environment: Mapping[str, str]) -> str:
    """A digest of what decides how a build turns out on this computer. `environment` is the node's for jobs.

    Takes 1 ms: the tools' files are looked at, and not asked for their versions.
    """
    path = recipe.variables.get("PATH", environment.get("PATH", os.defpath))
    text = json.dumps(
        [
            _VERSION,
            recipe.identity(),
            sorted(environment.items()),
            platform.machine(),
            _system(),
            [_looks(tool, path) for tool in TOOLS],
        ]
    )
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _system() -> list[str]:
    """The operating system and its version."""
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return []
    return [found.get(name, "") for name in ("ID", "VERSION_ID")]


def _looks(tool: str, path: str) -> tuple[str, int, int] | None:
    """Where a program is, its size and time. None: it is not there."""
    found = shutil.which(tool, path=path)
    if found is None:
        return None
    with contextlib.suppress(OSError):
        status = os.stat(found)  # noqa: PTH116 (thirty Path objects for each build)
        return os.path.realpath(found), status.st_size, status.st_mtime_ns
    return None
