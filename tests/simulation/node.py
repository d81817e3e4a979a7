"""A node-runner's process in the simulated world."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from distribute_services.node_runner.options import Options
from distribute_services.node_runner.owner.own_pauses import Terms
from distribute_services.node_runner.service import run_node

from .host import WorldHost
from .process import ServiceProcess

if TYPE_CHECKING:
    from .scenario import Computer
    from .world import World


class RunnerProcess(ServiceProcess):
    """A node-runner, from its start, at which it ends what an earlier one left running, to its end."""

    waits_for_results = True

    def __init__(self, world: World, computer: Computer) -> None:
        self.computer = computer
        super().__init__(
            world, computer.name, clock_offset_s=computer.clock_offset_s, clock_rate=computer.clock_rate
        )

    async def service(self) -> None:
        terms = Terms(pause_when_active_s=self.computer.pause_when_active_s)
        options = Options(
            self.name, Path("/nowhere"), terms=terms, vacate_after_s=self.computer.vacate_after_s
        )
        host = WorldHost(self)
        await run_node(self.cluster, options, host, self.stop, clock=self.clock, new_id=self.new_id)
