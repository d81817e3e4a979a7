"""The option `--dirty`, of each verb that loads the file of a batch."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

DirtyOption: TypeAlias = Annotated[
    bool,
    typer.Option("--dirty", help="Take git checkouts with changes that are not committed."),
]
