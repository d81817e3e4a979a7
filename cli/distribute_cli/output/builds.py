"""Builds that run, in words: where, and for how long."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from distribute.client.words import argument, printable
from distribute.config.sections.units import format_duration
from distribute.core.words import counted
from distribute_cli.output.clock import now

if TYPE_CHECKING:
    from distribute.client.documents import BatchDocument, NodeDocument
    from distribute.core.log.events import BuildEnd

MOST_BUILDS = 5
"""Max. builds that are named one by one."""


def is_only_built(batch: BatchDocument) -> bool:
    """Is the batch being built, and does none of its jobs run?"""
    return bool(batch["building"]) and not batch["jobs"]["running"]


def where_built(batch: BatchDocument) -> str:
    """Where a batch is being built, and for how long: `on ws07, 8s`; `on 3 nodes, 1m20s`."""
    return f"{_where(batch)}, {_for(min(batch['building'].values()))}"


def build_lines(batch: BatchDocument) -> Iterator[str]:
    """Lines that name the builds of a batch that run; none if there are none."""
    builds = sorted(batch["building"].items(), key=lambda build: (build[1], build[0]))
    for node, since in builds[:MOST_BUILDS]:
        yield f"being built on {printable(node)} for {_for(since)}"
    if len(builds) > MOST_BUILDS:
        yield f"being built on {counted(len(builds) - MOST_BUILDS, 'more node')}"
    if builds:
        name = argument(f"{batch['namespace']}/{batch['batch']}")
        yield f"`distribute logs -f {name}` shows what it prints"


def kept_lines(batch: BatchDocument) -> Iterator[str]:
    """Lines that say where the batch was not built, because the node had kept the same build of another."""
    for other in sorted(set(batch["build_kept"].values())):
        nodes = [printable(node) for node, kept in sorted(batch["build_kept"].items()) if kept == other]
        yield f"build on {', '.join(nodes)}: kept from {printable(other)}"


def builds_of(node: NodeDocument) -> str:
    """What a node builds: `jane/mc for 8s`."""
    return ", ".join(
        f"{printable(build['namespace'])}/{printable(build['batch'])} for {_for(build['since'])}"
        for build in node["building"]
    )


def how_built(build: BuildEnd | None) -> str:
    """How a build ended. None: its end was never reported."""
    if build is None:
        return "its end was not reported"
    here = build if build.type == "build_finished" else None
    if build.succeeded:
        kept_from = here.kept_from if here is not None else None
        return "built" if kept_from is None else f"kept from {printable(kept_from)}"
    reason = build.reason or "no reason given"
    return reason if here is not None and here.killed else f"failed: {reason}"


def running_text(since: Mapping[str, float]) -> str:
    """Where builds run, by node, since when in seconds since 1970: `being built on ws07 (for 8s so far)`."""
    nodes = sorted(since)
    where = ", ".join(
        f"{printable(node)} (for {_elapsed(since[node])} so far)" for node in nodes[:MOST_BUILDS]
    )
    more = len(nodes) - MOST_BUILDS
    return f"being built on {where}" + (f" and {counted(more, 'more node')}" if more > 0 else "")


def building_since(batch: BatchDocument) -> str:
    """For a line that is not drawn again each second: `building on ws07 since 18:31:02`."""
    began = datetime.fromisoformat(min(batch["building"].values())).astimezone()
    return f"building {_where(batch)} since {began:%H:%M:%S}"


def _where(batch: BatchDocument) -> str:
    """`on ws07`, or `on 3 nodes`."""
    nodes = sorted(batch["building"])
    return f"on {printable(nodes[0]) if len(nodes) == 1 else counted(len(nodes), 'node')}"


def _for(since: str) -> str:
    return _elapsed(datetime.fromisoformat(since).timestamp())


def _elapsed(since: float) -> str:
    """The time since then, which is in seconds since 1970."""
    return format_duration(max(0, round(now().timestamp() - since)))
