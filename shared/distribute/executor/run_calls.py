"""Runs the calls of one job of an `Executor`, on its node. This file is an input of the executor's batches.

    python3 run_calls.py CALLS OFFSET SIZE SECONDS

CALLS is a file beside this one, and OFFSET and SIZE say where in it the list of this job's calls is. After so
many SECONDS, no further call begins (0: all of them do).

It needs no other file of distribute: the standard library is enough, and cloudpickle, which lies beside it.
What it leaves in `$DISTRIBUTE_SAVE/calls` is read by `distribute.executor.outcomes`: for each call that was
done, a header and a pickle. It starts for each job, so it imports little.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

HEADER = struct.Struct("<cQd")
"""What came of a call, the size of its pickle, and its seconds."""

RETURNED, RAISED, HANDED_BACK = b"R", b"E", b"N"
"""The call returned the pickled value, or raised an error; or it did not begin, like all that follow."""

LIBRARY, MODULES = "cloudpickle.zip", "modules.zip"
"""Our cloudpickle, and the own modules of the program if its functions use any."""
RESULTS = "calls"
PROTOCOL = 5
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
"""Values that pickle alone can take, so that cloudpickle need not be imported for them."""

_BESIDE = os.path.dirname(os.path.abspath(__file__))


def _main() -> None:
    calls, offset, size, seconds = sys.argv[1], *map(int, sys.argv[2:4]), float(sys.argv[4])
    # They come first: the node may have another version of cloudpickle, and others' modules of such names.
    sys.path[:0] = [os.path.join(_BESIDE, LIBRARY), os.path.join(_BESIDE, MODULES)]
    began = time.monotonic()
    with open(os.path.join(os.environ["DISTRIBUTE_SAVE"], RESULTS), "wb") as results:
        functions: dict[object, Callable[..., object]] = {}
        for number, (function, arguments) in enumerate(pickle.loads(_read((calls, offset, size)))):
            if seconds and number and time.monotonic() - began >= seconds:
                results.write(HEADER.pack(HANDED_BACK, 0, 0.0))
                return
            _call(results, functions, function, arguments)
            results.flush()  # so that this call is done, whatever the next one does to this process


def _read(place: tuple[str, int, int]) -> bytes:
    """The bytes of an input at an offset."""
    name, offset, size = place
    with open(os.path.join(_BESIDE, name), "rb") as file:
        file.seek(offset)
        return file.read(size)


def _call(
    results: BinaryIO,
    functions: dict[object, Callable[..., object]],
    function: tuple[str, int, int],
    arguments: tuple[str, int, int],
) -> None:
    """Do one call, and write what comes of it. To import what it needs does not count to its seconds."""
    at, seconds = results.tell(), 0.0
    results.write(HEADER.pack(RETURNED, 0, seconds))
    try:
        if function not in functions:
            functions[function] = _loaded(function)
        began = time.monotonic()
        positional, named = _loaded(arguments)
        value = functions[function](*positional, **named)
        seconds = time.monotonic() - began
        _dump(value, results)
        outcome = RETURNED
    except BaseException as error:  # noqa: BLE001 - whatever it raises is what came of it
        results.seek(at)
        results.truncate()
        results.write(HEADER.pack(RAISED, 0, seconds))
        results.write(pickle.dumps(_described(error), PROTOCOL))
        outcome = RAISED
    end = results.tell()
    results.seek(at)
    results.write(HEADER.pack(outcome, end - at - HEADER.size, seconds))
    results.seek(end)


def _loaded(place: tuple[str, int, int]) -> Any:
    try:
        return pickle.loads(_read(place))
    except ImportError as error:
        error.add_note(
            f"node {os.environ.get('DISTRIBUTE_NODE', '?')} lacks a module that the function uses: have it "
            "installed there, or send its code along: cloudpickle.register_pickle_by_value(MODULE)"
        )
        raise


def _dump(value: object, results: BinaryIO) -> None:
    """Write a value's pickle. It is not held in memory as a whole."""
    if type(value) in _PLAIN:
        pickle.dump(value, results, PROTOCOL)
        return
    import cloudpickle

    try:
        cloudpickle.dump(value, results, PROTOCOL)
    except Exception as error:
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise pickle.PicklingError(f"the function's result, a {kind}, can't be pickled: {error}") from error


def _described(error: BaseException) -> tuple[bytes | None, str, str]:
    """An error: its pickle, if it can be made and read again; its type and message; and its traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next  # our own frames tell nothing
    text = "".join(traceback.format_exception(type(error), error, trace))
    try:
        said = f"{type(error).__qualname__}: {error}"
    except Exception:  # noqa: BLE001 - the function's error can't say what it is
        said = type(error).__qualname__
    try:
        import cloudpickle

        file = io.BytesIO()
        cloudpickle.dump(error, file, PROTOCOL)
        pickle.loads(file.getvalue())
    except Exception:  # noqa: BLE001 - any error may come of an object's own code
        return None, said, text
    return file.getvalue(), said, text


if __name__ == "__main__":
    _main()
