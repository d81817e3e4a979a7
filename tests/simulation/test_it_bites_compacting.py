"""The simulation finds what is broken where batches are compacted: each test breaks one thing."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from random import Random
from typing import Any

import pytest

from distribute.archives import NOW, Archives, Moved
from distribute.client import retrying
from distribute.core.log.recorded import Recorded
from distribute.ports import Only
from distribute.saved.log import SavedLog
from distribute_services.archiver.service import ArchiverService
from distribute_services.notifier.logic import Queue
from distribute_services.notifier.service import NotifierService
from simulation.biting import finds, forgers
from simulation.scenario import Request, Scenario, scenario
from simulation.trouble import Trouble
from simulation.world import Parts, simulate

LATE_S = 40.0
SLOW_WORLDS = 12


def _compacts(made: Scenario) -> Scenario:
    made.requests += [Request(moment, "compact") for moment in range(30, round(made.calm_at) + 60, 20)]
    return made


def forged_compactions(random: Random) -> Scenario:
    """An admin who compacts what is over, and somebody who forges what the archiver says."""
    made = _compacts(forgers(random))
    made.trouble_every_s = 2.0
    return made


def test_readers_who_believe_the_last_that_names_an_archive(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Archives._found

    async def last_only(self: Archives, only: Only) -> list[Moved]:
        return [Moved(moved.namings[:1]) for moved in await found(self, only)]

    monkeypatch.setattr(Archives, "_found", last_only)
    finds("its results can't be read: there is no batch", scenario=forged_compactions)


def busy_compactions(random: Random) -> Scenario:
    """An admin who compacts again and again, and two archivers: one moves events while the other begins."""
    made = scenario(random)
    made.archivers, made.trouble_every_s, made.calm_at = 2, 20.0, max(made.calm_at, 200.0)
    made.remove_after_s = 0.0
    made.requests += [Request(moment, "compact") for moment in range(30, 260, 7)]
    return made


@pytest.fixture
def _slow_beginnings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services are killed often, and need long between asking where the log ends and reading up to there."""
    init, read_note, queues = Trouble.__init__, ArchiverService._read_note, NotifierService._queues

    def kill_services(self: Trouble, world: Any) -> None:
        init(self, world)
        self._kinds = [self._kill_archiver, self._kill_notifier, self._cut_service]

    async def read_note_late(self: ArchiverService) -> int:
        await asyncio.sleep(LATE_S)
        return await read_note(self)

    async def queues_late(self: NotifierService, note: bytes | None, end: int) -> list[Queue]:
        await asyncio.sleep(LATE_S)
        return await queues(self, note, end)

    monkeypatch.setattr(Trouble, "__init__", kill_services)
    monkeypatch.setattr(ArchiverService, "_read_note", read_note_late)
    monkeypatch.setattr(NotifierService, "_queues", queues_late)


@pytest.mark.usefixtures("_slow_beginnings")
def test_services_miss_nothing_when_batches_are_compacted_while_they_begin() -> None:
    compacted = 0
    for seed in range(SLOW_WORLDS):
        compacted += simulate(seed, Parts(scenario=busy_compactions)).truth.happened["compacted"]
    assert compacted > SLOW_WORLDS


@pytest.mark.usefixtures("_slow_beginnings")
def test_readers_of_archives_who_read_on_behind_what_they_were_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    follow = SavedLog.follow

    def endless(
        self: SavedLog, *, after: int, only: Only, until: int
    ) -> AsyncGenerator[Sequence[Recorded], None]:
        return follow(self, after=after, only=only, until=NOW)

    monkeypatch.setattr(SavedLog, "follow", endless)
    finds("the (archiver|notifier)'s state at event .*, the last, is not", scenario=busy_compactions)


def torn_compactions(random: Random) -> Scenario:
    """An admin who compacts what is over, at a broker that loses its last minute again and again."""
    made = _compacts(scenario(random))
    made.remove_after_s, made.trouble_every_s = 60.0, 5.0
    return made


def test_an_archiver_that_removes_events_before_the_broker_has_on_its_disk_where_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = ArchiverService.__init__

    def hasty(self: ArchiverService, *args: Any, **options: Any) -> None:
        begin(self, *args, **options | {"remove_after_s": 0.0})

    def stop_broker(self: Trouble, world: Any) -> None:
        init(self, world)
        self._kinds = [self._stop_broker, self._kill_archiver]

    init = Trouble.__init__
    monkeypatch.setattr(ArchiverService, "__init__", hasty)
    monkeypatch.setattr(Trouble, "__init__", stop_broker)
    finds("is not what the log adds up to", scenario=torn_compactions)


def test_a_client_that_retries_what_is_compacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "refuse_compacted", lambda *_: None)
    finds("was compacted, and is retried", scenario=torn_compactions)
