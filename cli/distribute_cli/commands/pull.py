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
        typer.Option("--include", "-i", metavar="RE", help="Only files whose JOB/path matches one of these."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("--exclude", "-e", metavar="RE", help="No files whose JOB/path matches one of these."),
    ] = None,
    save_dir: Annotated[
        Path, typer.Option("--save-dir", "-s", metavar="D", help="Results go to D/NAMESPACE/BATCH/JOB/…")
    ] = Path(),
    dry: Annotated[bool, typer.Option("--dry", "-d", help="List the files, bring none.")] = False,
    skip_folders: Annotated[
        bool, typer.Option("--skip-folders", help="Make no folders but those that files go into.")
    ] = False,
) -> int:
    """Bring a batch's results here: what is there already stays, what was cut off goes on."""
    from distribute_cli.filters import make_filter
    from distribute_cli.pulling import pull_batch
    from distribute_cli.reads import Reads
    from distribute_cli.targets import find_batch

    batch, more_include, more_exclude = split_words(words or [])
    wanted = make_filter([*(include or []), *more_include], [*(exclude or []), *more_exclude])
    async with session.cluster() as cluster:
        found = await find_batch(Reads(cluster, session.output), batch)
        return await pull_batch(
            cluster, session.output, found, wanted, save_dir, dry=dry, folders=not skip_folders
        )


def split_words(words: list[str]) -> tuple[str, list[str], list[str]]:
    """Batch, patterns to include, patterns to exclude, of the words that are no options.

    The first `distribute` took `pull FILE include --include RE RE`: behind the word `include`, what
    follows the option's own value is more patterns.
    """
    from distribute.core.errors import InputError

    rest = list(words)
    batch = rest.pop(0) if rest and rest[0] not in FILTER_WORDS else DEFAULT_FILE
    if not rest:
        return batch, [], []
    kind = rest.pop(0)
    if kind not in FILTER_WORDS:
        raise InputError(
            f"{kind!r}: one batch is pulled at a time; behind it go `include` or `exclude`, or options"
        )
    return (batch, rest, []) if kind == "include" else (batch, [], rest)


app = verb(pull)
