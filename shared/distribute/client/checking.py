"""A look at a whole cluster: what of it does not work, or not as well as it could."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, NamedTuple

from distribute.client.about import About, Service, ask_about, own_version
from distribute.client.words import printable
from distribute.core.words import counted

if TYPE_CHECKING:
    from distribute.client.documents import NodeDocument
    from distribute.client.queries import Queries
    from distribute.ports import Cluster

Verdict = Literal["ok", "warning", "problem"]


class Finding(NamedTuple):
    """What was found of one thing.

    A `problem` keeps work from being done, or messages from being sent. A `warning` is something less.
    """

    verdict: Verdict
    what: str
    text: str


_SILENT: dict[Service, tuple[Verdict, str]] = {
    "scheduler": ("problem", "doesn't answer: no job starts until it does"),
    "archiver": ("problem", "doesn't answer: nothing is archived, and no batch is over, until it does"),
    "notifier": ("warning", "none answers: nobody gets messages about batches"),
}
_NODE_TROUBLES = {
    "expected": "the head's nodes file names it, but it has never joined",
    "lost": "is lost: the head hears nothing of it, and others get its jobs",
    "out_of_touch": "is out of touch: the head hears nothing of it",
    "quarantined": "is in quarantine: it gets no jobs",
}


async def check(cluster: Cluster, queries: Queries) -> list[Finding]:
    """Look at the services of a cluster, at its nodes and at its log. `queries` goes to the same cluster."""
    services: tuple[Service, ...] = ("scheduler", "archiver", "notifier")
    answers = await asyncio.gather(*(ask_about(cluster.queries, service) for service in services))
    found = [finding for one in zip(services, answers, strict=True) for finding in _of_service(*one)]
    found += _of_nodes((await queries.nodes())["nodes"])
    ignored = await queries.batches(last=1)
    found.append(
        _of_log((await cluster.log.end()).seq, ignored["garbage"]["count"], ignored["garbage"]["last"])
    )
    return found


def _of_service(service: Service, about: About | None) -> Iterator[Finding]:
    if about is None:
        verdict, text = _SILENT[service]
        yield Finding(verdict, service, text)
        return
    where = f"version {printable(about['version'])} on {printable(about['computer'])}"
    if about["version"] == own_version():
        yield Finding("ok", service, where)
    else:
        yield Finding("warning", service, f"{where}, but this computer has version {own_version()}")
    for channel in about.get("channels", ()):
        yield from _of_channel(
            f"channel {printable(channel['channel'])}", channel["problem"], channel["limits"]
        )


def _of_channel(what: str, problem: str | None, limits: list[str]) -> Iterator[Finding]:
    if problem is not None:
        yield Finding("problem", what, printable(problem))
    for limit in limits:
        yield Finding("warning", what, printable(limit))
    if problem is None and not limits:
        yield Finding("ok", what, "can send")


def _of_nodes(nodes: list[NodeDocument]) -> Iterator[Finding]:
    states = Counter(node["state"] for node in nodes if node["state"] not in {*_NODE_TROUBLES, "left"})
    if states:
        counts = ", ".join(f"{count} {state}" for state, count in states.items())
        yield Finding("ok", "nodes", f"{counted(states.total(), 'node')}: {counts}")
    else:
        yield Finding("problem", "nodes", "none is here, so no job runs: start `distribute client` on one")
    for node in nodes:
        what = f"node {printable(node['node'])}"
        if (trouble := _NODE_TROUBLES.get(node["state"])) is not None:
            reason = f" ({printable(node['reason'])})" if node["reason"] else ""
            yield Finding("warning", what, f"{trouble}{reason}")
        elif node["state"] != "left" and node["version"] != own_version():
            versions = f"version {printable(node['version'])}, but this computer has {own_version()}"
            yield Finding("warning", what, versions)


def _of_log(events: int, unreadable: int, last: str | None) -> Finding:
    if not unreadable:
        return Finding("ok", "log", f"{events:,} events")
    which = f": {printable(last)}" if last else ""
    return Finding("warning", "log", f"{counted(unreadable, 'message')} in it can't be read{which}")
