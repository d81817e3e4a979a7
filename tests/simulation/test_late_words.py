"""The log gets words of a dead node-runner just before its successor joins. Nobody believes them for long."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from distribute.codec import encode
from distribute.core.ids import NodeId
from distribute.core.log import events as ev
from distribute.core.log.events import Event
from distribute.core.log.recorded import Guard, Recorded
from distribute.sim.remembering import RememberingLog
from distribute_services.node_runner import service as runner_service
from distribute_services.node_runner.machine.instructions import Instruction
from distribute_services.node_runner.machine.machine import RunnerMachine
from simulation.biting import finds
from simulation.scenario import CLEAR, PAUSES, Request, Scenario, scenario
from simulation.world import Parts, simulate

WORLDS = 12


class LateLog(RememberingLog):
    """Stores a word of the runner before when a runner sends its `joined`, if the guard lets it in."""

    def append(self, event: Event, guard: Guard) -> asyncio.Future[int]:
        if isinstance(event, ev.Joined):
            found = self._broker.stored.last_of(NodeId(event.node), "joined")
            before = found.event if found is not None else None
            if isinstance(before, ev.Joined) and before.incarnation != event.incarnation:
                late = self._word_of(before.incarnation, event)
                self._broker.publish(late.id, encode(late), NodeId(event.node), guard.last_seq)
        return super().append(event, guard)

    def _word_of(self, dead: str, joined: ev.Joined) -> Event:
        """What the dead runner may have sent last: it had what its successor has."""
        stamp: dict[str, Any] = {"id": f"L{joined.id}", "time": joined.time}
        stamp |= {"author": joined.node, "node": joined.node}
        until = joined.time + timedelta(hours=9)
        words: list[Event] = [
            ev.Paused(**stamp, incarnation=dead, until=until, reason="late", keeps=joined.keeps),
            ev.Resumed(**stamp, incarnation=dead),
            ev.Leaving(**stamp, incarnation=dead, keeps=joined.keeps),
            joined.model_copy(update=stamp | {"incarnation": dead}),
        ]
        return self._link.loop.random.choice(words)


def restarts(random: Random) -> Scenario:
    """Nodes leave and come again all the time while people pause them. Nothing else goes wrong."""
    made = scenario(random)
    made.weather, made.trouble_every_s, made.calm_at = CLEAR, 0.0, 150.0
    made.submissions = made.submissions[:1]
    pauses = [Request(moment, random.choice(PAUSES)) for moment in range(20, 140, 10)]
    made.requests = [*pauses, *(Request(moment, "leave") for moment in range(30, 140, 10))]
    return made


def test_a_node_says_how_it_is_whatever_the_log_gets_late_of_its_dead_runner() -> None:
    happened: Counter[str] = Counter()
    for seed in range(WORLDS):
        happened += simulate(seed, Parts(scenario=restarts, log=LateLog)).truth.happened
    assert happened["joined"] > 4 * WORLDS, "many runners have a successor"


class DeafMachine(RunnerMachine):
    """Does not hear what the log gets late of its dead predecessor's pause."""

    def deliver(self, recorded: Recorded) -> list[Instruction]:
        return [] if isinstance(recorded.event, ev.Paused | ev.Resumed) else super().deliver(recorded)


def test_a_node_that_does_not_hear_of_a_late_pause_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_service, "RunnerMachine", DeafMachine)
    finds("is paused by the log, or there, but not both", scenario=restarts, log=LateLog)
