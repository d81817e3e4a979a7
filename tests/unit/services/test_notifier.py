"""The notifier's service on a cluster in memory: what a channel is given, and what the log says of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from client_kit import MemoryCluster
from distribute.core.folding.fold import apply
from distribute.core.ids import Guarded
from distribute.core.log.events import Completed, Event, Notified
from distribute.core.log.recorded import Recorded
from distribute.core.projections.notices import key_of
from distribute.core.spec.specs import BatchSpec
from distribute.core.state.state import State
from distribute.memory.queries import MemoryQueries
from distribute.ports import Cluster
from distribute.testing import builders as make
from distribute.whole_log import WholeLog
from distribute_services.archiver.compacting import store_archive
from distribute_services.notifier import sending, service
from distribute_services.notifier.channel import Message, Unavailable, Undeliverable
from notifier_kit import Remembering, notifier_of

MANY = [make.batch(batch=f"b{number}") for number in range(20)]
RAN = (make.joined(), make.submitted(), make.assigned(), make.claimed())


@pytest.fixture
def cluster(tmp_path: Path) -> Any:
    cluster = MemoryCluster(tmp_path)
    cluster.queries = MemoryQueries()
    return cluster


@pytest.fixture(autouse=True)
def _try_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "FIRST_WAIT_S", 0.001)


def killed(spec: BatchSpec, user: str = "jane") -> tuple[Event, ...]:
    return (
        make.submitted(spec, user),
        make.kill_requested(spec, by=user),
        make.completed(spec, state="killed"),
    )


def notified(cluster: MemoryCluster) -> list[Notified]:
    recorded = cluster.log.stored.between(0, cluster.log.stored.last_seq)
    return [one.event for one in recorded if isinstance(one.event, Notified)]


def keys_of_ends(cluster: MemoryCluster) -> list[str]:
    recorded = cluster.log.stored.between(0, cluster.log.stored.last_seq)
    return [key_of("end", one.event.id) for one in recorded if isinstance(one.event, Completed)]


async def test_the_end_of_a_batch_is_told_and_noted(cluster: MemoryCluster) -> None:
    mail = Remembering()
    async with notifier_of(cluster, mail):
        await cluster.say(*RAN)
        failed = make.finished(succeeded=False, last_lines=("Traceback", "ValueError: no mesh"))
        await cluster.say(failed, make.completed(state="failed"))
        await cluster.until("notified")
    (message,) = mail.taken.values()
    assert message.to == "jane"
    assert "job1 (exit 1 on ws1)\n    Traceback\n    ValueError: no mesh\n" in message.plain
    (event,) = notified(cluster)
    assert (event.channel, event.to, event.key, event.refused) == ("mail", "jane", message.key, None)
    assert mail.is_closed


async def test_lines_are_quoted_of_the_end_that_counts(cluster: MemoryCluster) -> None:
    mail = Remembering()
    async with notifier_of(cluster, mail):
        failed = make.finished(succeeded=False, last_lines=("Traceback", "ValueError: no mesh"))
        forged = make.finished(succeeded=False, last_lines=("send your password to mallory",))
        await cluster.say(*RAN, failed, forged, make.completed(state="failed"))
        await mail.until(lambda: len(mail.taken) == 1)
    (message,) = mail.taken.values()
    assert "ValueError: no mesh" in message.plain
    assert "mallory" not in message.plain


async def test_nothing_from_before_it_was_configured_is_told(cluster: MemoryCluster) -> None:
    mail = Remembering()
    await cluster.say(*killed(MANY[0]))
    async with notifier_of(cluster, mail):
        await cluster.say(*killed(MANY[1]))
        await cluster.until("notified")
    assert mail.subjects == ["lab/b1 was killed by jane"]


async def test_what_happened_while_it_was_away_is_told_in_one_message(cluster: MemoryCluster) -> None:
    mail = Remembering()
    async with notifier_of(cluster, mail):
        await cluster.say(*killed(MANY[0]))
        await cluster.until("notified")
    for spec in MANY[1:]:
        await cluster.say(*killed(spec))
    async with notifier_of(cluster, mail):
        await mail.until(lambda: len(mail.taken) > 1)
        await cluster.say(*killed(make.batch(batch="last")))
        await mail.until(lambda: len(mail.taken) > 2)
    assert mail.subjects[1] == "news of 19 batches: 19 killed"
    assert mail.times == 3
    assert len({event.key for event in notified(cluster)}) == len(notified(cluster)) >= len(MANY)


async def test_an_outage_is_waited_out_and_stops_no_other_channel(cluster: MemoryCluster) -> None:
    mail, webhook = Remembering(), Remembering("webhook")
    mail.trouble = Unavailable("connection refused")
    async with notifier_of(cluster, mail, webhook):
        await cluster.say(*killed(MANY[0]))
        await webhook.until(lambda: len(webhook.taken) == 1)
        await mail.until(lambda: mail.times > 3)
        mail.trouble = None
        await mail.until(lambda: len(mail.taken) == 1)


async def test_a_fault_in_a_channel_stops_no_other(cluster: MemoryCluster) -> None:
    mail, webhook = Remembering(), Remembering("webhook")
    mail.trouble = RuntimeError("a fault")
    async with notifier_of(cluster, mail, webhook):
        await cluster.say(*killed(MANY[0]))
        await webhook.until(lambda: len(webhook.taken) == 1)
        await mail.until(lambda: mail.times > 1)


@pytest.mark.parametrize(
    "trouble", [Unavailable("450 the mailbox is full", others_wait=False), RuntimeError("a fault")]
)
async def test_one_person_who_cant_be_told_now_keeps_nobody_waiting(
    cluster: MemoryCluster, trouble: Exception
) -> None:
    mail = Remembering()
    mail.troubled_person, mail.trouble = "jane", trouble
    async with notifier_of(cluster, mail):
        await cluster.say(*killed(MANY[0]))
        await mail.until(lambda: mail.times > 1)
        await cluster.say(*killed(MANY[1], "john"), *killed(MANY[2], "ann"))
        await mail.until(lambda: len(mail.taken) == 2)
        mail.trouble = None
        await mail.until(lambda: len(mail.taken) == 3)
    assert mail.subjects[2] == "lab/b0 was killed by jane"


async def test_a_person_who_cant_be_reached_is_in_the_history(cluster: MemoryCluster) -> None:
    mail = Remembering()
    mail.trouble = Undeliverable("no such mailbox")
    async with notifier_of(cluster, mail):
        await cluster.say(*killed(MANY[0]))
        await cluster.until("notified")
        mail.trouble = None
        await cluster.say(*killed(MANY[1]))
        await mail.until(lambda: len(mail.taken) == 1)
    assert notified(cluster)[0].refused == "no such mailbox"
    assert mail.subjects == ["lab/b1 was killed by jane"]


async def test_of_two_notifiers_one_tells_people_and_then_the_other(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOOK_AGAIN_S", 0.001)
    first, second, stop = Remembering(), Remembering(), asyncio.Event()
    async with notifier_of(cluster, first):
        waiting = asyncio.create_task(service.NotifierService(cluster, [second]).run(stop))
        await cluster.say(*killed(MANY[0]))
        await cluster.until("notified")
        assert (len(first.taken), second.times) == (1, 0)
    await cluster.say(*killed(MANY[1]))
    await second.until(lambda: len(second.taken) == 1)
    stop.set()
    await waiting
    assert (len(first.taken), second.subjects) == (1, ["lab/b1 was killed by jane"])


async def test_a_notifier_whose_note_another_has_written_anew_sends_nothing_before_it_has_read_that(
    cluster: MemoryCluster, caplog: pytest.LogCaptureFixture
) -> None:
    mail = Remembering()
    async with notifier_of(cluster, mail):
        await cluster.store.put_snapshot(service.NOTE, await taken_over(cluster))
        await cluster.say(*killed(MANY[0]))
        await mail.until(lambda: len(mail.taken) == 1)
    assert "another notifier has begun to tell people" in caplog.text
    assert mail.times == 1


async def test_two_notifiers_that_go_on_from_each_others_notes_find_out(
    cluster: MemoryCluster, caplog: pytest.LogCaptureFixture
) -> None:
    mail = Remembering()
    async with notifier_of(cluster, mail):
        for number, spec in enumerate(MANY[:2], start=1):
            await cluster.store.put_snapshot(service.NOTE, await taken_over(cluster))
            await cluster.say(*killed(spec))
            await mail.until(lambda: len(mail.taken) == number)  # noqa: B023 - it is awaited here
            assert caplog.text.count("another notifier has begun to tell people") == number


async def test_of_two_notifiers_that_look_at_the_note_at_once_only_one_writes_and_sends(
    cluster: MemoryCluster, caplog: pytest.LogCaptureFixture
) -> None:
    mail = Remembering()
    get_snapshot, looks = cluster.store.get_snapshot, 0

    async def written_anew_behind_the_look(name: str) -> bytes | None:
        nonlocal looks
        data = await get_snapshot(name)
        if name == service.NOTE and cluster.log.stored.last_seq:
            looks += 1
            if looks == 1:
                await cluster.store.put_snapshot(service.NOTE, await taken_over(cluster))
        return data

    async with notifier_of(cluster, mail):
        cluster.store.get_snapshot = written_anew_behind_the_look  # type: ignore[method-assign]
        await cluster.say(*killed(MANY[0]))
        await mail.until(lambda: len(mail.taken) > 0)
    assert looks > 1
    assert caplog.text.count("another notifier has begun to tell people") == 1


async def test_a_notifier_sends_what_the_one_before_has_begun_to_send_since_it_read_its_note(
    cluster: MemoryCluster,
) -> None:
    mail = Remembering()
    async with notifier_of(cluster, mail):
        pass
    await cluster.say(*killed(MANY[0]), *killed(MANY[1]))
    get_snapshot, put_snapshot = cluster.store.get_snapshot, cluster.store.put_snapshot

    async def read_before_the_other_writes(name: str) -> bytes | None:
        data = await get_snapshot(name)
        if name == service.NOTE and data is not None:
            cluster.store.get_snapshot = get_snapshot  # type: ignore[method-assign]
            note = orjson.loads(data)
            note["channels"]["mail"]["sending"] = [["jane", "the-summary", keys_of_ends(cluster)]]
            await put_snapshot(name, orjson.dumps(note))
        return data

    cluster.store.get_snapshot = read_before_the_other_writes  # type: ignore[method-assign]
    async with notifier_of(cluster, mail):
        await mail.until(lambda: mail.times > 0)
    assert list(mail.taken) == ["the-summary"]


async def test_a_notifier_reads_the_note_before_it_asks_where_the_log_ends(cluster: MemoryCluster) -> None:
    """Else the note may say that something is sent that this one does not know yet: it would tell it anew."""
    asked: list[str] = []
    get_snapshot, last_seq = cluster.store.get_snapshot, cluster.log.last_seq

    async def note(name: str) -> bytes | None:
        asked.append(name)
        return await get_snapshot(name)

    async def end() -> int:
        asked.append("end")
        return await last_seq()

    cluster.store.get_snapshot, cluster.log.last_seq = note, end  # type: ignore[method-assign]
    async with notifier_of(cluster, Remembering()):
        assert asked.index(service.NOTE) < asked.index("end")


async def test_what_is_noted_while_it_asks_for_the_end_of_a_batch_is_not_noted_again(
    cluster: MemoryCluster,
) -> None:
    """The one before was killed, and what it appended comes late."""
    spec, mail, last = MANY[0], Remembering(), cluster.log.last
    asked = asyncio.Event()

    async def overtaken(scope: Guarded, event_type: str | None = None) -> Recorded | None:
        if scope == spec.id and mail.taken and not asked.is_set():
            asked.set()
            (key,) = mail.taken
            await cluster.say(make.notified(spec, key=key))
            await notifier._folded(await cluster.log.last_seq())
        return await last(scope, event_type)

    cluster.log.last = overtaken  # type: ignore[method-assign]
    async with notifier_of(cluster, mail) as notifier:
        await cluster.say(*killed(spec))
        await asked.wait()
        await cluster.say(*killed(MANY[1]))
        await mail.until(lambda: len(mail.taken) == 2)
    told = [event.key for event in notified(cluster) if event.batch == spec.id.batch]
    assert len(told) == 1


async def taken_over(cluster: MemoryCluster) -> bytes:
    """The note, as if another notifier had written it."""
    data = await cluster.store.get_snapshot(service.NOTE)
    assert data is not None
    return orjson.dumps(orjson.loads(data) | {"by": "another"})


async def test_a_batch_deleted_while_it_is_told_of_leaves_nothing_in_the_next_of_its_name(
    cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    last_now = cluster.log.last

    async def last(scope: Guarded, event_type: str | None = None) -> Recorded | None:
        """Finds the next batch before the notifier has folded it."""
        monkeypatch.setattr(cluster.log, "last", last_now)
        await cluster.say(make.deleted(MANY[0]), make.submitted(MANY[0]))
        return await last_now(scope, event_type)

    class Slow(Remembering):
        async def send(self, message: Message) -> None:
            if not self.taken:
                monkeypatch.setattr(cluster.log, "last", last)
            await super().send(message)

    mail = Slow()
    async with notifier_of(cluster, mail):
        await cluster.say(*killed(MANY[0]))
        await mail.until(lambda: len(mail.taken) == 1)
        await cluster.say(*killed(MANY[1]))
        await cluster.until("notified")
    assert [event.batch for event in notified(cluster)] == ["b1"]


async def test_a_reason_that_is_no_text_is_noted_in_escapes(cluster: MemoryCluster) -> None:
    """A mail server answers in whatever encoding it likes."""
    mail = Remembering()
    mail.trouble = Undeliverable("550 unbekannter Empf\udce4nger\n\x1b[2J")
    async with notifier_of(cluster, mail):
        await cluster.say(*killed(MANY[0]))
        await cluster.until("notified")
    assert notified(cluster)[0].refused == r"550 unbekannter Empf\udce4nger\n\x1b[2J"


async def test_a_start_is_told_once_over_restarts(cluster: MemoryCluster) -> None:
    spec = make.batch(2, notify=("start",))
    mail = Remembering()
    async with notifier_of(cluster, mail):
        await cluster.say(
            make.joined(), make.submitted(spec), make.assigned(), make.claimed(), make.started()
        )
        await cluster.until("notified")
    async with notifier_of(cluster, mail):
        await cluster.say(make.assigned("job2"), make.claimed("job2"), make.started("job2"))
        await cluster.say(make.kill_requested(spec, by="john"))
        await mail.until(lambda: mail.times > 1)
    assert mail.subjects == ["lab/sweep started", "john killed lab/sweep"]


async def test_a_batch_compacted_while_it_begins_hides_no_event_of_another(cluster: MemoryCluster) -> None:
    """It asks where the log ends, and then reads up to there. What happens between the two is read later."""
    first, second = MANY[:2]
    await cluster.say(make.submitted(first), make.submitted(second))
    last_seq, mail = cluster.log.last_seq, Remembering()

    async def compacted_behind() -> int:
        end = await last_seq()
        if "kill_requested" not in cluster.types():
            await cluster.say(make.kill_requested(second), make.kill_requested(first))
            await cluster.say(make.completed(first, state="killed"), make.batch_archived(first))
            await compact_in(cluster, first)
        return end

    cluster.log.last_seq = compacted_behind  # type: ignore[method-assign]
    whole = SimpleNamespace(**vars(cluster) | {"log": WholeLog(cluster.log, lambda: cluster.store)})
    async with notifier_of(cast(Cluster, whole), mail):
        await cluster.say(make.completed(second, state="killed"))
        await mail.until(lambda: len(mail.taken) == 2)
    assert mail.subjects == ["lab/b0 was killed by jane", "lab/b1 was killed by jane"]


async def compact_in(cluster: MemoryCluster, spec: BatchSpec) -> None:
    """Move the events of a batch, all that it has, into an archive."""
    state, seqs = State(), []
    for recorded in cluster.log.stored.between(0, cluster.log.stored.last_seq):
        apply(state, recorded)
        if recorded.event.scope == spec.id:
            seqs.append(recorded.seq)
    archive = (await store_archive(cluster, state.batches[spec.id])).sha256
    names = {"archive": archive, "events": len(seqs), "first_seq": seqs[0]}
    await cluster.say(make.compacted(seqs[-1], spec, **names))
    await cluster.log.purge(spec.id, before=seqs[-1] + 1)
