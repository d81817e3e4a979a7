"""Names as tokens of subjects."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distribute.core.ids import BatchId, BuildId, JobId, NodeId, Under, check_name
from distribute.core.log.events import (
    Assigned,
    BatchEvent,
    BuildStarted,
    Claimed,
    Event,
    JobArchived,
    NodeEvent,
    Submitted,
    types_of,
)
from distribute.nats.stream.subjects import (
    are_subjects_of,
    event_subject,
    filters,
    is_subject_of,
    log_subject,
    scope_filter,
)
from distribute.nats.stream.tokens import escape, unescape
from distribute.ports import Only
from distribute.testing import builders

AWKWARD = [
    "*",
    ">",
    "a.b",
    ".",
    " ",
    "\n",
    "\t",
    "größe",
    "%",
    "%2E",
    "~",
    "\x7f",
    "日本",
    "a" * 128,
    "$JS",
    "-",
    "_",
]


def is_name(text: str) -> bool:
    try:
        check_name(text)
    except ValueError:
        return False
    return True


names = st.text(min_size=1, max_size=40).filter(is_name) | st.sampled_from(AWKWARD).filter(is_name)


@given(names)
def test_a_token_is_plain_and_can_be_read_back(name: str) -> None:
    token = escape(name)
    assert re.fullmatch(r"([A-Za-z0-9_-]|%[0-9A-F]{2})+", token)
    assert unescape(token) == name


@given(names, names)
def test_two_names_are_two_tokens(one: str, other: str) -> None:
    assert (escape(one) == escape(other)) == (one == other)


@pytest.mark.parametrize("name", ["jane", "re100", "sweep-3_b", "A"])
def test_plain_names_stay_readable(name: str) -> None:
    assert escape(name) == name


def test_events_have_their_subjects() -> None:
    job = JobId("jane", "sweep.3", "re 100")
    assert event_subject(builders.claimed(job, node="ws7")) == "ev.job.jane.sweep%2E3.re%20100.claimed.ws7"
    # The scheduler's words to a node end with the node's name.
    assert event_subject(builders.assigned(job, node="ws7")) == "ev.job.jane.sweep%2E3.re%20100.assigned.ws7"
    archived = event_subject(builders.job_archived(job, node="ws7"))
    assert archived == "ev.job.jane.sweep%2E3.re%20100.archived.archiver"
    assert event_subject(builders.submitted()) == "ev.batch.lab.sweep.submitted.jane"
    assert event_subject(builders.joined("ws*")) == "ev.node.ws%2A.joined.ws%2A"


@given(
    tokens=st.lists(st.tuples(names, names, names, names, names), min_size=1, max_size=4),
    forged=st.none() | st.tuples(st.integers(0, 3), st.integers(0, 6), names | st.sampled_from(["a.b", ""])),
)
def test_subjects_hold_for_many_events_as_for_each(
    tokens: list[tuple[str, str, str, str, str]], forged: tuple[int, int, str] | None
) -> None:
    """Names may contain what a subject can't. Still, an event must not be accepted on another's subject."""
    events: list[Event] = []
    for number, (namespace, batch, job, node, author) in enumerate(tokens):
        make = (builders.assigned, builders.claimed, builders.job_archived)[number % 3]
        event = make(JobId(namespace, batch, job), node=node)
        events.append(event.model_copy(update={"author": author}))
    subjects = [event_subject(event) for event in events]
    if forged is not None:
        at, token, other = forged
        wrong = subjects[at % len(events)].split(".")
        wrong[token] = other
        subjects[at % len(events)] = ".".join(wrong)
    found = [subject.encode() for subject in subjects]
    assert are_subjects_of(found, events) == all(map(is_subject_of, found, events))


@pytest.mark.parametrize(
    ("job", "subject"),
    [
        ("a%2Eb", b"ev.job.lab.sweep.a%2Eb.claimed.ws1"),  # the token of the job a.b
        ("a.claimed", b"ev.job.lab.sweep.a.claimed.claimed.ws1"),
        ("a\nb", b"ev.job.lab.sweep.a\nb.claimed.ws1"),
        ("\u00e9", "ev.job.lab.sweep.\u00e9.claimed.ws1".encode()),
    ],
)
def test_a_name_that_is_no_token_is_on_no_subject_as_it_stands(job: str, subject: bytes) -> None:
    event = builders.claimed(JobId("lab", "sweep", job))
    assert not is_subject_of(subject, event)
    assert not are_subjects_of([subject], [event])


def test_events_of_all_scopes_are_on_their_subjects() -> None:
    assert are_subjects_of([event_subject(event).encode() for event in EVENTS], EVENTS)
    assert not are_subjects_of([event_subject(event).encode() for event in reversed(EVENTS)], EVENTS)


def test_scopes_have_their_filters() -> None:
    assert scope_filter(BatchId("a", "b")) == "ev.batch.a.b.>"
    assert scope_filter(JobId("a", "b", "*")) == "ev.job.a.b.%2A.>"
    assert scope_filter(BuildId(BatchId("a", "b"), "ws.7")) == "ev.build.a.b.ws%2E7.>"
    assert scope_filter(NodeId("ws7")) == "ev.node.ws7.>"
    assert scope_filter(Under(BatchId("a", "b"))) == "ev.*.a.b.*.>"
    assert scope_filter(Under(BatchId("a", "b")), "job_archived") == "ev.job.a.b.*.archived.*"
    assert scope_filter(JobId("a", "b", "c"), "job_archived") == "ev.job.a.b.c.archived.*"


def matches(pattern: str, subject: str) -> bool:
    """The rule of NATS."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        return len(found) >= len(wanted) and all(
            w in {"*", f} for w, f in zip(wanted[:-1], found, strict=False)
        )
    return len(wanted) == len(found) and all(w in {"*", f} for w, f in zip(wanted, found, strict=True))


