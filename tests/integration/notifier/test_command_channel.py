"""The channel `command` with real programs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psutil
import pytest

from distribute.config.settings.notify_settings import CommandChannel as Settings
from distribute_services.notifier.channel import Unavailable, Undeliverable
from distribute_services.notifier.channels.command import CommandChannel
from notifier_kit import MESSAGE


def channel_of(*run: str, timeout_s: float = 60.0) -> CommandChannel:
    return CommandChannel(Settings(run=run, timeout=timeout_s))


async def test_a_program_gets_the_message_as_json(tmp_path: Path) -> None:
    await channel_of("sh", "-c", 'cat > "$0"', str(tmp_path / "got")).send(MESSAGE)
    got = json.loads((tmp_path / "got").read_text())
    assert got["to"] == "jane"
    assert got["facts"] == {"news": "end"}
    assert set(got) == {"key", "to", "subject", "plain", "html", "facts"}


@pytest.mark.parametrize(
    ("line", "error", "reason"),
    [
        ("echo 'no such user' >&2; exit 67", Undeliverable, "sh ended with exit code 67: no such user"),
        ("echo a >&2; echo b >&2; exit 1", Unavailable, "sh ended with exit code 1: b"),
        ("exec 0<&-; exit 0", None, ""),
        ("kill -9 $$", Unavailable, "sh was ended by SIGKILL"),
    ],
)
async def test_the_exit_code_says_whether_to_try_again(
    line: str, error: type[Exception] | None, reason: str
) -> None:
    if error is None:
        await channel_of("sh", "-c", line).send(MESSAGE)
        return
    with pytest.raises(error) as raised:
        await channel_of("sh", "-c", line).send(MESSAGE)
    assert str(raised.value) == reason


async def test_a_check_finds_the_program_and_does_not_run_it(tmp_path: Path) -> None:
    await channel_of("sh", "-c", 'touch "$0"', str(tmp_path / "ran")).check()
    assert not (tmp_path / "ran").exists()
    with pytest.raises(Unavailable, match="/nowhere/tell is no program that this user can run"):
        await channel_of("/nowhere/tell").check()


async def test_a_program_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(Unavailable, match="/nowhere/tell can't be started: there is no such file"):
        await channel_of("/nowhere/tell").send(MESSAGE)


async def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    line = 'sleep 600 & echo $! > "$0"; wait'
    with pytest.raises(Unavailable, match=r"sh took longer than 3 s"):
        await channel_of("sh", "-c", line, str(tmp_path / "pid"), timeout_s=3.0).send(MESSAGE)
    child = int((tmp_path / "pid").read_text())
    async with asyncio.timeout(60):
        while _runs(child):  # noqa: ASYNC110 - nobody tells us of the end of a grandchild
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
