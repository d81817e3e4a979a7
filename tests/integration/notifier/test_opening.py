"""Opening the channels of a `notify.yaml`: what can't send now is said at once."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import pytest

from distribute_services.notifier.opening import open_channels


async def test_each_channel_that_can_send_nothing_is_named_and_stops_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        file = tmp_path / "notify.yaml"
        file.write_text(
            "command: {run: [/nowhere/tell]}\n"
            f"webhook: {{url: 'http://127.0.0.1:{port}/hidden'}}\n"
            f"mail: {{server: 127.0.0.1, port: {port}, security: none, from: a@lab.org, domain: lab.org}}\n"
        )
        with caplog.at_level(logging.WARNING):
            channels = await open_channels(file, None, tmp_path)
    assert [channel.name for channel in channels] == ["command", "webhook", "mail"]
    said = sorted(record.getMessage().split(" can send nothing now; ")[0] for record in caplog.records)
    assert said == ["command", "mail", "webhook"]
    assert "trying again with the first message: /nowhere/tell is no program" in caplog.text
    assert "hidden" not in caplog.text
    for channel in channels:
        await channel.close()
