"""What `add --replace --keep-succeeded` prints: which jobs are kept, and what is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from distribute.client.words import argument, printable
from distribute.core.words import counted
from distribute_cli.output.losses import agree, running_and_waiting, whose
from distribute_cli.output.planned import listed

if TYPE_CHECKING:
    from distribute.client.person import Person
    from distribute.client.queries import Queries
    from distribute.client.replacing import Replacement
    from distribute.core.folding.work import Comparison
    from distribute.core.ids import BatchId
    from distribute.core.spec.specs import BatchSpec
    from distribute_cli.output.form import Output


async def agree_to_keep(
    queries: Queries,
    output: Output,
    person: Person,
    spec: BatchSpec,
    compared: Comparison,
    *,
    list_jobs: bool,
    yes: bool,
    dry: bool,
) -> dict[str, Any]:
    """Say which jobs stay of the batch that `spec` replaces, and ask, except in a dry run.

    Returns:
        The batch that is replaced and how many jobs are kept, as the JSON of `add`. With `list_jobs`, the
        jobs, too.

    Raises:
        Refused: the person does not want that.
    """
    standing = await queries.batch(spec.id, most=0)
    name, stopped = whose(standing, person.name), running_and_waiting(standing["jobs"])[0]
    document = {"replaces": {key: standing[key] for key in ("user", "state", "jobs")}, **counts(compared)}
    if list_jobs:
        document |= listed(output, spec, compared)
    stopped -= len(compared.going_on)
    if stopped > 0:
        again = "" if compared.removed else ", and run again"
        output.hint(f"{counted(stopped, 'job')} of {name} that a node has would be stopped{again}")
    if not dry:
        question = f"Replace {name} ({told(compared)}), and lose for good what the others left?"
        await agree(question, f"{printable(str(spec.id))} was not replaced", yes=yes)
    return document


@contextmanager
def told_if_held(output: Output, batch: BatchId, replacement: Replacement) -> Iterator[None]:
    """If Ctrl-C or an error ends a replacement, say how it leaves the batch."""
    try:
        yield
    finally:
        if replacement.leaves_it_held:
            name = argument(str(batch))
            output.hint(
                f"{printable(str(batch))} was not replaced, and is held; jobs that changed are killed: `add` "
                f"again, or `distribute release {name}` and `distribute retry {name}`"
            )


def counts(compared: Comparison) -> dict[str, int]:
    """How many jobs are kept, run again, are new, are removed and go on, as the JSON of `add`."""
    return {name: len(jobs) for name, jobs in compared._asdict().items()}


def told(compared: Comparison) -> str:
    """`9 jobs are kept, 3 go on, 2 run again, 1 is new, 1 is removed`."""
    kept, rerun, new, removed, going_on = map(len, compared)
    parts = [
        f"{counted(kept, 'job')} {_is(kept)} kept",
        going_on and f"{going_on} {'goes' if going_on == 1 else 'go'} on",
        rerun and f"{rerun} {'runs' if rerun == 1 else 'run'} again",
        new and f"{new} {_is(new)} new",
        removed and f"{removed} {_is(removed)} removed",
    ]
    return ", ".join(part for part in parts if part)


def _is(number: int) -> str:
    return "is" if number == 1 else "are"
