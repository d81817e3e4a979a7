"""Asking the node on which a job runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from distribute.client.documents import OVER
from distribute.client.words import argument, printable
from distribute.core.errors import NobodyAnswers, Refused, Unreachable

if TYPE_CHECKING:
    from distribute.client.documents import JobDocument, NodeStory
    from distribute.client.queries import Queries
    from distribute.core.ids import JobId
    from distribute.core.spec.specs import Frozen
    from distribute.ports import Cluster

ANSWER_WITHIN_S = 10.0
"""Max. seconds to wait for a node: a list of 100,000 files takes it one or two."""

RUNS = frozenset({"running", "paused"})
AWAY = frozenset({"out_of_touch", "lost", "left"})


class Visit(NamedTuple):
    """A job that runs: which attempt, on which node of which version, and whose it is."""

    job: JobId
    attempt: int
    node: str
    version: str
    user: str


async def find_running(queries: Queries, job: JobId) -> Visit:
    """Where a job runs.

    Raises:
        Refused: there is no such job, it does not run, or its node is away; says what to do instead.
    """
    batch = await queries.batch(job.batch_id, job=job.job)
    found = next((one for one in batch["job_list"] if one["job"] == job.job), None)
    if found is None:
        found = await queries.job(job)  # says that there is none
    node = found["node"]
    if found["state"] not in RUNS or node is None:
        raise Refused(_why_not(job, found))
    story = await queries.node(node)
    if story["state"] in AWAY:
        raise Refused(_away(job, story))
    return Visit(job, found["attempt"], node, story["version"], batch["user"])


async def ask_node(
    cluster: Cluster,
    queries: Queries,
    visit: Visit,
    verb: str,
    question: Frozen,
    *,
    timeout_s: float = ANSWER_WITHIN_S,
) -> bytes:
    """The node's answer.

    Raises:
        Refused: it refuses, does not answer, or the job does not run there any more.
    """
    node = printable(visit.node)
    payload = question.model_dump_json().encode()
    try:
        return await cluster.queries.ask(verb, payload, node=visit.node, timeout_s=timeout_s)
    except Refused as error:
        await find_running(queries, visit.job)  # if it ended meanwhile, that says more
        raise Refused(f"{node}: {printable(str(error))}") from error
    except NobodyAnswers as error:
        await find_running(queries, visit.job)
        raise Refused(
            f"{node} does not answer: it has just left, or its distribute ({printable(visit.version)}) is "
            "too old for this"
        ) from error
    except Unreachable as error:
        raise Refused(
            f"{node} did not answer within {timeout_s:g} s: it is cut off, or very busy; `distribute nodes` "
            "shows when it was last heard"
        ) from error


def _why_not(job: JobId, found: JobDocument) -> str:
    name, batch, state = printable(str(job)), argument(str(job.batch_id)), found["state"]
    if state in OVER:
        include = argument(f"/{job.job}/")
        return (
            f"{name} is over ({state}): `distribute logs {argument(str(job))}` shows what it printed, "
            f"`distribute pull {batch} --include {include}` brings what it left"
        )
    if state == "building":
        return f"{name} does not run yet: its build does; `distribute logs -f {batch}` shows what that prints"
    on = f", to {printable(found['node'])}" if state == "assigned" and found["node"] is not None else ""
    return f"{name} does not run yet: it is {state}{on}; `distribute watch {batch}` shows progress"


def _away(job: JobId, node: NodeStory) -> str:
    state = node["state"].replace("_", " ")
    heard = f", last heard {node['heard_at']}" if node.get("heard_at") else ""
    return (
        f"{printable(node['node'])}, on which {printable(str(job))} runs, is {state}{printable(heard)}: "
        "nobody can look into the job until it is back"
    )
