"""`pull --running`: files come as they are now, are never taken for results, and harm no one's files."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from distribute.client.pull.filters import make_filter
from distribute.client.pull.note import NOTE_NAME
from distribute.client.pull.running import Fetched
from distribute.client.pull.running_listing import list_running
from distribute.client.pull.running_pull import Pulled, Running, fetch_running
from distribute.client.pull.settling import Edited
from distribute.client.running_files import list_files
from distribute.client.visiting import Visit, find_running
from distribute.core.errors import InputError, Refused
from distribute.core.ids import JobId
from distribute.core.spec.visits import CHUNK_BYTES, FILES, FilesFound, Got, Piece, path_bytes, path_text
from distribute.memory.queries import MemoryQueries
from distribute_services.node_runner.disk.job_folder import JobFolder, listed, read_pieces
from distribute_services.node_runner.work.visits import Answers
from pull_kit import BASE, JANES, Archive

JOB = JobId("jane", "mc", "a")
VISIT = Visit(JOB, 2, "ws1", "1.0", "jane")


class Node:
    """A node with one job that runs in a real folder. `meanwhile` is called before each read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "job"
        (self.folder / "distribute_save").mkdir(parents=True)
        self.printed = folder / "stdout"
        self.printed.write_text("begun\n")
        self.queries = MemoryQueries()
        self.meanwhile: Callable[[], object] = lambda: None
        self.reads = 0
        self.root = os.open(self.folder, os.O_RDONLY)
        self.state = "running"

    def write(self, name: str, content: bytes) -> Path:
        """The job writes a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    async def list_files(self, running: Any, folder: str | None) -> FilesFound:
        opened = JobFolder(self.root, "/seen")
        results = opened.inside(b"distribute_save")
        at = results if folder is None else opened.inside(path_bytes(folder))
        if folder is not None and at is None:
            raise Refused("it is not there")
        unread: list[str] = []
        entries, is_part = listed(opened.entries(at, unread)) if at is not None else ((), False)
        return FilesFound(
            results=path_text(b"/".join(results)) if results is not None else None,
            entries=entries,
            printed_bytes=self.printed.stat().st_size,
            is_part=is_part,
            unread=tuple(unread),
        )

    async def read_files(self, running: Any, pieces: Sequence[Piece]) -> tuple[list[Got], list[bytes]]:
        self.reads += 1
        self.meanwhile()
        return read_pieces(JobFolder(self.root, "/seen"), str(self.printed), tuple(pieces))

    def find(self, job: JobId, attempt: int) -> tuple[Any, Any]:
        if self.state != "running":
            raise Refused(f"{job} does not run on this node any more")
        return None, None

    # --- what the scheduler says -----------------------------------------------------------------

    async def batch(self, batch: Any, **which: Any) -> Any:
        job = {"job": "a", "state": self.state, "node": "ws1", "attempt": 2}
        return {"user": "jane", "job_list": [job]}

    async def node(self, name: str) -> Any:
        return {"node": name, "state": "busy", "version": "1.0"}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path / "node")
    yield node
    os.close(node.root)


async def pull(
    node: Node, out: Path, *include: str, edited: Edited = Edited.KEPT
) -> tuple[Pulled, Fetched, list[str]]:
    """Fetch what the job has now."""
    cluster: Any = node
    queries: Any = node
    visits: Any = node
    commands: Any = Nothing()
    wanted = make_filter(include, [])
    answers: Answers[Any, Any] = Answers("ws1", visits, node.find, commands)
    async with answers.given(node.queries):
        found = await list_files(cluster, queries, VISIT, None if wanted.is_all else ".")
        listing = list_running(JOB, found, wanted, BASE)
        running = Running(JANES, BASE, [(VISIT, listing)])
        pulled, fetched = await fetch_running(cluster, queries, running, out, edited=edited)
    return pulled, fetched, [*listing.left_out, *listing.problems, *pulled.problems]


class Nothing:
    """No commands."""

    async def answer(self, payload: bytes) -> bytes:
        raise AssertionError(f"no command runs here, but one was asked for: {payload!r}")

    async def __aenter__(self) -> Nothing:
        return self

    async def __aexit__(self, *_: object) -> None: ...


def here(out: Path) -> dict[str, bytes]:
    """The files below the job's folder."""
    job = out / "mc" / "a"
    return {
        str(path.relative_to(job)): path.read_bytes()
        for path in sorted(job.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


async def test_results_so_far_come_with_their_times_and_modes(node: Node, out: Path) -> None:
    path = node.write("distribute_save/run.sh", b"#!/bin/sh\n")
    path.chmod(0o750)
    os.utime(path, ns=(5, 123456789))
    node.write("distribute_save/large", os.urandom(3 * CHUNK_BYTES + 7))
    node.write("distribute_save/stdout.txt", b"the job's own")
    node.write("distribute_save/empty/none", b"").unlink()
    node.write("input/mesh", b"given")
    (node.folder / "distribute_save/latest").symlink_to("run.sh")
    (node.folder / "distribute_save/out").symlink_to("/etc/passwd")
    pulled, fetched, problems = await pull(node, out)
    assert here(out) == {
        "stdout.txt": b"begun\n",
        "run.sh": b"#!/bin/sh\n",
        "large": (node.folder / "distribute_save/large").read_bytes(),
        "distribute_save/stdout.txt": b"the job's own",
    }
    job = out / "mc" / "a"
    status = (job / "run.sh").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o750, 123456789)
    assert ((job / "latest").readlink(), (job / "empty").is_dir()) == (Path("run.sh"), True)
    assert problems == ["a/out: a link that leads out, to '/etc/passwd'"]
    assert (pulled.fetched, fetched) == (4, Fetched())
    lines = [json.loads(line) for line in (out / "mc" / os.fsdecode(NOTE_NAME)).read_bytes().splitlines()]
    assert all((line["attempt"], line["running"]) == (2, True) for line in lines[1:])
    assert not (out / "mc" / ".distribute-parts").exists()


async def test_with_a_filter_any_file_comes_and_others_go_to_the_workspace(node: Node, out: Path) -> None:
    node.write("distribute_save/workspace/x.csv", b"result")
    node.write("x.csv", b"other")
    node.write("deep/x.csv", b"deep")
    (node.folder / "empty").mkdir()
    await pull(node, out, r"\.csv$")
    assert here(out) == {
        "workspace/x.csv": b"result",
        "workspace-2/x.csv": b"other",
        "workspace-2/deep/x.csv": b"deep",
    }
    assert not (out / "mc/a/workspace-2/empty").exists()


async def test_results_are_followed_to_where_the_job_made_them_a_link(node: Node, out: Path) -> None:
    node.write("data/run/x", b"x")
    (node.folder / "distribute_save").rmdir()
    (node.folder / "distribute_save").symlink_to("/seen/data/run")
    assert (await pull(node, out))[2] == []
    assert here(out)["x"] == b"x"
    (node.folder / "distribute_save").unlink()
    (node.folder / "distribute_save").symlink_to("../..")
    assert (await pull(node, out))[2] == [
        "a/distribute_save: it is gone, or a link that leads out of the job's folder"
    ]


async def test_only_what_has_changed_comes_again(node: Node, out: Path) -> None:
    for number in range(600):
        node.write(f"distribute_save/f{number}", b"%d" % number)
    node.write("distribute_save/large", bytes(CHUNK_BYTES))
    pulled, _, _ = await pull(node, out)
    assert (pulled.fetched, pulled.kept) == (602, 0)
    assert node.reads < 10, "small files come together"
    node.write("distribute_save/f7", b"new")
    node.reads = 0
    pulled, _, _ = await pull(node, out)
    assert (pulled.fetched, here(out)["f7"]) == (1, b"new")
    assert node.reads < 3


async def test_later_results_replace_what_was_fetched_and_what_is_no_result_is_named(
    node: Node, out: Path, archive: Archive
) -> None:
    node.write("distribute_save/u.csv", b"half")
    node.write("distribute_save/tmp", b"scratch")
    await pull(node, out)
    listing = await archive.list({"a": (2, {"u.csv": "whole", "stdout.txt": "begun\nended\n"})})
    pulled = await archive.pull(listing, out)
    assert here(out) == {"u.csv": b"whole", "stdout.txt": b"begun\nended\n", "tmp": b"scratch"}
    assert (pulled.leftovers, pulled.edited) == ([(b"mc", b"a", b"tmp")], [])
    pulled = await archive.pull(listing, out, replace=True)
    assert (pulled.removed, "tmp" in here(out)) == (1, False)


async def test_what_a_person_changed_stays(node: Node, out: Path) -> None:
    node.write("distribute_save/x", b"job's")
    await pull(node, out)
    (out / "mc/a/x").write_bytes(b"mine")
    node.write("distribute_save/x", b"newer")
    pulled, _, _ = await pull(node, out)
    assert (pulled.edited, here(out)["x"]) == ([(b"mc", b"a", b"x")], b"mine")
    await pull(node, out, edited=Edited.BESIDE)
    assert here(out)["x.theirs"] == b"newer"
    await pull(node, out, edited=Edited.OVERWRITTEN)
    assert here(out)["x"] == b"newer"


async def test_a_file_that_grows_comes_as_it_was_when_its_fetch_began(node: Node, out: Path) -> None:
    path = node.write("distribute_save/log", b"a" * (2 * CHUNK_BYTES))

    def append() -> None:
        with path.open("ab") as file:
            file.write(b"b" * 1000)

    node.meanwhile = append
    _, fetched, problems = await pull(node, out)
    assert here(out)["log"] == b"a" * (2 * CHUNK_BYTES) + b"b" * 1000
    assert (fetched.changed, problems) == ([], [])


async def test_a_file_that_is_replaced_cut_or_written_to_meanwhile_is_never_mixed_in_silence(
    node: Node, out: Path
) -> None:
    size = 2 * CHUNK_BYTES + 1
    path = node.write("distribute_save/x", b"a" * size)

    def once(action: Callable[[], object], after: int) -> None:
        node.reads = 0
        node.meanwhile = lambda: action() if node.reads == after else None

    def replace() -> None:
        (node.folder / "new").write_bytes(b"b" * (size + 5))
        (node.folder / "new").rename(path)

    once(replace, after=3)
    assert (await pull(node, out))[2] == []
    assert set(here(out)["x"]) == {ord("b")}, "all of it is of the new file"

    path.write_bytes(b"x" * size)
    once(lambda: os.truncate(path, 10), after=2)
    assert (await pull(node, out))[2] == []
    assert here(out)["x"] == b"x" * 10

    path.write_bytes(b"c" * size)

    def write_in_place() -> None:
        with path.open("r+b") as file:
            file.write(b"d")

    once(write_in_place, after=2)
    _, fetched, _ = await pull(node, out)
    assert fetched.changed == [(b"mc", b"a", b"x")]

    path.write_bytes(b"e" * size)
    once(path.unlink, after=2)
    _, fetched, problems = await pull(node, out)
    assert (fetched.gone, problems) == ([(b"mc", b"a", b"x")], [])

    path.write_bytes(b"f" * size)
    node.meanwhile = lambda: (replace(), None)
    _, _, problems = await pull(node, out)
    assert problems == ["mc/a/x: it is replaced or cut faster than it can be fetched; pull again"]


async def test_sparse_files_stay_sparse(node: Node, out: Path) -> None:
    path = node.write("distribute_save/sparse", b"begin")
    os.truncate(path, 64 << 20)
    with path.open("r+b") as file:
        file.seek(32 << 20)
        file.write(b"middle")
    assert (await pull(node, out))[2] == []
    copy = out / "mc/a/sparse"
    digests = [hashlib.sha256(one.read_bytes()).hexdigest() for one in (path, copy)]
    assert digests[0] == digests[1]
    assert copy.stat().st_blocks * 512 < 1 << 20


async def test_a_job_that_ends_in_the_middle_is_told_of_and_leaves_no_part(node: Node, out: Path) -> None:
    node.write("distribute_save/x", bytes(3 * CHUNK_BYTES))
    node.write("distribute_save/y", bytes(3 * CHUNK_BYTES))

    def end() -> None:
        if node.reads == 4:
            node.state = "succeeded"

    node.meanwhile = end
    _, _, problems = await pull(node, out)
    assert len(problems) == 1
    assert "jane/mc/a is over (succeeded): `distribute logs jane/mc/a` shows what it printed" in problems[0]
    assert here(out).keys() <= {"x", "stdout.txt"}
    assert not (out / "mc" / ".distribute-parts").exists()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../x", "", "a//b", "a/./b", "a\0b"])
async def test_no_list_of_a_node_leads_out_of_the_folder(node: Node, out: Path, path: str) -> None:
    found = FilesFound.model_validate(
        {"results": "distribute_save", "entries": [["file", path, 1, 0, 420, 5]], "printed_bytes": 0}
    )
    with pytest.raises(ValueError, match="which is no path in its folder"):
        list_running(JOB, found, make_filter([], []), BASE)


async def test_a_node_that_sends_more_than_was_asked_for_is_not_believed(node: Node, out: Path) -> None:
    node.write("distribute_save/x", bytes(CHUNK_BYTES))

    async def read_files(running: Any, pieces: Sequence[Piece]) -> tuple[list[Got], list[bytes]]:
        return [Got(length=1 << 60, is_hole=True, size_bytes=1, inode=1) for _ in pieces], [
            b"" for _ in pieces
        ]

    node.read_files = read_files  # type: ignore[method-assign]
    _, _, problems = await pull(node, out)
    assert "mc/a/x: its node answers with more than it was asked for" in problems
    assert not (out / "mc/a/x").exists()


async def test_names_that_no_terminal_may_see_are_kept_and_shown_escaped(node: Node, out: Path) -> None:
    name = b"a\nb\x1b[31m\xff"
    node.write(f"distribute_save/{os.fsdecode(name)}", b"odd")
    assert (await pull(node, out))[2] == []
    assert here(out)[os.fsdecode(name)] == b"odd"


async def test_who_asks_for_what_does_not_run_is_told_what_to_do(node: Node) -> None:
    queries: Any = node
    for state, advice in {
        "queued": "does not run yet: it is queued; `distribute watch jane/mc` shows progress",
        "building": "does not run yet: its build does; `distribute logs -f jane/mc` shows what that prints",
        "failed": r"is over \(failed\): `distribute logs jane/mc/a` shows what it printed",
    }.items():
        node.state = state
        with pytest.raises(Refused, match=f"jane/mc/a {advice}"):
            await find_running(queries, JOB)


@pytest.mark.parametrize("state", ["out_of_touch", "lost", "left"])
async def test_a_node_that_is_away_is_named_at_once(
    node: Node, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    queries: Any = node

    async def away(name: str) -> Any:
        return {"node": name, "state": state, "version": "1.0", "heard_at": "2030-01-01T00:00:00Z"}

    monkeypatch.setattr(node, "node", away)
    with pytest.raises(
        Refused, match=f"ws1, on which jane/mc/a runs, is {state.replace('_', ' ')}, last heard 2030"
    ):
        await find_running(queries, JOB)


async def test_a_node_without_an_answer_may_be_too_old(node: Node, out: Path) -> None:
    cluster: Any = node
    queries: Any = node
    with pytest.raises(
        Refused, match=r"ws1 does not answer: it has just left, or its distribute \(1.0\) is too old"
    ):
        await list_files(cluster, queries, VISIT)
    with pytest.raises(InputError, match="no path is as long as this"):
        await list_files(cluster, queries, VISIT, "x" * 5000)
    assert FILES == "files"
