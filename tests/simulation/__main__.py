"""Replays a seed: `python -m tests.simulation SEED`."""

from __future__ import annotations

import sys

from .stories import Broken
from .world import simulate


def main() -> int:
    """Tell what happens with the seed, to the end or to where it breaks."""
    seed = int(sys.argv[1])
    try:
        world = simulate(seed)
    except Broken as broken:
        print(broken, file=sys.stderr)
        return 1
    print(world.truth.trace)
    print(f"seed {seed}: {len(world.truth.log)} events in {world.timeline.now:.0f} s, and everything holds")
    return 0


sys.exit(main())
