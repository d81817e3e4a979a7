"""`distribute service NAME`: runs one service, under a supervisor of yours such as systemd."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from distribute_cli.own_log import LOG_FILE
from distribute_cli.session import Session
from distribute_cli.verbs import verb


class Service(Enum):
    """The services of a head. `distribute client` starts that of a node."""

    SCHEDULER = "scheduler"
    ARCHIVER = "archiver"


async def service(
    session: Session, name: Annotated[Service, typer.Argument(metavar="NAME", help="scheduler or archiver.")]
) -> None:
    """Run one service, with a broker that runs already. The scheduler also reads `server.yaml`."""
    from distribute.config.settings import load_server_settings
    from distribute_cli.local.services import become_service, scheduler_options

    options = scheduler_options(load_server_settings()) if name is Service.SCHEDULER else []
    if session.logs.save:
        options += ["--log-file", str(LOG_FILE.absolute())]
    async with session.cluster(provisioning=True):
        address = session.address()
    become_service(name.value, address, *options)


app = verb(service, answers=False, serves=True)
