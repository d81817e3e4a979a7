"""The archiver's process in the simulated world."""

from __future__ import annotations

from distribute_services.archiver.service import ArchiverService

from .process import ServiceProcess

PACK_EVERY_EVENTS = 20


class ArchiverProcess(ServiceProcess):
    """An archiver, from its start to its end. The log delivers again what it has not acknowledged."""

    async def service(self) -> None:
        await ArchiverService(
            self.cluster,
            clock=self.clock,
            new_id=self.new_id,
            pack_every_events=PACK_EVERY_EVENTS,
            pack_after_s=self.world.scenario.pack_after_s,
            remove_after_s=self.world.scenario.remove_after_s,
            inputs_keep_s=self.world.scenario.inputs_keep_s,
            look_every_s=self.world.scenario.look_every_s,
        ).run(self.stop)
