"""Why the keeper could not start a process, in words for the job's owner."""

from __future__ import annotations

import errno
from pathlib import Path

from distribute.core.os_words import why
from distribute_services.node_runner.host.keeping import Refusal


def reason_of(refusal: Refusal, program: str, folder: str, output: Path) -> str:
    """Why `program`, the first of a unit's arguments, can't be started in `folder`."""
    return f"{program!r} can't be started: {_cause(refusal, program, folder, output)}"


def _cause(refusal: Refusal, program: str, folder: str, output: Path) -> str:
    match refusal:
        case Refusal(step="program"):
            return "no such program in the PATH of this node"
        case Refusal(code=None):  # a NUL byte, or a `=` in a variable's name
            return f"its arguments or environment are not valid: {refusal.text}"
        case Refusal(step="output"):
            return f"no file for its output at {output}: {_system(refusal)}"
        case Refusal(step="view"):
            return f"no private copy of its build: {_system(refusal)}"
        case _:
            return _why(refusal, program, folder)


def _why(refusal: Refusal, program: str, folder: str) -> str:
    looks = refusal.looks
    match refusal.code:
        case errno.ENOENT | errno.ENOTDIR if not looks.has_folder:
            return f"its folder {folder} is gone"
        case errno.ENOENT if looks.exists:
            return (
                f"the interpreter named in the first line of {program!r}, or its loader, is not on this node"
            )
        case errno.EACCES if looks.is_folder:
            return f"{program!r} is a folder"
        case errno.EACCES:
            return f"{program!r} is not executable: mark it so (chmod +x), or name its interpreter first"
        case errno.ENOEXEC:
            return f"{program!r} is no program for this node: a script needs a first line like '#!/bin/sh'"
        case errno.E2BIG:
            return "its arguments and environment are too long for the kernel: put them in a file"
        case errno.EAGAIN:
            return "this node is at its limit of processes"
        case _:
            return f"{program!r}: {_system(refusal)}"


def _system(refusal: Refusal) -> str:
    return why(OSError(refusal.code, refusal.text))
