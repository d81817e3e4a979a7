"""Equal states decide equally at the same time: in every process, whatever its hash seed."""

import os
import subprocess
import sys
from pathlib import Path

import core_kit
from core_kit import Lab
from distribute.core.scheduling.agenda import Agenda
from distribute.core.scheduling.decide import decide
from distribute.core.spec.specs import Resources
from distribute.snapshot import dump, load
from distribute.testing import builders as make

DAY = """
import random
from core_kit import Lab, of
from distribute.core.spec.specs import Resources
from distribute.testing import builders as make

chance = random.Random(7)
lab = Lab()
for number in range(12):
    capabilities = frozenset(chance.sample(["gcc", "mpi", "python", "cuda", "fenics"], 3))
    gpus = ("a", "b") if number % 3 == 0 else ()
    lab.happen(make.joined(f"ws{number}", cpus=chance.choice([4, 8]), gpus=gpus, capabilities=capabilities))
for number in range(10):
    needs = frozenset(chance.sample(["gcc", "mpi", "python", "cuda"], 1))
    resources = chance.choice([None, Resources(cpus=1), Resources(cpus=3), Resources(cpus=1, gpus=1)])
    spec = make.batch(6, batch=f"b{number}", build="make", capabilities=needs, resources=resources)
    lab.happen(make.submitted(spec, user=f"user{number % 4}"))
for _ in range(6):
    made = lab.decide()
    for event in made:
        print(event.type, event.scope, getattr(event, "node", ""), getattr(event, "gpus", ""))
    lab.happen(*made)
    running = [key for node in sorted(lab.state.nodes) for key in sorted(lab.state.nodes[node].attempts)]
    for key in chance.sample(running, len(running) // 2):
        batch = lab.state.batches[key.batch]
        lab.succeed(batch.job_id(key.row), batch.active[key.row].node, batch.attempts[key.row])
"""


def told_with(hash_seed: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", DAY],
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(core_kit.__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_a_days_decisions_are_the_same_in_every_process() -> None:
    answers = {told_with(seed) for seed in ("0", "1", "2")}
    assert len(answers) == 1
    assert answers.pop().count("assigned") > 30


def told(agenda: Agenda, now: float) -> list[tuple[str, str]]:
    return [(made.event.type, str(made.event.scope)) for made in decide(agenda, now, make.new_id)]


def test_a_restored_state_decides_as_the_live_one() -> None:
    """Releases of two batches whose order differs from that of their names."""
    two = Resources(cpus=2)
    lab = Lab(*(make.joined(name) for name in ("b", "a")))
    for name in ("z", "m"):
        lab.happen(make.submitted(make.batch(2, batch=name, resources=two)))
    lab.assign()
    for name in ("z", "m"):
        lab.happen(make.kill_requested(make.batch(batch=name)))
    restored = Agenda(load(dump(lab.state)), now=lab.now)
    expected = [("released", f"lab/{batch}/job{job}") for batch in ("m", "z") for job in (1, 2)]
    assert told(lab.agenda, lab.now) == told(restored, lab.now) == expected
