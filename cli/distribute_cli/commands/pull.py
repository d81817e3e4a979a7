"""`distribute pull BATCH`: brings results here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

FILTER_WORDS = ("include", "exclude")


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
            help="Pull only files whose JOB/path matches this (may be repeated).",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude",
            "-e",
            metavar="RE",
            help="Pull no files whose JOB/path matches this (may be repeated).",
        ),
    ] = None,
    save_dir: Annotated[
        Path, typer.Option("--save-dir", "-s", metavar="D", help="Write results to D/NAMESPACE/BATCH/JOB/…")
    ] = Path(),
    dry: Annotated[bool, typer.Option("--dry", "-d", help="List the files, but pull none.")] = False,
    skip_folders: Annotated[bool, typer.Option("--skip-folders", help="Make no empty folders.")] = False,
) -> int:
    """Bring a batch's results here. Files that are there already stay; a pull that was cut off continues."""
    from distribute.client.pull.filters import make_filter
    from distribute_cli.output.pulled import pull_batch
    from distribute_cli.targets import find_batch

    batch, more_include, more_exclude = split_words(words or [])
    wanted = make_filter([*(include or []), *more_include], [*(exclude or []), *more_exclude])
    async with session.cluster() as cluster:
        found = await find_batch(session.queries(cluster), batch)
        return await pull_batch(
            cluster, session.output, found, wanted, save_dir, dry=dry, folders=not skip_folders
        )


def split_words(words: list[str]) -> tuple[str, list[str], list[str]]:
    """The batch, patterns to include, and patterns to exclude, from the words that are not options.

    The first `distribute` took `pull FILE include --include RE RE`: after the word `include`, further words
    are more patterns.
    """
    from distribute.core.errors import InputError

    rest = list(words)
    batch = rest.pop(0) if rest and rest[0] not in FILTER_WORDS else DEFAULT_FILE
    if not rest:
        return batch, [], []
    kind = rest.pop(0)
    if kind not in FILTER_WORDS:
        raise InputError(f"{kind!r}: pull takes one batch; after it come `include` or `exclude`, or options")
    return (batch, rest, []) if kind == "include" else (batch, [], rest)


app = verb(pull)
