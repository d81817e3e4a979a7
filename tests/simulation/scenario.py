"""Scenarios: the computers, the people's actions and the faults that a seed gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Literal, NamedTuple

from distribute.core.ids import BatchId, JobId
from distribute.core.spec.named_inputs import DEFAULT_INPUTS_KEEP_S
from distribute.core.spec.specs import BatchSpec, CommandJob, CommandWork, GpuKind, Resources, When
from distribute.sim.computer import ModelledComputer
from distribute.sim.network import EPOCH_S, Weather
from distribute.testing.builders import GIB
from distribute_services.archiver.unused_inputs import LOOK_EVERY_S

from .last_jobs import with_last_job

USERS = ("ann", "bob", "eve")
CAPABILITIES = ("gcc", "fenics")
NOWHERE = "quantum"
"""A capability that no computer has."""
BUILD_TIMEOUT_S = 6.0
LONGEST_WAIT_S = 500.0
"""Batches that wait for a time wait for no more: longer than the schedulers' clocks are wrong."""
PAUSES_S = (1.0, 10.0, 40.0, 120.0)

CLEAR = Weather()
WEATHERS = (
    CLEAR,
    Weather(delay_s=2.0),
    Weather(
        loss=0.01, delay_s=0.05, stall=0.01, stall_s=5.0, repeat=0.05, transfer_s=1.0, slow=0.02, slow_s=30.0
    ),
    Weather(
        loss=0.08, delay_s=0.3, stall=0.05, stall_s=20.0, repeat=0.2, transfer_s=3.0, slow=0.05, slow_s=90.0
    ),
)

Verb = Literal[
    "kill",
    "kill_job",
    "kill_queued",
    "retry",
    "retry_jobs",
    "hold",
    "edit",
    "move",
    "release",
    "delete",
    "replace",
    "keep",
    "reprioritize",
    "drain",
    "undrain",
    "list",
    "pause",
    "pause_here",
    "resume",
    "sit_down",
    "leave",
    "logs",
    "collect",
    "compact",
]
VERBS: tuple[Verb, ...] = (
    "kill", "kill", "kill_job", "kill_job", "kill_queued", "retry", "retry", "delete",
    "replace", "replace", "reprioritize", "drain", "undrain", "leave", "logs", "logs", "logs",
)  # fmt: skip


PAUSES: tuple[Verb, ...] = ("pause", "pause", "pause_here", "resume")


@dataclass(slots=True, eq=False)
class Computer(ModelledComputer):
    """A computer of the world."""

    broken: bool = False
    """Every job fails there, at once."""
    pause_when_active_s: float | None = None
    vacate_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fate:
    """How a job ends, on any node."""

    duration_s: float
    failures: int = 0
    """So many of its attempts fail."""
    deadly: bool = False
    """It takes its node's runner down."""


class Request(NamedTuple):
    """A person's action on a batch, or on any batch."""

    moment: float
    verb: Verb
    batch: BatchId | None = None