def test_everything_under_a_batch_is_one_filter_that_no_event_of_a_node_matches() -> None:
    """A node may have the name of the namespace, and a batch the name of a type of events."""
    [pattern] = filters(Only(batch=BatchId("ws1", "joined")))
    assert pattern == scope_filter(Under(BatchId("ws1", "joined")))
    assert not matches(pattern, event_subject(builders.joined("ws1")))
    spec = builders.batch(namespace="ws1", batch="joined")
    assert matches(pattern, event_subject(builders.submitted(spec)))
    assert matches(pattern, event_subject(builders.claimed(JobId("ws1", "joined", "job1"))))
    assert matches(pattern, "ev.build.ws1.joined.ws7.started.ws7")


def test_all_types_of_one_kind_are_one_filter() -> None:
    every = types_of(NodeEvent)
    assert filters(Only(types=every)) == ["ev.node.*.*.*"]
    assert len(filters(Only(types=every - {"joined"}))) == len(every) - 1
    assert filters(Only(types=types_of(BatchEvent), batch=BatchId("a", "b"))) == ["ev.batch.a.b.*.*"]


def test_the_builds_of_a_node_are_its_events() -> None:
    assert "ev.build.*.*.ws7.*.*" in filters(Only(node="ws7"))
    assert "ev.build.a.b.ws7.*.*" in filters(Only(node="ws7", batch=BatchId("a", "b")))


EVENTS = [
    builders.submitted(),
    builders.submitted(builders.batch(batch="other")),
    builders.batch_archived(),
    *(
        make(JobId("lab", batch, "job1"), node=node)
        for make in (builders.assigned, builders.claimed, builders.job_archived)
        for batch in ("sweep", "other")
        for node in ("ws1", "ws2")
    ),
    builders.joined("ws1"),
    builders.joined("ws2"),
    BuildStarted(id="x", time=datetime.now(UTC), author="ws1", node="ws1", namespace="lab", batch="sweep"),
]


@given(
    types=st.none() | st.frozensets(st.sampled_from(sorted({event.type for event in EVENTS})), min_size=1),
    batch=st.none() | st.just(BatchId("lab", "sweep")),
    node=st.none() | st.just("ws1"),
)
def test_filters_match_the_wanted_events_once_each(
    types: frozenset[str] | None, batch: BatchId | None, node: str | None
) -> None:
    patterns = filters(Only(types=types, batch=batch, node=node))
    for event in EVENTS:
        wanted = types is None or event.type in types
        if batch is not None:
            of_batch = (
                isinstance(event, Submitted | Assigned | Claimed | JobArchived | BuildStarted)
                or event.type == "batch_archived"
            )
            wanted &= of_batch and (event.namespace, event.batch) == batch
        if node is not None:
            by_or_to = isinstance(event, Assigned | Claimed | BuildStarted) and event.node == node
            about = event.scope == NodeId(node)
            wanted &= by_or_to or about
        assert sum(matches(pattern, event_subject(event)) for pattern in patterns) == int(wanted)


def test_the_output_of_a_build_is_no_jobs() -> None:
    job = JobId("lab", "sweep", "build")
    build = BuildId(BatchId("lab", "sweep"), "build")
    subjects = [log_subject(job, 1), log_subject(build, 0)]
    assert [subject.count(".") for subject in subjects] == [4, 5]
    assert subjects[1] == "log.lab.sweep.build.build.0"


def test_an_unknown_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="no event is of the type 'klaimed'"):
        filters(Only(types=frozenset({"klaimed", "claimed"})))
