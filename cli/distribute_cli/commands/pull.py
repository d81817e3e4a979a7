"""`distribute pull BATCH`: brings results here."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_batch
from distribute_cli.places import IntoOption, LayoutOption, SaveDirOption
from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="BATCH [include|exclude]",
        help=f"NAMESPACE/BATCH, or its YAML file ({DEFAULT_FILE}); then, as in the first distribute, "
        "`include --include RE…` or `exclude --exclude RE…`.",
        autocompletion=complete_batch,
    ),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        "-i",
        metavar="RE",
        help="Pull only files whose NAMESPACE/BATCH/JOB/path matches this (may be repeated).",
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        "-e",
        metavar="RE",
        help="Pull no files whose NAMESPACE/BATCH/JOB/path matches this (may be repeated).",
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite files that were changed here.")]
TheirsOption = Annotated[
    bool,
    typer.Option("--theirs", help="Write the archive's files beside those that were changed: NAME.theirs."),
]
ReplaceOption = Annotated[
    bool,
    typer.Option(
        "--replace-local",
        help="Remove what is here of another batch, or of earlier attempts, but for what was changed.",
    ),
]
FollowOption = Annotated[
    bool, typer.Option("--follow", "-f", help="Stay, and pull what comes, until the batch is over.")
]
RunningOption = Annotated[
    bool,
    typer.Option(
        "--running",
        help="Bring what jobs have now that still run: their results so far or, with a filter, any of their "
        "files. BATCH may be a job.",
    ),
]
StrictOption = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Exit with 1 also if a job failed or was killed, if something that a job left was not archived, "
        "or if the batch is not over.",
    ),
]


async def pull(
    session: Session,
    words: Words = None,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    save_dir: SaveDirOption = None,
    layout: LayoutOption = "batch",
    into: IntoOption = None,
    dry: Annotated[bool, typer.Option("--dry", "-d", help="List the files, but pull none.")] = False,
    skip_folders: Annotated[bool, typer.Option("--skip-folders", help="Make no empty folders.")] = False,
    force: ForceOption = False,
    theirs: TheirsOption = False,
    replace_local: ReplaceOption = False,
    follow: FollowOption = False,
    running: RunningOption = False,
    strict: StrictOption = False,
) -> int:
    """Bring a batch's results here. Files that are there already stay; a pull that was cut off continues.

    Jobs that failed, timed out or were killed leave results, too. Of a batch that runs, this brings what is
    archived by now; with --running, what its jobs have that run now. Those files are no results: a later pull
    replaces them.
    """
    from distribute.client.pull.filters import make_filter
    from distribute.client.pull.settling import Edited
    from distribute.client.targets import find_batch, find_target
    from distribute.core.errors import InputError
    from distribute.core.ids import JobId
    from distribute_cli.filter_words import read_words
    from distribute_cli.output.pulled import Choice, pull_batch
    from distribute_cli.output.pulled_running import pull_running
    from distribute_cli.places import check_options, place_of

    check_options(save_dir, layout, into)
    if force and theirs:
        raise InputError("--force overwrites what was changed, --theirs keeps it: give one of them")
    if follow and dry:
        raise InputError("--dry pulls nothing, --follow pulls what comes: give one of them")
    if running and (follow or strict or replace_local):
        raise InputError(
            "--running takes no --follow, --strict or --replace-local: it brings what is there now"
        )
    edited = Edited.OVERWRITTEN if force else Edited.BESIDE if theirs else Edited.KEPT
    batch, patterns = read_words(words or [], include or [], exclude or [])
    wanted = make_filter(patterns.include, patterns.exclude)
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        if running:
            target = await find_target(queries, batch)
            of = target.batch_id if isinstance(target, JobId) else target
            choice = Choice(wanted, place_of(of, save_dir, layout, into), not skip_folders, edited)
            return await pull_running(cluster, queries, session.output, target, choice, dry=dry)
        found = await find_batch(queries, batch)
        place = place_of(found, save_dir, layout, into)
        choice = Choice(wanted, place, not skip_folders, edited, replace_local)
        return await pull_batch(
            cluster, queries, session.output, found, choice, dry=dry, follow=follow, strict=strict
        )


app = verb(pull)
