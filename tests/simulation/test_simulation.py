"""Thousands of worlds, each from a seed, in which the invariants hold.

DISTRIBUTE_SIM_SEEDS=20000 DISTRIBUTE_SIM_BASE=7000000 pytest tests/simulation/test_simulation.py
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from distribute.core.log.events import KINDS, ReleaseReason, type_of
from simulation.many import simulate_on_all_cores

SEEDS = int(os.environ.get("DISTRIBUTE_SIM_SEEDS", "2000"))
BASE = int(os.environ.get("DISTRIBUTE_SIM_BASE", "1"))
ENOUGH_SEEDS_TO_SEE_ALL = 1000
STORIES_TOLD = 3

NOBODY_SAYS = {"forgotten"}
TYPES = set(map(type_of, KINDS)) - {"released"}
OF_NO_FAULT = {"released: not_there"}
"""Nothing that goes wrong in these worlds makes a node lose a job while it stays: see `test_forgotten`."""
REASONS = {f"released: {reason}" for reason in get_args(ReleaseReason)} - OF_NO_FAULT
MISHAPS = {
    "SchedulerProcess killed", "ArchiverProcess killed", "RunnerProcess killed", "SchedulerProcess drained",
    "ArchiverProcess drained", "cut off", "broker is down", "broker stands still", "about nothing", "garbage",
    "results missing", "events lost", "output is read", "a reader stalls", "the disk is full", "Visit killed",
    "a batch is packed", "a packed batch changes", "forged: claimed", "forged: finished", "forged: completed",
    "a build is killed", "what a killed job left is kept", "a running job is taken up",
    "an ended job is taken up", "a computer reboots", "a runner leaves its jobs to the next",
    "a pause is answered", "a frozen process goes on",
    "an owner sits down", "what a vacated job left is kept", "a file of a running job is read",
    "forged: collected", "a batch is collected at once", "a batch is collected in parts",
    "a command in a job ends", "a command is ended: with its job",
    "a leaving node gives its jobs back at once",
    "a batch waits for its time", "a batch with max_failures goes on", "a batch gives up",
    "a batch begins after another", "a batch ends with another", "a last job begins",
    "chosen jobs run again", "NotifierProcess killed", "a message has to wait", "a message comes again",
    "many things in one message", "a person can't be reached",
    "a ledger of few events", "time in a ledger: owner", "time in a ledger: lost",
    "time in a ledger: over", "time in a ledger: paused", "time in a ledger: building",
    "an edited job begins", "a moved job goes elsewhere", "a batch is replaced", "a job is kept",
    "a compacted batch is read", "a compacted batch is deleted", "forged: compacted",
}  # fmt: skip


@pytest.mark.slow
def test_the_invariants_hold_whatever_goes_wrong(record_property: Callable[[str, object], None]) -> None:
    summary = simulate_on_all_cores(range(BASE, BASE + SEEDS))
    record_property(
        "simulated", f"{summary.worlds} worlds from seed {BASE} on; events: {sum(summary.happened.values())}"
    )
    told = "\n\n".join(list(summary.broken.values())[:STORIES_TOLD])
    assert not summary.broken, f"{told}\n{len(summary.broken)} of {SEEDS} broke: {sorted(summary.broken)}"
    missing = (TYPES - NOBODY_SAYS | REASONS | MISHAPS) - summary.happened.keys()
    assert SEEDS < ENOUGH_SEEDS_TO_SEE_ALL or not missing, f"never happened: {sorted(missing)}"


def test_a_seed_replays_exactly() -> None:
    """The replay must not depend on Python's hash seed."""

    def replay(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "tests.simulation", "17"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert replay("1").splitlines()[-2:] == replay("2").splitlines()[-2:]
