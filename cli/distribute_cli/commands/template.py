"""`distribute template KIND`: writes a filled, valid example of a batch, with its scripts."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from distribute_cli.schema_line import MODELINE, SCHEMA_FILE
from distribute_cli.session import Session, user_name
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

Kind = Literal["python", "apptainer", "command"]

FILES: Mapping[Kind, tuple[str, ...]] = {
    "python": ("build.py", "run.py", "pendulum.py"),
    "command": ("pendulum.sh",),
    "apptainer": ("pendulum.def", "pendulum.sh", "angle030.txt", "angle150.txt"),
}
"""The files that each example names."""

TEMPLATES = Path(__file__).parent.parent / "templates"
_NAMESPACE = "namespace: jane" + 12 * " "


async def template(
    session: Session,
    kind: Annotated[
        Kind, typer.Argument(metavar="python|apptainer|command", help="What kind of jobs the batch has.")
    ],
    file: Annotated[
        Path, typer.Option("--output", metavar="F", help="The file to write; - is standard output.")
    ] = Path(DEFAULT_FILE),
    no_schema: Annotated[
        bool, typer.Option("--no-schema", help=f"Write no {SCHEMA_FILE}, by which editors help.")
    ] = False,
) -> None:
    """Write a filled, valid example of a batch's YAML file, and beside it the scripts that it names.

    Its first line tells editors where its JSON Schema is: in a hidden file beside it. Nothing is overwritten
    but an older schema: scripts that are there already are kept.
    """
    from distribute.client.words import argument, printable

    text = (TEMPLATES / f"{kind}.yaml").read_text("utf-8").replace(_NAMESPACE, _own_namespace())
    if str(file) == "-":
        typer.echo(text, nl=False)
        session.output.hint(
            f"it names {_listed(FILES[kind])}, which `distribute template {kind}` writes beside it"
        )
        return
    schema = {}
    if not no_schema:
        from distribute.config.described.schema import schema_text

        text = f"{MODELINE}{SCHEMA_FILE}\n{text}"
        schema = {SCHEMA_FILE: schema_text("jobs").encode()}
    scripts = {name: (TEMPLATES / name).read_bytes() for name in FILES[kind]}
    new, kept = _write(file, text, scripts | schema)
    beside = f", and {_listed(new)} beside it" if new else ""
    document = {"file": str(file), "kind": kind, "written": new, "kept": kept}
    session.output.done(f"{printable(str(file))} is written{beside}", document)
    for name in kept:
        session.output.warn(f"{printable(str(file.with_name(name)))} was there already, and is kept as it is")
    if kind == "apptainer":
        session.output.hint("first make the image: apptainer build pendulum.sif pendulum.def")
    name = "" if file == Path(DEFAULT_FILE) else f" {argument(str(file))}"
    session.output.hint(f"`distribute run{name}` runs it here, `distribute add{name}` submits it")


def _own_namespace() -> str:
    """The example's line for the namespace: this person's login, so that two people's examples never meet."""
    import orjson

    name = user_name()
    plain = re.fullmatch(r"[a-z_][a-z0-9_-]*", name) and name != "null"
    return f"namespace: {name if plain else orjson.dumps(name).decode():<16}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _write(file: Path, text: str, others: Mapping[str, bytes]) -> tuple[list[str], list[str]]:
    """Write the batch's file, and the others beside it; all or nothing.

    Returns:
        Which of the others it wrote, and which were there already with another content.

    Raises:
        Refused: `file` is there already.
        InputError: something can't be written.
    """
    from distribute.core.errors import InputError, Refused
    from distribute.core.os_words import why

    contents = {file: text.encode()} | {file.with_name(name): content for name, content in others.items()}
    new: list[Path] = []
    kept: list[str] = []
    try:
        for path, content in contents.items():
            try:
                opened = path.open("xb")
            except FileExistsError:
                if path == file:
                    raise Refused(
                        f"{file} is there already: name another file with --output, or remove it"
                    ) from None
                if not _has(path, content) and not _renewed(path, content):
                    kept.append(path.name)
                continue
            new.append(path)
            with opened:
                opened.write(content)
    except OSError as error:
        for written in new:
            written.unlink()
        raise InputError(f"{path}: can't be written: {why(error)}") from error
    return [path.name for path in new[1:]], kept


def _renewed(path: Path, content: bytes) -> bool:
    """Is this a schema of an older version? Then it is replaced."""
    if path.name != SCHEMA_FILE:
        return False
    from distribute.config.described.schema import is_schema
    from distribute.system import write_whole

    if not is_schema(path):
        return False
    write_whole(path, content)
    return True


def _has(path: Path, content: bytes) -> bool:
    return path.is_file() and os.access(path, os.R_OK) and path.read_bytes() == content


app = verb(template, needs_cluster=False)
