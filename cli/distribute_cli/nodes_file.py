"""`--nodes-file` of the first `distribute`, in verbs that ask the cluster instead of reading it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from distribute_cli.output.form import Output

NodesFileOption = Annotated[
    Path | None,
    typer.Option("--nodes-file", metavar="FILE", hidden=True, help="Accepted, but not read."),
]


def warn_of_nodes_file(output: Output, file: Path | None) -> None:
    """Say that the file is not needed, if one is named."""
    if file is not None:
        output.warn(f"--nodes-file {file} is not read here: the head knows the nodes")
