"""Where a batch's results are on this computer: the options of `pull` and `clean` that say so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

if TYPE_CHECKING:
    from distribute.client.pull.target_folder import Parts
    from distribute.core.ids import BatchId

SaveDirOption = Annotated[
    Path | None,
    typer.Option(
        "--save-dir", "-s", metavar="D", help="The results are in D/BATCH/JOB/…  [default: this folder]"
    ),
]
LayoutOption = Annotated[
    Literal["batch", "namespace"],
    typer.Option(
        metavar="batch|namespace", help="With `namespace`, the results are in D/NAMESPACE/BATCH/JOB/…"
    ),
]
IntoOption = Annotated[Path | None, typer.Option(metavar="F", help="The results are in F/JOB/…")]


class Place(NamedTuple):
    """The folder of a batch: `base`, below `folder`."""

    folder: Path
    base: Parts
    options: tuple[str, ...] = ()
    """The options that name it, for commands that messages show."""

    @property
    def path(self) -> Path:
        """The batch's folder."""
        return self.folder.joinpath(*map(os.fsdecode, self.base))


def place_of(
    batch: BatchId, save_dir: Path | None = None, layout: str = "batch", into: Path | None = None
) -> Place:
    """The folder of a batch, as the options say."""
    from distribute.client.pull.listing import folder_of

    if into is not None:
        return Place(into, (), ("--into", str(into)))
    options = [] if save_dir is None else ["--save-dir", str(save_dir)]
    if layout == "namespace":
        options += ["--layout", layout]
    return Place(save_dir or Path(), folder_of(batch, namespace=layout == "namespace"), tuple(options))


def check_options(save_dir: Path | None, layout: str, into: Path | None) -> None:
    """Check that the options fit together.

    Raises:
        InputError: they don't.
    """
    from distribute.core.errors import InputError

    if into is not None and save_dir is not None:
        raise InputError("--into names the batch's own folder, so it takes no --save-dir")
    if into is not None and layout != "batch":
        raise InputError("--into names the batch's own folder, so it takes no --layout")
