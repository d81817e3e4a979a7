"""Verify a saved log in a process of its own, and print its rate and its peak memory as JSON."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

from distribute.client.verifying import verify
from distribute.collector import collect_garbage_rarely
from distribute.saved.log import SavedCluster


async def main(path: Path) -> None:
    """Verify the log at `path`. The rate is per second of processor time."""
    collect_garbage_rarely()
    since = time.process_time()
    found = await verify(SavedCluster(path))
    seconds = time.process_time() - since
    if not found["sound"]:
        raise AssertionError(found)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": found["events"] / seconds, "peak_mb": peak_mb}))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
