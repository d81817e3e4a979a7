"""People who look into jobs that run on this computer: `distribute.host.Visits`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime

from distribute.core.errors import Refused
from distribute.core.spec.recipe import SAVE
from distribute.core.spec.visits import FilesFound, Got, Piece, path_bytes, path_text
from distribute.host import Pause, Unit
from distribute_services.node_runner.disk.job_folder import JobFolder, listed, read_pieces
from distribute_services.node_runner.host.command import RunningCommand, pipes
from distribute_services.node_runner.host.keeping import KeeperFailed, Keeping, Refusal
from distribute_services.node_runner.host.places import Running
from distribute_services.node_runner.host.refusals import reason_of
from distribute_services.node_runner.keeper.refusing import NO_SUCH_VERB

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OVER = "it has just ended"


class ComputerVisits:
    """As `distribute.host.Visits`."""

    def __init__(self, keeping: Keeping, base: Mapping[str, str], pause: Callable[[], Pause | None]) -> None:
        """`base` is the environment of a command whose job hides its own."""
        self._keeping = keeping
        self._base = base
        self._pause = pause

    async def list_files(self, running: Running, folder: str | None) -> FilesFound:
        """As `Visits.list_files`."""
        async with self._folder_of(running) as found:
            return await asyncio.to_thread(self._list, found, running, folder)

    def _list(self, found: JobFolder, running: Running, folder: str | None) -> FilesFound:
        results = found.inside(os.fsencode(SAVE))
        at = results if folder is None else found.inside(path_bytes(folder))
        if at is None and folder is not None:
            raise Refused(f"{folder!r} is not there, or leads out of the job's folder")
        unread: list[str] = []
        entries, is_part = listed(found.entries(at, unread)) if at is not None else ((), False)
        stdout = running.place.workspace.stdout
        # What we made ourselves needs no check, which holds up this process: 0.7 s for 100,000 entries.
        return FilesFound.model_construct(
            results=path_text(b"/".join(results)) if results is not None else None,
            entries=entries,
            printed_bytes=stdout.stat().st_size if stdout.exists() else 0,
            is_part=is_part,
            unread=tuple(unread),
            paused=self._pause() is not None,
        )

    async def read_files(
        self, running: Running, pieces: Sequence[Piece]
    ) -> tuple[Sequence[Got], Sequence[bytes]]:
        """As `Visits.read_files`."""
        printed = str(running.place.workspace.stdout)
        async with self._folder_of(running) as found:
            return await asyncio.to_thread(read_pieces, found, printed, tuple(pieces))

    async def start_command(self, unit: Unit, running: Running, argv: Sequence[str]) -> RunningCommand:
        """As `Visits.start_command`. Beside a container, it runs on the computer itself."""
        number, workspace = uuid.uuid4().hex, running.place.workspace
        self._refuse_in_a_pause()
        with pipes(workspace.slot, number) as (paths, readers):
            with _of_an_older_keeper():
                started = await self._keeping.start_command(
                    running.name,
                    number,
                    argv,
                    cwd=workspace.seen,
                    env=self._base,
                    outputs=paths,
                    inside=unit.recipe.image is None,
                )
            if isinstance(started, Refusal):
                self._refuse_in_a_pause()
                if started.step == "unit":
                    raise Refused(_OVER)
                raise Refused(reason_of(started, argv[0], workspace.seen, paths[0]))
            return RunningCommand(self._keeping, running.name, number, readers, started)

    def _refuse_in_a_pause(self) -> None:
        if (pause := self._pause()) is not None:
            until = datetime.fromtimestamp(pause.until).astimezone()
            by = f" by {pause.by}" if pause.by is not None else f" ({pause.reason})" if pause.reason else ""
            raise Refused(f"this node is paused{by} until {until:%H:%M}, and its jobs are frozen")

    @contextlib.asynccontextmanager
    async def _folder_of(self, running: Running) -> AsyncIterator[JobFolder]:
        """The working folder of a job, as its process sees it.

        A private copy of a build is mounted for that process alone: /proc leads there.
        """
        workspace = running.place.workspace
        if workspace.view is None:
            root = os.open(workspace.folder, _FOLDER)
        else:
            with _of_an_older_keeper():
                pid = await self._keeping.pid_of(running.name)
            if pid is None:
                raise Refused(_OVER)
            root = _open_seen_by(pid, workspace.view.at, otherwise=str(workspace.folder))
        try:
            # Another process can't have had the pid meanwhile, if the job still has it.
            if workspace.view is not None and await self._keeping.pid_of(running.name) != pid:
                raise Refused(_OVER)
            yield JobFolder(root, workspace.seen)
        finally:
            os.close(root)


@contextlib.contextmanager
def _of_an_older_keeper() -> Iterator[None]:
    """After an upgrade, the keeper of an earlier version holds its jobs to their end."""
    try:
        yield
    except KeeperFailed as error:
        if NO_SUCH_VERB not in str(error):
            raise
        raise Refused(
            "the job was begun by an older distribute: only later ones can be looked into"
        ) from error


def _open_seen_by(pid: int, path: str, otherwise: str) -> int:
    try:
        return os.open(f"/proc/{pid}/root{path}", _FOLDER)
    except PermissionError:  # it hides from its user: what it has changed is here
        return os.open(otherwise, _FOLDER)
    except FileNotFoundError:
        raise Refused(_OVER) from None
