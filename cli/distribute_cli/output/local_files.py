"""What `pull` says of files on this computer that are not as the archive has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from distribute.client.pull.note import NOTE_NAME
from distribute.client.pull.target_folder import Parts, shown
from distribute.core.words import counted, few
from distribute_cli.filter_words import pull_command

if TYPE_CHECKING:
    from distribute.client.pull.fetching import Pulled
    from distribute.core.ids import BatchId


def local_warnings(batch: BatchId, pulled: Pulled, again: Sequence[str] = ()) -> Iterator[str]:
    """Lines about files that a person changed, and about those of earlier attempts.

    `again`: the options of this pull, for the commands that the lines show.
    """
    if pulled.unreadable:
        lines = counted(pulled.unreadable, "line")
        yield f"{lines} of {shown((NOTE_NAME,))} can't be read: what they list counts as changed here"
    if pulled.edited:
        stay = "it stays" if len(pulled.edited) == 1 else "they stay"
        yield f"changed here, so {stay}: {named(pulled.edited)}"
        if pulled.beside:
            yield f"the archive's {'is' if len(pulled.beside) == 1 else 'are'} in {named(pulled.beside)}"
        else:
            yield (
                f"`{pull_command(str(batch), *again, '--force')}` overwrites what was changed, "
                "`--theirs` writes the archive's beside it"
            )
    if pulled.removed:
        yield f"removed {counted(pulled.removed, 'file')} of earlier results"
    if pulled.leftovers:
        yield (
            f"left here by an earlier attempt or `--running`, and not by the last attempt: "
            f"{named(pulled.leftovers)}; "
            f"`{pull_command(str(batch), *again, '--replace-local')}` removes what you did not change"
        )


def local_document(pulled: Pulled) -> dict[str, Any]:
    """The same for programs."""
    return {
        "edited": [shown(parts) for parts in pulled.edited],
        "beside": [shown(parts) for parts in pulled.beside],
        "leftovers": [shown(parts) for parts in pulled.leftovers],
        "removed": pulled.removed,
    }


def named(paths: Sequence[Parts]) -> str:
    """The first of these paths, and how many more there are."""
    return few([shown(parts) for parts in paths])
