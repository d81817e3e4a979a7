"""A snapshot keeps the whole state, and loading a damaged one fails."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

import core_kit
from core_kit import Lab, of
from distribute.core.errors import IntegrityError
from distribute.core.folding.work import marked
from distribute.core.spec.specs import After, GpuKind, Resources
from distribute.core.state.batch_record import seal, unseal
from distribute.core.state.state import BatchState, NodeState, State, Usage
from distribute.snapshot import VERSION, digest, dump, join_records, load, split_records
from distribute.testing import builders as make

Part = State | BatchState | NodeState | Usage


def busy_lab() -> Lab:
    """A state with a packed batch, in which every field of every part has a value."""
    jobs = [
        make.job("a"),
        make.job("b", resources=Resources(cpus=2, gpus=1, gpu_kind=GpuKind(model="x"))),
        make.job("c"),
        make.job("d"),
    ]
    old = make.batch(1, batch="old")
    lab = Lab(make.submitted(old), make.kill_requested(old), make.completed(old, state="killed"))
    lab.log_ahead_s = 0.5
    lab.happen(make.batch_archived(old))
    assert lab.pack() == {"old"}
    lab.happen(
        make.joined(
            "ws1", gpus=("x", "y"), gpu_memory_bytes=(make.GIB, 0), capabilities=frozenset({"gcc", "mpi"})
        ),
        make.joined("ws2"),
        make.listed("ws2"),
        make.listed("ws4"),
        make.submitted(make.batch(jobs, build="make", retries=1, capabilities=frozenset({"gcc"}))),
        make.build_started("ws1"),
        make.build_finished("ws1", kept_from="lab/before"),
        make.build_finished("ws2", succeeded=False),
        make.build_started("ws2"),
        make.assigned("a"),
    )
    lab.run("a")
    lab.happen(make.finished("a", succeeded=False, wall_s=1.0), make.assigned("b", gpus=(1,), memory_bytes=9))
    lab.run("b")
    lab.happen(make.assigned("c"))
    lab.run("c")
    lab.happen(make.released("c"), make.kill_requested(job="d"), make.left("nobody"))
    after = (After(namespace="lab", batch="sweep", submission=lab.batch().submission),)
    other = make.batch(batch="other", max_running=9, max_failures=9, not_before=make.EPOCH, after=after)
    lab.happen(make.submitted(other, user="bob"))
    lab.happen(make.submitted(make.batch(batch="elsewhere"), ran_at=make.RAN_AT))
    lab.happen(make.drain_requested("ws2", until=make.EPOCH + timedelta(hours=1)))
    lab.happen(make.submitted(make.batch(batch="done")), make.kill_requested(make.batch(batch="done")))
    done = make.batch(batch="done")
    lab.happen(make.completed(done, state="killed", reason="so it is"), make.batch_archived(done))
    lab.happen(make.paused("ws1", by="jane"), make.kill_requested(make.batch(batch="other")))
    lab.happen(make.submitted(make.batch(2, batch="well")), make.assigned(of("well"), "ws2"))
    lab.succeed(of("well"), "ws2")
    lab.happen(make.assigned(of("well", "job2"), "ws2"))
    lab.run(of("well", "job2"), "ws2")
    lab.happen(make.finished(of("well", "job2"), "ws2"))
    lab.happen(make.job_archived(of("well", "job2"), "ws2", missing="no chunks"))
    for name in ("bad", "worse", "worst"):
        lab.happen(make.submitted(make.batch(batch=name)), make.assigned(of(name), "ws2"))
        lab.fail_fast(of(name), "ws2")
    lab.happen(make.quarantined("ws2"), make.joined("ws3", boot_id="boot0"), make.joined("ws3"))
    for name in ("bad", "worse"):
        lab.happen(make.excused(of(name), "ws2"), make.assigned(of(name), "ws3", attempt=2))
    lab.succeed(of("bad"), "ws3", attempt=2)
    lab.fail_fast(of("worse"), "ws3", attempt=2)
    lab.happen(make.build_started("ws1", done), make.lost("ws3"))
    lab.happen(make.submitted(make.batch(batch="more")), make.assigned(of("more"), "ws1"))
    lab.happen(make.leaving("ws1", keeps=("b",)))
    lab.happen(make.submitted(make.batch(batch="gone")), make.assigned(of("gone"), "ws2"))
    lab.happen(make.claimed(of("gone"), "ws2"), make.kill_requested(make.batch(batch="gone"), discard=True))
    lab.happen(make.stop_ordered(of("gone"), "ws2"))
    _retry_what_a_last_job_waits_for(lab)
    _compact_one(lab)
    _hold_and_retry_some(lab)
    add_moved_jobs(lab)
    _replace_what_runs(lab)
    return lab


def _replace_what_runs(lab: Lab) -> None:
    live = make.batch(batch="live")
    lab.happen(make.submitted(live), make.assigned(of("live"), "ws2"))
    lab.run(of("live"), "ws2")
    before = lab.batch("live").submission
    lab.happen(make.held(live), make.submitted(marked(live, {"job1"}), replaces=before))


def _retry_what_a_last_job_waits_for(lab: Lab) -> None:
    table = make.batch(2, batch="table", last_job="job2")
    lab.happen(make.submitted(table), make.assigned(of("table"), "ws2"))
    lab.run(of("table"), "ws2")
    lab.happen(make.finished(of("table"), "ws2", succeeded=False), make.job_archived(of("table"), "ws2"))
    lab.happen(make.assigned(of("table", "job2"), "ws2"), make.retry_requested(table))


def _compact_one(lab: Lab) -> None:
    old = make.batch(batch="ancient")
    lab.happen(make.submitted(old), make.kill_requested(old), make.completed(old, state="killed"))
    lab.happen(make.batch_archived(old))
    lab.happen(make.compacted(lab.state.seq, old))


def _hold_and_retry_some(lab: Lab) -> None:
    picked = make.batch(2, batch="picked", max_failures=9)
    lab.happen(make.submitted(picked), make.assigned(of("picked"), "ws2"))
    lab.run(of("picked"), "ws2")
    lab.happen(make.finished(of("picked"), "ws2", succeeded=False, wall_s=60))
    lab.happen(make.retry_requested(picked, jobs=("job2",)), make.held(picked, reason="the mesh is wrong"))


def add_moved_jobs(lab: Lab) -> None:
    """Add a batch that a person has edited, with jobs that a person moves and has moved."""
    moved = make.batch(4, batch="moved", max_running=3)
    lab.happen(make.submitted(moved), make.edited(moved, jobs=("job2",), timeout_s=60.0, max_running=2))
    for job in ("job1", "job2"):
        lab.happen(make.assigned(of("moved", job), "ws2"), make.claimed(of("moved", job), "ws2"))
        lab.happen(make.move_requested(job, of=moved))
    lab.happen(make.yielded(of("moved"), "ws2"))


def test_the_busy_lab_sets_every_field() -> None:
    """Otherwise snapshots could lack a field, and the tests below would not notice."""
    state = busy_lab().state
    kinds: list[Iterable[Part]] = [
        [state],
        state.batches.values(),
        state.nodes.values(),
        state.usage.values(),
    ]
    for parts in kinds:
        for field in fields(next(iter(parts))):
            if field.name == "compacted_at":
                continue  # the state has no whole batch that is compacted
            first = field.default_factory() if field.default_factory is not MISSING else field.default
            values = [getattr(part, field.name) for part in parts]
            assert any(value != first for value in values), f"{field.name} is always {first!r}"


def test_a_loaded_snapshot_equals_the_dumped_state() -> None:
    state = busy_lab().state
    again = load(dump(state))
    assert core_kit.unpacked(again) == core_kit.unpacked(state)
    assert dump(again) == dump(state)
    assert digest(again) == digest(state)


def test_an_empty_state_can_be_dumped_and_loaded() -> None:
    assert load(dump(State())) == State()


def test_another_event_changes_the_digest() -> None:
    lab = busy_lab()
    before = digest(lab.state)
    lab.happen(make.undrained("ws2"))
    assert digest(lab.state) != before


def test_folding_on_from_a_snapshot_gives_the_same_state_as_folding_everything() -> None:
    lab = busy_lab()
    restored = load(dump(lab.state))
    tail = (make.finished("b", node="ws1"), make.job_archived("a"), make.released("c", reason="not_there"))
    lab.happen(*tail)
    make.happen(*tail, state=restored)
    assert digest(restored) == digest(lab.state)


def test_the_digest_does_not_depend_on_the_order_of_sets_and_dicts() -> None:
    state = busy_lab().state
    before = digest(state)
    parts: list[Part] = [state, *state.batches.values(), *state.nodes.values(), *state.usage.values()]
    for part in parts:
        for field in fields(part):
            held = getattr(part, field.name)
            if isinstance(held, dict) and field.name not in {"fast_failures", "rows", "node_numbers"}:
                setattr(part, field.name, dict(reversed(held.items())))
            elif isinstance(held, set):
                again = set()
                for one in sorted(held, reverse=True):
                    again.add(one)
                setattr(part, field.name, again)
    assert digest(state) == before


@pytest.mark.parametrize("place", [0, 63, 64, 100, -1])
def test_a_changed_byte_is_noticed(place: int) -> None:
    data = bytearray(dump(busy_lab().state))
    data[place] ^= 1
    with pytest.raises(IntegrityError, match=r"^a snapshot is damaged: its bytes do not have its digest$"):
        load(bytes(data))


@pytest.mark.parametrize("size", [0, 1, 64, 1000, -1])
def test_a_truncated_snapshot_is_noticed(size: int) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        load(dump(busy_lab().state)[:size])


def written(*pieces: bytes) -> bytes:
    """A snapshot with this record, as another program might write it."""
    return join_records([seal(pieces)])


def stored(**fields: object) -> bytes:
    """The snapshot of an empty state, with these fields changed."""
    [record] = split_records(dump(State()))
    head, *rest = unseal(record)
    return written(orjson.dumps(orjson.loads(head) | fields), *rest)


def test_a_snapshot_of_another_version_is_refused() -> None:
    with pytest.raises(IntegrityError, match=rf"^a snapshot of version 99; this distribute reads {VERSION}$"):
        load(stored(version=99))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"3"])
def test_bytes_that_are_no_snapshot_are_refused(body: bytes) -> None:
    with pytest.raises(IntegrityError, match=rf"^a snapshot of another make of version {VERSION}: "):
        load(written(body))


def test_a_snapshot_with_other_fields_is_refused() -> None:
    with pytest.raises(
        IntegrityError, match=rf"^a snapshot of another make of version {VERSION}: KeyError\('name'\)$"
    ):
        load(written(orjson.dumps({"version": VERSION}), b"[{}]", b"[]", b"[]"))


def test_the_digest_is_the_same_in_every_process() -> None:
    program = "from unit.core.test_snapshot import busy_lab; from distribute.snapshot import digest\n"
    answers = {
        subprocess.run(
            [sys.executable, "-c", program + "print(digest(busy_lab().state))"],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(core_kit.__file__).parent)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(answers) == 1


def test_shapes_that_differ_only_in_the_kind_of_their_gpus_are_kept() -> None:
    """A person's shapes are stored in order, and nothing is less than no kind."""
    kinds = (None, GpuKind(model="x"), GpuKind(memory_bytes=5), GpuKind(model="y"))
    jobs = [
        make.job(f"j{number}", resources=Resources(cpus=1, gpus=1, gpu_kind=kind))
        for number, kind in enumerate(kinds)
    ]
    lab = Lab(make.joined(cpus=8, gpus=("x", "y", "x", "y")), make.submitted(make.batch(jobs)))
    for number in range(len(kinds)):
        lab.happen(make.assigned(f"j{number}", gpus=(number,)))
    assert len(lab.state.usage["jane"].served) == len(kinds)
    restored = load(dump(lab.state))
    assert digest(restored) == digest(lab.state)
    assert restored.usage == lab.state.usage
