"""Find out how jobs can get private copies of a build on this computer, and at which path."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from distribute_services.node_runner.keeper.view import OVERLAY_OPTIONS, View, spawn

log = logging.getLogger(__name__)

TRIAL = "trial-"
"""How the names of folders in which something is tried begin. `find_out` removes those that are left."""

Way = Literal["overlay", "bind", "copy"]
"""`overlay`: a job sees the build, and its own changes, at the path of the build; nothing is copied. `bind`:
it sees a copy there. `copy`: its copy is in a folder of its own."""


class PrivateCopies(NamedTuple):
    """How jobs get their copies. `options` are those of the overlay."""

    way: Way = "copy"
    options: str = ""

    def view(self, built: Path, own: Path, scratch: Path) -> View | None:
        """How a job with the folder `own` sees it. None: as it is, at its own path."""
        match self.way:
            case "overlay":
                return View(str(built), str(own), str(scratch), self.options)
            case "bind":
                return View(str(built), str(own))
            case "copy":
                return None


def find_out(folder: Path, wanted: Way = "overlay") -> PrivateCopies:
    """The best way that works in `folder`, from `wanted` on. Tries each, which takes 10 ms.

    Whether one works depends on the kernel, its settings, the file system and, in a container, on its
    engine. So we try it, and don't derive it from versions.
    """
    for trial in folder.glob(f"{TRIAL}*"):
        _remove(trial)  # of a runner that was killed meanwhile
    ways = [PrivateCopies("overlay", options) for options in OVERLAY_OPTIONS]
    ways.append(PrivateCopies("bind"))
    if wanted != "overlay":
        ways = [copies for copies in ways if copies.way == wanted]
    return next((copies for copies in ways if _works(copies, folder)), PrivateCopies())


def _works(copies: PrivateCopies, folder: Path) -> bool:
    """Does a process that changes its copy leave the build as it is?"""
    trial = Path(tempfile.mkdtemp(prefix=TRIAL, dir=folder))
    built, own, scratch = trial / "built", trial / "own", trial / "scratch"
    try:
        for path in (built, own, scratch):
            path.mkdir()
        (built / "file").write_text("built\n")
        if copies.way == "bind":
            shutil.copy(built / "file", own)
        view = copies.view(built, own, scratch)
        return view is not None and _changes_a_file(view) and (built / "file").read_text() == "built\n"
    except OSError as error:
        log.debug("jobs can't get their copies of a build by %s: %s", copies, error)
        return False
    finally:
        _remove(trial)


def _remove(trial: Path) -> None:
    unlock_below(trial / "scratch")
    shutil.rmtree(trial)


def _changes_a_file(view: View) -> bool:
    script = 'read -r line < file && [ "$line" = built ] && echo changed > file && echo new > new'
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a device)
        pid = spawn(view, ["/bin/sh", "-c", script], {}, nowhere.fileno())
    _, status = os.waitpid(pid, 0)
    changed = Path(view.own, "file").read_text() == "changed\n" and Path(view.own, "new").exists()
    return status == 0 and changed


async def copy_out(view: View, name: str, target: Path) -> bool:
    """Copy the folder that a job sees at `name` in its working directory to the empty folder `target`.

    For a job that made it a link: where that leads, the build may have left files, too. Returns False if it
    leads out of the working directory, or to no folder, or if there is no room.
    """
    script = (
        'd=$(cd -P -- "$1" && pwd -P) && case $d in "$2"/*) exec cp -a --reflink=auto -- "$d/." "$3" ;; esac'
    )
    argv = ["/bin/sh", "-c", f"{script}; exit 1", "sh", name, os.path.realpath(view.at), str(target)]
    with open(os.devnull, "wb") as nowhere:  # noqa: ASYNC230, PTH123 (a device)
        pid = spawn(view.to_read(), argv, {"PATH": os.defpath}, nowhere.fileno())
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    return bool(status == 0)


def unlock_below(folder: Path) -> None:
    """Let their owner remove the folders in a folder. The kernel makes some without rights for an overlay."""
    with contextlib.suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
                unlock_below(path)
