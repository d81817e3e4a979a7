"""What a Python program orders for a batch that was submitted: to kill it, retry it, hold it, delete it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from distribute.api.plan import BatchPlan
from distribute.client.control import delete, kill
from distribute.client.editing import edit
from distribute.client.holding import hold, release
from distribute.client.moving import Moving, move
from distribute.client.person import this_person
from distribute.client.priority import set_priority
from distribute.client.retrying import Outcome, Retried, retry
from distribute.core.errors import InvalidArgument
from distribute.core.ids import BatchId, JobId
from distribute.core.log.event_base import MAX_TEXT
from distribute.core.spec.specs import MAX_PRIORITY
from distribute.user.changes import checked_changes
from distribute.user.connecting import queries_to
from distribute.user.running import run

if TYPE_CHECKING:
    from distribute.client.documents import EditDocument
    from distribute.client.editing import ChangeKeys
    from distribute.user.connecting import Where


class BatchOrders(BatchPlan):
    """A batch that can be acted on where it was submitted. `distribute.Batch` is made of it."""

    _where: Where

    @property
    def id(self) -> BatchId:
        """The namespace and the name."""
        return BatchId(self.namespace, self.name)

    def kill(self, job: str | None = None, *, force: bool = False) -> None:
        """Stop it, or one of its jobs. What running jobs have left by then is kept.

        `force`: also if it is another person's.

        Raises:
            UnknownName: there is no such batch or job.
            Refused: it is over, or another person's.
            Unreachable: the cluster can't be reached.
        """
        run(self.kill_async(job, force=force))

    async def kill_async(self, job: str | None = None, *, force: bool = False) -> None:
        """The same, to await."""
        target = self.id if job is None else JobId(*self.id, job)
        async with self._where.opened() as cluster:
            await kill(cluster, queries_to(cluster), this_person(), target, force=force)

    def delete(self, *, force: bool = False) -> None:
        """Delete it, with its results in the archive. One that runs is killed first.

        `force`: also if it is another person's.

        Raises:
            UnknownName: there is no such batch.
            Refused: it is another person's.
            Unreachable: the cluster can't be reached.
        """
        run(self.delete_async(force=force))

    async def delete_async(self, *, force: bool = False) -> None:
        """The same, to await."""
        async with self._where.opened() as cluster:
            await delete(cluster, this_person(), self.id, force=force)

    def retry(
        self, *jobs: str, only: Outcome | None = None, hold: bool = False, force: bool = False
    ) -> Retried:
        """Have jobs run again that failed or were killed. What succeeded, and was built, is kept.

        A batch that is over goes on, and ends again: `wait` waits for that.

        Args:
            jobs: the names of those that run again. None named: all that failed or were killed.
            only: only those that failed, or that were killed.
            hold: hold it, so that none of them begins before somebody releases it.
            force: also if it is another person's.

        Returns:
            How many run again that failed, and how many that were killed.

        Raises:
            InvalidArgument: a name is no text, or `only` is another word.
            UnknownName: there is no such batch or job.
            Refused: no job failed or was killed, or one that is named did not; it is being killed, ran
                elsewhere, or is another person's.
            Unreachable: the cluster can't be reached.
        """
        return run(self.retry_async(*jobs, only=only, hold=hold, force=force))

    async def retry_async(
        self, *jobs: str, only: Outcome | None = None, hold: bool = False, force: bool = False
    ) -> Retried:
        """The same, to await."""
        if only not in {None, "failed", "killed"}:
            raise InvalidArgument(f"retry(): only={only!r}; write 'failed' or 'killed', or leave it out")
        _refuse_other_than_names("retry", jobs)
        async with self._where.opened() as cluster:
            return await retry(
                cluster, queries_to(cluster), this_person(), self.id, jobs, only=only, hold=hold, force=force
            )

    def hold(self, reason: str = "", *, force: bool = False) -> str | None:
        """Let no further job of it begin until it is released. What nodes have goes on.

        Args:
            reason: why; people see it beside the batch.
            force: also if it is another person's.

        Returns:
            Who holds it already. None: nobody did.

        Raises:
            InvalidArgument: the reason is too long.
            UnknownName: there is no such batch.
            Refused: it is over, ran elsewhere, or is another person's.
            Unreachable: the cluster can't be reached.
        """
        return run(self.hold_async(reason, force=force))

    async def hold_async(self, reason: str = "", *, force: bool = False) -> str | None:
        """The same, to await."""
        if len(reason) > MAX_TEXT:
            raise InvalidArgument(f"hold(): a reason of {len(reason)} characters; write {MAX_TEXT} at most")
        async with self._where.opened() as cluster:
            return await hold(cluster, this_person(), self.id, reason=reason, force=force)

    def release(self, *, force: bool = False) -> str:
        """Let its jobs begin again, whoever holds it. Returns who held it.

        `force`: also if it is another person's.

        Raises:
            UnknownName: there is no such batch.
            Refused: nobody holds it, or it is over, or another person's.
            Unreachable: the cluster can't be reached.
        """
        return run(self.release_async(force=force))

    async def release_async(self, *, force: bool = False) -> str:
        """The same, to await."""
        async with self._where.opened() as cluster:
            return await release(cluster, this_person(), self.id, force=force)

    def set_priority(self, priority: int, *, force: bool = False) -> None:
        """Give it another priority, from -100 to 100: of the jobs that wait, those of the highest run first.

        `force`: also if it is another person's.

        Raises:
            InvalidArgument: it is no such number.
            UnknownName: there is no such batch.
            Refused: it is over, ran elsewhere, or is another person's.
            Unreachable: the cluster can't be reached.
        """
        run(self.set_priority_async(priority, force=force))

    async def set_priority_async(self, priority: int, *, force: bool = False) -> None:
        """The same, to await."""
        if type(priority) is not int or abs(priority) > MAX_PRIORITY:
            raise InvalidArgument(
                f"set_priority(): {priority!r} is no priority; write a whole number from "
                f"-{MAX_PRIORITY} to {MAX_PRIORITY}"
            )
        async with self._where.opened() as cluster:
            await set_priority(cluster, this_person(), self.id, priority, force=force)

    def edit(
        self, *jobs: str, anyway: bool = False, force: bool = False, **changes: Unpack[ChangeKeys]
    ) -> EditDocument:
        """Change what waiting jobs ask for, and how the batch limits itself.

        Jobs that run, or are over, keep what they have. `jobs`: only these; none: all that wait. `changes`:
        `cpus`, `memory_bytes`, `gpus`, `timeout_s`, `retries`; without `jobs` also `max_running` and
        `max_failures`. A timeout or limit of 0 means none. `anyway`: no node need be able to run the jobs.
        `force`: also if it is another person's.

        Returns:
            How many jobs change (`waiting`), and how many keep what they have (`in_flight`, `over`).

        Raises:
            InvalidArgument: a change has a wrong name or value.
            InputError: nothing is to change, or the changes do not fit together.
            UnknownName: there is no such batch or job.
            Refused: it is over, or another person's, no job of it waits, or no node could run the jobs.
            Unreachable: the cluster can't be reached.
        """
        return run(self.edit_async(*jobs, anyway=anyway, force=force, **changes))

    async def edit_async(
        self, *jobs: str, anyway: bool = False, force: bool = False, **changes: Unpack[ChangeKeys]
    ) -> EditDocument:
        """The same, to await."""
        wanted = checked_changes(changes)
        _refuse_other_than_names("edit", jobs)
        who = this_person()
        async with self._where.opened() as cluster:
            return await edit(
                cluster, queries_to(cluster), who, self.id, wanted, jobs=jobs, anyway=anyway, force=force
            )

    def move(self, job: str, *, force: bool = False) -> Moving:
        """Have the node of a job give it back: it runs again, at another node if one can take it.

        `force`: also if it is another person's.

        Returns:
            The `node` that it leaves, and how many `others` could take it.

        Raises:
            UnknownName: there is no such batch or job.
            Refused: no node has it, it is being killed, or is another person's.
            Unreachable: the cluster can't be reached.
        """
        return run(self.move_async(job, force=force))

    async def move_async(self, job: str, *, force: bool = False) -> Moving:
        """The same, to await."""
        async with self._where.opened() as cluster:
            return await move(cluster, queries_to(cluster), this_person(), JobId(*self.id, job), force=force)


def _refuse_other_than_names(verb: str, jobs: Sequence[object]) -> None:
    """Raise `InvalidArgument` if one of these is no text."""
    if wrong := [job for job in jobs if not isinstance(job, str)]:
        raise InvalidArgument(f"{verb}(): {wrong[0]!r} is no job's name; of a list, write {verb}(*names)")
