"""Ask other programs about this computer."""

from __future__ import annotations

import asyncio
import logging
import shutil
from asyncio.subprocess import DEVNULL, PIPE

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 10.0
"""Max. seconds to wait for an answer. `nvidia-smi` can take 3 s."""


async def ask(name: str, program: str, *arguments: str) -> str | None:
    """The output of a program. None if it isn't installed, fails or hangs. Logs the last two.

    The log calls it `name`.
    """
    if shutil.which(program) is None:
        return None
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), ASK_TIMEOUT_S)
    except TimeoutError:
        log.warning("%s did not answer within %g s: this node ignores it", name, ASK_TIMEOUT_S)
        process.kill()
        # A program that hangs in a broken driver can't even be killed.
        await asyncio.wait({asyncio.create_task(process.wait())}, timeout=1)
        return None
    if process.returncode != 0:
        complaint = (err or out).decode(errors="replace").strip()
        log.warning("%s failed with exit code %s: %s", name, process.returncode, complaint)
        return None
    return out.decode(errors="replace").strip()
