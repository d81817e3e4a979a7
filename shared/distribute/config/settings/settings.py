"""Read the settings files: `client.yaml`, `node.yaml` and `server.yaml`."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from distribute.config.sections.forms import Form
from distribute.config.sections.problems import valid
from distribute.config.sections.section import (
    AuthorName,
    Capabilities,
    Duration,
    Env,
    GraceTime,
    NonEmpty,
    Section,
    Size,
)
from distribute.config.settings.folders import config_dir
from distribute.config.yaml.yaml_source import Document
from distribute.core.spec.hours import parse_hours
from distribute.core.spec.named_inputs import MIN_INPUTS_KEEP_S
from distribute.core.spec.specs import (
    DEFAULT_GRACE_S,
    DEFAULT_MAX_PAUSE_S,
    DEFAULT_MAX_PROCESSES,
    DEFAULT_MAX_UNSEEN_S,
    DEFAULT_SUPERSEDED_KEEP_S,
    MAX_CPUS,
    Cpus,
    GpuCount,
)
from distribute.core.words import format_duration, quoted

S = TypeVar("S", bound=Section)

MAX_ARRAY_SIZE = 1001
"""SLURM's own limit of the tasks of an array, unless the cluster has another."""

MAX_PROCESSES = 2**22
"""Linux has no more processes."""


def _check_hours(text: str) -> str:
    parse_hours(text)
    return text


def _check_folder(path: str) -> str:
    if not path.startswith("/") or ":" in path:
        raise ValueError(f"{quoted(path)} can't be in a PATH; write an absolute path without ':'")
    return path


Folder = Annotated[
    NonEmpty,
    AfterValidator(_check_folder),
    Form("a folder", pattern="/[^:]*", advice="write an absolute path without ':'"),
]


def _check_inputs_keep(seconds: float) -> float:
    if seconds < MIN_INPUTS_KEEP_S:
        shortest = format_duration(MIN_INPUTS_KEEP_S)
        raise ValueError(
            f"a person may take that long to send the inputs of a batch; write {shortest} or more"
        )
    return seconds


HoursText = Annotated[NonEmpty, AfterValidator(_check_hours)]
"""Text that `parse_hours` accepts."""

InputsKeep = Annotated[Duration, AfterValidator(_check_inputs_keep)]
"""Seconds, but not so few that people who submit batches would lose what they have sent."""


class ClusterSettings(Section):
    """The address of the cluster and the credentials. Paths are relative to the file."""

    server: NonEmpty | None = Field(default=None, examples=["nats://head.example.org:4222"])
    creds: Path | None = Field(default=None, examples=["jane.creds"])


class SlurmSettings(Section):
    """What `distribute slurm` has to know of a SLURM cluster.

    `container` is the command that runs Apptainer there, `setup` are lines for bash that come before the
    build and each job. The cluster takes arrays of up to `max_array_size` tasks.
    """

    username: NonEmpty | None = Field(default=None, examples=["jane"])
    address: NonEmpty | None = Field(default=None, examples=["login.cluster.example.org"])
    container: NonEmpty = Field(default="apptainer", examples=["singularity"])
    setup: tuple[NonEmpty, ...] = Field(default=(), examples=["[module load apptainer]"])
    max_array_size: int = Field(default=MAX_ARRAY_SIZE, ge=1, le=4_000_001, examples=["1001"])


class ClientSettings(ClusterSettings):
    """`client.yaml`."""

    slurm: SlurmSettings = SlurmSettings()


