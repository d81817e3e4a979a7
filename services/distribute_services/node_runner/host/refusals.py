"""Why the keeper could not start a process, in words for the job's owner."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

from distribute.core.os_words import why
from distribute.core.spec.setup_script import UNPREPARED
from distribute.core.words import quoted
from distribute.host import Exit
from distribute.results.last_lines import read_part
from distribute_services.node_runner.disk.own_folder import is_noexec
from distribute_services.node_runner.disk.workspace import Workspace
from distribute_services.node_runner.host.keeping import Refusal

LONGEST_LINE = 1000
"""So many bytes of a setup line are read, of which a message quotes some."""

SHELL_CANNOT_START = 126
"""With this exit code a shell says that a program is there, and that it can't be started."""


def noexec_reason(folder: Path) -> str:
    """Why no program in a folder that `is_noexec` can be started, and what to do, for the job's owner."""
    return (
        f"{folder} lies on a disk that is mounted noexec, so no program in it can be started: "
        "name its interpreter first, or ask the node's admin for another work_dir"
    )


def explained(ended: Exit, workspace: Workspace) -> Exit:
    """The same end, with the reason if the shell of a job did not start what it was to start."""
    complaint = _of_setup(ended, workspace) or _of_noexec(ended, workspace)
    return ended if complaint is None else replace(ended, complaint=complaint)


def _of_setup(ended: Exit, workspace: Workspace) -> str | None:
    written = read_part(workspace.folder / UNPREPARED, LONGEST_LINE)
    if written is None:
        return None  # the command has begun
    if not written:
        return "its shell ended before it began: see its options (`shell`), and the profiles of the node"
    line = written.decode(errors="replace")
    if ended.exit_code == 0:
        return f"its setup line {quoted(line)} ended the shell, so its command was never started"
    return f"its setup line {quoted(line)} failed"


def _of_noexec(ended: Exit, workspace: Workspace) -> str | None:
    if ended.exit_code != SHELL_CANNOT_START or workspace.below is not None:
        return None  # an overlay is never noexec
    folder = Path(workspace.seen)
    return noexec_reason(folder) if is_noexec(folder) else None


def _lacks_mode(program: Path) -> bool:
    """Is it a file that nobody may execute?"""
    try:
        return not program.stat().st_mode & 0o111
    except OSError:
        return False  # it is in a relative folder of the PATH


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
        case errno.EACCES if not _lacks_mode(place := Path(folder, program)) and is_noexec(place.parent):
            return noexec_reason(place.parent)
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
