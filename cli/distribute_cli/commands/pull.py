"""`distribute pull BATCH`: brings results here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

Layout = Literal["batch", "namespace"]


async def pull(
    session: Session,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="BATCH [include|exclude]",
            help=f"NAMESPACE/BATCH, or its YAML file ({DEFAULT_FILE}); then, as in the first distribute, "
            "`include --include RE…` or `exclude --exclude RE…`.",
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(
            "--include",
            "-i",
            metavar="RE",
            help="Pull only files whose NAMESPACE/BATCH/JOB/path matches this (may be repeated).",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            "-e",
            metavar="RE",
            help="Pull no files whose NAMESPACE/BATCH/JOB/path matches this (may be repeated).",
        ),
    ] = None,
    save_dir: Annotated[
        Path, typer.Option("--save-dir", "-s", metavar="D", help="Write results to D/BATCH/JOB/…")
    ] = Path(),
    layout: Annotated[
        Layout,
        typer.Option(metavar="batch|namespace", help="`namespace` writes results to D/NAMESPACE/BATCH/JOB/…"),
    ] = "batch",
    dry: Annotated[bool, typer.Option("--dry", "-d", help="List the files, but pull none.")] = False,
    skip_folders: Annotated[bool, typer.Option("--skip-folders", help="Make no empty folders.")] = False,
) -> int:
    """Bring a batch's results here. Files that are there already stay; a pull that was cut off continues."""
    from distribute.client.pull.filters import make_filter
    from distribute.client.pull.listing import folder_of
    from distribute_cli.filter_words import read_words
    from distribute_cli.output.pulled import pull_batch
    from distribute_cli.targets import find_batch

    batch, patterns = read_words(words or [], include or [], exclude or [])
    wanted = make_filter(patterns.include, patterns.exclude)
    async with session.cluster() as cluster:
        found = await find_batch(session.queries(cluster), batch)
        base = folder_of(found, namespace=layout == "namespace")
        return await pull_batch(
            cluster, session.output, found, wanted, save_dir, base=base, dry=dry, folders=not skip_folders
        )


app = verb(pull)
