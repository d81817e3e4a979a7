"""A real broker for each test. It starts in about 20 ms and shares nothing with other tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from distribute.nats.broker.embedded import Broker
from distribute.nats.cluster import Cluster, open_cluster
from ports_kit import free_port


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """A new, empty nats-server. While it is down, no other server gets its port."""
    port = free_port()
    async with Broker(tmp_path / "broker", port=port, sync_always=False, die_with_parent=True) as running:
        yield running


@pytest.fixture
async def cluster(broker: Broker) -> AsyncIterator[Cluster]:
    """A new, empty cluster."""
    async with open_cluster(broker.address, "test", provisioning=True) as fresh:
        yield fresh
