"""Finding the batches that a new batch waits for (`after`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distribute.client.batch_log import read_standing
from distribute.client.words import printable
from distribute.codec import decode_without_jobs
from distribute.core.errors import Refused
from distribute.core.ids import BatchId
from distribute.core.spec.specs import After, BatchSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.config.sections.after import AfterRef
    from distribute.ports import Cluster


async def with_after(
    cluster: Cluster, queries: Queries, person: Person, spec: BatchSpec, wanted: Sequence[AfterRef]
) -> BatchSpec:
    """The specification with the batches that it is to run after, as they are now.

    Another batch may get the name of one later: it is not meant.

    Raises:
        Refused: there is no such batch; or one of them waits for the batch that this one would replace.
    """
    if not wanted:
        return spec
    own = (await read_standing(cluster, spec.id)).course
    found: dict[BatchId, After] = {}
    for one in wanted:
        batch = await _named(queries, person, spec, one)
        course = (await read_standing(cluster, batch)).course
        if course.submission is None:
            raise Refused(
                f"after: there is no batch {printable(str(batch))}: submit it before this one. "
                "`distribute status` lists those that are there"
            )
        after = After(
            namespace=batch.namespace, batch=batch.batch, submission=course.submission, when=one.when
        )
        if batch == spec.id or (own.exists and own.end is None):  # else nothing waits for it
            await _refuse_circle(cluster, spec.id, own.submission, after)
        found[batch] = after
    return spec.model_copy(update={"after": tuple(found.values())})


async def _named(queries: Queries, person: Person, spec: BatchSpec, wanted: AfterRef) -> BatchId:
    """The batch that is meant: by its name, in the same namespace or another, or the last of this person."""
    if wanted.is_last:
        batches = (await queries.batches(user=person.name, last=1))["batches"]
        if not batches:
            raise Refused(
                "after: 'last' is the batch that you submitted last, and you have submitted none yet"
            )
        return BatchId(batches[0]["namespace"], batches[0]["batch"])
    namespace, name = wanted.parts
    return BatchId(namespace or spec.namespace, name)


async def _refuse_circle(cluster: Cluster, own: BatchId, replaced: str | None, after: After) -> None:
    """Raises `Refused` if a batch waits, maybe by way of others, for the one that would be replaced.

    `replaced` is the submission of that one. A batch may also wait for an earlier one of its name.
    """
    to_visit, seen = [[after]], set[str]()
    while to_visit:
        way = to_visit.pop()
        last = way[-1]
        if last.submission == replaced:
            names = " waits for ".join(printable(str(one)) for one in [own, *map(_id, way)])
            raise Refused(f"after: neither would ever begin: {names}")
        if last.submission in seen:
            continue
        seen.add(last.submission)
        course = (await read_standing(cluster, _id(last))).course
        if course.submission != last.submission or course.end is not None:
            continue
        raw = await cluster.log.get_raw(course.seq)  # not the last of that type: anyone may have written it
        spec = decode_without_jobs(raw.payload)[0].spec
        to_visit += [[*way, one] for one in spec.after or ()]


def _id(after: After) -> BatchId:
    return BatchId(after.namespace, after.batch)
