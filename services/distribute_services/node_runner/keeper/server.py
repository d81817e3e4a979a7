"""The keeper's loop: messages on its socket, ended processes, and what is due.

A message is a line of JSON. An answer has the `number` that its question may have. A program of the keeper's
own user, or of root, may send all verbs. Another user's, whom the mode of the socket lets in, may only pause,
resume and look.
"""

from __future__ import annotations

import _socket
import errno
import json
import os
import select
import signal
import sys
import time

from distribute_services.node_runner.keeper.keeper import Keeper
from distribute_services.node_runner.keeper.refusing import NO_SUCH_VERB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from distribute_services.node_runner.keeper.cgroup import Cgroups
    from distribute_services.node_runner.keeper.keeper import Message

PROTOCOL = 1
"""Raised when a message changes its meaning. New fields and verbs don't raise it."""

UNSEEN_S = 24 * 3600.0
"""After so many seconds without a runner, the keeper ends its units."""

ALONE_S = 10.0
"""After so many seconds without a runner and without units, the keeper ends."""

REST_S = 1.0
"""After a fault of its own, the keeper does nothing by itself for so long."""

_FOR_ALL = frozenset({"pause", "resume", "look"})
_MAX_READ = 1 << 12
"""About three starts: during a burst of them, the keeper tells what has ended, and hears of a pause."""
_MAX_LINE = 16 << 20
_MAX_UNSENT = 64 << 20


class Connection:
    """A program that talks to the keeper."""

    __slots__ = ("inbox", "is_runner", "is_trusted", "outbox", "socket", "uid")

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket
        self.inbox = bytearray()
        self.outbox = bytearray()
        self.is_runner = False
        pid_uid_gid = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        self.uid = int.from_bytes(pid_uid_gid[4:8], sys.byteorder)
        self.is_trusted = self.uid in {0, os.getuid()}


