"""What `pull` prints: files that it lists, pulled, or could not pull."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distribute.client.pull.fetching import OnBytes, Pulled, fetch
from distribute.client.pull.filters import glob_as_regex, is_glob
from distribute.client.pull.following import Turn, follow_results
from distribute.client.pull.listing import Known, Listing, list_results
from distribute.client.pull.settling import Edited
from distribute.client.pull.target_folder import shown
from distribute.client.words import argument, printable
from distribute.config.sections.units import format_size
from distribute.core.words import counted
from distribute_cli.filter_words import filter_options, pull_command
from distribute_cli.output.local_files import local_document, local_warnings
from distribute_cli.output.results import (
    MOST_LINES,
    UNSUCCESSFUL,
    lacks_something,
    result_document,
    result_warnings,
)
from distribute_cli.output.words import MOST_FAILURES

if TYPE_CHECKING:
    from distribute.client.pull.filters import Filter, Pattern
    from distribute.client.queries import Queries
    from distribute.core.ids import BatchId
    from distribute.ports import Cluster
    from distribute_cli.output.form import Bar, Output
    from distribute_cli.places import Place


SHOW_AFTER_S = 2.0
"""Who follows a batch is shown the progress of fetching what came if it takes longer than this."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What to pull of a batch, and how.

    `folders`: make empty folders, too. `edited`: what becomes of files that a person changed. `replace`:
    first remove what was pulled there of another batch, or of earlier attempts.
    """

    wanted: Filter
    place: Place
    folders: bool = True
    edited: Edited = Edited.KEPT
    replace: bool = False

    @property
    def again(self) -> tuple[str, ...]:
        """The options that choose these files and this folder, for commands that messages show."""
        include, exclude = ([pattern.text for pattern in patterns] for patterns in self.wanted)
        return *self.place.options, *filter_options(include, exclude)


async def pull_batch(
    cluster: Cluster,
    queries: Queries,
    output: Output,
    batch: BatchId,
    choice: Choice,
    *,
    dry: bool = False,
    follow: bool = False,
    strict: bool = False,
) -> int:
    """Pull what the archive holds of a batch, or list it (`dry`), and say what was done.

    With `follow`, pull what comes, too, until the batch is over and everything is archived.

    Returns:
        The exit code: 1 if something was not pulled, or the filter matches nothing; with `strict`, also if a
        job failed or was killed, if something was not archived, or if there is more to come.

    Raises:
        Refused: there is no such batch, or the folder is another one's.
        InputError: a pattern is neither a regular expression nor a piece of any path.
        StorageFull, InputError: the folder has no room, or can't be made.
    """
    pull = _Pull(cluster, output, batch, choice)
    if follow:
        listing, pulled = await pull.follow()
    else:
        listing = await pull.look()
        pulled = Pulled() if dry or not _matches(listing) else await pull.fetch(listing)
    standing = await queries.batch(batch, states=list(UNSUCCESSFUL), most=2 * MOST_FAILURES)
    problems = [*listing.problems, *pulled.problems]
    document: dict[str, Any] = {
        "namespace": batch.namespace,
        "batch": batch.batch,
        "complete": listing.complete,
        **result_document(listing, standing),
        "problems": problems,
    }
    if dry:
        output.files(document | _listed(listing))
    elif _matches(listing):
        output.done(_told(pulled, choice.place.path), document | _pulled(pulled, choice.place.path))
    else:
        output.for_programs(document | _pulled(pulled, choice.place.path))
    lines = [*result_warnings(listing, standing, choice.again), *map(printable, problems[:MOST_LINES])]
    if (more := len(problems) - MOST_LINES) > 0:
        lines.append(f"and {counted(more, 'more problem')}: --json names all")
    if not _matches(listing):
        lines += _no_match(batch, choice.wanted, listing)
    for line in (*lines, *local_warnings(batch, pulled, choice.again)):
        output.warn(line)
    is_whole = not problems and len(pulled.edited) == len(pulled.beside) and _matches(listing)
    return 0 if is_whole and not (strict and lacks_something(listing, standing)) else 1


def _matches(listing: Listing) -> bool:
    return bool(not listing.filtered or listing.files or listing.links)


class _Pull:
    """A pull of one batch."""

    def __init__(self, cluster: Cluster, output: Output, batch: BatchId, choice: Choice) -> None:
        self._cluster = cluster
        self._output = output
        self._batch = batch
        self._choice = choice
        self._title = f"pulling {printable(str(batch))}"

    async def look(self, known: Known | None = None) -> Listing:
        """What there is by now, without what is known."""
        choice = self._choice
        return await list_results(
            self._cluster,
            self._batch,
            choice.wanted,
            folders=choice.folders,
            base=choice.place.base,
            known=known,
        )

    async def fetch(self, listing: Listing) -> Pulled:
        """Fetch what is missing here, and show progress."""
        with self._output.bar(self._title, of_bytes=True) as bar:
            return await self._fetch(listing, bar.update)

    async def follow(self) -> Turn:
        """Fetch what there is, and then what comes, until there is no more to come."""

        is_first = True

        def tell(turn: Turn) -> None:
            nonlocal is_first
            if turn.pulled.fetched:
                files = f"{counted(turn.pulled.fetched, 'file')} ({format_size(turn.pulled.size_bytes)})"
                here = f"the results of {counted(turn.listing.jobs, 'job')} are here"
                self._output.hint(f"pulled {files}: {here}; waiting for more")
            elif is_first:
                self._output.hint(f"waiting for results of {printable(str(self._batch))}")
            is_first = False

        return await follow_results(self._cluster, self._batch, self.look, self._fetch_turn, tell)

    async def _fetch_turn(self, listing: Listing) -> Pulled:
        """Fetch what came, and show progress if that lasts."""
        began = time.monotonic()
        bar: Bar | None = None
        with ExitStack() as bars:

            def show(done: int, total: int) -> None:
                nonlocal bar
                if bar is None and time.monotonic() - began >= SHOW_AFTER_S:
                    bar = bars.enter_context(self._output.bar(self._title, of_bytes=True))
                if bar is not None:
                    bar.update(done, total)

            return await self._fetch(listing, show)

    async def _fetch(self, listing: Listing, on_bytes: OnBytes) -> Pulled:
        choice = self._choice
        return await fetch(
            self._cluster.store,
            listing,
            choice.place.folder,
            on_bytes,
            edited=choice.edited,
            replace=choice.replace,
        )


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


def _listed(listing: Listing) -> dict[str, Any]:
    files = [
        {"path": shown(wanted.parts), "size_bytes": wanted.file.size_bytes, "sha256": wanted.file.sha256}
        for _, wanted in listing.files
    ]
    return {
        "files": files,
        "links": [{"path": shown(parts), "target": target} for parts, target in listing.links],
        "filtered": [shown(parts) for parts in listing.filtered],
    }


def _pulled(pulled: Pulled, where: Path) -> dict[str, Any]:
    return {
        "folder": str(where),
        "fetched": pulled.fetched,
        "kept": pulled.kept,
        "size_bytes": pulled.size_bytes,
        **local_document(pulled),
    }
