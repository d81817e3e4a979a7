"""How long a pause takes: from its message to the moment at which the last of 200 processes was seen.

A busy forker, double forks, other sessions and process groups are among them. Each process writes every 10 ms
when it was last seen. Beside it: how long until they all go on, until a kill has ended them, and what memory
the keeper has then.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil
from tests.integration.node_runner.keeping_kit import Kept, Tree, keeper

from .figure import Figure

PROCESSES = 200
TIMES = 5
TARGETS_MS = {"cgroup": 50.0, "signals": 100.0}
KEEPER_TARGET_MB = 12.0
STOPPED_S = 0.2


def run() -> list[Figure]:
    """Measure with cgroups, where this computer has them, and with signals."""
    return [figure for use_cgroups in (True, False) for figure in asyncio.run(_measure(use_cgroups))]


async def _measure(use_cgroups: bool) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        async with keeper(Path(folder), use_cgroups=use_cgroups) as kept:
            kind = kept.keeping.current.freezes_by
            if use_cgroups and kind != "cgroup":
                return []
            stops, goes = [], []
            tree = Tree(kept.folder / "seen", PROCESSES)
            name = kept.start(*tree.argv)
            for _ in range(TIMES):
                await tree.runs(since=time.monotonic())
                stop_s, go_s = await _pause(kept, tree)
                stops.append(stop_s)
                goes.append(go_s)
            memory_mb = psutil.Process(kept.keeping.current.pid).memory_info().rss / 1e6
            since = time.monotonic()
            await kept.keeping.end(name, grace_s=0)
            kill_s = time.monotonic() - since
    return [
        Figure(f"{kind}: to the last of {PROCESSES} stopped", 1e3 * median(stops), "ms", TARGETS_MS[kind]),
        Figure(f"{kind}: to the last one running again", 1e3 * median(goes), "ms"),
        Figure(f"{kind}: to the last one killed", 1e3 * kill_s, "ms"),
        Figure(f"{kind}: memory of the keeper", memory_mb, "MB", KEEPER_TARGET_MB),
    ]


async def _pause(kept: Kept, tree: Tree) -> tuple[float, float]:
    """Pause and resume. Returns the seconds until the last process has stopped, and until all go on."""
    since = time.monotonic()
    await kept.keeping.pause(60, reason="a benchmark", by="it")
    await asyncio.sleep(STOPPED_S)
    stop_s = max(tree.seen()) - since
    before = time.monotonic()
    assert max(tree.seen()) < before - STOPPED_S / 2, "all are stopped"
    await kept.keeping.resume("measured")
    while min(tree.seen()) < before:  # noqa: ASYNC110 - they notify nobody
        await asyncio.sleep(0.001)
    return stop_s, time.monotonic() - before
