"""What anyone can cause is not written to a log without end."""

from __future__ import annotations

import logging

import pytest

from distribute import limited_log
from distribute.limited_log import LimitedLog, Trouble


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


def test_a_trouble_of_a_loop_is_logged_when_it_begins_and_when_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trouble = Trouble(logging.getLogger("test"))
    trouble.is_over("it works")
    for _ in range(2):
        for number in range(3):
            trouble.occurs("it fails: %d", number)
        trouble.is_over("it works again")
    once = ["it fails: 0", "it works again, after 3 failures"]
    assert [record.getMessage() for record in caplog.records] == once + once