class Server:
    """Serves one keeper until it is of no more use."""

    def __init__(self, folder: str, listener: _socket.socket, cgroups: Cgroups | None, build: str) -> None:
        """`build` identifies the keeper's code: a runner uses only a keeper of its own."""
        self._listener = listener
        self._build = build
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._keeper = Keeper(folder, cgroups, self._report)
        self._is_over = False
        self._alone_since = time.monotonic()
        self._unseen_s = UNSEEN_S
        self._is_closing = False
        self._rests_until = 0.0
        self._wakeup, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Serve until nobody needs this keeper."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        for fd in (self._wakeup, self._listener.fileno()):
            self._epoll.register(fd, select.EPOLLIN)
        while not self._is_over:
            for fd, happened in self._epoll.poll(self._wait_s()):
                self._handle(fd, happened)
            self._act()
            self._mind_being_alone()
            for connection in list(self._connections.values()):
                self._flush(connection)
        self._keeper.close()

    def _act(self) -> None:
        """Do what is due. A fault in it must not end the keeper, and all jobs with it."""
        if time.monotonic() < self._rests_until:
            return
        try:
            self._keeper.act()
        except Exception as error:  # noqa: BLE001 - see above
            self._rests_until = time.monotonic() + REST_S
            self._tell_fault("what is due", error)

    def _tell_fault(self, what: str, error: Exception) -> None:
        from traceback import print_exception  # 0.5 MB, which a keeper without faults doesn't need

        print_exception(error)
        text = f"it failed at {what} by a fault of its own: {type(error).__name__}: {error}"
        self._report({"type": "note", "text": text})

    def _wait_s(self) -> float:
        due = self._keeper.due()
        times = [] if due is None else [max(due, self._rests_until)]
        if not self._keeper.has_runner and not self._is_closing:
            times.append(self._alone_since + (self._unseen_s if len(self._keeper.units) else ALONE_S))
        return max(0.0, min(times) - time.monotonic()) if times else -1.0

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        """The computer shuts down, or somebody wants the keeper gone: its units end, and then it does."""
        self._is_closing = True
        self._keeper.end_all("shutdown")

    def _mind_being_alone(self) -> None:
        if self._is_closing:
            self._is_over = not len(self._keeper.units)
        if self._is_closing or self._keeper.has_runner:
            return
        alone_s = time.monotonic() - self._alone_since
        if not len(self._keeper.units):
            self._is_over = self._is_over or alone_s >= ALONE_S
        elif alone_s >= self._unseen_s:
            self._keeper.end_all("unseen")
            self._alone_since = time.monotonic()

    # --- connections -------------------------------------------------------------------------------

    def _handle(self, fd: int, happened: int) -> None:
        if fd == self._wakeup:
            os.read(fd, 4096)
            try:
                self._keeper.reap()
            except Exception as error:  # noqa: BLE001 - as in `_act`
                self._tell_fault("the end of a process", error)
        elif fd == self._listener.fileno():
            self._accept()
        elif (connection := self._connections.get(fd)) is not None:
            if happened & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._receive(connection)
            if happened & select.EPOLLOUT:
                self._flush(connection)

    def _accept(self) -> None:
        try:
            fd, _ = self._listener._accept()  # type: ignore[attr-defined]  # `socket` costs 0.5 MB
        except (BlockingIOError, ConnectionAbortedError):
            return
        socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fileno=fd)
        socket.setblocking(False)
        self._connections[fd] = Connection(socket)
        self._epoll.register(fd, select.EPOLLIN)

    def _receive(self, connection: Connection) -> None:
        try:
            part = connection.socket.recv(_MAX_READ)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self._drop(connection)
            return
        searched = len(connection.inbox)
        connection.inbox += part
        if connection.inbox.find(b"\n", searched) < 0:
            if len(connection.inbox) > _MAX_LINE:
                self._drop(connection)
            return
        *lines, rest = connection.inbox.split(b"\n")
        connection.inbox = rest
        for line in lines:
            self._obey(connection, line)

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.socket.fileno(), None) is None:
            return
        connection.socket.close()
        if connection.is_runner:
            self._runner_left()

    def _runner_left(self) -> None:
        self._keeper.has_runner = any(each.is_runner for each in self._connections.values())
        self._alone_since = time.monotonic()
        if not self._keeper.has_runner:
            self._keeper.exits.save()
            self._keeper.commands.end_all()

    def _flush(self, connection: Connection) -> None:
        if not connection.outbox:
            return
        try:
            sent = connection.socket.send(connection.outbox)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            if error.errno not in {errno.EPIPE, errno.ECONNRESET}:
                raise
            self._drop(connection)
            return
        del connection.outbox[:sent]
        if len(connection.outbox) > _MAX_UNSENT:
            self._drop(connection)
            return
        more = select.EPOLLOUT if connection.outbox else 0
        self._epoll.modify(connection.socket.fileno(), select.EPOLLIN | more)

    # --- messages ----------------------------------------------------------------------------------

    def _report(self, message: Message) -> None:
        for connection in self._connections.values():
            if connection.is_runner:
                _add(connection, message)

    def _obey(self, connection: Connection, line: bytearray) -> None:
        verb, number = "", None
        try:
            ask = json.loads(line.decode())  # of bytes, it first looks for their encoding
            verb, number = str(ask["do"]), ask.get("number")
            if not connection.is_trusted and verb not in _FOR_ALL:
                raise PermissionError(f"user {connection.uid} may not {verb}")  # noqa: TRY301
            answer = self._answer(connection, verb, ask)
        except KeyError as error:
            answer = {"type": "error", "verb": verb, "text": f"the message lacks {error}"}
        except (ValueError, TypeError, OSError) as error:
            answer = {"type": "error", "verb": verb, "text": str(error) or type(error).__name__}
        except Exception as error:  # noqa: BLE001 - as in `_act`
            self._tell_fault(verb, error)
            answer = {"type": "error", "verb": verb, "text": f"{type(error).__name__}: {error}"}
        if answer is not None:
            _add(connection, {**answer, "number": number})

    def _answer(self, connection: Connection, verb: str, ask: Message) -> Message | None:
        keeper = self._keeper
        match verb:
            case "start":
                keeper.start(ask)
            case "end":
                keeper.end(ask)
            case "forget":
                keeper.exits.forget(ask["unit"])
            case "disown":
                keeper.exits.disown(ask["unit"])
            case "start_command":
                return keeper.commands.start(ask)
            case "signal_command":
                keeper.commands.signal(ask)
            case "where":
                unit = keeper.units.get(ask["unit"])
                return {"type": "where", "pid": unit.pid if unit is not None else None}
            case "hello":
                return self._hello(connection, ask)
            case "leave":
                connection.is_runner = False
                self._runner_left()
                self._is_over = not len(keeper.units) and not keeper.has_runner
                return {"type": "left", "units": len(keeper.units)}
            case "pause":
                keeper.pausing.begin(float(ask["for_s"]), reason=str(ask["reason"]), by=str(ask["by"]))
                return {"type": "look", **keeper.view()}
            case "resume":
                keeper.pausing.resume(str(ask.get("reason", "")))
                return {"type": "look", **keeper.view()}
            case "look":
                return {"type": "look", **keeper.view()}
            case _:
                raise ValueError(f"{NO_SUCH_VERB}: {verb!r}")
        return None

    def _hello(self, connection: Connection, ask: Message) -> Message:
        connection.is_runner = True
        self._keeper.has_runner = True
        self._keeper.node, self._keeper.server = str(ask.get("node", "")), str(ask.get("server", ""))
        pausing = self._keeper.pausing
        pausing.max_pause_s = float(ask.get("max_pause_s", pausing.max_pause_s))
        self._unseen_s = float(ask.get("unseen_s", self._unseen_s))
        if not ask.get("use_cgroups", True):
            self._keeper.use_signals()
        return {
            "type": "hello",
            "protocol": PROTOCOL,
            "build": self._build,
            "pid": os.getpid(),
            **self._keeper.view(),
            "notes": self._keeper.exits.notes,
        }


def _add(connection: Connection, message: Message) -> None:
    connection.outbox += json.dumps(message).encode() + b"\n"
