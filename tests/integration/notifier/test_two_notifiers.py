"""Two notifiers of one cluster, as processes, on a real log: each thing is told once."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from distribute.client.channels import ask_channels
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster
from distribute.testing import builders as make
from integration.notifier.told_kit import killed, until_told
from log_kit import append
from notifier_kit import WITHIN_S

TELL = """\
import json, sys
with open(sys.argv[1], "a") as taken:
    print(json.load(sys.stdin)["subject"], file=taken)
"""


async def start(broker: Broker, folder: Path, taken: Path) -> asyncio.subprocess.Process:
    folder.mkdir()
    config = {"command": {"run": [sys.executable, "-c", TELL, str(taken)]}}
    (folder / "notify.yaml").write_text(json.dumps(config))
    options = ["--notify-config", str(folder / "notify.yaml"), "--folder", str(folder)]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "distribute_services", "notifier",
        "--server", broker.address.urls[0], *options, cwd=folder, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def until_logged(notifier: asyncio.subprocess.Process, text: str) -> None:
    assert notifier.stderr is not None
    while text not in (line := (await notifier.stderr.readline()).decode()):
        assert line, f"it ended before it logged {text!r}"


async def test_the_second_waits_and_goes_on_when_the_first_is_killed(
    broker: Broker, cluster: Cluster, tmp_path: Path
) -> None:
    taken = tmp_path / "taken"
    notifiers = [await start(broker, tmp_path / "first", taken)]
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await ask_channels(cluster):  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.01)
            notifiers.append(await start(broker, tmp_path / "second", taken))
            await until_logged(notifiers[1], "another notifier tells people")
            for name in ("one", "two", "three"):
                spec = make.batch(batch=name)
                if name == "three":
                    notifiers[0].send_signal(signal.SIGKILL)
                    await notifiers[0].wait()
                await append(cluster, *killed(spec))
                await until_told(cluster, [spec])
    finally:
        for notifier in notifiers:
            if notifier.returncode is None:
                notifier.send_signal(signal.SIGTERM)
            await notifier.communicate()
    told = [f"lab/{name} was killed by jane" for name in ("one", "two", "three")]
    assert taken.read_text().splitlines() == told
