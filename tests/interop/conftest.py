from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from acceptance.person import PATIENCE_S, Person
from distribute_services.notifier.channels.matrix.channel import MatrixChannel
from matrix_kit import Gate, MatrixPerson, Synapse, gate_before, running_synapse
from slurm_kit import Slurm, need_slurm, running_slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """One SLURM for all tests of a process. Starting it takes some seconds."""
    with running_slurm(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture
def jane(tmp_path: Path) -> Iterator[Person]:
    """A person with a cluster of one node."""
    need_slurm()
    (tmp_path / "home").mkdir()
    with Person(tmp_path / "home") as person:
        person.runs("up", "--nodes", "1", "--detach")
        yield person
        person.starts("down").communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """One Matrix homeserver for all tests of a process. Starting it takes some seconds."""
    with running_synapse(tmp_path_factory.mktemp("synapse")) as running:
        yield running


@pytest.fixture
def gate(synapse: Synapse) -> Iterator[Gate]:
    """It stands before the homeserver, and is open."""
    with gate_before(synapse.url) as gate:
        yield gate


@pytest.fixture
def notifying(synapse: Synapse) -> MatrixPerson:
    """The user whose account sends messages."""
    return synapse.new_person("lab-notify")


@pytest.fixture
async def open_channel(
    synapse: Synapse, notifying: MatrixPerson, tmp_path: Path
) -> AsyncIterator[Callable[..., MatrixChannel]]:
    """Opens the channel of the account `notifying`, as after a start of the notifier: all keep one folder."""
    opened: list[MatrixChannel] = []

    def open_one(*, url: str = synapse.url, encrypts: bool = False, **fields: str) -> MatrixChannel:
        account = synapse.account(notifying).model_copy(update={"homeserver_url": url, **fields})
        opened.append(MatrixChannel(account, Path("matrix.yaml"), tmp_path / "matrix", encrypts=encrypts))
        return opened[-1]

    yield open_one
    for one in opened:
        await one.close()
