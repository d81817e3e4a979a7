"""The entry point: runs a verb, and turns errors into exit codes and lines on standard error."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from distribute.client.words import printable
from distribute.core.errors import DistributeError, exit_code
from distribute.inherited import restore_signals
from distribute.standard_streams import OutputLost, ReaderGone, drop_output, prepare_standard_streams
from distribute_cli.own_log import LogOptions
from distribute_cli.usage import UsageError, is_help, usage_line
from distribute_cli.verbs import VerbGroup
from distribute_cli.ways import told

WRONG_USAGE = 2
READER_GONE = 128 + signal.SIGPIPE
"""As a shell tells of other programs whose reader has gone: they end by that signal."""

app = typer.Typer(
    cls=VerbGroup,
    name="distribute",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"distribute {version('distribute-lab')}")
        raise typer.Exit


@app.callback()
def _program(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    save_log: Annotated[
        bool, typer.Option("--save-log", help="Save what the verb logs, every step, in ./output.log.")
    ] = False,
    show_logs: Annotated[
        bool, typer.Option("--show-logs", help="Show what the verb logs, every step, in the terminal.")
    ] = False,
) -> None:
    """Run batches of jobs on the computers of a lab."""
    context.obj = LogOptions(save_log, show_logs)


def main() -> None:
    """Run the verb that the command line names. The exit codes are those of the interface."""
    restore_signals()
    prepare_standard_streams()
    try:
        code = _run()
        sys.stdout.flush()
    except ReaderGone:
        drop_output()
        code = READER_GONE
    except OutputLost as error:
        drop_output()
        code = _tell(error)
    sys.exit(code)


def _run() -> int:
    try:
        code: int | None = app(standalone_mode=False, prog_name="distribute")
    except UsageError as error:
        if is_help(error):
            print(error)
        else:
            print(f"distribute: {usage_line(error)}", file=sys.stderr)
        return WRONG_USAGE
    except OutputLost:
        raise
    except DistributeError as error:
        return _tell(error)
    return code or 0


def _tell(error: DistributeError) -> int:
    for line in told(error).split("\n"):
        print(f"distribute: {printable(line)}", file=sys.stderr)
    return exit_code(error)
