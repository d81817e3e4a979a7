"""What `pull` prints: files that it lists, pulled, or could not pull."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distribute.client.pull.fetching import Pulled, fetch
from distribute.client.pull.filters import glob_as_regex, is_glob
from distribute.client.pull.listing import Listing, list_results
from distribute.client.pull.settling import Edited
from distribute.client.pull.target_folder import shown
from distribute.client.words import argument, printable
from distribute.config.units import format_size
from distribute.core.words import counted
from distribute_cli.filter_words import pull_command
from distribute_cli.output.local_files import local_document, local_warnings

if TYPE_CHECKING:
    from distribute.client.pull.filters import Filter, Pattern
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output
    from distribute_cli.places import Place


async def pull_batch(
    cluster: Cluster,
    output: Output,
    batch: BatchId,
    wanted: Filter,
    place: Place,
    *,
    dry: bool = False,
    folders: bool = True,
    edited: Edited = Edited.KEPT,
    replace: bool = False,
) -> int:
    """Pull what the archive holds of a batch, or list it (`dry`), and say what was done.

    Args:
        cluster: where the batch is.
        output: where the answer goes.
        batch: which.
        wanted: which of its files.
        place: the batch's folder.
        dry: list the files, but pull none.
        folders: make empty folders, too.
        edited: what becomes of files that a person changed.
        replace: first remove what was pulled there of another batch, or of earlier attempts.

    Returns:
        The exit code: 1 if something was not pulled, or the filter matches nothing.

    Raises:
        Refused: there is no such batch, or the folder is another one's.
        InputError: a pattern is neither a regular expression nor a piece of any path.
        StorageFull, InputError: the folder has no room, or can't be made.
    """
    listing = await list_results(cluster, batch, wanted, folders=folders, base=place.base)
    document: dict[str, Any] = {
        "namespace": batch.namespace,
        "batch": batch.batch,
        "complete": listing.complete,
    }
    matches = not listing.filtered or listing.files or listing.links
    pulled = Pulled()
    if dry:
        output.files(document | _listed(listing))
    elif matches:
        with output.bar(f"pulling {printable(str(batch))}", of_bytes=True) as bar:
            pulled = await fetch(
                cluster.store, listing, place.folder, bar.update, edited=edited, replace=replace
            )
        output.done(_told(pulled, place.path), document | _pulled(pulled, place.path))
    else:
        output.for_programs(document | _pulled(pulled, place.path))
    problems = [*listing.problems, *pulled.problems]
    _warn(output, batch, listing, problems)
    if not matches:
        for line in _no_match(batch, wanted, listing):
            output.warn(line)
    for line in local_warnings(batch, pulled):
        output.warn(line)
    is_whole = not problems and len(pulled.edited) == len(pulled.beside)
    return 0 if is_whole and matches else 1


def _no_match(batch: BatchId, wanted: Filter, listing: Listing) -> list[str]:
    """Lines that say that no file matches, what there is, and what a shell's patterns are here."""
    name, there = printable(str(batch)), listing.filtered
    what = f"no file of {name} matches {_quoted(wanted.include)}"
    if not wanted.include:
        what = f"--exclude {_quoted(wanted.exclude)} leaves out every file of {name}"
    elif wanted.exclude:
        what += f" without {_quoted(wanted.exclude)}"
    count = f"{len(there)} {'is' if len(there) == 1 else 'are'} there, such as {shown(there[0])}"
    globs = [pattern.text for pattern in wanted.include if is_glob(pattern.text)]
    return [
        f"{what} ({count}): `{pull_command(str(batch), '--dry')}` lists them",
        *(
            f"'{printable(glob)}' means something else as a regular expression than in a shell; "
            f"write {argument(glob_as_regex(glob))}"
            for glob in globs
        ),
    ]


def _quoted(patterns: Sequence[Pattern]) -> str:
    return " or ".join(f"'{printable(pattern.text)}'" for pattern in patterns)


def _told(pulled: Pulled, where: Path) -> str:
    place = printable(str(where))
    if pulled.kept and not pulled.fetched:
        return f"nothing new: {counted(pulled.kept, 'file')} already in {place}"
    kept = f"; {pulled.kept} more already there" if pulled.kept else ""
    return f"pulled {counted(pulled.fetched, 'file')} ({format_size(pulled.size_bytes)}) into {place}{kept}"


def _warn(output: Output, batch: BatchId, listing: Listing, problems: list[str]) -> None:
    if not listing.complete:
        output.warn(
            f"{printable(str(batch))} is not over: this is what is archived of it so far, "
            f"the results of {counted(listing.jobs, 'job')}; pull again later for the rest"
        )
    for line in listing.left_out:
        output.warn(f"not archived: {printable(line)}")
    for line in problems:
        output.warn(printable(line))


def _listed(listing: Listing) -> dict[str, Any]:
    files = [
        {"path": shown(wanted.parts), "size_bytes": wanted.file.size_bytes, "sha256": wanted.file.sha256}
        for _, wanted in listing.files
    ]
    return {"files": files, "filtered": [shown(parts) for parts in listing.filtered]}


def _pulled(pulled: Pulled, where: Path) -> dict[str, Any]:
    return {
        "folder": str(where),
        "fetched": pulled.fetched,
        "kept": pulled.kept,
        "size_bytes": pulled.size_bytes,
        "problems": pulled.problems,
        **local_document(pulled),
    }
