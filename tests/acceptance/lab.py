"""A lab of real processes. Tests use it through the command line, and check it by the log."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from acceptance.person import PATIENCE_S, obey_signals
from acceptance.processes import Processes, identity_of
from distribute.client.pull.note import NOTE_NAME
from distribute.core.errors import NobodyAnswers
from distribute.core.ids import BatchId
from distribute.core.log.events import Event
from distribute.core.log.recorded import Recorded
from distribute.nats.client.jetstream import call
from distribute.nats.cluster import Cluster, open_cluster
from distribute.nats.objects.result_names import chunks_of_batch
from distribute.ports import Only
from distribute_services.node_runner.keeper import procfs

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Said:
    """The result of a run of the command line."""

    code: int
    out: str
    err: str
    took_s: float

    @property
    def document(self) -> Json:
        """Its JSON answer."""
        found: Json = json.loads(self.out)
        return found


async def _start(
    server: str, home: Path, arguments: Sequence[str], stderr: int, by: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "distribute_cli", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=stderr,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "USER": by, "DISTRIBUTE_SERVER": server},
        preexec_fn=obey_signals,
    )  # fmt: skip


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a process if it still runs, as after a test that failed."""
    if process.returncode is None:
        process.kill()
        await process.wait()


async def distribute(server: str, home: Path, *arguments: str, by: str = "jane") -> Said:
    """Run the command line with the home folder `home` as the person `by`."""
    began = time.monotonic()
    process = await _start(server, home, arguments, asyncio.subprocess.PIPE, by)
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    except TimeoutError:
        raise AssertionError(f"distribute {arguments} did not end within {PATIENCE_S:g} s") from None
    finally:
        await _kill(process)
    assert process.returncode is not None
    return Said(process.returncode, out.decode(), err.decode(), time.monotonic() - began)


class Running:
    """A command that runs, and whose output is read while it does. Both streams are one."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a piece may end within a character
        self.out = ""

    @property
    def code(self) -> int | None:
        """Its exit code; None: it still runs."""
        return self._process.returncode

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self.send(signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it."""
        self._process.send_signal(number)

    async def until(self, text: str) -> None:
        """Wait until the output has this text."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while text not in self.out:
                piece = await self._process.stdout.read(1 << 16)
                assert piece, f"it ended without {text!r}: {self.out}"
                self.out += self._decoder.decode(piece)

    async def end(self) -> str:
        """Wait for the end. Returns all of the output."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            self.out += self._decoder.decode(await self._process.stdout.read(), final=True)
            await self._process.wait()
        return self.out


