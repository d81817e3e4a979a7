"""The notifier killed at every step, on a real log: each thing is told once, and noted once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from distribute.client.channels import ask_channels
from distribute.core.log.events import Notified
from distribute.core.spec.specs import BatchSpec
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster
from distribute.testing import builders as make
from distribute_services.notifier.logic import MOST_SINGLE
from distribute_services.notifier.service import NotifierService
from integration.notifier.told_kit import NOTIFIED, killed, until_told
from log_kit import append
from notifier_kit import WITHIN_S, Remembering, notifier_of

FEW, MANY = 1, MOST_SINGLE + 2


class Killed(BaseException):
    """The notifier ends here, without any handler of errors."""


class Steps:
    """Counts what a notifier does outside itself. Kills it at one step: before it, or just after it."""

    def __init__(self, kill_at: int, *, after: bool) -> None:
        self._left = kill_at
        self._after = after
        self.was_reached = False

    async def step(self, doing: Any) -> Any:
        self._left -= 1
        self.was_reached |= self._left < 0
        if self._left == -1 and not self._after:
            doing.close() if asyncio.iscoroutine(doing) else doing.cancel()
            raise Killed
        done = await doing
        if self._left == -1:
            raise Killed
        return done


class Stepwise:
    """A part of a cluster, or a channel, some of whose methods are steps."""

    def __init__(self, of: Any, steps: Steps, *methods: str) -> None:
        self._of = of
        self._steps = steps
        self._methods = methods

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if name not in self._methods:
            return found
        return lambda *arguments: self._steps.step(found(*arguments))


class StepwiseCluster:
    """A cluster in which appending, and writing the note, are steps."""

    def __init__(self, cluster: Cluster, steps: Steps) -> None:
        self.log = Stepwise(cluster.log, steps, "append")
        self.store = Stepwise(cluster.store, steps, "replace_snapshot")
        self.queries = cluster.queries


async def notified(cluster: Cluster) -> list[Notified]:
    """What the log says was told."""
    found: list[Notified] = []
    async for records in cluster.log.follow(after=0, only=NOTIFIED, until=await cluster.log.last_seq()):
        found += (recorded.event for recorded in records if isinstance(recorded.event, Notified))
    return found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("count", [FEW, MANY])
async def test_a_notifier_killed_at_any_step_tells_each_thing_once(
    cluster: Cluster, count: int, after: bool
) -> None:
    mail = Remembering()
    async with notifier_of(cluster, mail):
        pass  # it notes since when it is there
    for kill_at in range(1000):
        batches = [make.batch(batch=f"at{kill_at}-{number}") for number in range(count)]
        for spec in batches:
            await append(cluster, *killed(spec))
        steps, before = Steps(kill_at, after=after), len(mail.taken)
        service = NotifierService(StepwiseCluster(cluster, steps), [Stepwise(mail, steps, "send")])  # type: ignore[arg-type, list-item]
        stop = asyncio.Event()
        running = asyncio.create_task(_until_killed(service, stop))
        telling = asyncio.create_task(until_told(cluster, batches))
        await asyncio.wait({running, telling}, timeout=WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        await running
        async with notifier_of(cluster, mail):
            await telling
        assert len(mail.taken) == before + 1, f"killed at step {kill_at}"
        assert set(Counter(await _told(cluster, batches)).values()) == {1}
        if not steps.was_reached:
            assert kill_at > count + 1
            return
    raise AssertionError("the notifier never came to its end")


async def _until_killed(service: NotifierService, stop: asyncio.Event) -> None:
    with contextlib.suppress(Killed):
        await service.run(stop)


async def _told(cluster: Cluster, batches: Sequence[BatchSpec]) -> list[str]:
    names = {spec.batch for spec in batches}
    return [event.batch for event in await notified(cluster) if event.batch in names]


TELL = """\
import json, os, signal, sys
from pathlib import Path
folder = Path(sys.argv[1])
message = json.load(sys.stdin)
def die_if(when):
    if (folder / when).exists():
        (folder / when).unlink()
        os.kill(os.getppid(), signal.SIGKILL)
        sys.exit(1)
die_if("before")
with (folder / "taken").open("a") as taken:
    print(message["key"], message["subject"], file=taken)
die_if("after")
"""


async def start(broker: Broker, folder: Path) -> asyncio.subprocess.Process:
    """A notifier as a process, whose channel is a program that kills it when the test says so."""
    config = {"command": {"run": [sys.executable, "-c", TELL, str(folder)]}}
    (folder / "notify.yaml").write_text(json.dumps(config))
    options = ["--notify-config", str(folder / "notify.yaml"), "--folder", str(folder)]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "distribute_services", "notifier",
        "--server", broker.address.urls[0], *options, cwd=folder,
    )  # fmt: skip


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_process_killed_while_it_sends_sends_the_same_message_again(
    broker: Broker, cluster: Cluster, tmp_path: Path, when: str
) -> None:
    notifier = await start(broker, tmp_path)
    try:
        async with asyncio.timeout(WITHIN_S):
            while not await ask_channels(cluster):  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.01)
            (tmp_path / when).touch()
            await append(cluster, *killed(make.batch(batch="first")))
            assert await notifier.wait() == -signal.SIGKILL
            later = [make.batch(batch=f"later{number}") for number in range(MANY)]
            for spec in later:
                await append(cluster, *killed(spec))
            notifier = await start(broker, tmp_path)
            await until_told(cluster, later)
    finally:
        if notifier.returncode is None:
            notifier.send_signal(signal.SIGTERM)
        await notifier.wait()
    taken = [line.split(" ", 1) for line in (tmp_path / "taken").read_text().splitlines()]
    again = ["lab/first was killed by jane"] * (2 if when == "after" else 1)
    assert [subject for _, subject in taken] == [*again, f"news of {MANY} batches: {MANY} killed"]
    assert len({key for key, _ in taken}) == 2
