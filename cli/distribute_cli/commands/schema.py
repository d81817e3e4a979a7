"""`distribute schema [KIND]`: writes the JSON Schema of a file, by which editors help to write it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from distribute.client.words import printable
from distribute.config.described.schema import FILES, Described, is_schema, schema_text
from distribute.core.errors import InputError, Refused
from distribute.core.os_words import why
from distribute.system import write_whole
from distribute_cli.schema_line import MODELINE
from distribute_cli.session import Session
from distribute_cli.verbs import verb


async def schema(
    session: Session,
    kind: Annotated[
        Described,
        typer.Argument(
            metavar="jobs|node|client|server|notify",
            help="Which file: distribute-jobs.yaml, or the settings of a node, a client, a server or the "
            "notifier.",
        ),
    ] = "jobs",
    file: Annotated[
        Path, typer.Option("--output", metavar="F", help="The file to write; - is standard output.")
    ] = Path("-"),
) -> None:
    """Write the JSON Schema of a batch's YAML file, or of a settings file, for editors.

    By it an editor completes keys, explains them, and marks what is wrong. An older schema in the file is
    replaced; anything else is not.
    """
    text = schema_text(kind)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    write_schema(file, text)
    described, _ = FILES[kind]
    session.output.done(f"{printable(str(file))} is written", {"file": str(file), "describes": described})
    session.output.hint(f"for a {described} beside it, this first line shows it to your editor:")
    session.output.hint(f"{MODELINE}{printable(file.name)}")


def write_schema(file: Path, text: str) -> None:
    """Write a schema; replace an older one.

    Raises:
        Refused: something else is there.
        InputError: the file can't be written.
    """
    try:
        if os.path.lexists(file) and not is_schema(file):
            raise Refused(f"{file} is there already, and is no schema of distribute: name another file")
        if not file.parent.is_dir():
            raise InputError(f"{file.parent} is no folder: make it first, or name another")
        write_whole(file, text.encode())
    except OSError as error:
        raise InputError(f"{file}: can't be written: {why(error)}") from error


app = verb(schema, needs_cluster=False)
