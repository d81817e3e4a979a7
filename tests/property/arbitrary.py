"""Strategies for well-formed events with arbitrary content, as any peer could write them."""

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from distribute.core.files.manifest import Manifest, Outputs, StoredFile, StoredFolder, StoredLink
from distribute.core.ids import MAX_ATTEMPTS, MAX_AUTHOR_BYTES, AttemptId, check_author
from distribute.core.log.authors import AUTHORS, SERVICES, AuthorKind
from distribute.core.log.events import ARCHIVER, KINDS, NOTIFIER, SCHEDULER, Superseded, type_of
from distribute.core.spec.specs import MAX_CPUS, BatchSpec, CommandJob, CommandWork, GpuKind, Resources
from distribute.testing.builders import RAN_AT

for kind in KINDS:
    kind.model_rebuild()  # until an event class makes its validator, it does not say which fields it takes


def _is_a_name(text: str) -> bool:
    try:
        check_author(text)
    except ValueError:
        return False
    return text not in SERVICES


any_names = st.text(min_size=1, max_size=MAX_AUTHOR_BYTES).filter(_is_a_name)
few_names = st.sampled_from(["a", "b"])
job_names = st.sampled_from(["j1", "j2", "j3"])
node_names = st.sampled_from(["n1", "n2", "n3"])
moments = st.datetimes(datetime(2000, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
sizes = st.one_of(st.integers(0, 4), st.just(2**63 - 1))
durations = st.floats(0, 1e10)

paths = st.lists(any_names, min_size=1, max_size=3).map("/".join)

gpu_kinds = st.builds(GpuKind, memory_bytes=sizes, model=st.sampled_from(["", "a", "^b", "a|c"]))
shares = st.none() | st.builds(
    Resources,
    cpus=st.integers(1, 4),
    memory_bytes=sizes,
    gpus=st.integers(0, 2),
    gpu_kind=st.none() | gpu_kinds,
)
jobs = st.lists(
    st.builds(
        CommandJob,
        name=job_names,
        command=st.just("true"),
        resources=shares,
        retries=st.none() | st.integers(0, 2),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda job: job.name,
)
specs = st.builds(
    BatchSpec,
    namespace=st.just("lab"),
    batch=few_names,
    priority=st.integers(-1, 1),
    capabilities=st.frozensets(st.sampled_from(["x", "y"])),
    resources=shares,
    retries=st.integers(0, 2),
    work=st.builds(CommandWork, build=st.none() | st.just("make"), jobs=jobs.map(tuple)),
)
outputs = st.none() | st.builds(
    Outputs,
    inline=st.none()
    | st.builds(
        Manifest,
        entries=st.lists(
            st.one_of(
                st.builds(StoredFolder, path=paths),
                st.builds(StoredLink, path=paths, target=paths),
                st.builds(
                    StoredFile,
                    path=paths,
                    size_bytes=sizes,
                    sha256=st.just("0" * 64),
                    mode=st.none() | st.integers(0, 0o777),
                    mtime_ns=st.none() | st.integers(-(2**63), 2**63 - 1),
                ),
            ),
            max_size=2,
        ).map(tuple),
        left_out=st.lists(st.text(), max_size=1).map(tuple),
    ),
)

attempts = st.builds(AttemptId, st.just("lab"), few_names, job_names, st.integers(1, 3))

FIELDS: dict[str, SearchStrategy[Any]] = {
    "id": st.text("0123456789ABCXYZabc-_", min_size=1, max_size=26),
    "time": moments,
    "author": node_names | st.just(SCHEDULER),
    "namespace": st.just("lab"),
    "batch": few_names,
    "job": job_names,
    "node": node_names,
    "attempt": st.one_of(st.integers(1, 3), st.just(MAX_ATTEMPTS)),
    "user": st.sampled_from(["jane", "bob"]),
    "priority": st.integers(-100, 100),
    "cpus": st.one_of(st.integers(1, 4), st.just(MAX_CPUS)),
    "memory_bytes": sizes,
    "exit_code": st.none() | st.integers(0, 255),
    "signal": st.none() | st.integers(1, 255),
    "wall_s": durations,
    "cpu_s": durations,
    "paused_s": durations,
    "silent_s": durations,
    "max_rss_bytes": sizes,
    "outputs": outputs,
    "capabilities": st.frozensets(st.sampled_from(["x", "y", "z"])),
    "incarnation": st.text(max_size=3),
    "version": st.text(max_size=3),
    "until": moments,
    "started_at": st.none() | moments,
    "keeps": st.lists(attempts, max_size=3).map(tuple),
    "spec": specs,
}
"""Strategies for fields whose type alone is not enough."""

OF_KIND: dict[tuple[str, str], SearchStrategy[Any]] = {
    ("assigned", "gpus"): st.lists(st.integers(0, 3), max_size=3).map(tuple),
    ("joined", "gpus"): st.lists(st.text("abc", max_size=3), max_size=3).map(tuple),
    ("joined", "gpu_memory_bytes"): st.none() | st.lists(sizes, max_size=3).map(tuple),
    ("submitted", "id"): st.sampled_from(["S1", "S2"]) | FIELDS["id"],
    ("submitted", "ran_at"): st.none() | st.just(RAN_AT),
    ("collected", "submission"): st.sampled_from(["S1", "S2"]),
    ("collected", "ended_at"): moments,
    ("build_collected", "submission"): st.sampled_from(["S1", "S2"]),
    ("retry_requested", "jobs"): st.none() | st.lists(job_names, max_size=2).map(tuple),
    ("edited", "jobs"): st.none() | st.lists(job_names, min_size=1, max_size=2).map(tuple),
    ("edited", "cpus"): st.none() | FIELDS["cpus"],
    ("edited", "memory_bytes"): st.none() | sizes,
    ("notified", "to"): st.sampled_from(["jane", "@jane:example.org"]),
    ("notified", "key"): FIELDS["id"],
    ("compacted", "by"): node_names,
    ("compacted", "archive"): st.sampled_from(["0" * 64, "f" * 64]),
    ("kill_requested", "job"): st.none() | job_names,
    ("stop_ordered", "by"): st.none() | node_names,
    ("superseded", "attempt"): attempts,
}


def rightly_written(event: Any) -> Any:
    """The same event, by an author who may write it."""
    by = {
        AuthorKind.SCHEDULER: SCHEDULER,
        AuthorKind.ARCHIVER: ARCHIVER,
        AuthorKind.NOTIFIER: NOTIFIER,
        AuthorKind.PERSON: "jane",
    }
    author = by.get(AUTHORS[event.type]) or event.node
    return event.model_copy(update={"author": author})


def events_of(kind: type[Any], **fields: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Events of one kind, with the given strategies for fields."""
    tag = type_of(kind)
    made = {name: FIELDS[name] for name in kind.model_fields if name in FIELDS}
    made |= {name: strategy for (of, name), strategy in OF_KIND.items() if of == tag}
    return st.builds(kind, **made | {name: one for name, one in fields.items() if name in kind.model_fields})


_ONE_JOB: dict[str, SearchStrategy[Any]] = {
    "batch": st.just("a"),
    "job": st.just("j1"),
    "node": st.just("n1"),
    "attempt": st.just(1),
    "cpus": st.just(1),
}


def _of_one_job(kind: type[Any]) -> SearchStrategy[Any]:
    if kind is Superseded:
        return events_of(kind, **_ONE_JOB | {"attempt": st.just(AttemptId("lab", "a", "j1", 1))})
    return events_of(kind, **_ONE_JOB)


events = st.one_of([events_of(kind) for kind in KINDS] + [_of_one_job(kind) for kind in KINDS])
"""Events about few batches, jobs and nodes, half of them about one, so that they meet."""
