"""Where the cluster is, and where this person's settings and state are kept.

Kept apart from the settings themselves: a person who asks for the status waits for every import, and
as a rule there is no settings file to be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import orjson

from distribute.core.errors import InputError, Unreachable

DEFAULT_PORT = 4222
_SCHEMES = ("nats", "tls", "ws", "wss")


def config_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this person's settings are: `$XDG_CONFIG_HOME/distribute`, by default `~/.config/distribute`."""
    return _xdg_dir(environ, "XDG_CONFIG_HOME", ".config")


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where what outlasts a restart is kept: `$XDG_STATE_HOME/distribute`, or `~/.local/state/distribute`."""
    return _xdg_dir(environ, "XDG_STATE_HOME", ".local/state")


def embedded_cluster_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where `distribute up` writes the address of the cluster it runs."""
    return state_dir(environ) / "up.json"


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
    settings_file = config_dir(environ) / "client.yaml"
    written_server, written_creds = _written(settings_file, environ)
    if creds is None and environ.get("DISTRIBUTE_CREDS"):
        creds = Path(environ["DISTRIBUTE_CREDS"])
    creds = creds or written_creds
    if creds is not None and not os.access(creds, os.R_OK):
        raise InputError(f"no credentials can be read at {creds}; write the path of the file you were given")
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
        (str(settings_file), written_server),
    ):
        if address:
            return ServerAddress(_urls(address, source), creds, source)
    return ServerAddress(_embedded(environ, settings_file), creds, "`distribute up`")


def _written(settings_file: Path, environ: Mapping[str, str]) -> tuple[str | None, Path | None]:
    """The server and credentials that the client's settings name."""
    if not os.access(settings_file, os.F_OK):
        return None, None
    from distribute.config.settings import load_client_settings

    settings = load_client_settings(environ=environ)
    return settings.server, settings.creds


def _xdg_dir(environ: Mapping[str, str], variable: str, default: str) -> Path:
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 - Path's one raises without a home
    # A relative path is to be ignored, as https://specifications.freedesktop.org/basedir-spec/ has it.
    base = next(path for path in (Path(environ.get(variable, "")), home / default) if path.is_absolute())
    return base / "distribute"


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


def _embedded(environ: Mapping[str, str], settings_file: Path) -> str:
    """The address of the cluster that `distribute up` runs here."""
    path = embedded_cluster_file(environ)
    try:
        written = orjson.loads(path.read_bytes())
        server, pid = str(written["server"]), int(written["pid"])
    except FileNotFoundError:
        raise Unreachable(
            "nobody says where the cluster is; start one here with `distribute up`, or name one with "
            f"--server nats://HOST:PORT, DISTRIBUTE_SERVER, or 'server: …' in {settings_file}"
        ) from None
    except OSError as error:
        raise Unreachable(f"{path} can't be read: {error.strerror}; make it readable for you") from error
    except (ValueError, TypeError, KeyError) as error:
        raise Unreachable(
            f"{path} does not say where the cluster is ({error!r}); run `distribute up` again"
        ) from error
    if not _is_alive(pid):
        raise Unreachable(
            f"the cluster that ran here (process {pid}) is gone; start it again with `distribute up`"
        )
    return server


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
