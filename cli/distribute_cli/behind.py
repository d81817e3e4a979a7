"""Command lines that end with another command: options, then `--`, then its words as they are."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from distribute.client.words import argument
from distribute.core.words import few, quoted

_HELP = {"-h", "--help"}
_DASHES = "--"


class CommandBehind(TyperCommand):
    """Takes only options before the first `--`, and at least one word behind it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        before = args[: args.index(_DASHES)] if _DASHES in args else args
        if not ctx.resilient_parsing and not _HELP.intersection(before):
            self._check(ctx, before, args[len(before) :])
        return super().parse_args(ctx, args)

    def _check(self, ctx: Any, before: list[str], rest: list[str]) -> None:
        example = f"`distribute {ctx.command.name} -- ./solver --re 100`"
        if not rest:
            ctx.fail(f"the command is missing: write it behind --, as in {example}")
        values, _, _ = self.make_parser(ctx).parse_args(args=list(before))
        argument_of = next(each for each in self.params if each.param_type_name == "argument")
        if misplaced := values.get(argument_of.name):
            ctx.fail(_misplaced(before, list(misplaced)))
        if len(rest) == 1:
            ctx.fail(f"no command stands behind --; write one, as in {example}")


def _misplaced(before: list[str], words: list[str]) -> str:
    stand = f"{few([quoted(word) for word in words])} {'stands' if len(words) == 1 else 'stand'} before --"
    if any(option == "--each" or option.startswith("--each=") for option in before):
        return (
            f"{stand}: has the shell put files in place of your pattern? "
            "Write it in quotes, as in `--each 'cases/*.dat'`"
        )
    return f"{stand}, where only options do; write `--` before {argument(words[0])}"