@dataclass(slots=True)
class Scenario:
    """Everything that is drawn before the world begins."""

    computers: list[Computer]
    schedulers: int
    replicated: bool
    weather: Weather
    trouble_every_s: float
    """Seconds between two crashes or cuts, on average; 0: there are none."""
    calm_at: float
    """Nothing goes wrong from this time on."""
    pack_after_s: float = 0.0
    """Batches that ended so long ago are packed; below 0: at once, however wrong the clock is."""
    archivers: int = 1
    remove_after_s: float = 0.0
    """The events in an archive are removed so long after they were moved there."""
    inputs_keep_s: float = DEFAULT_INPUTS_KEEP_S
    """Inputs that no batch has named for so long are removed."""
    look_every_s: float = LOOK_EVERY_S
    """So often the archiver looks for such inputs."""
    only_forgeries: bool = False
    """All that goes wrong is that somebody publishes forged events."""
    submissions: list[tuple[float, BatchSpec, str]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    fates: dict[JobId, Fate] = field(default_factory=dict)
    after: dict[BatchId, list[tuple[BatchId, When]]] = field(default_factory=dict)
    """The batches that some wait for."""
    failing_builds: set[tuple[BatchId, str]] = field(default_factory=set)

    @property
    def compacts(self) -> bool:
        """Are batches compacted?"""
        return any(request.verb == "compact" for request in self.requests)

    @property
    def is_untroubled(self) -> bool:
        """Does nothing go wrong in this world but jobs?"""
        return self.weather is CLEAR and not self.trouble_every_s

    @property
    def work_s(self) -> float:
        """How long all jobs would take one after another, each as often as it may run."""
        return sum(
            self.fates[JobId(*spec.id, job.name)].duration_s * (spec.retries + 2)
            for _, spec, _ in self.submissions
            for job in spec.work.jobs
        )


def scenario(random: Random) -> Scenario:
    """Draw one."""
    calm_at = random.uniform(60, 180)
    made = Scenario(
        computers=[_computer(random, number) for number in range(1, random.randint(2, 6) + 1)],
        schedulers=random.choice((1, 2)),
        replicated=random.random() < 0.3,
        weather=random.choice(WEATHERS),
        trouble_every_s=random.choice((0.0, 8.0, 20.0, 60.0)),
        calm_at=calm_at,
    )
    for number in range(1, random.randint(1, 6) + 1):
        spec = _batch(random, made, f"b{number}")
        made.submissions.append((random.uniform(0, calm_at * 0.7), spec, random.choice(USERS)))
        _decide_fates(random, made, spec)
    if random.random() < 0.7:
        moments = sorted(random.uniform(1, calm_at) for _ in range(random.randint(1, 8)))
        made.requests = [Request(moment, random.choice(VERBS)) for moment in moments]
    if random.random() < 0.3:
        made.requests += [_second_thought(random, at, spec.id) for at, spec, _ in made.submissions]
    made.pack_after_s = random.choice((-600.0, 0.0, 60.0))
    made.requests += _pauses(Random(calm_at), calm_at)
    made.requests += _owners(Random(-calm_at), made)
    made.requests += _lists(Random(calm_at + 1), calm_at)
    made.requests += _collectors(Random(calm_at + 2), calm_at)
    _limit(Random(calm_at + 3), made)
    made.requests += _holders(Random(calm_at + 4), made)
    made.requests += _changers(Random(calm_at + 5), made)
    made.requests += _keepers(Random(calm_at + 6), made)
    made.requests += _compactions(Random(calm_at + 7), calm_at)
    if made.compacts:
        made.remove_after_s = Random(calm_at + 8).choice((0.0, 10.0, 60.0, 180.0))
        made.archivers = Random(calm_at + 9).choice((1, 1, 2))
    return made


def _pauses(random: Random, calm_at: float) -> list[Request]:
    """In some worlds, people pause and resume computers again and again."""
    if random.random() < 0.7:
        return []
    moments = sorted(random.uniform(1, calm_at) for _ in range(random.randint(1, 12)))
    return [Request(moment, random.choice(PAUSES)) for moment in moments]


def _lists(random: Random, calm_at: float) -> list[Request]:
    """In some worlds, the head is started again and again with another nodes file."""
    if random.random() < 0.7:
        return []
    return [Request(random.uniform(0, calm_at), "list") for _ in range(random.randint(1, 4))]


def _owners(random: Random, made: Scenario) -> list[Request]:
    """In some worlds, computers have owners who use them now and then, and want them for themselves then."""
    if random.random() < 0.7:
        return []
    for computer in made.computers:
        computer.pause_when_active_s = random.choice((None, 3.0, 20.0))
        computer.vacate_after_s = random.choice((None, 5.0, 15.0))
    moments = sorted(random.uniform(1, made.calm_at) for _ in range(random.randint(1, 12)))
    return [Request(moment, "sit_down") for moment in moments]


def _collectors(random: Random, calm_at: float) -> list[Request]:
    """In some worlds, people bring in batches that ran elsewhere."""
    if random.random() < 0.7:
        return []
    return [Request(random.uniform(1, calm_at), "collect") for _ in range(random.randint(1, 4))]


def _holders(random: Random, made: Scenario) -> list[Request]:
    """In some worlds, people hold batches, release them, and choose jobs that run again."""
    if random.random() < 0.6:
        return []
    requests = []
    for at, spec, _ in made.submissions:
        for verb in random.choices(("hold", "hold", "release", "retry_jobs", "retry_jobs"), k=3):
            requests.append(Request(random.uniform(at, made.calm_at), verb, spec.id))
    return requests


def _changers(random: Random, made: Scenario) -> list[Request]:
    """In some worlds, people edit batches and move jobs, also while the first jobs are given to nodes."""
    if random.random() < 0.6:
        return []
    requests = []
    for at, spec, _ in made.submissions:
        moments = [at + random.expovariate(1.0), *(random.uniform(at, made.calm_at) for _ in range(3))]
        requests += [Request(moment, random.choice(("edit", "move")), spec.id) for moment in moments]
    return requests


def _keepers(random: Random, made: Scenario) -> list[Request]:
    """In some worlds, people change the files of batches, and keep what succeeded; some do so twice."""
    if random.random() < 0.7:
        return []
    return [
        Request(random.uniform(at, made.calm_at), "keep", spec.id)
        for at, spec, _ in made.submissions
        for _ in range(random.randint(0, 2))
    ]


def _compactions(random: Random, calm_at: float) -> list[Request]:
    """In some worlds, an admin compacts what is over, again and again."""
    if random.random() < 0.7:
        return []
    moments = sorted(random.uniform(20, calm_at + 60) for _ in range(random.randint(2, 8)))
    return [Request(moment, "compact") for moment in moments]


def _limit(random: Random, made: Scenario) -> None:
    """In some worlds, batches limit themselves: what runs at a time, what may fail, and when they begin."""
    if random.random() < 0.5:
        return
    for place, (at, spec, user) in enumerate(made.submissions):
        at_log = EPOCH_S + at + random.uniform(-60, LONGEST_WAIT_S)
        limits = {
            "max_running": random.choice((None, 1, 1, 2, 3)),
            "max_failures": random.choice((None, None, 1, 2)),
            "not_before": datetime.fromtimestamp(at_log, UTC) if random.random() < 0.3 else None,
        }
        limited = spec.model_copy(update=limits)
        made.submissions[place] = at, with_last_job(limited) if random.random() < 0.4 else limited, user
        earlier = [other.id for when, other, _ in made.submissions if when < at]
        if earlier and random.random() < 0.5:
            named = random.sample(earlier, random.randint(1, min(2, len(earlier))))
            made.after[spec.id] = [(batch, random.choice(("succeeded", "any"))) for batch in named]


def _second_thought(random: Random, submitted_at: float, batch: BatchId) -> Request:
    """A person takes a batch back while its first jobs are being given to nodes."""
    moment = submitted_at + random.expovariate(2.0)
    return Request(moment, random.choice(("kill", "kill", "delete", "replace")), batch)


def _computer(random: Random, number: int) -> Computer:
    gpus = random.choice((0, 0, 0, 1, 2))
    return Computer(
        name=f"ws{number}",
        cpus=random.choice((1, 2, 4, 8)),
        memory_bytes=random.choice((4, 16)) * GIB,
        gpus=tuple(random.choice(("gpu old", "gpu new")) for _ in range(gpus)),
        gpu_memory_bytes=tuple(random.choice((0, 8, 24)) * GIB for _ in range(gpus)),
        capabilities=frozenset(name for name in CAPABILITIES if random.random() < 0.8),
        broken=random.random() < 0.1,
        clock_offset_s=random.choice((0.0, random.uniform(-300, 300))),
        clock_rate=random.choice((1.0, random.uniform(0.99, 1.01))),
    )


def _batch(random: Random, made: Scenario, name: str) -> BatchSpec:
    size = random.choice((1, 2, 5, 12, 25))
    shapes = [_resources(random, made) for _ in range(random.choice((1, 1, 2, 3)))]
    jobs = tuple(CommandJob(name=f"j{n}", command="x", resources=random.choice(shapes)) for n in range(size))
    return BatchSpec(
        namespace="lab",
        batch=name,
        capabilities=_needed_capabilities(random, made),
        priority=random.choice((0, 0, 0, 5, -5)),
        retries=random.choice((0, 0, 1, 3)),
        build_timeout_s=random.choice((None, None, BUILD_TIMEOUT_S)),
        grace_s=random.choice((None, None, 0.0, 20.0)),
        work=CommandWork(build=random.choice((None, "make")), jobs=jobs),
    )


def _needed_capabilities(random: Random, made: Scenario) -> frozenset[str]:
    if random.random() < 0.04:
        return frozenset({NOWHERE})
    offered = sorted(random.choice(made.computers).capabilities)
    return frozenset(random.sample(offered, random.randint(0, min(1, len(offered)))))


def _resources(random: Random, made: Scenario) -> Resources | None:
    """Something that at least one computer has; None, which is a whole node, now and then."""
    if random.random() < 0.25:
        return None
    computer = random.choice(made.computers)
    gpus = random.randint(0, len(computer.gpus))
    kind = None
    if gpus and random.random() < 0.4:
        model, memory_bytes = random.choice(list(zip(computer.gpus, computer.gpu_memory_bytes, strict=True)))
        alike = zip(computer.gpus, computer.gpu_memory_bytes, strict=True)
        gpus = sum(name == model and size >= memory_bytes for name, size in alike)
        kind = GpuKind(memory_bytes=memory_bytes, model=model.upper())
    return Resources(
        cpus=random.choice((1, 1, random.randint(1, computer.cpus))),
        memory_bytes=random.choice((0, GIB, computer.memory_bytes)),
        gpus=gpus,
        gpu_kind=kind,
    )


def _decide_fates(random: Random, made: Scenario, spec: BatchSpec) -> None:
    longest_s = 150.0 if len(spec.work.jobs) <= 2 else 2.0
    duration_s = random.choice((0.0, 0.1, 2.0, 15.0, 40.0, longest_s))
    bad_share = random.choice((0.0, 0.0, 0.1, 0.5, 1.0))
    for job in spec.work.jobs:
        failures = random.choice((1, 1, 2, 1000)) if random.random() < bad_share else 0
        made.fates[JobId(spec.namespace, spec.batch, job.name)] = Fate(
            duration_s * random.uniform(0.5, 1.5), failures, deadly=random.random() < 0.005
        )
    failing_share = random.choice((0.0, 0.0, 0.0, 0.5, 1.0))
    made.failing_builds.update(
        (spec.id, computer.name) for computer in made.computers if random.random() < failing_share
    )
