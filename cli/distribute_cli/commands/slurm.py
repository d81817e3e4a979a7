"""`distribute slurm`: writes a folder that runs a batch at SLURM, and brings back what ran there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from distribute_cli.dirty import DirtyOption
from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

MissingOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--missing-as-failed",
        help="With --collect: jobs have failed if nothing tells how they ended. "
        "SLURM must be done with them.",
    ),
]


async def slurm(
    session: Session,
    outdir: Annotated[
        Path | None, typer.Argument(metavar="OUTDIR", help="The folder to write, new or empty.")
    ] = None,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The batch's YAML file.")] = Path(DEFAULT_FILE),
    cluster_username: Annotated[
        str | None,
        typer.Option(metavar="U", help="Your name at the SLURM cluster. Or in client.yaml: slurm: username."),
    ] = None,
    cluster_address: Annotated[
        str | None,
        typer.Option(metavar="A", help="The cluster, as ssh knows it. Or in client.yaml: slurm: address."),
    ] = None,
    cluster_upload_destination: Annotated[
        str | None, typer.Option(metavar="P", help="The folder at the cluster that OUTDIR is uploaded to.")
    ] = None,
    array: Annotated[
        bool, typer.Option("--array", help="One array of jobs, instead of a script for each job.")
    ] = False,
    dirty: DirtyOption = False,
    collect: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Bring this folder's batch, which ran at SLURM, into the archive."),
    ] = None,
    missing_as_failed: MissingOption = False,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="With --collect: first kill and delete the batch of this name."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --replace: don't ask.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --replace: also if it is another person's batch.")
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="With --collect: say what would be collected, no more.")
    ] = False,
) -> None:
    """Write a folder that runs a batch on a SLURM cluster, which needs no distribute.

    Its script rsync_upload.sh sends it to the cluster, and schedule_jobs.sh schedules the jobs there.
    With --collect, bring a batch that ran there into the archive, with its results and accounting.
    """
    from distribute.core.errors import InputError

    if collect is not None:
        if (
            outdir is not None
            or array
            or dirty
            or cluster_username
            or cluster_address
            or cluster_upload_destination
        ):
            raise InputError("--collect DIR stands alone: OUTDIR and its options are for writing a folder")
        from distribute_cli.collecting import How, collect_folder

        await collect_folder(session, collect, How(missing_as_failed, replace, yes, force, dry))
        return
    from distribute_cli.writing_slurm import Where, write_batch

    if outdir is None:
        raise InputError("name the folder to write, OUTDIR, or with --collect DIR one that has run")
    if missing_as_failed or replace or yes or force or dry:
        raise InputError("--missing-as-failed, --replace, --yes, --force and --dry are for --collect")
    where = Where(cluster_username, cluster_address, cluster_upload_destination)
    await write_batch(session.output, outdir, file, where, is_array=array, dirty=dirty)


app = verb(slurm)
