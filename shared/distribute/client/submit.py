"""Submitting a batch: check it against the cluster, store its inputs, append it, whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from distribute.client.appending import append_behind
from distribute.client.batch_log import read_standing
from distribute.client.channels import ask_channels
from distribute.client.control import delete
from distribute.client.saying import NOT_REPLACED, refuse_another
from distribute.client.seen import Seen
from distribute.client.upload import OnBytes, upload
from distribute.client.words import argument, printable
from distribute.config.sections.units import format_size
from distribute.core.errors import NameTaken, Refused, UnknownName
from distribute.core.log.events import Event, Submitted
from distribute.core.spec.gpu_kind import GpuKind, gpus_in_words
from distribute.core.state.grouping import needs
from distribute.core.words import counted, few

if TYPE_CHECKING:
    from distribute.client.documents import Amounts, MatchDocument
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId
    from distribute.core.spec.specs import BatchSpec
    from distribute.core.state.state import Shape
    from distribute.inputs.sources import Source
    from distribute.ports import Cluster


class Fit(NamedTuple):
    """On how many of the cluster's nodes a batch's jobs could run."""

    match: MatchDocument
    """The cluster's answer, with the shapes of jobs in the order of the batch."""
    jobs_by_fit: dict[int, int]
    """How many jobs could run on how many nodes: `{2: 30, 1: 5}`, 30 jobs on two nodes, 5 on one."""

    @property
    def problem(self) -> str | None:
        """Why some job could run on no node, here or away. None: each could run somewhere."""
        too_large = self.match.get("too_large")
        return self.match["problem"] if too_large is None else _too_large(**too_large)

    @property
    def waits_for(self) -> str | None:
        """What some job waits for, because no node that is here could run it. None: each could run here."""
        if self.problem is not None or all(self.match["fit"]):
            return None
        if not self.match["away"]:
            return "no node has joined yet; the batch waits for one"
        named = [printable(name) for name in self.match["away"]]
        fewest = min(self.jobs_by_fit)
        jobs = counted(self.jobs_by_fit[fewest], "job")
        return f"for {jobs}, the batch waits until one of these nodes is here: {few(named)}"


async def check(queries: Queries, spec: BatchSpec) -> Fit:
    """On how many of the nodes that are here the batch's jobs could run."""
    shapes = Counter(needs(spec, job)[0] for job in spec.work.jobs)
    match = await queries.match(sorted(spec.required_capabilities), [_resources(shape) for shape in shapes])
    jobs_by_fit: Counter[int] = Counter()
    for fit, jobs in zip(match["fit"], shapes.values(), strict=True):
        jobs_by_fit[fit] += jobs
    return Fit(match, dict(sorted(jobs_by_fit.items(), reverse=True)))


async def why_no_messages(cluster: Cluster, spec: BatchSpec) -> str | None:
    """Why the batch's Matrix user gets no messages about it. None: they get them, or it names nobody."""
    if spec.matrix_user is None or "matrix" in await ask_channels(cluster):
        return None
    return (
        f"{printable(spec.matrix_user)} gets no messages about it, because nothing here sends any to Matrix; "
        f"`distribute wait {argument(str(spec.id))}` returns when the batch is over"
    )


async def check_submission(
    cluster: Cluster, queries: Queries, spec: BatchSpec, *, replace: bool, anyway: bool, allowed_by: str
) -> tuple[Fit, list[str]]:
    """Check that the name is free, unless to `replace`, and that nodes could run the batch.

    `anyway`: no node need be able to; `allowed_by` is how people say that, such as `--anyway`.

    Returns:
        On how many nodes the jobs could run, and what to warn of.

    Raises:
        NameTaken: a batch of this name exists.
        Refused: no node, here or away, could run some job.
    """
    if not replace:
        await refuse_if_taken(cluster, spec.id)
    fit = await check(queries, spec)
    if fit.problem is not None and not anyway:
        less = "Ask for less under 'resources', or submit" if fit.match.get("too_large") else "Submit"
        raise Refused(f"{fit.problem}. {less} it with {allowed_by}, to wait for such a node")
    return fit, [*filter(None, (fit.problem, fit.waits_for, await why_no_messages(cluster, spec)))]


