"""The first error in a callback or an unawaited task ends the service, even during its end."""

import asyncio

import pytest

from distribute.runtime import Failure, Stop, supervise


async def test_an_error_ends_the_service() -> None:
    failure, stop = Failure(), Stop()
    asyncio.get_running_loop().call_soon(failure.report, ValueError("first"))
    asyncio.get_running_loop().call_soon(failure.report, ValueError("second"))
    with pytest.raises(ValueError, match="first"):
        await supervise(stop, {"failures": failure.raised()})


async def test_an_error_that_comes_after_the_tasks_were_cancelled_is_not_lost() -> None:
    failure, stop = Failure(), Stop()
    stop.set()
    await supervise(stop, {"failures": failure.raised()})
    failure.check()
    failure.report(ValueError("late"))
    with pytest.raises(ValueError, match="late"):
        failure.check()
