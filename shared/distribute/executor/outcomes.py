"""What became of the calls of a job: reads the file that `run_calls` wrote."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

from distribute.core.errors import JobFailed
from distribute.executor.run_calls import HANDED_BACK, HEADER, RETURNED


class Outcome(NamedTuple):
    """What became of one call. `value` is what it returned, or `error` what it raised; `seconds`, how long it
    took.

    `began` is False if the job ended before it got that far, by itself: the call is to be done by another.
    """

    value: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    began: bool = True


class RemoteTraceback(Exception):
    """The cause of an error that a function raised on a node: the traceback that it had there."""

    def __init__(self, job: str, node: str, text: str) -> None:
        super().__init__(text)
        self._where = f"of {job} on {node}"

    def __str__(self) -> str:
        return f'{self._where}\n"""\n{self.args[0]}"""'


def read_outcomes(file: BinaryIO, job: str, node: str) -> Iterator[Outcome]:
    """Yield what became of a job's calls, in order, as far as they were done.

    The pickles are read from the file: no more of it is held in memory.
    """
    end = file.seek(0, os.SEEK_END)
    at = 0
    while at + HEADER.size <= end:
        file.seek(at)
        kind, size, seconds = HEADER.unpack(file.read(HEADER.size))
        at += HEADER.size + size
        if kind == HANDED_BACK:
            yield Outcome(began=False)
            return
        if not size or at > end:
            return  # the job was ended during this call
        yield _read(file, size, kind == RETURNED, seconds, (job, node))


def _read(file: BinaryIO, size: int, returned: bool, seconds: float, where: tuple[str, str]) -> Outcome:
    if not returned:
        return Outcome(error=_raised(file.read(size), *where), seconds=seconds)
    try:
        return Outcome(value=pickle.load(file), seconds=seconds)
    except Exception as error:  # noqa: BLE001 - any error may come of an object's own code
        error.add_note(f"the result of {where[0]} can't be read here")
        return Outcome(error=error, seconds=seconds)


def _raised(pickled: bytes, job: str, node: str) -> BaseException:
    """The error of a call. Its cause is the traceback on the node."""
    content, said, trace = pickle.loads(pickled)
    error: BaseException = JobFailed(f"{said} (this error of {job} can't be pickled)", job=job, node=node)
    if content is not None:
        try:
            found = pickle.loads(content)
        except Exception as problem:  # noqa: BLE001 - any error may come of an object's own code
            error.add_note(f"it can't be read here: {problem}")
        else:
            error = found if isinstance(found, BaseException) else error
    error.__cause__ = RemoteTraceback(job, node, trace)
    return error
