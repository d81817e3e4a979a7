"""How the command line takes a batch or a job: by name, or by the path of a batch's YAML file.

`distribute.client.targets` finds what was meant.
"""

from __future__ import annotations

from typing import Annotated

import typer

from distribute_cli.completing import complete_batch, complete_target

DEFAULT_FILE = "distribute-jobs.yaml"

BatchArgument = Annotated[
    str,
    typer.Argument(
        metavar="BATCH",
        help="NAMESPACE/BATCH, its YAML file, or last.",
        autocompletion=complete_batch,
    ),
]
"""A batch, by default that of the YAML file in this folder."""

TargetArgument = Annotated[
    str,
    typer.Argument(
        metavar="BATCH|JOB",
        help="[NAMESPACE/]BATCH, [NAMESPACE/]BATCH/JOB, a batch's YAML file, or last.",
        autocompletion=complete_target,
    ),
]
"""A batch or a job, to act on it."""

ShownArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="BATCH|JOB",
        help="NAMESPACE/BATCH, its YAML file, or last; or a job of it.",
        autocompletion=complete_target,
    ),
]
"""A batch or a job to tell of, unless the verb tells of something else."""

JobArgument = Annotated[
    str, typer.Argument(metavar="JOB", help="[NAMESPACE/]BATCH/JOB.", autocompletion=complete_target)
]

ForceOption = Annotated[bool, typer.Option("--force", help="Also if it is another person's batch.")]
