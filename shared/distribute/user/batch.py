"""`distribute.Batch`: a batch that a Python program describes, submits, waits for, and reads."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from distribute.api.contents import Files
from distribute.api.keys import MetaKeys, Variables
from distribute.client.follow import follow_to_end
from distribute.client.history import batch_history, job_history, told_document
from distribute.client.logs import job_output
from distribute.client.person import this_person, user_name
from distribute.client.pull.filters import make_filter
from distribute.client.pull.listing import folder_of
from distribute.client.replacing import Replacement
from distribute.client.submit import check_submission, submit
from distribute.client.targets import find_batch
from distribute.client.waiting import with_after
from distribute.client.why import read_why
from distribute.core.errors import InvalidArgument, NameTaken, Refused
from distribute.core.ids import JobId
from distribute.user.connecting import Where, queries_to
from distribute.user.orders import BatchOrders
from distribute.user.progress import bar, show_batch
from distribute.user.pulling import Choice, pull
from distribute.user.running import run
from distribute.user.table import as_table, read_records

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument, BatchWithJobs
    from distribute.client.why import WhyStory

PathText = str | os.PathLike[str]


class Batch(BatchOrders):
    """A batch of jobs: described here, or submitted before.

        batch = distribute.Batch("cavity", files=["solver.py"], resources={"cpus": 1})
        points = distribute.sweep(grid={"re": [100, 400], "n": [48, 64]})
        batch.sweep(points, ["python3", "input/solver.py", "--re", "{re}", "--n", "{n}"])
        batch.submit().wait()
        folders = batch.results()

    Each method that talks to the cluster has a twin to await, which ends in `_async`. In a notebook, both
    work. Which cluster it is, is found as by the command line, unless `server` names one.

    Args:
        name: `sweep3`, or with its namespace, `jane/sweep3`.
        namespace: of the batch. None: the one in `name`, or your login.
        server: the cluster's address.
        creds: the file of credentials.
        more: see `BatchPlan`.
    """

    def __init__(
        self,
        name: str,
        *,
        namespace: str | None = None,
        capabilities: Sequence[str] = (),
        matrix: str | None = None,
        files: Files = (),
        env: Variables | None = None,
        build: str | None = None,
        build_file: PathText | None = None,
        image: PathText | None = None,
        mounts: Sequence[str] = (),
        server: str | None = None,
        creds: PathText | None = None,
        **more: Unpack[MetaKeys],
    ) -> None:
        before, slash, after = name.partition("/") if isinstance(name, str) else ("", "", name)
        if slash and namespace is not None:
            raise InvalidArgument(f"Batch(): {name!r} names a namespace; leave out namespace={namespace!r}")
        super().__init__(
            after if slash else name,
            namespace=before if slash else namespace if namespace is not None else user_name(),
            capabilities=capabilities,
            matrix=matrix,
            files=files,
            env=env,
            build=build,
            build_file=build_file,
            image=image,
            mounts=mounts,
            **more,
        )
        self._where = Where(server, None if creds is None else Path(creds))

    @classmethod
    def open(cls, name: str, *, server: str | None = None, creds: PathText | None = None) -> Self:
        """A batch that was submitted before: NAMESPACE/BATCH, BATCH if only one has this name, or `last`.

        Raises:
            UnknownName: there is none. The message has the nearest name.
            Unreachable: the cluster can't be reached.
        """
        return run(cls.open_async(name, server=server, creds=creds))

    @classmethod
    async def open_async(cls, name: str, *, server: str | None = None, creds: PathText | None = None) -> Self:
        """The same, to await."""
        where = Where(server, None if creds is None else Path(creds))
        async with where.opened() as cluster:
            queries = queries_to(cluster)
            found = await find_batch(queries, name)
            await queries.batch(found, most=0)
        return cls(found.batch, namespace=found.namespace, server=server, creds=creds)

    def submit(
        self,
        *,
        replace: bool = False,
        keep_succeeded: bool = False,
        force: bool = False,
        anyway: bool = False,
        progress: bool | None = None,
    ) -> Self:
        """Submit it: check it, store its inputs, and submit it, whole or not at all. Returns itself.

        Args:
            replace: first kill and delete the batch that has this name.
            keep_succeeded: with `replace`, keep its jobs that succeeded and do the same work in both, with
                what they left. Those that run, do the same work and are given the same go on. All others run.
            force: with `replace`, also if it is another person's.
            anyway: also if no node could run it.
            progress: show a bar. None: in a terminal and in a notebook.

        Raises:
            InvalidArgument: something of the batch is wrong; it names all problems.
            Refused: there is a batch of this name, or no node could run some job; or there is none, of which
                jobs could be kept.
            Unreachable: the cluster can't be reached.
        """
        return run(
            self.submit_async(
                replace=replace, keep_succeeded=keep_succeeded, force=force, anyway=anyway, progress=progress
            )
        )

    async def submit_async(
        self,
        *,
        replace: bool = False,
        keep_succeeded: bool = False,
        force: bool = False,
        anyway: bool = False,
        progress: bool | None = None,
    ) -> Self:
        """The same, to await."""
        if keep_succeeded and not replace:
            raise InvalidArgument("keep_succeeded keeps jobs of the batch that is replaced: add replace=True")
        loaded = await asyncio.to_thread(self.loaded)
        for warning in loaded.warnings:
            warnings.warn(warning, stacklevel=2)
        try:
            async with self._where.opened() as cluster:
                queries, person = queries_to(cluster), this_person()
                spec = await with_after(cluster, queries, person, loaded.spec, loaded.file.meta.after)
                _, problems = await check_submission(
                    cluster, queries, spec, replace=replace, anyway=anyway, allowed_by="anyway=True"
                )
                for problem in problems:
                    warnings.warn(problem, stacklevel=2)
                wanted = progress if loaded.sources else False
                with bar(f"sending inputs of {self}", of_bytes=True, wanted=wanted) as show:

                    def on_bytes(done: int, total: int) -> None:
                        show(done, total, "")

                    if keep_succeeded:
                        replacement = Replacement(cluster, queries, person, spec)
                        await replacement.submit(loaded.sources, force=force, on_bytes=on_bytes)
                    else:
                        await submit(
                            cluster,
                            person,
                            spec,
                            loaded.sources,
                            replace=replace,
                            force=force,
                            on_bytes=on_bytes,
                        )
        except NameTaken as error:
            raise Refused(
                f"{error.what}: give this one another name, submit it with replace=True, or delete that one"
            ) from error
        return self

    def wait(self, *, timeout: float | None = None, progress: bool | None = None) -> BatchDocument:
        """Wait until it is over and its results can be pulled. Ctrl-C ends the waiting, not the batch.

        Args:
            timeout: seconds to wait at most. None: as long as it takes.
            progress: show a bar. None: in a terminal and in a notebook.

        Returns:
            How it ended, as `distribute status --json`: `["state"]` is completed, failed or killed.

        Raises:
            TimeoutError: it was not over by then.
            UnknownName: there is no such batch.
            Unreachable: the cluster can't be reached.
        """
        return run(self.wait_async(timeout=timeout, progress=progress))

    async def wait_async(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as in `wait`
        progress: bool | None = None,
    ) -> BatchDocument:
        """The same, to await."""
        try:
            async with asyncio.timeout(timeout) as limit, self._where.opened() as cluster:
                with bar(str(self), wanted=progress) as show:
                    return await follow_to_end(
                        cluster, self.id, on_figures=lambda standing: show_batch(show, standing)
                    )
        except TimeoutError:
            if not limit.expired():
                raise
            raise TimeoutError(f"{self} was not over after {timeout:g} s; it goes on") from None

    def status(self) -> BatchWithJobs:
        """How it and its jobs stand, as `distribute status BATCH --json`.

        Raises:
            UnknownName: there is no such batch.
            Unreachable: the cluster can't be reached.
        """
        return run(self.status_async())

    async def status_async(self) -> BatchWithJobs:
        """The same, to await."""
        async with self._where.opened() as cluster:
            return await queries_to(cluster).batch(self.id)

    def results(
        self,
        folder: PathText = ".",
        *,
        into: PathText | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        edited: Literal["kept", "overwritten", "beside"] = "kept",
        replace_local: bool = False,
        progress: bool | None = None,
    ) -> dict[str, Path]:
        """Pull the results that there are by now, as `distribute pull` does: into FOLDER/BATCH/JOB/….

        Files that are there already stay; a pull that was cut off continues.

        Args:
            folder: where the batch's folder is made.
            into: the batch's own folder, which then has INTO/JOB/…. In place of `folder`.
            include: regular expressions; only files of whose NAMESPACE/BATCH/JOB/path one matches.
            exclude: the same, of files to leave out.
            edited: what becomes of files that somebody changed here: they are kept, overwritten, or get the
                archive's beside them, as NAME.theirs.
            replace_local: first remove what is there of another batch, or of earlier attempts, but for what
                somebody changed.
            progress: show a bar. None: in a terminal and in a notebook.

        Returns:
            The folder of each job that left something.

        Raises:
            UnknownName: there is no such batch.
            Refused: the folder has the results of another batch.
            IntegrityError: some results could not be pulled; the others are there.
            InputError: a pattern is no regular expression, or the folder can't be made.
            StorageFull: the folder has no room.
            Unreachable: the cluster can't be reached.
        """
        return run(
            self.results_async(
                folder,
                into=into,
                include=include,
                exclude=exclude,
                edited=edited,
                replace_local=replace_local,
                progress=progress,
            )
        )

    async def results_async(
        self,
        folder: PathText = ".",
        *,
        into: PathText | None = None,
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
        edited: Literal["kept", "overwritten", "beside"] = "kept",
        replace_local: bool = False,
        progress: bool | None = None,
    ) -> dict[str, Path]:
        """The same, to await."""
        async with self._where.opened() as cluster:
            with bar(f"pulling {self}", of_bytes=True, wanted=progress) as show:
                wanted = make_filter(include, exclude)
                base = folder_of(self.id) if into is None else ()
                choice = Choice(wanted, Path(folder if into is None else into), base, edited, replace_local)
                return await pull(cluster, self.id, choice, show)

    def records(self) -> list[dict[str, Any]]:
        """One dict a job: its name, its parameters, and how it stands or ended, with times in seconds.

        Raises:
            UnknownName: there is no such batch.
            Unreachable: the cluster can't be reached.
        """
        return run(self.records_async())

    async def records_async(self) -> list[dict[str, Any]]:
        """The same, to await."""
        async with self._where.opened() as cluster:
            return await read_records(cluster, self.id)

    def table(self) -> Any:
        """The same as a pandas `DataFrame`, where pandas is installed; else the list of `records`."""
        return as_table(self.records())

    async def table_async(self) -> Any:
        """The same, to await."""
        return as_table(await self.records_async())

    def logs(self, job: str, *, attempt: int | None = None) -> str:
        """What a job printed: all of it once it is over, or up to now. `attempt` None: the last.

        Raises:
            UnknownName: there is no such batch or job.
            Refused: it has not run yet, or has no such attempt.
            Unreachable: the cluster can't be reached.
        """
        return run(self.logs_async(job, attempt=attempt))

    async def logs_async(self, job: str, *, attempt: int | None = None) -> str:
        """The same, to await."""
        async with self._where.opened() as cluster:
            output = await job_output(cluster, JobId(*self.id, job), attempt)
            return b"".join([piece async for piece in output.pieces]).decode(errors="replace")

    def why(self, job: str) -> WhyStory:
        """What a job waits for, and where the time of its life went, as `distribute why JOB --json`.

        Raises:
            UnknownName: there is no such batch or job.
            Unreachable: the cluster can't be reached.
        """
        return run(self.why_async(job))

    async def why_async(self, job: str) -> WhyStory:
        """The same, to await."""
        async with self._where.opened() as cluster:
            return await read_why(cluster, queries_to(cluster), JobId(*self.id, job))

    def history(self, job: str | None = None) -> list[dict[str, Any]]:
        """What happened to it, or to one of its jobs, as `distribute history --json`: one dict an event.

        `["sentence"]` says it in words. `["misfit"]` is None, or says why the event was refused. Earlier
        batches of the name are told of first.

        Raises:
            UnknownName: there never was such a batch or job.
            Unreachable: the cluster can't be reached.
        """
        return run(self.history_async(job))

    async def history_async(self, job: str | None = None) -> list[dict[str, Any]]:
        """The same, to await."""
        async with self._where.opened() as cluster:
            telling = (
                batch_history(cluster, self.id) if job is None else job_history(cluster, JobId(*self.id, job))
            )
            return [told_document(told) async for told in telling]
