"""`distribute priority BATCH N`: changes which batch's jobs run first."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from distribute_cli.session import Session
from distribute_cli.targets import BatchArgument, ForceOption
from distribute_cli.verbs import verb

_NEGATIVE = re.compile("-[0-9]+")


class WithNegativeNumbers(TyperCommand):
    """A verb of which `-5` is an argument, and no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put negative numbers behind `--`, unless the person has written that."""
        if "--" not in args and (numbers := [text for text in args if _NEGATIVE.fullmatch(text)]):
            args = [*(text for text in args if text not in numbers), "--", *numbers]
        return super().parse_args(ctx, args)


async def priority(
    session: Session,
    batch: BatchArgument,
    priority: Annotated[
        str, typer.Argument(metavar="N", help="From -100 to 100. Higher runs first.", show_default=False)
    ],
    force: ForceOption = False,
    dry: Annotated[
        bool, typer.Option("--dry", "-d", help="Say what would change, but change nothing.")
    ] = False,
) -> None:
    """Give a batch another priority. It counts for its jobs that wait; those that nodes have go on."""
    from distribute.client.priority import set_priority
    from distribute.client.targets import find_batch
    from distribute_cli.output.losses import whose

    wanted, person = _priority(priority), session.person
    async with session.cluster() as cluster:
        queries = session.queries(cluster)
        found = await find_batch(queries, batch)
        standing = await queries.batch(found, most=0)
        await set_priority(cluster, person, found, wanted, force=force, dry=dry)
    before = standing["priority"]
    has = "would have" if dry else "has"
    document = {
        "prioritizing": str(found),
        "user": standing["user"],
        "priority": wanted,
        "priority_before": before,
        "dry": dry,
    }
    line = f"{whose(standing, person.name)} {has} the priority {wanted}; it was {before}"
    session.output.done(line, document)


def _priority(text: str) -> int:
    """The priority that a person wrote.

    Raises:
        InputError: it is none.
    """
    from distribute.core.errors import InputError
    from distribute.core.spec.specs import MAX_PRIORITY

    try:
        found = int(text)
    except ValueError:
        found = None
    if found is None or abs(found) > MAX_PRIORITY:
        raise InputError(
            f"N: a priority is a whole number from -{MAX_PRIORITY} to {MAX_PRIORITY}, not {text!r}"
        )
    return found


app = verb(priority, cls=WithNegativeNumbers)
