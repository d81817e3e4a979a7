"""Settings of this person and this computer: where the cluster is, and what a node lends to it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError

from distribute.config.problems import validate
from distribute.config.section import NonEmpty, Section
from distribute.config.units import Size
from distribute.config.yaml_source import Document
from distribute.core.errors import InputError, Unreachable
from distribute.core.ids import Name

S = TypeVar("S", bound=Section)

DEFAULT_PORT = 4222
_SCHEMES = ("nats", "tls", "ws", "wss")


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this person's settings are: `$XDG_CONFIG_HOME/distribute`, by default `~/.config/distribute`."""
    return _xdg_dir(environ, "XDG_CONFIG_HOME", ".config")


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where what outlasts a restart is kept: `$XDG_STATE_HOME/distribute`, or `~/.local/state/distribute`."""
    return _xdg_dir(environ, "XDG_STATE_HOME", ".local/state")


def embedded_cluster_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where `distribute up` writes the address of the cluster it runs (an `EmbeddedCluster`, as JSON)."""
    return state_dir(environ) / "up.json"


class EmbeddedCluster(BaseModel):
    """The cluster that `distribute up` runs here: its address, its process, the folder of its data."""

    server: str
    pid: int = Field(gt=0)
    dir: Path


class ClientSettings(Section):
    """`client.yaml`: where the cluster is, and the credentials for it. A relative path starts at the file."""

    server: NonEmpty | None = Field(default=None, examples=["nats://head.example.org:4222"])
    creds: Path | None = Field(default=None, examples=["jane.creds"])


class NodeSettings(ClientSettings):
    """`node.yaml`: what a node is called, and what it lends. What is None is found out by the node itself.

    `nice` is the niceness jobs run with. `max_cache_bytes` is kept of staged inputs at most, and
    `max_log_bytes` of what one job prints.
    """

    name: Name = Field(default_factory=socket.gethostname, examples=["ws07"])
    capabilities: tuple[NonEmpty, ...] = Field(default=(), examples=["[gpu, python3]"])
    cpus: int | None = Field(default=None, ge=1, examples=["8"])
    memory_bytes: Size | None = Field(default=None, ge=0, alias="memory", examples=["16G"])
    gpus: int | None = Field(default=None, ge=0, examples=["1"])
    work_dir: Path | None = Field(default=None, examples=["/scratch/distribute"])
    nice: int = Field(default=10, ge=0, le=19, examples=["10"])
    max_cache_bytes: Size = Field(default=20 * 1024**3, ge=0, alias="max_cache", examples=["20G"])
    max_log_bytes: Size = Field(default=1024**3, ge=0, alias="max_log", examples=["1G"])


def load_client_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> ClientSettings:
    """The settings at `path`, or this person's own (the defaults, where there are none).

    Raises:
        InputError: a file that was named is not there, or something in it is wrong.
    """
    return _load(ClientSettings, path, config_dir(environ) / "client.yaml")


def load_node_settings(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> NodeSettings:
    """The node's settings at `path`, or those of the user that runs it. Raises as `load_client_settings`."""
    return _load(NodeSettings, path, config_dir(environ) / "node.yaml")


class ServerAddress(NamedTuple):
    """Where the cluster is: a URL, or several with commas between. `source` says in words who said so."""

    server: str
    creds: Path | None
    source: str


def resolve_server(
    server: str | None = None,
    creds: Path | None = None,
    ip: str | None = None,
    port: int | None = None,
    environ: Mapping[str, str] = os.environ,
) -> ServerAddress:
    """Where the cluster is, by the first of: the arguments, the environment, the settings, `distribute up`.

    Credentials come from the same places, each on its own.

    Raises:
        InputError: an address, or the file of credentials, can't be one.
        Unreachable: nobody says.
    """
    settings = load_client_settings(environ=environ)
    settings_file = config_dir(environ) / "client.yaml"
    if creds is None and environ.get("DISTRIBUTE_CREDS"):
        creds = Path(environ["DISTRIBUTE_CREDS"])
    creds = creds or settings.creds
    if creds is not None and not creds.is_file():
        raise InputError(
            f"there is no file of credentials at {creds}; write the path of the one you were given"
        )
    if ip is not None or port is not None:
        if ip is None or server is not None:
            raise InputError(
                "--port goes with --ip, and --server with neither; write --server nats://HOST:PORT"
            )
        host = f"[{ip}]" if ":" in ip else ip
        return ServerAddress(_urls(f"{host}:{port or DEFAULT_PORT}", "--ip"), creds, "--ip")
    for source, address in (
        ("--server", server),
        ("DISTRIBUTE_SERVER", environ.get("DISTRIBUTE_SERVER")),
        (str(settings_file), settings.server),
    ):
        if address:
            return ServerAddress(_urls(address, source), creds, source)
    return ServerAddress(_embedded(environ, settings_file).server, creds, "`distribute up`")


def _xdg_dir(environ: Mapping[str, str], variable: str, default: str) -> Path:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path's one raises without a home
    # A relative path is to be ignored, as https://specifications.freedesktop.org/basedir-spec/ has it.
    base = next(path for path in (Path(environ.get(variable, "")), home / default) if path.is_absolute())
    return base / "distribute"


def _load(model: type[S], path: Path | None, default: Path) -> S:
    if path is None and not default.exists():
        return model()
    path = path or default
    document = Document.read(path)
    settings, problems = validate(document, model)
    if settings is None or document.problems:
        raise InputError(*document.lines([*document.problems, *problems]))
    paths = {
        name: path.absolute().parent / os.path.expanduser(value)  # noqa: PTH111 - as above
        for name, value in settings
        if isinstance(value, Path)
    }
    return settings.model_copy(update=paths)


def _urls(addresses: str, source: str) -> str:
    return ",".join(_url(address.strip(), source) for address in addresses.split(","))


def _url(address: str, source: str) -> str:
    """The address as a URL with scheme and port."""
    url = address if "://" in address else f"nats://{address}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InputError(f"{source}: {address!r} is no address: {error}; write nats://HOST:PORT") from error
    if parts.scheme not in _SCHEMES or not parts.hostname or any(c.isspace() for c in url):
        raise InputError(f"{source}: {address!r} is no address of a cluster; write nats://HOST:PORT")
    return url if port is not None or parts.scheme.startswith("ws") else f"{url.rstrip('/')}:{DEFAULT_PORT}"


def _embedded(environ: Mapping[str, str], settings_file: Path) -> EmbeddedCluster:
    path = embedded_cluster_file(environ)
    try:
        cluster = EmbeddedCluster.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise Unreachable(
            "nobody says where the cluster is; start one here with `distribute up`, or name one with "
            f"--server nats://HOST:PORT, DISTRIBUTE_SERVER, or 'server: …' in {settings_file}"
        ) from None
    except (OSError, ValidationError) as error:
        raise Unreachable(
            f"{path} does not say where the cluster is: {error}; run `distribute up` again"
        ) from error
    if not _is_alive(cluster.pid):
        raise Unreachable(
            f"the cluster that ran here (process {cluster.pid}) is gone; start it again with `distribute up`"
        )
    return cluster


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
