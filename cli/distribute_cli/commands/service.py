"""`distribute service NAME`: one service alone, for those who run each under a system's own supervisor."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.verbs import verb


class Service(Enum):
    """The services of a head. A node's is started by `distribute client`."""

    SCHEDULER = "scheduler"
    ARCHIVER = "archiver"


async def service(
    session: Session, name: Annotated[Service, typer.Argument(metavar="NAME", help="scheduler or archiver.")]
) -> None:
    """Run one service alone, against a broker that is there already."""
    from distribute_cli.services import become_service

    async with session.cluster(provisioning=True):
        address = session.address()
    become_service(name.value, address)


app = verb(service, answers=False)
