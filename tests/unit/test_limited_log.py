"""What anyone can cause is not written to a log without end."""

from __future__ import annotations

import logging

import pytest

from distribute import limited_log
from distribute.limited_log import LimitedLog


def test_so_many_lines_are_written_and_no_more(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_log, "MOST", 3)
    limited = LimitedLog(logging.getLogger("test"), logging.ERROR)
    for number in range(5):
        limited.write("line %d", number, error=ValueError("a cause"))
    assert [record.getMessage() for record in caplog.records] == [
        "line 0",
        "line 1",
        "line 2",
        "there were 3 such lines: no more of them are written",
    ]
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert "ValueError: a cause" in caplog.text
