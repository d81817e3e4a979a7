"""The documents that queries answer with. Their keys are a contract: keys are added, never renamed.

Times are RFC 3339 in UTC, durations seconds, sizes bytes.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from distribute.client.ledger_document import LedgerDocument
from distribute.client.match_documents import EditDocument as EditDocument
from distribute.client.match_documents import MatchDocument as MatchDocument
from distribute.client.queue_documents import QueueDocument, StartDocument

GONE = frozenset({"left", "lost", "expected"})
"""The states of a node that is not there."""

OVER = frozenset({"succeeded", "failed", "killed"})
"""The states of a job that is over."""


class JobCounts(TypedDict):
    """How many jobs of a batch are in each state."""

    total: int
    queued: int
    assigned: int
    running: int
    succeeded: int
    failed: int
    killed: int


class BatchDocument(TypedDict):
    """A batch. `state` is queued, running, completed, failed or killed.

    `reason` says why the batch as a whole failed. `build_failed` maps nodes to why the build failed there,
    `build_last_lines` the first few of them to what it printed last. `build_kept` maps the first few nodes
    that had kept the same build to the batch for which it ran. `building` maps nodes to when the build began
    that runs there. `killed_by` and `killed_at` say who killed the whole batch, and when. `ran_at` is the
    system that ran it, if this cluster did not. `after` are the batches for which it waits, or waited. `held`
    says why it begins no further job now, if it waits. `held_by` and `held_at` say who
    holds it, and since when. `max_running` and `max_failures` are its limits.
    `edited_by` and `edited_at` say who changed those, or what jobs ask for, last, and when.
    `compacted_at` is when its events were moved into an archive.
    """

    namespace: str
    batch: str
    user: str
    kind: str
    ran_at: NotRequired[str | None]
    state: str
    priority: int
    submitted_at: str
    finished_at: str | None
    reason: str | None
    after: NotRequired[list[str]]
    held: NotRequired[str | None]
    jobs: JobCounts
    archived: bool
    build_failed: dict[str, str]
    build_last_lines: dict[str, list[str]]
    build_kept: dict[str, str]
    building: dict[str, str]
    killed_by: str | None
    killed_at: str | None
    held_by: NotRequired[str | None]
    held_at: NotRequired[str | None]
    max_running: NotRequired[int | None]
    max_failures: NotRequired[int | None]
    edited_by: NotRequired[str | None]
    edited_at: NotRequired[str | None]
    compacted_at: NotRequired[str | None]


class JobDocument(TypedDict):
    """A job and its last attempt. It has run for `wall_s`, without pauses, and was paused for `paused_s`.

    `last_line` is what it printed last, of the first hundred jobs that failed. `killed_by` and `killed_at`
    say who killed it, and when; it may still be ending. `moved_by` moves it: its node is to give it back.
    `parameters` are those of a job of a sweep: JSON has them, and what is told of one job. `waits_for`: as
    `WhyDocument` has it.
    """

    job: str
    state: str
    attempt: int
    node: str | None
    exit_code: int | None
    signal: int | None
    reason: str | None
    waits_for: NotRequired[str | None]
    last_line: str | None
    submitted_at: str
    started_at: str | None
    finished_at: str | None
    wall_s: float | None
    cpu_s: float | None
    paused_s: float | None
    max_rss_bytes: int | None
    archived: bool
    killed_by: str | None
    killed_at: str | None
    moved_by: NotRequired[str | None]
    parameters: NotRequired[dict[str, str | int | float | bool]]


class KindOfGpus(TypedDict):
    """What each GPU of a job must be: its memory, and a regular expression for a part of its name."""

    memory_bytes: int
    model: str


class Amounts(TypedDict):
    """What a job asks for, or a node has. `gpu_kind` is there if the job asks for some kind of GPUs."""

    cpus: int
    memory_bytes: int
    gpus: int
    gpu_kind: NotRequired[KindOfGpus]


class VerdictDocument(TypedDict):
    """What keeps a node from a waiting job. `obstacle` None: it could take the job now."""

    node: str
    obstacle: str | None
    text: str


class WhyDocument(TypedDict):
    """The state of a job, the same in a sentence and, if it waits for a node, what keeps each node from it.

    `waits_for` is what it waits for in one word: batch, node, owner (all nodes that could are paused) or
    turn. None: it does not wait. `queue` is its place in the queue, None: it stands in none. `start` is when
    it probably begins, None: nobody can tell. `asked_at` is the time of the answer by the log's clock.
    """

    summary: str
    nodes: list[VerdictDocument]
    state: NotRequired[str]
    waits_for: NotRequired[str | None]
    queue: NotRequired[QueueDocument | None]
    start: NotRequired[StartDocument | None]
    asked_at: NotRequired[str]


class LifeDocument(WhyDocument):
    """The same, with the ledger of the job's life as of `asked_at`."""

    ledger: LedgerDocument


class OutsideFileDocument(TypedDict):
    """A file that a job left outside its folder of results."""

    path: str
    size_bytes: int


class OutsideDocument(TypedDict):
    """The files that a job left outside, and the largest. `is_part`: its node did not look at all of them."""

    files: int
    size_bytes: int
    largest: list[OutsideFileDocument]
    is_part: bool


class SupersededDocument(TypedDict):
    """What an attempt left that does not count: its node keeps it in `folder` until `until`."""

    folder: str
    size_bytes: int
    until: str


