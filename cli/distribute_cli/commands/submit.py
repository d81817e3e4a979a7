"""`distribute submit [OPTIONS] -- CMD…`: submits a batch from a shell's line."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distribute.client.words import printable
from distribute_cli.behind import CommandBehind
from distribute_cli.session import Session, user_name
from distribute_cli.submitting.options import (
    AfterOption,
    AnywayOption,
    ArrayOption,
    BuildOption,
    CapabilityOption,
    CommandArgument,
    CpusOption,
    DryOption,
    EachLineOption,
    EachOption,
    EnvOption,
    FileOption,
    GpusOption,
    ListOption,
    MatrixOption,
    MaxFailuresOption,
    MemoryOption,
    NameOption,
    NamespaceOption,
    NotBeforeOption,
    PriorityOption,
    RetriesOption,
    TimeoutOption,
    WaitOption,
)
from distribute_cli.verbs import verb

if TYPE_CHECKING:
    from collections.abc import Mapping

    from distribute.client.queries import Queries
    from distribute.config.loading import LoadedBatch
    from distribute.core.spec.specs import BatchSpec
    from distribute.ports import Cluster
    from distribute_cli.output.form import Output
    from distribute_cli.submitting.line import Line


async def submit(
    session: Session,
    command: CommandArgument,
    name: NameOption = None,
    namespace: NamespaceOption = None,
    array: ArrayOption = None,
    each: EachOption = None,
    each_line: EachLineOption = None,
    file: FileOption = None,
    env: EnvOption = None,
    build: BuildOption = None,
    cpus: CpusOption = None,
    memory: MemoryOption = None,
    gpus: GpusOption = None,
    limit: TimeoutOption = None,
    retries: RetriesOption = None,
    max_failures: MaxFailuresOption = None,
    after: AfterOption = None,
    not_before: NotBeforeOption = None,
    capability: CapabilityOption = None,
    priority: PriorityOption = None,
    matrix: MatrixOption = None,
    wait: WaitOption = False,
    dry: DryOption = False,
    list_jobs: ListOption = False,
    anyway: AnywayOption = False,
) -> int:
    """Submit a batch from a shell's line, and print its name.

    Each job runs the words behind `--` as they are, without a shell; a single word with blanks or characters
    of the shell is a text for sh. With --array, --each or --each-line, {} is the job's value, also in --env
    and --file; {#} is the number of the job, and with --each {/.} is the file's name without its ending.

    A word that begins with ./ or ../ and is a file here is sent, as --file and --each are: the job finds it
    in ./input, and the word becomes its path there. What a job leaves in ./distribute_save comes back.
    """
    from distribute.core.errors import InputError
    from distribute_cli.output.planned import listed
    from distribute_cli.submitting.line import Line
    from distribute_cli.submitting.sources import only_one

    line = Line(
        command=command,
        namespace=user_name() if namespace is None else namespace,
        name=name,
        array=only_one("--array", array),
        each=only_one("--each", each),
        each_line=only_one("--each-line", each_line),
        files=file or (),
        env=env or (),
        capabilities=capability or (),
        priority=priority,
        matrix=matrix,
        timeout=limit,
        retries=retries,
        cpus=cpus,
        memory=memory,
        gpus=gpus,
        build=build,
        after=after or (),
        not_before=not_before,
        max_failures=max_failures,
    )
    if list_jobs and not dry:
        raise InputError("--list shows what would be submitted: add --dry")
    loaded = _load(line, session.output)
    planned = listed(session.output, loaded.spec) if list_jobs else {}
    is_named = name is not None
    return await _submit(session, loaded, planned, is_named=is_named, wait=wait, dry=dry, anyway=anyway)


def _load(line: Line, output: Output) -> LoadedBatch:
    """The batch that a line describes. Says what of it is sent, and what looks wrong.

    Raises:
        InputError: it holds every problem, one line each.
    """
    from distribute.config.loading import load_options
    from distribute.core.errors import InputError
    from distribute_cli.loading import load_by
    from distribute_cli.submitting.line import describe, told

    described = describe(line)
    try:
        loaded = load_by(output, partial(load_options, described.values, Path.cwd()))
    except InputError as error:
        raise InputError(*dict.fromkeys((*described.problems, *error.problems))) from error
    if described.problems:
        raise InputError(*described.problems)
    for warning in (*described.warnings, *loaded.warnings):
        output.warn(warning)
    if (sent := told(described)) is not None:
        output.hint(sent)
    return loaded


async def _submit(
    session: Session,
    loaded: LoadedBatch,
    planned: Mapping[str, Any],
    *,
    is_named: bool,
    wait: bool,
    dry: bool,
    anyway: bool,
) -> int:
    """Submit the batch: under its own name if it `is_named`, or else under the next one that is free."""
    from distribute.client.free_name import under_free_name
    from distribute.core.errors import NameTaken, Refused

    async with session.cluster(named="now") as cluster:
        queries = session.queries(cluster)

        async def send(spec: BatchSpec) -> Mapping[str, Any]:
            return await _send(session, cluster, queries, loaded, spec, dry=dry, anyway=anyway)

        spec = loaded.spec
        try:
            if is_named:
                document = await send(spec)
            else:
                spec, document = await under_free_name(queries, spec, send)
        except NameTaken as error:
            raise Refused(f"{error.what}: write another --name, or none, which finds a free one") from error
        return await _tell(session, cluster, queries, spec, {**document, **planned}, wait=wait, dry=dry)


async def _send(
    session: Session,
    cluster: Cluster,
    queries: Queries,
    loaded: LoadedBatch,
    spec: BatchSpec,
    *,
    dry: bool,
    anyway: bool,
) -> Mapping[str, Any]:
    """Check the batch and, unless that is all, submit it as `spec`. Returns what `add` says of it in JSON.

    Raises:
        Refused: a batch that it is to run after is not there.
        NameTaken: there is a batch of this name.
    """
    from distribute.client.submit import submit as submit_batch
    from distribute.client.waiting import with_after
    from distribute_cli.output.plain_output import NoBar
    from distribute_cli.output.submitted import check_batch

    output = session.output
    document = await check_batch(cluster, queries, output, spec, replace=False, anyway=anyway)
    spec = await with_after(cluster, queries, session.person, spec, loaded.file.meta.after)
    if not dry:
        with output.bar("sending inputs", of_bytes=True) if loaded.sources else nullcontext(NoBar()) as bar:
            await submit_batch(cluster, session.person, spec, loaded.sources, on_bytes=bar.update)
    return document


async def _tell(
    session: Session,
    cluster: Cluster,
    queries: Queries,
    spec: BatchSpec,
    document: Mapping[str, Any],
    *,
    wait: bool,
    dry: bool,
) -> int:
    """Print the name of the batch, and wait for its end if that is wanted. Returns the exit code."""
    from distribute.client.words import argument
    from distribute.core.words import counted
    from distribute_cli.output.course import hint_results, runs_on, told_if_interrupted, watch_to_end

    output, name, jobs = session.output, str(spec.id), counted(len(spec.work.jobs), "job")
    if dry:
        output.done(f"{printable(name)} would be submitted: {jobs}", document)
        return 0
    if wait:
        output.hint(f"{printable(name)} is submitted: {jobs}")
        with told_if_interrupted(output, runs_on(spec.id)):
            code = await watch_to_end(cluster, queries, output, spec.id)
        hint_results(output, spec.id)
        return code
    output.name(printable(name), document)
    output.hint(f"{jobs}; `distribute watch {argument(name)}` shows its progress")
    return 0


app = verb(submit, cls=CommandBehind)
