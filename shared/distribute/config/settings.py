"""What people write down: where the cluster is (`client.yaml`), and what a node lends to it (`node.yaml`)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import Field

from distribute.config.folders import config_dir
from distribute.config.problems import validate
from distribute.config.section import NonEmpty, Section, Size
from distribute.config.yaml_source import Document
from distribute.core.errors import InputError
from distribute.core.ids import Name
from distribute.core.specs import Cpus, GpuCount

S = TypeVar("S", bound=Section)


class ClientSettings(Section):
    """`client.yaml`: where the cluster is, and the credentials for it. A relative path starts at the file."""

    server: NonEmpty | None = Field(default=None, examples=["nats://head.example.org:4222"])
    creds: Path | None = Field(default=None, examples=["jane.creds"])


class NodeSettings(ClientSettings):
    """`node.yaml`: what a node is called, and what it lends. What is None is found out by the node itself.

    `nice` is the niceness jobs run with. `max_cache_bytes` is kept of staged inputs at most.
    """

    name: Name = Field(default_factory=socket.gethostname, examples=["ws07"])
    capabilities: tuple[NonEmpty, ...] = Field(default=(), examples=["[gpu, python3]"])
    cpus: Cpus | None = Field(default=None, examples=["8"])
    memory_bytes: Size | None = Field(default=None, alias="memory", examples=["16G"])
    gpus: GpuCount | None = Field(default=None, examples=["1"])
    work_dir: Path | None = Field(default=None, examples=["/scratch/distribute"])
    nice: int = Field(default=10, ge=0, le=19, examples=["10"])
    max_cache_bytes: Size = Field(default=20 * 1024**3, alias="max_cache", examples=["20G"])


def load_client_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> ClientSettings:
    """The settings at `path`, or this person's own (the defaults, where there are none).

    Raises:
        InputError: a file that was named is not there, or something in it is wrong.
    """
    return _load(ClientSettings, path, config_dir(environ) / "client.yaml")


def load_node_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> NodeSettings:
    """The node's settings at `path`, or those of the user that runs it. Raises as `load_client_settings`."""
    return _load(NodeSettings, path, config_dir(environ) / "node.yaml")


def _load(model: type[S], path: Path | None, default: Path) -> S:
    if path is None and not os.access(default, os.F_OK):
        return model()
    path = path or default
    document = Document.read(path)
    settings, problems = validate(document, model)
    if settings is None or document.problems:
        raise InputError(*document.lines([*document.problems, *problems]))
    paths = {
        name: path.absolute().parent / os.path.expanduser(value)  # noqa: PTH111 - Path's one raises without a home
        for name, value in settings
        if isinstance(value, Path)
    }
    return settings.model_copy(update=paths)
