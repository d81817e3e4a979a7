"""Make the verbs of the command line. Each has its own file, which is loaded only when it is used.

A verb is an async function whose first argument is the `Session`; its other arguments are options
and arguments in typer's notation. `verb` adds the options that all verbs share, and runs it.
"""

from __future__ import annotations

import asyncio
import difflib
import importlib
import inspect
import logging
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from distribute.config.settings.folders import home_expanded
from distribute.core.errors import DistributeError, InputError
from distribute.core.os_words import cause
from distribute_cli.output.choice import make_output
from distribute_cli.own_log import NO_LOGS, LogOptions, begin_log
from distribute_cli.pasteable import with_address
from distribute_cli.session import Session, Where

VERBS = (
    "up",
    "down",
    "server",
    "client",
    "service",
    "add",
    "submit",
    "run",
    "status",
    "why",
    "nodes",
    "drain",
    "undrain",
    "pause",
    "resume",
    "watch",
    "wait",
    "logs",
    "history",
    "events",
    "replay",
    "exec",
    "ls",
    "pull",
    "clean",
    "retry",
    "hold",
    "release",
    "priority",
    "edit",
    "move",
    "kill",
    "delete",
    "slurm",
    "template",
    "schema",
    "demo",
    "admin",
)
NOT_YET = (
    "timeline",
    "report",
)
"""Verbs that people may look for: the first `distribute` had them, or they are planned."""

ALIASES = {"server-status": "status", "node-status": "nodes"}
"""The names that the first `distribute` had for these verbs."""

HELP = "help"

LEAST_LIKENESS = 0.65
"""From 0 to 1: a verb is suggested that is so much like the one that was typed."""

INTERRUPTED = 128 + signal.SIGINT
logger = logging.getLogger(__name__)

Verb = Callable[..., Awaitable[int | None]]

ServerOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL", help="The cluster's address, such as nats://head:4222. [env: DISTRIBUTE_SERVER]"
    ),
]
CredsOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Your key for the cluster. [env: DISTRIBUTE_CREDS]")
]
IpOption = Annotated[
    str | None, typer.Option(metavar="HOST", help="The cluster's host, instead of --server.")
]
PortOption = Annotated[
    int | None,
    typer.Option("--port", "-p", metavar="N", min=1, max=65535, help="The cluster's port, with --ip."),
]
LongPortOption = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=1, max=65535, help="The cluster's port, with --ip."),
]
SavedOption = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="FILE",
        help="Read a log that `replay --export` saved, instead of a cluster. [env: DISTRIBUTE_FROM]",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print only names and states.")]
DebugOption = Annotated[
    bool, typer.Option("--debug", help="Log every step, and show where errors come from.")
]


def _of_a_cluster(
    server: ServerOption = None, creds: CredsOption = None, ip: IpOption = None, port: PortOption = None
) -> None:
    """Only a signature: the options of verbs that talk to a cluster."""


def _of_a_reader(saved: SavedOption = None) -> None:
    """Only a signature: the options of verbs that only read the log."""


def _of_a_node(
    server: ServerOption = None, creds: CredsOption = None, ip: IpOption = None, port: LongPortOption = None
) -> None:
    """Only a signature: the same for `client`, where `-p` is another port, as in the first `distribute`."""


def _of_an_answer(as_json: JsonOption = False, quiet: QuietOption = False) -> None:
    """Only a signature: the options of verbs that answer."""


def _of_all(debug: DebugOption = False) -> None:
    """Only a signature: the options of every verb."""