async def refuse_if_taken(cluster: Cluster, batch: BatchId) -> None:
    """Raises `NameTaken` if there is a batch of this name."""
    course = (await read_standing(cluster, batch)).course
    if course.exists:
        raise _taken(batch, course.user)


async def submit(
    cluster: Cluster,
    person: Person,
    spec: BatchSpec,
    sources: Mapping[str, Path | Source],
    *,
    replace: bool = False,
    seen: Seen | None = None,
    force: bool = False,
    on_bytes: OnBytes = lambda done, total: None,
) -> None:
    """Store the inputs, and submit.

    Args:
        cluster: where it is to run.
        person: who submits it.
        spec: the batch.
        sources: its input files, by sha256.
        replace: kill and delete the batch that has its name now.
        seen: how that stood when the person decided to replace it. None: as it stands now.
        force: replace it also if it is another person's.
        on_bytes: is told how many bytes of the inputs are stored, and of how many.

    Raises:
        NameTaken: a batch of this name exists, and is not to be replaced.
        Refused: it is another person's, another one has its name by now, or somebody did something to it
            after the person saw it.
        IntegrityError, InputError, StorageFull: an input could not be stored; nothing is submitted.
    """
    if replace and seen is None:
        seen = Seen(*await read_standing(cluster, spec.id))
    if sources:
        await upload(cluster.store, sources, on_bytes)
    event = Submitted(
        **person.stamp(), namespace=spec.namespace, batch=spec.batch, user=person.name, spec=spec
    )

    async def make_room() -> tuple[Event, int]:
        while True:
            course, scope_seq = await read_standing(cluster, spec.id)
            if not course.exists:
                return event, scope_seq
            if not replace or seen is None:
                raise _taken(spec.id, course.user)
            refuse_another(spec.id, course, seen.course, NOT_REPLACED)
            with suppress(UnknownName):  # somebody else has deleted it by now
                await delete(cluster, person, spec.id, seen=seen, replacing=True, force=force)

    await append_behind(cluster.log, make_room)


def _too_large(asked: Amounts, most: Amounts) -> str:
    """`no node has 4 cpus and 2G for one job; the largest has 1 cpu and 23.5G`."""
    wanted = f"{_amounts(asked, asked)} for one job"
    has_cpus, has_gpus = asked["cpus"] <= most["cpus"], asked["gpus"] <= most["gpus"]
    if has_cpus and has_gpus and asked["memory_bytes"] <= most["memory_bytes"]:
        return f"no single node has {wanted}"
    return f"no node has {wanted}; the largest has {_amounts(most, asked)}"


def _amounts(amounts: Amounts, asked: Amounts) -> str:
    """`4 cpus, 2G and 1 GPU`: of everything that is asked for."""
    parts = [counted(amounts["cpus"], "cpu")]
    if asked["memory_bytes"]:
        parts.append(format_size(amounts["memory_bytes"]))
    if asked["gpus"]:
        kind = asked.get("gpu_kind")
        parts.append(printable(gpus_in_words(amounts["gpus"], GpuKind(**kind) if kind else None)))
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _resources(shape: Shape) -> dict[str, Any] | None:
    """A shape as the query spells it; None: a whole node."""
    if shape.whole_node:
        return None
    wanted: dict[str, Any] = {"cpus": shape.cpus, "memory_bytes": shape.memory_bytes, "gpus": shape.gpus}
    if shape.gpu_kind is not None:
        wanted["gpu_kind"] = shape.gpu_kind._asdict()
    return wanted


def _taken(batch: BatchId, user: str) -> NameTaken:
    return NameTaken(
        f"there is a batch {printable(str(batch))} already, of {printable(user)}",
        "give this one another batch_name, replace that one with --replace, or first "
        f"`distribute delete {argument(str(batch))}`",
    )
