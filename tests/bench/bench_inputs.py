"""Seconds from a batch's file to its submission: the first batch with inputs, and the next one.

`DISTRIBUTE_BENCH_INPUT_MB` is the size of the image, `DISTRIBUTE_BENCH_INPUT_FILES` the number of files, of
1 KB each, in the folder. What the next batch sends is counted in messages that the store has more.
"""

from __future__ import annotations

import asyncio
import os
import resource
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from distribute.client.person import Person
from distribute.client.submit import submit
from distribute.config.loading import load
from distribute.inputs.digests import Digests
from distribute.nats.broker.embedded import Broker
from distribute.nats.client import jetstream
from distribute.nats.client.connect import connect
from distribute.nats.cluster import open_cluster
from distribute.runtime import new_id

from .figure import Figure

IMAGE_MB = int(os.environ.get("DISTRIBUTE_BENCH_INPUT_MB", "2000"))
FILES = int(os.environ.get("DISTRIBUTE_BENCH_INPUT_FILES", "100000"))
SETTLED_S = 3.0
"""So old is a file whose digest is remembered."""


def run() -> list[Figure]:
    """Submit four batches: two with an image, two with a folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_image(folder / "image.sif")
        _write_files(folder / "case")
        time.sleep(SETTLED_S)
        return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> list[Figure]:
    figures: list[Figure] = []
    async with Broker(folder / "broker", die_with_parent=True) as broker:
        for what, path in ((f"{IMAGE_MB} MB image", "image.sif"), (f"{FILES:,} files of 1 KB", "case")):
            first, _ = await _submit(broker, folder, f"first-{path}", path)
            again, sent = await _submit(broker, folder, f"again-{path}", path)
            target = 1.0 if path == "image.sif" else None
            figures += [
                Figure(f"first batch, {what}", first, "s"),
                Figure(f"the next, {what}", again, "s", target),
                Figure("messages that the next sends to the store", sent, "", 0),
            ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    return [*figures, Figure("peak memory of whoever submits", peak, "MB", 300)]


async def _submit(broker: Broker, folder: Path, batch: str, path: str) -> tuple[float, int]:
    """Submit a batch. Returns the seconds that took, and how many messages came to the store."""
    file = folder / f"{batch}.yaml"
    file.write_text(
        f"meta: {{namespace: bench, batch_name: {batch}}}\n"
        f"command: {{jobs: [{{name: a, command: 'true', required_files: [{path}]}}]}}\n"
    )
    async with open_cluster(broker.address, "benchmark", provisioning=True) as cluster:
        before = await _stored(broker)
        since = time.perf_counter()
        with Digests.kept_in(folder / "cache") as digests:
            loaded = load(file, digests)
        person = Person("jane", new_id, lambda: datetime.now(UTC))
        await submit(cluster, person, loaded.spec, loaded.sources)
        return time.perf_counter() - since, await _stored(broker) - before


async def _stored(broker: Broker) -> int:
    connection = await connect(broker.address, "benchmark")
    try:
        answer = await jetstream.call(connection, "STREAM.INFO.OBJ_inputs", {})
        return int(answer["state"]["last_seq"])
    finally:
        await connection.close()


def _write_image(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(IMAGE_MB):
            file.write(os.urandom(1_000_000))


def _write_files(folder: Path) -> None:
    for number in range(FILES):
        path = folder / f"{number // 1000:03}" / f"{number:06}.dat"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(1000))
