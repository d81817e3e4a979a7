"""`distribute template KIND`: writes a filled, valid example of a batch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from distribute_cli.session import Session
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

Kind = Literal["python", "apptainer", "command"]


async def template(
    session: Session,
    kind: Annotated[
        Kind, typer.Argument(metavar="python|apptainer|command", help="What kind of jobs the batch has.")
    ],
    file: Annotated[
        Path, typer.Option("--output", metavar="F", help="The file to write; - is standard output.")
    ] = Path(DEFAULT_FILE),
) -> None:
    """Write a filled, valid example of a batch's YAML file."""
    from distribute.config.templates import TEMPLATES
    from distribute.core.errors import InputError, Refused

    if str(file) == "-":
        typer.echo(TEMPLATES[kind], nl=False)
        return
    try:
        with file.open("x") as new:
            new.write(TEMPLATES[kind])
    except FileExistsError:
        raise Refused(f"{file} is there already: name another file with --output, or remove it") from None
    except OSError as error:
        raise InputError(f"{file}: can't be written: {error.strerror}") from error
    session.output.done(f"{file} is written", {"file": str(file), "kind": kind})


app = verb(template, needs_cluster=False)
