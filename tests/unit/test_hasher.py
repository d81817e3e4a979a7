"""Whoever interrupts the reading of large inputs does not wait for its end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from distribute.inputs.listed import Hasher
from distribute.inputs.patterns import Exclude
from distribute.inputs.tree import folder_tree

LARGE = 2 << 30
"""Reading it takes seconds, and no room on the disk."""


@pytest.fixture
def obeyed_interrupts() -> Iterator[None]:
    """What Ctrl-C does in a terminal, also if the tests run behind `&`, where Python ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("obeyed_interrupts")
def test_an_interrupt_ends_all_threads_that_read(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(LARGE)
    told: list[int] = []

    def interrupt(more: int) -> None:
        told.append(more)
        if len(told) == 50:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    tree = folder_tree(str(tmp_path), Exclude(()))
    with pytest.raises(KeyboardInterrupt):
        Hasher(on_bytes=interrupt).listed(tree, "it")
    assert sum(told) < LARGE
