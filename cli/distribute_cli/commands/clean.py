"""`distribute clean BATCH`: removes local copies of results that can be had again."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.places import IntoOption, LayoutOption, SaveDirOption
from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE, BatchArgument
from distribute_cli.verbs import verb


async def clean(
    session: Session,
    batch: BatchArgument = DEFAULT_FILE,
    save_dir: SaveDirOption = None,
    layout: LayoutOption = "batch",
    into: IntoOption = None,
    dry: Annotated[bool, typer.Option("--dry", "-d", help="List the files, but remove none.")] = False,
) -> int:
    """Remove files here that `pull` brings again: those that are as the cluster has them, and no others."""
    from distribute.client.targets import find_batch
    from distribute_cli.output.cleaned import clean_batch
    from distribute_cli.places import check_options, place_of

    check_options(save_dir, layout, into)
    async with session.cluster() as cluster:
        found = await find_batch(session.queries(cluster), batch)
        place = place_of(found, save_dir, layout, into)
        return await clean_batch(cluster, session.output, found, place, dry=dry)


app = verb(clean)
