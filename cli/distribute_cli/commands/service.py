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
    NOTIFIER = "notifier"


async def service(
    session: Session,
    name: Annotated[Service, typer.Argument(metavar="NAME", help="scheduler, archiver or notifier.")],
) -> None:
    """Run one service, with a broker that runs already.

    Scheduler and archiver also read `server.yaml`, the notifier `notify.yaml`.
    """
    from distribute_cli.local.services import become_service

    options = _options(name)
    if session.logs.save:
        options += ["--log-file", str(LOG_FILE.absolute())]
    async with session.cluster(provisioning=True):
        address = session.address()
    become_service(name.value, address, *options)


def _options(name: Service) -> list[str]:
    """Its options, from the settings of this user. Raises `InputError` if they are wrong."""
    from distribute.config.settings.folders import state_dir
    from distribute.config.settings.notify_settings import load_notify_settings
    from distribute.config.settings.settings import load_server_settings
    from distribute_cli.local.services import archiver_options, notifier_options, scheduler_options

    match name:
        case Service.SCHEDULER:
            return scheduler_options(load_server_settings())
        case Service.NOTIFIER:
            load_notify_settings(None)  # refused if there is none
            return list(notifier_options(None, None, state_dir() / "notifier") or ())
        case Service.ARCHIVER:
            return archiver_options(load_server_settings())


app = verb(service, answers=False, serves=True)
