"""Replay a seed: `python -m tests.simulation SEED`."""

from __future__ import annotations

import argparse
import sys

from distribute.snapshot import digest

from .world import World, told


def main() -> int:
    """Print what happens with the seed, up to the end or up to the failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", metavar="SEED", type=int)
    seed = parser.parse_args().seed
    world = World(seed, tells_logs=True)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001  # whatever the code under test raises belongs to its seed
        print(told(world, seed, error), file=sys.stderr)
        return 1
    print(world.truth.trace)
    print(f"seed {seed}: everything holds for {world.loop.now:.3f} s and {len(world.truth.log)} events,")
    print(f"which add up to {digest(world.truth.state)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
