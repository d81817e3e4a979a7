"""The options of `up` and `server` that say how people are told of their batches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NotifyOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="How people are told of batches. [default: ~/.config/distribute/notify.yaml]"
    ),
]
MatrixOption = Annotated[
    Path | None,
    typer.Option("--matrix-config", "-m", metavar="FILE", help="The account for messages to Matrix."),
]