def verb(
    function: Verb,
    *,
    needs_cluster: bool = True,
    answers: bool = True,
    reads: bool = False,
    is_node: bool = False,
    serves: bool = False,
    cls: type[TyperCommand] | None = None,
) -> typer.Typer:
    """The verb as a typer app: its own options, then the shared ones that concern it.

    `reads`: it needs no more than the log, so it can read a saved one. `is_node`: of `client`. `serves`: it
    runs services, which have logs of their own. `cls`: parses its words.
    """
    concerned = (
        (_of_a_node if is_node else _of_a_cluster, needs_cluster),
        (_of_a_reader, reads),
        (_of_an_answer, answers),
        (_of_all, True),
    )
    shared = [parameter for group, concerns in concerned if concerns for parameter in _parameters(group)]
    names = {parameter.name for parameter in shared}
    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *_parameters(function)[1:], *shared]

    def command(context: typer.Context, **written: Any) -> None:
        values = {name: _home_expanded(value) for name, value in written.items()}
        common = {name: values.pop(name) for name in names}
        logs = context.obj if isinstance(context.obj, LogOptions) else NO_LOGS
        begin_log(logs, debug=common["debug"], serves=serves)
        raise typer.Exit(_run(function, common, values, logs))

    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = function.__doc__
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.command(cls=cls, context_settings={"help_option_names": ["-h", "--help"]})(command)
    return app


def group(explain: Callable[[], None], **verbs: typer.Typer) -> typer.Typer:
    """A verb that has verbs of its own, by their names. The docstring of `explain` is its help."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
    app.callback(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})(explain)
    for name, one in verbs.items():
        [command] = one.registered_commands
        command.name = name
        app.registered_commands.append(command)
    return app


def _home_expanded(value: Any) -> Any:
    """A path of the command line with its `~` replaced; any other value as it is."""
    return home_expanded(value) if isinstance(value, Path) else value


def _parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    return list(inspect.signature(function, eval_str=True).parameters.values())


def _run(function: Verb, common: dict[str, Any], values: dict[str, Any], logs: LogOptions) -> int:
    where = Where(*(common.get(name) for name in ("server", "creds", "ip", "port", "saved")))
    output = make_output(as_json=common.get("as_json", False), quiet=common.get("quiet", False))
    output.address = where.options
    session = Session(where, output, logs, reads="saved" in common)
    try:
        return asyncio.run(_awaited(function(session, **values))) or 0
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED
    except Exception as error:
        logger.debug("where the error came from", exc_info=True)
        if isinstance(error, DistributeError):
            error.args = (with_address(str(error), where.options), *error.args[1:])
            raise
        if isinstance(error, FileNotFoundError) and _folder_is_gone():
            raise InputError("the current folder has been removed: change to another one (cd)") from error
        # Without --debug, even an unexpected error shows no traceback.
        raise DistributeError(f"{cause(error)}; --debug shows where it came from") from error


def _folder_is_gone() -> bool:
    """Has somebody removed the current folder?"""
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


async def _awaited(verb_run: Awaitable[int | None]) -> int | None:
    return await verb_run


class VerbGroup(TyperGroup):
    """Loads a verb's module only when it is used, so that each verb costs only its own imports."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        module = importlib.import_module(f"distribute_cli.commands.{name}")
        command = typer.main.get_command(module.app)
        command.name = name
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Like typer's, but suggests from all verbs. Typer knows only those that are loaded.

        `help VERB` is `VERB --help`, as in the first `distribute`.
        """
        if args[0] == HELP and not ctx.resilient_parsing:
            args = self._helped(ctx, args[1:])
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            if name in NOT_YET:
                ctx.fail(f"there is no verb {name!r} yet; `distribute --help` lists the verbs")
            near = difflib.get_close_matches(name, [*VERBS, *ALIASES, HELP], n=1, cutoff=LEAST_LIKENESS)
            advice = f"did you mean {near[0]!r}?" if near else "`distribute --help` lists the verbs"
            ctx.fail(f"there is no verb {name!r}; {advice}")
        return super().resolve_command(ctx, args)

    def _helped(self, ctx: Any, verbs: list[str]) -> list[str]:
        """What to run for `help VERB`. Without a verb, shows the help of the program, and exits."""
        if len(verbs) > 1:
            ctx.fail(f"help takes one verb, and not {verbs[1]!r} as well")
        if verbs in ([], [HELP]):
            typer.echo(ctx.get_help())
            ctx.exit()
        return [*verbs, "--help"]
