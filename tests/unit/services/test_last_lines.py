"""The end of an output, as the event of a failure quotes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distribute.core.log.event_base import MAX_LINE, MAX_LINES
from distribute.core.log.events import EVENT, Finished
from distribute.results.last_lines import READ_BYTES, last_lines
from distribute.testing import builders as make


@pytest.mark.parametrize(
    ("printed", "lines"),
    [
        (b"", ()),
        (b"\n \n\n", ()),
        (b"one", ("one",)),
        (b"one\r\n\n  two \n", ("one", "  two")),
        (b" 10%\r 20%\r done\n", (" 10%", " 20%", " done")),
        (b"gr\xc3\xb6\xc3\x9fe \xff\n", ("größe \ufffd",)),
        (b"a\x00b\n", ("a\0b",)),
    ],
)
def test_the_last_lines_have_no_empty_ones_and_are_valid_text(
    tmp_path: Path, printed: bytes, lines: tuple[str, ...]
) -> None:
    stdout = tmp_path / "stdout.txt"
    stdout.write_bytes(printed)
    assert last_lines(stdout) == lines


def test_a_long_output_gives_lines_that_fit_into_an_event(tmp_path: Path) -> None:
    stdout = tmp_path / "stdout.txt"
    stdout.write_bytes(b"".join(b"line %d\n" % n for n in range(100_000)) + b"\xc3\xbc" * 150)
    found = last_lines(stdout)
    assert len(found) == MAX_LINES
    assert found[-2:] == ("line 99999", "ü" * 150)
    stdout.write_bytes("ü".encode() * 10 * READ_BYTES)
    assert [len(line) for line in last_lines(stdout)] == [MAX_LINE]
    EVENT.validate_json(make.finished(succeeded=False, last_lines=last_lines(stdout)).model_dump_json())


def test_a_job_that_replaced_its_output_gives_no_lines(tmp_path: Path) -> None:
    stdout = tmp_path / "stdout.txt"
    assert last_lines(stdout) == ()
    os.mkfifo(stdout)
    assert last_lines(stdout) == ()
    stdout.unlink()
    secret = tmp_path / "secret"
    secret.write_text("of somebody else")
    stdout.symlink_to(secret)
    assert last_lines(stdout) == ()
    stdout.unlink()
    stdout.mkdir()
    assert last_lines(stdout) == ()


def test_an_event_quotes_no_more_than_its_bounds() -> None:
    for lines in (("x" * (MAX_LINE + 1),), ("x",) * (MAX_LINES + 1)):
        with pytest.raises(ValueError, match="last_lines"):
            Finished.model_validate(make.finished().model_dump() | {"last_lines": lines})
