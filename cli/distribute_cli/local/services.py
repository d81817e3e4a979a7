"""The command lines of services and other programs of ours, and replacing this process by one."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from distribute.config.settings.settings import NodeSettings, ServerSettings
    from distribute.config.settings.where import ServerAddress


def service_command(name: str, *options: str) -> list[str]:
    """The command line of a service. It logs every step if this process does."""
    debug = ["--debug"] if logging.getLogger().isEnabledFor(logging.DEBUG) else []
    return python_program("distribute_services", name, *debug, *options)


def python_program(module: str, *arguments: str) -> list[str]:
    """The command line of a program of ours. It imports nothing from the current folder, which is a person's.

    That folder may hold a `random.py`, and with `-m` alone Python would import it instead of its own.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def become_service(name: str, address: ServerAddress, *options: str) -> NoReturn:
    """Replace this process by a service, so that its supervisor supervises the service itself."""
    creds = ["--creds", str(address.creds)] if address.creds is not None else []
    command = service_command(name, "--server", address.server, *creds, *options)
    sys.stdout.flush()
    os.execv(command[0], command)


def node_options(settings: NodeSettings, default_work_dir: Path) -> list[str]:
    """A node's settings as options of its service."""
    options = ["--name", settings.name, "--work-dir", str(settings.work_dir or default_work_dir)]
    options += ["--niceness", str(settings.nice), "--ionice", settings.ionice]
    options += ["--grace-s", str(settings.grace_s)]
    options += ["--cache-bytes", str(settings.max_cache_bytes)]
    options += ["--count", settings.counts, "--build-copies", settings.build_copies]
    options += _given(
        {
            "--cpus": settings.cpus,
            "--memory-bytes": settings.memory_bytes,
            "--gpus": settings.gpus,
            "--keep-free-bytes": settings.keep_free_bytes,
            "--max-processes": settings.max_processes,
            "--max-pause-s": settings.max_pause_s,
            "--max-unseen-s": settings.max_unseen_s,
            "--superseded-keep-s": settings.superseded_keep_s,
            "--pause-group": settings.pause_group,
            "--run-as": settings.run_as,
            "--pause-when-active-s": settings.pause_when_active_s,
            "--lend": settings.lend,
            "--load-limit": settings.load_limit,
            "--vacate-after-s": settings.vacate_after_s,
        }
    )
    for name, value in settings.env.items():
        options.append(f"--env={name}={value}")
    options += [f"--path={folder}" for folder in settings.path]
    for capability in settings.capabilities:
        options += ["--capability", capability]
    return options


def scheduler_options(settings: ServerSettings) -> list[str]:
    """A head's settings as options of the scheduler's service."""
    return _given(
        {
            "--out-of-touch-s": settings.out_of_touch_s,
            "--lost-after-s": settings.lost_after_s,
            "--patience-growth": settings.patience_growth,
            "--longest-patience-s": settings.longest_patience_s,
        }
    )


def archiver_options(settings: ServerSettings) -> list[str]:
    """A head's settings as options of the archiver's service."""
    return _given({"--inputs-keep-s": settings.inputs_keep_s})


def notifier_options(
    notify_config: Path | None, matrix_config: Path | None, folder: Path
) -> tuple[str, ...] | None:
    """The options of the notifier's service. None: it is not configured.

    Args:
        notify_config: a `notify.yaml`; None: this user's, if there is one.
        matrix_config: a file with the account for Matrix.
        folder: for what its channels keep.

    Raises:
        InputError: something in a file is wrong.
    """
    from distribute.config.settings.folders import notify_file

    # What is wrong is said here, not in the notifier's log. Without files, nobody waits for what reads them.
    notify = notify_config or notify_file()
    account = matrix_config
    if notify is not None:
        from distribute.config.settings.notify_settings import load_notify_settings

        settings = load_notify_settings(notify, runs_here=True)
        account = account or settings.matrix
    if account is not None:
        from distribute.config.settings.matrix_account import load_matrix_account

        load_matrix_account(account)
    files = {
        "--notify-config": str(notify.absolute()) if notify else None,
        "--matrix-config": str(account.absolute()) if account else None,
    }
    options = _given(files)
    return ("--folder", str(folder), *options) if options else None


def _given(options: Mapping[str, float | str | None]) -> list[str]:
    """The options that have a value, as words of a command line."""
    return [word for option, value in options.items() if value is not None for word in (option, str(value))]
