"""Servers of others for tests: a script in `infra/` runs each, in a folder of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENDS_WITHIN_S = 600
"""Ends only what hangs: SLURM needs some minutes by itself for some of what the tests ask of it."""


@contextmanager
def running_script(
    name: str, folder: Path, *words: str, env: Mapping[str, str] | None = None
) -> Iterator[tuple[str, str]]:
    """Run `infra/NAME` with all its files in `folder`. It ends with the block, or when this process dies.

    Yields the line that it prints when it is ready, and what it wrote to its errors by then.
    """
    log = folder / f"{name}.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            ["sh", ROOT / "infra" / name, folder, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=env,
            process_group=0,  # Ctrl-C does not reach it: it ends when its input does
        ) as script,
    ):
        assert script.stdin is not None
        assert script.stdout is not None
        try:
            yield script.stdout.readline().strip(), log.read_text()
        finally:
            script.stdin.close()
            script.wait(ENDS_WITHIN_S)