class AttemptDocument(TypedDict):
    """One attempt at a job.

    `outcome`: succeeded, failed, killed, excused (it failed, and that does not count), yielded (its node gave
    it back), released (it was taken from its node), or the state of an attempt that is not over. `outside`:
    what it left outside its folder of results. `superseded`: the same of one that does not count.
    """

    attempt: int
    node: str
    outcome: str
    assigned_at: str | None
    started_at: str | None
    finished_at: str | None
    exit_code: int | None
    signal: int | None
    reason: str | None
    last_lines: list[str]
    outside: OutsideDocument | None
    superseded: SupersededDocument | None
    wall_s: float | None
    cpu_s: float | None
    paused_s: float | None
    max_rss_bytes: int | None


class WarningDocument(TypedDict):
    """The signal that warns a job, `before_s` seconds before its timeout."""

    signal: str
    before_s: float


class CommitDocument(TypedDict):
    """A git commit that jobs have as `input`. `ref` is as a person wrote it, `remote` without a password.

    `dirty`: changes that were not committed came along. `folder` is the part that was sent; empty: all of it.
    """

    input: str
    commit: str
    ref: str
    dirty: bool
    folder: str
    remote: str | None


class JobStory(JobDocument):
    """Everything about one job. `command` is a list of arguments, or one text for a shell.

    `shell` runs the lines of `setup` first, and then the text. None: there are none, and `sh` runs the text.
    `resources` None: a whole node. `timeout_s` None: it may take any time. `grace_s` None: that of its node.
    `files` are those in its input, `script` is what a Python job runs as `job.py`, `image` that of an
    apptainer job. `left_out` names what the last attempt left that could not be archived, with the reasons.
    """

    namespace: str
    batch: str
    user: str
    kind: str
    priority: int
    command: list[str] | str
    setup: list[str]
    shell: list[str] | None
    script: str | None
    image: str | None
    capabilities: list[str]
    resources: Amounts | None
    timeout_s: float | None
    grace_s: float | None
    signal_before: WarningDocument | None
    retries: int
    env: dict[str, str]
    files: list[str]
    git: list[CommitDocument]
    attempts: list[AttemptDocument]
    left_out: list[str]
    why: WhyDocument


class BatchWithJobs(BatchDocument):
    """A batch and its jobs, in the order of its file. `more_jobs` counts those that are not listed."""

    git: NotRequired[list[CommitDocument]]
    job_list: list[JobDocument]
    more_jobs: NotRequired[int]


class ClusterDocument(TypedDict):
    """Which cluster an answer is of: its address, and what named it: an option, a file, …"""

    server: str
    source: str


class IgnoredDocument(TypedDict):
    """Misfits or garbage: how many there were, and what the last one was."""

    count: int
    last: str | None


class BatchesDocument(TypedDict):
    """All batches in order of submission, and the misfits and garbage in the log."""

    batches: list[BatchDocument]
    misfits: IgnoredDocument
    garbage: IgnoredDocument


class BuildDocument(TypedDict):
    """A build of a batch that runs on a node, and since when."""

    namespace: str
    batch: str
    since: str


class NodeDocument(TypedDict):
    """A node: what it is, has and does. `load` and `owner_idle_s` are of its last heartbeat.

    `listed` are the capabilities with which the head lists it. None: it does not. `heard_at` is when the
    scheduler last heard of it. None: not since the scheduler started.
    """

    node: str
    state: str
    capabilities: list[str]
    listed: NotRequired[list[str] | None]
    cpus: int
    cpus_free: int
    memory_bytes: int
    gpus: list[str]
    gpu_memory_bytes: NotRequired[list[int]]
    running: int
    building: list[BuildDocument]
    load: float | None
    owner_idle_s: float | None
    version: str
    paused_until: str | None
    paused_by: NotRequired[str | None]
    drained_until: NotRequired[str | None]
    drained_by: NotRequired[str | None]
    quarantined_until: NotRequired[str | None]
    reason: str | None
    heard_at: NotRequired[str | None]


class NodeJobDocument(TypedDict):
    """A job that a node has, and what it has been given. `gpus` are the node's own indices."""

    namespace: str
    batch: str
    job: str
    user: str
    state: str
    attempt: int
    assigned_at: str
    started_at: str | None
    cpus: int
    memory_bytes: int
    gpus: list[int]


class NodeStory(NodeDocument):
    """Everything about one node. Figures of heartbeats are None if the scheduler has not heard of it yet.

    `lacks` says why it lacks a capability that it looked for. `built` counts the batches that the node
    has built and can run without building them again. `more_jobs` counts jobs beyond those listed.
    """

    memory_free_bytes: int
    gpus_used: list[int]
    cpu_percent: float | None
    owner_source: NotRequired[str | None]
    freezes_by: NotRequired[str | None]
    build_copies: NotRequired[str | None]
    lacks: NotRequired[dict[str, str]]
    memory_available_bytes: int | None
    disk_free_bytes: int | None
    disk_needed_bytes: NotRequired[int | None]
    gpu_percent: list[float] | None
    built: int
    jobs: list[NodeJobDocument]
    more_jobs: int


class NodesDocument(TypedDict):
    """All nodes, by name."""

    nodes: list[NodeDocument]
