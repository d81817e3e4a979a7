"""Loads the file of a batch, and shows how far the reading of its inputs is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distribute.config.loading import LoadedBatch, OnRead
    from distribute.inputs.digests import Digests
    from distribute_cli.output.form import Bar, Output

_WORTH_A_BAR_BYTES = 256 << 20
"""So much is read within a second. A shorter wait needs no words."""


Load = Callable[["Digests", "OnRead"], "LoadedBatch"]
"""Loads a batch, with the digests that are remembered, and tells how far it is with reading."""


def load_batch(output: Output, file: Path, *, dirty: bool) -> LoadedBatch:
    """The batch described in the file. Files that are as they were in an earlier batch are not read again.

    `dirty`: take git checkouts with changes that are not committed.

    Raises:
        InputError: it holds every problem of the file, one line each.
    """
    from distribute.config.loading import load

    return load_by(output, lambda digests, on_read: load(file, digests, on_read, dirty=dirty))


def load_by(output: Output, load: Load) -> LoadedBatch:
    """The batch that `load` loads. Raises what that raises."""
    from distribute.config.settings.folders import cache_dir
    from distribute.inputs.digests import Digests

    with ExitStack() as stack:
        bars: list[Bar] = []

        def show(done: int, total: int) -> None:
            if done == 0 and total >= _WORTH_A_BAR_BYTES:
                bars.append(stack.enter_context(output.bar("reading inputs", of_bytes=True)))
            for bar in bars:
                bar.update(done, total)

        return load(stack.enter_context(Digests.kept_in(cache_dir())), show)
