"""Lines that a verb logs while it shows progress."""

from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from distribute_cli.output.terminal_bar import terminal_bar
from distribute_cli.own_log import Stderr


def test_a_line_that_is_logged_during_progress_does_not_end_up_behind_the_bar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = logging.Logger("test")
    log.addHandler(Stderr())
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    console = Console(file=terminal, force_terminal=True, width=80)
    with terminal_bar(console, "jane/sweep", of_bytes=False):
        log.warning("the cluster doesn't answer")
    before, _, _ = terminal.getvalue().partition("the cluster doesn't answer")
    assert before
    # The bar was erased, or the line was written above it.
    assert before.endswith(("\n", "\x1b[2K", "\r"))
