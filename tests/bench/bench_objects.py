"""MB/s of one large result: from a file into the store, and from there into a file under its name.

`DISTRIBUTE_BENCH_OBJECT_MB` sets its size; the documented figures are for 1,000 MB. The floors are `dd` with
`conv=fdatasync` on the same bytes, and `sha256sum`.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from distribute.core.files.manifest import StoredObject
from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster, open_cluster

from .figure import Figure, Floor

SIZE_MB = int(os.environ.get("DISTRIBUTE_BENCH_OBJECT_MB", "256"))
TARGET = 500.0
PIECE_BYTES = 1 << 20
NAME = "bench/objects/large/1/0"
NODE = "node"


def run() -> list[Figure]:
    """Put one file, and get it again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        _write_random(source)
        copying = _rate(["dd", f"if={source}", f"of={folder / 'copy'}", "bs=1M", "conv=fdatasync"])
        (folder / "copy").unlink()
        hashing = _rate(["sha256sum", str(source)])
        up, down = asyncio.run(_measure(folder, source))
    disk, digest = Floor("dd conv=fdatasync", copying), Floor("sha256sum", hashing)
    return [
        Figure(f"up, {SIZE_MB} MB", up, "MB/s", TARGET, disk),
        Figure(f"down, {SIZE_MB} MB", down, "MB/s", TARGET, disk),
        Figure("both, one after another", 1 / (1 / up + 1 / down), "MB/s", None, digest),
    ]


async def _measure(folder: Path, source: Path) -> tuple[float, float]:
    async with (
        Broker(folder / "broker", die_with_parent=True) as broker,
        open_cluster(broker.address, "benchmark", provisioning=True) as cluster,
    ):
        since = time.perf_counter()
        stored = await _put(cluster, source)
        between = time.perf_counter()
        await cluster.store.fetch_result(stored, folder / "fetched")
        until = time.perf_counter()
    return SIZE_MB / (between - since), SIZE_MB / (until - between)


async def _put(cluster: Cluster, source: Path) -> StoredObject:
    stored = await cluster.store.put_result(NAME, NODE, _pieces(source))
    await cluster.store.commit_result(stored)
    return stored


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


def _write_random(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(SIZE_MB):
            file.write(os.urandom(1_000_000))
        os.fsync(file.fileno())


def _rate(command: list[str]) -> float:
    since = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return SIZE_MB / (time.perf_counter() - since)