class NodeSettings(ClusterSettings):
    """`node.yaml`: the node's name, and what it lends. None: all that the node detects.

    `counts` says what is counted as a cpu: a physical core, or each of its hardware threads.
    `grace_s` is the time from SIGTERM to SIGKILL for jobs and builds that choose none.
    A job may have `max_processes` processes and threads. `nice` is the niceness of its jobs. With `ionice:
    idle`, they get the disk if nobody else wants it.
    `max_cache_bytes` limits the inputs and builds that it keeps for later batches. Its jobs leave
    `keep_free_bytes` of its disk free (None: what suits the disk). `build_copies` is the best way in which it
    may give each job a copy of the build. `max_pause_s` is the longest pause. Jobs that run for
    `max_unseen_s` seconds without their node-runner are ended. What jobs left that another node got meanwhile
    is kept for `superseded_keep_s` seconds. The users of `pause_group` may pause it at the computer. `env`
    are variables for its jobs, and the folders `path` come first in their PATH.

    A node that runs as root runs its jobs as the user `run_as`.

    The node pauses by itself: while somebody uses the computer, until nobody has for `pause_when_active_s`
    seconds; outside the hours `lend`; and while the processes of others use more than `load_limit` cores.
    Jobs that a pause has held for `vacate_after_s` seconds are given back. None: not for that.
    """

    name: AuthorName = Field(default_factory=socket.gethostname, examples=["ws07"])
    capabilities: Capabilities = Field(default=(), examples=["[gpu, python3]"])
    cpus: Cpus | None = Field(default=None, examples=["8"])
    memory_bytes: Size | None = Field(default=None, alias="memory", examples=["16G"])
    gpus: GpuCount | None = Field(default=None, examples=["1"])
    counts: Literal["cores", "threads"] = Field(default="cores", alias="count", examples=["threads"])
    work_dir: Path | None = Field(default=None, examples=["/scratch/distribute"])
    grace_s: GraceTime = Field(default=DEFAULT_GRACE_S, alias="grace", examples=["30s"])
    nice: int = Field(default=10, ge=0, le=19, examples=["10"])
    max_processes: int = Field(default=DEFAULT_MAX_PROCESSES, ge=16, le=MAX_PROCESSES, examples=["4096"])
    ionice: Literal["idle", "none"] = Field(default="idle", examples=["idle"])
    pause_when_active_s: Duration | None = Field(default=None, alias="pause_when_active", examples=["15m"])
    lend: HoursText | None = Field(default=None, examples=['"18:00-08:00, sat, sun"'])
    load_limit: float | None = Field(default=None, gt=0, le=MAX_CPUS, examples=["2"])
    vacate_after_s: Duration | None = Field(default=None, alias="vacate_after", examples=["1h"])
    max_cache_bytes: Size = Field(default=20 * 1024**3, alias="max_cache", examples=["20G"])
    keep_free_bytes: Size | None = Field(default=None, alias="keep_free", examples=["5G"])
    build_copies: Literal["overlay", "bind", "copy"] = Field(default="overlay", examples=["copy"])
    max_pause_s: Duration = Field(default=DEFAULT_MAX_PAUSE_S, alias="max_pause", examples=["4h"])
    max_unseen_s: Duration = Field(default=DEFAULT_MAX_UNSEEN_S, alias="max_unseen", examples=["1d"])
    superseded_keep_s: Duration = Field(
        default=DEFAULT_SUPERSEDED_KEEP_S, alias="superseded_keep", examples=["7d"]
    )
    pause_group: NonEmpty | None = Field(default=None, examples=["users"])
    run_as: NonEmpty | None = Field(default=None, examples=["nobody"])
    env: Env = Field(default_factory=dict, examples=["{LICENSE_SERVER: 27000@head}"])
    path: tuple[Folder, ...] = Field(default=(), examples=["[/opt/solver/bin]"])


class ServerSettings(Section):
    """`server.yaml`: how long nodes may be silent, and inputs unused. None: the service's own default.

    A node that is silent for `out_of_touch_s` seconds gets no new jobs. After `lost_after_s` seconds, its
    jobs can go to other nodes. A job that has run for long stays for `patience_growth` times its run time, if
    that is longer, but not for longer than `longest_patience_s` (or `lost_after_s`).
    Inputs that no batch has named for `inputs_keep_s` seconds are removed.
    """

    out_of_touch_s: Duration | None = Field(default=None, alias="out_of_touch", examples=["15s"])
    lost_after_s: Duration | None = Field(default=None, alias="lost_after", examples=["1m"])
    patience_growth: float | None = Field(default=None, ge=0, le=1, examples=["0.1"])
    longest_patience_s: Duration | None = Field(default=None, alias="longest_patience", examples=["30m"])
    inputs_keep_s: InputsKeep | None = Field(default=None, alias="inputs_keep", examples=["7d"])


def load_client_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> ClientSettings:
    """The settings at `path`. Without a path: those of this user, or the defaults if there are none.

    Raises:
        InputError: the file at `path` does not exist, or something in it is wrong.
    """
    return _load(ClientSettings, path, config_dir(environ) / "client.yaml")


def load_node_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> NodeSettings:
    """The node's settings. Finds the file and raises as `load_client_settings` does."""
    return _load(NodeSettings, path, config_dir(environ) / "node.yaml")


def load_server_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> ServerSettings:
    """The head's settings. Finds the file and raises as `load_client_settings` does."""
    return _load(ServerSettings, path, config_dir(environ) / "server.yaml")


def _load(model: type[S], path: Path | None, default: Path) -> S:
    if path is None and not os.access(default, os.F_OK):
        return model()
    path = path or default
    settings = valid(Document.read(path), model)
    paths = {
        name: path.absolute().parent / os.path.expanduser(value)  # noqa: PTH111 - Path.expanduser raises without a home
        for name, value in settings
        if isinstance(value, Path)
    }
    return settings.model_copy(update=paths)
