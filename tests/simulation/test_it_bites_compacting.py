"""The simulation finds what is broken where batches are compacted: each test breaks one thing."""

from random import Random
from typing import Any

import pytest

from distribute.archives import Archives, Moved
from distribute.ports import Only
from distribute_services.archiver.service import ArchiverService
from simulation.biting import finds, forgers
from simulation.scenario import Request, Scenario, scenario
from simulation.trouble import Trouble


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
    finds("no archive is ever lost", scenario=forged_compactions)


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
