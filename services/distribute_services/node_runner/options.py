"""The options of a node-runner."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distribute.core.errors import InputError
from distribute.core.ids import check_author
from distribute.core.spec.hours import Hours, parse_hours
from distribute.core.spec.specs import (
    DEFAULT_GRACE_S,
    DEFAULT_MAX_PAUSE_S,
    DEFAULT_MAX_PROCESSES,
    DEFAULT_MAX_UNSEEN_S,
    DEFAULT_SUPERSEDED_KEEP_S,
)
from distribute_services.node_runner.disk.limit import DEFAULT_MAX_BYTES
from distribute_services.node_runner.disk.private_copies import Way
from distribute_services.node_runner.host.detect import default_node_name
from distribute_services.node_runner.host.lending import ALL, Part, Wishes
from distribute_services.node_runner.owner.own_pauses import ALWAYS, Terms

DEFAULT_NICENESS = 10

RESERVED_NAMES = frozenset({"scheduler", "archiver", "notifier"})
"""Names that services use as authors of their events."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a node lends, and how. `terms` says when."""

    name: str
    work_dir: Path
    lends: Wishes = ALL
    terms: Terms = ALWAYS
    vacate_after_s: float | None = None
    """After a pause of so many seconds, jobs are given back. None: they stay."""
    capabilities: frozenset[str] = frozenset()
    cache_bytes: int = DEFAULT_MAX_BYTES
    keep_free_bytes: int | None = None
    """What its jobs leave free on its disk. None: what suits the disk."""
    max_processes: int = DEFAULT_MAX_PROCESSES
    """How many processes and threads a job may have at a time."""
    niceness: int = DEFAULT_NICENESS
    idle_io: bool = True
    beat_s: float = 5.0
    grace_s: float = DEFAULT_GRACE_S
    """From SIGTERM to SIGKILL, for jobs and builds that choose no other."""
    server: str = ""
    """The address of its cluster, as people see it."""
    max_pause_s: float = DEFAULT_MAX_PAUSE_S
    max_unseen_s: float = DEFAULT_MAX_UNSEEN_S
    """If no runner comes back for so many seconds, the keeper ends the jobs."""
    superseded_keep_s: float = DEFAULT_SUPERSEDED_KEEP_S
    """For so long, it keeps what jobs left that were given to other nodes while it was out of touch."""
    pause_group: str | None = None
    """The group that may pause and resume this node at its computer, besides its user and root."""
    run_as: str | None = None
    """The user as whom jobs run. None: its own."""
    copies: Way = "overlay"
    """How jobs get private copies of a build, at best."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for jobs."""
    path: tuple[str, ...] = ()
    """Folders that come first in the PATH of jobs."""

    @property
    def for_keeper(self) -> Mapping[str, str | float]:
        """The settings that the keeper takes."""
        limits = {"max_pause_s": self.max_pause_s, "unseen_s": self.max_unseen_s}
        return {**limits, "node": self.name, "server": self.server}

    @classmethod
    def of(cls, given: argparse.Namespace) -> Options:
        """Make the options of a command line.

        Raises:
            InputError: the name can't be a node's.
        """
        name = given.name or default_node_name()
        try:
            check_author(name)
        except ValueError as error:
            raise InputError(f"--name: {error}") from error
        if name in RESERVED_NAMES:
            raise InputError(f"--name: {name!r} is a service's name; give the node another")
        return cls(
            name=name,
            work_dir=given.work_dir.absolute(),
            lends=Wishes(
                cpus=given.cpus,
                memory_bytes=given.memory_bytes,
                gpus=given.gpus,
                counts=given.count,
                part=Part(*given.part),
                written=dict(entry.split("=", 1) for entry in given.written),
            ),
            terms=Terms(given.pause_when_active_s, _hours(given.lend), given.load_limit),
            vacate_after_s=given.vacate_after_s,
            capabilities=frozenset(given.capability),
            cache_bytes=DEFAULT_MAX_BYTES if given.cache_bytes is None else given.cache_bytes,
            keep_free_bytes=given.keep_free_bytes,
            max_processes=DEFAULT_MAX_PROCESSES if given.max_processes is None else given.max_processes,
            niceness=DEFAULT_NICENESS if given.niceness is None else given.niceness,
            idle_io=given.ionice != "none",
            copies=given.build_copies,
            beat_s=given.beat_s,
            grace_s=DEFAULT_GRACE_S if given.grace_s is None else given.grace_s,
            max_pause_s=DEFAULT_MAX_PAUSE_S if given.max_pause_s is None else given.max_pause_s,
            max_unseen_s=DEFAULT_MAX_UNSEEN_S if given.max_unseen_s is None else given.max_unseen_s,
            superseded_keep_s=(
                DEFAULT_SUPERSEDED_KEEP_S if given.superseded_keep_s is None else given.superseded_keep_s
            ),
            pause_group=given.pause_group,
            run_as=given.run_as,
            env=dict(entry.split("=", 1) for entry in given.env),
            path=tuple(given.path),
        )


def _hours(text: str | None) -> Hours | None:
    try:
        return parse_hours(text) if text is not None else None
    except ValueError as error:
        raise InputError(f"--lend: {error}") from error
