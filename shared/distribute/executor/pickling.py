"""Pickling calls, and packing the pickles into files that jobs get as inputs.

Small pickles share a file. A large one has its own: so it is stored once, whichever jobs use it, and no job
gets much that is another's.
"""

from __future__ import annotations

import hashlib
import io
import marshal
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle

from distribute.core.spec.specs import InputFile
from distribute.executor import run_calls

SMALL_BYTES = 1 << 16
"""Smaller pickles share a file."""
PACK_BYTES = 1 << 18
"""So large a shared file may be: each of its jobs gets a copy of it."""

PYTHON = f"python3.{sys.version_info.minor}"
"""The Python of this program: pickles of functions hold byte code, which no other minor version can run."""


def pickled_call(function: Callable[..., Any]) -> bytes:
    """The pickle of a function.

    Raises:
        pickle.PicklingError: it can't be pickled.
    """
    return _pickled(function, f"the function {_name_of(function)}")


def pickled_arguments(
    function: Callable[..., Any], positional: tuple[Any, ...], named: Mapping[str, Any]
) -> bytes:
    """The pickle of a call's arguments.

    Raises:
        pickle.PicklingError: they can't be pickled. The message names the first that can't.
    """
    try:
        return _dumps((positional, dict(named)))
    except Exception as error:
        for name, value in (*enumerate(positional, 1), *named.items()):
            which = f"argument {name}" if isinstance(name, int) else f"the argument {name!r}"
            _pickled(value, f"{which} of {_name_of(function)}, a {type(value).__qualname__},")
        raise _unpicklable(f"the arguments of {_name_of(function)}", error) from error


def _pickled(value: Any, what: str) -> bytes:
    try:
        return _dumps(value)
    except Exception as error:
        raise _unpicklable(what, error) from error


def _unpicklable(what: str, error: Exception) -> pickle.PicklingError:
    return pickle.PicklingError(f"{what} can't be pickled, so it can't be sent to a node: {error}")


def _dumps(value: Any) -> bytes:
    file = io.BytesIO()
    cloudpickle.dump(value, file, run_calls.PROTOCOL)
    return file.getvalue()


def _name_of(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", None) or repr(function)[:60]


class Place(NamedTuple):
    """Where a pickle is: in which input of the job, from where on, and its size."""

    file: str
    offset: int
    size_bytes: int


class JobCalls(NamedTuple):
    """What a job needs for its calls: its input files, and where the list of its calls is."""

    files: tuple[InputFile, ...]
    calls: Place


class Packer:
    """Writes the pickles of a batch into files of a folder. Call `add` for each job, then `jobs`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sources: dict[str, Path] = {}
        """The files written, by their digests."""
        self._alone: dict[str, InputFile] = {}
        self._pack = bytearray()
        self._in_pack: dict[bytes, tuple[int, int]] = {}
        self._jobs_in_pack: list[tuple[set[str], tuple[int, int]]] = []
        self._done: list[JobCalls] = []

    def add(self, calls: Sequence[tuple[bytes, bytes]]) -> None:
        """Add a job: the pickles of the function and the arguments of each of its calls."""
        small = sum(len(part) for call in calls for part in call if len(part) < SMALL_BYTES)
        if self._pack and len(self._pack) + small > PACK_BYTES:
            self._close_pack()
        alone: set[str] = set()
        places = [tuple(self._put(part, alone) for part in call) for call in calls]
        at = self._append(pickle.dumps(places, run_calls.PROTOCOL))
        self._jobs_in_pack.append((alone, at))

    def jobs(self) -> list[JobCalls]:
        """What each job needs, in the order of `add`."""
        self._close_pack()
        return self._done

    def file(self, content: bytes, alias: str | None = None) -> InputFile:
        """Write a file. Its name for jobs is its digest, if it has no `alias`."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self.sources:
            path = self._folder / digest
            path.write_bytes(content)
            self.sources[digest] = path
        return InputFile(alias=alias or digest, sha256=digest, size_bytes=len(content), mode=0o644)

    def _put(self, part: bytes, alone: set[str]) -> tuple[str, int, int]:
        if len(part) >= SMALL_BYTES:
            file = self.file(part)
            self._alone[file.sha256] = file
            alone.add(file.sha256)
            return file.alias, 0, len(part)
        return (_PACK, *self._append(part))

    def _append(self, part: bytes) -> tuple[int, int]:
        found = self._in_pack.get(part)
        if found is None:
            found = self._in_pack[part] = (len(self._pack), len(part))
            self._pack += part
        return found

    def _close_pack(self) -> None:
        """Write the shared file. Its name is the same for all jobs, so that their lists can name it."""
        if not self._jobs_in_pack:
            return
        pack = self.file(bytes(self._pack), _PACK)
        for alone, (offset, size) in self._jobs_in_pack:
            files = (pack, *(self._alone[digest] for digest in sorted(alone)))
            self._done.append(JobCalls(files, Place(_PACK, offset, size)))
        self._pack.clear()
        self._in_pack.clear()
        self._jobs_in_pack.clear()


_PACK = "calls.pickles"


@cache
def library() -> bytes:
    """A zip file with this program's cloudpickle, compiled for its Python. Always the same bytes."""
    folder = Path(cloudpickle.__file__).parent
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sorted(folder.glob("*.py")):
            entry = zipfile.ZipInfo(f"cloudpickle/{source.stem}.pyc")
            archive.writestr(entry, _compiled(source))
    return written.getvalue()


def _compiled(source: Path) -> bytes:
    """A module's byte code, as zipimport reads it: it has no time, and no source is beside it."""
    code = compile(source.read_bytes(), f"cloudpickle/{source.name}", "exec", dont_inherit=True)
    return MAGIC_NUMBER + (0b01).to_bytes(4, "little") + bytes(8) + marshal.dumps(code)
