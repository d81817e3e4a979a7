"""`python -m distribute_services.here`: runs the batch that it reads, and tells by a pipe how that goes."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from distribute.collector import collect_garbage_rarely
from distribute.core.errors import DistributeError, exit_code
from distribute.core.os_words import cause
from distribute.here import Asked, Failed
from distribute.inherited import restore_signals
from distribute.runtime import stop_on_signals
from distribute.scratch import remove_scratch
from distribute.standard_streams import prepare_standard_streams
from distribute_services import logs
from distribute_services.here.folders import working_folder
from distribute_services.here.service import run_here
from distribute_services.here.telling import Teller

log = logging.getLogger(__name__)


def main() -> None:
    """Run the batch whose `Asked` is on standard input. What goes wrong is told as news, too."""
    restore_signals()
    prepare_standard_streams()
    parser = argparse.ArgumentParser(prog="distribute_services.here", description=__doc__)
    parser.add_argument("--news", type=int, required=True, metavar="FD", help="where to tell what happens")
    parser.add_argument("--debug", action="store_true")
    options = parser.parse_args()
    collect_garbage_rarely()
    asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> None:
    stop = stop_on_signals()
    tell = await Teller.open(options.news)
    try:
        asked = Asked.decode(sys.stdin.buffer.read())
        async with AsyncExitStack() as stack:
            if asked.parts is not None:
                stack.callback(remove_scratch, Path(asked.parts))  # whoever made it may be killed
            work = await stack.enter_async_context(working_folder())
            logs.begin(None if options.debug else work / "log", debug=options.debug)
            await run_here(asked, work, tell, stop)
    except DistributeError as error:
        log.debug("it failed", exc_info=True)
        tell(Failed(str(error), exit_code(error), [way.value for way in error.ways]))
    except Exception as error:  # the pipe is the only place where anybody looks
        log.debug("it failed by a fault of its own", exc_info=True)
        tell(Failed(f"{cause(error)}; --debug shows where it came from", 1))
    finally:
        await tell.close()


if __name__ == "__main__":
    main()
