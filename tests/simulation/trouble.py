"""The faults of the simulated world, until it calms down."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from distribute.core.ids import NodeId, Scope
from distribute.sim.network import Link

from .forgery import Forger

if TYPE_CHECKING:
    from .node import RunnerProcess
    from .world import World

FORGERIES_AT_ONCE = 3
LONGEST_CUTS_S = (20.0, 120.0, 300.0)


class Trouble:
    """One thing after another goes wrong: crashes, cuts, outages, services that are told to end.

    Each world has some kinds of trouble only: a cut that is long enough to matter is rare if everything else
    goes wrong, too.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        self._forger = Forger(world)
        kinds: list[Callable[[], None]] = [
            self._kill_scheduler,
            self._kill_archiver,
            self._kill_runner,
            self._kill_runner,
            self._restart_runner,
            self._reboot,
            self._cut_runner,
            self._cut_runner,
            self._cut_runner,
            self._cut_service,
            self._drain_service,
            self._stop_broker,
            self._stall_reader,
            self._fill_disk,
            self._lose_results,
            self._make_noise,
            self._forge,
        ]
        if world.notifiers:
            kinds += [self._kill_notifier, self._kill_notifier]
        if world.scenario.only_forgeries:
            kinds = [self._forge]
        self._kinds = self._random.sample(kinds, self._random.randint(1, len(kinds)))

    def begin(self) -> None:
        """Plan the next one."""
        self._world.loop.after(
            self._random.expovariate(1 / self._world.scenario.trouble_every_s), self._happen
        )

    def _happen(self) -> None:
        if not self._world.calm:
            self._random.choice(self._kinds)()
            self.begin()

    def _runner(self) -> RunnerProcess | None:
        runners = self._world.runners
        return runners[self._random.choice(sorted(runners))] if runners else None

    def _kill_scheduler(self) -> None:
        number = self._random.randrange(len(self._world.schedulers))
        self._world.schedulers[number].crash()
        self._world.later(lambda: self._world.start_scheduler(number))

    def _kill_archiver(self) -> None:
        archivers = self._world.archivers
        number = self._random.randrange(len(archivers)) if len(archivers) > 1 else 0
        archivers[number].crash()
        self._world.later(lambda: self._world.start_archiver(number))

    def _kill_notifier(self) -> None:
        notifiers = self._world.notifiers
        if notifiers:
            number = self._random.randrange(len(notifiers)) if len(notifiers) > 1 else 0
            notifiers[number].crash()
            self._world.later(lambda: self._world.start_notifier(number))

    def _kill_runner(self) -> None:
        runner = self._runner()
        if runner is not None:
            self._world.crash_runner(runner)

    def _restart_runner(self) -> None:
        """A person upgrades a node-runner: its jobs go on."""
        runner = self._runner()
        if runner is not None and runner.alive and not runner.stop.is_set():
            runner.leave_jobs()

    def _reboot(self) -> None:
        runner = self._runner()
        if runner is not None:
            self._world.reboot(runner)

    def _cut_runner(self) -> None:
        runner = self._runner()
        if runner is not None:
            self._cut(runner.link)

    def _cut_service(self) -> None:
        self._cut(self._random.choice(self._world.services).link)

    def _drain_service(self) -> None:
        service = self._random.choice(self._world.services)
        if service.alive:
            service.drain()

    def _stop_broker(self) -> None:
        broker = self._world.broker
        what = self._random.choice(("stands still", "is down"))
        self._note("broker", what)
        self._world.truth.happened[f"broker {what}"] += 1
        if what == "stands still":
            broker.stand_still()
        else:
            lost = self._random.choice((0, 0, 1, 1, 2, 5))
            broker.crash(lost if self._may_lose(lost) else 0)
        self._world.later(broker.come_up)

    def _may_lose(self, count: int) -> bool:
        """May the broker lose so many? Once it removes events, what moved them is on its disk."""
        broker = self._world.broker
        end = broker.stored.last_seq
        since = broker.clock - self._world.scenario.remove_after_s
        return not self._world.scenario.compacts or all(
            recorded.time > since for recorded in broker.stored.between(end - count, end)
        )

    def _stall_reader(self) -> None:
        """The broker drops what delivers to one reader. Its process stays connected."""
        links = [process.link for process in self._world.processes]
        readers = [reader for link in links if link.connected for reader in link.followers]
        if readers:
            self._note("broker", "drops a consumer")
            self._world.truth.happened["a reader stalls"] += 1
            self._random.choice(readers).stall()

    def _fill_disk(self) -> None:
        """Somebody fills the broker's disk, and tidies up after a while."""
        files = self._world.broker.files
        self._note("broker", "has a full disk")
        self._world.truth.happened["the disk is full"] += 1
        files.is_full = True

        def tidy_up() -> None:
            files.is_full = False

        self._world.later(tidy_up)

    def _cut(self, link: Link) -> None:
        self._note("network", "is cut")
        self._world.truth.happened["cut off"] += 1
        link.cut()
        self._world.loop.after(self._world.uniform(self._random.choice(LONGEST_CUTS_S)), link.heal)

    def _lose_results(self) -> None:
        """Lose an object of the store, as a damaged disk or a person who tidies up does."""
        files = self._world.broker.files
        if uncommitted := files.uncommitted():
            files.lose(self._random.choice(uncommitted))
            self._world.truth.happened["results lost"] += 1

    def _make_noise(self) -> None:
        """Publish an unreadable message on a subject in use."""
        state = self._world.truth.state
        scopes: list[Scope] = [NodeId(name) for name in sorted(state.nodes)]
        for batch_id in sorted(state.batches):
            batch = state.batches[batch_id]
            scopes += [batch_id, *(batch.job_id(row) for row in sorted(batch.active))]
        if scopes:
            scope = self._random.choice(scopes)
            self._note("somebody", f"publishes garbage on {scope}")
            self._world.truth.happened["garbage"] += 1
            self._world.broker.publish_unguarded(b"garbage", scope)

    def _forge(self) -> None:
        """Publish some events that nobody may act on."""
        for _ in range(self._random.randint(1, FORGERIES_AT_ONCE)):
            forgery = self._forger.forge()
            if forgery is not None:
                self._world.truth.happened["forgeries published"] += 1
                self._world.broker.publish_unguarded(forgery.body, forgery.scope)

    def _note(self, who: str, what: str) -> None:
        self._world.truth.note(who, what)
