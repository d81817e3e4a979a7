"""How a node-runner was told to run, and the folder that is its own."""

from __future__ import annotations

import argparse
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from distribute.core.errors import InputError
from distribute.core.ids import check_name
from distribute.runtime import new_id
from distribute_services.node_runner.cache import DEFAULT_MAX_BYTES
from distribute_services.node_runner.detect import default_node_name
from distribute_services.node_runner.launch import DEFAULT_NICENESS

RESERVED_NAMES = frozenset({"scheduler", "archiver", "notifier"})
"""They sign events of their own."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a node lends and how. None: as detected. Sizes in bytes, times in seconds."""

    name: str
    work_dir: Path
    cpus: int | None = None
    memory_bytes: int | None = None
    gpus: tuple[str, ...] | None = None
    capabilities: frozenset[str] = frozenset()
    cache_bytes: int = DEFAULT_MAX_BYTES
    niceness: int = DEFAULT_NICENESS
    beat_s: float = 5.0
    grace_s: float = 5.0

    @classmethod
    def of(cls, given: argparse.Namespace) -> Options:
        """The options of a command line.

        Raises:
            InputError: the node's name can't be one.
        """
        name = given.name or default_node_name()
        try:
            check_name(name)
        except ValueError as error:
            raise InputError(f"--name: {error}") from error
        if name in RESERVED_NAMES:
            raise InputError(f"--name: {name!r} is a service's name; give the node another")
        return cls(
            name=name,
            work_dir=given.work_dir.absolute(),
            cpus=given.cpus,
            memory_bytes=given.memory_bytes,
            gpus=None if given.gpu is None else tuple(given.gpu),
            capabilities=frozenset(given.capability),
            cache_bytes=DEFAULT_MAX_BYTES if given.cache_bytes is None else given.cache_bytes,
            niceness=DEFAULT_NICENESS if given.niceness is None else given.niceness,
            beat_s=given.beat_s,
            grace_s=given.grace_s,
        )


_ANOTHER = "name another folder, with work_dir in node.yaml or as `distribute client FOLDER`"


class OwnFolder:
    """A runner's working folder, locked while it runs.

    `identity` stays with the folder: processes marked with it are this runner's, or were an earlier
    one's in the same folder, and nobody else's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity = ""
        self._lock = -1

    def __enter__(self) -> OwnFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise InputError(f"{self.path}: can't be worked in: {error.strerror}; {_ANOTHER}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InputError(f"another node-runner works in {self.path}: end it, or {_ANOTHER}") from None
        self.identity = os.pread(self._lock, 64, 0).decode() or self._new_identity()
        return self

    def _new_identity(self) -> str:
        identity = new_id()
        os.pwrite(self._lock, identity.encode(), 0)
        return identity

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)
