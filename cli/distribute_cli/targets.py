"""What a BATCH or JOB on the command line means: a name, or the path of a batch's YAML file."""

from __future__ import annotations

from typing import Annotated

import typer

from distribute.client.targets import find_batch, find_job, find_target
from distribute_cli.completing import complete_batch

__all__ = ["DEFAULT_FILE", "BatchArgument", "find_batch", "find_job", "find_target"]

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
