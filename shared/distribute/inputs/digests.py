"""Digests of a person's files, remembered from batch to batch, so that unchanged files aren't read again.

A file counts as unchanged if its path, size, times and inode are those of then. Nothing is remembered of a
file that had changed just before it was read: a later change could have the same time, by a coarse clock.
Each content is checked again when it is sent. The database can be removed at any time, and is made anew if it
is damaged.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

_NAME = "digests-1.sqlite"
_WAIT_S = 2.0
"""Another program of this person may write meanwhile."""
_SETTLED_NS = 2 * 10**9
"""FAT has the coarsest clock: of two seconds."""
_DAY_S = 24 * 3600
_KEPT_DAYS = 60
_TABLES = """
CREATE TABLE IF NOT EXISTS files
    (path BLOB PRIMARY KEY, looks BLOB, sha256 BLOB, day INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS packs
    (parts BLOB PRIMARY KEY, sha256 BLOB, day INTEGER) WITHOUT ROWID;
"""


class Looks(NamedTuple):
    """By what a file is told from one that was changed or replaced, without reading it."""

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Looks:
        """Those of a file."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev)

    @property
    def text(self) -> bytes:
        """For the database: its numbers have only 63 bits."""
        return b" ".join(b"%d" % number for number in self)


class _File(NamedTuple):
    """A row of the table of files. `day`: when it was last used."""

    path: bytes
    looks: bytes
    sha256: bytes
    day: int


class Digests:
    """Digests of files by how they look. Several threads may use it."""

    def __init__(self, database: sqlite3.Connection | None = None) -> None:
        """Without a database, nothing is known or remembered."""
        self._database = database
        self._lock = threading.Lock()
        self._today = int(time.time()) // _DAY_S
        self._files: dict[bytes, _File] = {}
        self._packs: dict[bytes, bytes] = {}

    @classmethod
    @contextmanager
    def kept_in(cls, folder: Path) -> Iterator[Digests]:
        """Those that are kept in a folder. If they can't be read or written, the files are read instead."""
        try:
            database = _opened(folder)
        except (OSError, sqlite3.Error) as error:
            log.debug("no digests are remembered in %s: %s", folder, error)
            yield cls()
            return
        with closing(database):
            digests = cls(database)
            yield digests
            try:
                digests._save(database)
            except sqlite3.Error as error:
                log.debug("digests can't be written into %s: %s", folder, error)

    def of_file(self, path: bytes, looks: Looks) -> bytes | None:
        """The digest of a file that looks like this; None: it has to be read."""
        with self._lock:
            just_read = self._files.get(path)
        if just_read is not None and just_read.looks == looks.text:
            return just_read.sha256
        for seen, sha256, day in self._ask("SELECT looks, sha256, day FROM files WHERE path = ?", path):
            if seen != looks.text:
                return None
            if day != self._today:
                with self._lock:
                    self._files[path] = _File(path, seen, sha256, self._today)
            return bytes(sha256)
        return None

    def remember_file(self, path: bytes, looks: Looks, sha256: bytes, read_at_ns: int) -> None:
        """Remember the digest of a file that looked like this before and after it was read.

        `read_at_ns`: when reading began, in nanoseconds since 1970.
        """
        if self._database is not None and max(looks.mtime_ns, looks.ctime_ns) + _SETTLED_NS < read_at_ns:
            with self._lock:
                self._files[path] = _File(path, looks.text, sha256, self._today)

    def of_pack(self, parts: Iterable[bytes]) -> bytes | None:
        """The digest of contents one behind the other, by their own digests; None: they have to be read."""
        joined = _joined(parts)
        with self._lock:
            just_read = self._packs.get(joined)
        if just_read is not None:
            return just_read
        for (sha256,) in self._ask("SELECT sha256 FROM packs WHERE parts = ?", joined):
            return bytes(sha256)
        return None

    def remember_pack(self, parts: Iterable[bytes], sha256: bytes) -> None:
        """Remember the digest of contents one behind the other."""
        with self._lock:
            self._packs[_joined(parts)] = sha256

    def _ask(self, query: str, key: bytes) -> list[Any]:
        if self._database is None:
            return []
        with self._lock:
            try:
                return self._database.execute(query, (key,)).fetchall()
            except sqlite3.Error as error:
                log.debug("the digests that were remembered can't be read: %s", error)
                return []

    def _save(self, database: sqlite3.Connection) -> None:
        if not self._files and not self._packs:
            return
        packs = [(parts, sha256, self._today) for parts, sha256 in self._packs.items()]
        with database:
            database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", self._files.values())
            database.executemany("INSERT OR REPLACE INTO packs VALUES (?, ?, ?)", packs)
            database.execute("DELETE FROM files WHERE day < ?", (self._today - _KEPT_DAYS,))
            database.execute("DELETE FROM packs WHERE day < ?", (self._today - _KEPT_DAYS,))


def _opened(folder: Path) -> sqlite3.Connection:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / _NAME
    try:
        return _with_tables(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # it is locked, or the disk is full
            raise
        log.debug("%s is damaged, and made anew: %s", path, error)
        path.unlink()
        return _with_tables(path)


def _with_tables(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
    try:
        database.executescript(_TABLES)
    except BaseException:
        database.close()
        raise
    return database


def _joined(parts: Iterable[bytes]) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
