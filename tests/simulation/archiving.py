"""The archiver's process in the simulated world."""

from __future__ import annotations

from distribute.core.state.state import State
from distribute_services.archiver.logic import Backlog
from distribute_services.archiver.service import ArchiverService

from .process import ServiceProcess

PACK_EVERY_EVENTS = 20


class WatchedArchiver(ArchiverService):
    """The archiver, which shows what it has folded."""

    state: State | None = None

    async def _begin(self) -> Backlog:
        backlog = await super()._begin()
        self.state = backlog.state
        return backlog


class ArchiverProcess(ServiceProcess):
    """An archiver, from its start to its end. The log delivers again what it has not acknowledged."""

    _archiver: WatchedArchiver | None = None

    @property
    def state(self) -> State | None:
        return self._archiver.state if self._archiver is not None and self.alive else None

    async def service(self) -> None:
        self._archiver = WatchedArchiver(
            self.cluster,
            clock=self.clock,
            new_id=self.new_id,
            pack_every_events=PACK_EVERY_EVENTS,
            pack_after_s=self.world.scenario.pack_after_s,
            remove_after_s=self.world.scenario.remove_after_s,
            inputs_keep_s=self.world.scenario.inputs_keep_s,
            look_every_s=self.world.scenario.look_every_s,
        )
        await self._archiver.run(self.stop)
