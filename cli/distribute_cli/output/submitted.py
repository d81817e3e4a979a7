"""What `add` prints: whether the cluster can run a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from distribute.client.batch_log import read_standing
from distribute.client.saying import refuse_anothers
from distribute.client.seen import Seen
from distribute.client.submit import Fit, check_submission
from distribute.client.words import printable
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId
    from distribute.core.spec.specs import BatchSpec
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output


async def check_batch(
    cluster: Cluster, queries: Queries, output: Output, spec: BatchSpec, *, replace: bool, anyway: bool
) -> dict[str, Any]:
    """Check that the name is free and that nodes could run the batch, and say how many.

    Returns:
        What is known of the batch, as the JSON of `add`.

    Raises:
        Refused: a batch of this name exists, or no node, here or away, could run some job, and no option
            allows that.
    """
    fit, warnings = await check_submission(
        cluster, queries, spec, replace=replace, anyway=anyway, allowed_by="--anyway"
    )
    for warning in warnings:
        output.warn(warning)
    output.hint(fit_line(fit))
    return {
        "namespace": spec.namespace,
        "batch": spec.batch,
        "jobs": len(spec.work.jobs),
        "nodes": fit.match["nodes"],
        "fit": fit.match["fit"],
        "capabilities": fit.match["capabilities"],
        "waits_for": fit.match["away"],
    }


async def agree_to_replace(
    cluster: Cluster,
    queries: Queries,
    output: Output,
    person: Person,
    batch: BatchId,
    *,
    yes: bool,
    force: bool,
    dry: bool,
) -> tuple[Seen, dict[str, Any]]:
    """Say what is lost with the batch that is to be replaced, and ask, except in a dry run.

    Returns:
        How the batch stands that is replaced, and the same as the JSON of `add`; nothing if there is none.

    Raises:
        Refused: it is another person's, or that is not to be lost.
    """
    seen = Seen(*await read_standing(cluster, batch))
    if not seen.course.exists:
        return seen, {}
    from distribute_cli.output.losses import agree, everything, whose

    standing = await queries.batch(batch, most=0)
    refuse_anothers(batch, standing["user"], person, "replace", force=force)
    name, lost = whose(standing, person.name), everything(standing["jobs"])
    if dry:
        output.hint(f"{name} would be replaced, and lost for good: {lost}")
    else:
        question = f"Replace {name}, and lose for good: {lost}?"
        await agree(question, f"{printable(str(batch))} was not replaced", yes=yes)
    return seen, {"replaces": {key: standing[key] for key in ("user", "state", "jobs")}}


def fit_line(fit: Fit) -> str:
    """`runs on 2/3 of the nodes`; if jobs differ, also how many run where."""
    nodes, by_fit = fit.match["nodes"], fit.jobs_by_fit
    fewest = f"runs on {min(by_fit)}/{nodes} of the nodes"
    if len(by_fit) == 1:
        return fewest
    parts = [f"{counted(jobs, 'job')} on {nodes_that_fit}/{nodes}" for nodes_that_fit, jobs in by_fit.items()]
    return f"{fewest} or more: {', '.join(parts)}"
