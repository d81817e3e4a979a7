"""Where the cluster is: finds the server's address and the credentials.

It imports the settings only if there is a settings file, because every import delays `distribute status`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from distribute.config.settings.cluster_record import read_record, running_clusters
from distribute.config.settings.folders import config_dir, embedded_cluster_file, home_expanded, short
from distribute.config.settings.server_url import DEFAULT_PORT, ORIGINAL_PORT, host_in_url, server_urls
from distribute.core.errors import InputError, Unreachable
from distribute.core.os_words import why


class ServerAddress(NamedTuple):
    """The cluster's address: a URL, or several separated by commas. `source` says where it comes from."""

    server: str
    creds: Path | None
    source: str


class NodeFile(NamedTuple):
    """A node's settings file, and the address that it has, if any."""

    path: Path
    server: str | None


def resolve_server(
    server: str | None = None,
    creds: Path | None = None,
    ip: str | None = None,
    port: int | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    node: NodeFile | None = None,
) -> ServerAddress:
    """Find the cluster. The first of these counts: arguments, environment, settings, `distribute up`.

    The settings of a `node` come before the environment: they are of this computer, not of a person.

    The credentials are looked up in the same order, independently of the address.

    Raises:
        InputError: an address is malformed, or the file of credentials can't be read.
        Unreachable: none of these names a cluster.
    """
    settings_file = config_dir(environ) / "client.yaml"
    written_server, written_creds = _written(settings_file, environ)
    if creds is None and environ.get("DISTRIBUTE_CREDS"):
        creds = home_expanded(Path(environ["DISTRIBUTE_CREDS"]))
    creds = creds or written_creds
    if creds is not None and not os.access(creds, os.R_OK):
        raise InputError(f"no credentials can be read at {creds}; write the path of the file you were given")
    if ip is not None or port is not None:
        if ip is None or server is not None:
            raise InputError("--port needs --ip, and --server excludes both; write --server nats://HOST:PORT")
        # Without a port, the head may have ours or that of the first `distribute`.
        ports = (DEFAULT_PORT, ORIGINAL_PORT) if port is None else (port,)
        written = ",".join(f"{host_in_url(ip)}:{each}" for each in ports)
        return ServerAddress(_urls(written, "--ip"), creds, "--ip")
    for source, address in (
        ("--server", server),
        *([] if node is None else [(str(node.path), node.server)]),
        ("DISTRIBUTE_SERVER", environ.get("DISTRIBUTE_SERVER")),
        (str(settings_file), written_server),
    ):
        if address:
            return ServerAddress(_urls(address, source), creds, source)
    server, source = _embedded(environ, settings_file if node is None else node.path)
    return ServerAddress(server, creds, source)


def _written(settings_file: Path, environ: Mapping[str, str]) -> tuple[str | None, Path | None]:
    """The server and the credentials in the client's settings."""
    if not os.access(settings_file, os.F_OK):
        return None, None
    from distribute.config.settings.settings import load_client_settings

    settings = load_client_settings(environ=environ)
    return settings.server, settings.creds


def _urls(addresses: str, source: str) -> str:
    return ",".join(server_urls(addresses, source))


def _embedded(environ: Mapping[str, str], settings_file: Path) -> tuple[str, str]:
    """The address of the cluster that this user runs on this computer, and what runs it."""
    if running := running_clusters(environ):
        first = running[0]
        folder = f" in {short(first.dir, environ)}" if len(running) > 1 else ""
        return first.server, f"`distribute {first.verb}`{folder}"
    path = embedded_cluster_file(environ)
    try:
        record = read_record(path)
    except OSError as error:
        raise Unreachable(f"{path} can't be read: {why(error)}; make it readable for you") from error
    except ValueError as error:
        raise Unreachable(
            f"{path} does not say where the cluster is ({error}); run `distribute up` again"
        ) from error
    if record is None:
        raise Unreachable(
            "no cluster is set up for you. Ask your admin for its address and put "
            f"'server: nats://HOST:{DEFAULT_PORT}' in {settings_file}; or start one here: distribute up"
        )
    raise Unreachable(
        f"the cluster that ran here (process {record.pid}) is gone; start it again with "
        f"`{record.command or 'distribute up'}`"
    )
