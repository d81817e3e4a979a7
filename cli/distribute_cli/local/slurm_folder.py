"""Writes the folder that `distribute slurm` makes: the scripts, and each input file once."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from distribute.core.errors import DistributeError, InputError
from distribute.core.os_words import cause, why
from distribute.core.spec.specs import InputFile
from distribute.inputs.laying_out import lay_out
from distribute.inputs.sources import Source, as_files, as_source, check_file, read_source, write_source
from distribute.sbatch.folder import Plan

_ID_BYTES = 16


def check_empty(folder: Path) -> None:
    """Check that a folder can be written anew.

    Raises:
        InputError: it is there and not empty, or no folder.
    """
    try:
        is_free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise InputError(f"{folder} can't be read: {why(error)}") from error
    if not is_free:
        what = "is not empty" if folder.is_dir() else "is not a folder"
        raise InputError(f"{folder} {what}; name a new or an empty folder, or remove what is there")


def write_folder(
    folder: Path,
    plan: Plan,
    sources: Mapping[str, Path | Source],
    objects: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """Write everything into an empty folder, or nothing. `sources` are the inputs by sha256.

    `objects` are those of each input folder, by the sha256 of its listing.

    Raises:
        InputError: the folder is not empty, or an input file has changed since it was read.
        DistributeError: the disk refuses it.
    """
    check_empty(folder)
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("files", "scripts"):
            (folder / name).mkdir()
        packed = plan.packed()
        for pack, files in packed.items():
            _write_packed(folder / "files", as_source(sources[pack]), pack, files.values())
        of_packs = {sha256 for files in packed.values() for sha256 in files}
        for sha256 in plan.digests:
            if sha256 not in objects and sha256 not in of_packs:
                write_source(as_source(sources[sha256]), folder / "files" / sha256, sha256)
        for listing, parts in objects.items():
            _write_tree(folder / "files" / listing, listing, {part: sources[part] for part in parts})
        for path, text in plan.texts(secrets.token_hex(_ID_BYTES)):
            target = folder / path
            target.write_text(text, "utf-8", newline="")
            if "/" not in path and path.endswith(".sh"):
                target.chmod(0o755)
    except BaseException as error:
        _remove(folder, all_of_it=is_new)
        if isinstance(error, OSError):
            reason = why(error) if error.filename in {None, str(folder)} else cause(error)
            raise DistributeError(f"{folder} can't be written: {reason}") from error
        raise


def _write_packed(folder: Path, source: Source, pack: str, files: Iterable[InputFile]) -> None:
    """Write files that share an object, each by itself."""
    content = read_source(source, pack)
    for file in files:
        start = file.offset or 0
        (folder / file.sha256).write_bytes(content[start : start + file.size_bytes])


def _write_tree(target: Path, listing: str, sources: Mapping[str, Path | Source]) -> None:
    """Write an input folder. Its small files are first written together, as a node would get them."""
    with TemporaryDirectory(dir=target.parent) as parts:
        files = as_files(sources, Path(parts))
        lay_out(files[listing], files, target)
        for sha256, path in files.items():
            if path.parent != Path(parts):  # others were checked when they were written
                check_file(path, sha256)


def _remove(folder: Path, *, all_of_it: bool) -> None:
    """Remove what was written. The folder was empty before."""
    if all_of_it:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in list(folder.iterdir()):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
