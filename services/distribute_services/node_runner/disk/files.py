"""Copy and remove files and folders of workspaces."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import shutil
import stat
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

from distribute.core.errors import DistributeError, IntegrityError, StorageFull
from distribute.core.os_words import why
from distribute.core.spec.specs import InputFile

log = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 20
_NO_COPY_FILE_RANGE = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


@contextlib.contextmanager
def disk_errors(what: object) -> Iterator[None]:
    """Translate OSErrors raised in the block. The error names `what`.

    Raises:
        StorageFull: no space left, or over quota.
        DistributeError: anything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StorageFull(f"{what}: no room on this computer: {why(error)}") from error
        raise DistributeError(f"{what}: can't be made: {why(error)}") from error


def copy_file(source: Path, target: Path, *, mode: int, mtime_ns: int | None = None) -> None:
    """Copy a file to `target`, which must not exist. Shares blocks of the disk if the file system can.

    Its owner may always read the copy. `mtime_ns` None: the copy is as old as it is.

    Never makes a hard link: a job that changes its copy must not change the source.

    Raises:
        StorageFull, DistributeError: as in `disk_errors`.
    """
    with disk_errors(target), source.open("rb") as cached, target.open("xb") as copy:
        left = os.fstat(cached.fileno()).st_size
        try:
            # The kernel shares blocks instead of copying them on btrfs and XFS.
            while left > 0 and (copied := os.copy_file_range(cached.fileno(), copy.fileno(), left)):
                left -= copied
        except OSError as error:
            if error.errno not in _NO_COPY_FILE_RANGE:
                raise
        if left > 0:
            cached.seek(0)
            copy.seek(0)
            shutil.copyfileobj(cached, copy, 1 << 20)
        copy.flush()
        _complete(copy, mode, mtime_ns)


def copy_part(source: Path, file: InputFile, target: Path, *, mode: int) -> None:
    """Copy an input out of the object `source`, which has others, too. Otherwise as `copy_file`.

    Raises:
        IntegrityError: the object has another content there.
        StorageFull, DistributeError: as in `disk_errors`.
    """
    digest, left = hashlib.sha256(), file.size_bytes
    with disk_errors(target), source.open("rb") as cached, target.open("xb") as copy:
        cached.seek(file.offset or 0)
        while piece := cached.read(min(left, _PIECE_BYTES)):
            digest.update(piece)
            copy.write(piece)
            left -= len(piece)
        copy.flush()
        _complete(copy, mode, file.mtime_ns)
    if left or digest.hexdigest() != file.sha256:
        raise IntegrityError(f"input {file.alias} does not lie where its batch says, in {source.name}")


def _complete(copy: BufferedWriter, mode: int, mtime_ns: int | None) -> None:
    """Give a copy its mode and its time."""
    os.fchmod(copy.fileno(), mode | stat.S_IRUSR)
    if mtime_ns is not None:
        os.utime(copy.fileno(), ns=(mtime_ns, mtime_ns))


async def clone_folder(source: Path, target: Path) -> None:
    """Copy everything in `source` into the folder `target`. Links stay links; modes and times are kept.

    Runs GNU cp, which handles sparse files, pipes, and names in any encoding, and shares blocks of the disk
    if the file system can.

    Raises:
        StorageFull: the disk has no room for the copy.
        DistributeError: it failed for another reason.
    """
    await _copy("--", f"{source}/.", f"{target}/")


async def copy_entry(source: Path, target: Path) -> None:
    """Copy a file, a link or a folder with all in it to `target`, which must not exist. As `clone_folder`."""
    await _copy("-T", "--", str(source), str(target))


async def _copy(*arguments: str) -> None:
    problem = await _run("cp", "-a", "--reflink=auto", *arguments)
    if problem is None:
        return
    source, target = arguments[-2:]
    if os.strerror(errno.ENOSPC) in problem or os.strerror(errno.EDQUOT) in problem:
        raise StorageFull(f"{target}: no room on this computer for a copy of {source}")
    raise DistributeError(f"{source} could not be copied to {target}: {problem}")


async def remove_folder(folder: Path) -> None:
    """Remove a folder, whatever its names, depth and modes. If that fails, log it; the folder stays.

    Runs rm, because it handles any depth; shutil.rmtree holds a descriptor open for each level.
    """
    command = ("rm", "-rf", "--one-file-system", "--", str(folder))
    if await _run(*command) is None:
        return
    await _run("chmod", "-R", "u+rwX", "--", str(folder))
    if problem := await _run(*command):
        log.warning("the folder %s could not be removed: %s", folder, problem)


async def folder_bytes(folder: Path) -> int:
    """The bytes of disk that the content of a folder takes."""
    _, output, _ = await _output(
        "du", "--summarize", "--block-size=1", "--one-file-system", "--", f"{folder}/"
    )
    return int(output.split(b"\t")[0] or 0)


async def folder_files(folder: Path) -> int:
    """The number of files and folders in a folder, at any depth."""
    _, output, _ = await _output("du", "--summarize", "--inodes", "--one-file-system", "--", f"{folder}/")
    return int(output.split(b"\t")[0] or 0)


async def write_through(path: Path) -> None:
    """Wait until the file system of `path` has on its disk what was written. Raises `DistributeError`."""
    if problem := await _run("sync", "--file-system", "--", str(path)):
        raise DistributeError(f"{path} could not be written to the disk: {problem}")


async def _run(*command: str) -> str | None:
    """Run a command. Returns its complaint; None if it succeeded."""
    code, _, complaint = await _output(*command)
    if code == 0:
        return None
    return complaint.decode(errors="replace").strip() or f"exit code {code}"


async def _output(*command: str) -> tuple[int | None, bytes, bytes]:
    """Run a command. Returns its exit code, its output and its complaints."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env={**os.environ, "LC_ALL": "C"}
    )
    try:
        output, complaint = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.kill()  # otherwise it would go on writing to a folder that is about to be removed
        await process.wait()
        raise
    return process.returncode, output, complaint
