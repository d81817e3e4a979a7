"""Ask other programs about this computer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from typing import Any, NamedTuple

from distribute.core.os_words import why
from distribute_services.node_runner.host.run_as import Person

log = logging.getLogger(__name__)

ASK_TIMEOUT_S = 10.0
"""Max. seconds to wait for an answer. `nvidia-smi` can take 3 s."""


class Answer(NamedTuple):
    """What a program printed, and its exit code. None: it did not end in time."""

    exit_code: int | None
    out: str
    err: str


async def call(
    program: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    who: Person | None = None,
    within_s: float,
) -> Answer | None:
    """Run a program for so long. Returns None if it isn't installed, or can't be run, which it logs.

    It is looked up in the PATH of its `environment`. It gets that and the user `who`; None: as this process.
    One that they may not run isn't installed for them: it is looked up with their rights.
    """
    user: dict[str, Any] = {}
    if who is not None:
        user = {"user": who.entry.pw_uid, "group": who.entry.pw_gid, "extra_groups": who.groups}
    try:
        process = await asyncio.create_subprocess_exec(
            program, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment, **user
        )
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:  # it is no program, or the user has too many processes
        log.warning("this node ignores %s, which can't be run: %s", program, why(error))
        return None
    try:
        out, err = await asyncio.wait_for(process.communicate(), within_s)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            process.kill()
        # A program that hangs in a broken driver can't even be killed.
        await asyncio.wait({asyncio.create_task(process.wait())}, timeout=1)
        return Answer(None, "", "")
    return Answer(process.returncode, *(text.decode(errors="replace").strip() for text in (out, err)))


def closed_to(who: Person | None, program: str, environment: Mapping[str, str] | None) -> str | None:
    """The path of a program that `call` finds for this process, but not for `who`; None: there is none."""
    path = None if environment is None else environment.get("PATH", os.defpath)
    return None if who is None else shutil.which(program, path=path)


async def ask(
    name: str,
    program: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    who: Person | None = None,
) -> str | None:
    """The output of a program. None if it isn't installed, fails, hangs, or is closed to `who`. Logs all but
    the first.

    The log calls it `name`. `environment` and `who`: as `call` has them.
    """
    answer = await call(program, *arguments, environment=environment, who=who, within_s=ASK_TIMEOUT_S)
    if answer is None:
        if (path := closed_to(who, program, environment)) is not None:
            log.warning("the user of this node's jobs may not run %s: this node ignores it", path)
        return None
    if answer.exit_code is None:
        log.warning("%s did not answer within %g s: this node ignores it", name, ASK_TIMEOUT_S)
        return None
    if answer.exit_code != 0:
        log.warning("%s failed with exit code %s: %s", name, answer.exit_code, answer.err or answer.out)
        return None
    return answer.out
