"""A runner that lets its jobs go begins nothing more: what it began would end them."""

from __future__ import annotations

import asyncio
import time

from distribute.core.log import events as ev
from distribute.core.log.recorded import Recorded
from distribute.testing import builders as make
from distribute_services.node_runner.machine import instructions as do
from distribute_services.node_runner.machine.attempts import Attempt
from distribute_services.node_runner.work.work import Work
from unit.services.runner_host import MemoryCluster, ModelHost


async def test_a_job_that_is_taken_up_too_late_is_not_touched() -> None:
    work = Work(ModelHost(), MemoryCluster().log, tell=lambda _: None, clock=time.time)
    assigned = make.assigned("job1", cpus=1)
    assert isinstance(assigned, ev.Assigned)
    attempt = Attempt.of(Recorded(seq=2, time=0.0, event=assigned), assigned)
    before = asyncio.all_tasks()
    await work.let_go()
    work.carry_out(do.TakeUp(attempt))
    assert asyncio.all_tasks() == before
