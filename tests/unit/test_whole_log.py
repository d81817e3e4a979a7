"""The log with its archives, of which one may be gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from client_kit import MemoryCluster
from distribute.core.errors import IntegrityError
from distribute.core.fold import apply
from distribute.core.state import State
from distribute.testing import builders as make
from distribute.whole_log import WholeLog
from distribute_services.archiver.compacting import store_archive

SWEEP, OTHER = make.batch(1), make.batch(1, batch="other")


async def test_an_event_is_found_in_its_archive_although_another_archive_is_gone(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path)
    told = [
        make.submitted(SWEEP), make.submitted(OTHER), make.kill_requested(SWEEP), make.kill_requested(OTHER),
    ]  # fmt: skip
    await cluster.say(*told)
    state = State()
    for recorded in cluster.log.stored.between(0, 4):
        apply(state, recorded)
    kept = await store_archive(cluster, state.batches[SWEEP.id])
    await cluster.say(
        make.compacted(3, SWEEP, archive=kept.sha256, events=2), make.compacted(4, OTHER, first_seq=2)
    )
    for batch in (SWEEP, OTHER):
        await cluster.log.purge(batch.id, before=5)
    log = WholeLog(cluster.log, lambda: cluster.store)
    assert (await log.get(3)).event == told[2]
    with pytest.raises(IntegrityError, match=r"the archive of lab/other, 0+, is damaged or gone"):
        await log.get(4)
    with pytest.raises(KeyError):
        await log.get(7)