class Lab:
    """A cluster of processes, with methods to use it and to check it."""

    def __init__(self, processes: Processes, cluster: Cluster) -> None:
        self.processes = processes
        self.cluster = cluster
        self.folder = processes.folder
        self._files = 0
        self._started: list[asyncio.subprocess.Process] = []

    # --- using it ---

    async def distribute(self, *arguments: str, code: int = 0, by: str = "jane") -> Said:
        """Run the command line against this lab, as the person `by`. It must exit with `code`."""
        said = await distribute(self.processes.server, self.folder, *arguments, by=by)
        assert said.code == code, f"{arguments} ended with {said.code}: {said.err}{self._logs()}"
        return said

    async def start(self, *arguments: str) -> Running:
        """Start a command that runs for a while, at most as long as the lab."""
        process = await _start(
            self.processes.server, self.folder, arguments, asyncio.subprocess.STDOUT, "jane"
        )
        self._started.append(process)
        return Running(process)

    async def end_commands(self) -> None:
        """Kill the commands that a failed test left running."""
        for process in self._started:
            await _kill(process)

    async def add(self, batch: Mapping[str, Any], *options: str, code: int = 0, by: str = "jane") -> Said:
        """Submit a batch, given as the content of its file."""
        return await self.distribute("add", str(self.write(batch)), *options, code=code, by=by)

    def write(self, batch: Mapping[str, Any]) -> Path:
        """Write the batch's file and return its path."""
        self._files += 1
        path = self.folder / f"batch-{self._files}.yaml"
        path.write_text(yaml.safe_dump(dict(batch), allow_unicode=True))
        return path

    async def pull(self, batch: str, *, code: int = 0) -> tuple[Path, Said]:
        """Pull a batch into a new folder. Returns the batch's folder in it."""
        self._files += 1
        target = self.folder / f"pulled-{self._files}"
        said = await self.distribute("pull", "--save-dir", str(target), "--", batch, code=code)
        return target / batch.rpartition("/")[2], said

    # --- checking it ---

    async def event(
        self,
        *types: str,
        batch: str | None = None,
        node: str | None = None,
        after: int = 0,
        where: Callable[[Any], bool] = lambda _: True,
        nth: int = 1,
    ) -> Recorded:
        """Wait for the first such event behind a sequence, or the `nth`, and return it."""
        only = Only(types=frozenset(types), batch=batch_id(batch) if batch else None, node=node)
        found = 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                async for records in self.cluster.log.follow(after=after, only=only):
                    for recorded in records:
                        found += where(recorded.event)
                        if found == nth:
                            return recorded
        except TimeoutError:
            pass
        raise AssertionError(f"no {types} of {batch or node} within {PATIENCE_S:g} s{self._logs()}")

    async def over(self, batch: str, after: int = 0) -> int:
        """Wait until a batch is over and archived. Returns the sequence of its `batch_archived`."""
        return (await self.event("batch_archived", batch=batch, after=after)).seq

    async def events(self, *types: str, batch: str) -> list[Event]:
        """The events of a batch so far."""
        found: list[Event] = []
        only = Only(types=frozenset(types), batch=batch_id(batch))
        async for records in self.cluster.log.follow(
            after=0, only=only, until=await self.cluster.log.last_seq()
        ):
            found += [recorded.event for recorded in records]
        return found

    async def jobs(self, batch: str) -> dict[str, Json]:
        """The jobs of a batch, by name, as `status` shows them."""
        said = await self.distribute("status", "--json", "--", batch)
        return {job["job"]: job for job in said.document["job_list"]}

    async def ask(self, verb: str, **question: Any) -> Json:
        """Ask the scheduler until it answers a query: nothing notifies us when it is up."""
        payload = json.dumps(question).encode()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    answer: Json = json.loads(await self.cluster.queries.ask(verb, payload))
                except NobodyAnswers:
                    await asyncio.sleep(0.05)
                else:
                    return answer

    async def results_removed(self, *batches: str) -> None:
        """Poll until the archive holds no results of these batches: nothing notifies us of it."""
        async with asyncio.timeout(PATIENCE_S):
            for batch in batches:
                while await self._results_of(batch):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)

    async def _results_of(self, batch: str) -> Json:
        """The subjects that hold results of a batch."""
        wanted = {"subjects_filter": f"$O.results.C.{chunks_of_batch(batch_id(batch))}"}
        answer = await call(self.cluster.connection, "STREAM.INFO.OBJ_results", wanted)
        found: Json = answer["state"].get("subjects") or {}
        return found

    async def node_is_idle(self, node: str) -> None:
        """Poll until no process of an attempt is left on a node, which does not announce that."""
        async with asyncio.timeout(PATIENCE_S):
            while self.job_processes(node):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def logged(self, service: str, words: str) -> None:
        """Poll a service's log until it has these words, for what the service reports nowhere else."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while words not in self.processes.log_of(service):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{service} never logged {words!r}{self._logs()}") from None

    def job_processes(self, node: str) -> list[int]:
        """The living processes of a node's attempts and builds."""
        identity = identity_of(self.folder / node)
        return [
            pid
            for pid in procfs.processes_of(os.getuid())
            if (procfs.marker(pid) or "").startswith(f"{identity}/")
        ]

    def _logs(self) -> str:
        """The last lines of every service's log, for the message of a failing test."""
        logs = sorted(self.folder.glob("*.log"))
        return "".join(f"\n--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in logs)


def batch_id(text: str) -> BatchId:
    namespace, _, batch = text.partition("/")
    return BatchId(namespace, batch)


def job_folders(batch: Path) -> list[Path]:
    """The folders of jobs in the folder of a pulled batch, by name. Nothing else is there but pull's note."""
    return sorted(path for path in batch.iterdir() if os.fsencode(path.name) != NOTE_NAME)


def command_batch(name: str, jobs: Mapping[str, Any], **meta: Any) -> Json:
    """A batch of commands, one cpu each. A job is its command, or the keys of its entry."""
    namespace, _, batch = name.partition("/")
    entries = [
        {"name": job, **(entry if isinstance(entry, dict) else {"command": entry})}
        for job, entry in jobs.items()
    ]
    return {
        "meta": {"namespace": namespace, "batch_name": batch, "resources": {"cpus": 1}, **meta},
        "command": {"jobs": entries},
    }


@asynccontextmanager
async def open_lab(
    folder: Path, nodes: Mapping[str, Sequence[str]], *, lost_s: float = 30.0
) -> AsyncIterator[Lab]:
    """A lab whose nodes have joined. At its end, it checks that nothing of it is left.

    If the test or the check fails, it ends what is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    processes = Processes(folder, dict(nodes), lost_s)
    async with processes:
        async with open_cluster(processes.broker.address, "test") as cluster:
            lab = Lab(processes, cluster)
            try:
                for node in nodes:
                    await lab.event("joined", node=node)
                yield lab
            finally:
                await lab.end_commands()
        for name in [name for name in processes.pids if name != "broker"]:
            code = processes.end(name, signal.SIGTERM)
            assert code == 0, f"{name} ended with {code}: {processes.log_of(name)[-2000:]}"
    try:
        assert_nothing_is_left(lab)
    except AssertionError:
        await processes.end_keepers()
        raise


def assert_nothing_is_left(lab: Lab) -> None:
    """Check that no process, no used port and no unremovable file is left."""
    for lock in lab.folder.glob("*/lock"):
        assert lab.job_processes(lock.parent.name) == []
    place = os.fsencode(lab.folder)
    assert not [pid for pid in procfs.processes_of(os.getuid()) if place in _command_line(pid)]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", urlsplit(lab.processes.server).port)) != 0
    shutil.rmtree(lab.folder)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has ended meanwhile
