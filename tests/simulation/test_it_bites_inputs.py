"""The simulation finds what is broken where unused inputs are removed: each test breaks one thing."""

from collections import Counter
from itertools import product
from random import Random

import pytest

from distribute.archives import Archives, Moved
from distribute.ports import StoredInput
from distribute.sim.stored_files import StoredFiles
from distribute_services.archiver import unused_inputs
from distribute_services.archiver.service import ArchiverService
from simulation.biting import finds
from simulation.inputs import input_file
from simulation.scenario import WEATHERS, Request, Scenario, scenario
from simulation.trouble import Trouble
from simulation.world import Parts, World

KEEP_S = 120.0


def shared_inputs(random: Random) -> Scenario:
    """Batches that share inputs are submitted and deleted again and again. The store keeps none for long."""
    made = scenario(random)
    made.calm_at, made.inputs_keep_s, made.look_every_s, made.archivers = 600.0, KEEP_S, 10.0, 2
    pool = [input_file(f"file {number}") for number in range(4)]
    first, made.submissions = made.submissions, []
    for _, spec, user in first:
        with_files = spec.model_copy(update={"files": tuple(random.sample(pool, 2))})
        for moment in sorted(random.uniform(0, made.calm_at) for _ in range(3)):
            made.submissions.append((moment, with_files, user))
            made.requests.append(Request(moment + random.uniform(20, 200), "delete", spec.id))
    return made


def slow_readers(random: Random) -> Scenario:
    """The same where all that goes wrong is that messages are late, and the broker drops those who read."""
    made = shared_inputs(random)
    made.weather, made.trouble_every_s = WEATHERS[-1], 2.0
    made.inputs_keep_s, made.look_every_s = 40.0, 3.0
    return made


@pytest.fixture
def only_readers_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(self: Trouble, world: World) -> None:
        init(self, world)
        self._kinds = [self._stall_reader]

    init = Trouble.__init__
    monkeypatch.setattr(Trouble, "__init__", begin)


def test_a_batch_that_may_run_has_its_inputs() -> None:
    happened: Counter[str] = Counter()
    for seed, made in product(range(4), (shared_inputs, slow_readers, compactions)):
        world = World(seed, Parts(scenario=made))
        world.run()
        happened += world.truth.happened
    assert happened["an input is removed"] >= 10, "else this tests nothing"
    assert happened["submitted"] >= 50, "else this tests nothing"


def test_a_store_that_does_not_renew_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    put_input = StoredFiles.put_input

    def put_new(self: StoredFiles, sha256: str, content: bytes, now: float) -> None:
        if sha256 not in self.inputs:
            put_input(self, sha256, content, now)

    monkeypatch.setattr(StoredFiles, "put_input", put_new)
    finds("needs inputs that the store has lost", scenario=shared_inputs)


@pytest.mark.usefixtures("only_readers_stall")
def test_a_store_that_removes_what_was_renewed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    def remove(self: StoredFiles, unused: StoredInput) -> bool:
        self.renewed.pop(unused.sha256, None)
        return self.inputs.pop(unused.sha256, None) is not None

    monkeypatch.setattr(StoredFiles, "remove_input", remove)
    finds("needs inputs that the store has lost", scenario=slow_readers)


@pytest.mark.usefixtures("only_readers_stall")
def test_an_archiver_that_has_not_read_the_log_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read_nothing(self: ArchiverService) -> None:
        """It knows enough."""

    monkeypatch.setattr(ArchiverService, "_read_on", read_nothing)
    finds("needs inputs that the store has lost", scenario=slow_readers)


def compactions(random: Random) -> Scenario:
    """The same with an admin who compacts what is over."""
    made = shared_inputs(random)
    made.remove_after_s = 60.0
    made.requests = [one for one in made.requests if one.verb != "delete"]
    made.requests += [Request(moment, "compact") for moment in range(30, round(made.calm_at) + 300, 20)]
    return made


def test_an_archiver_that_takes_archives_for_unused_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoArchives(Archives):
        async def every(self) -> list[Moved]:
            return []

    monkeypatch.setattr(unused_inputs, "Archives", NoArchives)
    finds("no archive is ever lost", scenario=compactions)
