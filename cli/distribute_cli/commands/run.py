"""`distribute run [FILE]`: runs a batch on this computer, without a cluster."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from distribute_cli.dirty import DirtyOption
from distribute_cli.session import Session, user_name
from distribute_cli.targets import DEFAULT_FILE
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from distribute.core.spec.specs import BatchSpec
    from distribute_cli.output.course import Progress
    from distribute_cli.output.form import JobText, Output

SIGNALLED = 128


async def run(
    session: Session,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The batch's YAML file.")] = Path(DEFAULT_FILE),
    save_dir: Annotated[
        Path, typer.Option("--save-dir", "-s", metavar="D", help="Write results to D/BATCH/JOB/…")
    ] = Path("distribute-run"),
    clean_save: Annotated[
        bool, typer.Option("--clean-save", help="First remove what an earlier run of the batch left there.")
    ] = False,
    job: Annotated[
        list[str] | None,
        typer.Option("--job", "-j", metavar="NAME", help="Run only this job (may be repeated)."),
    ] = None,
    capability: Annotated[
        list[str] | None,
        typer.Option("--capability", metavar="X", help="This computer has X (may be repeated)."),
    ] = None,
    dirty: DirtyOption = False,
) -> int:
    """Run a batch on this computer, without a cluster, and write its results as `pull` would.

    Jobs that fit beside one another run together. Ctrl-C ends the jobs, and keeps what they left by then; a
    second Ctrl-C ends them at once.
    """
    from distribute.client.words import printable
    from distribute.core.words import few
    from distribute.here import Asked
    from distribute.inputs.sources import as_files
    from distribute.scratch import scratch_folder
    from distribute_cli.loading import load_batch
    from distribute_cli.local.here import run_here
    from distribute_cli.output.ran import Shown, tell_over
    from distribute_cli.places import place_of

    loaded = load_batch(session.output, file, dirty=dirty)
    spec = _chosen(loaded.spec, job or [])
    place, output = place_of(spec.id, save_dir), session.output
    for warning in loaded.warnings:
        output.warn(warning)
    if loaded.file.meta.after:
        names = few([printable(one.batch) for one in loaded.file.meta.after])
        output.warn(f"after: run knows no other batch, so it does not wait for {names}")

    def interrupted() -> None:
        output.hint("ending the jobs, and keeping what they left; once more ends them at once")

    with scratch_folder("parts") as parts, _shown(output, spec) as (progress, text):
        sources = loaded.sources_of(_needed(spec)) if job else loaded.sources
        files = await asyncio.to_thread(as_files, sources, parts)
        asked = Asked(
            spec=spec.model_dump_json(),
            sources={sha256: str(path.absolute()) for sha256, path in files.items()},
            user=user_name(),
            folder=str(place.folder.absolute()),
            base=spec.batch,
            is_part=bool(job),
            clean=clean_save,
            capabilities=capability or [],
            parts=str(parts),
        )
        shown = Shown(output, spec.id, len(spec.work.jobs), progress, text)
        ended_by = await run_here(asked, shown, interrupted)
    code = 0
    if shown.over is not None:
        code = tell_over(output, spec.id, shown.over, place.path)
    elif ended_by is not None:
        output.hint(f"{printable(str(spec.id))} was ended: the results that came are in its folder")
    return SIGNALLED + ended_by if ended_by is not None else code


def _needed(spec: BatchSpec) -> set[str]:
    """The objects that the jobs of the batch need, by SHA-256."""
    from distribute.core.spec.recipe import recipe_of

    return {sha256 for each in spec.work.jobs for sha256 in recipe_of(spec, each).objects}


def _chosen(spec: BatchSpec, names: Sequence[str]) -> BatchSpec:
    """The batch with only the jobs of these names. No names: all of it.

    Raises:
        UnknownName: it has no such job.
    """
    from distribute.client.nearest import nearest
    from distribute.client.words import printable
    from distribute.core.errors import UnknownName
    from distribute.core.words import few

    if not names:
        return spec
    there = [each.name for each in spec.work.jobs]
    if unknown := sorted(set(names).difference(there)):
        name = unknown[0]
        raise UnknownName(
            "job",
            name,
            f"{printable(str(spec.id))} has no job {printable(name)!r}",
            f"its jobs are {few([printable(each) for each in there])}",
            spec.id,
            nearest(name, there),
        )
    chosen = frozenset(names)
    jobs = tuple(each for each in spec.work.jobs if each.name in chosen)
    return spec.model_copy(update={"work": spec.work.model_copy(update={"jobs": jobs})})


@contextlib.contextmanager
def _shown(output: Output, spec: BatchSpec) -> Iterator[tuple[Progress | None, JobText | None]]:
    """Where the output of the only job goes, or else the progress of all of them."""
    from distribute_cli.output.course import progress_of

    if len(spec.work.jobs) == 1:
        if output.is_live:
            with output.job_text({}) as text:
                yield None, text
        else:
            yield None, None
        return
    with progress_of(output, spec.id) as progress:
        yield progress, None


app = verb(run, needs_cluster=False)
