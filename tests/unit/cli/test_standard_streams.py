"""Exit codes and answers do not depend on where the standard streams lead, or whether they are open."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from distribute_cli.output.plain_output import JsonOutput

TEMPLATE = ("template", "command", "--output", "-")
NO_CLUSTER = ("nodes", "--server", "nats://127.0.0.1:1")
CODES = {TEMPLATE: 0, ("--version",): 0, ("--help",): 0, NO_CLUSTER: 3, ("nonsense",): 2}
FULL = "distribute: standard output can't be written: the disk is full\n"
READER_GONE = 128 + signal.SIGPIPE


def run(
    arguments: Sequence[str], *, closed: Sequence[int] = (), stdout: int = subprocess.PIPE, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    return subprocess.run(
        [sys.executable, "-P", "-m", "distribute_cli", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | variables,
        preexec_fn=close,
        check=False,
    )


@pytest.mark.parametrize(("arguments", "code"), CODES.items())
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_streams_change_no_exit_code(
    arguments: Sequence[str], code: int, closed: Sequence[int]
) -> None:
    ended = run(arguments, closed=closed)
    assert ended.returncode == code
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", [TEMPLATE, ("--version",), ("--help",), ("add", "--help")])
def test_a_full_output_is_one_line_and_an_exit_code(arguments: Sequence[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = run(arguments, stdout=full.fileno())
    assert (ended.returncode, ended.stderr.decode()) == (1, FULL)


@pytest.mark.parametrize(("arguments", "code"), CODES.items())
def test_messages_that_can_t_be_written_change_no_exit_code(arguments: Sequence[str], code: int) -> None:
    program = [sys.executable, "-P", "-m", "distribute_cli", *arguments]
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(program, stdout=subprocess.PIPE, stderr=full, check=False)
    assert ended.returncode == code


@pytest.mark.parametrize("arguments", [TEMPLATE, ("--version",), ("--help",), ("add", "--help")])
def test_when_the_reader_has_gone_the_program_ends_silently_as_others_do(arguments: Sequence[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        ended = run(arguments, stdout=write)
    finally:
        os.close(write)
    assert (ended.returncode, ended.stderr) == (READER_GONE, b"")


PRINT_MUCH = """
from distribute.standard_streams import prepare_standard_streams
prepare_standard_streams()
print("x" * 1_000_000)
"""


def test_an_output_that_does_not_block_gets_everything() -> None:
    """As other programs that share a terminal or a pipe may leave it."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with subprocess.Popen([sys.executable, "-c", PRINT_MUCH], stdout=write) as process:
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert len(pipe.read()) == 1_000_001
    assert process.returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_utf_8_whatever_the_locale(
    encoding: str, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with open(1, "w", encoding=encoding, closefd=False) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        JsonOutput().done("", {"batch": "größe"})
    assert capfdbinary.readouterr().out == '{"batch":"größe"}\n'.encode()


def test_a_path_that_is_not_utf_8_can_be_read_from_json(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    JsonOutput().done("", {"folder": os.fsdecode(b"/tmp/\xff")})
    answer = capfdbinary.readouterr().out
    assert os.fsencode(json.loads(answer.decode())["folder"]) == b"/tmp/\xff"
